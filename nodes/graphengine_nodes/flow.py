"""Control flow: loops and choices are ordinary nodes that call a sub-graph, and lists are what they run over.

A node with a `Lazy` or a `Body` awaits nothing else, so the engine answers it without an event loop. Lists
hold any kind of value; positions count from 0, and negative ones from the end.
"""

from __future__ import annotations

import builtins
from typing import Annotated, Any, TypeVar

from pydantic import Field

from graphengine.authoring import NO_CONTEXT, Body, Context, Lazy, node

PACK = "flow"
MOST = 1_000_000

S = TypeVar("S")
T = TypeVar("T")

Times = Annotated[int, Field(ge=0, le=MOST)]


@node
async def fold(start: T, over: list[S], body: Body[[T, S], T], ctx: Context = NO_CONTEXT) -> T:
    """Go through a list and carry a value along: each step gets what the one before gave.

    The body gets the value so far and the next item; with an empty list the start comes out. Where the first
    rounds were run before, with the same values, it goes on after the last of them.
    """
    first, start = ctx.resume(body, start, over)
    for done, item in enumerate(over[first:], first + 1):
        start = await body(start, item)
        ctx.progress(done, len(over))
    return start


@node
async def scan(
    start: T,
    over: list[S],
    body: Body[[T, S], T],
    with_start: bool = False,
    ctx: Context = NO_CONTEXT,
) -> list[T]:
    """Fold that keeps every value on the way, one for each item; the last is what fold would give.

    `with_start` puts the start in front, so that the list is one longer than `over`.
    """
    states = [start] if with_start else []
    for done, item in enumerate(over, 1):
        start = await body(start, item)
        states.append(start)
        ctx.progress(done, len(over))
    return states


@node
async def map(over: list[S], body: Body[[S], T], ctx: Context = NO_CONTEXT) -> list[T]:
    """Do the same with each item of a list; the results stand in the same order."""
    results = []
    for done, item in enumerate(over, 1):
        results.append(await body(item))
        ctx.progress(done, len(over))
    return results


@node
async def keep(over: list[S], body: Body[[S], bool]) -> list[S]:
    """Keep the items for which the body says true, in their order."""
    return [item for item in over if await body(item)]


@node
async def repeat(times: Times, start: T, body: Body[[T], T], ctx: Context = NO_CONTEXT) -> T:
    """Feed a sub-graph its own result a number of times; with 0 the start comes out."""
    for done in builtins.range(times):
        start = await body(start)
        ctx.progress(done + 1, times)
    return start


@node
async def repeat_while(start: T, condition: Body[[T], bool], body: Body[[T], T], at_most: Times = 1000) -> T:
    """Feed a sub-graph its own result for as long as a condition holds.

    The condition is asked before each step. After `at_most` steps the value so far comes out, even where the
    condition still holds.
    """
    for _ in builtins.range(at_most):
        if not await condition(start):
            break
        start = await body(start)
    return start


@node
async def switch(use_first: bool, first: Lazy[T], second: Lazy[T]) -> T:
    """Compute one of two branches only: the first if true, else the second."""
    return await (first if use_first else second)


@node
def both(first: bool, second: bool) -> bool:
    """Whether both are true."""
    return first and second


@node
def either(first: bool, second: bool) -> bool:
    """Whether at least one is true."""
    return first or second


@node
def negate(value: bool) -> bool:
    """Turn true into false, and false into true."""
    return not value


@node
def collect(items: list[T]) -> list[T]:
    """Put several values together as one list, so that a loop can carry them."""
    return items


@node
def item(items: list[T], index: int = 0) -> T:
    """One item of a list: 0 is the first, -1 the last. ValueError where the list is too short."""
    if not -len(items) <= index < len(items):
        have = f"its positions are 0 to {len(items) - 1}, or -1 for the last" if items else "it is empty"
        raise ValueError(f"there is no item {index} in this list; {have}")
    return items[index]


@node
def length(items: list[T]) -> int:
    """How many items a list has."""
    return len(items)


@node
def join(first: list[T], second: list[T]) -> list[T]:
    """One list after the other, as one list."""
    return [*first, *second]


@node
def zip(first: list[S], second: list[T]) -> list[list[Any]]:
    """Pairs of what stands at the same place in two lists; `flow.item` takes a pair apart in a loop.

    A loop over a schedule and a list of scales resumes at the first pair that has changed.
    ValueError where one list is longer.
    """
    if len(first) != len(second):
        raise ValueError(f"the lists have {len(first)} and {len(second)} items; give them the same length")
    return [[a, b] for a, b in builtins.zip(first, second, strict=True)]


@node
def product(first: list[S], second: list[T]) -> list[list[Any]]:
    """Every item of one list with every item of another, as pairs, row by row: a table of two parameters.

    A row for each of the first, in it a column for each of the second; `flow.item` takes a pair apart in
    `flow.map`, and `image.table` shows what came of them. ValueError for more than a million pairs.
    """
    count = len(first) * len(second)
    if count > MOST:
        raise ValueError(
            f"{len(first)} and {len(second)} items make {count} pairs; a list holds {MOST} at most"
        )
    return [[a, b] for a in first for b in second]


@node
def flatten(lists: list[list[T]]) -> list[T]:
    """Lists in a list as one list, in their order, such as the rows that a loop in a loop gave."""
    return [item for some in lists for item in some]


@node
def take(items: list[T], count: Times = 1) -> list[T]:
    """The first items of a list; all of them where it has no more."""
    return items[:count]


@node
def take_last(items: list[T], count: Times = 1) -> list[T]:
    """The last items of a list, in their order; all of them where it has no more."""
    return items[-count:] if count else []


@node
def every(items: list[T], step: Annotated[int, Field(ge=1, le=MOST)] = 2) -> list[T]:
    """Every n-th item of a list and always the last, so that a film strip ends with the result."""
    if step < 1:
        raise ValueError(f"a step of {step} leads nowhere; choose 1 or more")
    last = len(items) - 1
    return [value for place, value in enumerate(items) if place % step == 0 or place == last]


@node
def reverse(items: list[T]) -> list[T]:
    """A list from back to front."""
    return items[::-1]


@node
def range(start: int = 0, stop: int = 10, step: int = 1) -> list[int]:
    """Whole numbers from start up to, and without, stop: 0, 10, 3 gives 0, 3, 6, 9.

    A negative step counts down. ValueError for a step of 0 and for more than a million numbers.
    """
    if step == 0:
        raise ValueError("a step of 0 never arrives; choose 1 to count up, or -1 to count down")
    numbers = builtins.range(start, stop, step)
    # `len` of a range fails beyond 2**63, so the length is counted from the ends.
    count = max(0, (stop - start + step - (1 if step > 0 else -1)) // step)
    if count > MOST:
        raise ValueError(f"{start} to {stop} by {step} makes {count} numbers; a list holds {MOST} at most")
    return [*numbers]


@node
def linspace(start: float = 0.0, stop: float = 1.0, count: Times = 5) -> list[float]:
    """Numbers evenly spaced from start to stop, both included; a count of 1 gives the start."""
    if count > MOST:
        raise ValueError(f"a list of {count} numbers is too long; a list holds {MOST} at most")
    if count < 2:
        return [start] * count
    inner = [start + (stop - start) * k / (count - 1) for k in builtins.range(count - 1)]
    return [*inner, stop]  # as it was given, without the rounding of the division
