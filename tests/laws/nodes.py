"""Node types for the laws: of every kind that the engine treats in a way of its own."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Annotated, Any, NamedTuple

import samples
import torch
from samples import Blob, ran

from graphengine.authoring import node
from graphengine.nodetype import NodeType
from graphengine.registry import Pack, Registry
from graphengine.types import WireType

PACK = "law"
heard: list[int] = []
"""What effects were given, in order."""

Canvas = Annotated[torch.Tensor, WireType("Canvas", "#888888", "Known by identity only, and can be stored.")]


class Both(NamedTuple):
    canvas: Canvas
    number: int


@node
def paint(n: int) -> Canvas:
    """Begins a canvas."""
    ran.append("paint")
    return torch.tensor([n, n + 1])


@node
def stir(canvas: Canvas, item: int) -> Canvas:
    """A step of a loop over canvases."""
    ran.append("stir")
    return (canvas * 31 + item) % 1_000_003


@node
def look(canvas: Canvas) -> int:
    """What is on it."""
    ran.append("look")
    return int(canvas.sum())


@node
def part(canvas: Canvas, by: int) -> Both:
    """Two outputs, of which one is known by identity."""
    ran.append("part")
    return Both(canvas + by, int(canvas[0]) % 7)


@node
def heads(blobs: list[Blob]) -> int:
    """The sum of what is in them."""
    ran.append("heads")
    return sum(blob.n for blob in blobs) % 1_000_003


@node
def odd(a: int) -> bool:
    """Whether a number is odd."""
    ran.append("odd")
    return a % 2 == 1


@node
def nudge(a: int, by: int = 1, scale: float = 1.0, extra: int | None = None) -> int:
    """Has inputs that may be left out."""
    ran.append("nudge")
    assert type(scale) is float
    return int(a * scale) + by + (extra or 0)


@node
def picky(a: int) -> int:
    """Fails now and then."""
    ran.append("picky")
    if a % 3 == 0:
        raise ValueError(f"not {a}")
    return a


@node(cache="none")
def fleeting(a: int) -> int:
    """Runs each time."""
    return a * 3 % 1_000_003


@node(cache="memory")
def near(a: int) -> int:
    """Is kept in memory only."""
    ran.append("near")
    return a + 2


@node
async def awaited(a: int) -> int:
    """Awaits the world."""
    ran.append("awaited")
    await asyncio.sleep(0)
    return a + 3


@node(device="io")
def outside(a: int) -> int:
    """Blocks a thread beside the engine's."""
    ran.append("outside")
    return a + 4


@node
def tell(value: int) -> None:
    """An effect."""
    heard.append(value)


def exact_many(model: int, x: list[int], cond: list[int]) -> list[int]:
    """All calls on one model at once, with the bits of single calls."""
    ran.extend(["exact"] * len(x))
    return [model * 11 + i * 3 + c for i, c in zip(x, cond, strict=True)]


@node(batched=exact_many, exact=True)
def exact(model: int, x: int, cond: int) -> int:
    """Stands for a network whose batches have the bits of single calls."""
    ran.append("exact")
    return model * 11 + x * 3 + cond


def rough_many(model: int, x: list[int], cond: list[int]) -> list[int]:
    """All calls on one model at once, with bits that depend on how many there are."""
    return [samples.predict(model, i, c) + 100 * len(x) for i, c in zip(x, cond, strict=True)]


TYPES: dict[str, NodeType] = Registry.load(
    [Pack("t", "samples", "1"), Pack("flow", "graphengine_nodes.flow", "1"), Pack("law", __name__, "1")]
).types
ROUGH: dict[str, Any] = TYPES | {"t.predict": replace(TYPES["t.predict"], batched=rough_many)}
"""The same, with a network whose bits depend on the size of a batch."""
ALONE: dict[str, Any] = TYPES | {"t.predict": replace(TYPES["t.predict"], batched=None, fuses=False)}
"""The same, with a network that has no batches."""
