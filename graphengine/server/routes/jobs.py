"""Jobs: submit them, look at them, and change what becomes of them."""

from __future__ import annotations

import asyncio
import json
import re
from dataclasses import asdict
from typing import Any

from aiohttp import web

from graphengine.errors import NotFound, OverLimit
from graphengine.server import bodies, media
from graphengine.server.guard import single
from graphengine.server.problem import Refused, over
from graphengine.server.route import Answer, Call, Route
from graphengine.store.jobs import Job

KEY = re.compile("[\x21-\x7e]{1,200}").fullmatch
ID = re.compile("[0-9a-f]{1,64}").fullmatch


def told(call: Call, job: Job) -> dict[str, Any]:
    """A job as the fields of its body."""
    row = {name: value for name, value in asdict(job).items() if name in bodies.Job.model_fields}
    return row | {"error": call.site.veil(job.error)}


def body_of(call: Call, job: Job) -> bodies.Job:
    """A job as it is told."""
    return bodies.Job(**told(call, job))


def asked(call: Call) -> str:
    """The id of the job that is asked for. NotFound for what no job's id is like."""
    id = call.name("id")
    if not ID(id):
        raise NotFound("there is no job of this id")
    return id


async def submit(call: Call, body: bodies.Submit) -> Answer:
    """Submit a workflow as a job; it is on disk when the answer comes.

    With an Idempotency-Key the same request may be sent again, and gives the same job with status 200.
    """
    site = call.site
    key = single(call.request, "Idempotency-Key")
    if key is not None and not KEY(key):
        raise Refused(400, "an Idempotency-Key has 1 to 200 visible characters of ASCII")
    await site.disk.room()
    try:
        job, new = await site.service.submit(
            body.workflow,
            body.inputs,
            body.targets,
            priority=body.priority,
            client=call.caller.client,
            key=key,
        )
    except OverLimit as error:
        most = site.service.settings.jobs_per_client
        raise over("jobs_per_client", most, str(error), 429) from None
    headers = {"Location": f"/api/jobs/{job.id}"}
    return Answer(body_of(call, job), 201 if new else 200, headers)


async def listed(call: Call, query: bodies.JobsQuery) -> bodies.Jobs:
    """List jobs, newest first, a page at a time."""
    page = await call.site.service.jobs(states=query.state, cursor=query.cursor, limit=query.limit)
    return bodies.Jobs(jobs=[body_of(call, job) for job in page.jobs], cursor=page.cursor)


async def shown(call: Call) -> bodies.JobDetail:
    """A job with its workflow as it was run, what it was given, and what it gave."""
    detail = await call.site.service.detail(asked(call))
    return bodies.JobDetail(
        **told(call, detail.job),
        workflow=await asyncio.to_thread(json.loads, detail.request.workflow),
        inputs=dict(detail.request.inputs),
        targets=list(detail.request.targets),
        outputs=[
            bodies.Output(id=o.id, name=o.name, media=o.media, size=o.size, url=f"/api/outputs/{o.id}")
            for o in detail.outputs
        ],
        result=dict(detail.result),
    )


async def changed(call: Call, body: bodies.Change) -> bodies.Job:
    """Change the priority of a job that waits, or keep its outputs whatever space is needed."""
    id, service = asked(call), call.site.service
    job = await service.job(id)
    if body.priority is not None:
        job = await service.prioritise(id, body.priority)
    if body.pinned is not None:
        job = await service.pin(id, body.pinned)
    return body_of(call, job)


async def removed(call: Call) -> Answer:
    """Forget a job that has ended, with all that it gave."""
    await call.site.service.remove(asked(call))
    return Answer()


async def cancelled(call: Call) -> bodies.Job:
    """Cancel a job: at once if it waits, within a step if it runs."""
    return body_of(call, await call.site.service.cancel(asked(call)))


async def retried(call: Call) -> bodies.Job:
    """Let a job that failed or was cancelled wait again."""
    return body_of(call, await call.site.service.retry(asked(call)))


async def moved(call: Call, body: bodies.Move) -> bodies.Job:
    """Move a job that waits within the queue."""
    if (body.other is None) != (body.place in ("front", "back")):
        raise Refused(422, "`other` is given with `before` and `after`, and only with these")
    return body_of(call, await call.site.service.move(asked(call), body.place, body.other))


async def trace(call: Call) -> web.StreamResponse:
    """What was done when in the last attempt at a job, for Perfetto and Chrome."""
    output, path = await call.site.service.trace(asked(call))
    if not await asyncio.to_thread(path.is_file):
        raise NotFound("the trace of this job is not there any more")
    headers = media.headers("application/json", f"{output.job}.trace.json", keep=True)
    return media.file(path, headers | {"Cache-Control": "no-store"})


ROUTES = (
    Route("POST", "/api/jobs", submit, (201, 200), (404, 409, 413, 422, 429, 503), model=bodies.Job),
    Route("GET", "/api/jobs", listed, errors=(422,)),
    Route("GET", "/api/jobs/{id}", shown, errors=(404,)),
    Route("PATCH", "/api/jobs/{id}", changed, errors=(404, 409, 422)),
    Route("DELETE", "/api/jobs/{id}", removed, (204,), (404, 409)),
    Route("POST", "/api/jobs/{id}/cancel", cancelled, errors=(404, 409)),
    Route("POST", "/api/jobs/{id}/retry", retried, errors=(404, 409)),
    Route("POST", "/api/jobs/{id}/move", moved, errors=(404, 409, 422)),
    Route("GET", "/api/jobs/{id}/trace", trace, errors=(404,), media=("application/json",)),
)
