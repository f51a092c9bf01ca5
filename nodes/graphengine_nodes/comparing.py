"""Comparing: how much two pictures differ, and how bright a picture's pixels are."""

from __future__ import annotations

import math
from typing import Annotated, NamedTuple

import torch
from pydantic import Field

from graphengine.authoring import Ui, node
from graphengine.types import Image, Mask
from graphengine_nodes.pixels import colours, luminance, same_batch, same_size, size_text

PACK = "image"

IDENTICAL = 100.0
"""The peak signal to noise ratio of equal pictures, in dB; without a bound it would be infinite."""


class Differences(NamedTuple):
    """How far two pictures are apart; colours count from 0 to 1."""

    mean: float
    largest: float
    psnr: float


@node
def difference(
    first: Image, second: Image, gain: Annotated[float, Field(ge=0, le=100), Ui(scale="log")] = 1.0
) -> Image:
    """Show where two pictures of one size differ: black where they are equal; `gain` makes it brighter.

    Each channel is the size of the difference, times the gain. Alpha does not count.
    """
    first, second = same_size(first, second)
    return ((colours(first) - colours(second)).abs() * gain).clamp(0, 1)


@node
def measure(first: Image, second: Image, mask: Mask | None = None) -> Differences:
    """Measure how much two pictures differ: the mean, the largest difference, and the PSNR in dB.

    All pictures of a batch count together, and with a mask only the pixels where it is 0.5 or more. A PSNR
    above about 40 dB cannot be seen; equal pictures have 100. Alpha does not count.
    """
    first, second = same_size(first, second)
    apart = (colours(first) - colours(second)).abs().double()
    if mask is not None:
        if mask.shape[1:3] != apart.shape[1:3]:
            raise ValueError(
                f"the mask is {size_text(mask)} pixels, the pictures {size_text(apart)}; resize one "
                "of them first"
            )
        apart, mask = same_batch(apart, mask)
        apart = apart[mask >= 0.5]
        if not apart.numel():
            raise ValueError(
                "the mask is 0.5 or more nowhere, so there is nothing to measure; mark some pixels"
            )
    square = float(apart.square().mean())
    psnr = min(-10 * math.log10(square), IDENTICAL) if square > 0 else IDENTICAL
    return Differences(float(apart.mean()), float(apart.max()), psnr)


@node
def histogram(
    image: Image, bins: Annotated[int, Field(ge=2, le=256)] = 64, brightness: bool = False
) -> list[list[float]]:
    """How often each brightness occurs: the share of pixels in each of so many steps from dark to light.

    A list each for red, green and blue, or one for how bright the pixels look. All pictures of a batch count
    together; `image.curves` draws it.
    """
    planes = [luminance(image)] if brightness else colours(image).unbind(-1)
    counts = [torch.histc(plane.float().clamp(0, 1), bins, 0, 1) for plane in planes]
    return [(count / count.sum()).tolist() for count in counts]
