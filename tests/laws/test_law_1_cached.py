"""Law 1: a cached run equals an uncached run, to the bit."""

from __future__ import annotations

from typing import Any

from hypothesis import assume, given
from hypothesis import strategies as st
from laws.graphs import FAILING, edited, files
from laws.nodes import ROUGH
from laws.running import TIERS, Tiers, many, meaning, run

STEPS = st.lists(st.sampled_from(["again", "edit", "restart"]), min_size=1, max_size=5)


@many(2)
@given(files())
def test_an_uncached_run_gives_what_the_reference_gives(file: Any) -> None:
    wanted = meaning(file)
    assume(wanted)
    found = run(file)
    assert found.outputs == wanted.outputs
    assert set(found.heard) == set(wanted.heard)
    assert found.events[-1].state == "done"


@many(3)
@given(files() | FAILING, TIERS, STEPS, st.integers(0, 50))
def test_a_cached_run_equals_an_uncached_run(file: Any, tiers: Tiers, steps: list[str], by: int) -> None:
    """Whatever the cache holds and wherever, after edits to and fro, and any restart."""
    assume(meaning(file))
    with tiers.store() as store:
        store.run(file)
        for step in steps:
            if step == "restart":
                store.restart()
            elif step == "edit":
                changed = edited(file, by)
                assert store.run(changed).outputs == meaning(changed).outputs
            assert store.run(file).outputs == meaning(file).outputs


@many(1)
@given(files(without="states") | FAILING, TIERS, STEPS, st.integers(0, 50))
def test_it_does_so_where_bits_depend_on_the_size_of_a_batch(
    file: Any, tiers: Tiers, steps: list[str], by: int
) -> None:
    fresh = run(file, types=ROUGH).outputs
    with tiers.store() as store:
        store.run(file, ROUGH)
        for step in steps:
            if step == "restart":
                store.restart()
            elif step == "edit":
                changed = edited(file, by)
                assert store.run(changed, ROUGH).outputs == run(changed, types=ROUGH).outputs
            assert store.run(file, ROUGH).outputs == fresh
