"""Trace: what a run did when, as a file that ui.perfetto.dev and chrome://tracing open.

A Trace is given the events of a run, and notes the time of each. The file is JSON in the Trace Event Format
of Chrome: complete events (`"ph": "X"`) with microseconds, and the names of the rows. The first row is the
thread that plans the run and drives the device: nodes, around them the calls of the bodies that they stand
in, reads and writes of the cache on disk (`bytes`), models that were loaded. Each of the other rows holds
nodes that waited for the world meanwhile.
"""

from __future__ import annotations

import json
from collections import defaultdict, deque
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from time import perf_counter_ns
from typing import Any, NamedTuple

from graphengine import events
from graphengine.cache import MISSING, Cache
from graphengine.disk import DiskCache
from graphengine.errors import GraphEngineError
from graphengine.folders import unseen, write_atomically
from graphengine.keys import Key
from graphengine.nodetype import NodeType
from graphengine.plan import Plan

DEVICE, BESIDE = 1, 2
"""The number of the device's row, and of the first of the others."""


class Slice(NamedTuple):
    """A piece of a row, in nanoseconds. `kind` is `run`, `plan`, `node`, `body`, `cache` or `model`."""

    name: str
    kind: str
    start: int
    end: int
    args: dict[str, Any]
    key: Key = b""
    """Which entry of the cache was read or written; whose it is, is known when all is planned."""


@dataclass(slots=True, eq=False)
class Open:
    """A call under way: of one node, or of several that are fused."""

    nodes: list[str]
    kind: NodeType | None
    start: int
    inner: list[Slice] = field(default_factory=list)
    """What has come to an end in it, since the last call of its body."""
    seconds: float = 0.0
    ended: int = 0
    """How many of its nodes have come to an end."""
    errors: list[str] = field(default_factory=list)


