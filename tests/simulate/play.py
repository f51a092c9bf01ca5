"""A cluster in made-up time: the real queue, dispatcher and placement, with made-up workers and jobs."""

from __future__ import annotations

import asyncio
import json
import random
import tempfile
from collections import Counter
from pathlib import Path
from time import perf_counter, thread_time
from typing import Any, NamedTuple

from simulate.clock import FakeTime
from simulate.fleet import GIB, Model, SimulatedFleet

from graphengine.dispatcher import Dispatcher
from graphengine.hub import Hub
from graphengine.store.jobs import ENDS, Request
from graphengine.store.store import Store

SEED = 7
SECONDS = 20.0
"""How long a job takes in the middle, without loading."""
MODELS = {f"model-{n:02}": Model(seconds=2.0 + n / 2, size=(2 + n // 2) * GIB) for n in range(20)}
"""Of 2 to 11 GiB; the first are asked for most. A worker has 24 GiB, so that it holds three or four."""


class Costs:
    """Calls of the queue, with how often each was made and how many seconds of a processor they took.

    The disk is in memory, so nothing waits for it; what else the machine does is no cost of the queue.
    """

    def __init__(self) -> None:
        self.seconds, self.times = Counter[str](), Counter[str]()

    async def call(self, function: Any, *arguments: Any, **named: Any) -> Any:
        """Do what the server would do in a thread."""
        began = thread_time()
        try:
            return function(*arguments, **named)
        finally:
            self.seconds[function.__name__] += thread_time() - began
            self.times[function.__name__] += 1


class Found(NamedTuple):
    """How a simulation went. Seconds are made up, but for `costs` and `took`."""

    jobs: int
    states: dict[str, int]
    seconds: float
    times: list[tuple[float, float, float]]
    """When each job came, began the last time, and ended."""
    busy: float
    loaded: list[float]
    """When a worker has loaded a model."""
    costs: Costs
    took: float
    ends: Counter[str]
    """How often each job has ended, as the journal tells."""

    @property
    def waits(self) -> list[float]:
        """How long each job has waited."""
        return [started - created for created, started, _ in self.times]


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
            texts = rows.all('SELECT job, text FROM events WHERE text LIKE \'{"event": "job"%\'')
        ends = Counter(job for job, text in texts if json.loads(text)["state"] in ENDS)
        states = {state: number for state, number in store.counts().items() if number}
        await dispatcher.close(0.0)
        await hub.close()
    last = max(ended for _, _, ended in times)
    busy = sum(ended - started for _, started, ended in times) / (last * workers)
    return Found(jobs, states, last, times, busy, fleet.loads, costs, perf_counter() - began, ends)


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
