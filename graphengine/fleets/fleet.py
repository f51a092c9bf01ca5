"""Fleet: the workers that jobs are given to, whatever runs them.

A Fleet knows nothing of the queue. It starts workers and watches them, hands orders to them, and gives back
what they say as Reports, one stream for all: that a worker is Ready, what comes from a job (Told, Shown,
Logged, Ended), and that a worker is Gone, with why; then another one takes its place under the same name.

LocalFleet has processes of this machine (`local`), InProcessFleet threads of this process (`inprocess`), and
RayFleet actors of a Ray cluster (`actors`). All are a Crew (`crew`), and pass one suite of tests.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

if TYPE_CHECKING:
    from graphengine.order import Order


class Ready(NamedTuple):
    """A worker can take a job."""

    worker: str


class Told(NamedTuple):
    """Events of an attempt at a job, as JSON texts."""

    job: str
    epoch: int
    texts: Sequence[str]


class Shown(NamedTuple):
    """A picture of an attempt at a job, as the bytes of a file."""

    job: str
    epoch: int
    node: str
    media: str
    width: int
    height: int
    data: bytes


class Ended(NamedTuple):
    """An attempt is over. `files` are its results; `trace` is where it was told what was done when."""

    worker: str
    job: str
    epoch: int
    state: str
    error: str = ""
    files: Sequence[Mapping[str, str]] = ()
    result: Mapping[str, Any] = {}
    trace: str = ""


class Logged(NamedTuple):
    """Something for the log, and for nobody else: the traceback of a node that failed."""

    worker: str
    job: str
    node: str
    text: str


class Gone(NamedTuple):
    """A worker has died, or was ended; `why` says it in words. `job` is what it was at, if anything."""

    worker: str
    why: str
    job: str = ""
    epoch: int = 0


Report = Ready | Told | Shown | Logged | Ended | Gone


class WorkerState(NamedTuple):
    """A worker as it is now.

    `job` is the one that it is at, or empty; `memory` its bytes in memory; `models` names what it has loaded,
    `free` is the bytes that are left for others, and `given` how many jobs it was given so far.
    """

    name: str
    device: str
    ready: bool
    job: str
    memory: int
    starts: int
    models: frozenset[str] = frozenset()
    free: int = 0
    given: int = 0


class Fleet(Protocol):
    """Where jobs run."""

    async def start(self) -> None:
        """Start the workers; gives at once, and they report when they are ready."""

    def workers(self) -> list[WorkerState]:
        """The workers as they are now."""

    def idle(self) -> list[WorkerState]:
        """Those that can take a job; asked after each job, so it takes no time for the others."""

    async def submit(self, worker: str, order: Order) -> None:
        """Give an order to a worker that has none. Unavailable if it is gone."""

    def events(self) -> AsyncIterator[Report]:
        """What the workers say, in order, until the fleet is closed."""

    async def cancel(self, job: str, epoch: int) -> None:
        """Stop an attempt: its end is reported within a step, or its worker is ended."""

    async def call(self, what: str, **arguments: Any) -> Any:
        """Ask a worker. Unavailable if none is ready."""

    async def fetch(self, path: str) -> Path:
        """A file that a worker has made, as one of this machine."""

    async def aclose(self) -> None:
        """End the workers."""
