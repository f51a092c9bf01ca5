"""Two hosts of a Ray cluster with a cable between them that is pulled, and what is left of the jobs then.

The second host is a network namespace; the cable is a pair of virtual network cards (veth). Root may make
these. As a program it prints a row: `python tests/faults/network.py JOBS [once]`.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import socket
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from time import monotonic, sleep

from crews import ray as fleet_of
from faults.actors import prepared, submitted, verdict
from faults.server import row
from serving import served, settings, until

from graphengine.config import Settings
from graphengine.fleets.cluster import connected

RAY = {
    "RAY_AUTH_MODE": "token",
    "RAY_AUTH_TOKEN": "a-token-for-tests-only" * 2,
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_health_check_initial_delay_ms": "1000",
    "RAY_health_check_period_ms": "500",
    "RAY_health_check_timeout_ms": "500",
    "RAY_health_check_failure_threshold": "4",
}
"""A host that does not answer for 4 seconds is taken for dead."""
SILENCE = 4.0
"""Seconds after which a worker that says nothing is, too."""


def run(*command: str) -> None:
    """Run a command. RuntimeError with what it says if it cannot do what it is to do."""
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)}: {done.stderr.strip()}")


def obstacle() -> str:
    """Why there can be no second host here; empty if there can."""
    if not shutil.which("ip"):
        return "there is no command `ip` (iproute2)"
    try:
        with Hosts():
            return ""
    except RuntimeError as error:
        return str(error)


class Hosts:
    """This machine as the first host, a namespace as the second one, and the cable between them."""

    def __init__(self) -> None:
        number = os.getpid() % 250
        self.name = f"graphengine-{os.getpid()}"
        self.cards = f"ge{os.getpid()}a", f"ge{os.getpid()}b"
        self.addresses = f"10.213.{number}.1", f"10.213.{number}.2"
        self.processes: list[subprocess.Popen[bytes]] = []
        self.port = 0

    def __enter__(self) -> Hosts:
        first, second = self.cards
        try:
            run("ip", "netns", "add", self.name)
            run("ip", "link", "add", first, "type", "veth", "peer", "name", second)
            run("ip", "link", "set", second, "netns", self.name)
            run("ip", "addr", "add", f"{self.addresses[0]}/24", "dev", first)
            run("ip", "link", "set", first, "up")
            inside = "ip", "-n", self.name
            run(*inside, "addr", "add", f"{self.addresses[1]}/24", "dev", second)
            run(*inside, "link", "set", second, "up")
            run(*inside, "link", "set", "lo", "up")
        except RuntimeError:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        for process in self.processes:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        for command in (("link", "del", self.cards[0]), ("netns", "del", self.name)):
            with suppress(RuntimeError):
                run("ip", *command)

    def head(self) -> None:
        """Start the cluster, with a worker's place on this host."""
        with socket.create_server((self.addresses[0], 0)) as free:
            self.port = free.getsockname()[1]
        self.ray((), 0, "--head", "--port", str(self.port), "--include-dashboard=false")

    def join(self) -> None:
        """Let the second host be a part of the cluster, with a place for a worker."""
        address = f"{self.addresses[0]}:{self.port}"
        self.ray(("ip", "netns", "exec", self.name), 1, "--address", address)

    def ray(self, prefix: tuple[str, ...], host: int, *options: str) -> None:
        """Start Ray on a host."""
        ray = str(Path(sys.executable).with_name("ray"))
        fixed = ["--node-ip-address", self.addresses[host], "--num-cpus", "1", "--block"]
        command = [*prefix, ray, "start", *options, *fixed, "--object-store-memory", str(128 << 20)]
        quiet = subprocess.DEVNULL
        self.processes.append(subprocess.Popen(command, stdout=quiet, stderr=quiet, start_new_session=True))

    def cable(self, plugged: bool) -> None:
        """Pull the cable, or plug it in again."""
        run("ip", "link", "set", self.cards[0], "up" if plugged else "down")


async def pulled(where: Settings, hosts: Hosts, jobs: int, again: bool) -> Counter[str]:
    """The cable is out while jobs run on both hosts, until all have ended on the first one.

    `again`: before, it is out for a second; afterwards the second host comes back.
    """
    fleet = fleet_of(where, 2, silence=SILENCE)
    async with served(where, fleet) as service:
        await until(lambda: all(worker.ready for worker in service.fleet.workers()))
        machines = {seat.line.machine for seat in fleet.seats.values()}  # type: ignore[union-attr]
        assert len(machines) == 2, "both workers are on one host"
        ids = await submitted(service, jobs, 0.3)
        await until(lambda: all(worker.job for worker in service.fleet.workers()))
        if again:
            await asyncio.to_thread(hosts.cable, False)
            await asyncio.sleep(1.0)
            await asyncio.to_thread(hosts.cable, True)
            await until(lambda: all(worker.job for worker in service.fleet.workers()))
        await asyncio.to_thread(hosts.cable, False)
        found = await verdict(service, ids)
        await asyncio.to_thread(hosts.cable, True)
        if again:
            await asyncio.to_thread(hosts.processes[-1].wait, 60)  # it learns that it was taken for dead
            hosts.join()
            await until(lambda: all(worker.ready for worker in service.fleet.workers()))
        return found


def cut(jobs: int, again: bool = True) -> Counter[str]:
    """The same, with hosts and a service of its own."""
    os.environ.update(RAY)
    with prepared() as folder, Hosts() as hosts:
        hosts.head()
        with cluster(hosts):
            where = settings(folder, attempts=100, jobs_per_client=100_000)
            return asyncio.run(pulled(where, hosts, jobs, again))


@contextmanager
def cluster(hosts: Hosts) -> Iterator[None]:
    """Be connected, with both hosts there."""
    until = monotonic() + 120
    while True:
        with suppress(OSError):
            socket.create_connection((hosts.addresses[0], hosts.port), 1.0).close()
            break
        assert monotonic() < until, "Ray does not start"
        sleep(0.1)
    hosts.join()
    with connected(f"{hosts.addresses[0]}:{hosts.port}"):
        import ray

        while sum(node["Alive"] for node in ray.nodes()) < 2:
            assert monotonic() < until, "the second host does not join"
            sleep(0.1)
        yield


def main() -> None:
    """Print the row."""
    jobs, what = int(sys.argv[1]), "the cable between two hosts of a Ray cluster pulled"
    if why := obstacle():
        print(f"{what:62s} not tried: {why}")
        return
    found = cut(jobs, again="once" not in sys.argv)
    print(row(f"{what} ({found['begun again']} at a job)", jobs, found))


if __name__ == "__main__":
    main()
