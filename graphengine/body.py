"""Body: what a node gets for a sub-graph; each call is found under its key, or run in a frame of its own."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Future
from operator import itemgetter
from time import perf_counter
from typing import Any, Protocol

from graphengine import events
from graphengine.cache import MISSING, Cache
from graphengine.errors import Cancelled
from graphengine.frame import Activity, Failed, Failure, Frame, Handed
from graphengine.keys import Key, digest
from graphengine.plan import UNSET, Order, Section, Slots, Step, fill, result, several, step_key

GLANCE = 1e-3
"""Seconds; a body call quicker than this is cheaper to run than to look up inside."""
AHEAD = 32
"""How many effects of a loop may be under way when the next round begins: each holds on to its values."""
PLAIN = frozenset([int, float, bool, str, type(None)])
"""Types of values whose key is their content, so that nothing is known of one before it is there."""


Kept = tuple[Step, Key | None, Any, float, bool]
"""The arguments of `Engine.keep`."""


class Engine(Protocol):
    """What a body needs of the run; the executor is one."""

    cache: Cache
    cancelled: bool
    trouble: bool
    watched: bool
    every: int
    emit: Callable[[events.Event], object]

    def finish(self, frame: Frame, order: Order) -> Activity: ...
    def demand(self, frame: Frame, wanted: Sequence[int]) -> Activity: ...
    def settle_effects(self, frame: Frame, bodies: Sequence[Section], ahead: int = 0) -> None: ...
    def whole(self, frame: Frame, kept: Kept) -> None: ...
    def again(self, step: Step, arguments: Sequence[Any], error: Exception) -> Any: ...
    def fail(self, frame: Frame, step: Step, error: BaseException) -> None: ...
    def keep(self, step: Step, key: Key | None, value: Any, seconds: float, deep: bool) -> None: ...


class BodyInput:
    """What a node gets for a Body: calling it gives something to await."""

    def __init__(self, engine: Engine, frame: Frame, section: Section, owner: str, handed: Handed) -> None:
        self.engine, self.frame, self.section, self.owner, self.handed = engine, frame, section, owner, handed
        self.effects = section.effects
        self.calls = 0
        self.base: Slots | None = None
        self.quick: list[Quick] | None = None

    def __call__(self, *arguments: Any) -> BodyCall:
        wanted = len(self.section.graph.inputs)
        if len(arguments) != wanted:
            raise TypeError(f"the body of {self.owner} takes {wanted} arguments, and got {len(arguments)}")
        return BodyCall(self, arguments)

    def run(self, arguments: tuple[Any, ...]) -> Activity:
        """One call."""
        section, handed, engine = self.section, self.handed, self.engine
        env = self.frame.env + tuple([handed.key(a) for a in arguments])
        out, maker, key = section.outputs[0], section.gives, self.key(env)
        began = perf_counter()
        found = engine.cache.get(key, self.deep(section.slow)) if key else MISSING
        hit = found is not MISSING
        if hit:
            assert maker is not None
            value = found if len(maker.type.outputs) < 2 else found[out - maker.out]
        else:
            if self.effects:
                engine.settle_effects(self.frame, (section,), AHEAD)
            slots = (self.base or (yield from self.open())).copy()
            slots[: len(arguments)] = arguments
            frame = Frame(section, slots, env, self.frame)
            done = 0
            if not (section.slow or engine.trouble or engine.watched):
                done = self.quickly(frame)
            if done < len(section.order):
                yield from engine.finish(frame, section.order[done:])
            if engine.trouble and (failed := failure_in(section, slots)):
                raise Failed(failed)
            seconds = perf_counter() - began
            section.slow = seconds > GLANCE
            value = slots[out]
            often = section.slow and engine.every and (self.calls + 1) % engine.every == 0
            last = self.quick[done - 1][3] if self.quick and done else None
            if maker is not None and (often or self.effects or (last and last.rank >= maker.rank)):
                # Else `steps` has kept it.
                kept = maker, key, result(maker, slots), seconds, bool(often) and self.deep()
                if self.effects:
                    engine.whole(frame, kept)
                else:
                    engine.keep(*kept)
        if type(value) not in PLAIN:
            handed.enter(value, Frame(section, section.template, env, self.frame).key(out))
        self.calls += 1
        engine.emit(events.BodyFinished(self.owner, self.calls, hit, perf_counter() - began))
        return value

    def key(self, env: Sequence[Key | None]) -> Key | None:
        """The key of what a call gives. A call with effects has one of its own, with what they do in it.

        It is not known before it is whole, else what failed or was cancelled before an effect would never
        make up for it.
        """
        gives = self.section.gives
        key = step_key(gives, env) if gives else None
        if not key or not self.effects:
            return key
        done = [step_key(effect, env) for effect in self.effects if effect.key]
        return digest(b"whole" + key + b"".join(done)) if all(done) else None  # type: ignore[arg-type]

    def deep(self, worth: bool = True) -> bool:
        """Whether what the body gives is kept on disk now and then."""
        gives = self.section.gives
        return worth and self.engine.every > 0 and gives is not None and gives.type.cache == "disk"

    def open(self) -> Activity:
        """Before the first call: what was hoisted, then a template with everything from outside."""
        section, outside = self.section, self.frame
        if section.deferred:
            yield from self.engine.demand(outside, section.deferred)
        base = section.template.copy()
        for outer, inner in section.captures.items():
            value = outside.slots[outer]
            base[inner] = UNSET if type(value) is Future else value  # asked for again if it is needed
        self.base = base
        return base

    def quickly(self, frame: Frame) -> int:
        """Plain calls and nothing else, for bodies that take microseconds; gives how far it came."""
        if self.quick is None:
            self.quick = list(quick(self.section.order))
        slots, engine, done = frame.slots, self.engine, 0
        for run, arguments, out, step in self.quick:
            if engine.cancelled:
                raise Cancelled
            done += 1
            try:
                try:
                    value = run(*arguments(slots))
                except Exception as error:
                    value = engine.again(step, arguments(slots), error)
                if out >= 0:
                    slots[out] = value
                else:
                    fill(step, slots, several(step, value))
            except Exception as error:
                engine.fail(frame, step, error)
                break
        return done

    def resume(self, start: Any, over: Sequence[Any]) -> tuple[int, Any]:
        """How many first rounds of a fold are known, and what the last of them gave.

        The key of each state follows from the one before; so the last known one is found without the others.
        """
        section, handed, cache = self.section, self.handed, self.engine.cache
        maker, deep = section.gives, self.deep()
        if maker is None or type(start) in PLAIN or len(section.graph.inputs) != 2:
            return 0, start
        state, keys = handed.key(start), list[tuple[Key, Key | None]]()
        for item in over:
            env = (*self.frame.env, state, handed.key(item))
            key = self.key(env)
            if not key:
                break
            state = Frame(section, section.template, env, self.frame).key(section.outputs[0])
            keys.append((key, state))
        for done in range(len(keys), 0, -1):
            key, state = keys[done - 1]
            if (found := cache.get(key, deep)) is not MISSING:
                value = found if len(maker.type.outputs) < 2 else found[section.outputs[0] - maker.out]
                handed.enter(value, state)
                self.calls = done
                self.engine.emit(events.BodyFinished(self.owner, done, True))
                return done, value
        return 0, start


class BodyCall:
    """A request to run a body once."""

    __slots__ = ("arguments", "body")

    def __init__(self, body: BodyInput, arguments: tuple[Any, ...]) -> None:
        self.body, self.arguments = body, arguments

    def __await__(self) -> Activity:
        return (yield self).pop()


Quick = tuple[Callable[..., Any], Callable[[Slots], Any], int, Step]
"""A function, what takes its arguments out of the slots, its output slot (-1 for several), its step."""


def quick(order: Order) -> list[Quick]:
    """The plain calls that an order begins with."""
    found: list[Quick] = []
    for step in order:
        if isinstance(step, tuple) or not step.plain:
            break
        out = step.out if len(step.type.outputs) < 2 else -1
        found.append((step.run, taking(step.args), out, step))
    return found


def taking(args: tuple[int, ...]) -> Callable[[Slots], Any]:
    """What takes these slots as a tuple."""
    if len(args) > 1:
        return itemgetter(*args)
    return lambda slots: tuple([slots[a] for a in args])


def failure_in(section: Section, slots: Slots) -> Failure | None:
    """The first failure among what a call of a body was wanted for."""
    return next((slots[s] for s in section.wanted if type(slots[s]) is Failure), None)
