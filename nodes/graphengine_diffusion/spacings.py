"""Spacings: which of the noise that a model was trained on the steps of a loop stand at.

Each gives `n` falling sigmas; the final 0 is added at the end. Names are those that the field knows.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from graphengine_diffusion.handles import Betas
from graphengine_diffusion.schedules import (
    COSINE_OFFSET,
    DDPM,
    Array,
    Training,
    cosine_alpha_bar,
    shifted,
    sigma_at,
    sigma_of,
    time_at,
    training_sigmas,
)

Spaced = Callable[[int, Training], Array]


def normal(n: int, training: Training) -> Array:
    """Even in training time, both ends included.

    For a flow model even in sigma from 1 to the least of training, and then shifted, as Stable Diffusion 3
    has it.
    """
    if training.flow:
        return shifted(np.linspace(1, training.floor, n), training.shift)
    return training.sigmas(np.linspace(len(training.table) - 1, 0, n))


def sgm_uniform(n: int, training: Training) -> Array:
    """As `normal` with one step more, of which the last is left out."""
    return normal(n + 1, training)[:-1]


def simple(n: int, training: Training) -> Array:
    """Every (T/n)-th training step, counted from the noisiest, rounded towards it."""
    T = len(training.table)
    taken: Array = training.table[T - 1 - np.floor(np.arange(n) * T / n).astype(int)]
    return taken


def trailing(n: int, training: Training) -> Array:
    """Every (T/n)-th training step, counted from the noisiest. Lin et al. 2023, table 2.

    For a flow model not rounded to whole steps: 1, 1 - 1/n, ..., 1/n, and then shifted, as Flux has it.
    """
    T = len(training.table)
    times: Array = T - np.arange(n) * T / n
    return training.sigmas((times if training.flow else np.round(times)) - 1)


def leading(n: int, training: Training) -> Array:
    """Every (T/n)-th training step, counted from the cleanest. Lin et al. 2023, table 2.

    One step up where there is room, as Stable Diffusion has it.
    """
    stride = len(training.table) // n
    taken: Array = training.table[np.arange(n - 1, -1, -1) * stride + (1 if stride > 1 else 0)]
    return taken


def ddim_uniform(n: int, training: Training) -> Array:
    """The linear sub-sequence of DDIM, floor(c i) with c = T/n, one step up where there is room.

    Song et al. 2021, "Denoising Diffusion Implicit Models", appendix D.2.
    """
    stride = len(training.table) / n
    steps = np.floor(np.arange(n - 1, -1, -1) * stride).astype(int)
    taken: Array = training.table[steps + (1 if stride >= 2 else 0)]
    return taken


def karras(n: int, training: Training, rho: float = 7.0) -> Array:
    """Karras et al. 2022, eq. 5: even in sigma^(1/rho); rho = 7 spends the steps near zero noise."""
    low, high = training.table[[0, -1]] ** (1 / rho)
    return np.asarray((high + np.linspace(0, 1, n) * (low - high)) ** rho)


def exponential(n: int, training: Training) -> Array:
    """Even in log(sigma)."""
    return polyexponential(n, training)


def polyexponential(n: int, training: Training, rho: float = 1.0) -> Array:
    """log(sigma) falls as u^rho while u falls evenly from 1 to 0; rho = 1 is `exponential`."""
    low, high = np.log(training.table[[0, -1]])
    return np.asarray(np.exp(low + np.linspace(1, 0, n) ** rho * (high - low)))


def kl_optimal(n: int, training: Training) -> Array:
    """Even in arctan(sigma): the best for Gaussian data. Sabour et al. 2024, "Align Your Steps"."""
    low, high = np.arctan(training.table[[0, -1]])
    return np.tan(np.linspace(high, low, n))


def linear_quadratic(n: int, training: Training, threshold: float = 0.025) -> Array:
    """Half of the steps evenly down by 2.5 %, and then faster and faster. Polyak et al. 2024, "Movie Gen".

    The noise taken away after i steps is linear up to n/2, then a parabola that goes on from there with the
    same slope and reaches all of it at n.
    """
    top, half = training.table[-1], n // 2
    if half == 0:
        return np.array([top])
    slope = threshold / half
    i = np.arange(n)
    beyond = np.maximum(i - half, 0) / (n - half)
    bend = 1 - threshold - slope * (n - half)
    return np.asarray(top * (1 - slope * i - bend * beyond**2))


def beta(n: int, training: Training) -> Array:
    """Training time at the quantiles of the beta distribution (0.6, 0.6): more steps at both ends.

    Lee et al. 2024, "Beta Sampling is All You Need".
    """
    return training.sigmas(beta_quantile(1 - np.arange(n) / n) * (len(training.table) - 1))


def beta_quantile(p: Array, a: float = 0.6) -> Array:
    """The x at which the cumulative beta distribution (a, a) is p, by halving; it is symmetric about 1/2."""
    k = np.arange(1, 80)
    # (1 - t)^(a - 1) as a power series, which for t up to 1/2 is exact after 80 terms.
    series = np.concatenate(([1.0], np.cumprod((k - a) / k)))
    whole = math.gamma(a) ** 2 / math.gamma(2 * a)
    target = np.minimum(p, 1 - p) * whole
    low, high = np.zeros_like(p), np.full_like(p, 0.5)
    for _ in range(60):
        x = (low + high) / 2
        powers = x[:, None] ** np.arange(80)
        below = x**a * (powers @ (series / (a + np.arange(80)))) < target
        low, high = np.where(below, x, low), np.where(below, high, x)
    return np.where(p < 0.5, low, 1 - low)


def linear_beta(n: int, training: Training) -> Array:
    """Even in the time of DDPM's linear schedule (Ho et al. 2020), within the model's noise."""
    theirs = training_sigmas(DDPM)
    ends = time_at(exploding(training)[[-1, 0]], theirs)
    return back(sigma_at(np.linspace(ends[0], ends[1], n), theirs), training)


def cosine_beta(n: int, training: Training) -> Array:
    """Even in the time of the cosine schedule (Nichol & Dhariwal 2021), within the model's noise."""
    # eq. 17 solved for the time u at which alpha_bar is 1 / (1 + sigma^2).
    start = cosine_alpha_bar(np.zeros(1))
    alpha_bar = start / (1 + exploding(training)[[-1, 0]] ** 2)
    ends = np.arccos(np.sqrt(alpha_bar)) * 2 / math.pi * (1 + COSINE_OFFSET) - COSINE_OFFSET
    return back(sigma_of(cosine_alpha_bar(np.linspace(ends[0], ends[1], n)) / start), training)


