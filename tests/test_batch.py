"""Several calls as one, and what becomes of calls, one or several, that do not fit into memory."""

from __future__ import annotations

import gc
import weakref
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import pytest
import torch
from samples import TYPES, body, call, file, link, ran

from graphengine import events
from graphengine.authoring import NO_CONTEXT, Context, Folders, Handle, node
from graphengine.cache import Cache
from graphengine.check import check
from graphengine.errors import OutOfMemory
from graphengine.executor import Executor
from graphengine.nodetype import NodeType
from graphengine.plan import Plan, flat
from graphengine.planner import plan
from graphengine.pool import ModelPool
from graphengine.signature import read
from graphengine.types import WireType
from graphengine.workflow import Workflow


class Memory:
    """The memory of a device that is not there: how many calls fit, and which error says that they do not."""

    def __init__(self) -> None:
        self.room = 100
        self.cleared = 0
        self.after_clearing: int | None = None
        self.error: Exception = torch.OutOfMemoryError("CUDA out of memory")
        self.litter: list[weakref.ref[Any]] = []

    def take(self, width: int) -> None:
        """Make something, and find that it does not fit."""
        made = torch.zeros(10)
        self.litter.append(weakref.ref(made))
        if width > self.room:
            raise type(self.error)(*self.error.args)


memory = Memory()


@pytest.fixture(autouse=True)
def fresh_memory() -> Iterator[None]:
    memory.__init__()  # type: ignore[misc]
    ran.clear()
    yield
    memory.litter.clear()


class Pool(ModelPool):
    """Models on that device."""

    def __init__(self, budget: int = 1 << 30) -> None:
        super().__init__("cpu", Folders(), budget)

    def clear(self) -> None:
        super().clear()
        memory.cleared += 1
        if memory.after_clearing is not None:
            memory.room = memory.after_clearing


class Recording(Cache):
    """Remembers each value that was put under a key."""

    def __init__(self) -> None:
        super().__init__()
        self.values: dict[bytes, Any] = {}
        self.puts: Counter[bytes] = Counter()

    def put(self, key: bytes, value: Any, seconds: float, deep: bool = True) -> None:
        self.puts[key] += 1
        assert self.values.setdefault(key, value) == value, "one key, two values"
        super().put(key, value, seconds, deep)


def wide_many(x: list[int], base: int) -> list[int]:
    """The size of a batch shows in the last digits."""
    ran.append(f"wide x{len(x)}")
    memory.take(len(x))
    return [base + i * 100 + len(x) for i in x]


@node(batched=wide_many)
def wide(x: int, base: int = 0) -> int:
    """Stands for a network whose bits depend on the batch."""
    ran.append("wide")
    memory.take(1)
    return base + x * 100 + 1


def steady_many(x: list[int]) -> list[int]:
    """The same numbers as one by one."""
    ran.append(f"steady x{len(x)}")
    memory.take(len(x))
    return [i * 100 for i in x]


@node(batched=steady_many, exact=True)
def steady(x: int) -> int:
    """Gives the same alone and in a batch."""
    ran.append("steady")
    memory.take(1)
    return x * 100


def short_many(x: list[int]) -> list[int]:
    return x[1:]


@node(batched=short_many)
def short(x: int) -> int:
    """Its companion gives too little."""
    return x


def faulty_many(x: list[int]) -> list[int]:
    raise ValueError("no batch")


@node(batched=faulty_many)
def faulty(x: int) -> int:
    """Its companion fails."""
    return x


def tiled(x: int) -> int:
    """In another way, with other bits."""
    ran.append("tiled")
    memory.take(0)
    return x * 100 + 7


@node(frugal=tiled)
def large(x: int) -> int:
    """Needs much."""
    ran.append("large")
    memory.take(1)
    return x * 100


@node
def plain(x: int) -> int:
    """Needs much, and knows no other way."""
    ran.append("plain")
    memory.take(1)
    return x * 100


@node(device="io")
def beside(x: int) -> int:
    """Needs much, in a thread."""
    ran.append("beside")
    memory.take(1)
    return x * 100


