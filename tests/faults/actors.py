"""A service whose workers are actors of a Ray cluster that are killed, and what is left of its jobs then.

As a program it prints a row: `python tests/faults/actors.py KILLS JOBS [SEED]`.
"""

from __future__ import annotations

import asyncio
import os
import random
import signal
import sys
import tempfile
from collections import Counter
from contextlib import suppress
from pathlib import Path

from fleets import ray as fleet_of
from serving import PACKS, PATH, ended, one, served, settings, told, until

from graphengine.cluster import connected
from graphengine.crew import Crew
from graphengine.jobs import ENDS
from graphengine.service import Service

TEXT = "a whole result " * 4000


async def kills(service: Service, fleet: Crew, times: int, jobs: int, seed: int) -> Counter[str]:
    """Actors are killed at random moments, by Ray or by the system, while jobs run."""
    import ray

    chance = random.Random(seed)
    ids = []
    for number in range(jobs):
        flow = one("wait", seconds=0.02, value=number)
        flow["nodes"]["write"] = {"type": "faulty.write", "inputs": {"text": f"{number} {TEXT}"}}
        ids.append((await service.submit(flow)).job.id)
    found = Counter[str]()
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
        found["kills"] += 1
        if count % 10 == 9:
            print(f"  {count + 1} kills", file=sys.stderr, flush=True)
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
    found["lost"] = len(set(ids) - set(every)) + jobs - found["done"]
    return found


def scene(times: int, jobs: int, seed: int = 1) -> Counter[str]:
    """The same, with a cluster and a service of its own."""

    async def play(folder: Path) -> Counter[str]:
        where = settings(folder, attempts=100, jobs_per_client=100_000)
        fleet = fleet_of(where, 2)
        async with served(where, fleet) as service:
            return await kills(service, fleet, times, jobs, seed)

    sys.path.insert(0, str(PACKS))
    os.environ["PYTHONPATH"] = PATH
    with tempfile.TemporaryDirectory(prefix="graphengine-faults-") as folder, connected():
        return asyncio.run(play(Path(folder)))


def main() -> None:
    """Print the row."""
    times, jobs, *seed = map(int, sys.argv[1:])
    found = scene(times, jobs, *seed)
    bad = ", ".join(f"{found[n]} {n}" for n in ("lost", "doubled", "partial", "wrong", "ended twice"))
    what = f"{times} random kills of Ray actors over {jobs} jobs ({found['at a job']} at a job)"
    print(f"{what:62s} {found['done']:>9} of {jobs} done   {bad}")


if __name__ == "__main__":
    main()
