"""Predicting: what the model says of the clean picture; the first node inside the loop."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from graphengine.authoring import NO_CONTEXT, Context, node
from graphengine_diffusion.conditioning import (
    form_of,
    form_of_residuals,
    of_one_length,
    residuals_together,
    spanning,
    together,
)
from graphengine_diffusion.families import FAMILIES
from graphengine_diffusion.fitting import fit
from graphengine_diffusion.handles import Denoiser
from graphengine_diffusion.parametrisation import denoised, scaled
from graphengine_diffusion.pieces import Share, acting, averaged, shares
from graphengine_diffusion.types import Conditioning, Latent, Prediction, Residuals, Timestep

NOTHING = Conditioning()
NO_CONTROL: list[Residuals | None] = []
"""No control for any of the calls."""


class Ask(NamedTuple):
    """One thing to ask the model: noisy latents at a step under one conditioning, for call `call`."""

    call: int
    samples: Tensor
    step: Timestep
    conditioning: Conditioning
    control: Residuals | None

    @property
    def form(self) -> object:
        """What must be equal for two to share a call of the model."""
        return self.samples.shape[1:], form_of(self.conditioning), form_of_residuals(self.control)


def predict_together(
    denoiser: Denoiser,
    latent: list[Latent],
    timestep: list[Timestep],
    conditioning: list[Conditioning | None],
    ctx: Context,
    control: list[Residuals | None] = NO_CONTROL,
) -> list[Prediction]:
    """Several predictions by one call of the model for each shape; items may stand at different timesteps.

    ValueError for latents or a text of another model.
    """
    controls = control or [None] * len(latent)
    family = FAMILIES[denoiser.family]
    parts: list[list[Share]] = []
    asks: list[Ask] = []
    for i, (x, step, c, residuals) in enumerate(zip(latent, timestep, conditioning, controls, strict=True)):
        height, width = x.samples.shape[-2:]
        parts.append(shares(acting(c or NOTHING, step.fraction), height, width))
        for piece, _ in parts[-1]:
            fit(denoiser, x, step, piece, residuals)
            whole = family.complete(denoiser, piece, height, width)
            asks.append(Ask(i, x.samples, step, whole, residuals))
    if family.LOOKS_UP:
        told = of_one_length([ask.conditioning for ask in asks])
        asks = [ask._replace(conditioning=c) for ask, c in zip(asks, told, strict=True)]
    answers: list[list[Tensor]] = [[] for _ in latent]
    for ask, answer in zip(asks, answered(denoiser, asks, ctx), strict=True):
        answers[ask.call].append(answer)
    return [
        Prediction(averaged(part, found), x.samples, step.sigma, x.spec, x.seeds, step.alpha)
        for part, found, x, step in zip(parts, answers, latent, timestep, strict=True)
    ]


@node(batched=predict_together)
def predict(
    denoiser: Denoiser,
    latent: Latent,
    timestep: Timestep,
    conditioning: Conditioning | None = None,
    ctx: Context = NO_CONTEXT,
    control: Residuals | None = None,
) -> Prediction:
    """Ask the model what the clean picture looks like, given the noisy one and the text.

    Calls that do not depend on each other, such as the two of classifier-free guidance, run as one. A
    combined conditioning is asked for part by part and averaged. `control` is what a ControlNet adds. A model
    without a text needs no conditioning.
    """
    return predict_together(denoiser, [latent], [timestep], [conditioning], ctx, [control])[0]


def answered(denoiser: Denoiser, asks: Sequence[Ask], ctx: Context) -> list[Tensor]:
    """x0 for each, from one call of the model for each form."""
    forms: dict[object, list[int]] = {}
    for i, ask in enumerate(asks):
        forms.setdefault(ask.form, []).append(i)
    found: dict[int, Tensor] = {}
    for indices in forms.values():
        found |= zip(indices, denoise(denoiser, [asks[i] for i in indices], ctx), strict=True)
    return [found[i] for i in range(len(asks))]


def denoise(denoiser: Denoiser, asks: Sequence[Ask], ctx: Context) -> Sequence[Tensor]:
    """x0 for each of several batches of one form, from one call of the model."""
    module = ctx.use(denoiser)
    sizes = [len(ask.samples) for ask in asks]
    x = torch.cat([ask.samples.to(ctx.device) for ask in asks])
    numbers = [(a.step.sigma, a.step.time) for a, size in zip(asks, sizes, strict=True) for _ in range(size)]
    sigma, times = torch.tensor(numbers, dtype=torch.float32).to(ctx.device).unbind(1)
    sigma = sigma.view(-1, 1, 1, 1)
    spans = zip((ask.conditioning for ask in asks), sizes, strict=True)
    c = together([spanning(conditioning, size, ctx.device) for conditioning, size in spans])
    control = residuals_together([ask.control for ask in asks], sizes, ctx.device)
    with torch.inference_mode():
        seen = scaled(x, sigma, asks[0].step.flow)
        output = FAMILIES[denoiser.family].run(module, seen, times, c, control)
    # Outside of inference mode, so that what leaves the node is an ordinary tensor.
    x0 = denoised(denoiser.predicts, output, x, sigma)
    if denoiser.clip is not None:
        # Ho et al. 2020, section 4: a guess outside of what pictures can be is moved to the border.
        x0 = x0.clamp(-denoiser.clip, denoiser.clip)
    return torch.split(x0, sizes)
