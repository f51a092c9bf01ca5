"""Law 2: equal keys mean equal values; a key depends on neither worker, order nor time."""

from __future__ import annotations

from pathlib import Path
from random import Random
from typing import Any

from hypothesis import assume, given
from hypothesis import strategies as st
from laws.graphs import ALL, FAILING, Maker, edited, files, scrambled
from laws.nodes import ROUGH, TYPES
from laws.process import keys, told
from laws.running import TIERS, Tiers, many, meaning
from laws.written import written_out
from samples import ran


@many(1)
@given(
    files() | FAILING,
    st.lists(TIERS, min_size=2, max_size=4),
    st.sampled_from([TYPES, ROUGH]),
    st.integers(0, 50),
)
def test_equal_keys_mean_equal_values(file: Any, machines: list[Tiers], types: Any, by: int) -> None:
    """Every value that was ever put under a key, by machines of other speed and memory, and other files."""
    assume(meaning(file))
    values: dict[bytes, Any] = {}
    for number, tiers in enumerate(machines):
        with tiers.store() as store:
            store.values = values
            store.run(file, types)
            store.run(scrambled(edited(file, by + number), number), types)


@many(1)
@given(files(without="fleeting"), st.integers(0, 50))
def test_a_key_does_not_depend_on_the_order_of_the_nodes_in_a_file(file: Any, seed: int) -> None:
    assume(meaning(file))
    with Tiers().store() as one, Tiers().store() as two:
        assert one.run(file).outputs == two.run(scrambled(file, seed)).outputs
        assert one.values == two.values


@many(1)
@given(files("graphs", "fails", "io"), st.booleans())
def test_a_sub_workflow_has_the_keys_that_it_has_written_out(file: Any, first: bool) -> None:
    """Run one, then the other with the same cache: nothing runs."""
    plain = written_out(file, TYPES)
    with Tiers().store() as one, Tiers().store() as two:
        assert one.run(file).outputs == two.run(plain).outputs == meaning(file).outputs
        assert one.values == two.values
        found = one.run(plain) if first else two.run(file)
        assert not found.failures or ran
        assert found.failures or not ran


def test_another_process_has_the_same_keys_and_finds_what_was_kept(tmp_path: Path) -> None:
    """Its hashes of texts are others, and so is the order of its sets."""
    made = [Maker(Random(seed).randbytes(250), ALL - {"fleeting", "fails"}).file() for seed in range(40)]
    some = [file for file in made if meaning(file)]
    kept = []
    for file in some:
        with Tiers(disk=1 << 30, every=1).store(tmp_path / "here") as store:
            kept.append((repr(store.run(file).outputs), keys(store)))
    there = told(tmp_path / "there", some, PYTHONHASHSEED="1")
    assert [one[:2] for one in there] == kept
    again = told(tmp_path / "here", some, PYTHONHASHSEED="2")
    assert [one[0] for one in again] == [one[0] for one in kept]
    stored = {"paint", "stir", "look", "part", "exact", "outside", "awaited", "split"}
    assert stored & {name for one in there for name in one[2]}
    assert not stored & {name for one in again for name in one[2]}
