"""Schedules: the noise that a model was trained on, as a rising table of sigmas; `spacings` choose from it.

`table` is float64 [steps of training], rising: the sigma of each step that the model was trained on. Time is
counted in training steps, and between two of them log(sigma) is linear. A flow model's time is its sigma
times the number of training steps.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from graphengine.errors import ModelError
from graphengine_diffusion.handles import Betas, Flow

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


def shifted(sigma: Array, shift: float) -> Array:
    """More of the steps at high noise, for larger pictures. Esser et al. 2024, eq. 23 (there on time)."""
    return np.asarray(shift * sigma / (1 + (shift - 1) * sigma))


def shift_of(flow: Flow, tokens: float) -> float:
    """How far a flow model's sigmas are shifted, for a picture of so many 2 x 2 patches of latents.

    For Flux it is exp(mu), with mu on the line through the two points of `flow.dynamic`.
    """
    if flow.dynamic is None:
        return flow.shift
    few, low, many, high = flow.dynamic
    return math.exp(low + (high - low) * (tokens - few) / (many - few))


class Training(NamedTuple):
    """The noise that a model was trained on: its `table`, and for a flow model how far that is `shifted`.

    `floor` is the least sigma that the even spacings of a flow model start from.
    """

    table: Array
    shift: float = 1.0
    floor: float = 0.0
    flow: bool = False

    def sigmas(self, times: Array) -> Array:
        """The sigma at training steps that are counted from 0, whole or not."""
        if self.flow:
            return shifted((times + 1) / len(self.table), self.shift)
        return sigma_at(times, self.table)

    def times(self, sigmas: Array) -> Array:
        """What the model is told at a sigma."""
        return sigmas * len(self.table) if self.flow else time_at(sigmas, self.table)


def training_of(noise: Betas | Flow, shift: float | None = None, tokens: float = 4096) -> Training:
    """The noise that a model was trained on; `shift` instead of its own for a flow model.

    ValueError for a shift of a model that has none.
    """
    if isinstance(noise, Betas):
        if shift is not None:
            raise ValueError("shift is for flow models, and this is none; leave it empty")
        return Training(training_sigmas(noise))
    own = shift_of(noise, tokens) if shift is None else shift
    even = np.arange(1, noise.steps + 1) / noise.steps
    table = shifted(even, own)
    # Models whose shift depends on the picture are shifted once, on the way; the others were so in training.
    floor = even[0] if noise.dynamic is not None else table[0]
    return Training(table, own, float(floor), flow=True)
