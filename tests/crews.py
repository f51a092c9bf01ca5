"""The fleets that there are, as the conformance tests want them: how each is made, run, and hurt."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import serving
from simulate import clock
from simulate.fleet import SimulatedFleet

from graphengine.config import Settings
from graphengine.fleets.crew import Crew
from graphengine.fleets.fleet import Report
from graphengine.fleets.inprocess import InProcessFleet

Make = Callable[..., Crew]


@dataclass(frozen=True)
class Kind:
    """A kind of fleet. `processes`: its workers are processes, so that they can be stopped and killed."""

    name: str
    make: Make
    loop: Callable[[], asyncio.AbstractEventLoop] = asyncio.new_event_loop
    processes: bool = True

    def kill(self, fleet: Crew, worker: str) -> None:
        """End a worker as the system would."""
        seat = fleet.seats[worker]
        if self.processes:
            os.kill(seat.pid, signal.SIGKILL)
        elif seat.line is not None:
            seat.line.kill()


def ray(settings: Settings, workers: int = 1, **given: Any) -> Crew:
    """Actors of the cluster that the tests have, or of one of their own."""
    from graphengine.fleets.actors import RayFleet

    return RayFleet(settings, workers, environment={"PYTHONPATH": serving.PATH}, **given)


KINDS = {
    kind.name: kind
    for kind in (
        Kind("inprocess", InProcessFleet, processes=False),
        Kind("local", serving.local),
        Kind("ray", ray),
        Kind(
            "simulated", lambda _, workers=1, **given: SimulatedFleet(workers, **given), clock.FakeTime, False
        ),
    )
}


class Heard:
    """A fleet that runs, and all that it has reported."""

    def __init__(self, fleet: Crew) -> None:
        self.fleet, self.reports = fleet, list[Report]()
        self.closed = False

    async def listen(self) -> None:
        async for report in self.fleet.events():
            self.reports.append(report)
        self.closed = True

    def of(self, kind: type, **wanted: Any) -> list[Any]:
        """The reports of a kind that have these fields."""
        return [
            report
            for report in self.reports
            if isinstance(report, kind) and all(getattr(report, k) == v for k, v in wanted.items())
        ]

    async def first(self, kind: type, seconds: float = 60.0, **wanted: Any) -> Any:
        """The first report of a kind that has these fields, when it comes."""
        return (await serving.until(lambda: self.of(kind, **wanted), seconds))[0]

    def state(self, worker: str = "worker-1") -> Any:
        """A worker as it is now."""
        return next(state for state in self.fleet.workers() if state.name == worker)


@asynccontextmanager
async def heard(fleet: Crew) -> AsyncIterator[Heard]:
    """A fleet that is started, heard, and closed."""
    found = Heard(fleet)
    await fleet.start()
    listening = asyncio.create_task(found.listen())
    try:
        yield found
    finally:
        if not found.closed:
            await fleet.aclose()
        async with asyncio.timeout(10):
            await listening
