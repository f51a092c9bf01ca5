"""Bodies: loops that resume where something changed, stop between two steps, and hold on to nothing."""

from __future__ import annotations

import gc
import threading
import tracemalloc
import weakref
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import pytest
import samples
import torch
from samples import TYPES, body, call, file, link, ran

from graphengine import events
from graphengine.authoring import Lazy, node
from graphengine.body import AHEAD
from graphengine.cache import Cache, DiskCache
from graphengine.check import check
from graphengine.codec import Codec
from graphengine.config import Settings
from graphengine.executor import Executor
from graphengine.planner import plan
from graphengine.registry import Manifest
from graphengine.session import Session
from graphengine.signature import read
from graphengine.types import WireType
from graphengine.workflow import Workflow
from graphengine_nodes import flow

T = TypeVar("T")


@WireType("State")
@dataclass(frozen=True, eq=False)
class State:
    """What a loop carries: known by identity in keys, as tensors are, and it can be stored."""

    tensor: torch.Tensor

    @property
    def number(self) -> int:
        return int(self.tensor)


born: list[weakref.ref[Any]] = []
"""Every State that `make` and `step` made."""
seen: list[int] = []
"""How many of them were alive each time that `look` ran."""


def made(number: int) -> State:
    state = State(torch.tensor(number))
    born.append(weakref.ref(state))
    return state


def alive() -> int:
    return sum(ref() is not None for ref in born)


class Two(NamedTuple):
    one: State
    other: State


@node
def make(number: int) -> State:
    """A state out of nothing."""
    ran.append(f"make {number}")
    return made(number)


@node
def step(state: State, item: int = 0) -> State:
    """The next state."""
    ran.append("step")
    return made((state.number * 31 + item) % 1_000_003)


@node
def slow_step(state: State, item: int = 0) -> State:
    """The next state, after a time that makes it worth keeping on disk."""
    ran.append("step")
    threading.Event().wait(0.002)
    return made((state.number * 31 + item) % 1_000_003)


@node
def fork(number: int) -> Two:
    """Two at once."""
    return Two(made(number), made(number + 1))


@node(cache="none")
def look(after: int = 0) -> int:
    """How many states are alive."""
    seen.append(alive())
    return seen[-1]


@node
def number_of(state: State) -> int:
    """What is in a state."""
    return state.number


@node
def numbers(states: list[State]) -> int:
    """What is in several."""
    return sum(s.number for s in states)


@node(device="io")
def number_io(state: State) -> int:
    """What is in a state, from a thread."""
    return state.number


@node
async def number_awaiting(state: State) -> int:
    """What is in a state, later."""
    return state.number


def numbers_of(state: list[State], base: int) -> list[int]:
    """What is in each."""
    return [s.number + base for s in state]


@node(batched=numbers_of, exact=True)
def number_batched(state: State, base: int = 0) -> int:
    """What is in one of several."""
    return state.number + base


@node
def grow(states: list[State]) -> list[State]:
    """Other states in a list; a list has no weak reference."""
    return [made(s.number + 1) for s in states]


@node
async def either(first: bool, a: Lazy[T], b: Lazy[T]) -> T:
    """Computes one branch only."""
    return await (a if first else b)


FUNCTIONS = (make, step, slow_step, fork, look, number_of, numbers, number_io, number_awaiting,
             number_batched, grow, either)  # fmt: skip
MINE = (
    TYPES
    | {t.id: t for t in (read(f, "t", f.__name__) for f in FUNCTIONS)}
    | {"t.resuming": read(flow.fold, "t", "fold"), "t.repeat": read(flow.repeat, "t", "repeat")}
)


@pytest.fixture(autouse=True)
def nothing_born() -> Iterator[None]:
    born.clear()
    seen.clear()
    yield
    born.clear()


def go(
    text: str, cache: Cache | None = None, told: list[Any] | None = None, every: int = 0
) -> dict[str, Any]:
    """Run a file; gives its outputs."""
    ran.clear()
    workflow = Workflow.parse(text)
    assert check(workflow, MINE) == []
    cache = Cache() if cache is None else cache
    executor = Executor(cache, every=every)
    return executor.run(plan(workflow, MINE, cache), [].append if told is None else told.append)


