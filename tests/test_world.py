"""Nodes that wait for the world run beside the device, and lose nothing when they fail or are stopped."""

from __future__ import annotations

import asyncio
import threading
import time
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from samples import TYPES, body, call, file, link, ran

from graphengine import events
from graphengine.authoring import NO_CONTEXT, Context, node
from graphengine.body import AHEAD
from graphengine.cache import Cache
from graphengine.check import check
from graphengine.executor import Executor
from graphengine.nodetype import NodeType
from graphengine.planner import plan
from graphengine.signature import read
from graphengine.workflow import Workflow
from graphengine.world import THREADS, World

LONG = 5.0
"""Seconds after which something that should have come has not."""

said: set[str] = set()
"""What was said so far; nodes wait for it."""


def heard(word: str) -> bool:
    """Wait in a thread until a word is said."""
    until = time.monotonic() + LONG
    while word not in said and time.monotonic() < until:
        time.sleep(0.001)
    return word in said


class Halves(NamedTuple):
    low: int
    high: int


@node
def say(word: str, n: int = 0) -> int:
    """Says a word, on the device thread."""
    ran.append(f"say {word}")
    said.add(word)
    return n


@node
def shout(word: str) -> None:
    """Says a word, for nobody in the graph."""
    said.add(word)


@node
def say_last(n: int, last: int) -> int:
    """Says "last" when its number is the last."""
    if n == last:
        said.add("last")
    return n


@node
async def listen(word: str, n: int = 0) -> int:
    """Awaits a word."""
    ran.append(f"listen {word}")
    async with asyncio.timeout(LONG):
        while word not in said:  # noqa: ASYNC110 - said by another thread
            await asyncio.sleep(0.001)
    return n


@node(device="io")
def block(word: str, n: int = 0) -> int:
    """Blocks until a word is said."""
    ran.append(f"block {word}")
    if not heard(word):
        raise TimeoutError(word)
    return n


@node(device="io")
def answer(hear: str, word: str) -> int:
    """Says a word as soon as another is said."""
    block(hear)
    said.add(word)
    return 1


@node(device="io")
def deliver(word: str, n: int) -> None:
    """An effect that blocks until a word is said."""
    block(word)
    said.add(f"delivered {n}")


lingering: set[int] = set()
most: list[int] = []
"""How many lingered, each time that one began."""


@node
async def linger(n: int) -> None:
    """An effect that takes a while."""
    lingering.add(n)
    most.append(len(lingering))
    await asyncio.sleep(0.01)
    lingering.discard(n)


@node
async def fail_awaiting(n: int) -> int:
    """Fails after a while."""
    await asyncio.sleep(0.001)
    raise ValueError(f"no {n}")


@node(device="io")
def fail_blocking(n: int) -> int:
    """Fails in a thread."""
    raise ValueError(f"no {n}")


@node(device="io")
def spill(n: int) -> None:
    """An effect that fails for 1."""
    if n == 1:
        raise ValueError("spilt")
    said.add(f"poured {n}")


@node
def spill_here(n: int) -> None:
    """The same on the device thread."""
    spill(n)


