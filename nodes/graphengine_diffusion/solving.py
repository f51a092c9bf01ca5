"""Solving: one step towards the clean picture; the last node inside the loop."""

from __future__ import annotations

from typing import Literal

from torch import Tensor

from graphengine.authoring import NO_CONTEXT, Context, node
from graphengine_diffusion.noise import draw, step_seed
from graphengine_diffusion.solvers import SOLVERS
from graphengine_diffusion.types import Latent, Prediction, Timestep

SolverName = Literal["euler", "ddim", "euler_ancestral", "dpmpp_2m"]


@node
def solver_step(
    latent: Latent,
    prediction: Prediction,
    timestep: Timestep,
    solver: SolverName = "euler",
    ctx: Context = NO_CONTEXT,
) -> Latent:
    """Take one step towards the clean picture.

    `solver`: "euler" and "ddim" follow the prediction straight; "dpmpp_2m" also uses the step before, for
    more detail from fewer steps; "euler_ancestral" adds fresh noise at each step, drawn for each item from
    its seed and the number of the step.
    """
    chosen = SOLVERS[solver]
    x0, x = prediction.denoised.to(ctx.device), latent.samples.to(ctx.device)

    def noise() -> Tensor:
        return draw([step_seed(s, timestep.index) for s in latent.seeds], x.shape[1:]).to(ctx.device)

    past = tuple((sigma, before.to(ctx.device)) for sigma, before in latent.history)
    samples = chosen.step(x, x0, timestep.sigma, timestep.sigma_next, past, noise)
    history = (*past, (timestep.sigma, x0))[-chosen.memory :] if chosen.memory else ()
    return Latent(samples, latent.spec, latent.seeds, history)