def loop(over: list[int], kind: str = "step", start: int = 1) -> str:
    """A fold over states; its number comes out."""
    inside = {"m": call(kind, state=link("x"), item=link("i"))}
    return file(
        {"n": "out.value"},
        s=call("make", number=start),
        f=call(
            "resuming", start=link("s.state"), over=over, body=body(["x", "i"], {"x": "m.state"}, **inside)
        ),
        out=call("number_of", state=link("f.result")),
    )


def calls(told: list[Any]) -> list[tuple[int, bool]]:
    """The calls of bodies that were told, and whether they were found."""
    return [(e.call, e.cached) for e in told if isinstance(e, events.BodyFinished)]


ROUNDS = list(range(30))
CHANGED = [*range(20), *(i + 100 for i in range(20, 30))]
"""Another value from step 20 on."""


# -- resuming ------------------------------------------------------------------------------------------------


def test_a_value_that_acts_from_step_20_on_runs_ten_steps_of_thirty() -> None:
    cache, told = Cache(), list[Any]()
    go(loop(ROUNDS), cache)
    assert ran.count("step") == 30
    resumed = go(loop(CHANGED), cache, told)
    assert ran.count("step") == 10
    assert calls(told) == [(20, True), *((k, False) for k in range(21, 31))]
    assert resumed == go(loop(CHANGED))
    assert ran.count("step") == 30


def test_a_longer_loop_goes_on_where_the_shorter_one_ended() -> None:
    cache = Cache()
    go(loop(ROUNDS[:20]), cache)
    assert go(loop(ROUNDS), cache) == go(loop(ROUNDS))
    go(loop(ROUNDS), cache)
    assert ran == []
    go(loop(ROUNDS[:20]), cache)
    go(loop(ROUNDS[:25]), cache)
    assert "step" not in ran


def test_another_start_runs_every_step() -> None:
    cache = Cache()
    go(loop(ROUNDS), cache)
    go(loop(ROUNDS, start=2), cache)
    assert ran.count("step") == 30


def disk(folder: Path) -> Cache:
    """A cache as a new process has it: nothing in memory."""
    return Cache(disk=DiskCache(folder, 1 << 30, Codec([__name__.partition(".")[0]])))


@pytest.mark.parametrize("every", [1, 5, 7])
def test_a_new_process_resumes_at_the_last_state_that_was_kept(tmp_path: Path, every: int) -> None:
    go(loop(ROUNDS, "slow_step"), disk(tmp_path), every=every)
    told: list[Any] = []
    resumed = go(loop(CHANGED, "slow_step"), disk(tmp_path), told, every)
    known = 20 - 20 % every
    assert ran.count("step") == 30 - known
    assert calls(told)[0] == (known, True)
    assert len(calls(told)) == 31 - known
    assert resumed == go(loop(CHANGED, "slow_step"), Cache(0))
    assert ran.count("step") == 30


def test_with_every_0_no_state_is_kept_on_disk(tmp_path: Path) -> None:
    cache = disk(tmp_path)
    go(loop(ROUNDS, "slow_step"), cache)
    assert cache.disk is not None
    without = len(cache.disk.entries())
    go(loop(CHANGED, "slow_step"), disk(tmp_path))
    assert ran.count("step") == 30
    more = disk(tmp_path / "other")
    go(loop(ROUNDS, "slow_step"), more, every=5)
    assert more.disk is not None
    assert len(more.disk.entries()) >= without + 5


def test_a_loop_that_was_cancelled_goes_on_where_it_was() -> None:
    cache = Cache()
    executor = Executor(cache)
    told: list[Any] = []

    def emit(event: Any) -> None:
        told.append(event)
        if isinstance(event, events.BodyFinished) and event.call == 12:
            executor.cancel()

    ran.clear()
    assert executor.run(plan(Workflow.parse(loop(ROUNDS)), MINE, cache), emit) == {}
    assert told[-1].state == "cancelled"
    assert ran.count("step") == 12
    assert go(loop(ROUNDS), cache) == go(loop(ROUNDS))
    go(loop(ROUNDS), cache)
    assert ran == []


