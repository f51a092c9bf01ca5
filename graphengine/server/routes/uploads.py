"""Uploads: pictures that workflows may read."""

from __future__ import annotations

import asyncio

from aiohttp import web

from graphengine.server import bodies, media, reading
from graphengine.server.pictures import TAKEN
from graphengine.server.route import Answer, Call, Route


async def upload(call: Call, body: bytes, query: bodies.UploadQuery) -> Answer:
    """Upload a picture; it is decoded, and only its pixels are kept."""
    pictures, disk = call.site.pictures, call.site.disk
    png, kept = await pictures.upload(body, reading.media(call.request), query.name)
    await disk.room(len(png))
    await pictures.keep(kept.name, png)
    answer = bodies.Uploaded(name=kept.name, width=kept.width, height=kept.height)
    return Answer(answer, 201, {"Location": f"/api/uploads/{kept.name}"})


async def shown(call: Call) -> web.StreamResponse:
    """A picture that was uploaded, or that a shipped workflow reads, as it is kept."""
    path = await asyncio.to_thread(call.site.pictures.find, call.name("name"))
    return media.file(path, media.headers("image/png", path.name))


ROUTES = (
    Route(
        "POST",
        "/api/uploads",
        upload,
        (201,),
        (408, 413, 415, 422),
        takes=tuple(TAKEN),
        model=bodies.Uploaded,
    ),
    Route("GET", "/api/uploads/{name}", shown, errors=(404,), media=("image/png",)),
)
