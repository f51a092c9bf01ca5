"""A node that is too slow ends, as a failure of its own, and nothing else is hurt."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from samples import TYPES, body, call, file, link

from graphengine import events
from graphengine.authoring import NO_CONTEXT, Context, node
from graphengine.cache import Cache
from graphengine.errors import Cancelled, NodeTooSlow
from graphengine.executor import Executor
from graphengine.limit import TimeLimit
from graphengine.planner import plan
from graphengine.signature import read
from graphengine.workflow import Workflow

ENDS = 20.0
"""Seconds after which a loop without an end gives up, so that a test can fail."""


def busy(seconds: float) -> float:
    """Compute for so long."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        pass
    return seconds


def stubborn(seconds: float) -> float:
    """Compute for so long, whatever goes wrong."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        try:
            busy(0.01)
        except Exception:
            pass
    return seconds


def deaf(seconds: float) -> float:
    """Compute until something comes, and hide it."""
    try:
        return busy(seconds)
    except BaseException:
        return seconds


@node
def slow(seconds: float, n: int = 0) -> int:
    """Computes for so long."""
    busy(seconds)
    return n


@node
def slow_and_stubborn(seconds: float, n: int = 0) -> int:
    """Computes for so long, whatever goes wrong."""
    stubborn(seconds)
    return n


@node(device="io")
def slow_io(seconds: float, n: int = 0) -> int:
    """Computes for so long, in a thread."""
    busy(seconds)
    return n


@node
async def slow_awaiting(seconds: float, n: int = 0) -> int:
    """Waits for so long."""
    await asyncio.sleep(seconds)
    return n


@node
async def slow_between(seconds: float, n: int = 0) -> int:
    """Computes for so long where it should await."""
    await asyncio.sleep(0)
    busy(seconds)
    return n


@node
async def impatient(n: int) -> int:
    """Has a time limit of its own."""
    async with asyncio.timeout(0.001):
        await asyncio.sleep(ENDS)
    return n


@node
def stopped(n: int, ctx: Context = NO_CONTEXT) -> int:
    """Computes until it is cancelled."""
    for i in range(10**9):
        ctx.progress(i)
    return n


def slow_many(seconds: float, n: list[int]) -> list[int]:
    """All at once."""
    busy(seconds)
    return n


@node(batched=slow_many)
def slow_batched(seconds: float, n: int) -> int:
    """Several may be one call."""
    busy(seconds)
    return n


FUNCTIONS = (slow, slow_and_stubborn, slow_io, slow_awaiting, slow_between, impatient, stopped, slow_batched)
MINE = TYPES | {t.id: t for t in (read(f, "t", f.__name__) for f in FUNCTIONS)}


def go(text: str, limit: float) -> tuple[dict[str, Any], Executor, list[Any]]:
    """Run a file with a limit; gives the outputs, the executor, and what was told."""
    executor, told, cache = Executor(Cache(), limit=limit), list[Any](), Cache()
    others = {*threading.enumerate()}
    outputs = executor.run(plan(Workflow.parse(text), MINE, cache), told.append)
    assert {t.name for t in threading.enumerate() if t not in others} == set()
    return outputs, executor, told


# -- the limit itself ----------------------------------------------------------------------------------------


@pytest.fixture
def limit() -> Any:
    limit = TimeLimit(0.05)
    yield limit
    limit.close()


def test_what_is_quick_enough_gives_its_value_or_its_own_error(limit: TimeLimit) -> None:
    assert limit.call(max, (3, 4)) == 4
    with pytest.raises(ZeroDivisionError):
        limit.call(divmod, (1, 0))


@pytest.mark.parametrize("function", [busy, stubborn])
def test_a_loop_without_an_end_is_ended(limit: TimeLimit, function: Callable[[float], float]) -> None:
    began = time.monotonic()
    with pytest.raises(
        NodeTooSlow, match=r"ran longer than the 0\.05 s that each node may take; make it smaller"
    ):
        limit.call(function, (ENDS,))
    assert time.monotonic() - began < ENDS / 2
    assert limit.call(busy, (0.0,)) == 0.0


def test_one_that_hides_its_end_is_too_slow_all_the_same(limit: TimeLimit) -> None:
    with pytest.raises(NodeTooSlow):
        limit.call(deaf, (ENDS,))
    busy(0.1)  # nothing comes late


def test_a_call_into_c_ends_when_it_comes_back(limit: TimeLimit) -> None:
    with pytest.raises(NodeTooSlow):
        limit.call(time.sleep, (0.3,))
    busy(0.1)


def test_what_is_left_through_another_way_out_gets_nothing_later(limit: TimeLimit) -> None:
    """A BaseException, such as that of a cancelled run, ends a call too."""

    def leave() -> None:
        raise Cancelled

    with pytest.raises(Cancelled):
        limit.call(leave, ())
    busy(0.2)


def test_the_end_never_hits_what_comes_after_a_call() -> None:
    """Calls that take about the limit: each gives its value or is too slow, and then it is over."""
    limit = TimeLimit(0.004)
    counts = {"in time": 0, "too slow": 0}
    stray: list[BaseException] = []

    def hammer(number: int) -> None:
        try:
            for i in range(60):
                # What the watching thread adds to the limit is part of "about".
                seconds = 0.004 + (i * 7 + number) % 40 * 0.0001
                try:
                    assert limit.call(busy, (seconds,)) == seconds
                    counts["in time"] += 1
                except NodeTooSlow:
                    counts["too slow"] += 1
                sum(range(2000))
        except BaseException as error:
            stray.append(error)

    threads = [threading.Thread(target=hammer, args=(n,)) for n in range(3)]
    for thread in threads:
        thread.start()
    hammer(3)
    for thread in threads:
        thread.join()
    limit.close()
    assert stray == []
    assert sum(counts.values()) == 240
    assert limit.running == {}
    assert limit.sent == set()


def test_many_threads_that_begin_at_once_share_one_watch() -> None:
    for _ in range(20):
        limit, wrong = TimeLimit(5), list[BaseException]()
        gate = threading.Barrier(4)

        def begin(
            limit: TimeLimit = limit, gate: threading.Barrier = gate, wrong: list[BaseException] = wrong
        ) -> None:
            gate.wait()
            try:
                limit.call(busy, (0.0,))
            except BaseException as error:
                wrong.append(error)

        threads = [threading.Thread(target=begin) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        limit.close()
        assert wrong == []
    assert not [t for t in threading.enumerate() if t.name == "graphengine-limit"]


# -- in a run ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["slow", "slow_and_stubborn", "slow_io", "slow_awaiting", "slow_between"])
def test_a_slow_node_fails_and_the_rest_of_the_graph_finishes(kind: str) -> None:
    text = file(
        {"bad": "b.value", "good": "c.value", "quick": "q.value"},
        a=call(kind, seconds=ENDS, n=1),
        b=call("add", a=link("a.value"), b=1),
        c=call("add", a=2, b=3),
        q=call(kind, seconds=0, n=7),
    )
    outputs, executor, told = go(text, 0.5)
    assert outputs == {"good": 5, "quick": 7}
    assert {n: type(e) for n, e in executor.failures.items()} == {"a": NodeTooSlow}
    assert {(e.node, e.because) for e in told if isinstance(e, events.NodeFailed)} == {("a", "a"), ("b", "a")}
    assert told[-1].state == "failed"


def test_a_time_limit_of_a_node_itself_is_told_as_such() -> None:
    _, executor, _ = go(file({"v": "a.value"}, a=call("impatient", n=1)), 5)
    assert type(executor.failures["a"]) is TimeoutError


def test_a_loop_may_take_longer_than_its_steps() -> None:
    inside = {"s": call("slow", seconds=0.25, n=link("i"))}
    text = file(
        {"v": "m.result"}, m=call("map", over=[1, 2, 3, 4, 5], body=body(["i"], {"x": "s.value"}, **inside))
    )
    assert go(text, 1.0)[0] == {"v": [1, 2, 3, 4, 5]}


def test_a_slow_step_of_a_loop_fails_the_loop() -> None:
    inside = {"s": call("slow", seconds=link("i"), n=1)}
    text = file(
        {"v": "m.result", "good": "g.value"},
        m=call("map", over=[0.0, ENDS, 0.0], body=body(["i"], {"x": "s.value"}, **inside)),
        g=call("add", a=1, b=1),
    )
    outputs, executor, _ = go(text, 0.2)
    assert outputs == {"good": 2}
    assert [*executor.failures] == ["s"]
    assert type(executor.failures["s"]) is NodeTooSlow


def test_a_fused_call_has_the_limit_of_one_node_and_fails_as_one() -> None:
    inside = {f"s{k}": call("slow_batched", seconds=link("i"), n=k) for k in range(3)}
    inside["t"] = call("total", items=[link(f"s{k}.value") for k in range(3)])
    text = file(
        {"v": "m.result"}, m=call("map", over=[0.0, ENDS], body=body(["i"], {"x": "t.value"}, **inside))
    )
    outputs, executor, told = go(text, 0.2)
    assert outputs == {}
    assert {type(e) for e in executor.failures.values()} == {NodeTooSlow}
    assert {"s0", "s1", "s2"} <= {e.node for e in told if isinstance(e, events.NodeFailed)}


def test_nodes_that_take_about_the_limit_hurt_no_other_node() -> None:
    """Many nodes at the edge, on the device and beside it: each ends one way or the other, the run always."""
    nodes: dict[str, Any] = {}
    for i in range(60):
        kind = ("slow", "slow_io", "slow_between", "slow_awaiting")[i % 4]
        nodes[f"s{i}"] = call(kind, seconds=0.01 + i % 20 * 0.0002, n=i)
        nodes[f"a{i}"] = call("add", a=i, b=1)
    outputs, executor, told = go(file({name: f"{name}.value" for name in nodes}, **nodes), 0.01)
    assert {type(e) for e in executor.failures.values()} <= {NodeTooSlow}
    assert all(name.startswith("s") for name in executor.failures)
    assert {**dict.fromkeys(executor.failures), **outputs}.keys() == nodes.keys()
    assert all(outputs[f"a{i}"] == i + 1 for i in range(60))
    assert type(told[-1]) is events.RunEnded


def test_a_run_with_a_limit_can_be_cancelled() -> None:
    executor = Executor(Cache(), limit=0.5)
    threading.Timer(0.05, executor.cancel).start()
    nodes = {"a": call("stopped", n=1), "w": call("slow_io", seconds=0.3)}
    told: list[Any] = []
    text = file({"v": "a.value", "w": "w.value"}, **dict(reversed(nodes.items())))
    assert executor.run(plan(Workflow.parse(text), MINE, Cache()), told.append) == {}
    assert told[-1].state == "cancelled"
    busy(0.6)  # nothing comes late


def test_a_result_that_came_in_time_is_cached_and_one_that_did_not_is_not(tmp_path: Path) -> None:
    cache = Cache()
    text = file(
        {"v": "a.value", "w": "b.value"}, a=call("slow", seconds=ENDS), b=call("slow", seconds=0, n=2)
    )
    Executor(cache, limit=0.1).run(plan(Workflow.parse(text), MINE, cache))
    assert plan(Workflow.parse(text), MINE, cache).cached == ("b",)
