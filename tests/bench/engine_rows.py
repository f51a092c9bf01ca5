"""The engine's own cost: CPU time, the best of several; against plain Python calls of the same functions."""

from __future__ import annotations

import gc
import resource
import subprocess
import sys
from collections.abc import Callable, Iterator
from itertools import count
from typing import Any

from samples import TYPES, bare, chain, fan, loop, tree
from yardstick import seconds, slowness

from graphengine.cache import Cache
from graphengine.check import check
from graphengine.executor import Executor
from graphengine.planner import plan
from graphengine.workflow import Workflow

RUNS = 10_000
Row = tuple[str, str, str]


def best(work: Callable[[], object], rounds: int = 5) -> float:
    """CPU seconds of the best of several."""
    return min(seconds(work) for _ in range(rounds))


def run(workflow: Workflow, cache: Cache) -> dict[str, Any]:
    """Check, keys, plan, run, events."""
    assert not check(workflow, TYPES)
    return Executor(cache).run(plan(workflow, TYPES, cache), [].append)


def loaded(text: str) -> Callable[[], Workflow]:
    """Makes workflows that are read, but about which nothing else is known yet."""
    data = Workflow.parse(text).data
    return lambda: Workflow.of(data)


def cold(text: str, rounds: int = 5) -> float:
    """CPU seconds from a loaded workflow to the last event; reading it is not counted."""
    load, found = loaded(text), []
    for _ in range(rounds):
        workflow = load()
        found.append(seconds(lambda workflow=workflow: run(workflow, Cache())))  # type: ignore[misc]
    return min(found)


def by_hand(times: int, width: int) -> int:
    """A loop over a chain, as plain Python calls of the same function."""
    x = 0
    for i in range(times):
        x = bare(x, i)
        for _ in range(width - 1):
            x = bare(x, 1)
    return x


def us(cost: float, n: int) -> str:
    """Microseconds for each of n."""
    return f"{cost / n * 1e6:.1f} us"


def rows() -> Iterator[Row]:
    """What the promises are about, in their order."""
    yield "this machine now: Python is slower than on the reference by", f"{slowness():.2f} x", "1.00 x"
    plain = best(lambda: by_hand(1, 1_000)) / 1_000
    for shape, n in ((chain, 1_000), (tree, 5_000)):
        cost = cold(shape(n))
        ratio = cost / n / plain
        yield (
            f"{shape.__name__} of {n:,} adds, cold, a node",
            us(cost, n),
            f"limit 25 us; {ratio:.0f} x a call",
        )
    yield from again()
    yield from large()
    yield from change()
    yield from rounds()
    yield from memory()


def again() -> Iterator[Row]:
    """All of it cached. What was made of a text is let go within the time that it takes."""
    costs = {}
    for shape, n in ((chain, 1_000), (tree, 1_000), (chain, 10_000), (tree, 100_000), (fan, 100_000)):
        text, cache = shape(n), Cache()
        workflow = Workflow.parse(text)
        run(workflow, cache)
        known = best(lambda workflow=workflow, cache=cache: run(workflow, cache))  # type: ignore[misc]
        read = best(lambda text=text, cache=cache: run(Workflow.parse(text), cache))  # type: ignore[misc]
        costs[shape, n] = read / n
        name = f"{shape.__name__} of {n:,} adds, cached"
        outputs = " (as many outputs)" if shape is fan else ""
        yield f"{name}, read and checked before, a node", us(known, n), "limit 7 us"
        yield f"{name}, from its text, a node", us(read, n), outputs or "limit 15 us"
    growth = costs[tree, 100_000] / costs[tree, 1_000]
    yield "a node of 100,000 against one of 1,000, cached, from its text", f"{growth:.2f} x", ""


def large() -> Iterator[Row]:
    """A very long chain, in a process of its own."""
    program = (
        "import re, time; from pathlib import Path; from samples import *\n"
        "text = chain(100_000); began = time.process_time()\n"
        "assert run(text, told=[]) == {'value': 100_000}\n"
        # Not `ru_maxrss`: a process begins with that of the one that started it, which has measured much.
        "peak = re.search(r'VmHWM:\\s*(\\d+)', Path('/proc/self/status').read_text())[1]\n"
        "print(time.process_time() - began, peak)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    cost, memory = map(float, done.stdout.split())
    yield "chain of 100,000 adds, from its text, cold", f"{cost:.2f} s", "limit 4 s"
    yield "the same, memory of the whole process", f"{memory / 1024:.0f} MB", "limit 1000 MB"
    small, big = cold(chain(1_000)) / 1_000, cold(chain(100_000), 2) / 100_000
    yield "a node of 100,000 against one of 1,000, cold", f"{big / small:.2f} x", "limit 1.5 x"


def change() -> Iterator[Row]:
    """The last node of a chain is changed."""
    workflow, cache, values = Workflow.parse(chain(10_000)), Cache(), count(2)
    run(workflow, cache)
    cost = best(lambda: run(workflow.with_literals({("n9999", "b"): next(values)}), cache))
    yield "the last of 10,000 nodes changed", f"{cost * 1000:.1f} ms", "limit 60 ms"


def rounds() -> Iterator[Row]:
    """A loop with a body of eight nodes."""
    times = 5_000
    workflow = Workflow.parse(loop(times))
    alone, engine = best(lambda: by_hand(times, 8)), best(lambda: run(workflow, Cache()))
    beyond = us(engine - alone, times)
    ratio = f"the functions alone {us(alone, times)}: {engine / alone:.1f} x the plain Python loop"
    yield "a round of a loop, a body of 8 nodes, beyond the functions", beyond, f"limit 15 us; {ratio}"


def memory() -> Iterator[Row]:
    """Many runs of a small workflow, each with something new in it, with a small cache."""
    workflow, cache = Workflow.parse(loop(3, 3)), Cache(1 << 16)
    values = count()

    def some(times: int) -> None:
        for _ in range(times):
            run(workflow.with_literals({("f", "start"): next(values)}), cache)

    some(1_000)
    gc.collect()
    before = resident()
    some(RUNS)
    gc.collect()
    grown = (resident() - before) / RUNS
    yield f"memory that {RUNS:,} runs leave behind, a run", f"{grown:.3f} KB", "limit 1 KB"


def resident() -> float:
    """KB of memory that this process has in use."""
    with open("/proc/self/statm") as stream:
        return int(stream.read().split()[1]) * resource.getpagesize() / 1024
