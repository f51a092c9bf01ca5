"""Cluster: the way to a Ray cluster, or one of this machine, and how many workers it has room for.

Ray reads the environment as soon as it is imported, so it is imported here, when that is in order. To import
this module takes no Ray.

A cluster is lost with its head. Ray ends every process that is connected to a head which does not answer for
a minute; so who finds out that it is gone leaves, and joins again when there is one.
"""

from __future__ import annotations

import logging
import os
import secrets
import socket
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from time import monotonic
from typing import Any, Literal, NamedTuple

from graphengine.errors import GraphEngineError

STORE = 512 << 20
"""Bytes of shared memory that a cluster of this machine takes for what is on its way."""
KNOCK = 5.0
"""Seconds in which a cluster answers, if there is one."""
HOLD = 5.0
"""Seconds after which the connection to a head is made anew: a host that is gone says no word."""


@contextmanager
def connected(address: str = "") -> Iterator[Cluster]:
    """Be connected to the cluster at an address; without one, make a cluster of this machine, and end it.

    That one has no dashboard, listens on the loopback address only, and wants a token that nobody else has;
    where Ray was imported before, by somebody else, its own settings hold instead. GraphEngineError if Ray is
    not installed, or no cluster answers.
    """
    if (found := find_spec("ray")) is None or found.origin is None:  # a mere folder has no origin
        text = 'the executor "ray" needs Ray, which is not installed: pip install "graphengine[ray]"'
        raise GraphEngineError(text)
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ["RAY_ENABLE_AUTO_CONNECT"] = "0"  # without a cluster an actor is an error, and makes none
    cluster = Cluster(address)
    cluster.join()
    try:
        yield cluster
    finally:
        cluster.leave()


class Cluster:
    """The one that this process is connected to, at an address; without one, it is of this machine."""

    def __init__(self, address: str = "") -> None:
        self.address, self.head = address, address
        self.line: socket.socket | None = None
        self.since = 0.0

    def join(self) -> None:
        """Connect to it, or make it. GraphEngineError if none answers."""
        options: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR}
        if not self.address:
            os.environ.pop("GRAPHENGINE_TOKEN", None)  # the processes of the cluster inherit the environment
            if "ray" not in sys.modules:
                close_to_others()
            options |= {"include_dashboard": False, "object_store_memory": STORE}
        try:
            if self.address.rpartition(":")[2].isdecimal():
                knock(self.address).close()
            from ray import get_runtime_context, init

            init(address=self.address or "local", **options)
            self.head = get_runtime_context().gcs_address
            self.line, self.since = knock(self.head), monotonic()
        except Exception as error:  # Ray has errors of many kinds, and they cannot be named before its import
            why = (str(error).strip() or type(error).__name__).splitlines()[0]
            if not self.address:
                raise GraphEngineError(f"Ray starts no cluster of this machine: {why}") from error
            raise GraphEngineError(
                f"no Ray cluster answers at {self.address} ({why}); look at its address, and at "
                "RAY_AUTH_MODE and RAY_AUTH_TOKEN if it wants a token"
            ) from error

    def answers(self) -> bool:
        """Whether there is a head where it was."""
        try:
            knock(self.head).close()
        except OSError:
            return False
        return True

    def state(self) -> Literal["there", "silent", "gone"]:
        """Whether the head that was joined is there, does not answer, or has ended.

        A connection to it is held, which ends with it: another head may be at the address soon, which knows
        nothing of what was started.
        """
        if self.line is None or ended(self.line):
            return "gone"
        if monotonic() - self.since > HOLD:
            try:
                line, self.since = knock(self.head), monotonic()
            except OSError:
                return "silent"
            self.line.close()
            self.line = line
        return "there"

    def leave(self) -> None:
        """Be connected no more; what was started at it ends. Takes seconds if its head is gone."""
        from ray import shutdown

        if self.line is not None:
            self.line.close()
            self.line = None
        shutdown()


def close_to_others() -> None:
    """Say in the environment, which Ray reads when it is imported, that a cluster is this user's alone."""
    os.environ["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] = "0"  # that is how Ray spells "loopback"
    os.environ.setdefault("RAY_worker_niceness", "0")  # as urgent as local workers; else 15
    if os.environ.setdefault("RAY_AUTH_MODE", "token") == "token":
        os.environ["RAY_AUTH_TOKEN"] = secrets.token_hex(32)


def knock(address: str) -> socket.socket:
    """A connection to `host:port`. OSError if nobody listens there; Ray itself would try for minutes."""
    host, _, port = address.rpartition("/")[2].rpartition(":")
    return socket.create_connection((host.strip("[]"), int(port)), KNOCK)


def ended(line: socket.socket) -> bool:
    """Whether the other side of a connection has ended. What it says is not heard."""
    line.setblocking(False)
    try:
        while line.recv(4096):
            pass
    except BlockingIOError:
        return False
    except OSError:
        pass
    return True


class Share(NamedTuple):
    """How many workers there are, and what each has of its node: CPUs and GPUs."""

    workers: int
    cpus: float
    gpus: int


def share(nodes: Sequence[Mapping[str, float]], wanted: int | None, device: str) -> Share:
    """How the resources of a cluster's nodes are shared among workers.

    With GPUs each worker has one of them, and a share of its node's CPUs. Without, all have the same number
    of CPUs: the largest one with which there is room for all of them.
    """
    found = sum(int(node.get("GPU", 0)) for node in nodes)
    if device.startswith("cuda") or (device == "auto" and found):
        shares = [node.get("CPU", 0) // node["GPU"] for node in nodes if node.get("GPU")]
        return Share(wanted or max(found, 1), max(min(shares, default=1), 1), 1)
    workers, cpus = wanted or 1, [node.get("CPU", 0) for node in nodes]
    sizes = {part(n, k) for n in cpus for k in range(1, workers + 1)} - {0.0}
    fitting = [size for size in sizes if sum(int(n / size + 1e-9) for n in cpus) >= workers]
    return Share(workers, max(fitting, default=1.0), 0)


def part(cpus: float, count: int) -> float:
    """What each of some workers has of a node's CPUs; Ray knows whole numbers, and fractions below one."""
    return cpus // count if cpus >= count else int(cpus / count * 100) / 100