@WireType("Weights")
@dataclass(frozen=True)
class Weights:
    name: str

    def load(self, folders: Folders, device: str) -> torch.nn.Module:
        ran.append(f"load {self.name}")
        return torch.nn.Linear(250, 1, bias=False)


@node
def weights(name: str) -> Weights:
    """A handle."""
    return Weights(name)


@node
def use(model: Weights, x: int, ctx: Context = NO_CONTEXT) -> int:
    """Computes with a model: there is room only while no other one is loaded."""
    handle: Handle[Any] = model
    loaded = ctx.use(handle)
    ran.append(f"use {model.name}")
    if memory.cleared == 0:
        raise torch.OutOfMemoryError("CUDA out of memory")
    return int(loaded.weight.shape[1]) + x


FUNCTIONS = (wide, steady, short, faulty, large, plain, beside, weights, use)
MINE: dict[str, NodeType] = TYPES | {t.id: t for t in (read(f, "t", f.__name__) for f in FUNCTIONS)}
ONE_BY_ONE = MINE | {
    f"t.{name}": replace(MINE[f"t.{name}"], batched=None, fuses=False) for name in ("wide", "steady")
}


def planned(text: str, cache: Cache, pool: ModelPool | None = None, types: Any = MINE) -> Plan:
    workflow = Workflow.parse(text)
    assert check(workflow, types) == []
    return plan(workflow, types, cache, widest=pool.widest if pool else {})


class Run:
    """A run, and what it told."""

    def __init__(
        self, text: str, cache: Cache | None = None, pool: ModelPool | None = None, **options: Any
    ) -> None:
        ran.clear()
        cache = Cache() if cache is None else cache
        self.told: list[Any] = []
        self.executor = Executor(cache, pool, **options)
        self.outputs = self.executor.run(planned(text, cache, pool), self.told.append)

    def named(self, kind: type) -> list[str]:
        return [event.node for event in self.told if isinstance(event, kind)]


def fused(xs: list[int], kind: str = "wide", last: int = 0) -> str:
    """A loop of one round whose body calls a node type once for each x; `last` changes what comes after."""
    inside = {f"w{k}": call(kind, x=x) for k, x in enumerate(xs)}
    for k, w in enumerate(inside.values()):
        w["inputs"]["x"] = link(f"a{k}.value")
    inside |= {f"a{k}": call("add", a=link("i"), b=x) for k, x in enumerate(xs)}
    inside["t"] = call("total", items=[*(link(f"w{k}.value") for k in range(len(xs))), last])
    return file({"v": "m.result"}, m=call("map", over=[0], body=body(["i"], {"x": "t.value"}, **inside)))


def widths(text: str, pool: ModelPool | None = None) -> list[int]:
    """How many calls of `wide` each planned batch has."""
    found = planned(text, Cache(), pool)
    (step,) = (s for s in flat(found.order) if s.bodies)
    batches = [s if isinstance(s, tuple) else (s,) for s in step.bodies[0][1].order]
    return [len(batch) for batch in batches if batch[0].type.id == "t.wide"]


# -- fusing --------------------------------------------------------------------------------------------------


def test_independent_calls_are_one_call_and_each_is_told_by_its_own_events() -> None:
    run = Run(fused([1, 2, 3]))
    assert run.outputs == {"v": [6 * 100 + 3 * 3]}
    assert ran.count("wide x3") == 1
    assert "wide" not in ran
    assert {"w0", "w1", "w2"} <= set(run.named(events.NodeStarted)) & set(run.named(events.NodeFinished))


def test_an_exact_batch_computes_only_what_is_not_known_and_another_one_all_of_it() -> None:
    for kind, then in (("steady", "steady"), ("wide", "wide x2")):
        cache = Cache()
        Run(fused([1, 2], kind), cache)
        changed = Run(fused([1, 3], kind), cache)
        assert changed.outputs == Run(fused([1, 3], kind)).outputs
        changed = Run(fused([1, 4], kind), cache)
        assert [r for r in ran if r.startswith(kind)] == [then]