@node
async def halve_awaiting(n: int) -> Halves:
    """Two outputs, later."""
    await asyncio.sleep(0.001)
    return Halves(n // 2, n - n // 2)


@node(device="io")
def halve_blocking(n: int) -> Halves:
    """Two outputs, from a thread."""
    return Halves(n // 2, n - n // 2)


@node(device="io")
def three_halves(n: int) -> Halves:
    """One output too many."""
    return (n, n, n)  # type: ignore[return-value]


@node(device="io", cache="none")
def chatter(n: int, ctx: Context = NO_CONTEXT) -> int:
    """Reports all the time, from a thread."""
    for i in range(200):
        ctx.progress(i, 200)
    return n


@node(cache="none")
async def chatter_awaiting(n: int, ctx: Context = NO_CONTEXT) -> int:
    """Reports all the time, from the thread of what awaits."""
    for i in range(200):
        ctx.progress(i, 200)
        await asyncio.sleep(0)
    return n


@node(device="io")
def write(path: str, text: str) -> str:
    """Writes a file in two parts."""
    with Path(path).open("w") as stream:
        stream.write(text)
        stream.flush()
        said.add("half")
        heard("go on")
        stream.write(text)
    return path


@node
async def forever() -> int:
    """Awaits what never comes."""
    said.add("waiting")
    try:
        await asyncio.sleep(LONG)
    finally:
        said.add("let go")
    raise TimeoutError("nobody has stopped it")


@node
async def leave(n: int) -> int:
    """Wants to end the process."""
    await asyncio.sleep(0)
    raise SystemExit(n)


@node
async def give_up(n: int) -> int:
    """Awaits something of its own that is cancelled."""
    inner = asyncio.ensure_future(asyncio.sleep(LONG))
    inner.cancel()
    await inner
    return n


@node
async def nap() -> int:
    """Awaits a moment."""
    await asyncio.sleep(0.001)
    return 1


@node
def work(seconds: float) -> int:
    """Keeps the device busy."""
    time.sleep(seconds)
    return 1


FUNCTIONS = (say, shout, say_last, listen, block, answer, deliver, linger, fail_awaiting, fail_blocking,
             spill, spill_here, halve_awaiting, halve_blocking, three_halves, chatter, chatter_awaiting,
             write, forever, leave, give_up, nap, work)  # fmt: skip
MINE: dict[str, NodeType] = TYPES | {t.id: t for t in (read(f, "t", f.__name__) for f in FUNCTIONS)}


class Run:
    """A run of a file: to be stopped from elsewhere, and with what it told."""

    def __init__(self, text: str, cache: Cache | None = None) -> None:
        said.clear()
        ran.clear()
        workflow = Workflow.parse(text)
        assert check(workflow, MINE) == []
        self.cache = Cache() if cache is None else cache
        self.plan = plan(workflow, MINE, self.cache)
        self.executor = Executor(self.cache)
        self.told: list[Any] = []

    def go(self, emit: Any = None) -> dict[str, Any]:
        """To its end."""

        def hear(event: Any) -> None:
            self.told.append(event)
            if emit:
                emit(event)

        return self.executor.run(self.plan, hear)

    def named(self, kind: type) -> list[str]:
        """The nodes of all events of a kind, in order."""
        return [event.node for event in self.told if isinstance(event, kind)]

    @property
    def state(self) -> str:
        return str(self.told[-1].state)


def go(text: str, cache: Cache | None = None) -> tuple[dict[str, Any], Run]:
    """Run a file."""
    run = Run(text, cache)
    return run.go(), run


def io_threads() -> list[str]:
    return [t.name for t in threading.enumerate() if t.name.startswith("graphengine-io")]


# -- beside the device thread --------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["listen", "block"])
def test_the_device_goes_on_while_a_node_waits(kind: str) -> None:
    """In the order of the file the waiting node comes first: it ends only if the other one runs meanwhile."""
    text = file(
        {"v": "c.value"},
        a=call(kind, word="now", n=1),
        b=call("say", word="now", n=2),
        c=call("add", a=link("a.value"), b=link("b.value")),
    )
    assert go(text)[0] == {"v": 3}


def test_nodes_that_block_wait_at_the_same_time_and_for_those_that_await() -> None:
    text = file(
        {"v": "d.value"},
        a=call("answer", hear="two", word="three"),
        b=call("answer", hear="one", word="two"),
        c=call("listen", word="three", n=1),
        s=call("shout", word="one"),
        d=call("total", items=[link("a.value"), link("b.value"), link("c.value")]),
    )
    assert go(text)[0] == {"v": 3}


def test_what_needs_a_value_waits_for_it_and_everything_before_it_does_not() -> None:
    text = file(
        {"v": "d.value", "c": "c.value"},
        a=call("block", word="c", n=1),
        b=call("say", word="b", n=2),
        c=call("say", word="c", n=3),
        d=call("add", a=link("a.value"), b=link("b.value")),
    )
    outputs, run = go(text)
    assert outputs == {"v": 3, "c": 3}
    assert ran == ["block c", "say b", "say c", "add"]
    assert [node for node in run.named(events.NodeStarted) if node != "a"] == ["b", "c", "d"]
    assert run.named(events.NodeFinished) == ["b", "c", "a", "d"]


@pytest.mark.parametrize("kind", ["listen", "block"])
def test_the_same_holds_in_a_body(kind: str) -> None:
    inside = {
        "w": call(kind, word="now", n=link("i")),
        "s": call("say", word="now", n=link("x")),
        "y": call("add", a=link("w.value"), b=link("s.value")),
    }
    text = file(
        {"v": "f.result"},
        f=call("fold", start=0, over=[1, 2], body=body(["x", "i"], {"x": "y.value"}, **inside)),
    )
    assert go(text)[0] == {"v": 3}


def test_what_a_body_gives_may_come_from_a_thread() -> None:
    inside = {"w": call("block", word="now", n=link("i"))}
    text = file(
        {"v": "m.result"}, s=call("shout", word="now"),
        m=call("map", over=[1, 2, 3], body=body(["i"], {"x": "w.value"}, **inside)),
    )  # fmt: skip
    cache = Cache()
    assert go(text, cache)[0] == {"v": [1, 2, 3]}
    assert go(text, cache)[0] == {"v": [1, 2, 3]}
    assert ran == []


def test_an_effect_in_a_loop_does_not_hold_up_the_next_round_but_the_end_of_the_run() -> None:
    rounds = 5
    inside = {
        "s": call("say_last", n=link("i"), last=rounds - 1),
        "e": call("deliver", word="last", n=link("i")),
        "y": call("add", a=link("x"), b=link("s.value")),
    }
    over = list(range(rounds))
    text = file(
        {"v": "f.result"},
        f=call("fold", start=0, over=over, body=body(["x", "i"], {"x": "y.value"}, **inside)),
    )
    outputs, run = go(text)
    assert (outputs, run.state) == ({"v": sum(over)}, "done")
    assert {f"delivered {n}" for n in over} <= said
    assert run.named(events.NodeFinished).count("e") == rounds
    assert type(run.told[-1]) is events.RunEnded


def test_no_more_effects_are_under_way_than_a_few_rounds_make() -> None:
    inside = {"e": call("linger", n=link("i")), "y": call("add", a=link("x"), b=link("i"))}
    whole = body(["x", "i"], {"x": "y.value"}, **inside)
    lingering.clear()
    most.clear()
    outputs, run = go(file({"v": "f.result"}, f=call("fold", start=0, over=list(range(100)), body=whole)))
    assert (outputs, run.state) == ({"v": 4950}, "done")
    assert len(most) == 100
    assert 2 < max(most) <= AHEAD + 1


def test_the_end_of_a_loop_waits_for_its_effects() -> None:
    """What follows is cached, and would be found without them."""
    inside = {"e": call("deliver", word="go on", n=link("i")), "y": call("add", a=link("x"), b=link("i"))}
    whole = body(["x", "i"], {"x": "y.value"}, **inside)
    text = file(
        {"v": "n.value"},
        f=call("fold", start=0, over=[0, 1, 2], body=whole),
        n=call("add", a=link("f.result"), b=1),
    )
    run = Run(text)
    seen = list[set[str]]()

    def emit(event: Any) -> None:
        if isinstance(event, events.BodyFinished) and event.call == 3:
            said.add("go on")
        if event == events.NodeStarted("n"):
            seen.append({word for word in said if word.startswith("delivered")})

    assert run.go(emit) == {"v": 4}
    assert seen == [{"delivered 0", "delivered 1", "delivered 2"}]


def test_a_value_under_way_reaches_a_branch_in_a_body_that_asks_for_it() -> None:
    """The body takes along what is outside before it has come, for a Lazy that may never ask for it."""
    for wanted in ("w.value", "far.value"):
        inside = {
            "far": call("add", a=link("w.value"), b=10),
            "y": call("switch", first=True, a=link(wanted), b=link("x")),
        }
        text = file(
            {"v": "f.result", "w": "w.value"},
            w=call("block", word="now", n=4),
            s=call("shout", word="now"),
            f=call("fold", start=0, over=[1, 2], body=body(["x", "i"], {"x": "y.result"}, **inside)),
        )
        outputs, run = go(text)
        assert outputs == {"v": 4 if wanted == "w.value" else 14, "w": 4}
        assert run.named(events.NodeFinished).count("w") == 1


def test_a_lazy_waits_for_what_it_asks_for() -> None:
    text = file(
        {"v": "y.result"},
        s=call("shout", word="now"),
        y=call("switch", first=True, a=link("w.value"), b=link("never.value")),
        w=call("block", word="now", n=4),
        never=call("fail_blocking", n=1),
    )
    outputs, run = go(text)
    assert (outputs, run.state) == ({"v": 4}, "done")


@pytest.mark.parametrize("kind", ["halve_awaiting", "halve_blocking"])
def test_several_outputs_come_at_once_and_are_found_again(kind: str) -> None:
    text = file(
        {"low": "h.low", "high": "h.high", "sum": "s.value"},
        h=call(kind, n=7),
        s=call("add", a=link("h.high"), b=link("h.low")),
    )
    cache = Cache()
    assert go(text, cache)[0] == {"low": 3, "high": 4, "sum": 7}
    outputs, run = go(text, cache)
    assert outputs == {"low": 3, "high": 4, "sum": 7}
    assert run.named(events.NodeStarted) == []


def test_too_many_outputs_are_told() -> None:
    text = file({"low": "h.low"}, h=call("three_halves", n=7))
    outputs, run = go(text)
    assert outputs == {}
    assert "must return 2 values, low, high" in str(run.executor.failures["h"])


def test_two_nodes_with_one_key_wait_for_one_run() -> None:
    text = file(
        {"v": "c.value"},
        a=call("block", word="now", n=1),
        s=call("shout", word="now"),
        b=call("block", word="now", n=1),
        c=call("add", a=link("a.value"), b=link("b.value")),
    )
    outputs, run = go(text)
    assert outputs == {"v": 2}
    assert ran.count("block now") == 1
    assert run.named(events.NodeCached) == ["b"]


def test_events_are_given_by_one_thread_at_a_time() -> None:
    nodes = {f"c{i}": call("chatter", n=i) for i in range(4)}
    nodes |= {f"a{i}": call("chatter_awaiting", n=i) for i in range(2)}
    nodes |= {f"d{i}": call("add", a=i, b=i) for i in range(50)}
    inside, clashes, threads = threading.Lock(), [], set()

    def emit(event: Any) -> None:
        if inside.acquire(blocking=False):
            threads.add(threading.get_ident())
            time.sleep(0)  # let another thread try
            inside.release()
        else:
            clashes.append(event)

    run = Run(file({f"o_{name}": f"{name}.value" for name in nodes}, **nodes))
    run.go(emit)
    assert run.named(events.NodeProgress).count("c0") == 200
    assert len(threads) > 2
    assert clashes == []


def test_the_seconds_of_a_node_are_its_own_though_the_device_is_busy_when_it_ends() -> None:
    text = file(
        {"v": "c.value"}, a=call("nap"), b=call("work", seconds=0.5),
        c=call("add", a=link("a.value"), b=link("b.value")),
    )  # fmt: skip
    seconds = {e.node: e.seconds for e in go(text)[1].told if isinstance(e, events.NodeFinished)}
    assert seconds["b"] >= 0.5
    assert 0 < seconds["a"] < 0.4


# -- failing -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["fail_awaiting", "fail_blocking"])
def test_a_failure_fails_only_what_depends_on_it(kind: str) -> None:
    text = file(
        {"good": "g.value", "bad": "b.value", "alone": "f.value"},
        f=call(kind, n=1),
        w=call("block", word="now", n=5),
        b=call("add", a=link("f.value"), b=1),
        s=call("shout", word="now"),
        g=call("add", a=link("w.value"), b=1),
    )
    outputs, run = go(text)
    assert (outputs, run.state) == ({"good": 6}, "failed")
    assert [(e.node, e.because) for e in run.told if isinstance(e, events.NodeFailed)] == [
        ("f", "f"),
        ("b", "f"),
    ]
    assert str(run.executor.failures["f"]) == "no 1"


def test_a_failing_effect_of_a_loop_fails_the_loop_as_it_would_on_the_device_and_nothing_else() -> None:
    inside = {"e": call("spill", n=link("i")), "y": call("add", a=link("x"), b=link("i"))}
    text = file(
        {"v": "f.result", "good": "g.value"},
        f=call("fold", start=0, over=[0, 1, 2], body=body(["x", "i"], {"x": "y.value"}, **inside)),
        g=call("add", a=1, b=1),
    )
    for kind in ("spill", "spill_here"):
        outputs, run = go(text.replace('"t.spill"', f'"t.{kind}"'))
        assert (outputs, run.state) == ({"good": 2}, "failed")
        assert [*run.executor.failures] == ["e"]
        assert [(e.node, e.because) for e in run.told if isinstance(e, events.NodeFailed)] == [
            ("e", "e"),
            ("f", "e"),
        ]
        assert "poured 0" in said


def test_a_failure_in_a_body_fails_the_loop_around_it() -> None:
    inside = {"y": call("fail_blocking", n=link("i"))}
    text = file(
        {"v": "m.result", "good": "g.value"},
        m=call("map", over=[1, 2], body=body(["i"], {"x": "y.value"}, **inside)),
        g=call("add", a=1, b=1),
    )
    outputs, run = go(text)
    assert outputs == {"good": 2}
    assert [*run.executor.failures] == ["y"]
    assert set(run.named(events.NodeFailed)) == {"y", "m"}


def test_a_node_that_wants_to_end_the_process_only_fails() -> None:
    text = file({"v": "l.value", "g": "n.value"}, l=call("leave", n=3), n=call("nap"))
    outputs, run = go(text)
    assert (outputs, run.state) == ({"g": 1}, "failed")
    assert [*run.executor.failures] == ["l"]


def test_a_node_that_gives_up_by_itself_fails_and_does_not_cancel_the_run() -> None:
    text = file({"v": "l.value", "g": "n.value"}, l=call("give_up", n=3), n=call("nap"))
    outputs, run = go(text)
    assert (outputs, run.state) == ({"g": 1}, "failed")
    assert [*run.executor.failures] == ["l"]


# -- cancelling ----------------------------------------------------------------------------------------------


def stop_when(run: Run, word: str) -> threading.Thread:
    """Cancel a run, from another thread, once a word is said."""

    def stop() -> None:
        heard(word)
        run.executor.cancel()

    thread = threading.Thread(target=stop)
    thread.start()
    return thread


def test_what_awaits_is_let_go_at_once() -> None:
    run = Run(file({"v": "b.value"}, a=call("forever"), b=call("add", a=link("a.value"), b=1)))
    thread = stop_when(run, "waiting")
    assert run.go() == {}
    thread.join()
    assert run.state == "cancelled"
    assert "let go" in said
    assert ran == []
    assert io_threads() == []


def test_a_cancel_between_the_start_of_a_node_and_the_wait_for_it_is_not_lost() -> None:
    run = Run(file({"v": "a.value"}, a=call("forever")))

    def emit(event: Any) -> None:
        if isinstance(event, events.NodeStarted):
            run.executor.cancel()

    assert run.go(emit) == {}
    assert run.state == "cancelled"


def test_what_is_under_way_in_a_thread_ends_whole_and_nothing_follows_it(tmp_path: Path) -> None:
    path = tmp_path / "text"
    nodes = {"w": call("write", path=str(path), text="half "), "r": call("listen", word="never")}
    run = Run(file({"v": "w.value", "r": "r.value"}, **nodes))

    def stop() -> None:
        heard("half")
        run.executor.cancel()
        said.add("go on")

    thread = threading.Thread(target=stop)
    thread.start()
    run.go()
    thread.join()
    assert run.state == "cancelled"
    assert path.read_text() == "half half "
    assert io_threads() == []


def test_what_waits_for_a_thread_is_never_begun() -> None:
    nodes = {f"w{i}": call("block", word="go on", n=i) for i in range(4 * THREADS)}
    run = Run(file({name: f"{name}.value" for name in nodes}, **nodes))

    def emit(event: Any) -> None:
        if isinstance(event, events.NodeStarted) and event.node == f"w{THREADS - 1}":
            run.executor.cancel()
            said.add("go on")

    run.go(emit)
    assert run.state == "cancelled"
    assert 0 < ran.count("block go on") <= 2 * THREADS


def test_a_cancelled_run_leaves_a_cache_that_the_next_one_goes_on_from() -> None:
    cache = Cache()
    nodes = {"a": call("add", a=1, b=2), "w": call("block", word="now", n=link("a.value"))}
    text = file({"v": "b.value"}, b=call("add", a=link("w.value"), b=1), **nodes)
    run = Run(text, cache)

    def emit(event: Any) -> None:
        if isinstance(event, events.NodeStarted) and event.node == "w":
            run.executor.cancel()
            said.add("now")

    assert run.go(emit) == {}
    again = Run(text, cache)
    said.add("now")
    assert again.go() == {"v": 4}
    assert again.plan.cached == ("a",)


# -- the threads themselves ----------------------------------------------------------------------------------


def test_a_run_without_such_nodes_starts_no_thread() -> None:
    before = threading.active_count()
    run = Run(file({"v": "a.value"}, a=call("add", a=1, b=2)))
    run.go(lambda event: None)
    assert run.executor.world is None
    assert threading.active_count() == before


def test_closing_ends_what_awaits_and_waits_for_what_blocks() -> None:
    said.clear()
    world = World()
    awaiting, blocking = world.submit(forever), world.call(block, "now", 3)
    assert heard("waiting")
    threading.Timer(0.05, said.add, ["now"]).start()
    world.close()
    assert awaiting.cancelled()
    assert blocking.done()
    assert io_threads() == []
