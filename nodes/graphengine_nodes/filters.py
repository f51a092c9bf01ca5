"""Pictures with other colours, softer, sharper, or laid on one another.

Colours change and alpha stays. Formulas work on sRGB values from 0 to 1, as paint programs do.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor
from torch.nn import functional

from graphengine.authoring import Ui, node
from graphengine.types import Image, Mask
from graphengine_nodes.pixels import (
    Fraction,
    Radius,
    alpha,
    colours,
    gaussian,
    luminance,
    same_batch,
    same_size,
    size_text,
    with_alpha,
)

PACK = "image"

Offset = Annotated[int, Field(ge=-16384, le=16384), Ui(unit="px")]
Factor = Annotated[float, Field(ge=0, le=4), Ui(widget="slider")]


def overlay(below: Tensor, above: Tensor) -> Tensor:
    """Dark parts multiply, light parts screen."""
    return torch.where(below <= 0.5, 2 * below * above, 1 - 2 * (1 - below) * (1 - above))


def soft_light(below: Tensor, above: Tensor) -> Tensor:
    """W3C Compositing and Blending Level 1, section 9.1.10."""
    steep = torch.where(below <= 0.25, ((16 * below - 12) * below + 4) * below, below.clamp(min=0).sqrt())
    darker = below - (1 - 2 * above) * below * (1 - below)
    return torch.where(above <= 0.5, darker, below + (2 * above - 1) * (steep - below))


MODES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "normal": lambda below, above: above,
    "multiply": lambda below, above: below * above,
    "screen": lambda below, above: below + above - below * above,
    "overlay": overlay,
    "soft_light": soft_light,
    "add": lambda below, above: below + above,
    "subtract": lambda below, above: below - above,
    "difference": lambda below, above: (below - above).abs(),
    "darken": torch.minimum,
    "lighten": torch.maximum,
}

Mode = Literal[
    "normal",
    "multiply",
    "screen",
    "overlay",
    "soft_light",
    "add",
    "subtract",
    "difference",
    "darken",
    "lighten",
]


@node
def invert(image: Image) -> Image:
    """Swap dark and light."""
    return with_alpha(1 - image[..., :3], image)


@node
def grayscale(image: Image) -> Image:
    """Take the colour away and keep the brightness; the channels stay as many."""
    grey = luminance(image)[..., None]
    return with_alpha(grey.expand(*grey.shape[:-1], min(image.shape[-1], 3)).contiguous(), image)


@node
def adjust(
    image: Image,
    brightness: Annotated[float, Field(ge=-1, le=1), Ui(widget="slider")] = 0.0,
    contrast: Factor = 1.0,
    saturation: Factor = 1.0,
    gamma: Annotated[float, Field(ge=0.1, le=10), Ui(scale="log")] = 1.0,
) -> Image:
    """Change brightness, contrast, saturation and gamma, in this order.

    Brightness is added. Contrast stretches away from middle grey, saturation away from grey of the same
    brightness: 0 is none of it, 1 as it was. A gamma above 1 lifts the shadows: value ** (1 / gamma).
    """
    if gamma <= 0:
        raise ValueError(f"a gamma of {gamma} has no meaning; choose 0.1 to 10")
    values = (image[..., :3] + brightness - 0.5) * contrast + 0.5
    grey = luminance(values)[..., None]
    values = (grey + (values - grey) * saturation).clamp(0, 1)
    return with_alpha(values ** (1 / gamma) if gamma != 1 else values, image)


@node
def blur(image: Image, radius: Radius = 4.0) -> Image:
    """Soften a picture with a Gaussian; the radius is its standard deviation in pixels."""
    if image.shape[-1] != 4:
        return gaussian(image, radius)
    soft = gaussian(torch.cat([image[..., :3] * image[..., 3:], image[..., 3:]], dim=-1), radius)
    return torch.cat([soft[..., :3] / soft[..., 3:].clamp(min=1e-6), soft[..., 3:]], dim=-1).clamp(0, 1)


@node
def sharpen(image: Image, amount: Factor = 1.0, radius: Radius = 1.0) -> Image:
    """Make edges crisper (unsharp mask): what a blur takes away is added, `amount` times."""
    sharp = image[..., :3]
    return with_alpha((sharp + amount * (sharp - gaussian(sharp, radius))).clamp(0, 1), image)


@node
def edges(
    image: Image,
    method: Literal["canny", "sobel"] = "canny",
    low: Annotated[float, Field(ge=0, le=1), Ui(widget="slider")] = 0.1,
    high: Annotated[float, Field(ge=0, le=1), Ui(widget="slider")] = 0.2,
    radius: Radius = 1.4,
) -> Image:
    """Draw the outlines of a picture: white lines on black, one channel, such as a ControlNet follows.

    The picture's brightness is blurred by `radius`; its slope is Sobel's gradient, for a full step from black
    to white about 1 where nothing is blurred. "sobel" draws what is steeper than `high`. "canny" thins the
    lines to one pixel, keeps what is steeper than `high`, and what is steeper than `low` where it is
    connected to that. Canny 1986, "A Computational Approach to Edge Detection".
    """
    if low > high:
        raise ValueError(f"edges: low is {low} and high is {high}; low must not be above high")
    across, down = slopes(gaussian(luminance(image)[..., None], radius)[..., 0])
    steepness = (across**2 + down**2).sqrt()
    if method == "sobel":
        return (steepness > high).float()[..., None]
    ridge = thinned(steepness, across, down)
    return connected(ridge > high, ridge > low).float()[..., None]


def slopes(values: Tensor) -> tuple[Tensor, Tensor]:
    """Sobel's gradient of [batch, height, width], across and down, for a difference over two pixels.

    The border is continued by its own pixels.
    """
    kernel = torch.tensor([[-1.0, 0.0, 1.0], [-2.0, 0.0, 2.0], [-1.0, 0.0, 1.0]], device=values.device) / 4
    padded = functional.pad(values[:, None], (1, 1, 1, 1), mode="replicate")
    both = functional.conv2d(padded, torch.stack([kernel, kernel.T])[:, None])
    return both[:, 0], both[:, 1]


def thinned(steepness: Tensor, across: Tensor, down: Tensor) -> Tensor:
    """The steepness where it is the largest along its own direction, else 0: lines of one pixel.

    The direction is rounded to one of the eight neighbours. Of two equal ones the first stays.
    """
    padded = functional.pad(steepness, (1, 1, 1, 1))
    height, width = steepness.shape[1:]
    octant = (torch.atan2(down, across) * (4 / torch.pi)).round().long() % 4
    ridge = torch.zeros_like(steepness)
    for number, (y, x) in enumerate(((0, 1), (1, 1), (1, 0), (1, -1))):
        ahead = padded[:, 1 + y : 1 + y + height, 1 + x : 1 + x + width]
        behind = padded[:, 1 - y : 1 - y + height, 1 - x : 1 - x + width]
        highest = (octant == number) & (steepness > behind) & (steepness >= ahead)
        ridge = torch.where(highest, steepness, ridge)
    return ridge


def connected(strong: Tensor, weak: Tensor) -> Tensor:
    """The weak pixels [batch, height, width] that touch strong ones, directly or through each other."""
    while True:
        grown = functional.max_pool2d(strong.float()[:, None], 3, stride=1, padding=1)[:, 0] > 0
        grown = (grown & weak) | strong
        if torch.equal(grown, strong):
            return strong
        strong = grown


@node
def blend(below: Image, above: Image, mode: Mode = "normal", amount: Fraction = 0.5) -> Image:
    """Mix two pictures of one size, as the layers of a paint program do.

    `amount` is how much of the upper one is seen, together with its alpha; the lower one's alpha stays. A
    batch of one is used for each of the other.
    """
    below, above = same_size(below, above)
    base, cover = colours(below), amount * alpha(above)[..., None]
    mixed = MODES[mode](base, colours(above)).clamp(0, 1)
    return with_alpha(torch.lerp(base, mixed, cover), below)


@node
def composite(below: Image, above: Image, mask: Mask | None = None, x: Offset = 0, y: Offset = 0) -> Image:
    """Put a picture on another at a place, through a mask of its own size and its alpha.

    Where the mask is 1 the upper one is seen, where it is 0 the lower one's pixels stay to the bit. What lies
    outside of the lower picture is cut off. The result has an alpha if the lower one has, else it is opaque.
    """
    cover = alpha(above)
    if mask is not None:
        if mask.shape[1:3] != above.shape[1:3]:
            raise ValueError(
                f"the mask is {size_text(mask)} pixels, the upper picture {size_text(above)}; resize one"
            )
        cover, mask = same_batch(cover, mask)
        cover = cover * mask
    tall, wide = below.shape[1:3]
    rows, columns = (
        slice(max(y, 0), min(y + above.shape[1], tall)),
        slice(max(x, 0), min(x + above.shape[2], wide)),
    )
    if rows.start >= rows.stop or columns.start >= columns.stop:
        return below
    there = slice(rows.start - y, rows.stop - y), slice(columns.start - x, columns.stop - x)
    layer, cover = same_batch(colours(above)[:, *there], cover[:, *there, None])
    base, layer = same_batch(torch.cat([colours(below), alpha(below)[..., None]], dim=-1), layer)
    base, cover = same_batch(base, cover)
    under = base[:, rows, columns]
    # Porter and Duff 1984, "over", for colours that are not multiplied by alpha.
    seen = torch.lerp(under[..., 3:], torch.ones_like(cover), cover)
    mixed = torch.lerp(under[..., :3], layer, (cover / seen.clamp(min=1e-6)).clamp(max=1))
    result = base.clone()
    result[:, rows, columns] = torch.cat([mixed, seen], dim=-1)
    return result if below.shape[-1] == 4 else result[..., :3].contiguous()
