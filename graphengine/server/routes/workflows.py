"""Workflows: the library of those that are saved and those that are shipped."""

from __future__ import annotations

import asyncio

from aiohttp import web

from graphengine.errors import Conflict, NotFound, OverLimit
from graphengine.library import NAME, RULE
from graphengine.server import bodies, media, reading
from graphengine.server.guard import single
from graphengine.server.problem import Refused
from graphengine.server.route import Answer, Call, Route


async def listed(call: Call) -> bodies.Workflows:
    """List the library."""
    library = call.site.service.library
    rows = await asyncio.to_thread(library.names)
    pictures = await asyncio.to_thread(lambda: {row.name for row in rows if library.picture(row.name)})
    return bodies.Workflows(
        workflows=[
            bodies.Saved(
                **row._asdict(),
                picture=f"/api/workflows/{row.name}/picture" if row.name in pictures else None,
            )
            for row in rows
        ]
    )


async def read(call: Call) -> Answer:
    """A workflow of the library, with the etag that says which version it is."""
    text, etag = await asyncio.to_thread(call.site.service.library.read, call.name("name"))
    headers = {"ETag": f'"{etag}"', "Cache-Control": "private, no-cache"}
    if single(call.request, "If-None-Match") == f'"{etag}"':
        return Answer(None, 304, headers)
    return Answer(text.encode(), 200, headers)


async def write(call: Call, body: bytes) -> Answer:
    """Save a workflow: `If-Match` is the etag of what it replaces, `If-None-Match: *` says that it is new."""
    name, service = call.name("name"), call.site.service
    if not NAME(name):
        raise Refused(422, f"a workflow cannot have this name; {RULE}", name="name")
    match, create = version(call), single(call.request, "If-None-Match") is not None
    if create and single(call.request, "If-None-Match") != "*":
        raise Refused(400, "If-None-Match is * here: there must be no workflow of this name")
    if match is None and not create:
        text = "say with If-Match which version is replaced, or with If-None-Match: * that it is new"
        raise Refused(428, text)
    await call.site.disk.room(len(body))
    try:
        etag = await asyncio.to_thread(
            service.library.write, name, body.decode("utf-8-sig"),
            match=match, create=create, record=service.recorded,
        )  # fmt: skip
    except Conflict as error:
        raise await changed(call, name, error) from None
    except OverLimit as error:
        raise Refused(413, str(error), name="over-limit") from None
    answer = bodies.Written(name=name, etag=etag)
    return Answer(answer, 201 if create else 200, {"ETag": f'"{etag}"'})


async def remove(call: Call) -> Answer:
    """Remove a workflow that was saved; with `If-Match` only if it is still that version."""
    name, library = call.name("name"), call.site.service.library
    try:
        await asyncio.to_thread(library.remove, name, version(call))
    except Conflict as error:
        raise await changed(call, name, error) from None
    return Answer()


async def picture(call: Call) -> web.StreamResponse:
    """What a shipped workflow gives, as a picture."""
    path = await asyncio.to_thread(call.site.service.library.picture, call.name("name"))
    if path is None:
        raise NotFound("there is no picture of this workflow")
    headers = media.headers("image/png", f"{call.name('name')}.png")
    return media.file(path, headers | {"Cache-Control": "private, max-age=3600"})


def version(call: Call) -> str | None:
    """The etag in If-Match; None where there is none."""
    given = single(call.request, "If-Match")
    if given is None:
        return None
    if len(given) < 3 or given[0] != '"' or given[-1] != '"':
        raise Refused(400, 'If-Match is an etag as it was given, such as "0123"')
    return given[1:-1]


async def changed(call: Call, name: str, error: Conflict) -> Refused:
    """What is told of a version that is another one: 412, or 409 for what nobody may change."""
    shipped = await asyncio.to_thread(call.site.service.library.only_shipped, name)
    return Refused(409 if shipped else 412, str(error), name="shipped" if shipped else "changed")


ROUTES = (
    Route("GET", "/api/workflows", listed),
    Route("GET", "/api/workflows/{name}", read, (200, 304), (404,), media=(reading.JSON,)),
    Route("PUT", "/api/workflows/{name}", write, (200, 201), (409, 412, 413, 422, 428), model=bodies.Written),
    Route("DELETE", "/api/workflows/{name}", remove, (204,), (404, 409, 412)),
    Route("GET", "/api/workflows/{name}/picture", picture, errors=(404,), media=("image/png",)),
)
