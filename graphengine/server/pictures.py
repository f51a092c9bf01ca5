"""Pictures: those that users upload are made anew, and small ones are made of those that jobs gave.

Those that the shipped workflows read can be seen like an upload, by the name that the workflow writes.

Of an upload nothing is kept but its pixels: it is decoded and written again as PNG, so that whatever else was
in the file (a place in its EXIF, a page, a program behind its end) is gone.
"""

from __future__ import annotations

import asyncio
import re
from collections import OrderedDict
from io import BytesIO
from pathlib import Path
from typing import IO, TYPE_CHECKING, NamedTuple

from blake3 import blake3

from graphengine.errors import NotFound, StoreError
from graphengine.folders import inside, write_atomically
from graphengine.server.problem import Refused, over

if TYPE_CHECKING:
    from PIL.Image import Image

TAKEN = {"image/png": "PNG", "image/jpeg": "JPEG", "image/webp": "WEBP"}
"""What may be uploaded."""
NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,99}\.png").fullmatch
AT_ONCE = 2
"""Pictures that are decoded at once: each may take hundreds of megabytes."""
SHIPPED = "assets/"
"""How the name of a picture begins that a shipped workflow reads."""
KEPT = 4 << 20
"""Bytes of small pictures that are remembered."""


class Upload(NamedTuple):
    """A picture as it is kept."""

    name: str
    width: int
    height: int


class Pictures:
    """The uploads in a folder, and small pictures. `pixels` is how many a picture may have.

    `shipped` is the folder of the shipped workflows.
    """

    def __init__(self, folder: Path, shipped: Path, pixels: int) -> None:
        self.folder, self.shipped, self.pixels = folder, shipped, pixels
        self.turns = asyncio.Semaphore(AT_ONCE)
        self.small: OrderedDict[tuple[str, int], bytes] = OrderedDict()

    async def upload(self, data: bytes, media: str, hint: str) -> tuple[bytes, Upload]:
        """A picture as it would be kept: its bytes as PNG, and its name. Refused if it is none."""
        async with self.turns:
            return await asyncio.to_thread(self.made, data, media, hint)

    async def keep(self, name: str, png: bytes) -> None:
        """Keep an upload; the same picture is there once."""
        path = self.folder / name
        try:
            if not await asyncio.to_thread(path.is_file):
                await asyncio.to_thread(write_atomically, path, png)
        except OSError as error:
            raise StoreError(f"the picture cannot be kept: {error}") from error

    def find(self, name: str) -> Path:
        """The file of an upload, or of a picture that a shipped workflow reads. NotFound if there is none."""
        root = self.shipped if name.startswith(SHIPPED) else self.folder
        path = inside(root, name) if NAME(name.removeprefix(SHIPPED)) else None
        if path is None or not path.is_file():
            raise NotFound("there is no picture of this name; upload it first")
        return path

    def made(self, data: bytes, media: str, hint: str) -> tuple[bytes, Upload]:
        """Decode and encode."""
        picture = upright(self.opened(BytesIO(data), TAKEN[media]))
        stream = BytesIO()
        picture.save(stream, "PNG", compress_level=3)
        png = stream.getvalue()
        stem = re.sub("[^a-z0-9]+", "-", hint.rpartition(".")[0].lower() or hint.lower())[:60].strip("-")
        name = f"{stem or 'picture'}-{blake3(png).hexdigest(length=8)}.png"
        return png, Upload(name, picture.width, picture.height)

    def opened(self, source: IO[bytes] | Path, format: str | None) -> Image:
        """A decoded picture. Refused if it is damaged, of another format, or too large."""
        from PIL import Image, UnidentifiedImageError

        told = f"a picture of more than {self.pixels:,} pixels is not taken"
        try:
            with Image.open(source, formats=[format] if format else None) as picture:
                if picture.width * picture.height > self.pixels:
                    raise over("pixels", self.pixels, told)
                picture.load()
                return picture.copy() if format is None else picture._new(picture.im)
        except (Image.DecompressionBombError, Image.DecompressionBombWarning):
            raise over("pixels", self.pixels, told) from None
        except UnidentifiedImageError:
            raise Refused(415, f"the bytes are no picture in the format {format}, as was said") from None
        except Refused:
            raise
        except Exception:
            # Pillow raises OSError, SyntaxError, ValueError, struct.error, zlib.error and more for what is
            # broken in a file, and what it raises says nothing that helps.
            raise Refused(422, "the picture is damaged; save it anew in the program that made it") from None

    async def thumbnail(self, id: str, path: Path, size: int) -> bytes:
        """A picture of at most `size` pixels a side, as WebP."""
        key = id, size
        if key not in self.small:
            async with self.turns:
                self.small[key] = await asyncio.to_thread(self.shrunk, path, size)
            while sum(map(len, self.small.values())) > KEPT:
                self.small.popitem(last=False)
                if len(self.small) == 1:
                    break
        self.small.move_to_end(key)
        return self.small[key]

    def shrunk(self, path: Path, size: int) -> bytes:
        """Decode, make small and encode."""
        picture = self.opened(path, None)
        if picture.mode not in ("RGB", "RGBA"):
            picture = picture.convert("RGBA" if "A" in picture.getbands() else "RGB")
        picture.thumbnail((size, size))
        stream = BytesIO()
        picture.save(stream, "WEBP", quality=80, method=2)
        return stream.getvalue()


def upright(picture: Image) -> Image:
    """A picture as its camera was held, in one of four modes, without anything beside its pixels."""
    from PIL import ImageOps

    found = ImageOps.exif_transpose(picture)
    if found.mode.startswith("I"):
        found = found if found.mode == "I;16" else found.convert("I").convert("I;16")
    elif found.mode not in ("L", "RGB", "RGBA"):
        alpha = "A" in found.getbands() or "transparency" in found.info
        found = found.convert("RGBA" if alpha else "RGB")
    elif found.mode != "RGBA" and "transparency" in found.info:
        found = found.convert("RGBA")
    found.info = {}
    return found