class Trace:
    """Slices of time; to be called with each event of a run, by one thread at a time.

    `clock` counts nanoseconds.
    """

    def __init__(self, name: str = "", device: str = "", clock: Callable[[], int] = perf_counter_ns) -> None:
        self.name, self.device, self.clock = name, device, clock
        self.zero = clock()
        self.kinds: dict[str, NodeType] = {}
        self.keys: dict[Key, str] = {}
        self.slices: list[Slice] = []
        self.stack: list[Open] = []
        """What is under way on the device's thread, outermost first."""
        self.beside: dict[str, deque[Open]] = defaultdict(deque)
        """And beside it, by node, in the order in which they began."""
        self.apart: list[tuple[Slice, list[Slice]]] = []
        """What has ended beside it, each with what was in it."""
        self.began: int | None = None
        self.planned: events.RunPlanned | None = None
        self.state = "broken off"

    def now(self) -> int:
        """Nanoseconds since the trace began."""
        return self.clock() - self.zero

    # -- what is told -------------------------------------------------------------------------------------

    def learn(self, plan: Plan) -> None:
        """Know the types of the nodes, and which keys are theirs."""
        self.keys = {step.key: step.node for step in reversed(plan.root.steps)}
        sections = [plan.root]
        while sections:
            for step in sections.pop().steps:
                if step.type.id != "graphengine.list":
                    self.kinds[step.node] = step.type
                sections += [body for _, body in step.bodies]

    def __call__(self, event: events.Event) -> None:
        """Note an event."""
        now = self.now()
        match event:
            case events.RunPlanned():
                self.began, self.planned = now, event
            case events.NodeStarted(node):
                self.start(node, now)
            case events.NodeFinished(node, seconds):
                self.end(node, now, seconds)
            case events.NodeFailed(node, because, error):
                self.end(node, now, error=error if node == because else f"not run, because {because} failed")
            case events.NodeCached(node):
                self.put(Slice(node, "node", now, now, self.about(node) | {"cached": True}))
            case events.BodyFinished(node, call, cached, seconds):
                self.call(node, call, cached, now, seconds)
            case events.ModelLoaded(node, model, seconds):
                name, args = model.partition("(")[0], {"node": node, "model": model}
                loaded = Slice(f"load {name}", "model", now - in_ns(seconds), now, args)
                if self.beside.get(node):
                    self.beside[node][0].inner.append(loaded)
                else:
                    self.put(loaded)
            case events.RunEnded(state):
                self.state = state
                self.finish(now)

    @contextmanager
    def slice(self, name: str) -> Iterator[None]:
        """What this thread does meanwhile."""
        start = self.now()
        try:
            yield
        finally:
            self.put(Slice(name, "plan", start, self.now(), {}))

    @contextmanager
    def watching(self, cache: Cache) -> Iterator[None]:
        """Note each value that the cache reads from disk or writes there meanwhile."""
        before = cache.disk
        cache.disk = WatchedDisk(before, self) if before is not None else None
        try:
            yield
        finally:
            cache.disk = before

    # -- slices -------------------------------------------------------------------------------------------

    def about(self, node: str) -> dict[str, Any]:
        """What is told of a node in each of its slices."""
        kind = self.kinds.get(node)
        return {"node": node, "type": kind.id if kind else "?"}

    def put(self, done: Slice) -> None:
        """Note something that has come to an end on the device's thread."""
        self.slices.append(done)
        if self.stack:
            self.stack[-1].inner.append(done)

    def start(self, node: str, now: int) -> None:
        """A node begins."""
        kind, top = self.kinds.get(node), self.stack[-1] if self.stack else None
        if kind is not None and kind.beside:
            self.beside[node].append(Open([node], kind, now))
        elif top is not None and kind is not None and kind is top.kind and not kind.awaits:
            top.nodes.append(node)  # nothing else can begin during a plain call: they are one
        else:
            self.stack.append(Open([node], kind, now))

    def end(self, node: str, now: int, seconds: float = 0.0, error: str = "") -> None:
        """A node has come to an end; perhaps it never began."""
        if self.beside.get(node):
            self.close_beside(self.beside[node].popleft(), now, seconds, error)
            return
        if not any(node in call.nodes for call in self.stack):
            self.put(Slice(node, "node", now, now, self.about(node) | {"cached": False, "error": error}))
            return
        while node not in self.stack[-1].nodes:
            self.close(self.stack.pop(), now, "broken off")
        call = self.stack[-1]
        call.ended += 1
        call.seconds += seconds
        if error:
            call.errors.append(error)
        if call.ended == len(call.nodes):
            self.close(self.stack.pop(), now)

    def close(self, call: Open, now: int, error: str = "") -> None:
        """Note a call that is over, and has just left the stack."""
        errors = [*call.errors, *([error] if error else [])]
        end = now if errors else call.start + in_ns(call.seconds)
        # A value is written to disk after the call that gave it, and before that is told; all else is inside,
        # though the seconds may have been counted from a moment after the beginning was told.
        end = max([end, *(s.end for s in call.inner if s.start < end or s.kind != "cache")])
        after = [s for s in call.inner if s.start >= end]
        self.put(Slice(" + ".join(call.nodes), "node", call.start, end, self.of(call, errors)))
        if self.stack:
            self.stack[-1].inner += after

    def close_beside(self, call: Open, now: int, seconds: float, error: str) -> None:
        """Note a call beside the device's thread; it may have ended before it was told."""
        end = now if error else call.start + in_ns(seconds)
        end = max([end, *(s.end for s in call.inner)])
        whole = Slice(call.nodes[0], "node", call.start, end, self.of(call, [error] if error else []))
        self.apart.append((whole, call.inner))

    def of(self, call: Open, errors: list[str]) -> dict[str, Any]:
        """What is told of a call."""
        args = self.about(call.nodes[0]) | {"cached": False}
        if len(call.nodes) > 1:
            args |= {"node": ", ".join(call.nodes), "calls": len(call.nodes)}
        return args | ({"error": "; ".join(dict.fromkeys(errors))} if errors else {})

    def call(self, owner: str, number: int, cached: bool, now: int, seconds: float) -> None:
        """The body of a node was called once more."""
        if not any(owner in call.nodes for call in self.stack):
            return
        while owner not in self.stack[-1].nodes:
            self.close(self.stack.pop(), now, "broken off")
        start, inner = now - in_ns(seconds), self.stack[-1].inner
        for done in reversed(inner):
            if done.end <= start:
                break
            start = min(start, done.start)  # the seconds were taken a moment before they were told
        args = {"node": owner, "call": number, "cached": cached}
        self.put(Slice(f"{owner} {number}", "body", start, now, args))
        del inner[:-1]

    def finish(self, now: int) -> None:
        """Everything is over, also what nobody told the end of."""
        while self.stack:
            self.close(self.stack.pop(), now, self.state)
        for calls in self.beside.values():
            while calls:
                self.close_beside(calls.popleft(), now, 0.0, self.state)
        if self.began is not None and self.planned is not None:
            args = {"state": self.state} | {n: list(v) for n, v in self.planned._asdict().items()}
            self.put(Slice("run", "run", self.began, now, args))
            self.planned = None

    # -- the file -----------------------------------------------------------------------------------------

    def data(self) -> dict[str, Any]:
        """The trace as JSON data."""
        rows: list[list[Slice]] = [self.slices]
        ends: list[int] = []
        for whole, inner in sorted(self.apart, key=lambda pair: pair[0].start):
            row = next((i for i, end in enumerate(ends) if end <= whole.start), len(ends))
            if row == len(ends):
                ends.append(0)
                rows.append([])
            ends[row] = whole.end
            rows[row + 1] += [whole, *(s._replace(start=max(s.start, whole.start)) for s in inner)]
        names = [self.device or "device", *(f"beside {i}" for i in range(1, len(rows)))]
        told = [named("process_name", 0, " ".join(filter(None, ["GraphEngine", self.name])))]
        for row, name in enumerate(names, DEVICE):
            told += [named("thread_name", row, name), named("thread_sort_index", row, row)]
        for row, slices in enumerate(rows, DEVICE):
            for s in sorted(slices, key=lambda s: (s.start, -s.end)):
                args = s.args | {"node": self.keys[s.key]} if s.key in self.keys else s.args
                told.append({
                    "ph": "X", "pid": 1, "tid": row, "name": s.name, "cat": s.kind,
                    "ts": s.start / 1000, "dur": (s.end - s.start) / 1000, "args": args,
                })  # fmt: skip
        return {"displayTimeUnit": "ms", "otherData": {"state": self.state}, "traceEvents": told}

    @contextmanager
    def writing(self, path: Path) -> Iterator[None]:
        """Write the trace at the end, however that comes, unless nothing was run. GraphEngineError at once
        where no file can be written.
        """
        problem = unwritable(path)
        if problem:
            raise GraphEngineError(f"{path}: no trace can be written there: {problem}; name another file")
        try:
            yield
        finally:
            self.finish(self.now())
            if self.began is not None:
                write_atomically(path, json.dumps(self.data(), ensure_ascii=False).encode())


