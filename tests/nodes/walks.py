"""Loops over timesteps with a stand-in for a model, for tests of the solvers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from graphengine_diffusion.handles import Betas, Flow, LatentSpec
from graphengine_diffusion.noise import draw, step_seed
from graphengine_diffusion.parametrisation import denoised, scaled
from graphengine_diffusion.schedules import Training, training_of
from graphengine_diffusion.scheduling import scheduled
from graphengine_diffusion.solving import solver_step
from graphengine_diffusion.spacings import spread
from graphengine_diffusion.types import Latent, Prediction, Timestep

SHAPE = (3, 4, 8, 8)
SPEC = LatentSpec(4, 8)
EXPLODING = training_of(Betas())
STRAIGHT = training_of(Flow())

Guess = Callable[[Tensor, Timestep], Tensor]


def planned(name: str, n: int, training: Training = EXPLODING, spacing: str = "trailing") -> list[Timestep]:
    """The timesteps of a loop."""
    sigmas, times = spread(spacing, n, training)
    return scheduled(sigmas.tolist(), times.tolist(), training, name, 0).timesteps


def along(name: str, sigmas: Sequence[float], flow: bool = False) -> list[Timestep]:
    """The timesteps for given sigmas."""
    times = [0.0] * (len(sigmas) - 1)
    return scheduled(sigmas, times, STRAIGHT if flow else EXPLODING, name, 0).timesteps


def solve(name: Any, x: Tensor, steps: Sequence[Timestep], guess: Guess, seeds: Any = None) -> Tensor:
    """A loop over timesteps, through the node."""
    latent = Latent(x, SPEC, seeds or tuple(range(len(x))))
    for step in steps:
        x0 = guess(latent.samples, step)
        answer = Prediction(x0, latent.samples, step.sigma, SPEC, latent.seeds, step.alpha)
        latent = solver_step(latent, answer, step, name)
    return latent.samples


def step_noise(index: int, stage: int = 0) -> Tensor:
    return draw([step_seed(s, index, stage) for s in range(SHAPE[0])], SHAPE[1:])


def output_of(x: Tensor, time: float) -> Tensor:
    """A smooth stand-in for a network, which like a good one takes noise away and adds none."""
    return 0.6 * x + 0.4 * torch.sin(x + time / 300)


def model_of(predicts: str) -> Guess:
    """The guess of the clean picture by a model with this output."""

    def guess(x: Tensor, step: Timestep) -> Tensor:
        s = torch.tensor(step.sigma)
        return denoised(predicts, output_of(scaled(x, s, step.flow), step.time), x, s)

    return guess
