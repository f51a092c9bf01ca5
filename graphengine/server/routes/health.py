"""Health: whether the server is there, whether it runs jobs, and numbers for those who watch it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from aiohttp import web

from graphengine.server import bodies, metrics
from graphengine.server.metrics import Row
from graphengine.server.route import Answer, Call, Route

if TYPE_CHECKING:
    from graphengine.service import Standing

Family = tuple[str, str, str, Sequence[Row]]


async def live(call: Call) -> bodies.Alive:
    """The process answers. Asked without a token."""
    return bodies.Alive()


async def ready(call: Call) -> Answer:
    """Whether jobs are run: 200 if a worker is ready, else 503."""
    found = call.site.service.health()
    standing = await call.site.service.standing()
    body = bodies.Ready(
        ready=found.ready,
        paused=standing.paused,
        workers=[
            bodies.Worker(**{name: getattr(worker, name) for name in bodies.Worker.model_fields})
            for worker in found.workers
        ],
    )
    return Answer(body, 200 if found.ready else 503)


async def measured(call: Call) -> web.Response:
    """Numbers for Prometheus."""
    used, standing = await call.site.disk.use(), await call.site.service.standing()
    text = call.site.metrics.text(families(call, standing, used))
    return web.Response(body=text.encode(), headers={"Content-Type": metrics.MEDIA})


def families(call: Call, standing: Standing, used: int) -> Iterator[Family]:
    """How things stand."""
    site, found = call.site, call.site.service.health()
    jobs = [Row(number, {"state": state}) for state, number in standing.counts.items()]
    workers = [Row(int(worker.ready), {"worker": worker.name}) for worker in found.workers]
    yield "graphengine_jobs", "gauge", "Jobs by state.", jobs
    yield "graphengine_queue_length", "gauge", "Jobs that wait.", [Row(standing.counts["queued"])]
    yield "graphengine_queue_paused", "gauge", "Whether no more jobs are begun.", [Row(int(standing.paused))]
    yield "graphengine_worker_ready", "gauge", "Whether a worker can take a job.", workers
    memory = [Row(worker.memory, {"worker": worker.name}) for worker in found.workers]
    yield "graphengine_worker_memory_bytes", "gauge", "Memory of a worker.", memory
    yield "graphengine_journal_last", "gauge", "Number of the newest event.", [Row(site.service.hub.last)]
    streams = [Row(site.streams.clients.total())]
    yield "graphengine_streams", "gauge", "Streams of events that are open.", streams
    yield "graphengine_disk_bytes", "gauge", "Size of outputs and uploads.", [Row(used)]
    resident = [Row(metrics.resident())]
    yield "process_resident_memory_bytes", "gauge", "Memory of the server.", resident


ROUTES = (
    Route("GET", "/health/live", live),
    Route("GET", "/health/ready", ready, (200, 503), model=bodies.Ready),
    Route("GET", "/metrics", measured, media=("text/plain",)),
)
