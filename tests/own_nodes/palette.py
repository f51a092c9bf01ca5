"""A wire type of a pack's own: a class that is neither a tensor nor a dataclass, with all that it may say."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Any

import torch
from pydantic import Field

from graphengine import Image, WireType, node


def encoded(palette: Palette) -> Any:
    """What the disk keeps of a palette."""
    return [list(colour) for colour in palette.colours]


def decoded(data: Any) -> Palette:
    """The palette again."""
    return Palette(data)


def hashed(palette: Palette) -> str:
    """Equal for equal palettes only."""
    return repr(palette.colours)


def swatches(palette: Palette) -> Image:
    """A square of each colour, in a row."""
    row = torch.tensor(palette.colours).reshape(1, 1, -1, 3)
    return row.repeat_interleave(8, 1).repeat_interleave(8, 2)


@WireType("Palette", "#e91e63", "Colours, in order.", encoded, decoded, hashed, swatches)
class Palette:
    """Colours as red, green and blue from 0 to 1."""

    def __init__(self, colours: Iterable[Iterable[float]]) -> None:
        self.colours = tuple(tuple(colour) for colour in colours)


@node(converter=True)
def from_image(image: Image, count: Annotated[int, Field(ge=1, le=64)] = 2) -> Palette:
    """The colours of the first pixels of a picture."""
    return Palette(image[0, ..., :3].reshape(-1, 3)[:count].tolist())


@node(converter=True)
def to_image(palette: Palette) -> Image:
    """A square of each colour, in a row."""
    return swatches(palette)


@node
def darker(palette: Palette, by: Annotated[float, Field(ge=0, le=1)] = 0.5) -> Palette:
    """All colours with less light."""
    return Palette([[part * (1 - by) for part in colour] for colour in palette.colours])
