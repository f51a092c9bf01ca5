"""A service whose workers are actors of a Ray cluster that are killed, and what is left of its jobs then.

As a program it prints a row: `python tests/faults/actors.py KILLS JOBS [SEED]`, or `... node JOBS`.
"""

from __future__ import annotations

import asyncio
import os
import random
import signal
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from crews import ray as fleet_of
from serving import PACKS, PATH, ended, one, served, settings, told, until

from graphengine.fleets.cluster import connected
from graphengine.fleets.crew import Crew
from graphengine.service import Service
from graphengine.store.jobs import ENDS

TEXT = "a whole result " * 4000


async def submitted(service: Service, jobs: int, wait: float = 0.02) -> list[str]:
    """The ids of so many jobs that each give a number and save a text with it."""
    ids = []
    for number in range(jobs):
        flow = one("wait", seconds=wait, value=number)
        flow["nodes"]["write"] = {"type": "faulty.write", "inputs": {"text": f"{number} {TEXT}"}}
        ids.append((await service.submit(flow)).job.id)
    return ids


async def verdict(service: Service, ids: list[str]) -> Counter[str]:
    """What became of the jobs, when all have ended."""
    found = Counter[str]()
    for number, id in enumerate(ids):
        job = await ended(service, id, 300)
        detail = await service.detail(id)
        found[job.state] += 1
        found["begun again"] += job.attempts > 1
        ends = [e for e in await told(service, id) if e["event"] == "job" and e["state"] in ENDS]
        found["ended twice"] += len(ends) != 1
        found["wrong"] += detail.result != {"value": number}
        found["doubled"] += len(detail.outputs) > 1
        for output in detail.outputs:
            found["partial"] += (await service.output(output.id))[1].read_text() != f"{number} {TEXT}"
    every = [job.id for job in (await service.jobs(limit=500)).jobs]
    found["lost"] = len(set(ids) - set(every)) + len(ids) - found["done"]
    return found


async def kills(service: Service, fleet: Crew, times: int, jobs: int, seed: int) -> Counter[str]:
    """Actors are killed at random moments, by Ray or by the system, while jobs run."""
    import ray

    chance, found = random.Random(seed), Counter[str]()
    ids = await submitted(service, jobs)
    for count in range(times):
        due = jobs * count // times  # the kills last as long as the jobs do

        async def reached(due: int = due) -> bool:
            counts = (await service.line()).counts
            return counts["done"] >= due and any(seat.ready for seat in fleet.seats.values())

        await until(reached)
        await asyncio.sleep(chance.uniform(0.0, 0.1))
        seat = chance.choice([seat for seat in fleet.seats.values() if seat.line is not None])
        found["at a job"] += seat.order is not None
        if chance.random() < 0.5 or not seat.pid:
            ray.kill(seat.line.actor)  # type: ignore[union-attr]
        else:
            with suppress(ProcessLookupError):
                os.kill(seat.pid, signal.SIGKILL)
        if count % 10 == 9:
            print(f"  {count + 1} kills", file=sys.stderr, flush=True)
    return found + await verdict(service, ids)


def scene(times: int, jobs: int, seed: int = 1) -> Counter[str]:
    """The same, with a cluster of this machine and a service of its own."""

    async def play(folder: Path) -> Counter[str]:
        where = settings(folder, attempts=100, jobs_per_client=100_000)
        fleet = fleet_of(where, 2)
        async with served(where, fleet) as service:
            return await kills(service, fleet, times, jobs, seed)

    with prepared() as folder, connected():
        return asyncio.run(play(folder))


def node(jobs: int) -> Counter[str]:
    """A cluster of three nodes, of which one is killed with the worker on it; another comes in its place."""
    os.environ.update(RAY_AUTH_MODE="token", RAY_AUTH_TOKEN="a-token-for-tests-only" * 2)
    os.environ.update(RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER="0", RAY_USAGE_STATS_ENABLED="0")
    from ray.cluster_utils import Cluster

    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
    _, doomed = cluster.add_node(num_cpus=1), cluster.add_node(num_cpus=1)

    async def play(folder: Path) -> Counter[str]:
        where = settings(folder, attempts=100, jobs_per_client=100_000)
        fleet = fleet_of(where, 2)
        async with served(where, fleet) as service:
            await until(lambda: all(worker.ready for worker in service.fleet.workers()))
            ids = await submitted(service, jobs, 0.2)
            await until(lambda: all(worker.job for worker in service.fleet.workers()))
            await asyncio.to_thread(cluster.remove_node, doomed, allow_graceful=False)
            cluster.add_node(num_cpus=1)  # by the main thread only
            found = await verdict(service, ids)
            await until(lambda: all(worker.ready for worker in service.fleet.workers()))
            found["at a job"] = found["begun again"]
            return found

    try:
        with prepared() as folder, connected(cluster.address):
            return asyncio.run(play(folder))
    finally:
        cluster.shutdown()


@contextmanager
def prepared() -> Iterator[Path]:
    """A folder, and the faulty nodes for this process and those that it starts."""
    sys.path.insert(0, str(PACKS))
    os.environ["PYTHONPATH"] = PATH
    with tempfile.TemporaryDirectory(prefix="graphengine-faults-") as folder:
        yield Path(folder)


def main() -> None:
    """Print the row."""
    first, second, *seed = sys.argv[1:]
    jobs = int(second)
    if first == "node":
        found, what = node(jobs), "a Ray node killed while jobs run"
    else:
        found, what = scene(int(first), jobs, *map(int, seed)), f"{first} random kills of Ray actors"
    bad = ", ".join(f"{found[n]} {n}" for n in ("lost", "doubled", "partial", "wrong", "ended twice"))
    told = f"{what} ({found['at a job']} at a job)"
    print(f"{told:62s} {found['done']:>9} of {jobs} done   {bad}")


if __name__ == "__main__":
    main()
