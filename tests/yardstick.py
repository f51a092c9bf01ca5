"""A yardstick for limits in seconds: how much slower than where they were set does Python run right now?"""

from __future__ import annotations

import gc
from collections.abc import Callable
from time import process_time
from typing import NamedTuple

REFERENCE = 0.020
"""CPU seconds of `task` on the machine that the limits were set on."""
ROUNDS = 9


class Entry(NamedTuple):
    """Something to make many of."""

    name: str
    parts: tuple[int, ...]


def task() -> int:
    """What the engine spends its time on: small objects, dict lookups, calls, joined bytes."""
    found: dict[str, Entry] = {}
    total = 0
    for i in range(20_000):
        name = f"n{i}"
        entry = found[name] = Entry(name, (i, i + 1))
        before = found.get(f"n{i - 1}", entry)
        total += len(b"".join((b"k%d" % before.parts[0], b"i%d" % entry.parts[1])))
    return total


def seconds(work: Callable[[], object]) -> float:
    """CPU seconds of one call; what was there before is not looked at by the collector meanwhile."""
    gc.collect()
    gc.freeze()
    try:
        began = process_time()
        work()
        return process_time() - began
    finally:
        gc.unfreeze()  # or what dies later, in a cycle, would stay for ever


def slowness() -> float:
    """How many times slower than the reference machine this one runs Python right now; 1 if it is faster."""
    return max(1.0, min(seconds(task) for _ in range(ROUNDS)) / REFERENCE)


def at_reference_speed(*works: Callable[[], object]) -> list[float]:
    """CPU seconds of each at the reference machine's speed; the best of several, the yardstick in between.

    A machine that is faster than the reference counts as just as fast.
    """
    best = [float("inf")] * (len(works) + 1)
    for _ in range(ROUNDS):
        for i, work in enumerate((task, *works)):
            best[i] = min(best[i], seconds(work))
    return [found / max(1.0, best[0] / REFERENCE) for found in best[1:]]
