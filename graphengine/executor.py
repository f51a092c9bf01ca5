"""Executor: runs a Plan on one thread and tells what happens.

The laws, each held by a property test of its name in `tests/laws/`:

1. A cached run equals an uncached run, to the bit.
2. Equal keys mean equal values; a key depends on neither worker, order nor time.
3. A node runs at most once per key (the steps of a body call of under 1 ms count as one with the call).
4. Cancelling or failing leaves the cache valid; nothing half-written is ever visible.
5. A node that fails fails only what depends on it; the rest completes.
6. What `check` accepts can start; what it refuses is named in full.
7. The same file gives the same result from the shell and the library, and wherever else it is run.
8. A job that was accepted is on disk, and ends exactly once.
9. No graph is too deep, too wide or too odd: cost is linear, and nothing recurses over the graph.

Nodes that only compute are called. Nodes that await a Lazy or a Body are driven with `send`, and so are the
executor's own activities (`steps`, `call`, `demand`): all are generators on one explicit stack (`drive`), so
a graph may be as deep as memory allows. Nodes that await the world run on an asyncio thread meanwhile.
"""

from __future__ import annotations

import inspect
import tempfile
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import CancelledError, Future
from time import perf_counter
from typing import Any

from graphengine import events
from graphengine.authoring import Folders
from graphengine.cache import MISSING, Cache
from graphengine.context import RunContext
from graphengine.errors import Cancelled
from graphengine.frame import (
    Activity,
    BodyCall,
    BodyInput,
    Failed,
    Failure,
    Frame,
    Handed,
    LazyInput,
)
from graphengine.keys import Key
from graphengine.plan import (
    GATHER,
    UNSET,
    Order,
    Plan,
    Step,
    copy,
    fill,
    flat,
    needed,
    result,
    several,
    step_key,
)
from graphengine.pool import ModelPool
from graphengine.world import World

Emit = Callable[[events.Event], object]

GLANCE = 1e-3
"""Seconds; a body call quicker than this is cheaper to run than to look up inside."""

PENDING: Any = type("Pending", (), {})()
"""What a node gave that asyncio still has."""


