"""Pages: the editor, and the description of the API."""

from __future__ import annotations

import asyncio
from functools import cache
from pathlib import Path

from aiohttp import web

from graphengine import resources
from graphengine.errors import NotFound
from graphengine.folders import inside
from graphengine.server import media
from graphengine.server.route import Answer, Call, Route

TYPES = {
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".ico": "image/x-icon",
    ".jpg": "image/jpeg",
    ".js": "text/javascript; charset=utf-8",
    ".json": "application/json",
    ".map": "application/json",
    ".mjs": "text/javascript; charset=utf-8",
    ".png": "image/png",
    ".svg": "image/svg+xml",
    ".ttf": "font/ttf",
    ".txt": "text/plain; charset=utf-8",
    ".wasm": "application/wasm",
    ".webmanifest": "application/manifest+json",
    ".webp": "image/webp",
    ".woff2": "font/woff2",
}
"""The files that an editor may be made of."""
NO_EDITOR = """<!doctype html>
<html lang="en"><meta charset="utf-8"><title>GraphEngine</title>
<style>body { font: 16px/1.5 system-ui; max-width: 40em; margin: 4em auto; padding: 0 1em }</style>
<h1>GraphEngine</h1>
<p>The server runs, and its graph editor has not been built. In a checkout, <code>make web</code> builds it;
then load this page again. A wheel holds it already.</p>
<p>The API works without it: <a href="/api/openapi.json">/api/openapi.json</a> describes it.</p>
"""


async def editor(call: Call) -> web.StreamResponse:
    """The graph editor."""
    path = resources.web() / "index.html"
    if not await asyncio.to_thread(path.is_file):
        return web.Response(text=NO_EDITOR, content_type="text/html")
    return media.file(path, {"Content-Type": TYPES[".html"], "Cache-Control": "no-cache"})


async def asset(call: Call) -> web.StreamResponse:
    """A file of the graph editor, whose name changes with its content."""
    name = f"assets/{call.name('path')}"
    return media.file(await asyncio.to_thread(part, name), kind(name) | {"Cache-Control": media.FOR_EVER})


async def beside(call: Call) -> web.StreamResponse:
    """A file beside the page of the graph editor, such as its icon."""
    name = call.name("file")
    return media.file(await asyncio.to_thread(part, name), kind(name) | {"Cache-Control": "no-cache"})


def part(name: str) -> Path:
    """A file of the editor. NotFound if there is none, or it is of no type that an editor is made of."""
    path = inside(resources.web(), name) if "\\" not in name else None
    if path is None or not path.is_file() or path.suffix not in TYPES:
        raise NotFound("there is nothing at this address")
    return path


def kind(name: str) -> dict[str, str]:
    """The type of a file of the editor."""
    return {"Content-Type": TYPES[Path(name).suffix]}


async def described(call: Call) -> Answer:
    """This API, as an OpenAPI 3.1 document."""
    return Answer(await asyncio.to_thread(description))


@cache
def description() -> bytes:
    """The document, made once."""
    import json

    from graphengine.server.openapi import document
    from graphengine.server.routes import ROUTES

    return json.dumps(document(ROUTES)).encode()


ROUTES = (
    Route("GET", "/api/openapi.json", described, media=("application/json",)),
    Route("GET", "/", editor, media=("text/html",)),
    Route("GET", "/assets/{path:.+}", asset, errors=(404,), media=("*/*",)),
    Route("GET", "/{file}", beside, errors=(404,), media=("*/*",)),
)
