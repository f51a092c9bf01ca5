"""What tests of the service share: its settings, workflows of faulty nodes, and ways to wait."""

from __future__ import annotations

import asyncio
import atexit
import json
import os
import shutil
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from graphengine.config import Settings
from graphengine.fleets.fleet import Fleet
from graphengine.fleets.local import LocalFleet
from graphengine.service import Service
from graphengine.store.jobs import ENDS, Job

PACKS = Path(__file__).parent / "packs"
PATH = os.pathsep.join([str(PACKS), *filter(None, [os.environ.get("PYTHONPATH")])])
"""What a process needs as PYTHONPATH to find the faulty nodes."""

CACHE = Path(tempfile.mkdtemp(prefix="graphengine-serving-"))
"""The cache of all these tests: reading the node types takes seconds."""
atexit.register(shutil.rmtree, CACHE, ignore_errors=True)


def settings(folder: Path, **given: Any) -> Settings:
    """Settings of a server whose data is in a folder."""
    given = {"device": "cpu", "cache": CACHE, "outputs": folder / "out", **given}
    return Settings.read(data=folder / "data", **given)


def one(type: str, **inputs: Any) -> dict[str, Any]:
    """A workflow of one node; what it gives is the output `value`, if it gives anything."""
    outputs = {} if type.endswith(("write", "large")) else {"value": "node.value"}
    nodes = {"node": {"type": f"faulty.{type}", "inputs": inputs}}
    return {"format": 1, "name": type, "nodes": nodes, "outputs": outputs}


def local(settings: Settings, workers: int = 1, **given: Any) -> LocalFleet:
    """Real workers that know the faulty nodes."""
    return LocalFleet(settings, ["cpu"] * workers, environment={"PYTHONPATH": PATH}, **given)


@asynccontextmanager
async def served(settings: Settings, fleet: Fleet | None = None, **given: Any) -> AsyncIterator[Service]:
    """A service that runs."""
    service = Service(settings, fleet or local(settings), **given)
    await service.start()
    try:
        yield service
    finally:
        await service.close(0.2)


def run(scene: Coroutine[Any, Any, None], limit: float = 300.0) -> None:
    """Run a test that awaits."""
    asyncio.run(asyncio.wait_for(scene, limit))


async def until(true: Callable[[], Awaitable[Any]] | Callable[[], Any], seconds: float = 120.0) -> Any:
    """Wait until something is true; gives it."""
    async with asyncio.timeout(seconds):
        while True:
            found = true()
            if asyncio.iscoroutine(found):
                found = await found
            if found:
                return found
            await asyncio.sleep(0.01)


async def ended(service: Service, id: str, seconds: float = 120.0) -> Job:
    """A job when it has ended."""

    async def over() -> Job | None:
        job = await service.job(id)
        return job if job.state in ENDS else None

    found: Job = await until(over, seconds)
    return found


async def told(service: Service, id: str) -> list[dict[str, Any]]:
    """The events of a job so far."""
    excerpt = await service.call(service.store.journal.read, 0, job=id, limit=100_000)
    return [json.loads(entry.text) for entry in excerpt.entries]


def names(events: Sequence[dict[str, Any]]) -> list[str]:
    """What events are called; those of the job's state by the state."""
    return [event.get("state", "") if event["event"] == "job" else event["event"] for event in events]
