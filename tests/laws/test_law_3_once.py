"""Law 3: a node runs at most once per key."""

from __future__ import annotations

from typing import Any

from hypothesis import assume, given
from hypothesis import strategies as st
from laws.graphs import FAILING, files
from laws.nodes import ALONE
from laws.running import Tiers, many, meaning
from samples import ran


@many(2)
@given(files() | FAILING, st.sampled_from([0.0, 1e-3]))
def test_a_node_runs_at_most_once_per_key(file: Any, glance: float) -> None:
    """But for the calls of a batch whose bits depend on its size: if one of them must run, all do."""
    assume(meaning(file))
    with Tiers(glance=glance).store() as store:
        store.run(file, ALONE)
        store.run(file, ALONE)
        assert set(store.cache.puts.values()) <= {1}


@many(1)
@given(files(without="fleeting"), st.sampled_from([0.0, 1e-3]))
def test_a_second_run_runs_nothing(file: Any, glance: float) -> None:
    assume(meaning(file))
    with Tiers(glance=glance).store() as store:
        store.run(file)
        store.run(file)
        assert ran == []
