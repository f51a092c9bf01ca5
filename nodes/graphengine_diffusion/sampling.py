"""Sampling: the schedule, and the nodes that stand inside the loop."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal, NamedTuple

import torch
from pydantic import Field
from torch import Tensor

from graphengine.authoring import NO_CONTEXT, Context, Ui, node
from graphengine_diffusion.conditioning import form_of, spanning, together, with_each
from graphengine_diffusion.families import FAMILIES
from graphengine_diffusion.noise import draw, step_seed
from graphengine_diffusion.parametrisation import denoised, scaled
from graphengine_diffusion.schedules import spread
from graphengine_diffusion.solvers import SOLVERS
from graphengine_diffusion.types import Conditioning, Denoiser, Latent, Prediction, Schedule, Timestep

Spacing = Literal["normal", "karras", "exponential", "trailing", "leading", "linear_beta", "cosine_beta"]
SolverName = Literal["euler", "ddim", "euler_ancestral", "dpmpp_2m"]


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
    sigmas, times = spread(spacing, steps, denoiser.betas)
    kept = min(steps, max(1, round(steps * strength))) if strength > 0 else 0
    first = steps - kept
    found = Schedule(
        torch.tensor(sigmas[first:], dtype=torch.float32), torch.tensor(times[first:], dtype=torch.float32)
    )
    s, t = found.sigmas.tolist(), found.times.tolist()
    return Scheduled(
        found, [Timestep(first + i, s[i], s[i + 1], t[i], (first + i) / steps) for i in range(kept)]
    )


def predict_together(
    denoiser: Denoiser,
    latent: list[Latent],
    timestep: list[Timestep],
    conditioning: list[Conditioning],
    ctx: Context,
) -> list[Prediction]:
    """Several predictions by one call of the model for each shape; items may stand at different timesteps.

    ValueError for latents or a text of another model.
    """
    for x, c in zip(latent, conditioning, strict=True):
        fit(denoiser, x, c)
    found: dict[int, Prediction] = {}
    shapes: dict[object, list[int]] = {}
    for i, (x, c) in enumerate(zip(latent, conditioning, strict=True)):
        shapes.setdefault((x.samples.shape[1:], form_of(c)), []).append(i)
    for indices in shapes.values():
        answers = denoise(
            denoiser,
            [latent[i].samples for i in indices],
            [timestep[i] for i in indices],
            [conditioning[i] for i in indices],
            ctx,
        )
        for i, answer in zip(indices, answers, strict=True):
            x = latent[i]
            found[i] = Prediction(answer, x.samples, timestep[i].sigma, x.spec, x.seeds)
    return [found[i] for i in range(len(latent))]


@node(batched=predict_together)
def predict(
    denoiser: Denoiser,
    latent: Latent,
    timestep: Timestep,
    conditioning: Conditioning,
    ctx: Context = NO_CONTEXT,
) -> Prediction:
    """Ask the model what the clean picture looks like, given the noisy one and the text.

    Calls that do not depend on each other, such as the two of classifier-free guidance, run as one.
    """
    return predict_together(denoiser, [latent], [timestep], [conditioning], ctx)[0]


def fit(denoiser: Denoiser, latent: Latent, conditioning: Conditioning) -> None:
    """ValueError if latents or a conditioning were made with another kind of model."""
    have, want = latent.samples.shape[1], denoiser.spec.channels
    if have != want:
        raise ValueError(
            f"the latent has {have} channels, but {denoiser.model} works on {want}; make it with that model"
        )
    have, want = conditioning.cross.shape[-1], denoiser.text_width
    if have != want:
        raise ValueError(
            f"the conditioning is {have} wide, but {denoiser.model} reads {want}; use that model's "
            "text encoder"
        )


def denoise(
    denoiser: Denoiser,
    samples: Sequence[Tensor],
    steps: Sequence[Timestep],
    conditionings: Sequence[Conditioning],
    ctx: Context,
) -> Sequence[Tensor]:
    """x0 for each of several batches of one shape, from one call of the model."""
    module = ctx.use(denoiser)
    sizes = [len(x) for x in samples]
    x = torch.cat([x.to(ctx.device) for x in samples])
    numbers = [(s.sigma, s.time) for s, size in zip(steps, sizes, strict=True) for _ in range(size)]
    sigma, times = torch.tensor(numbers, dtype=torch.float32).to(ctx.device).unbind(1)
    sigma = sigma.view(-1, 1, 1, 1)
    spans = [spanning(c, size) for c, size in zip(conditionings, sizes, strict=True)]
    c = together([with_each(span, lambda t: t.to(ctx.device)) for span in spans])
    with torch.inference_mode():
        output = FAMILIES[denoiser.family].run(module, scaled(x, sigma), times, c)
    # Outside of inference mode, so that what leaves the node is an ordinary tensor.
    return torch.split(denoised(denoiser.predicts, output, x, sigma), sizes)


@node(title="CFG")
def cfg(
    cond: Prediction,
    uncond: Prediction,
    scale: Annotated[float, Field(ge=0, le=100), Ui(step=0.5)] = 7.5,
    ctx: Context = NO_CONTEXT,
) -> Prediction:
    """Classifier-free guidance: away from the prediction without the prompt, towards the one with it.

    1 is the prompt alone, 0 none of it; more follows the prompt harder and varies less. Ho & Salimans 2022,
    eq. 6, with `scale` = 1 + w: uncond + scale * (cond - uncond).
    """
    with_text, without = cond.denoised.to(ctx.device), uncond.denoised.to(ctx.device)
    x0 = without + scale * (with_text - without)
    return Prediction(x0, cond.samples, cond.sigma, cond.spec, cond.seeds)


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