def exploding(training: Training) -> Array:
    """The table as sigma / alpha, the noise for a clean picture at full strength; inf for pure noise."""
    if not training.flow:
        return training.table
    with np.errstate(divide="ignore"):
        return np.asarray(training.table / (1 - training.table))


def back(ratio: Array, training: Training) -> Array:
    """The inverse of `exploding`: a flow model's sigma at the same signal-to-noise ratio."""
    return np.asarray(ratio / (1 + ratio)) if training.flow else ratio


SPACINGS: dict[str, Spaced] = {
    "normal": normal,
    "simple": simple,
    "sgm_uniform": sgm_uniform,
    "ddim_uniform": ddim_uniform,
    "trailing": trailing,
    "leading": leading,
    "karras": karras,
    "exponential": exponential,
    "polyexponential": polyexponential,
    "beta": beta,
    "kl_optimal": kl_optimal,
    "linear_quadratic": linear_quadratic,
    "linear_beta": linear_beta,
    "cosine_beta": cosine_beta,
}

WHOLE = ("simple", "ddim_uniform", "trailing", "leading")
"""Those that take whole training steps, of which there are only so many."""


def spread(spacing: str, n: int, noise: Betas | Training, rho: float | None = None) -> tuple[Array, Array]:
    """`n` + 1 falling sigmas with the final 0, and the model's time at each but the last.

    `rho` is the exponent of "karras" and "polyexponential", None for their own. ValueError for an unknown
    spacing, for a rho that it has not, and if a spacing in whole training steps is asked for more of them
    than there are.
    """
    training = noise if isinstance(noise, Training) else Training(training_sigmas(noise))
    T = len(training.table)
    if spacing not in SPACINGS:
        raise ValueError(f"there is no spacing {spacing!r}; choose {', '.join(SPACINGS)}")
    if spacing in WHOLE and n > T:
        raise ValueError(
            f"{n} steps are more than the {T} that the model was trained on; choose {T} or fewer, or the "
            "spacing 'normal'"
        )
    if rho is None:
        sigmas = SPACINGS[spacing](n, training)
    elif spacing in EXPONENTS:
        sigmas = EXPONENTS[spacing](n, training, rho)
    else:
        raise ValueError(f"rho is for {' and '.join(EXPONENTS)}, not for {spacing}; leave it empty")
    return np.append(sigmas, 0.0), training.times(sigmas)


EXPONENTS: dict[str, Callable[[int, Training, float], Array]] = {
    "karras": karras,
    "polyexponential": polyexponential,
}
