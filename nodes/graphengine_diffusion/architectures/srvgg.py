"""SRVGGNetCompact: a plain stack of convolutions at the low resolution, as in Real-ESRGAN's small models.

Wang et al. 2021, "Real-ESRGAN". Convolutions of 3 x 3 with a PReLU behind each; the last gives every pixel's
square of pixels as channels, which is added to the picture enlarged by repeating pixels.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from math import isqrt
from typing import NamedTuple

from torch import Tensor
from torch.nn import Conv2d, Module, PReLU, Sequential
from torch.nn.functional import interpolate, pixel_shuffle


class Compact(Module):
    """Pictures [batch, colours, height, width] to `scale` times the height and width.

    `layers` convolutions of `features` channels lie between the first and the last.
    """

    def __init__(self, colours: int, features: int, layers: int, scale: int) -> None:
        super().__init__()
        found: list[Module] = [Conv2d(colours, features, 3, padding=1), PReLU(features)]
        for _ in range(layers):
            found += [Conv2d(features, features, 3, padding=1), PReLU(features)]
        found.append(Conv2d(features, colours * scale**2, 3, padding=1))
        self.body, self.scale = Sequential(*found), scale

    def forward(self, x: Tensor) -> Tensor:
        """The larger pictures."""
        return pixel_shuffle(self.body(x), self.scale) + interpolate(
            x, scale_factor=self.scale, mode="nearest"
        )


class Size(NamedTuple):
    """How to build the network, and how much larger it makes a picture."""

    build: Callable[[], Compact]
    scale: int


def names_of(names: Iterable[str]) -> dict[str, str] | None:
    """The weights by their names in the module; None if they are of another network."""
    found = {name: name for name in names}
    return found if found and all(re.fullmatch(r"body\.\d+\.(weight|bias)", name) for name in found) else None


def size_of(shapes: Mapping[str, tuple[int, ...]]) -> Size | None:
    """The size of the network, read off its first and last convolution."""
    last = max(int(name.split(".")[1]) for name in shapes)
    first, final = shapes.get("body.0.weight", ()), shapes.get(f"body.{last}.weight", ())
    if len(first) != 4 or len(final) != 4 or last < 2:
        return None
    features, colours = first[:2]
    scale = isqrt(final[0] // colours)
    return Size(partial(Compact, colours, features, last // 2 - 1, scale), scale)
