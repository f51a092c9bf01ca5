"""Scheduling: how much noise each step of a loop takes away, as nodes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Annotated, Literal, NamedTuple

import numpy as np
import torch
from pydantic import Field

from graphengine.authoring import Ui, node
from graphengine_diffusion.handles import Betas, Denoiser, Flow
from graphengine_diffusion.schedules import Training, alpha_bars, sigma_of, training_of
from graphengine_diffusion.solvers import SOLVERS
from graphengine_diffusion.solving import SolverName, known_solver
from graphengine_diffusion.spacings import spread
from graphengine_diffusion.types import Schedule, Timestep

Spacing = Literal[
    "normal",
    "simple",
    "sgm_uniform",
    "ddim_uniform",
    "trailing",
    "leading",
    "karras",
    "exponential",
    "polyexponential",
    "beta",
    "kl_optimal",
    "linear_quadratic",
    "linear_beta",
    "cosine_beta",
]
BetaName = Literal["linear", "scaled_linear", "cosine"]
Side = Annotated[int, Field(ge=8, le=8192), Ui(unit="px")]

BETAS = {
    "linear": Betas("linear", 0.0001, 0.02),
    "scaled_linear": Betas("scaled_linear", 0.00085, 0.012),
    "cosine": Betas("squaredcos_cap_v2"),
}


class Scheduled(NamedTuple):
    """A schedule, and its steps for a loop to run over."""

    schedule: Schedule
    timesteps: list[Timestep]


class Split(NamedTuple):
    """A schedule in two: the noisy part, and the part that goes on from there."""

    high: Schedule
    high_timesteps: list[Timestep]
    low: Schedule
    low_timesteps: list[Timestep]


class Curves(NamedTuple):
    """What a beta schedule does at each training step, and the same steps, the noisiest first."""

    alpha_bar: list[float]
    log_snr: list[float]
    timesteps: list[Timestep]


@node(device="cpu")
def schedule(
    denoiser: Denoiser,
    steps: Annotated[int, Field(ge=1, le=1000)] = 20,
    spacing: Spacing = "normal",
    strength: Annotated[float, Field(ge=0, le=1), Ui(widget="slider", step=0.05)] = 1.0,
    solver: SolverName = "euler",
    shift: Annotated[float, Field(gt=0, le=100)] | None = None,
    width: Side | None = None,
    height: Side | None = None,
    rho: Annotated[float, Field(gt=0, le=100)] | None = None,
) -> Scheduled:
    """Decide how much noise each step takes away.

    `spacing`, in training time:

    * `normal` is even, both ends included; `sgm_uniform` the same, but the last step is a whole one.
    * `simple`, `trailing` and `ddim_uniform`, `leading` take every n-th training step, from the noisy and
      from the clean end.
    * `beta` spends more steps at both ends; `linear_beta` and `cosine_beta` are even in the time of the
      schedules of DDPM (2020) and of improved DDPM (2021).

    In sigma, from the most to the least noise of training:

    * `karras` spends more steps near zero noise, `exponential` is even in log(sigma); `polyexponential` with
      a `rho` above 1 is nearer to zero noise yet, and `rho` (7) bends `karras` too.
    * `kl_optimal` is even in arctan(sigma); `linear_quadratic` takes the first half of the steps slowly.

    For a flow model (Stable Diffusion 3, Flux) those in time are even in sigma from 1 to 0 and then shifted;
    `normal` is what the code of Stable Diffusion 3 does, `trailing` what that of Flux does. `shift` replaces
    the model's own. Flux's own depends on the size of the picture: give `width` and `height` where it is not
    the size that the model was made for.

    `strength` below 1 leaves out the first steps, for image to image: 0.5 runs the last half of them, 0 none.
    `solver` matters for those that ask the model twice a step (heun, dpm2, dpmpp_sde): the timesteps are then
    halves of steps. It must be the solver of `solver_step`.
    """
    training = training_for(denoiser, shift, width, height)
    sigmas, times = spread(spacing, steps, training, rho)
    kept = min(steps, max(1, round(steps * strength))) if strength > 0 else 0
    first = steps - kept
    return scheduled(sigmas[first:].tolist(), times[first:].tolist(), training, solver, first)


@node(device="cpu")
def custom_schedule(
    denoiser: Denoiser,
    sigmas: Annotated[list[float], Field(min_length=2, max_length=1001)],
    solver: SolverName = "euler",
) -> Scheduled:
    """Write the noise of each step yourself: falling sigmas, with a 0 at the end for a clean picture.

    A flow model's sigmas are 1 at most. `solver` is as in `schedule`.
    """
    training = training_for(denoiser, None, None, None)
    most = 1.0 if training.flow else 1e4
    if sigmas[-1] < 0 or sigmas[0] > most:
        raise ValueError(f"sigmas are from {most:g} to 0, but these are from {sigmas[0]:g} to {sigmas[-1]:g}")
    for a, b in pairwise(sigmas):
        if not a > b:
            raise ValueError(
                f"sigmas fall from step to step, but {b:g} follows {a:g}; write the larger first"
            )
    times = training.times(np.array(sigmas[:-1], dtype=np.float64))
    return scheduled(sigmas, times.tolist(), training, solver, 0)


@node(device="cpu")
def split_schedule(
    schedule: Schedule,
    timesteps: list[Timestep],
    step: Annotated[int, Field(ge=0, le=1000)] | None = None,
    fraction: Annotated[float, Field(ge=0, le=1), Ui(widget="slider", step=0.05)] | None = None,
) -> Split:
    """Cut a schedule in two, such as for a refiner that takes over: `high` is noisy, `low` goes on from it.

    Give either `step`, how many steps of the whole schedule come before the cut, or `fraction`, the part of
    it. The latents that the loop over `high_timesteps` leaves are what the one over `low_timesteps` begins
    with. Steps that `strength` left out count as being before the cut.
    """
    if (step is None) == (fraction is None):
        given = "both" if step is not None else "none"
        raise ValueError(f"split_schedule: {given} of step and fraction is given; give exactly one")
    # A hair is allowed for, so that 7 of 10 steps are at the fraction 0.7.
    high = [
        t for t in timesteps if (t.index < step if step is not None else t.fraction < (fraction or 0) - 1e-9)
    ]
    cut = len({t.index for t in high})
    return Split(
        Schedule(schedule.sigmas[: cut + 1], schedule.times[:cut], schedule.flow),
        high,
        Schedule(schedule.sigmas[cut:], schedule.times[cut:], schedule.flow),
        timesteps[len(high) :],
    )


@node(device="cpu")
def beta_curves(schedule: BetaName = "linear") -> Curves:
    """How much of the picture is left at each of 1000 training steps, by the beta schedule; to be drawn.

    `alpha_bar` is the part of the picture in the variance, 1 to 0, and `log_snr` is log(alpha_bar /
    (1 - alpha_bar)). `linear` is that of Ho et al. 2020, section 4; `cosine` that of Nichol & Dhariwal 2021,
    eq. 17, with beta at most 0.999; `scaled_linear` that of Stable Diffusion (linear in the square root).
    `timesteps` are the same steps for `add_noise` and `variance_preserving`, the noisiest first.
    """
    found = alpha_bars(BETAS[schedule])
    training = Training(sigma_of(found))
    sigmas = np.append(training.table[::-1], 0.0)
    times = np.arange(len(found) - 1, -1, -1.0)
    steps = scheduled(sigmas.tolist(), times.tolist(), training, "euler", 0).timesteps
    return Curves(found.tolist(), np.log(found / (1 - found)).tolist(), steps)


def training_for(denoiser: Denoiser, shift: float | None, width: int | None, height: int | None) -> Training:
    """The noise that a model was trained on, shifted for a picture of this size in pixels."""
    if shift is not None and not isinstance(denoiser.noise, Flow):
        raise ValueError(f"schedule.shift is for flow models, and {denoiser.model} is none; leave it empty")
    patch = 2 * denoiser.spec.factor
    own = denoiser.sample_size * denoiser.spec.factor
    return training_of(denoiser.noise, shift, ((width or own) // patch) * ((height or own) // patch))


def scheduled(
    sigmas: Sequence[float], times: Sequence[float], training: Training, solver: str, first: int
) -> Scheduled:
    """A schedule whose `first` steps were left out, with its timesteps; for some solvers, halves of steps."""
    found = Schedule(
        torch.tensor(sigmas, dtype=torch.float32), torch.tensor(times, dtype=torch.float32), training.flow
    )
    s, t, whole = found.sigmas.tolist(), found.times.tolist(), first + len(times)
    between = SOLVERS[known_solver(solver)].between
    steps = []
    for i, index in enumerate(range(first, whole)):
        step = Timestep(index, s[i], s[i + 1], t[i], index / whole, training.flow)
        if between is None:
            steps.append(step)
        elif step.sigma_next == 0:  # there is nothing to ask a model at no noise
            steps.append(replace(step, solver=solver))
        else:
            middle = np.array([between(sigmas[i], sigmas[i + 1], training.flow)])
            sigma, time = float(middle.astype(np.float32)[0]), float(training.times(middle)[0])
            steps.append(replace(step, sigma_next=sigma, stage=1, solver=solver))
            steps.append(replace(step, sigma=sigma, time=time, stage=2, solver=solver))
    return Scheduled(found, steps)
