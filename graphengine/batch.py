"""Batch: independent calls of one node type as one call, or as several where memory does not suffice."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from time import perf_counter
from typing import Any, Protocol

from graphengine import events
from graphengine.cache import MISSING, Cache
from graphengine.context import RunContext, finished
from graphengine.frame import Frame
from graphengine.keys import Key
from graphengine.nodetype import NodeType
from graphengine.plan import Step, copy, fill, several, step_key
from graphengine.pool import short_of_memory

Call = list[Any]
"""The arguments of one call, in the order of the inputs."""


class Engine(Protocol):
    """What a batch needs of the run; the executor is one."""

    cache: Cache
    widest: dict[str, int]
    trouble: bool
    keeping: bool
    emit: Callable[[events.Event], object]

    def context(self, node: str) -> RunContext: ...
    def blocked(self, frame: Frame, step: Step) -> bool: ...
    def fail(self, frame: Frame, step: Step, error: BaseException) -> None: ...
    def keep(self, step: Step, key: Key | None, value: Any, seconds: float, deep: bool) -> None: ...
    def invoke(self, step: Step, function: Callable[..., Any], arguments: Sequence[Any]) -> Any: ...
    def relieve(self) -> None: ...
    def single(self, step: Step, arguments: Sequence[Any]) -> Any: ...


def run(engine: Engine, frame: Frame, steps: tuple[Step, ...]) -> None:
    """A batch: those not found under their keys, as one call. All of them where size changes the bits."""
    slots, env, kind = frame.slots, frame.env, steps[0].type
    inside = frame.parent is not None
    twins = [s for s in steps if s.twin]
    own = [s for s in steps if not s.twin]
    ready = [s for s in own if not (engine.trouble and engine.blocked(frame, s))]
    whole = kind.exact or len(ready) == steps[0].size  # as many as their keys say
    keys = [step_key(s, env) if whole else None for s in ready]
    found = [engine.cache.get(k, False) if k and inside else MISSING for k in keys]
    if MISSING in found and not kind.exact:
        found = [MISSING] * len(ready)
    todo, todo_keys = list[Step](), list[Key | None]()
    for step, key, value in zip(ready, keys, found, strict=True):
        if value is MISSING:
            todo.append(step)
            todo_keys.append(key)
        else:
            fill(step, slots, value)
            engine.emit(events.NodeCached(step.node))
    if todo:
        together(engine, frame, todo, todo_keys)
    for step in twins:
        if not engine.blocked(frame, step):
            copy(step, slots)
            engine.emit(events.NodeCached(step.node))


def together(engine: Engine, frame: Frame, steps: list[Step], keys: list[Key | None]) -> None:
    """Several calls as one, from their first event to their last."""
    kind = steps[0].type
    for step in steps:
        engine.emit(events.NodeStarted(step.node))
    began = perf_counter()
    calls = [[frame.slots[a] for a in s.args] for s in steps]
    if kind.context is not None:
        for call, step in zip(calls, steps, strict=True):
            call[kind.context] = engine.context(step.node)
    try:
        values = answers(engine, steps, calls)
        if len(kind.outputs) > 1:
            values = [several(step, v) for step, v in zip(steps, values, strict=True)]
    except Exception as error:
        for step in steps:
            engine.fail(frame, step, error)
        return
    seconds = (perf_counter() - began) / len(steps)
    deep = frame.parent is None and kind.cache == "disk"
    for step, key, value in zip(steps, keys, values, strict=True):
        fill(step, frame.slots, value)
        try:
            engine.keep(step, key, value, seconds, deep)
        except Exception as error:
            engine.fail(frame, step, error)
        else:
            finished(engine.emit, step, value, seconds, frame.parent is not None)


def answers(engine: Engine, steps: list[Step], calls: list[Call]) -> list[Any]:
    """What each call gives, from as few calls of the companion as memory allows.

    Where it does not suffice for all at once, even with every model let go, half of them are tried, and so
    on; `widest` remembers how many went, for the rest of the process.
    """
    kind, found, cleared = steps[0].type, list[Any](), False
    while len(found) < len(calls):
        here = slice(len(found), len(found) + engine.widest.get(kind.id, len(calls)))
        some = calls[here]
        step = steps[here.start]
        if len(some) < len(calls) and not kind.exact:
            engine.keeping = False  # the bits are those of a smaller batch than the keys say
        if len(some) == 1:
            found.append(engine.single(step, some[0]))
            continue
        try:
            given = engine.invoke(step, companion(kind), columns(kind, some))
        except Exception as error:
            if not short_of_memory(error):
                raise
            if cleared:
                engine.widest[kind.id] = (len(some) + 1) // 2
            cleared = True
        else:
            if len(given) != len(some):
                raise TypeError(f"{kind.id}: its batched companion gave {len(given)} for {len(some)} calls")
            found += given
            continue
        engine.relieve()
    return found


def companion(kind: NodeType) -> Callable[..., Any]:
    """The batched companion, for arguments in the order of the inputs."""
    batched, names = kind.batched, list(kind.inputs)
    assert batched is not None
    return lambda *columns: batched(**dict(zip(names, columns, strict=True)))


def columns(kind: NodeType, calls: list[Call]) -> list[Any]:
    """The arguments of the companion: one value where all are equal, a list of each call's where not."""
    shared = kind.shared
    return [calls[0][i] if n in shared else [c[i] for c in calls] for i, n in enumerate(kind.inputs)]
