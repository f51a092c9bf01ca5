"""A trace tells what a run did when: whole JSON, every slice inside of its parent, and nothing left out."""

from __future__ import annotations

import asyncio
import json
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import samples
import torch
from samples import TYPES, arrived, body, call, file, link

from graphengine import events
from graphengine.authoring import NO_CONTEXT, Context, Folders, Handle, node
from graphengine.config import Settings
from graphengine.errors import GraphEngineError, WorkflowError
from graphengine.registry import Manifest, Pack
from graphengine.session import Session
from graphengine.signature import read
from graphengine.trace import Trace, unwritable
from graphengine.types import WireType
from graphengine.workflow import Workflow

DEVICE = 1
NEAR = 0.002
"""Microseconds that are lost in writing them as decimal numbers."""


@WireType("Weights")
@dataclass(frozen=True)
class Weights:
    name: str

    def load(self, folders: Folders, device: str) -> torch.nn.Module:
        time.sleep(0.003)
        return torch.nn.Linear(10, 1)


@node
def weights(name: str) -> Weights:
    """A handle."""
    return Weights(name)


@node
def use(model: Weights, ctx: Context = NO_CONTEXT) -> int:
    """Needs a model."""
    handle: Handle[Any] = model
    return int(ctx.use(handle).weight.shape[0])


@node(device="io")
def use_io(model: Weights, ctx: Context = NO_CONTEXT) -> int:
    """Needs a model, in a thread."""
    handle: Handle[Any] = model
    return int(ctx.use(handle).weight.shape[0])


@node
def slow(n: int) -> int:
    """Takes long enough to be kept on disk."""
    time.sleep(0.003)
    return n + 1


@node(device="io")
def slow_io(n: int) -> int:
    """Blocks a while."""
    time.sleep(0.02)
    return n


@node(device="io")
def meet_io(n: int, others: int) -> int:
    """Waits in a thread until so many others are waiting too."""
    arrived.append(n)
    until = time.monotonic() + 10
    while len(arrived) <= others and time.monotonic() < until:
        time.sleep(0.001)
    return n


@node
async def slow_awaiting(n: int) -> int:
    """Awaits a while."""
    await asyncio.sleep(0.02)
    return n


@node(device="io")
def fail_io(n: int) -> int:
    """Fails in a thread."""
    raise ValueError(f"no {n}")


@node
def long(n: int, ctx: Context = NO_CONTEXT) -> int:
    """Is cancelled in the middle."""
    for i in range(10_000):
        ctx.progress(i, 10_000)
        time.sleep(0.001)
    return n


FUNCTIONS = (weights, use, use_io, slow, slow_io, meet_io, slow_awaiting, fail_io, long)
MINE = TYPES | {t.id: t for t in (read(f, "t", f.__name__) for f in FUNCTIONS)}


def session(folder: Path, **settings: Any) -> Session:
    """A session that knows these nodes; another one for the same folder is as a new process."""
    made = Session(
        Settings(cache=folder / "cache", outputs=folder / "out", models=(), device="cpu", **settings)
    )
    made.manifest = Manifest(MINE, (*samples.REGISTRY.packs, Pack("t", __name__, "1")))
    made.bound = {**MINE}
    return made


class Found(NamedTuple):
    """A slice of a file, and the one that it stands in."""

    name: str
    kind: str
    row: int
    start: float
    length: float
    args: dict[str, Any]
    parent: int

    @property
    def end(self) -> float:
        return self.start + self.length


