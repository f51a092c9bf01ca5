"""Results larger than the object store of a Ray cluster, and a store that others have filled.

As a program it prints a row: `python tests/faults/full.py JOBS`.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections import Counter
from contextlib import suppress
from pathlib import Path
from typing import Any

from crews import ray as fleet_of
from faults.actors import prepared
from faults.server import row
from serving import ended, one, served, settings, told, until

from graphengine.fleets import cluster
from graphengine.service import Service
from graphengine.store.jobs import ENDS

STORE = 80
"""MiB of the store; Ray has none that is much smaller."""
LARGE, SMALL = 100, 20
"""MiB of a result."""
BLOCK = bytes(range(256)) * 4096


def filled() -> list[Any]:
    """Objects that leave less room than a piece of a result takes. RuntimeError if the store takes all."""
    import ray
    from ray.exceptions import ObjectStoreFullError, OutOfDiskError

    held = []
    for size in (10 << 20, 1 << 20):
        with suppress(ObjectStoreFullError, OutOfDiskError):
            for _ in range(2 * STORE):
                held.append(ray.put(os.urandom(size)))
            raise RuntimeError("the store was never full")
    return held


async def verdict(service: Service, ids: list[str], size: int) -> Counter[str]:
    """What became of jobs that each give a file of so many MiB."""
    found = Counter[str]()
    for id in ids:
        job = await ended(service, id, 120)
        outputs = (await service.detail(id)).outputs
        ends = [e for e in await told(service, id) if e["event"] == "job" and e["state"] in ENDS]
        found[job.state] += 1
        found["ended twice"] += len(ends) != 1
        found["wrong"] += job.state != "done" and not job.error
        found["doubled"] += len(outputs) > 1
        found["lost"] += job.state == "done" and not outputs
        for output in outputs:
            data = await asyncio.to_thread((await service.output(output.id))[1].read_bytes)
            found["partial"] += data != BLOCK * size
    return found


async def play(folder: Path, jobs: int) -> Counter[str]:
    """Large results, then results beside a full store, then one more when there is room again."""
    where = settings(folder)
    async with served(where, fleet_of(where, 2)) as service:

        async def submitted(count: int, size: int) -> list[str]:
            return [(await service.submit(one("large", mebibytes=size))).job.id for _ in range(count)]

        await until(lambda: all(worker.ready for worker in service.fleet.workers()))
        found = await verdict(service, await submitted(jobs // 4, LARGE), LARGE)
        held = await asyncio.to_thread(filled)
        found += await verdict(service, await submitted(jobs - jobs // 4 - 1, SMALL), SMALL)
        del held
        return found + await verdict(service, await submitted(1, SMALL), SMALL)


def full(jobs: int) -> Counter[str]:
    """The same with a cluster of this machine that may not use the disk in place of its store."""
    os.environ.update(RAY_local_fs_capacity_threshold="0.0", RAY_local_fs_monitor_interval_ms="100")
    os.environ.update(RAY_automatic_object_spilling_enabled="0")
    cluster.STORE = STORE << 20
    with prepared() as folder, cluster.connected():
        return asyncio.run(play(folder, jobs))


def main() -> None:
    """Print the row."""
    jobs = int(sys.argv[1])
    print(row("results larger than Ray's object store, and beside a full one", jobs, full(jobs)))


if __name__ == "__main__":
    main()
