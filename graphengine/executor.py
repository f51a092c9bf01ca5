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
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import CancelledError, Future
from functools import partial
from itertools import repeat
from threading import Lock
from time import perf_counter
from traceback import clear_frames
from typing import Any

from graphengine import batch, events
from graphengine.authoring import Folders
from graphengine.body import BodyCall, BodyInput, Kept
from graphengine.cache import MISSING, Cache
from graphengine.context import RunContext, finished
from graphengine.errors import Cancelled, OutOfMemory
from graphengine.frame import Activity, Failed, Failure, Frame, Handed, LazyInput
from graphengine.graph import set_aside
from graphengine.inspector import Inspector
from graphengine.keys import Key
from graphengine.limit import TimeLimit
from graphengine.plan import (
    GATHER,
    UNSET,
    Order,
    Plan,
    Section,
    Step,
    copy,
    fill,
    flat,
    needed,
    releases,
    several,
    step_key,
)
from graphengine.pool import ModelPool, short_of_memory
from graphengine.world import Clocked, World

Emit = Callable[[events.Event], object]

NOTHING: Iterable[Sequence[int]] = repeat(())
PENDING: Any = type("Pending", (), {})()
"""What a node gave that has not come yet."""


class Executor:
    """Runs one plan against a cache and a pool of models. `cancel` may be called from any thread.

    `every` says how often the states of a slow loop are kept on disk: each `every`-th, or none if 0. `limit`
    is the number of seconds that a node may take, `inspector` watches every call.
    """

    def __init__(
        self,
        cache: Cache,
        pool: ModelPool | None = None,
        folders: Folders | None = None,
        workflow: Mapping[str, Any] | None = None,
        *,
        every: int = 0,
        limit: float | None = None,
        inspector: Inspector | None = None,
    ) -> None:
        self.cache, self.pool, self.workflow = cache, pool, workflow
        self.folders = folders or Folders()
        self.every, self.inspector = every, inspector
        self.limit = TimeLimit(limit) if limit else None
        self.widest = pool.widest if pool else {}
        self.watched = limit is not None or inspector is not None
        self.keeping = True  # until something is not, to the bit, what its key says
        self.cancelled = False
        self.trouble = False  # a step has failed, or is still awaited
        self.waiting: dict[Future[Clocked], tuple[Frame, Step]] = {}
        self.later: dict[Frame, Kept] = {}
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

        `emit` is called by one thread at a time. `failures` holds, by node, what was raised by each that
        failed by its own fault.
        """
        self.emit = emit or self.emit
        began = perf_counter()
        self.emit(events.RunPlanned(plan.steps, plan.cached, plan.skipped))
        root = Frame(plan.root, plan.slots)
        outputs: dict[str, Any] = {}
        cancelled = False
        try:
            with set_aside(len(plan.order)):
                self.drive(self.finish(root, plan.order, releases(plan)))
        except Cancelled:
            cancelled = True
        finally:
            self.close()
        for name, slot in plan.outputs.items():
            value = plan.slots[slot]
            if value is not UNSET and not isinstance(value, (Failure, Future)):
                outputs[name] = value
        state = "cancelled" if cancelled else "failed" if self.failures else "done"
        self.emit(events.RunEnded(state, perf_counter() - began))  # type: ignore[arg-type]
        return outputs

    def close(self) -> None:
        """End what the run has started."""
        if self.world:
            self.world.close()
            self.world = None
        if self.limit:
            self.limit.close()
        if self.temporary:
            self.temporary.cleanup()
            self.temporary = None

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
                value, error = [stop.value], None
            except (Exception, Cancelled) as failure:
                stack.pop()
                value, error = None, failure
            else:
                value = error = None
                kind = type(asked)
                if kind is BodyCall:
                    stack.append(asked.body.run(asked.arguments))
                elif kind is LazyInput:
                    stack.append(self.lazily(asked))
                elif inspect.iscoroutine(asked):
                    stack.append(asked)
                else:
                    error = TypeError(
                        f"awaits {asked!r}, but a node with Lazy or Body inputs can await only those; "
                        "do the waiting in a node of its own"
                    )
                asked = None  # it holds its arguments
        if error is not None:
            raise error
        return value.pop()

    # -- activities ---------------------------------------------------------------------------------------

    def finish(self, frame: Frame, order: Order, free: Iterable[Sequence[int]] = NOTHING) -> Activity:
        """Run steps, then wait for those that have not come yet; effects of a body may come later still."""
        yield from self.steps(frame, order, free)
        if self.waiting:
            for future, (home, step) in list(self.waiting.items()):
                if frame.parent is None or (home is frame and not step.type.effect):
                    self.settle(future)

    def steps(self, frame: Frame, order: Order, free: Iterable[Sequence[int]] = NOTHING) -> Activity:
        """Run steps of one frame in order; `free` says, for each, which slots nothing reads from there on."""
        slots, env, clock = frame.slots, frame.env, perf_counter
        inside, watched = frame.parent is not None, self.watched
        for step, spent in zip(order, free, strict=False):
            if self.cancelled:
                raise Cancelled
            for slot in spent:
                slots[slot] = UNSET
            if isinstance(step, tuple):
                batch.run(self, frame, step)
                continue
            if self.trouble and self.blocked(frame, step):
                continue
            if step.twin:
                copy(step, slots)
                self.emit(events.NodeCached(step.node))
                continue
            kind = step.type
            if kind is GATHER:
                slots[step.out] = [slots[a] for a in step.args]
                continue
            key = step.key if not env else step_key(step, env)
            if inside and kind.cached and key and (value := self.cache.get(key, False)) is not MISSING:
                fill(step, slots, value)
                self.emit(events.NodeCached(step.node))
                continue
            if step.plain or not kind.beside:
                self.emit(events.NodeStarted(step.node))
            began = clock()
            try:
                if not step.plain:
                    value = yield from self.special(frame, step)
                    if value is PENDING:
                        continue
                elif watched:
                    value = self.single(step, [slots[a] for a in step.args])
                else:
                    try:
                        value = step.run(*[slots[a] for a in step.args])
                    except Exception as error:
                        value = self.again(step, [slots[a] for a in step.args], error)
                if len(kind.outputs) < 2:
                    slots[step.out] = value
                else:
                    value = several(step, value)
                    fill(step, slots, value)
                seconds = clock() - began
                self.keep(step, key, value, seconds, not inside and kind.cache == "disk")
            except Exception as error:
                self.fail(frame, step, error)
                continue
            finished(self.emit, step, value, seconds, inside)

    def special(self, frame: Frame, step: Step) -> Activity:
        """A node with a Context, one that awaits the engine, or one that is not run on this thread."""
        slots, kind = frame.slots, step.type
        values = [slots[a] for a in step.args]
        if kind.context is not None:
            values[kind.context] = self.context(step.node)
        if kind.awaits == "engine":
            handed = Handed(frame, step)
            for position, slot in step.lazies:
                values[position] = LazyInput(frame, slot)
            for position, section in step.bodies:
                values[position] = BodyInput(self, frame, section, step.node, handed)
            before = self.inspector.digests(step, values) if self.inspector else {}
            given = (yield kind.run(*values)).pop()
            self.settle_effects(frame, [section for _, section in step.bodies])
            if self.inspector:
                self.inspector.unchanged(step, values, before)
            return given
        if kind.beside:
            world = self.outside()
            if kind.awaits:
                future = world.submit(self.awaited, step, values)
            else:
                future = world.call(self.blocking, step, values)
            for i in range(len(kind.outputs) or 1):
                slots[step.out + i] = future
            self.waiting[future] = frame, step
            self.trouble = True
            if self.cancelled:  # it has come before this one was known
                future.cancel()
            return PENDING
        return self.single(step, values)

    def outside(self) -> World:
        """The threads beside this one; from now on events come from several, one at a time."""
        if self.world is None:
            self.world = World()
            lock, emit = Lock(), self.emit

            def one_at_a_time(event: events.Event) -> None:
                with lock:
                    emit(event)

            self.emit = one_at_a_time
        return self.world

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
                self.settle(slots[slot])

    # -- one step -----------------------------------------------------------------------------------------

    def context(self, node: str) -> RunContext:
        """What a node asks the engine through."""
        return RunContext(self, node)

    def invoke(self, step: Step, function: Callable[..., Any], arguments: Sequence[Any]) -> Any:
        """Call a node's function, watched where that was asked for."""
        if self.limit:
            function = self.limit.around(function)
        return self.inspector.call(step, function, arguments) if self.inspector else function(*arguments)

    def blocking(self, step: Step, arguments: Sequence[Any]) -> Any:
        """One call of a node, in a thread of its own."""
        self.emit(events.NodeStarted(step.node))
        return self.single(step, arguments)

    async def awaited(self, step: Step, arguments: Sequence[Any]) -> Any:
        """One call of a node that awaits the world, watched where that was asked for."""
        self.emit(events.NodeStarted(step.node))
        function = partial(self.limit.wait, step.run) if self.limit else step.run
        if self.inspector:
            return await self.inspector.awaited(step, function, arguments)
        return await function(*arguments)

    def single(self, step: Step, arguments: Sequence[Any]) -> Any:
        """One call of a node, tried again where memory does not suffice."""
        try:
            return self.invoke(step, step.run, arguments)
        except Exception as error:
            return self.again(step, arguments, error)

    def again(self, step: Step, arguments: Sequence[Any], error: Exception) -> Any:
        """After an error: once more with every model let go, then in the frugal way that the node offers.

        Raises the error itself where memory was not the trouble.
        """
        if not short_of_memory(error):
            raise error
        kind, ways = step.type, [step.run]
        if kind.frugal:
            ways.append(kind.frugal)
        for way in ways:
            clear_frames(error.__traceback__)  # what the attempt had made takes memory too
            self.relieve()
            self.keeping = self.keeping and way is step.run  # another way may give other bits
            try:
                return self.invoke(step, way, arguments)
            except Exception as trouble:
                if not short_of_memory(trouble):
                    raise
                error = trouble
        clear_frames(error.__traceback__)
        where = self.pool.device.name if self.pool else "this machine"
        raise OutOfMemory(
            f"{kind.id} needs more memory than {where} has, even with every model let go; give it smaller "
            "pictures or fewer at once, or use another device"
        ) from error

    def relieve(self) -> None:
        """Let go of every model."""
        if self.pool:
            self.pool.clear()

    def keep(self, step: Step, key: Key | None, value: Any, seconds: float, deep: bool) -> None:
        """Put a finished value into the cache. With an inspector, NodeImpure if it cannot be right."""
        if key and step.type.cached and self.keeping:
            if self.inspector:
                self.inspector.compare(step, key, value)
            self.cache.put(key, value, seconds, deep)

    def blocked(self, frame: Frame, step: Step) -> bool:
        """Wait for inputs that have not come yet; pass on the failure of one that failed."""
        for slot in step.strict:
            value = frame.slots[slot]
            if type(value) is Future:
                self.settle(value)
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

    def settle_effects(self, frame: Frame, bodies: Sequence[Section], ahead: int = 0) -> None:
        """Wait for the effects of these bodies, but for the last `ahead`. Failed if one has failed."""
        late = [(f, h, s) for f, (h, s) in self.waiting.items() if h.parent is frame and h.section in bodies]
        for place, (future, home, step) in enumerate(late, ahead - len(late)):
            if place >= 0 and not future.done():
                break
            self.settle(future)
            if type(failure := home.slots[step.out]) is Failure:
                raise Failed(failure)

    def whole(self, frame: Frame, kept: Kept) -> None:
        """Keep what a call of a body gave, now or when the last of its effects has come."""
        if any(home is frame for home, _ in self.waiting.values()):
            self.later[frame] = kept
        else:
            self.keep(*kept)

    def settle(self, future: Future[Any]) -> None:
        """Wait for a node that runs beside this thread."""
        if future not in self.waiting:  # another slot of the same node has waited for it
            return
        frame, step = self.waiting[future]
        try:
            try:
                value, seconds = future.result()
            finally:
                del self.waiting[future]  # not before: until then `cancel` finds it there
            if len(step.type.outputs) > 1:
                value = several(step, value)
            fill(step, frame.slots, value)
            deep = frame.parent is None and step.type.cache == "disk"
            self.keep(step, step_key(step, frame.env), value, seconds, deep)
            if frame in self.later:
                self.whole(frame, self.later.pop(frame))
        except Exception as error:
            if self.cancelled and isinstance(error, CancelledError):
                raise Cancelled from None
            self.fail(frame, step, error)
            for other in [f for f in self.later if f.parent is frame.parent and f.section is frame.section]:
                del self.later[other]  # a loop may resume after a round only if all before it are whole
            return
        finished(self.emit, step, value, seconds, frame.parent is not None)
