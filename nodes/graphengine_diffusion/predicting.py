"""Predicting: what the model says of the clean picture; the first node inside the loop."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from graphengine.authoring import NO_CONTEXT, Context, node
from graphengine_diffusion.conditioning import form_of, spanning, together, with_each
from graphengine_diffusion.families import FAMILIES
from graphengine_diffusion.handles import Denoiser
from graphengine_diffusion.parametrisation import denoised, scaled
from graphengine_diffusion.types import Conditioning, Latent, Prediction, Timestep


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
    if conditioning.cross is None:
        return
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
        output = FAMILIES[denoiser.family].run(module, scaled(x, sigma), times, c, None)
    # Outside of inference mode, so that what leaves the node is an ordinary tensor.
    return torch.split(denoised(denoiser.predicts, output, x, sigma), sizes)
