"""Queue: the jobs that wait and run, and whether more are begun."""

from __future__ import annotations

from graphengine.server import bodies
from graphengine.server.route import Call, Route
from graphengine.server.routes.jobs import body_of
from graphengine.store.store import PAGE_LIMIT


async def shown(call: Call, query: bodies.QueueQuery) -> bodies.Queue:
    """The queue: what waits, in its order, and what runs; the first of each, where there are many."""
    return await told(call, query.limit)


async def told(call: Call, limit: int) -> bodies.Queue:
    """So much of the queue."""
    line = await call.site.service.line(limit)
    return bodies.Queue(
        paused=line.paused,
        waiting=[body_of(call, job) for job in line.waiting],
        running=[body_of(call, job) for job in line.running],
        counts=dict(line.counts),
    )


async def paused(call: Call) -> bodies.Queue:
    """Begin no more jobs; those that run go on."""
    await call.site.service.pause(True)
    return await told(call, PAGE_LIMIT)


async def resumed(call: Call) -> bodies.Queue:
    """Begin jobs again."""
    await call.site.service.pause(False)
    return await told(call, PAGE_LIMIT)


ROUTES = (
    Route("GET", "/api/queue", shown),
    Route("POST", "/api/queue/pause", paused),
    Route("POST", "/api/queue/resume", resumed),
)
