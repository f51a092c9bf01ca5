"""Outputs: the files that jobs gave, by ids that say nothing of where they are."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path

from aiohttp import web

from graphengine.errors import NotFound
from graphengine.server import bodies, media
from graphengine.server.problem import Refused
from graphengine.server.route import Call, Route

ID = re.compile("[0-9a-f]{32}").fullmatch


async def shown(call: Call, query: bodies.OutputQuery) -> web.StreamResponse:
    """A file that a job gave; with `size` a small picture of it, with `download` to be saved."""
    id = call.name("id")
    if not ID(id):
        raise NotFound("there is no output of this id")
    output, path = await call.site.service.output(id)
    if not await asyncio.to_thread(there, path):
        raise NotFound("the file of this output is not there any more")
    if query.size is None:
        return media.file(path, media.headers(output.media, output.name, keep=query.download))
    if not output.media.startswith("image/") or output.media not in media.SHOWN:
        raise Refused(415, "there is a small picture of pictures only")
    small = await call.site.pictures.thumbnail(id, path, query.size)
    stem = output.name.rpartition(".")[0] or output.name
    headers = media.headers("image/webp", f"{stem}.webp", keep=query.download)
    return web.Response(body=small, headers=headers)


def there(path: Path) -> bool:
    """Whether a file is there itself, and not only a link to one."""
    return path.is_file() and not path.is_symlink()


ROUTES = (Route("GET", "/api/outputs/{id}", shown, errors=(404, 415, 422), media=("*/*",)),)
