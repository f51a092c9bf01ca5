"""Pieces: what of a combined conditioning acts at a step, and how its predictions are put together.

A conditioning with `others` is asked for piece by piece. The predictions are averaged by `strength`; where
pieces with an `area` are, they alone count, elsewhere those without one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import NamedTuple

import torch
from torch import Tensor

from graphengine_diffusion.types import Conditioning

Area = tuple[float, float, float, float]


def pieces_of(conditioning: Conditioning) -> list[Conditioning]:
    """A conditioning and those that it is combined with, one by one."""
    found, left = [], [conditioning]
    while left:
        c = left.pop()
        found.append(replace(c, others=()) if c.others else c)
        left.extend(reversed(c.others))
    return found


def with_each_piece(
    conditioning: Conditioning, change: Callable[[Conditioning], Conditioning]
) -> Conditioning:
    """The conditioning with the same change made to it and to all that it is combined with."""
    first, *others = map(change, pieces_of(conditioning))
    return replace(first, others=tuple(others))


def acting(conditioning: Conditioning, fraction: float) -> list[Conditioning]:
    """The pieces whose window holds this part of the loop, 0 to 1. ValueError if there are none."""
    pieces = pieces_of(conditioning)
    found = [c for c in pieces if c.window[0] <= fraction < c.window[1] and c.strength != 0]
    if not found:
        windows = ", ".join(f"{c.window[0]:g} to {c.window[1]:g}" for c in pieces if c.strength != 0)
        acts = f"the windows are {windows}" if windows else "every strength is 0"
        raise ValueError(
            f"no conditioning acts at {fraction:.0%} of the loop ({acts}); combine it with one that does"
        )
    return found


class Share(NamedTuple):
    """A piece, and how much it counts at each place, [h, w]; None is all."""

    conditioning: Conditioning
    weight: Tensor | None = None


def shares(pieces: Sequence[Conditioning], height: int, width: int) -> list[Share]:
    """The pieces that count somewhere in latents of a size, each with its weight.

    ValueError if a part of the picture is left to no piece, or the strengths there add up to nothing.
    """
    if len(pieces) == 1 and pieces[0].area is None:
        return [Share(pieces[0])]
    maps = weight_maps(pieces, height, width)
    return [Share(c, m) for c, m in zip(pieces, maps, strict=True) if m.any()]


def averaged(parts: Sequence[Share], predictions: Sequence[Tensor]) -> Tensor:
    """The predictions of several pieces as one; a single one that counts everywhere is taken as it is."""
    if parts[0].weight is None:
        return predictions[0]
    found = torch.zeros_like(predictions[0])
    for part, prediction in zip(parts, predictions, strict=True):
        assert part.weight is not None
        found = found + part.weight.to(prediction.device) * prediction
    return found


def weight_maps(pieces: Sequence[Conditioning], height: int, width: int) -> Tensor:
    """How much each piece counts at each place, [pieces, h, w]; the sum is 1 everywhere."""
    local, everywhere = torch.zeros(2, len(pieces), height, width, dtype=torch.float64)
    covered = torch.zeros(height, width, dtype=torch.bool)
    for i, c in enumerate(pieces):
        if c.area is None:
            everywhere[i] = c.strength
        else:
            rows, columns = cells(c.area, height, width)
            local[i, rows, columns] = c.strength
            covered[rows, columns] = True
    weights = torch.where(covered, local, everywhere)
    total = weights.sum(0)
    if (total == 0).any():
        raise ValueError(
            "the areas of the conditionings leave a part of the picture to none of them (or their strengths "
            "add up to 0); combine them with one that has no area"
        )
    return (weights / total).float()


def cells(area: Area, height: int, width: int) -> tuple[slice, slice]:
    """An area (x, y, width, height), in parts of the picture, as rows and columns; at least one of each."""
    x, y, w, h = area
    return span(y, h, height), span(x, w, width)


def span(start: float, length: float, side: int) -> slice:
    """A part of one side, in whole cells."""
    first = min(side - 1, max(0, round(start * side)))
    return slice(first, max(first + 1, min(side, round((start + length) * side))))