def test_a_whole_batch_that_is_known_is_found_though_what_follows_has_changed() -> None:
    cache = Cache()
    Run(fused([1, 2]), cache)
    run = Run(fused([1, 2], last=5), cache)
    assert ran == ["total"]
    assert {"w0", "w1"} <= set(run.named(events.NodeCached))
    assert run.outputs == Run(fused([1, 2], last=5)).outputs


def test_a_call_whose_twin_stands_in_its_batch_is_never_taken_for_one_of_a_fuller_batch() -> None:
    """Two equal calls are computed as one, so their bits are those of a smaller batch than was planned."""
    cache = Recording()
    Run(fused([1, 1]), cache)
    Run(fused([1, 2]), cache)
    assert Run(fused([1, 2], last=5), cache).outputs == Run(fused([1, 2], last=5)).outputs


@pytest.mark.parametrize(
    ("kind", "said"), [("short", "batched companion gave 1 for 2 calls"), ("faulty", "no batch")]
)
def test_a_companion_that_fails_fails_all_its_calls_and_nothing_else(kind: str, said: str) -> None:
    text = fused([1, 2], kind).replace(
        '"nodes": {"m"', '"nodes": {"g": {"type": "t.add", "inputs": {"a": 1, "b": 1}}, "m"'
    )
    run = Run(text.replace('{"v": "m.result"}', '{"v": "m.result", "g": "g.value"}'))
    assert run.outputs == {"g": 2}
    assert {"w0", "w1"} <= set(run.named(events.NodeFailed))
    assert said in str(run.executor.failures["w0"])


def test_calls_beside_one_that_cannot_run_do_run_but_are_not_known_as_a_whole_batch() -> None:
    inside = {
        "b": call("broken", a=link("i")),
        "a": call("add", a=link("i"), b=1),
        "w0": call("wide", x=link("a.value")),
        "w1": call("wide", x=link("b.value")),
        "t": call("total", items=[link("w0.value"), link("w1.value")]),
    }
    text = file({"v": "m.result"}, m=call("map", over=[0], body=body(["i"], {"x": "t.value"}, **inside)))
    cache = Recording()
    assert Run(text, cache).outputs == {}
    assert "wide" in ran
    assert 101 not in cache.values.values()


def test_a_cancelled_batch_ends_whole_and_nothing_follows_it() -> None:
    cache = Cache()
    executor = Executor(cache)
    told: list[Any] = []

    def emit(event: Any) -> None:
        told.append(event)
        if isinstance(event, events.NodeStarted) and event.node == "w0":
            executor.cancel()

    assert executor.run(planned(fused([1, 2, 3]), cache), emit) == {}
    assert told[-1].state == "cancelled"
    assert ran[-1] == "wide x3"
    assert "total" not in ran
    run = Run(fused([1, 2, 3]), cache)
    assert run.outputs == Run(fused([1, 2, 3])).outputs
    assert Run(fused([1, 2, 3]), cache).named(events.NodeStarted) == []


# -- too little memory, one call -----------------------------------------------------------------------------

ERRORS = [
    torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB"),
    MemoryError("too much"),
    RuntimeError("[enforce fail at alloc_cpu.cpp:117] DefaultCPUAllocator: can't allocate memory"),
]


@pytest.mark.parametrize("error", ERRORS, ids=lambda e: type(e).__name__)
@pytest.mark.parametrize("kind", ["plain", "large", "beside"])
def test_models_are_let_go_and_the_call_is_tried_once_more(kind: str, error: Exception) -> None:
    memory.room, memory.after_clearing, memory.error = 0, 1, error
    text, cache = file({"v": "a.value"}, a=call(kind, x=3)), Cache()
    run = Run(text, cache, Pool())
    assert run.outputs == {"v": 300}
    assert (ran, memory.cleared) == ([kind, kind], 1)
    assert Run(text, cache, Pool()).named(events.NodeStarted) == []  # it is what its key says


def test_the_model_that_a_call_needs_is_loaded_again() -> None:
    pool = Pool()
    pool.use(Weights("other"))
    text = file({"v": "u.value"}, m=call("weights", name="mine"), u=call("use", model=link("m.weights"), x=1))
    run = Run(text, None, pool)
    assert run.outputs == {"v": 251}
    assert ran == ["load mine", "use mine", "load mine", "use mine"]
    assert [handle.name for handle in pool.residents] == ["mine"]
    assert run.named(events.ModelLoaded) == ["u", "u"]