class WatchedDisk(DiskCache):
    """A disk tier that tells a trace what it reads and writes."""

    def __init__(self, disk: DiskCache, trace: Trace) -> None:
        self.disk, self.trace = disk, trace

    def __getattr__(self, name: str) -> Any:
        return getattr(self.disk, name)

    def get(self, key: Key) -> Any:
        """The value, or MISSING."""
        start = self.trace.now()
        value = self.disk.get(key)
        if value is not MISSING:
            self.told("read", key, start)
        return value

    def put(self, key: Key, value: Any, seconds: float) -> None:
        """Keep a value."""
        start, held = self.trace.now(), self.disk.holds(key)
        self.disk.put(key, value, seconds)
        if not held and self.disk.holds(key):
            self.told("write", key, start)

    def told(self, name: str, key: Key, start: int) -> None:
        """Note what was done with an entry."""
        end = self.trace.now()
        try:
            size = self.disk.path(key).stat().st_size
        except OSError:  # another process has just removed it
            size = 0
        self.trace.put(Slice(name, "cache", start, end, {"bytes": size}, key))


def during(trace: Trace | None, name: str) -> AbstractContextManager[None]:
    """A slice of a trace, if there is one."""
    return nullcontext() if trace is None else trace.slice(name)


def named(what: str, row: int, value: str | int) -> dict[str, Any]:
    """A metadata event: what a row is called, or where it stands."""
    return {"ph": "M", "pid": 1, "tid": row, "name": what, "args": {what.partition("_")[2]: value}}


def in_ns(seconds: float) -> int:
    """Seconds as nanoseconds."""
    return round(seconds * 1e9)


def unwritable(path: Path) -> str:
    """Why a file cannot be written; empty if it can."""
    try:
        if path.is_dir():
            return "it is a folder"
        path.parent.mkdir(parents=True, exist_ok=True)
        probe = unseen(path.parent)
        probe.touch()
        probe.unlink()
    except OSError as error:
        return error.strerror or str(error)
    return ""
