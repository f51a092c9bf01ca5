"""Law 5: a node that fails fails only what depends on it; the rest completes."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from laws.graphs import FAILING, edited
from laws.running import TIERS, Tiers, many, meaning, run

from graphengine import events


@many(3)
@given(FAILING)
def test_a_failure_fails_only_what_depends_on_it(file: Any) -> None:
    wanted, found = meaning(file), run(file)
    assert found.outputs == wanted.outputs
    assert set(found.heard) <= set(wanted.heard)
    failed = {e.node: e.because for e in found.events if isinstance(e, events.NodeFailed)}
    assert set(failed.values()) <= found.failures.keys() <= failed.keys()
    assert found.events[-1].state == ("failed" if failed else "done")
    assert not found.failures or failed
    assert file["outputs"].keys() == found.outputs.keys() or failed


@many(2)
@given(FAILING, TIERS, st.integers(0, 50), st.booleans())
def test_failing_leaves_the_cache_valid(file: Any, tiers: Tiers, by: int, anew: bool) -> None:
    changed = edited(file, by)
    with tiers.store() as store:
        for each in (file, file, changed, file):
            assert store.run(each).outputs == meaning(each).outputs
            if anew:
                store.restart()