def test_then_the_frugal_way_is_taken_and_what_it_gives_is_not_kept() -> None:
    memory.room = 0
    text = file({"v": "b.value"}, a=call("large", x=3), b=call("add", a=link("a.value"), b=1))
    cache = Recording()
    assert Run(text, cache, Pool()).outputs == {"v": 308}
    assert ran == ["large", "large", "tiled", "add"]
    assert cache.values == {}
    memory.room = 1
    assert Run(text, cache, Pool()).outputs == {"v": 301}
    assert ran == ["large", "add"]
    assert Run(text, cache, Pool()).outputs == {"v": 301}
    assert ran == []


def test_what_was_computed_before_the_frugal_way_is_kept() -> None:
    memory.room = 0
    text = file({"v": "b.value"}, a=call("add", a=1, b=2), b=call("large", x=link("a.value")))
    cache = Recording()
    Run(text, cache, Pool())
    assert [*cache.values.values()] == [3]


@pytest.mark.parametrize(
    ("kind", "tries"), [("plain", ["plain"] * 2), ("large", ["large", "large", "tiled"])]
)
def test_when_nothing_helps_the_node_fails_with_a_clear_error(kind: str, tries: list[str]) -> None:
    memory.room = -1
    text = file({"v": "b.value", "g": "g.value"}, a=call(kind, x=3), b=call("add", a=link("a.value"), b=1),
                g=call("add", a=1, b=1))  # fmt: skip
    run = Run(text, None, Pool())
    assert run.outputs == {"g": 2}
    assert [r for r in ran if r != "add"] == tries
    error = run.executor.failures["a"]
    assert type(error) is OutOfMemory
    assert str(error) == (
        f"t.{kind} needs more memory than cpu has, even with every model let go; give it smaller pictures or "
        "fewer at once, or use another device"
    )
    assert type(error.__cause__) is torch.OutOfMemoryError


def test_without_a_pool_it_is_tried_again_all_the_same() -> None:
    memory.room = 0
    assert Run(file({"v": "a.value"}, a=call("large", x=3))).outputs == {"v": 307}
    run = Run(file({"v": "a.value"}, a=call("plain", x=3)))
    assert "needs more memory than this machine has" in str(run.executor.failures["a"])


def test_another_error_is_the_node_s_own_and_is_not_tried_again() -> None:
    memory.room, memory.error = 0, RuntimeError("shapes do not match")
    run = Run(file({"v": "a.value"}, a=call("large", x=3)), None, Pool())
    assert (ran, memory.cleared) == (["large"], 0)
    assert type(run.executor.failures["a"]) is RuntimeError


@pytest.mark.parametrize("way", ["alone", "in a body", "in a quick body", "with a limit", "in a batch"])
def test_what_a_failed_try_has_made_is_gone_before_the_next(way: str) -> None:
    """Else its own tensors would take the memory that the next try needs."""
    left: list[int] = []
    memory.room, memory.error = 0, torch.OutOfMemoryError("CUDA out of memory")

    class Watching(Pool):
        def clear(self) -> None:
            left.append(sum(ref() is not None for ref in memory.litter))
            super().clear()

    inside = {"p": call("large", x=link("i"))}
    over = [1] if way == "in a body" else [1, 2, 3]
    text = file({"v": "m.result"}, m=call("map", over=over, body=body(["i"], {"x": "p.value"}, **inside)))
    if way == "alone" or way == "with a limit":
        text = file({"v": "p.value"}, p=call("large", x=3))
    if way == "in a batch":
        text = fused([1, 2])
    gc.disable()
    try:
        Run(text, None, Watching(), limit=60 if way == "with a limit" else None)
    finally:
        gc.enable()
    assert len(left) >= 2
    assert set(left) == {0}