class Read:
    """A trace as it was written, and checked while it is read."""

    def __init__(self, path: Path) -> None:
        data = json.loads(path.read_text("utf-8"))
        self.state = data["otherData"]["state"]
        self.rows: dict[int, str] = {}
        self.slices: list[Found] = []
        stacks: dict[int, list[int]] = {}
        for event in data["traceEvents"]:
            assert event["pid"] == 1
            if event["ph"] == "M":
                if event["name"] == "thread_name":
                    self.rows[event["tid"]] = event["args"]["name"]
                continue
            assert event["ph"] == "X"
            assert event["ts"] >= 0
            assert event["dur"] >= 0
            row, start, length = event["tid"], event["ts"], event["dur"]
            stack = stacks.setdefault(row, [])
            while stack and self.slices[stack[-1]].end <= start + NEAR and length > 0:
                stack.pop()
            while stack and self.slices[stack[-1]].end < start:
                stack.pop()
            parent = stack[-1] if stack else -1
            if stack:
                assert start + length <= self.slices[parent].end + NEAR, (event, self.slices[parent])
            stack.append(len(self.slices))
            self.slices.append(Found(event["name"], event["cat"], row, start, length, event["args"], parent))
        assert set(stacks) <= set(self.rows)

    def of(self, kind: str, name: str = "") -> list[Found]:
        return [s for s in self.slices if s.kind == kind and (not name or s.name == name)]

    def parent(self, found: Found) -> Found:
        return self.slices[found.parent]

    def inside(self, found: Found, name: str) -> bool:
        """Whether it stands in a slice of such a name, near or far."""
        while found.parent >= 0:
            found = self.slices[found.parent]
            if found.name == name:
                return True
        return False


class Traced:
    """A run, what it told, and its trace."""

    def __init__(self, here: Session, text: str, folder: Path, emit: Any = None, **options: Any) -> None:
        self.told: list[Any] = []

        def hear(event: Any) -> None:
            self.told.append(event)
            if emit:
                emit(event)

        path = folder / "trace.json"
        self.outcome = here.run(Workflow.parse(text), emit=hear, trace=path, **options)
        self.trace = Read(path)

    def seconds(self) -> Counter[str]:
        """The time of each node, by what was told."""
        found: Counter[str] = Counter()
        for event in self.told:
            if isinstance(event, events.NodeFinished):
                found[event.node] += event.seconds  # type: ignore[assignment]
        return found


def loop(times: int, kind: str = "add") -> str:
    """A fold over a node of two numbers or of one."""
    inputs = {"a": link("x"), "b": link("i")} if kind == "add" else {"n": link("x")}
    return file(
        {"v": "f.result"},
        f=call(
            "fold",
            start=0,
            over=list(range(times)),
            body=body(["x", "i"], {"x": "y.value"}, y=call(kind, **inputs)),
        ),
    )


# -- what is in it -------------------------------------------------------------------------------------------


def test_planning_and_every_node_are_in_it_one_after_the_other(tmp_path: Path) -> None:
    text = file({"v": "b.value"}, a=call("slow", n=1), b=call("add", a=link("a.value"), b=4))
    done = Traced(session(tmp_path), text, tmp_path)
    trace = done.trace
    assert done.outcome.outputs == {"v": 6}
    assert [s.name for s in trace.slices if s.parent < 0] == ["check", "load nodes", "plan", "run"]
    (run,) = trace.of("run")
    assert run.args == {"state": "done", "steps": ["a", "b"], "cached": [], "skipped": []}
    assert [(s.name, s.args) for s in trace.of("node")] == [
        ("a", {"node": "a", "type": "t.slow", "cached": False}),
        ("b", {"node": "b", "type": "t.add", "cached": False}),
    ]
    assert all(trace.parent(s) == run for s in trace.of("node"))
    assert trace.rows == {DEVICE: "cpu"}
    assert trace.state == "done"


def test_a_loop_of_n_has_n_slices_and_its_nodes_stand_in_them(tmp_path: Path) -> None:
    trace = Traced(session(tmp_path), loop(20, "slow"), tmp_path).trace
    (fold,) = trace.of("node", "f")
    rounds = trace.of("body")
    assert [r.name for r in rounds] == [f"f {k}" for k in range(1, 21)]
    assert all(trace.parent(r) == fold for r in rounds)
    steps = trace.of("node", "y")
    assert [trace.parent(s).name for s in steps] == [r.name for r in rounds]
    assert [r.args for r in rounds[:2]] == [{"node": "f", "call": k, "cached": False} for k in (1, 2)]


def test_rounds_that_are_too_quick_to_tell_of_their_nodes_are_there_too(tmp_path: Path) -> None:
    trace = Traced(session(tmp_path), loop(500), tmp_path).trace
    assert len(trace.of("body")) == 500


