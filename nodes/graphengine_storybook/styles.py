"""Styles: a drawing in other colours. Pure functions of pictures from 0 to 1, and how far one is off."""

import torch
from torch import Tensor

from graphengine_storybook.edges import luminance

DARK, LIGHT = (60, 36, 20), (250, 236, 205)
"""The brown and the cream, 0 to 255, that black and white become in an old photograph."""


def sepia(pictures: Tensor) -> Tensor:
    """Pictures (n, 3, height, width) as an old photograph: from brown to cream by the luminance."""
    dark, light = (torch.tensor(colour).to(pictures)[:, None, None] / 255 for colour in (DARK, LIGHT))
    return torch.lerp(dark, light, luminance(pictures))


def off_sepia(pictures: Tensor) -> Tensor:
    """How far pictures (n, 3, height, width) are from sepia: the mean distance of a channel, (n).

    The distance of each pixel is that to the nearest colour between the brown and the cream, so that a
    picture in sepia has 0, whatever it shows.
    """
    dark, light = (torch.tensor(colour).to(pictures)[:, None, None] / 255 for colour in (DARK, LIGHT))
    line = light - dark
    along = ((pictures - dark) * line).sum(1, keepdim=True) / line.square().sum()
    return (pictures - (dark + along.clamp(0, 1) * line)).abs().mean((1, 2, 3))
