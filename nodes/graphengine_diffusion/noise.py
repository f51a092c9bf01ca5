"""Gaussian noise: drawn on the CPU in float32, so that a seed means the same picture on every machine."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


def draw(seeds: Sequence[int], shape: Sequence[int]) -> Tensor:
    """Unit noise, one item of `shape` for each seed."""
    return torch.stack(
        [torch.randn(tuple(shape), generator=torch.Generator().manual_seed(seed)) for seed in seeds]
    )


def step_seed(seed: int, index: int, stage: int = 0) -> int:
    """The seed of the noise that step `index` adds to an item in one of its stages: the numbers, mixed.

    The finaliser of SplitMix64 (Steele et al. 2014): neighbouring steps and seeds share nothing.
    """
    z = (seed + (index + 1) * 0x9E3779B97F4A7C15 + stage * 0xD1342543DE82EF95) & 0xFFFFFFFFFFFFFFFF
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & 0xFFFFFFFFFFFFFFFF
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & 0xFFFFFFFFFFFFFFFF
    return z ^ (z >> 31)