def test_loops_in_loops_stand_in_the_rounds_of_the_outer_one(tmp_path: Path) -> None:
    inner = {
        "g": call(
            "fold",
            start=link("x"),
            over=[1, 2, 3],
            body=body(["y", "j"], {"y": "s.value"}, s=call("slow", n=link("y"))),
        )
    }
    text = file(
        {"v": "f.result"},
        f=call("fold", start=0, over=[1, 2], body=body(["x", "i"], {"x": "g.result"}, **inner)),
    )
    trace = Traced(session(tmp_path), text, tmp_path).trace
    assert [trace.parent(s).name for s in trace.of("node", "g")] == ["f 1", "f 2"]
    rounds = [s for s in trace.of("body") if s.args["node"] == "g"]
    assert [s.name for s in rounds] == ["g 1", "g 2", "g 3"] * 2
    assert {trace.parent(s).name for s in rounds} == {"g"}
    assert all(trace.inside(s, "f 1") or trace.inside(s, "f 2") for s in trace.of("node", "s"))


def test_the_times_of_the_nodes_are_those_that_were_told(tmp_path: Path) -> None:
    text = file(
        {"v": "t.value", "w": "w.value"},
        f=call(
            "fold",
            start=0,
            over=[1, 2, 3],
            body=body(["x", "i"], {"x": "y.value"}, y=call("slow", n=link("x"))),
        ),
        a=call("slow", n=50),
        t=call("total", items=[link("f.result"), link("a.value")]),
        w=call("slow_awaiting", n=3),
        s=call("switch", first=True, a=link("far.value"), b=0),
        far=call("slow", n=7),
    ).replace('"w": "w.value"', '"w": "w.value", "s": "s.result"')
    done = Traced(session(tmp_path), text, tmp_path)
    found: Counter[str] = Counter()
    for s in done.trace.of("node"):
        found[s.args["node"]] += s.length / 1e6  # type: ignore[assignment]
    told = done.seconds()
    assert found.keys() == told.keys()
    for name, seconds in told.items():
        # What is told of a time was measured a moment before; one that holds others reaches to their ends.
        slack = 0.1 if name in ("f", "s") else 1e-6
        assert seconds - 1e-6 <= found[name] <= seconds + slack
    assert done.trace.inside(done.trace.of("node", "far")[0], "s")


def test_nodes_beside_the_device_have_rows_of_their_own(tmp_path: Path) -> None:
    arrived.clear()
    nodes = {f"i{k}": call("meet_io", n=k, others=3) for k in range(3)}
    nodes["a"] = call("meet", n=9, others=3)
    text = file({"v": "t.value"}, **nodes, d=call("slow", n=1),
                t=call("total", items=[*(link(f"{n}.value") for n in nodes), link("d.value")]))  # fmt: skip
    done = Traced(session(tmp_path), text, tmp_path)
    trace = done.trace
    assert trace.rows == {1: "cpu", 2: "beside 1", 3: "beside 2", 4: "beside 3", 5: "beside 4"}
    rows = {s.name: s.row for s in trace.of("node")}
    assert sorted(rows[name] for name in nodes) == [2, 3, 4, 5]
    assert rows["d"] == rows["t"] == DEVICE
    told = done.seconds()
    for s in trace.of("node"):
        assert s.length / 1e6 == pytest.approx(told[s.name], abs=1e-6)


def test_rows_are_used_again(tmp_path: Path) -> None:
    nodes = {"i0": call("slow_io", n=1)} | {
        f"i{k}": call("slow_io", n=link(f"i{k - 1}.value")) for k in range(1, 4)
    }
    trace = Traced(session(tmp_path), file({"v": "i3.value"}, **nodes), tmp_path).trace
    assert trace.rows == {1: "cpu", 2: "beside 1"}
    assert [s.name for s in trace.of("node")] == ["i0", "i1", "i2", "i3"]


