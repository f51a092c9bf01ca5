"""Tiling: something large done in overlapping squares, whose seams are feathered."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor


def starts(length: int, tile: int, overlap: int) -> list[int]:
    """Where tiles begin so that they cover a length evenly, each sharing at least `overlap` with the next."""
    if tile >= length:
        return [0]
    count = math.ceil((length - overlap) / (tile - overlap))
    return [round(n * (length - tile) / (count - 1)) for n in range(count)]


def ramp(start: int, size: int, length: int, overlap: int) -> Tensor:
    """How much each line of a tile counts: rising from each side that is no border of the whole."""
    weights = torch.ones(size)
    rise = (torch.arange(overlap) + 0.5) / overlap
    if start > 0:
        weights[:overlap] *= rise
    if start + size < length:
        weights[size - overlap :] *= rise.flip(0)
    return weights


class Tile(NamedTuple):
    """What a tile reads and writes, as rows and columns, and how much each line that it writes counts."""

    source: tuple[slice, slice]
    target: tuple[slice, slice]
    share: Tensor


def tiles(height: int, width: int, tile: int, overlap: int, reads: int, writes: int) -> list[Tile]:
    """The tiles of a whole, row by row; sizes are in units, as in `tiled`."""
    tall, wide = min(tile, height), min(tile, width)
    found = []
    for top in starts(height, tile, overlap):
        down = ramp(top * writes, tall * writes, height * writes, overlap * writes)
        for left in starts(width, tile, overlap):
            across = ramp(left * writes, wide * writes, width * writes, overlap * writes)
            source, target = (
                (slice(top * n, (top + tall) * n), slice(left * n, (left + wide) * n))
                for n in (reads, writes)
            )
            found.append(Tile(source, target, down[:, None] * across))
    return found


def tiled(
    function: Callable[[Tensor], Tensor],
    items: Tensor,
    tile: int,
    overlap: int,
    reads: int,
    writes: int,
    told: Callable[[int, int], None],
) -> Tensor:
    """`function` over [batch, channels, height, width], one tile of one item at a time.

    `tile` and `overlap` count in units of which each is `reads` lines of the items and `writes` lines of the
    result. The result is put together on the CPU, so that the device holds one tile only. `told` hears how
    many tiles are done, of how many.
    """
    height, width = items.shape[-2] // reads, items.shape[-1] // reads
    parts = tiles(height, width, tile, overlap, reads, writes)
    weights = torch.zeros(height * writes, width * writes)
    for part in parts:
        weights[part.target] += part.share
    wholes: list[Tensor] = []
    for item in items:
        whole = torch.zeros(())
        for done, part in enumerate(parts, 1):
            found = function(item[:, *part.source][None].contiguous())[0].cpu()
            if not whole.ndim:
                whole = found.new_zeros(len(found), *weights.shape)
            whole[:, *part.target] += found * part.share
            told(len(wholes) * len(parts) + done, len(items) * len(parts))
        wholes.append(whole / weights)
    return torch.stack(wholes)
