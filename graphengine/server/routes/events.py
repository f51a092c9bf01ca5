"""Events: what happens to jobs, as it happens or afterwards."""

from __future__ import annotations

import json

from aiohttp import web

from graphengine.server import bodies
from graphengine.server.guard import single
from graphengine.server.problem import Refused
from graphengine.server.route import Call, Route
from graphengine.server.routes.jobs import asked
from graphengine.server.streams import excerpt

SSE = "text/event-stream"


async def followed(call: Call, query: bodies.EventsQuery) -> web.StreamResponse:
    """Follow the events of all jobs: by WebSocket if the connection is upgraded, else server-sent.

    A text frame of the WebSocket is a list of entries; a binary one is a picture: the length of a JSON header
    (4 bytes, the highest first), the header, the bytes of the picture.
    """
    site, request = call.site, call.request
    with site.streams.place(call.caller.client):
        if request.headers.get("Upgrade", "").lower() == "websocket":
            hub = site.service.hub
            return await site.streams.socket(request, hub, query.since, query.job, query.previews)
        since = last_seen(request, query.since)
        return await site.streams.events(request, site.service, since, query.job, ends=False)


async def of_job(call: Call, query: bodies.JobEventsQuery) -> bodies.Events | web.StreamResponse:
    """The events of a job after a number; as they happen, until it has ended, if server-sent is accepted."""
    site, id = call.site, asked(call)
    await site.service.job(id)
    if SSE in call.request.headers.get("Accept", ""):
        with site.streams.place(call.caller.client):
            since = last_seen(call.request, query.since)
            return await site.streams.events(call.request, site.service, since, id, ends=True)
    found = await excerpt(site.service, id, query.since, query.limit)
    rows = [json.loads(site.streams.entry(entry)) for entry in found.entries]
    return bodies.Events(
        events=[bodies.Entry.model_validate(row) for row in rows], last=found.last, lost=found.lost
    )


def last_seen(request: web.Request, since: int | None) -> int | None:
    """The number of the last event that a reader has seen: what its browser says goes before."""
    given = single(request, "Last-Event-ID")
    if given is None:
        return since
    if not (given.isascii() and given.isdecimal() and len(given) < 19):
        raise Refused(400, "Last-Event-ID is the number of an event")
    return int(given)


ROUTES = (
    Route("GET", "/api/events", followed, (200, 101), (400, 422, 429), media=(SSE,)),
    Route(
        "GET",
        "/api/jobs/{id}/events",
        of_job,
        errors=(400, 404, 422, 429),
        media=(SSE,),
        model=bodies.Events,
    ),
)