def test_a_loop_in_a_loop_resumes_too() -> None:
    def nested(over: list[int]) -> str:
        inner = {"m": call("step", state=link("y"), item=link("j"))}
        outer = {
            "g": call(
                "resuming", start=link("x"), over=over, body=body(["y", "j"], {"y": "m.state"}, **inner)
            )
        }
        return file(
            {"n": "out.value"},
            s=call("make", number=1),
            f=call(
                "resuming",
                start=link("s.state"),
                over=[1, 2, 3],
                body=body(["x", "i"], {"x": "g.result"}, **outer),
            ),
            out=call("number_of", state=link("f.result")),
        )

    cache = Cache()
    go(nested([1, 2, 3, 4]), cache)
    assert ran.count("step") == 12
    assert go(nested([1, 2, 3, 5]), cache) == go(nested([1, 2, 3, 5]))
    go(nested([1, 2, 3, 6]), cache)
    assert ran.count("step") == 1 + 4 + 4


# -- effects -------------------------------------------------------------------------------------------------

saved: list[int] = []
trouble: set[int] = set()
"""What cannot be saved just now."""


@node
def save(state: State, number: int) -> None:
    """An effect that may fail."""
    if number in trouble:
        raise OSError("the disk is full")
    saved.append(number)


@node
def note(number: int) -> None:
    """An effect that depends on a number only."""
    saved.append(number)


@node(device="io")
def save_io(state: State, number: int) -> None:
    """The same in a thread."""
    save(state, number)


@node
async def save_awaiting(state: State, number: int) -> None:
    """The same, later."""
    save(state, number)


MINE |= {t.id: t for t in (read(f, "t", f.__name__) for f in (save, note, save_io, save_awaiting))}


def saving(kind: str, step: str, rounds: int = 4) -> str:
    """A loop that saves each of its states, and a node after it."""
    inside = {
        "m": call(step, state=link("x"), item=link("i")),
        "e": call(kind, state=link("m.state"), number=link("i")),
        "l": call("look", after=link("i")),
        "f": call("show", value=link("l.value")),
    }
    over = list(range(rounds))
    return file(
        {"n": "out.value"},
        s=call("make", number=1),
        f0=call(
            "resuming", start=link("s.state"), over=over, body=body(["x", "i"], {"x": "m.state"}, **inside)
        ),
        out=call("number_of", state=link("f0.result")),
    )


@pytest.fixture
def nothing_saved() -> None:
    saved.clear()
    trouble.clear()


@pytest.mark.usefixtures("nothing_saved")
@pytest.mark.parametrize("kind", ["save", "save_io", "save_awaiting"])
@pytest.mark.parametrize("step", ["step", "slow_step"])
def test_an_effect_that_failed_in_a_loop_is_made_up_for_by_the_next_run(kind: str, step: str) -> None:
    cache, told, text = Cache(), list[Any](), saving(kind, step)
    trouble.add(1)
    assert go(text, cache, told) == {}  # on the device or beside it: the loop fails with its effect
    assert told[-1].state == "failed"
    assert 1 not in saved
    trouble.clear()
    outputs = go(text, cache)
    assert set(saved) == {0, 1, 2, 3}
    assert saved.count(0) == saved.count(1) == 1
    before = len(saved)
    go(text, cache)
    assert len(saved) == before
    assert outputs == go(text)


@pytest.mark.usefixtures("nothing_saved")
@pytest.mark.parametrize("kind", ["save", "save_io", "save_awaiting"])
def test_an_effect_before_which_a_loop_was_cancelled_is_made_up_for_too(kind: str) -> None:
    cache, text = Cache(), saving(kind, "slow_step")
    executor, rounds = Executor(cache), list[str]()

    def emit(event: Any) -> None:
        if isinstance(event, events.NodeFinished) and event.node == "m":
            rounds.append(event.node)
            if len(rounds) == 3:
                executor.cancel()

    executor.run(plan(Workflow.parse(text), MINE, cache), emit)
    assert len(rounds) == 3
    assert 2 not in saved
    go(text, cache)
    assert set(saved) == {0, 1, 2, 3}
    assert "step" in ran
    assert ran.count("step") == 1  # what was computed is found


