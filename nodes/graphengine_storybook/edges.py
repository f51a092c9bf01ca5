"""Edges: the white lines on black that the ControlNet is shown. A pure function; torch is all it needs."""

import torch
from torch import Tensor
from torch.nn import functional

THRESHOLD = 0.06
"""The slope of the luminance, per pixel and of 1, from which on there is a line."""


def luminance(pictures: Tensor) -> Tensor:
    """Pictures (n, 3, height, width) to grey ones (n, 1, height, width), by Rec. 601's weights."""
    weights = torch.tensor([0.299, 0.587, 0.114], dtype=pictures.dtype, device=pictures.device)
    return (pictures * weights[:, None, None]).sum(1, keepdim=True)


def slope(grey: Tensor) -> Tensor:
    """How fast (n, 1, height, width) changes at each pixel: the size of Sobel's gradient, per pixel.

    Outside the picture the nearest pixel goes on.
    """
    across = torch.tensor([[-1.0, 0.0, 1.0], [-2.0, 0.0, 2.0], [-1.0, 0.0, 1.0]]) / 8
    kernels = torch.stack([across, across.T])[:, None].to(grey)
    gradient = functional.conv2d(functional.pad(grey, (1, 1, 1, 1), mode="replicate"), kernels)
    return gradient.square().sum(1, keepdim=True).sqrt()


def edges(pictures: Tensor, threshold: float = THRESHOLD) -> Tensor:
    """Pictures from 0 to 1 as lines: 1 where the luminance changes fast, else 0, in three channels."""
    lines = (slope(luminance(pictures)) > threshold).to(pictures.dtype)
    return lines.expand(-1, 3, -1, -1)
