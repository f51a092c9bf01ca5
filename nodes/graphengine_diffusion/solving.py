"""Solving: one step towards the clean picture; the last node inside the loop."""

from __future__ import annotations

from typing import Literal

from torch import Tensor

from graphengine.authoring import NO_CONTEXT, Context, node
from graphengine_diffusion.noise import draw, step_seed
from graphengine_diffusion.solvers import SOLVERS
from graphengine_diffusion.types import History, Latent, Prediction, Timestep

SolverName = Literal[
    "euler",
    "euler_ancestral",
    "ddim",
    "ddpm",
    "ddpm_large",
    "heun",
    "dpm2",
    "dpmpp_2m",
    "dpmpp_2m_sde",
    "dpmpp_sde",
    "uni_pc",
    "lms",
    "lcm",
    "res_multistep",
]


@node(device="cpu")
def solver(name: SolverName = "euler") -> str:
    """Choose a solver for both places that want it: link this to `schedule.solver` and `solver_step.solver`.

    `solver_step` tells what each of them does.
    """
    return known_solver(name)


@node
def solver_step(
    latent: Latent,
    prediction: Prediction,
    timestep: Timestep,
    solver: SolverName = "euler",
    ctx: Context = NO_CONTEXT,
) -> Latent:
    """Take one step towards the clean picture.

    One call of the model a step, and no noise added:

    * `euler` and `ddim` follow the prediction straight.
    * `dpmpp_2m`, `uni_pc` and `res_multistep` also use the step before, for more detail from fewer steps;
      `uni_pc` mends that step as well. `lms` uses three steps before.

    Two calls a step, for half the steps; `schedule.solver` must name the same solver:

    * `heun` takes the mean of both ends of the step, `dpm2` what is found in its middle.
    * `dpmpp_sde` does too, and adds fresh noise.

    Fresh noise at each step, drawn for each item from its seed and the number of the step:

    * `ddpm` is the sampling of the DDPM paper (2020), `ddpm_large` the same with its larger variance, for
      many steps; `euler_ancestral` is another name of `ddpm`, after the way it is often written.
    * `dpmpp_2m_sde` also uses the step before.
    * `lcm` is for models that were distilled to guess well in few steps (4 to 8): the guess with new noise.
    """
    chosen = SOLVERS[known_solver(solver)]
    wanted = solver if chosen.between else ""
    if timestep.solver != wanted:
        made = f"for {timestep.solver}" if timestep.solver else "for solvers that ask the model once a step"
        raise ValueError(
            f"solver_step: the timesteps were made {made}, but the solver is {solver}; "
            f"set schedule.solver to {solver} too"
        )
    x0, x = prediction.denoised.to(ctx.device), latent.samples.to(ctx.device)

    def noise(stage: int) -> Tensor:
        return draw([step_seed(s, timestep.index, stage) for s in latent.seeds], x.shape[1:]).to(ctx.device)

    past = usable(latent, timestep, solver)
    if timestep.stage == 2 and not past:
        raise ValueError(
            f"solver_step: this is the second half of a step of {solver}, and its first half is not there; "
            "begin with a whole step"
        )
    past = tuple(p._replace(kept=tuple(t.to(ctx.device) for t in p.kept)) for p in past)
    samples, history = chosen.step(x, x0, timestep, past, noise)
    return Latent(samples, latent.spec, latent.seeds, history)


def known_solver(name: str) -> str:
    """The name of a solver. ValueError for another text, which only a link can bring."""
    if name not in SOLVERS:
        raise ValueError(f"there is no solver {name!r}; choose {', '.join(SOLVERS)}")
    return name


def usable(latent: Latent, step: Timestep, solver: str) -> History:
    """What this solver kept of noisier steps, for latents of this size.

    The rest is of another loop: one that had another solver, or whose picture was made noisy again or larger.
    """
    shape = latent.samples.shape
    fits = (p.solver == solver and p.sigma > step.sigma and p.kept[0].shape == shape for p in latent.history)
    return tuple(p for p, fit in zip(latent.history, fits, strict=True) if fit)