@pytest.mark.usefixtures("nothing_saved")
def test_a_loop_with_effects_resumes_in_a_new_process_and_does_not_repeat_them(tmp_path: Path) -> None:
    go(saving("save", "slow_step", 8), disk(tmp_path), every=2)
    saved.clear()
    assert go(saving("save", "slow_step", 9), disk(tmp_path), every=2) == go(saving("save", "slow_step", 9))
    assert saved[:-9] == [8]


def noting(number: Any, over: list[int], plain: bool) -> str:
    """A loop whose state stays what it is, or goes on, while its effect notes a number."""
    inside = {
        "m": call("add", a=link("x"), b=0) if plain else call("step", state=link("x")),
        "e": call("note", number=number),
    }
    given = {"x": "m.value" if plain else "m.state"}
    start = 5 if plain else link("s.state")
    return file(
        {"n": "f0.result"} if plain else {"n": "out.value"},
        s=call("make", number=1),
        f0=call("resuming", start=start, over=over, body=body(["x", "i"], given, **inside)),
        **({} if plain else {"out": call("number_of", state=link("f0.result"))}),
    )


@pytest.mark.usefixtures("nothing_saved")
@pytest.mark.parametrize("plain", [True, False])
def test_rounds_that_give_the_same_but_do_something_else_all_run(plain: bool) -> None:
    go(noting(link("i"), [0, 1, 2], plain), Cache())
    assert saved == [0, 1, 2]


@pytest.mark.usefixtures("nothing_saved")
@pytest.mark.parametrize("plain", [True, False])
def test_a_loop_whose_effect_has_changed_runs_it_and_finds_the_rest(plain: bool) -> None:
    cache = Cache()
    go(noting(7, [0], plain), cache)
    go(noting(8, [0], plain), cache)
    assert saved == [7, 8]
    assert "step" not in ran
    go(noting(8, [0], plain), cache)
    assert saved == [7, 8]


@pytest.mark.usefixtures("nothing_saved")
def test_two_loops_that_differ_in_their_effects_only_both_run() -> None:
    def loop(name: str, number: int) -> Any:
        inside = {f"m{name}": call("add", a=link(f"x{name}"), b=0), f"e{name}": call("note", number=number)}
        return call(
            "resuming",
            start=5,
            over=[0],
            body=body([f"x{name}", f"i{name}"], {"x": f"m{name}.value"}, **inside),
        )

    go(file({"a": "fa.result", "b": "fb.result"}, fa=loop("a", 7), fb=loop("b", 8)))
    assert sorted(saved) == [7, 8]


@pytest.mark.usefixtures("nothing_saved")
def test_a_long_loop_lets_go_of_what_its_effects_have_done_with() -> None:
    go(saving("save_io", "step", 150), Cache(0))
    assert len(saved) == 150
    assert max(seen) <= AHEAD + 5


# -- cancelling ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["step", "slow_step"])
def test_a_cancel_acts_before_the_next_step_of_a_body(kind: str) -> None:
    inside = {f"m{k}": call(kind, state=link(f"m{k - 1}.state" if k else "x"), item=k) for k in range(8)}
    text = file(
        {"r": "f.result"},
        s=call("make", number=1),
        f=call(
            "resuming",
            start=link("s.state"),
            over=[1, 2, 3],
            body=body(["x", "i"], {"x": "m7.state"}, **inside),
        ),
    )
    executor, told = Executor(Cache()), list[Any]()
    ran.clear()

    def emit(event: Any) -> None:
        told.append(event)
        if isinstance(event, events.NodeFinished) and event.node == "m2":
            executor.cancel()

    assert executor.run(plan(Workflow.parse(text), MINE, Cache()), emit) == {}
    assert told[-1].state == "cancelled"
    assert ran.count("step") == 3


def test_a_chain_stops_before_its_next_step() -> None:
    nodes = {"s": call("make", number=1)} | {
        f"m{k}": call("step", state=link(f"m{k - 1}.state" if k else "s.state")) for k in range(8)
    }
    cache = Cache()
    executor = Executor(cache)
    ran.clear()

    def emit(event: Any) -> None:
        if isinstance(event, events.NodeStarted) and event.node == "m3":
            executor.cancel()

    text = file({"v": "m7.state"}, **nodes)
    assert executor.run(plan(Workflow.parse(text), MINE, cache), emit) == {}
    assert ran.count("step") == 4
    assert plan(Workflow.parse(text), MINE, cache).cached == ("s", "m0", "m1", "m2", "m3")


