"""Upscaling: pictures made larger by a network that was trained for it."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Annotated, NamedTuple

import torch
from pydantic import Field
from torch import Tensor
from torch.nn import functional

from graphengine.authoring import NO_CONTEXT, Choices, Context, Folders, Ui, node
from graphengine.errors import ModelError
from graphengine.types import Image
from graphengine_diffusion.architectures import network_of
from graphengine_diffusion.files.extras import extra_file
from graphengine_diffusion.files.headers import Row, read_header
from graphengine_diffusion.files.recognition import UPSCALER
from graphengine_diffusion.files.single import fitting
from graphengine_diffusion.handles import Upscaler

WHOLE = 512
"""The side of the largest picture that is enlarged in one piece, and of a tile, if nothing else is asked."""

SMALL = 128
"""The side of a tile where there is too little memory."""

MARGIN = 16
"""Pixels at the sides of a tile that are thrown away: there the network sees the tile's border."""

FEATHER = 8
"""Pixels over which one tile becomes the next."""

Tile = Annotated[int, Field(ge=64, le=8192), Ui(unit="px")]


def upscaler_names(folders: Folders) -> list[str]:
    """The upscalers to choose from."""
    return fitting(folders, UPSCALER)


def shapes_of(header: Mapping[str, Row]) -> dict[str, tuple[int, ...]]:
    """The shapes of the weights of a file."""
    return {name: row.shape for name, row in header.items()}


def upscaler_fingerprint(upscaler: str, folders: Folders) -> str:
    """Changes whenever the file does."""
    return folders.content_hash(extra_file(upscaler, folders))


@node(fingerprint=upscaler_fingerprint, device="cpu")
def load_upscaler(
    upscaler: Annotated[str, Choices(upscaler_names), Ui(widget="model")] = "storybook_upscaler",
    ctx: Context = NO_CONTEXT,
) -> Upscaler:
    """Choose a network that makes pictures larger: RRDBNet (ESRGAN, Real-ESRGAN) or SRVGGNetCompact.

    A `.safetensors` file under one of the model roots. Its size, and how much larger it makes a picture, are
    read off its weights.
    """
    path = extra_file(upscaler, ctx.folders)
    try:
        network = network_of(shapes_of(read_header(path).tensors))
    except ModelError as error:
        raise ModelError(f"{path.name}: {error}") from error
    return Upscaler(upscaler, ctx.folders.content_hash(path), network.scale)


def upscale_in_small_tiles(
    upscaler: Upscaler, image: Image, tile: Tile | None = None, ctx: Context = NO_CONTEXT
) -> Image:
    """The same with tiles of at most 128 pixels."""
    return enlarged(upscaler, image, min(tile or SMALL, SMALL), ctx)


@node(frugal=upscale_in_small_tiles)
def upscale_by_model(
    upscaler: Upscaler, image: Image, tile: Tile | None = None, ctx: Context = NO_CONTEXT
) -> Image:
    """Make pictures larger by a network, which adds the detail that they lack.

    A picture wider or higher than `tile` pixels is done in tiles of that side, which overlap and are blended
    at their seams; left empty, 512. Smaller tiles need less memory and a little more time. Gives red, green
    and blue; an alpha channel is enlarged by plain interpolation.
    """
    return enlarged(upscaler, image, tile or WHOLE, ctx)


def enlarged(upscaler: Upscaler, image: Tensor, tile: int, ctx: Context) -> Tensor:
    """Pictures [batch, height, width, channels] made larger, one tile at a time."""
    if image.shape[-1] not in (1, 3, 4):
        raise ValueError(
            f"upscale_by_model: the image has {image.shape[-1]} channels; give a grey, RGB or RGBA picture"
        )
    module = ctx.use(upscaler)
    dtype = next(module.parameters()).dtype

    def function(planes: Tensor) -> Tensor:
        with torch.inference_mode():
            return module(planes.to(ctx.device, dtype)).float().cpu()  # type: ignore[no-any-return]

    planes = image.permute(0, 3, 1, 2).float()
    colours = planes[:, :3] if len(planes[0]) >= 3 else planes.expand(-1, 3, -1, -1)
    found = tiled(function, colours, tile, upscaler.scale, ctx).clamp(0, 1)
    if image.shape[-1] == 4:
        alpha = functional.interpolate(planes[:, 3:], found.shape[-2:], mode="bilinear")
        found = torch.cat([found, alpha], 1)
    return found.permute(0, 2, 3, 1).contiguous()


def tiled(
    function: Callable[[Tensor], Tensor], planes: Tensor, tile: int, scale: int, ctx: Context
) -> Tensor:
    """`function` over pictures [batch, channels, height, width], in tiles of at most `tile` pixels a side.

    Tiles share at least 2 * MARGIN + FEATHER pixels. The margin of each is thrown away, so where the network
    looks no further than MARGIN, the result is that of the whole picture at once.
    """
    batch, channels, height, width = planes.shape
    rows, columns = strips(height, tile, scale), strips(width, tile, scale)
    total = planes.new_zeros(batch, channels, height * scale, width * scale)
    shares = planes.new_zeros(height * scale, width * scale)
    count = batch * len(rows) * len(columns)
    done = 0
    for row in rows:
        for column in columns:
            share = row.share[:, None] * column.share
            shares[row.target, column.target] += share
            for item, whole in zip(planes, total, strict=True):
                found = function(item[None, :, row.source, column.source])[0]
                whole[:, row.target, column.target] += share * found[:, row.kept, column.kept]
                done += 1
                ctx.progress(done, count)
    return total / shares


class Strip(NamedTuple):
    """The part of a side that a tile has.

    What it reads, where in the result it goes, which part of what the network gives is kept, and how much
    each kept line counts.
    """

    source: slice
    target: slice
    kept: slice
    share: Tensor


def strips(length: int, tile: int, scale: int) -> list[Strip]:
    """Tiles along a side, evenly spread. Lines fade in and out over FEATHER pixels, but not at the border."""
    if length <= tile:
        return [Strip(slice(0, length), every := slice(0, length * scale), every, torch.ones(length * scale))]
    overlap = 2 * MARGIN + FEATHER
    count = math.ceil((length - overlap) / (tile - overlap))
    found = []
    for start in (round(n * (length - tile) / (count - 1)) for n in range(count)):
        first = start + MARGIN if start else 0
        last = start + tile - MARGIN if start + tile < length else length
        share = torch.ones((last - first) * scale)
        rise = (torch.arange(FEATHER * scale) + 0.5) / (FEATHER * scale)
        if start:
            share[: len(rise)] *= rise
        if start + tile < length:
            share[-len(rise) :] *= rise.flip(0)
        target = slice(first * scale, last * scale)
        kept = slice((first - start) * scale, (last - start) * scale)
        found.append(Strip(slice(start, start + tile), target, kept, share))
    return found