def test_several_calls_as_one_are_one_slice(tmp_path: Path) -> None:
    inside = {f"p{k}": call("predict", model=1, x=link("x"), cond=k) for k in range(3)}
    inside["n"] = call("total", items=[link(f"p{k}.value") for k in range(3)])
    text = file(
        {"v": "f.result"},
        f=call("fold", start=0, over=[1], body=body(["x", "i"], {"x": "n.value"}, **inside)),
    )
    done = Traced(session(tmp_path), text, tmp_path)
    (fused,) = done.trace.of("node", "p0 + p1 + p2")
    assert fused.args == {"node": "p0, p1, p2", "type": "t.predict", "cached": False, "calls": 3}
    assert done.trace.parent(fused).name == "f 1"
    told = done.seconds()
    assert fused.length / 1e6 == pytest.approx(told["p0"] + told["p1"] + told["p2"], abs=1e-6)


def test_models_that_are_loaded_stand_in_the_node_that_needs_them(tmp_path: Path) -> None:
    text = file(
        {"v": "u.value", "w": "u2.value", "x": "b.value"},
        m=call("weights", name="one"),
        u=call("use", model=link("m.weights")),
        u2=call("use", model=link("m.weights")),
        m2=call("weights", name="two"),
        b=call("use_io", model=link("m2.weights")),
    )
    trace = Traced(session(tmp_path), text, tmp_path).trace
    one, two = trace.of("model")
    assert (one.name, trace.parent(one).name, one.row) == ("load Weights", "u", DEVICE)
    assert (two.name, trace.parent(two).name, trace.rows[two.row]) == (
        "load Weights",
        "b",
        "beside 1",
    )
    assert one.length >= 3000


# -- the cache -----------------------------------------------------------------------------------------------


def test_writes_to_disk_follow_the_node_and_reads_stand_where_they_are_done(tmp_path: Path) -> None:
    text = file({"v": "b.value"}, a=call("slow", n=1), b=call("add", a=link("a.value"), b=4))
    here = session(tmp_path)
    first = Traced(here, text, tmp_path).trace
    (write,) = first.of("cache")
    assert (write.name, write.args["node"], first.parent(write).name) == ("write", "a", "run")
    assert write.args["bytes"] == sum(e.size for e in here.cache.disk.entries())  # type: ignore[union-attr]
    assert write.start >= first.of("node", "a")[0].end - NEAR
    again = Traced(here, text, tmp_path).trace
    assert again.of("cache") == []  # it was in memory
    assert again.of("run")[0].args["cached"] == ["a", "b"]
    other = Traced(session(tmp_path), text, tmp_path).trace
    (found,) = other.of("cache")
    assert (found.name, found.args) == ("read", write.args)
    assert other.parent(found).name == "plan"
    assert [s.name for s in other.of("node")] == ["b"]


def test_a_loop_that_resumes_shows_the_state_that_it_read(tmp_path: Path) -> None:
    from graphengine_nodes import flow

    resuming = read(flow.fold, "t", "fold")

    def text(last: int) -> str:
        inside = {"y": call("step", state=link("x"), item=link("i"))}
        return file(
            {"v": "n.value"},
            s=call("start", number=1),
            f=call(
                "resuming",
                start=link("s.state"),
                over=[0, 1, 2, 3, 4, 5, 6, 7, last],
                body=body(["x", "i"], {"x": "y.state"}, **inside),
            ),
            n=call("number_of", state=link("f.result")),
        )

    def opened() -> Session:
        here = session(tmp_path, loop_states=2)
        here.bound |= {"t.resuming": resuming} | {
            t.id: t for t in (read(f, "t", f.__name__) for f in (start, step, number_of))
        }
        here.manifest = Manifest(here.bound, here.manifest.packs)
        return here

    Traced(opened(), text(8), tmp_path)
    trace = Traced(opened(), text(9), tmp_path).trace
    rounds = trace.of("body")
    assert [(r.args["call"], r.args["cached"]) for r in rounds] == [(8, True), (9, False)]
    assert any(trace.inside(s, "f") and s.args["bytes"] > 0 for s in trace.of("cache") if s.name == "read")


@WireType("State")
@dataclass(frozen=True, eq=False)
class State:
    tensor: torch.Tensor


