"""Masks: which pixels are meant, from 0 (not) over soft borders to 1; float32 [batch, height, width]."""

from __future__ import annotations

from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor
from torch.nn import functional

from graphengine.authoring import Ui, node
from graphengine.types import Image, Mask
from graphengine_nodes.pixels import (
    AnyLength,
    Colour,
    Fraction,
    Length,
    Radius,
    check_size,
    colours,
    gaussian,
    rgb,
    same_size,
)
from graphengine_nodes.pixels import alpha as alpha_of
from graphengine_nodes.pixels import luminance as luminance_of

PACK = "mask"

Reach = Annotated[int, Field(ge=-256, le=256), Ui(unit="px")]


@node
def from_alpha(image: Image) -> Mask:
    """Select what is opaque in a picture: its alpha, or all of it where it has none."""
    return alpha_of(image).clone()


@node
def from_colour(
    image: Image, colour: Colour = "#00ff00", tolerance: Fraction = 0.1, softness: Fraction = 0.0
) -> Mask:
    """Select the pixels of a colour, and of those near to it.

    The distance of two colours is the largest difference in red, green and blue. Up to `tolerance` a pixel is
    selected; from there the mask falls to 0 over `softness`.
    """
    distance = (colours(image) - image.new_tensor(rgb(colour))).abs().amax(-1)
    if softness <= 0:
        # Half a step of 8 bits more, so that a tolerance of 0 finds the colour after rounding.
        return (distance <= tolerance + 0.5 / 255).float()
    return (1 - (distance - tolerance) / softness).clamp(0, 1)


@node(converter=True)
def from_luminance(image: Image, low: Fraction = 0.0, high: Fraction = 1.0) -> Mask:
    """Select by brightness: 0 up to `low`, 1 from `high` on, evenly between.

    This reads a painted black and white mask. With `low` equal to `high` it is a hard cut: 1 from there on.
    """
    bright = luminance_of(image)
    if low > high:
        raise ValueError(f"low, {low}, is above high, {high}; swap them, or invert the mask")
    return ((bright - low) / (high - low)).clamp(0, 1) if high > low else (bright >= high).float()


@node
def rectangle(
    width: Length = 512,
    height: Length = 512,
    x: AnyLength = 0,
    y: AnyLength = 0,
    rectangle_width: AnyLength = 256,
    rectangle_height: AnyLength = 256,
) -> Mask:
    """Select a rectangle in a mask of a size; what lies outside of the mask is cut off."""
    check_size(width, height)
    mask = torch.zeros(1, height, width)
    mask[:, max(y, 0) : max(y + rectangle_height, 0), max(x, 0) : max(x + rectangle_width, 0)] = 1
    return mask


@node
def ellipse(
    width: Length = 512,
    height: Length = 512,
    x: AnyLength = 0,
    y: AnyLength = 0,
    ellipse_width: AnyLength = 256,
    ellipse_height: AnyLength = 256,
) -> Mask:
    """Select the ellipse that fills a rectangle; its border is smoothed over one pixel."""
    check_size(width, height)
    across, down = max(ellipse_width, 1e-6) / 2, max(ellipse_height, 1e-6) / 2
    column = (torch.arange(width) + 0.5 - x - across) / across
    row = (torch.arange(height) + 0.5 - y - down) / down
    distance = (row[:, None] ** 2 + column[None] ** 2).sqrt()
    return (0.5 + (1 - distance) * min(across, down)).clamp(0, 1)[None]


@node
def invert(mask: Mask) -> Mask:
    """Select what was not selected."""
    return 1 - mask


@node
def grow(mask: Mask, pixels: Reach = 8) -> Mask:
    """Make the selection larger by so many pixels on all sides, or smaller by a negative number.

    The border moves evenly, with corners cut as in an octagon; soft borders stay soft. Beyond the picture it
    goes on as at its border.
    """
    result = mask[:, None] if pixels >= 0 else 1 - mask[:, None]
    for step in range(abs(pixels)):  # squares and crosses in turn make octagons, which are nearly discs
        tall = functional.max_pool2d(result, (3, 1), 1, (1, 0))
        if step % 2:
            result = functional.max_pool2d(tall, (1, 3), 1, (0, 1))
        else:
            result = torch.maximum(tall, functional.max_pool2d(result, (1, 3), 1, (0, 1)))
    return (result if pixels >= 0 else 1 - result)[:, 0]


@node
def feather(mask: Mask, radius: Radius = 8.0) -> Mask:
    """Soften the border of a selection with a Gaussian; the radius is its standard deviation in pixels."""
    return gaussian(mask[..., None], radius)[..., 0].clamp(0, 1)


@node
def threshold(mask: Mask, at: Fraction = 0.5) -> Mask:
    """Make a soft mask hard: 1 where it is at least `at`, else 0."""
    return (mask >= at).float()


@node
def combine(
    first: Mask, second: Mask, how: Literal["union", "intersection", "difference", "exclusion"] = "union"
) -> Mask:
    """One mask from two of one size: what is in either, in both, in the first alone, or in one of them alone.

    Soft borders are kept: union is the larger value, intersection the smaller. A batch of one is used for
    each of the other.
    """
    first, second = same_size(first, second)
    if how == "union":
        return torch.maximum(first, second)
    if how == "intersection":
        return torch.minimum(first, second)
    if how == "difference":
        return torch.minimum(first, 1 - second)
    return (first - second).abs()


@node
def resize(mask: Mask, width: Length = 512, height: Length = 512, smooth: bool = True) -> Mask:
    """Give a mask another size: smoothly, or keeping hard borders."""
    check_size(width, height)
    planes: Tensor = mask[:, None]
    if smooth:
        sized = functional.interpolate(planes, (height, width), mode="bilinear", antialias=True)
    else:
        sized = functional.interpolate(planes, (height, width), mode="nearest-exact")
    return sized[:, 0].clamp(0, 1)


@node(converter=True)
def to_image(mask: Mask) -> Image:
    """A mask as a picture: white is selected, black is not."""
    return mask[..., None].expand(*mask.shape, 3).contiguous()
