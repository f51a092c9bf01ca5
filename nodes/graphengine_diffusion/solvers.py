"""Solvers: one step from `sigma` to `sigma_next`, given the model's guess `denoised` of the clean picture.

Pure functions in sigma space (Karras et al. 2022). `history` holds (sigma, denoised) of earlier steps, the
latest last; `noise()` draws the noise of this step, of unit variance, one draw for each item of the batch.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

from torch import Tensor

from graphengine_diffusion.types import History

Noise = Callable[[], Tensor]


def euler(
    x: Tensor, denoised: Tensor, sigma: float, sigma_next: float, history: History, noise: Noise
) -> Tensor:
    """Karras et al. 2022, algorithm 1 without the correction: dx/dsigma = (x - denoised) / sigma."""
    d = (x - denoised) / sigma
    return x + d * (sigma_next - sigma)


def ddim(
    x: Tensor, denoised: Tensor, sigma: float, sigma_next: float, history: History, noise: Noise
) -> Tensor:
    """Song et al. 2021, "Denoising Diffusion Implicit Models", eq. 12 with eta = 0.

    Divided by sqrt(alpha_bar), that is in sigma space, it is the Euler step, written another way.
    """
    eps = (x - denoised) / sigma
    return denoised + sigma_next * eps


def euler_ancestral(
    x: Tensor, denoised: Tensor, sigma: float, sigma_next: float, history: History, noise: Noise
) -> Tensor:
    """Step down to less noise than wanted, then add fresh noise up to `sigma_next`.

    The variance of the fresh noise is that of the DDPM posterior (Ho et al. 2020, eq. 7; Song et al. 2021,
    eq. 16 with eta = 1), which in sigma space is sigma_next^2 (sigma^2 - sigma_next^2) / sigma^2.
    """
    up = sigma_next * math.sqrt(max(0.0, sigma**2 - sigma_next**2)) / sigma
    down = math.sqrt(max(0.0, sigma_next**2 - up**2))
    d = (x - denoised) / sigma
    x = x + d * (down - sigma)
    return x + noise() * up if up > 0 else x


def dpmpp_2m(
    x: Tensor, denoised: Tensor, sigma: float, sigma_next: float, history: History, noise: Noise
) -> Tensor:
    """DPM-Solver++(2M). Lu et al. 2022, "DPM-Solver++", algorithm 2, with lambda = -log(sigma).

    The first step has no past, and the last one (to sigma 0, lambda infinite) is of first order.
    """
    if sigma_next == 0:
        return denoised
    h = math.log(sigma / sigma_next)
    if history:
        sigma_before, denoised_before = history[-1]
        r = math.log(sigma_before / sigma) / h
        denoised = denoised + (denoised - denoised_before) / (2 * r)
    return (sigma_next / sigma) * x - math.expm1(-h) * denoised


class Solver(NamedTuple):
    """A step, and how many earlier predictions it looks back at."""

    step: Callable[[Tensor, Tensor, float, float, History, Noise], Tensor]
    memory: int = 0


SOLVERS = {
    "euler": Solver(euler),
    "ddim": Solver(ddim),
    "euler_ancestral": Solver(euler_ancestral),
    "dpmpp_2m": Solver(dpmpp_2m, memory=1),
}