def test_in_a_quick_body_it_is_tried_again_too() -> None:
    """The rounds of a body that takes microseconds are run in a shorter way."""
    text = file(
        {"v": "m.result"},
        m=call("map", over=list(range(5)), body=body(["i"], {"x": "p.value"}, p=call("large", x=link("i")))),
    )
    executor, told = Executor(Cache(), Pool()), list[Any]()

    def emit(event: Any) -> None:
        told.append(event)
        if isinstance(event, events.BodyFinished) and event.call == 3:
            memory.room = 0

    outputs = executor.run(planned(text, Cache()), emit)
    assert outputs == {"v": [0, 100, 200, 307, 407]}
    assert [e.node for e in told if isinstance(e, events.NodeFinished)].count("p") < 5  # it was the short way


# -- too little memory, several calls ------------------------------------------------------------------------


def test_a_batch_is_tried_once_more_with_every_model_let_go() -> None:
    memory.room, memory.after_clearing = 2, 4
    pool, cache = Pool(), Cache()
    run = Run(fused([1, 2, 3, 4]), cache, pool)
    assert run.outputs == {"v": [1000 + 4 * 4]}
    assert [r for r in ran if "wide" in r] == ["wide x4", "wide x4"]
    assert (memory.cleared, pool.widest) == (1, {})
    assert Run(fused([1, 2, 3, 4]), cache, pool).named(events.NodeStarted) == []


@pytest.mark.parametrize(
    ("count", "room", "tries", "most"),
    [
        (4, 2, [4, 4, 2, 2], 2),
        (5, 2, [5, 5, 3, 2, 2, 1], 2),
        (4, 3, [4, 4, 2, 2], 2),
        (3, 1, [3, 3, 2, 1, 1, 1], 1),
        (2, 1, [2, 2, 1, 1], 1),
    ],
)
def test_a_batch_is_halved_until_it_fits_and_the_width_is_remembered(
    count: int, room: int, tries: list[int], most: int
) -> None:
    memory.room = room
    pool, cache, text = Pool(), Recording(), fused(list(range(count)))
    before = dict(cache.values)
    run = Run(text, cache, pool)
    assert [int(r[6:] or 1) for r in ran if "wide" in r] == tries
    assert run.executor.failures == {}
    assert pool.widest == {"t.wide": most}
    # Nothing was put under keys that speak of a batch of all; only what came before it.
    assert {*cache.values.values()} - {*before.values()} <= set(range(count))
    assert widths(text) == [count]
    assert max(widths(text, pool)) == most
    assert sum(widths(text, pool)) == count
    again = Run(text, cache, pool)
    assert again.outputs == Run(text, None, pool).outputs
    assert all(int(r[6:] or 1) <= most for r in ran if "wide" in r)
    assert Run(text, cache, pool).named(events.NodeStarted) == []
    # Elsewhere, with more memory, nothing of it is taken for a value of the whole batch.
    memory.room = 100
    assert Run(text, cache, Pool()).outputs == Run(text, None, Pool()).outputs


def test_an_exact_batch_is_kept_however_it_was_cut() -> None:
    memory.room = 2
    nodes = {f"s{k}": call("steady", x=k) for k in range(4)}
    text = file({f"v{k}": f"s{k}.value" for k in range(4)}, **nodes)
    cache, pool = Cache(), Pool()
    run = Run(text, cache, pool)
    assert run.outputs == {f"v{k}": k * 100 for k in range(4)}
    assert ran == ["steady x4", "steady x4", "steady x2", "steady x2"]
    assert Run(text, cache, pool).named(events.NodeStarted) == []


def test_a_batch_of_which_not_even_one_fits_fails_with_a_clear_error() -> None:
    memory.room = 0
    run = Run(fused([1, 2]), None, Pool())
    assert run.outputs == {}
    assert {type(e) for e in run.executor.failures.values()} == {OutOfMemory}
    assert {"w0", "w1"} <= set(run.named(events.NodeFailed))


def test_the_width_holds_for_later_workflows_of_the_process() -> None:
    memory.room = 2
    pool = Pool()
    Run(fused([1, 2, 3, 4]), None, pool)
    memory.cleared = 0
    Run(fused([5, 6, 7, 8, 9]), None, pool)
    assert [r for r in ran if "wide" in r] == ["wide x2", "wide x2", "wide"]
    assert memory.cleared == 0
