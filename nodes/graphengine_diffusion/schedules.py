"""Schedules: how much noise each step of a loop takes away.

`table` is float64 [steps of training], rising: the sigma of each step that the model was trained on. A
spacing gives `n` falling sigmas within it; the final 0 is added at the end. Time is counted in training
steps, and between two of them log(sigma) is linear.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from graphengine.errors import ModelError
from graphengine_diffusion.handles import Betas

Array = npt.NDArray[np.float64]

DDPM = Betas("linear", 0.0001, 0.02, 1000)
"""The linear schedule of Ho et al. 2020, section 4."""

COSINE_OFFSET = 0.008
"""Nichol & Dhariwal 2021, section 3.2: keeps the first betas from being too small."""


def betas_of(betas: Betas) -> Array:
    """beta_t for t = 1 ... T."""
    if betas.trained:
        return np.array(betas.trained, dtype=np.float64)
    if betas.schedule == "linear":
        return np.linspace(betas.start, betas.end, betas.steps)
    if betas.schedule == "scaled_linear":
        return np.linspace(math.sqrt(betas.start), math.sqrt(betas.end), betas.steps) ** 2
    if betas.schedule == "squaredcos_cap_v2":
        alpha_bar = cosine_alpha_bar(np.linspace(0, 1, betas.steps + 1))
        return np.minimum(1 - alpha_bar[1:] / alpha_bar[:-1], 0.999)
    raise ModelError(
        f"the beta schedule {betas.schedule!r} is not known; linear, scaled_linear and squaredcos_cap_v2 are"
    )


def cosine_alpha_bar(u: Array) -> Array:
    """alpha_bar at the part u of the way, 0 to 1, times f(0). Nichol & Dhariwal 2021, eq. 17."""
    return np.asarray(np.cos((u + COSINE_OFFSET) / (1 + COSINE_OFFSET) * math.pi / 2) ** 2)


def alpha_bars(betas: Betas) -> Array:
    """alpha_bar_t, the product of 1 - beta up to t. Ho et al. 2020, eq. 4."""
    found = np.cumprod(1 - betas_of(betas), dtype=np.float64)
    if betas.zero_snr:
        # Lin et al. 2023, algorithm 1; the very last is kept just above 0, so that its sigma is finite.
        root = np.sqrt(found)
        found = ((root - root[-1]) * root[0] / (root[0] - root[-1])) ** 2
        found[-1] = 2.0**-24
    return found


def sigma_of(alpha_bar: Array) -> Array:
    """The same noise in sigma space: sqrt((1 - alpha_bar) / alpha_bar)."""
    return np.asarray(np.sqrt((1 - alpha_bar) / alpha_bar))


@lru_cache(maxsize=32)
def training_sigmas(betas: Betas) -> Array:
    """The table of a model."""
    table = sigma_of(alpha_bars(betas))
    table.setflags(write=False)
    return table


def time_at(sigma: Array, table: Array) -> Array:
    """The training step at a sigma."""
    return np.interp(np.log(sigma), np.log(table), np.arange(len(table), dtype=np.float64))


def sigma_at(time: Array, table: Array) -> Array:
    """The sigma at a training step."""
    return np.asarray(np.exp(np.interp(time, np.arange(len(table)), np.log(table))))


def normal(n: int, table: Array) -> Array:
    """Even in training time, both ends included."""
    return sigma_at(np.linspace(len(table) - 1, 0, n), table)


def trailing(n: int, table: Array) -> Array:
    """Every (T/n)-th training step, counted from the noisiest. Lin et al. 2023, table 2."""
    T = len(table)
    times: Array = np.round(T - np.arange(n) * T / n).astype(np.float64) - 1
    return sigma_at(times, table)


def leading(n: int, table: Array) -> Array:
    """Every (T/n)-th training step, counted from the cleanest. Lin et al. 2023, table 2.

    One step up where there is room, as Stable Diffusion has it.
    """
    stride = len(table) // n
    times = np.arange(n - 1, -1, -1, dtype=np.float64) * stride + (1 if stride > 1 else 0)
    return sigma_at(np.asarray(times), table)


def karras(n: int, table: Array, rho: float = 7.0) -> Array:
    """Karras et al. 2022, eq. 5: even in sigma^(1/rho); rho = 7 spends the steps near zero noise."""
    low, high = table[0] ** (1 / rho), table[-1] ** (1 / rho)
    return np.asarray((high + np.linspace(0, 1, n) * (low - high)) ** rho)


def exponential(n: int, table: Array) -> Array:
    """Even in log(sigma)."""
    return np.exp(np.linspace(math.log(table[-1]), math.log(table[0]), n))


def linear_beta(n: int, table: Array) -> Array:
    """Even in the time of DDPM's linear schedule (Ho et al. 2020), within the model's noise."""
    theirs = training_sigmas(DDPM)
    ends = time_at(table[[-1, 0]], theirs)
    return sigma_at(np.linspace(ends[0], ends[1], n), theirs)


def cosine_beta(n: int, table: Array) -> Array:
    """Even in the time of the cosine schedule (Nichol & Dhariwal 2021), within the model's noise."""
    # eq. 17 solved for the time u at which alpha_bar is 1 / (1 + sigma^2).
    start = cosine_alpha_bar(np.zeros(1))
    alpha_bar = start / (1 + table[[-1, 0]] ** 2)
    ends = np.arccos(np.sqrt(alpha_bar)) * 2 / math.pi * (1 + COSINE_OFFSET) - COSINE_OFFSET
    return sigma_of(cosine_alpha_bar(np.linspace(ends[0], ends[1], n)) / start)


SPACINGS: dict[str, Callable[[int, Array], Array]] = {
    "normal": normal,
    "karras": karras,
    "exponential": exponential,
    "trailing": trailing,
    "leading": leading,
    "linear_beta": linear_beta,
    "cosine_beta": cosine_beta,
}


def spread(spacing: str, n: int, betas: Betas) -> tuple[Array, Array]:
    """`n` + 1 falling sigmas with the final 0, and the model's time at each but the last.

    ValueError if a spacing in whole training steps is asked for more of them than there are.
    """
    table = training_sigmas(betas)
    if spacing in ("trailing", "leading") and n > len(table):
        raise ValueError(
            f"{n} steps are more than the {len(table)} that the model was trained on; choose {len(table)} or "
            "fewer, or the spacing 'normal'"
        )
    sigmas = SPACINGS[spacing](n, table)
    return np.append(sigmas, 0.0), time_at(sigmas, table)
