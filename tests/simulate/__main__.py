"""`make simulate`: a cluster in made-up time, with the real queue, dispatcher and placement.

    python tests/simulate [WORKERS] [JOBS]

The workers are made up: a job takes as long as is drawn for it, a model as long to load as its size asks for.
The queue is the real one, on a disk in memory, and what it costs is measured by the real clock.
"""

from __future__ import annotations

import asyncio
import json
import logging
import random
import sys
import tempfile
from collections import Counter
from pathlib import Path
from statistics import median, quantiles
from time import perf_counter
from typing import Any, NamedTuple

sys.path.insert(0, str(Path(__file__).parents[1]))

from simulate.clock import FakeTime
from simulate.fleet import GIB, Model, SimulatedFleet

from graphengine.dispatcher import Dispatcher
from graphengine.hub import Hub
from graphengine.jobs import Request
from graphengine.store import Store

SEED = 7
SECONDS = 20.0
"""How long a job takes in the middle, without loading."""
MODELS = {f"model-{n:02}": Model(seconds=2.0 + n / 2, size=(2 + n // 2) * GIB) for n in range(20)}
"""Of 2 to 11 GiB; the first are asked for most. A worker has 24 GiB, so that it holds three or four."""


class Costs:
    """Calls of the queue, with how often each was made and how many seconds they took."""

    def __init__(self) -> None:
        self.seconds, self.times = Counter[str](), Counter[str]()

    async def call(self, function: Any, *arguments: Any, **named: Any) -> Any:
        """Do what the server would do in a thread."""
        began = perf_counter()
        try:
            return function(*arguments, **named)
        finally:
            self.seconds[function.__name__] += perf_counter() - began
            self.times[function.__name__] += 1


class Found(NamedTuple):
    """How a simulation went. Seconds are made up, but for `costs` and `took`."""

    jobs: int
    states: dict[str, int]
    seconds: float
    waits: list[float]
    busy: float
    loads: int
    costs: Costs
    took: float


def flow(chance: random.Random) -> str:
    """The workflow of a job: a model, and how long it takes."""
    names = list(MODELS)
    name = chance.choices(names, [1 / (n + 1) for n in range(len(names))])[0]
    inputs = {"model": name, "seconds": min(chance.lognormvariate(0.0, 0.5) * SECONDS, 300.0)}
    return json.dumps({"format": 1, "nodes": {"paint": {"type": "faulty.wait", "inputs": inputs}}})


async def simulated(folder: Path, workers: int, jobs: int, load: float | None, **given: Any) -> Found:
    """Run so many jobs: all waiting at the start, or coming so that `load` of the workers have work."""
    loop, costs, chance, began = asyncio.get_running_loop(), Costs(), random.Random(SEED), perf_counter()
    with Store(folder, clock=loop.time, lease=60.0) as store:
        hub = Hub(store.journal, costs.call)
        await hub.start()
        fleet = SimulatedFleet(workers, models=MODELS, beat=5.0, silence=30.0, **given)
        dispatcher = Dispatcher(store, fleet, hub, costs.call)

        async def submit() -> None:
            await costs.call(store.submit, Request(flow(chance), name="simulated"))
            dispatcher.wake()

        if load is None:
            for _ in range(jobs):
                await submit()
        await dispatcher.start()
        if load is not None:
            for _ in range(jobs):
                await asyncio.sleep(chance.expovariate(load * workers / SECONDS / 1.15))
                await submit()
        while living(await costs.call(store.counts)):  # noqa: ASYNC110 - the time is made up
            await asyncio.sleep(5.0)
        with store.database.read() as rows:
            times = rows.all("SELECT created, started, ended FROM jobs")
        states = {state: number for state, number in store.counts().items() if number}
        await dispatcher.close(0.0)
        await hub.close()
    last = max(ended for _, _, ended in times)
    busy = sum(ended - started for _, started, ended in times) / (last * workers)
    waits = [started - created for created, started, _ in times]
    return Found(jobs, states, last, waits, busy, fleet.loads, costs, perf_counter() - began)


def living(counts: dict[Any, int]) -> int:
    """How many jobs have not ended."""
    return counts["queued"] + counts["running"]


def simulate(workers: int, jobs: int, load: float | None = None, **given: Any) -> Found:
    """The same in a loop and on a disk in memory of its own."""
    memory = "/dev/shm" if Path("/dev/shm").is_dir() else None
    with (
        tempfile.TemporaryDirectory(prefix="graphengine-simulate-", dir=memory) as folder,
        asyncio.Runner(loop_factory=FakeTime) as runner,
    ):
        return runner.run(simulated(Path(folder), workers, jobs, load, **given))


def lines(what: str, found: Found, workers: int) -> None:
    """Print how it went."""
    jobs, per_job = found.jobs, {n: s / found.jobs * 1e3 for n, s in found.costs.seconds.items()}
    cost, first = sum(per_job.values()), max(per_job, key=per_job.__getitem__)
    dear = sorted(((ms, name) for name, ms in per_job.items() if ms > 0.005), reverse=True)
    late = quantiles(found.waits, n=100)[98]
    print(f"{what}: {workers:,} workers, {jobs:,} jobs, {len(MODELS)} models")
    for name, text in (
        ("ended as", ", ".join(f"{number:,} {state}" for state, number in found.states.items())),
        ("throughput", f"{jobs / found.seconds:.1f} jobs a second, workers busy {found.busy:.0%}"),
        ("waiting time, p50 [p99]", f"{median(found.waits):.1f} s [{late:.1f} s]"),
        ("model loads", f"{found.loads:,}, {found.loads / jobs:.2f} a job"),
        ("cost of the queue", f"{cost:.2f} ms a job: " + ", ".join(f"{name} {ms:.2f}" for ms, name in dear)),
        ("with the made-up workers", f"{found.took / jobs * 1e3:.2f} ms a job, {found.took:.0f} s in all"),
        ("what breaks first", f"the one writer of the queue, and of that `{first}`: {1e3 / cost:,.0f} jobs a "
         f"second, or {SECONDS * 1e3 / cost:,.0f} workers with jobs of {SECONDS:.0f} s"),
    ):  # fmt: skip
        print(f"  {name:26s}{text}", flush=True)


def main() -> None:
    """Print both ways."""
    logging.disable()
    given = [int(word) for word in sys.argv[1:]]
    workers, jobs = (*given[:1], 1000)[0], (*given[1:], 100_000)[0]
    lines("all waiting at the start", simulate(workers, jobs), workers)
    lines("coming at 80 % load", simulate(workers, jobs // 10, 0.8), workers)


if __name__ == "__main__":
    main()
