"""Law 4: cancelling or failing leaves the cache valid; nothing half-written is ever visible."""

from __future__ import annotations

from pathlib import Path
from time import sleep
from typing import Any

from hypothesis import assume, given
from hypothesis import strategies as st
from laws.graphs import FAILING, edited, files
from laws.process import started
from laws.running import TIERS, Tiers, many, meaning
from samples import link, ran


class Broken(Exception):
    """Whoever listens to a run is gone."""


@many(3)
@given(files() | FAILING, TIERS, st.integers(0, 40), st.integers(0, 50), st.booleans())
def test_cancelling_leaves_the_cache_valid(file: Any, tiers: Tiers, after: int, by: int, anew: bool) -> None:
    """At any event."""
    assume(meaning(file))
    seen = 0

    def stop(executor: Any, event: Any) -> None:
        nonlocal seen
        seen += 1
        if seen > after:
            executor.cancel()

    with tiers.store() as store:
        stopped = store.run(file, emit=stop)
        wanted = meaning(file)
        assert stopped.outputs.items() <= wanted.outputs.items()
        if anew:
            store.restart()
        changed = edited(file, by)
        assert store.run(changed).outputs == meaning(changed).outputs
        assert store.run(file).outputs == wanted.outputs


@many(1)
@given(files() | FAILING, TIERS, st.integers(0, 40), st.booleans())
def test_a_run_that_nobody_listens_to_any_more_leaves_the_cache_valid(
    file: Any, tiers: Tiers, after: int, anew: bool
) -> None:
    assume(meaning(file))
    seen = 0

    def gone(executor: Any, event: Any) -> None:
        nonlocal seen
        seen += 1
        if seen > after:
            raise Broken

    with tiers.store() as store:
        try:
            store.run(file, emit=gone)
        except Broken:
            pass
        if anew:
            store.restart()
        assert store.run(file).outputs == meaning(file).outputs


def test_a_process_that_is_killed_leaves_a_valid_folder(tmp_path: Path) -> None:
    """As by a power cut, in the middle of a loop whose states go to disk; the next process goes on there."""
    rounds = 2000
    step = {"type": "law.stir", "inputs": {"canvas": link("x"), "item": 1}}
    steps = {"graph": {"inputs": ["x"], "outputs": {"x": "s.canvas"}, "nodes": {"s": step}}}
    loop = {"times": rounds, "start": link("p.canvas"), "body": steps}
    nodes = {
        "p": {"type": "law.paint", "inputs": {"n": 1}},
        "r": {"type": "flow.repeat", "inputs": loop},
    }
    file = {"format": 1, "outputs": {"o": "r.result"}, "nodes": nodes}
    wanted = meaning(file)
    with started(tmp_path, [file]) as process:
        while len(list(tmp_path.glob("??/*"))) < 30 and process.poll() is None:
            sleep(0.005)
        process.kill()
    with Tiers(disk=1 << 30, every=1).store(tmp_path) as store:
        sound, damaged = store.restart().disk.verify()
        assert (sound > 0, damaged) == (True, 0)
        assert store.run(file).outputs == wanted.outputs
        assert ran.count("stir") < rounds
