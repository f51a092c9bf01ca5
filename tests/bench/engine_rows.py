"""The engine's own cost: CPU seconds from the text of a file to its last event; the best of three."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from time import process_time
from typing import Any

from samples import TYPES, bare, chain, fan, loop, tree

from graphengine.cache import Cache
from graphengine.check import check
from graphengine.executor import Executor
from graphengine.planner import plan
from graphengine.workflow import Workflow


def seconds(work: Callable[[], object]) -> float:
    """CPU seconds of the best of three."""
    found = []
    for _ in range(3):
        gc.collect()
        began = process_time()
        work()
        found.append(process_time() - began)
    return min(found)


def whole(text: str, cache: Cache) -> dict[str, Any]:
    """From text to outputs."""
    workflow = Workflow.parse(text)
    assert not check(workflow, TYPES)
    return Executor(cache).run(plan(workflow, TYPES, cache), [].append)


def by_hand(times: int, width: int) -> int:
    """What a loop over a chain costs as plain Python calls of the same function."""
    x = 0
    for i in range(times):
        x = bare(x, i)
        for _ in range(width - 1):
            x = bare(x, 1)
    return x


def rows() -> Iterator[tuple[str, str, str]]:
    """Chains, trees, fans, loops."""
    limits = {("chain", 10_000): ("limit 1 s", "limit 0.2 s")}
    for shape in (chain, tree, fan):
        for n in (10_000, 100_000):
            text, cache = shape(n), Cache()
            cold = seconds(lambda text=text: whole(text, Cache()))  # type: ignore[misc]
            whole(text, cache)
            cached = seconds(lambda text=text, cache=cache: whole(text, cache))  # type: ignore[misc]
            over = limits.get((shape.__name__, n), ("", ""))
            each = 1e6 / n
            yield (
                f"{shape.__name__} of {n:,} adds, cold",
                f"{cold:.3f} s",
                f"{cold * each:.1f} us a node  {over[0]}",
            )
            yield (
                f"{shape.__name__} of {n:,} adds, cached",
                f"{cached:.3f} s",
                f"{cached * each:.1f} us a node  {over[1]}",
            )
    times = 5_000
    text, alone = loop(times), seconds(lambda: by_hand(times, 8))
    engine = seconds(lambda: whole(text, Cache()))
    yield (
        f"fold of {times:,}, a body of 8 nodes, an iteration",
        f"{engine / times * 1e6:.1f} us",
        f"{alone / times * 1e6:.1f} us as plain Python calls",
    )