@node
def start(number: int) -> State:
    """A state out of nothing."""
    return State(torch.tensor(number))


@node
def step(state: State, item: int) -> State:
    """The next one, after a while."""
    time.sleep(0.003)
    return State(state.tensor * 31 + item)


@node
def number_of(state: State) -> int:
    """What is in it."""
    return int(state.tensor)


def test_nodes_that_are_found_on_the_way_are_told_as_cached(tmp_path: Path) -> None:
    text = file({"v": "c.value"}, a=call("add", a=1, b=2), b=call("add", a=1, b=2),
                c=call("add", a=link("a.value"), b=link("b.value")))  # fmt: skip
    trace = Traced(session(tmp_path), text, tmp_path).trace
    assert [(s.name, s.args["cached"]) for s in trace.of("node")] == [("a", False), ("b", True), ("c", False)]


def test_the_cache_is_as_before_when_the_run_is_over(tmp_path: Path) -> None:
    here = session(tmp_path)
    disk = here.cache.disk
    Traced(here, loop(3), tmp_path)
    assert here.cache.disk is disk


# -- however a run ends --------------------------------------------------------------------------------------


def test_a_failing_run_gives_a_whole_file_that_says_what_failed(tmp_path: Path) -> None:
    text = file(
        {"a": "c.value", "b": "i.value", "v": "f.result"},
        b=call("broken", a=1),
        c=call("add", a=link("b.value"), b=1),
        i=call("fail_io", n=3),
        f=call(
            "fold",
            start=1,
            over=[1, 2],
            body=body(
                ["x", "i2"],
                {"x": "y.value"},
                z=call("slow", n=link("i2")),
                y=call("broken", a=link("z.value")),
            ),
        ),
    )
    done = Traced(session(tmp_path), text, tmp_path)
    trace = done.trace
    assert (done.outcome.state, trace.state) == ("failed", "failed")
    errors = {s.name: s.args.get("error") for s in trace.of("node")}
    assert errors == {
        "b": "ValueError: no 1",
        "c": "not run, because b failed",
        "i": "ValueError: no 3",
        "z": None,
        "y": "ValueError: no 2",
        "f": "not run, because y failed",
    }
    assert trace.parent(trace.of("node", "y")[0]).name == "f"
    assert trace.of("node", "i")[0].row != DEVICE


def test_a_cancelled_run_gives_a_whole_file_in_which_everything_has_an_end(tmp_path: Path) -> None:
    here = session(tmp_path)
    inside = {"y": call("long", n=link("i"))}
    text = file(
        {"v": "f.result", "w": "w.value"},
        w=call("slow_awaiting", n=3),
        f=call("fold", start=1, over=[1, 2], body=body(["x", "i"], {"x": "y.value"}, **inside)),
    )

    def stop(event: Any) -> None:
        if isinstance(event, events.NodeProgress):
            here.cancel()

    done = Traced(here, text, tmp_path, stop)
    assert (done.outcome.state, done.trace.state) == ("cancelled", "cancelled")
    ended = {s.name: s.args.get("error") for s in done.trace.of("node")}
    assert ended == {"w": "cancelled", "f": "cancelled", "y": "cancelled"}
    assert done.trace.inside(done.trace.of("node", "y")[0], "f")
    assert done.trace.of("run")[0].args["state"] == "cancelled"


def test_a_run_that_breaks_off_gives_a_whole_file_too(tmp_path: Path) -> None:
    def stop(event: Any) -> None:
        if isinstance(event, events.BodyFinished):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Traced(session(tmp_path), loop(5, "slow"), tmp_path, stop)
    trace = Read(tmp_path / "trace.json")
    assert trace.state == "broken off"
    assert [s.args.get("error") for s in trace.of("node")] == ["broken off", None]


def test_a_workflow_that_is_refused_leaves_no_file(tmp_path: Path) -> None:
    path = tmp_path / "trace.json"
    with pytest.raises(WorkflowError):
        session(tmp_path).run(
            Workflow.parse(file({}, a=call("add", a=1), e=call("show", value=1))), trace=path
        )
    assert not path.exists()


