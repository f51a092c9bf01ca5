"""Plan, Section, Step: what can run, on which slots, under which key; settled before anything runs.

* A **Section** is one graph, planned: the root or a body. Its values live in numbered slots; literals stand
  in the template, so an argument is always `slots[i]`. What a body uses from outside is copied in
  (`captures`).
* A step lives in the innermost section whose inputs it depends on. This *is* hoisting: a loop-invariant step
  belongs to a section around the loop, has a key without symbols, and runs when the body is first called.
* A link into a body is an input of the node that owns the body: computed before it, batched, pruned, failed
  like any other. Only Lazy inputs and hoisted steps wait until they are asked for (`needed` at run time).
* A batch is planned from the file alone, never from what the cache holds, or a cached run would add up in
  another order than an uncached one. Calls that are not `exact` are fused in bodies only, and a batch of them
  has its size in their keys.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from graphengine.cache import MISSING, Cache
from graphengine.graph import Graph
from graphengine.keys import Key, bind
from graphengine.nodetype import NodeType

Slots = list[Any]
UNSET: Any = type("Unset", (), {"__repr__": lambda self: "UNSET"})()
"""What stands in a slot that nothing has filled yet."""

GATHER = NodeType("graphengine.list", "List", "", "", "", "", {}, {"items": "any"}, "", cache="none")
"""The type of the silent steps that make one list of several links."""


@dataclass(slots=True, eq=False)
class Step:
    """One call on slots. `rank` is its place in its section's order."""

    node: str
    type: NodeType
    run: Callable[..., Any]
    args: tuple[int, ...]
    out: int
    """The first of its output slots."""
    strict: tuple[int, ...]
    """Slots that must be filled before it runs."""
    rank: int
    deps: tuple[int, ...]
    """Which arguments of the bodies around it it depends on."""
    lazies: tuple[tuple[int, int], ...] = field(default=(), init=False)
    """Positions of Lazy arguments, and their slots."""
    bodies: tuple[tuple[int, Section], ...] = field(default=(), init=False)
    """Positions of Body arguments, and their sections."""
    key: Key = field(default=b"", init=False)
    """Empty where what it gives is not to be found again."""
    plain: bool = field(default=True, init=False)
    """Whether it is a function call and nothing else."""
    batch: int = field(default=-1, init=False)
    """Which batch it belongs to; -1 is none."""
    size: int = field(default=0, init=False)
    """Calls in its batch, where that may change the bits."""
    twin: Step | None = field(default=None, init=False)
    """An earlier step with the same key: this one copies, it does not run."""


Order = Sequence[Step | tuple[Step, ...]]
"""Steps to run one after the other, batches as tuples."""


@dataclass(eq=False)
class Section:
    """A graph, planned."""

    graph: Graph
    base: int = 0
    """How many arguments the bodies around it have."""
    template: Slots = field(default_factory=list)
    keys: list[bytes | None] = field(default_factory=list)
    maker: list[Step | None] = field(default_factory=list)
    steps: list[Step] = field(default_factory=list)
    captures: dict[int, int] = field(default_factory=dict)
    """Slot in the parent -> slot here."""
    origin: dict[int, int] = field(default_factory=dict)
    """And back."""
    outputs: tuple[int, ...] = ()
    wanted: tuple[int, ...] = ()
    """Outputs and effects."""
    order: Order = ()
    """What one call of a body runs."""
    eager: tuple[int, ...] = ()
    """Slots of the parent that the owner needs before it starts."""
    deferred: tuple[int, ...] = ()
    """Slots of the parent that are needed at the first call: hoisted steps."""
    slow: bool = True
    """Whether its calls take long enough to look inside the cache and to tell of its nodes."""
    effects: tuple[Step, ...] = ()
    """The steps that run for what they do, not for what they give."""
    gives: Step | None = None
    """The step that makes the output of a body, if what it gives may be used again."""

    def add(self, value: Any = UNSET, key: bytes | None = None, maker: Step | None = None) -> int:
        """A new slot."""
        self.template.append(value)
        self.keys.append(key)
        self.maker.append(maker)
        return len(self.template) - 1

    def capture(self, slot: int) -> int:
        """The slot here for a slot of the parent."""
        found = self.captures.get(slot)
        if found is None:
            found = self.captures[slot] = self.add()
            self.origin[found] = slot
        return found


@dataclass(frozen=True, eq=False)
class Plan:
    """The root section, its slots with everything the cache had, and the steps left to run.

    `cached` are nodes whose outputs the cache has, asked for or not; `skipped` are the others that nothing
    needs as things stand: they lead to cached ones only, to a branch not taken yet, or to no output.
    """

    root: Section
    slots: Slots
    order: Order
    cached: tuple[str, ...]
    outputs: dict[str, int]

    @property
    def steps(self) -> tuple[str, ...]:
        """The nodes that will run, in order."""
        return tuple(s.node for s in flat(self.order) if s.type is not GATHER)

    @property
    def skipped(self) -> tuple[str, ...]:
        """The nodes outside of bodies that nothing needs as things stand."""
        wanted = {*self.steps, *self.cached}
        return tuple(id for id in self.root.graph.ids if id not in wanted)