# -- memory: what nothing needs any more goes ----------------------------------------------------------------


def test_in_a_chain_only_the_newest_value_is_there() -> None:
    nodes = {"s": call("make", number=1)}
    last = "s.state"
    for k in range(6):
        nodes[f"m{k}"] = call("step", state=link(last))
        nodes[f"n{k}"] = call("number_of", state=link(f"m{k}.state"))
        nodes[f"l{k}"] = call("look", after=link(f"n{k}.value"))
        last = f"m{k}.state"
    outputs = {f"l{k}": f"l{k}.value" for k in range(6)}
    assert go(file(outputs, **nodes), Cache(0)) == dict.fromkeys(outputs, 1) | {"l5": 0}


READERS = {
    "a node": {"r": call("number_of", state=link("s.state"))},
    "a list": {"r": call("numbers", states=[link("s.state"), link("s.state")])},
    "a thread": {"r": call("number_io", state=link("s.state"))},
    "one that awaits": {"r": call("number_awaiting", state=link("s.state"))},
    "a batch": {
        "p": call("number_batched", state=link("s.state"), base=1),
        "q": call("number_batched", state=link("s.state"), base=1),
        "p2": call("number_batched", state=link("s2.state"), base=1),
        "s2": call("make", number=2),
        "r": call("total", items=[link("p.value"), link("q.value"), link("p2.value")]),
    },
    "a loop": {
        "f": call("resuming", start=link("s.state"), over=[1, 2], body=body(
            ["x", "i"], {"x": "m.state"}, m=call("step", state=link("x"), item=link("i")))),
        "r": call("number_of", state=link("f.result")),
    },
    "a body": {
        "f": call("map", over=[1, 2], body=body(
            ["i"], {"x": "a.value"}, m=call("step", state=link("s.state"), item=link("i")),
            a=call("number_of", state=link("m.state")))),
        "r": call("total", items=link("f.result")),
    },
    "a twin": {
        "t": call("make", number=1),
        "n": call("number_of", state=link("s.state")),
        "m": call("number_of", state=link("t.state")),
        "r": call("add", a=link("n.value"), b=link("m.value")),
    },
    "a failure": {
        "b": call("broken", a=1),
        "bad": call("step", state=link("s.state"), item=link("b.value")),
        "seen": call("add", a=1, b=1),
        "r": call("add", a=link("seen.value"), b=1),
    },
}  # fmt: skip


@pytest.mark.parametrize("reader", READERS)
def test_the_last_reader_lets_a_value_go(reader: str) -> None:
    nodes = {"s": call("make", number=1), **READERS[reader], "l": call("look", after=link("r.value"))}
    outputs = {"alive": "l.value"} | ({"bad": "bad.state"} if reader == "a failure" else {})
    assert go(file(outputs, **nodes), Cache(0))["alive"] == 0


def test_an_output_that_nobody_reads_goes_at_once() -> None:
    text = file(
        {"alive": "l.value"},
        s=call("fork", number=1),
        n=call("number_of", state=link("s.one")),
        l=call("look", after=link("n.value")),
    )
    assert go(text, Cache(0)) == {"alive": 0}


def test_a_long_loop_holds_no_more_than_the_states_it_works_on() -> None:
    inside = {"m": call("step", state=link("x"), item=link("i")), "l": call("look", after=link("i"))}
    inside["y"] = call("either", first=True, a=link("m.state"), b=link("x"))
    inside["z"] = call("number_of", state=link("y.result"))
    whole = body(["x", "i"], {"x": "m.state"}, **inside, e=call("show", value=link("l.value")))
    text = file(
        {"n": "out.value"},
        s=call("make", number=1),
        f=call("resuming", start=link("s.state"), over=list(range(50)), body=whole),
        out=call("number_of", state=link("f.result")),
    )
    go(text, Cache(0))
    assert len(seen) == 50
    assert max(seen) <= 3