@pytest.mark.parametrize("debug", [False, True])
@pytest.mark.parametrize("limit", [None, 60.0])
def test_runs_with_other_options_are_traced_too(tmp_path: Path, debug: bool, limit: float | None) -> None:
    here = session(tmp_path)
    Traced(here, loop(4, "slow"), tmp_path)
    trace = Traced(here, loop(5, "slow"), tmp_path, debug=debug, limit=limit).trace
    assert len(trace.of("body")) == 5


# -- the file ------------------------------------------------------------------------------------------------


def test_an_older_file_is_replaced_and_nothing_else_is_left(tmp_path: Path) -> None:
    folder = tmp_path / "new" / "folder"
    folder.mkdir(parents=True)
    (folder / "trace.json").write_text("old")
    Traced(session(tmp_path), loop(2), folder)
    assert [p.name for p in folder.iterdir()] == ["trace.json"]


def test_a_place_where_nothing_can_be_written_is_told_before_anything_runs(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    for path, said in ((tmp_path, "it is a folder"), (tmp_path / "file" / "trace.json", "")):
        told: list[Any] = []
        with pytest.raises(
            GraphEngineError, match=r"no trace can be written there: .*; name another file"
        ) as caught:
            session(tmp_path).run(Workflow.parse(loop(2)), trace=path, emit=told.append)
        assert str(path) in str(caught.value)
        assert said in str(caught.value)
        assert told == []
    assert unwritable(tmp_path / "new" / "trace.json") == ""


class Clock:
    """A clock that is told what time it is."""

    def __init__(self) -> None:
        self.time = 0

    def __call__(self) -> int:
        return self.time


def test_a_round_holds_its_first_node_though_its_seconds_were_taken_later_than_it_began() -> None:
    """What a run tells of its times was measured a moment before it was told."""
    clock = Clock()
    trace = Trace("name", "cpu", clock)
    trace.kinds = {"f": TYPES["t.fold"], "y": TYPES["t.add"]}

    def tell(at: int, event: Any) -> None:
        clock.time = at * 1000
        trace(event)

    tell(0, events.RunPlanned(("f",), (), ()))
    tell(1, events.NodeStarted("f"))
    tell(10, events.NodeStarted("y"))
    tell(30, events.NodeFinished("y", 19e-6))
    tell(50, events.BodyFinished("f", 1, False, 38e-6))
    tell(60, events.BodyFinished("f", 2, False, 5e-6))
    tell(70, events.NodeFinished("f", 60e-6))
    tell(71, events.RunEnded("done", 71e-6))
    found = {s.name: (s.start // 1000, s.end // 1000) for s in trace.slices}
    assert found == {"y": (10, 29), "f 1": (10, 50), "f 2": (55, 60), "f": (1, 61), "run": (0, 71)}


def test_a_round_stands_in_its_loop_though_that_was_counted_from_later_on() -> None:
    clock = Clock()
    trace = Trace("name", "cpu", clock)
    trace.kinds = {"f": TYPES["t.fold"]}
    for at, event in (
        (0, events.RunPlanned(("f",), (), ())),
        (1, events.NodeStarted("f")),
        (50, events.BodyFinished("f", 1, False, 38e-6)),
        (60, events.BodyFinished("f", 2, False, 5e-6)),
        (61, events.NodeFinished("f", 20e-6)),
        (71, events.RunEnded("done", 71e-6)),
    ):
        clock.time = at * 1000
        trace(event)
    assert {s.name: (s.start // 1000, s.end // 1000) for s in trace.slices}["f"] == (1, 60)


def test_a_node_that_is_not_known_and_an_end_without_a_beginning_do_no_harm() -> None:
    trace = Trace()
    trace(events.NodeFinished("x", 1.0))
    trace(events.BodyFinished("x", 1, False, 1.0))
    trace(events.ModelLoaded("x", "m", 0.0))
    trace(events.NodeStarted("x"))
    trace(events.NodeStarted("y"))
    trace(events.NodeFinished("x", 0.0))
    data = json.loads(json.dumps(trace.data()))
    assert {e["name"] for e in data["traceEvents"] if e["ph"] == "X"} == {"x", "y", "load m"}