def flat(order: Order) -> Iterator[Step]:
    """The steps of an order, batches opened."""
    for step in order:
        if isinstance(step, tuple):
            yield from step
        else:
            yield step


def strictly(section: Section) -> Iterator[int]:
    """Every slot that one run of the section surely reads."""
    seen, stack = set(section.wanted), list(section.wanted)
    while stack:
        slot = stack.pop()
        yield slot
        step = section.maker[slot]
        if step:
            for need in step.strict:
                if need not in seen:
                    seen.add(need)
                    stack.append(need)


def needed(
    section: Section,
    slots: Slots,
    wanted: Iterable[int],
    cache: Cache | None = None,
    env: Sequence[Key | None] = (),
) -> tuple[Order, list[str]]:
    """Backwards from the wanted slots: what must run, in order, and what the cache had (now in its slots)."""
    found: list[Step] = []
    cached: list[str] = []
    seen = set[int]()
    stack, maker = list(wanted), section.maker
    while stack:
        slot = stack.pop()
        if slots[slot] is not UNSET:
            continue
        step = maker[slot]
        if step is None or step.out in seen:
            continue
        seen.add(step.out)
        kind = step.type
        if cache is not None and kind.cached:
            key = step_key(step, env)
            value = cache.get(key, not env and kind.cache == "disk") if key else MISSING
            if value is not MISSING:
                fill(step, slots, value)
                cached.append(step.node)
                continue
        found.append(step)
        stack += step.strict
    found.sort(key=by_rank)
    if not any(s.batch >= 0 for s in found):
        return found, cached
    order: list[Step | tuple[Step, ...]] = []
    last = -1
    for step in found:
        if step.batch >= 0 and step.batch == last:
            before = order.pop()
            order.append((*before, step) if isinstance(before, tuple) else (before, step))
        else:
            order.append(step)
        last = step.batch
    return order, cached


def by_rank(step: Step) -> int:
    """Where a step stands in its section's order."""
    return step.rank


def step_key(step: Step, env: Sequence[Key | None]) -> Key | None:
    """The key of a step in a frame whose bodies were called with these keys; None if one is unknown."""
    return bind(step.key, [env[d] for d in step.deps]) if step.deps else step.key


def fill(step: Step, slots: Slots, value: Any) -> None:
    """Put what a step gave into its slots."""
    if len(step.type.outputs) < 2:
        slots[step.out] = value
    else:
        slots[step.out : step.out + len(value)] = value


def result(step: Step, slots: Slots) -> Any:
    """What a step gave, as the cache keeps it: the value, or a tuple of several."""
    width = len(step.type.outputs)
    return slots[step.out] if width < 2 else tuple(slots[step.out : step.out + width])


def copy(step: Step, slots: Slots) -> None:
    """A twin gives what the earlier step gave."""
    assert step.twin is not None
    for i in range(len(step.type.outputs) or 1):
        slots[step.out + i] = slots[step.twin.out + i]


def several(step: Step, value: Any) -> tuple[Any, ...]:
    """What a node with several outputs gave, as a tuple of just as many."""
    names = step.type.outputs
    if not isinstance(value, tuple) or len(value) != len(names):
        raise TypeError(
            f"{step.type.id} must return {len(names)} values, {', '.join(names)}; it gave {value!r:.80}"
        )
    return tuple(value)


def releases(plan: Plan) -> list[Sequence[int]]:
    """For each place in the order of a plan: the slots that nothing reads from there on.

    What is wanted stays, and so does what a Lazy or a body may still ask for.
    """
    section, steps = plan.root, list(flat(plan.order))
    stays = {*plan.outputs.values(), *section.wanted}
    stack = [slot for step in steps for slot in later(step)]
    while stack:
        slot = stack.pop()
        if slot not in stays:
            stays.add(slot)
            if maker := section.maker[slot]:
                stack += [*maker.strict, *later(maker)]
    last: dict[int, int] = {}
    for place, some in enumerate(plan.order, 1):
        for step in some if isinstance(some, tuple) else (some,):
            if len(step.type.outputs) > 1:  # of several, one may have no reader at all
                last.update(dict.fromkeys(range(step.out, step.out + len(step.type.outputs)), place))
            for slot in step.strict:
                last[slot] = place
    found: list[Any] = [()] * (len(plan.order) + 1)
    for slot, place in last.items():
        if slot not in stays and section.maker[slot]:
            found[place] = (*found[place], slot)
    return found


def later(step: Step) -> Iterator[int]:
    """The slots that a step may ask for while it runs."""
    if not step.plain:
        yield from (slot for _, slot in step.lazies)
        for _, body in step.bodies:
            yield from (slot for slot in body.captures if slot not in body.eager)