def test_a_long_loop_holds_on_to_no_lists_either() -> None:
    inside = {"m": call("grow", states=link("x")), "l": call("look", after=link("i"))}
    whole = body(["x", "i"], {"x": "m.state"}, **inside, e=call("show", value=link("l.value")))
    text = file(
        {"n": "out.value"},
        s=call("make", number=1),
        f=call("resuming", start=[link("s.state")], over=list(range(50)), body=whole),
        out=call("numbers", states=link("f.result")),
    )
    go(text, Cache(0))
    assert len(seen) == 50
    assert max(seen) <= 12


# -- memory: what something may still need stays -------------------------------------------------------------


FAR = {"far": call("number_of", state=link("s.state"))}


def branch(other: str) -> dict[str, Any]:
    """Asks for `far` in a Lazy."""
    return FAR | {"y": call("either", first=True, a=link("far.value"), b=link(other))}


STAYING = {
    "an output": ({"kept": "s.state"}, {}),
    "a later node": (
        {"v": "z.value"},
        {
            "y": call("step", state=link("s.state"), item=link("l.value")),
            "z": call("number_of", state=link("y.state")),
        },
    ),
    "a branch": (
        {"v": "z.result"},
        {"z": call("either", first=True, a=link("far.value"), b=0), **FAR},
    ),
    "a branch in a body": (
        {"v": "z.result"},
        {"z": call("map", over=[1, 2], body=body(["i"], {"x": "y.result"}, **branch("i")))},
    ),
    "a branch in a body in a body": (
        {"v": "z.result"},
        {
            "z": call("map", over=[1, 2], body=body(
                ["i"], {"x": "g.result"},
                g=call("map", over=[3], body=body(["j"], {"y": "y.result"}, **branch("j"))))),
        },
    ),
    "what a body computes once": (
        {"v": "z.result"},
        {
            "z": call("map", over=[1, 2], body=body(
                ["i"], {"x": "y.value"}, **FAR, y=call("add", a=link("far.value"), b=link("i")))),
        },
    ),
}  # fmt: skip


@pytest.mark.parametrize("reader", STAYING)
def test_a_value_stays_for_what_may_still_ask_for_it(reader: str) -> None:
    """It is made once, though nothing is cached and another node has read it long before."""
    outputs, nodes = STAYING[reader]
    first = {"s": call("make", number=1), "r": call("number_of", state=link("s.state"))}
    first["l"] = call("look", after=link("r.value"))
    text = file(outputs | {"alive": "l.value"}, **first, **nodes)
    found = go(text, Cache(0))
    assert found.keys() == {*outputs, "alive"}
    assert found["alive"] == 1
    assert ran.count("make 1") == 1


# -- memory: a long life -------------------------------------------------------------------------------------


def test_two_thousand_runs_grow_by_less_than_a_kilobyte_each(tmp_path: Path) -> None:
    session = Session(Settings(cache=tmp_path, outputs=tmp_path, models=(), device="cpu", disk_cache=0))
    session.manifest = Manifest(MINE, tuple(samples.REGISTRY.packs))
    session.bound = {**MINE}
    session.cache = Cache(50_000)  # full soon, so that what is kept does not count
    inside = {"y": call("add", a=link("x"), b=link("i"))}
    nodes = {
        "a": call("seeded", seed=None),
        "f": call(
            "fold", start=link("a.value"), over=[1, 2], body=body(["x", "i"], {"x": "y.value"}, **inside)
        ),
        "s": call("make", number=link("f.result")),
        "n": call("number_of", state=link("s.state")),
        "bad": call("broken", a=link("n.value")),
    }
    workflow = Workflow.parse(file({"n": "n.value", "bad": "bad.value"}, **nodes))

    def some(count: int) -> None:
        for _ in range(count):
            outcome = session.run(workflow)
            assert outcome.outputs.keys() == {"n"}
        ran.clear()
        born.clear()
        gc.collect()

    some(200)
    tracemalloc.start()
    before, _ = tracemalloc.get_traced_memory()
    some(2000)
    after, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert (after - before) / 2000 < 1000
