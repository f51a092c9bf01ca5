"""Scheduling: how much noise each step of a loop takes away, as nodes."""

from __future__ import annotations

from typing import Annotated, Literal, NamedTuple

import torch
from pydantic import Field

from graphengine.authoring import Ui, node
from graphengine_diffusion.handles import Denoiser, Flow
from graphengine_diffusion.schedules import spread
from graphengine_diffusion.types import Schedule, Timestep

Spacing = Literal["normal", "karras", "exponential", "trailing", "leading", "linear_beta", "cosine_beta"]


class Scheduled(NamedTuple):
    """A schedule, and its steps for a loop to run over."""

    schedule: Schedule
    timesteps: list[Timestep]


@node(device="cpu")
def schedule(
    denoiser: Denoiser,
    steps: Annotated[int, Field(ge=1, le=1000)] = 20,
    spacing: Spacing = "normal",
    strength: Annotated[float, Field(ge=0, le=1), Ui(widget="slider", step=0.05)] = 1.0,
) -> Scheduled:
    """Decide how much noise each step takes away.

    `spacing`: "normal" is even in training time; "karras" spends more steps near zero noise; "exponential"
    is even in log(sigma); "trailing" and "leading" take every n-th training step from the noisy or the clean
    end; "linear_beta" and "cosine_beta" are even in the time of the linear schedule of DDPM (2020) and of the
    cosine schedule of improved DDPM (2021). `strength` below 1 leaves out the first steps, for image to
    image: 0.5 runs the last half of them, 0 none.
    """
    if isinstance(denoiser.noise, Flow):
        raise ValueError("schedule: flow models are scheduled by nothing yet")
    sigmas, times = spread(spacing, steps, denoiser.noise)
    kept = min(steps, max(1, round(steps * strength))) if strength > 0 else 0
    first = steps - kept
    found = Schedule(
        torch.tensor(sigmas[first:], dtype=torch.float32), torch.tensor(times[first:], dtype=torch.float32)
    )
    s, t = found.sigmas.tolist(), found.times.tolist()
    return Scheduled(
        found, [Timestep(first + i, s[i], s[i + 1], t[i], (first + i) / steps) for i in range(kept)]
    )
