"""Trivial nodes and generated files, for tests and measurements."""

from __future__ import annotations

import asyncio
import json
import random
from dataclasses import replace
from typing import Annotated, Any, Literal, NamedTuple, TypeVar

from annotated_types import Ge, Le

from graphengine.authoring import NO_CONTEXT, Body, Context, Lazy, Seed, node
from graphengine.cache import Cache
from graphengine.check import check
from graphengine.executor import Executor
from graphengine.nodetype import NodeType
from graphengine.planner import plan
from graphengine.registry import Pack, Registry
from graphengine.types import WireType
from graphengine.workflow import Workflow

PACK = "t"
T = TypeVar("T")
S = TypeVar("S")
ran: list[str] = []
"""Which functions ran, in order."""


@WireType("Blob", "#888888", "A value that is known by identity only, like a tensor on a device.")
class Blob:
    def __init__(self, n: int) -> None:
        self.n = n
        self.nbytes = 1000


class Pair(NamedTuple):
    low: int
    high: int


@node
def add(a: int, b: int) -> int:
    """Their sum."""
    ran.append("add")
    return (a + b) % 1_000_003


@node
def bare(a: int, b: int) -> int:
    """Their sum, and nothing recorded."""
    return a + b


@node
def split(a: int) -> Pair:
    """Two outputs."""
    ran.append("split")
    return Pair(a % 10, a // 10)


@node
def broken(a: int) -> int:
    """Always fails."""
    ran.append("broken")
    raise ValueError(f"no {a}")


@node
def total(items: list[int]) -> int:
    """The sum of a list."""
    ran.append("total")
    return sum(items) % 1_000_003


@node
def count(n: int) -> list[int]:
    """0 to n - 1."""
    return list(range(n))


@node
def blob(n: int) -> Blob:
    """A value known by identity only."""
    ran.append("blob")
    return Blob(n)


@node
def mix(blob: Blob, item: int) -> Blob:
    """A step of a loop over blobs."""
    ran.append("mix")
    return Blob((blob.n * 31 + item) % 1_000_003)


@node
def number(blob: Blob) -> int:
    """What is in the blob."""
    return blob.n


@node
def show(value: int) -> None:
    """An effect."""
    ran.append("show")


@node(cache="none")
def clock() -> int:
    """Something else each time."""
    ran.append("clock")
    return len(ran)


@node
def seeded(seed: Seed) -> int:
    """Drawn where it is left open."""
    return seed


@node
def bounded(
    steps: Annotated[int, Ge(1), Le(150)] = 20,
    scale: Annotated[float, Ge(0), Le(100)] = 1.0,
    kind: Literal["a", "b"] = "a",
    note: str | None = None,
) -> float:
    """Literals of every kind."""
    ran.append("bounded")
    assert type(scale) is float
    return steps * scale


@node
async def switch(first: bool, a: Lazy[T], b: Lazy[T]) -> T:
    """Computes one branch only."""
    ran.append("switch")
    return await (a if first else b)


@node
async def fold(start: T, over: list[S], body: Body[[T, S], T]) -> T:
    """Feeds the body its own result."""
    ran.append("fold")
    for item in over:
        start = await body(start, item)
    return start


@node
async def map(over: list[S], body: Body[[S], T]) -> list[T]:
    """The body of every item."""
    return [await body(item) for item in over]


@node
async def fetch(n: int) -> int:
    """Awaits the world, long enough to be worth a place on disk."""
    ran.append("fetch")
    await asyncio.sleep(0.01)
    return n


arrived: list[int] = []
"""Who waits at `meet`."""


@node
async def meet(n: int, others: int) -> int:
    """Waits until so many others are waiting too."""
    arrived.append(n)
    async with asyncio.timeout(10):
        while len(arrived) <= others:  # noqa: ASYNC110 - an Event would belong to one run's loop
            await asyncio.sleep(0.001)
    return n


@node
async def bad(a: Lazy[int]) -> int:
    """Awaits what it may not."""
    await asyncio.sleep(0)
    return await a


@node
def patient(n: int, ctx: Context = NO_CONTEXT) -> int:
    """Reports, and so can be cancelled."""
    for i in range(n):
        ctx.progress(i, n)
    return n


def predict_many(model: int, x: list[int], cond: list[int]) -> list[int]:
    """All calls of predict on one model at once."""
    ran.append(f"predict x{len(x)}")
    return [model * 7 + i * 3 + c for i, c in zip(x, cond, strict=True)]


@node(batched=predict_many)
def predict(model: int, x: int, cond: int) -> int:
    """Stands for a network."""
    ran.append("predict")
    return model * 7 + x * 3 + cond


REGISTRY = Registry.load([Pack("t", __name__, "1")])
TYPES: dict[str, NodeType] = REGISTRY.types
SINGLE = TYPES | {"t.predict": replace(TYPES["t.predict"], batched=None, fuses=False)}
"""The same without batching."""


def run(
    text: str,
    cache: Cache | None = None,
    types: dict[str, NodeType] | None = None,
    told: list[Any] | None = None,
    targets: Any = (),
) -> dict[str, Any]:
    """From file to result."""
    types = types or TYPES
    workflow = Workflow.parse(text)
    assert check(workflow, types) == []
    cache = Cache() if cache is None else cache
    ran.clear()
    return Executor(cache).run(
        plan(workflow, types, cache, targets), (told if told is not None else []).append
    )


def link(name: str) -> dict[str, str]:
    """A link in the file."""
    return {"link": name}


def call(type: str, **inputs: Any) -> dict[str, Any]:
    """A node in the file."""
    return {"type": "t." + type, "inputs": inputs}


def body(inputs: list[str], outputs: dict[str, str], **nodes: Any) -> dict[str, Any]:
    """A body in the file."""
    return {"graph": {"inputs": inputs, "outputs": outputs, "nodes": nodes}}


def file(outputs: dict[str, str], inputs: dict[str, str] | None = None, **nodes: Any) -> str:
    """A file."""
    return json.dumps({"format": 1, "inputs": inputs or {}, "outputs": outputs, "nodes": nodes})


def chain(n: int, last: int = 1, kind: str = "bare") -> str:
    """Each adds 1 to the one before."""
    nodes = {"n0": call(kind, a=0, b=1)}
    nodes |= {f"n{i}": call(kind, a=link(f"n{i - 1}.value"), b=1) for i in range(1, n)}
    nodes[f"n{n - 1}"]["inputs"]["b"] = last
    return file({"value": f"n{n - 1}.value"}, **nodes)


def tree(n: int, last: int = 1, kind: str = "bare") -> str:
    """A heap: node i adds nodes 2i+1 and 2i+2; the root stands first in the file."""

    def leaf_or_sum(i: int) -> dict[str, Any]:
        if 2 * i + 2 < n:
            return call(kind, a=link(f"n{2 * i + 1}.value"), b=link(f"n{2 * i + 2}.value"))
        return call(kind, a=i, b=last if i == n - 1 else 1)

    return file({"value": "n0.value"}, **{f"n{i}": leaf_or_sum(i) for i in range(n)})


def fan(n: int, last: int = 1, kind: str = "bare") -> str:
    """One source, n users, all of them outputs."""
    nodes = {"n0": call(kind, a=0, b=1)}
    nodes |= {f"n{i}": call(kind, a=link("n0.value"), b=i) for i in range(1, n)}
    nodes[f"n{n - 1}"]["inputs"]["b"] = -last
    return file({f"o{i}": f"n{i}.value" for i in range(1, n)}, **nodes)


def loop(times: int, width: int = 8) -> str:
    """A fold whose body is a chain of `width` trivial nodes."""
    inside = {"b0": call("bare", a=link("x"), b=link("i"))}
    inside |= {f"b{k}": call("bare", a=link(f"b{k - 1}.value"), b=1) for k in range(1, width)}
    whole = body(["x", "i"], {"x": f"b{width - 1}.value"}, **inside)
    nodes = {"c": call("count", n=times), "f": call("fold", start=0, over=link("c.value"), body=whole)}
    return file({"r": "f.result"}, **nodes)


def shuffled(text: str, seed: int = 0) -> str:
    """The same file with its nodes in another order."""
    data = json.loads(text)
    items = list(data["nodes"].items())
    random.Random(seed).shuffle(items)
    return json.dumps(data | {"nodes": dict(items)})