class Executor:
    """Runs one plan against a cache and a pool of models. `cancel` may be called from any thread."""

    def __init__(
        self,
        cache: Cache,
        pool: ModelPool | None = None,
        folders: Folders | None = None,
        workflow: Mapping[str, Any] | None = None,
    ) -> None:
        self.cache, self.pool, self.workflow = cache, pool, workflow
        self.folders = folders or Folders()
        self.cancelled = False
        self.trouble = False  # a step has failed, or is still awaited
        self.waiting: dict[Future[Any], tuple[Step, float]] = {}
        self.world: World | None = None
        self.emit: Emit = lambda event: None
        self.failures: dict[str, BaseException] = {}
        self.temporary: tempfile.TemporaryDirectory[str] | None = None

    def cancel(self) -> None:
        """Stop before the next step; what is complete stays in the cache."""
        self.cancelled = True
        for future in list(self.waiting):
            future.cancel()

    def run(self, plan: Plan, emit: Emit | None = None) -> dict[str, Any]:
        """Run what the plan left to run; each event goes to `emit` at once. Gives the outputs that succeeded.

        `failures` holds, by node, what was raised by each that failed by its own fault.
        """
        self.emit = emit or self.emit
        began = perf_counter()
        self.emit(events.RunPlanned(plan.steps, plan.cached, plan.skipped))
        root = Frame(plan.root, plan.slots)
        outputs: dict[str, Any] = {}
        cancelled = False
        try:
            self.drive(self.finish(root, plan.order))
        except Cancelled:
            cancelled = True
        finally:
            if self.world:
                self.world.close()
                self.world = None
            if self.temporary:
                self.temporary.cleanup()
                self.temporary = None
        for name, slot in plan.outputs.items():
            value = plan.slots[slot]
            if value is not UNSET and not isinstance(value, (Failure, Future)):
                outputs[name] = value
        state = "cancelled" if cancelled else "failed" if self.failures else "done"
        self.emit(events.RunEnded(state, perf_counter() - began))  # type: ignore[arg-type]
        return outputs

    def drive(self, first: Activity) -> Any:
        """The trampoline: what an activity yields is another one to run first, or a request for one."""
        stack: list[Any] = [first]
        value: Any = None
        error: BaseException | None = None
        while stack:
            try:
                asked = stack[-1].send(value) if error is None else stack[-1].throw(error)
            except StopIteration as stop:
                stack.pop()
                value, error = stop.value, None
            except (Exception, Cancelled) as failure:
                stack.pop()
                value, error = None, failure
            else:
                value = error = None
                kind = type(asked)
                if kind is BodyCall:
                    stack.append(self.call(asked.body, asked.arguments))
                elif kind is LazyInput:
                    stack.append(self.lazily(asked))
                elif inspect.iscoroutine(asked):
                    stack.append(asked)
                else:
                    error = TypeError(
                        f"awaits {asked!r}, but a node with Lazy or Body inputs can await only those; "
                        "do the waiting in a node of its own"
                    )
        if error is not None:
            raise error
        return value

    # -- activities ---------------------------------------------------------------------------------------

    def finish(self, frame: Frame, order: Order) -> Activity:
        """Run steps, then wait for those that asyncio still has."""
        yield from self.steps(frame, order)
        for slot, value in enumerate(frame.slots) if self.waiting else ():
            if type(value) is Future:
                self.settle(frame, slot)

    def steps(self, frame: Frame, order: Order) -> Activity:
        """Run steps of one frame in order."""
        slots, env, emit, put, clock = frame.slots, frame.env, self.emit, self.cache.put, perf_counter
        inside = frame.parent is not None
        for step in order:
            if self.cancelled:
                raise Cancelled
            if isinstance(step, tuple):
                self.fused(frame, step)
                continue
            if self.trouble and self.blocked(frame, step):
                continue
            if step.twin:
                copy(step, slots)
                emit(events.NodeCached(step.node))
                continue
            kind = step.type
            if kind is GATHER:
                slots[step.out] = [slots[a] for a in step.args]
                continue
            key = step.key if not env else step_key(step, env)
            if inside and kind.cached and key and (value := self.cache.get(key, False)) is not MISSING:
                fill(step, slots, value)
                emit(events.NodeCached(step.node))
                continue
            emit(events.NodeStarted(step.node))
            began = clock()
            try:
                if step.plain:
                    value = step.run(*[slots[a] for a in step.args])
                else:
                    value = yield from self.special(frame, step)
                    if value is PENDING:
                        continue
                if len(kind.outputs) < 2:
                    slots[step.out] = value
                else:
                    value = several(step, value)
                    fill(step, slots, value)
            except Exception as error:
                self.fail(frame, step, error)
                continue
            seconds = clock() - began
            if key and kind.cached:
                put(key, value, seconds, not inside and kind.cache == "disk")
            emit(events.NodeFinished(step.node, seconds))

    def quickly(self, frame: Frame, order: Order) -> int:
        """Plain calls and nothing else, for bodies that take microseconds; gives how far it came."""
        slots = frame.slots
        for i, step in enumerate(order):
            if self.cancelled:
                raise Cancelled
            if isinstance(step, tuple) or not step.plain or self.trouble:
                return i
            try:
                value = step.run(*[slots[a] for a in step.args])
                if len(step.type.outputs) < 2:
                    slots[step.out] = value
                else:
                    fill(step, slots, several(step, value))
            except Exception as error:
                self.fail(frame, step, error)
                return i + 1
        return len(order)

    def special(self, frame: Frame, step: Step) -> Activity:
        """A node with a Context, one that awaits the engine, or one that awaits the world."""
        slots, kind = frame.slots, step.type
        values = [slots[a] for a in step.args]
        handed = Handed(frame, step)
        for position, slot in step.lazies:
            values[position] = LazyInput(frame, slot)
        for position, section in step.bodies:
            values[position] = BodyInput(frame, section, step.node, handed)
        if kind.context is not None:
            values[kind.context] = RunContext(self, step.node)
        given = kind.run(*values)
        if kind.awaits == "engine":
            return (yield given)
        if kind.awaits == "io":
            if self.world is None:
                self.world = World()
            slots[step.out] = future = self.world.submit(given)
            self.waiting[future] = step, perf_counter()
            self.trouble = True
            return PENDING
        return given

    def call(self, body: BodyInput, arguments: tuple[Any, ...]) -> Activity:
        """One call of a body: found under its key, or run in a new frame."""
        section, handed, cache = body.section, body.handed, self.cache
        env = body.frame.env + tuple([handed.key(a) for a in arguments])
        makers = [m for s in section.outputs if (m := section.maker[s]) and m.type.cached]
        keys = [step_key(m, env) for m in makers]
        found = [cache.get(k, False) if k else MISSING for k in keys]
        hit = len(found) == len(section.outputs) and MISSING not in found
        if hit:
            slots = section.template.copy()
            for maker, value in zip(makers, found, strict=True):
                fill(maker, slots, value)
        else:
            slots = (body.base or (yield from self.open(body))).copy()
            slots[: len(arguments)] = arguments
            frame = Frame(section, slots, env, body.frame)
            began = perf_counter()
            done = 0 if section.slow else self.quickly(frame, section.order)
            if done < len(section.order):
                yield from self.finish(frame, section.order[done:])
            seconds = perf_counter() - began
            failed = next((slots[s] for s in section.wanted if type(slots[s]) is Failure), None)
            if failed:
                raise Failed(failed)
            if done == len(section.order):  # else `steps` has put them
                for maker, key in zip(makers, keys, strict=True):
                    if key:
                        cache.put(key, result(maker, slots), seconds, False)
            section.slow = seconds > GLANCE
        values = tuple([slots[s] for s in section.outputs])
        frame = Frame(section, slots, env, body.frame)
        for slot, value in zip(section.outputs, values, strict=True):
            if type(value) is not int and type(value) is not float:
                handed.enter(value, frame.key(slot))
        body.calls += 1
        self.emit(events.BodyFinished(body.owner, body.calls, hit))
        return values[0]

    def open(self, body: BodyInput) -> Activity:
        """Before the first call: what was hoisted, then a template with everything from outside."""
        section, outside = body.section, body.frame
        if section.deferred:
            yield from self.demand(outside, section.deferred)
        base = section.template.copy()
        for outer, inner in section.captures.items():
            base[inner] = outside.slots[outer]
        body.base = base
        return base

    def lazily(self, lazy: LazyInput) -> Activity:
        """Answer a Lazy."""
        yield from self.demand(lazy.frame, (lazy.slot,))
        value = lazy.frame.slots[lazy.slot]
        if type(value) is Failure:
            raise Failed(value)
        return value

    def demand(self, frame: Frame, wanted: Iterable[int]) -> Activity:
        """Fill slots that were not planned to be: plan backwards from them now, against the cache."""
        wanted = tuple(wanted)
        slots, origin = frame.slots, frame.section.origin
        order, cached = needed(frame.section, slots, wanted, self.cache, frame.env)
        for node in cached:
            self.emit(events.NodeCached(node))
        reads = (*wanted, *(s for step in flat(order) for s in step.strict))
        missing = [s for s in dict.fromkeys(reads) if s in origin and slots[s] is UNSET]
        if missing:
            assert frame.parent is not None
            yield from self.demand(frame.parent, [origin[s] for s in missing])
            for slot in missing:
                slots[slot] = frame.parent.slots[origin[slot]]
        yield from self.steps(frame, order)
        for slot in wanted:
            if type(slots[slot]) is Future:
                self.settle(frame, slot)

    # -- one step -----------------------------------------------------------------------------------------

    def fused(self, frame: Frame, steps: tuple[Step, ...]) -> None:
        """A batch: those not found under their keys, as one call. All of them where size changes the bits."""
        slots, env, kind = frame.slots, frame.env, steps[0].type
        inside = frame.parent is not None
        twins = [s for s in steps if s.twin]
        own = [s for s in steps if not s.twin]
        ready = [s for s in own if not (self.trouble and self.blocked(frame, s))]
        whole = len(ready) == len(own) or kind.exact
        keys = [step_key(s, env) if whole else None for s in ready]
        found = [self.cache.get(k, False) if k and inside else MISSING for k in keys]
        if MISSING in found and not kind.exact:
            found = [MISSING] * len(ready)
        todo = []
        for step, key, value in zip(ready, keys, found, strict=True):
            if value is MISSING:
                todo.append((step, key))
            else:
                fill(step, slots, value)
                self.emit(events.NodeCached(step.node))
        if todo:
            self.batch(frame, todo)
        for step in twins:
            if not self.blocked(frame, step):
                copy(step, slots)
                self.emit(events.NodeCached(step.node))

    def batch(self, frame: Frame, todo: list[tuple[Step, Key | None]]) -> None:
        """Several calls as one."""
        slots, kind = frame.slots, todo[0][0].type
        for step, _ in todo:
            self.emit(events.NodeStarted(step.node))
        began = perf_counter()
        calls = [[slots[a] for a in s.args] for s, _ in todo]
        if kind.context is not None:
            for call, (step, _) in zip(calls, todo, strict=True):
                call[kind.context] = RunContext(self, step.node)
        try:
            values: Any
            if len(todo) == 1:
                values = [kind.run(*calls[0])]
            else:
                assert kind.batched is not None
                columns = {n: calls[0][i] if n in kind.shared else [c[i] for c in calls]
                           for i, n in enumerate(kind.inputs)}  # fmt: skip
                values = kind.batched(**columns)
                if len(values) != len(todo):
                    raise TypeError(
                        f"{kind.id}: its batched companion gave {len(values)} for {len(todo)} calls"
                    )
            if len(kind.outputs) > 1:
                values = [several(step, v) for (step, _), v in zip(todo, values, strict=True)]
        except Exception as error:
            for step, _ in todo:
                self.fail(frame, step, error)
            return
        seconds = (perf_counter() - began) / len(todo)
        for (step, key), value in zip(todo, values, strict=True):
            fill(step, slots, value)
            if key and kind.cached:
                self.cache.put(key, value, seconds, frame.parent is None and kind.cache == "disk")
            self.emit(events.NodeFinished(step.node, seconds))

    def blocked(self, frame: Frame, step: Step) -> bool:
        """Wait for inputs that asyncio still has; pass on the failure of one that failed."""
        for slot in step.strict:
            value = frame.slots[slot]
            if type(value) is Future:
                self.settle(frame, slot)
                value = frame.slots[slot]
            if type(value) is Failure:
                self.fail(frame, step, Failed(value))
                return True
        return False

    def fail(self, frame: Frame, step: Step, error: BaseException) -> None:
        """Put a Failure where the value would be."""
        failure = error.failure if isinstance(error, Failed) else Failure(step.node, error)
        for i in range(len(step.type.outputs) or 1):
            frame.slots[step.out + i] = failure
        self.trouble = True
        self.failures.setdefault(failure.node, failure.error)
        if step.type is not GATHER:
            text = f"{type(failure.error).__name__}: {failure.error}"
            self.emit(events.NodeFailed(step.node, failure.node, text))

    def settle(self, frame: Frame, slot: int) -> None:
        """Wait for a node that runs on asyncio."""
        future = frame.slots[slot]
        step, began = self.waiting.pop(future)
        try:
            value = future.result()
            if len(step.type.outputs) > 1:
                value = several(step, value)
        except CancelledError:
            raise Cancelled from None
        except Exception as error:
            self.fail(frame, step, error)
            return
        seconds = perf_counter() - began
        fill(step, frame.slots, value)
        key = step_key(step, frame.env)
        if key and step.type.cached:
            self.cache.put(key, value, seconds, frame.parent is None and step.type.cache == "disk")
        self.emit(events.NodeFinished(step.node, seconds))
