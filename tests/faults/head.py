"""What is left of the jobs when the head of a Ray cluster is killed while they run, and another is started.

As a program it prints a row: `python tests/faults/head.py JOBS [late]`.
"""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
from collections import Counter
from contextlib import suppress
from pathlib import Path
from time import monotonic, sleep

from crews import ray as fleet_of
from faults.actors import prepared, submitted, verdict
from faults.leftovers import descendants
from faults.server import row
from serving import served, settings, until

from graphengine.fleets.cluster import Cluster, connected

RAY = {
    "RAY_AUTH_MODE": "token",
    "RAY_AUTH_TOKEN": "a-token-for-tests-only" * 2,
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
}
SILENCE = 3.0
"""Seconds after which a head that does not answer is taken for gone."""


class Head:
    """The first node of a cluster, always at one port of this machine."""

    def __init__(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def address(self) -> str:
        """Where it is."""
        return f"127.0.0.1:{self.port}"

    def start(self) -> None:
        """Start it, with places for two workers, and wait until it listens."""
        ray = str(Path(sys.executable).with_name("ray"))
        where = ["--head", "--port", str(self.port), "--node-ip-address", "127.0.0.1", "--num-cpus", "2"]
        size = ["--object-store-memory", str(128 << 20), "--include-dashboard=false", "--block"]
        quiet = subprocess.DEVNULL
        self.process = subprocess.Popen(
            [ray, "start", *where, *size], stdout=quiet, stderr=quiet, start_new_session=True
        )
        until = monotonic() + 120
        while not Cluster(self.address).answers():
            assert monotonic() < until, "Ray does not start"
            sleep(0.1)

    def kill(self) -> None:
        """`kill -9` of all its processes, its workers among them."""
        if self.process is None:
            return
        for pid in [self.process.pid, *descendants(self.process.pid)]:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.process.wait()
        self.process = None


async def bereft(folder: Path, cluster: Cluster, head: Head, jobs: int, late: bool) -> Counter[str]:
    """The head is killed while jobs run; another comes at once, or `late`, and the service goes on."""
    where = settings(folder, attempts=100, jobs_per_client=100_000)
    fleet = fleet_of(where, 2, cluster=cluster, silence=SILENCE)
    async with served(where, fleet) as service:
        await until(lambda: all(worker.ready for worker in service.fleet.workers()))
        ids = await submitted(service, jobs, 0.3)
        await until(lambda: all(worker.job for worker in service.fleet.workers()))
        await asyncio.to_thread(head.kill)
        counts = (await service.line()).counts
        assert counts["done"] < jobs, "the jobs were over before the head was killed"
        if late:
            await until(lambda: not any(worker.ready for worker in service.fleet.workers()))
            await asyncio.sleep(20.0)
        await asyncio.to_thread(head.start)
        return await verdict(service, ids)


def killed(jobs: int, late: bool) -> Counter[str]:
    """The same, with a head and a service of its own."""
    os.environ.update(RAY)
    head = Head()
    head.start()
    try:
        with prepared() as folder, connected(head.address) as cluster:
            return asyncio.run(bereft(folder, cluster, head, jobs, late))
    finally:
        head.kill()


def main() -> None:
    """Print the row."""
    jobs = int(sys.argv[1])
    found = killed(jobs, late="late" in sys.argv)
    what = f"the head of a Ray cluster killed, another started ({found['begun again']} at a job)"
    print(row(what, jobs, found))


if __name__ == "__main__":
    main()
