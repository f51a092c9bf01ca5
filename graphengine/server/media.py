"""Media: how a file leaves the server: shown in the browser if it is of a few known types, else to be kept.

A file is never shown as a page: HTML, SVG and everything unknown is handed over as bytes to be saved, and
whatever is shown runs no script (CSP `sandbox`).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import IO
from urllib.parse import quote

from aiohttp import web
from aiohttp.abc import AbstractStreamWriter

BYTES = "application/octet-stream"
SHOWN = {
    "image/png": "image/png",
    "image/jpeg": "image/jpeg",
    "image/webp": "image/webp",
    "image/gif": "image/gif",
    "application/json": "application/json",
    "text/plain": "text/plain; charset=utf-8",
    "video/mp4": "video/mp4",
    "video/webm": "video/webm",
}
"""What may be shown, and as what."""
SANDBOX = "default-src 'none'; img-src 'self'; media-src 'self'; style-src 'unsafe-inline'; sandbox"
FOR_EVER = "private, max-age=31536000, immutable"
UNSAFE = re.compile(r'[\x00-\x1f\x7f"\\/:*?<>|]|\.{2,}')


class File(web.FileResponse):
    """A file of the disk, with ranges. It is written in parts, so that a client that reads none is seen."""

    async def _sendfile(
        self, request: web.BaseRequest, fobj: IO[bytes], offset: int, count: int
    ) -> AbstractStreamWriter:
        writer = await super(web.FileResponse, self).prepare(request)
        assert writer is not None
        return await self._sendfile_fallback(writer, fobj, offset, count)


def headers(media: str, name: str, *, keep: bool = False) -> dict[str, str]:
    """The headers of something that a job or a user has made, under the name that people know it by."""
    kind = SHOWN.get(media.partition(";")[0].strip().lower())
    return {
        "Content-Type": kind or BYTES,
        "Content-Disposition": disposition("inline" if kind and not keep else "attachment", name),
        "Content-Security-Policy": SANDBOX,
        "Cache-Control": FOR_EVER,
    }


def disposition(how: str, name: str) -> str:
    """A Content-Disposition with a name of any characters (RFC 6266)."""
    safe = UNSAFE.sub("_", name).strip(". ")[:150] or "file"
    text = safe.encode("ascii", "replace").decode().replace("?", "_")
    encoded = quote(safe.encode("utf-8", "replace"), safe="")
    return f"{how}; filename=\"{text}\"; filename*=UTF-8''{encoded}"


def file(path: Path, given: Mapping[str, str]) -> File:
    """A file as an answer."""
    return File(path, chunk_size=64 << 10, headers=given)
