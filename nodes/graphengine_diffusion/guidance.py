"""Guidance: several predictions made into one.

Guidance is told in x0, the clean picture. For a fixed x and sigma, x0, eps and v are affine in one another,
so a mix whose weights add up to one is the same in all three. Where a formula is not such a mix, its
docstring says in which of them it works. Norms, products and deviations are of each picture by itself.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor

from graphengine.authoring import NO_CONTEXT, Context, Lazy, Ui, node
from graphengine.types import Mask
from graphengine_diffusion.masking import latent_mask
from graphengine_diffusion.types import Prediction, Timestep

Scale = Annotated[float, Field(ge=0, le=100), Ui(step=0.5)]
Fraction = Annotated[float, Field(ge=0, le=1), Ui(widget="slider")]

EACH = (1, 2, 3)
"""All numbers of one picture."""


@node(title="CFG")
def cfg(cond: Prediction, uncond: Prediction, scale: Scale = 7.5, ctx: Context = NO_CONTEXT) -> Prediction:
    """Classifier-free guidance: away from the prediction without the prompt, towards the one with it.

    1 is the prompt alone, 0 none of it; more follows the prompt harder and varies less. Ho & Salimans 2022,
    eq. 6, with `scale` = 1 + w: uncond + scale * (cond - uncond).
    """
    with_text, without = x0_of(ctx, cond, uncond)
    return replace(cond, denoised=without + scale * (with_text - without))


@node(title="CFG Rescale")
def cfg_rescale(
    guided: Prediction,
    cond: Prediction,
    phi: Fraction = 0.7,
    of: Literal["v", "noise", "picture"] = "v",
    ctx: Context = NO_CONTEXT,
) -> Prediction:
    """Take back the contrast that strong guidance adds, so that pictures are not burnt.

    The guided prediction is scaled to the standard deviation of the prediction with the prompt, and mixed
    with itself: `phi` 0 changes nothing, 1 is all of it. Lin et al. 2023, "Common Diffusion Noise Schedules
    and Sample Steps are Flawed", section 3.4, eq. 15 and 16. `of` says whose deviation: the paper's model
    predicts "v"; many pipelines take what their model gives, which is often "noise".
    """
    guided_x0, cond_x0 = x0_of(ctx, guided, cond)
    if of == "noise" and guided.alpha == 0:  # pure noise: x is all noise, and no scale of it says anything
        return guided
    x = guided.samples.to(guided_x0)
    strong, plain = (as_output(of, x0, x, guided.sigma, guided.alpha) for x0 in (guided_x0, cond_x0))
    factor = plain.std(EACH, keepdim=True) / strong.std(EACH, keepdim=True).clamp(min=1e-12)
    mixed = phi * strong * factor + (1 - phi) * strong
    return replace(guided, denoised=as_picture(of, mixed, x, guided.sigma, guided.alpha))


@node
def perp_neg(
    cond: Prediction,
    uncond: Prediction,
    negative: Prediction,
    scale: Scale = 7.5,
    negative_scale: Annotated[float, Field(ge=0, le=10), Ui(step=0.1)] = 1.0,
    ctx: Context = NO_CONTEXT,
) -> Prediction:
    """Guidance with a negative prompt that takes nothing away from what the prompt asks for.

    Only what is perpendicular to the prompt's direction in the negative's is subtracted. `uncond` is the
    prediction for an empty text. Armandpour et al. 2023, "Re-imagine the Negative Prompt Algorithm", section
    4.2: uncond + scale * (p - negative_scale * (n - (n.p / p.p) p)).
    """
    with_text, without, unwanted = x0_of(ctx, cond, uncond, negative)
    towards, away = with_text - without, unwanted - without
    across = away - along(away, towards)
    return replace(cond, denoised=without + scale * (towards - negative_scale * across))


@node(title="APG")
def apg(
    cond: Prediction,
    uncond: Prediction,
    scale: Scale = 7.5,
    parallel: Fraction = 0.0,
    most: Annotated[float, Field(ge=0, le=1000)] = 0.0,
    ctx: Context = NO_CONTEXT,
) -> Prediction:
    """Guidance without too much colour at high scales: what only makes the prediction stronger is left out.

    Of the difference that guidance adds, the part along the prediction with the prompt raises saturation, the
    rest shapes the picture. `parallel` is how much of the first stays (1 is `cfg`), `most` the longest that
    the difference may be, as a norm; 0 sets no limit. Sadat et al. 2024, "Eliminating Oversaturation and
    Artifacts of High Guidance Scales", algorithm 1, without momentum.
    """
    with_text, without = x0_of(ctx, cond, uncond)
    change = with_text - without
    if most:
        norm = torch.linalg.vector_norm(change, dim=EACH, keepdim=True)
        change = change * (most / norm.clamp(min=1e-12)).clamp(max=1)
    lengthwise = along(change, with_text)
    return replace(cond, denoised=with_text + (scale - 1) * (change - lengthwise + parallel * lengthwise))


@node
async def guidance_interval(
    timestep: Timestep,
    inside: Lazy[Prediction],
    outside: Lazy[Prediction],
    start: Fraction = 0.2,
    end: Fraction = 0.8,
) -> Prediction:
    """Use one prediction in a part of the loop and another in the rest: guidance where it helps only.

    `inside` is the guided prediction, `outside` the one with the prompt alone. Only the one that is used is
    computed, so outside of the interval a step costs half. `start` and `end` are parts of the loop that are
    done, the end not included unless it is 1. Kynkäänniemi et al. 2024, "Applying Guidance in a Limited
    Interval".
    """
    if start > end:
        raise ValueError(f"start: {start} is behind end, {end}; swap them")
    within = start <= timestep.fraction < end or (end == 1 and start <= timestep.fraction)
    return await (inside if within else outside)


@node
def mix_predictions(
    first: Prediction,
    second: Prediction,
    amount: Fraction = 0.5,
    mask: Mask | None = None,
    ctx: Context = NO_CONTEXT,
) -> Prediction:
    """Mix two predictions: 0 is the first, 1 the second; with a mask, only where it is 1.

    With a mask, two prompts share a picture. The mask has the size of the picture.
    """
    one, other = x0_of(ctx, first, second)
    weight = torch.full((1, 1, 1, 1), float(amount), device=one.device)
    if mask is not None:
        weight = weight * latent_mask(mask, one, first.spec.factor).to(one.device)
    return replace(first, denoised=torch.lerp(one, other, weight.expand_as(one)))


@node
def clip_prediction(prediction: Prediction, limit: Annotated[float, Field(gt=0, le=100)] = 1.0) -> Prediction:
    """Cut the predicted picture off at the ends of its range, as a pixel model wants it: -1 to 1.

    Ho et al. 2020 do so at each step. For models whose samples are pixels, not for latents.
    """
    return replace(prediction, denoised=prediction.denoised.clamp(-limit, limit))


@node
def dynamic_threshold(
    prediction: Prediction,
    percentile: Annotated[float, Field(ge=0.5, le=1), Ui(widget="slider")] = 0.995,
    limit: Annotated[float, Field(gt=0, le=100)] = 1.0,
) -> Prediction:
    """Hold the predicted picture in its range without flattening it, so that strong guidance keeps detail.

    s is the `percentile` of |x0| in each picture, at least `limit`; x0 is cut off at -s and s, and divided so
    that s becomes the limit. Saharia et al. 2022 (Imagen), section 2.3. For models whose samples are pixels.
    """
    sizes = prediction.denoised.abs().flatten(1).sort(dim=1).values
    # Between two neighbours in order of size, as torch.quantile, which refuses more than 16 million numbers.
    place = percentile * (sizes.shape[1] - 1)
    low = int(place)
    high = min(low + 1, sizes.shape[1] - 1)
    s = torch.lerp(sizes[:, low], sizes[:, high], place - low).clamp(min=limit).view(-1, 1, 1, 1)
    return replace(prediction, denoised=prediction.denoised.clamp(-s, s) / s * limit)


def x0_of(ctx: Context, *predictions: Prediction) -> list[Tensor]:
    """The predicted pictures, on the device. ValueError where they are not of one size."""
    found = [prediction.denoised.to(ctx.device) for prediction in predictions]
    for x0 in found[1:]:
        if x0.shape != found[0].shape:
            raise ValueError(
                f"the predictions are {size(found[0])} and {size(x0)}; make both from the same latent"
            )
    return found


def size(x0: Tensor) -> str:
    """A shape in words."""
    batch, channels, height, width = x0.shape
    return f"{batch} of {channels} x {height} x {width}"


def along(vector: Tensor, direction: Tensor) -> Tensor:
    """The part of each picture's vector that points along a direction; zero where there is none."""
    product = (vector * direction).sum(EACH, keepdim=True)
    return direction * (product / direction.square().sum(EACH, keepdim=True).clamp(min=1e-12))


def as_output(of: str, x0: Tensor, x: Tensor, sigma: float, alpha: float) -> Tensor:
    """The clean picture as a model would say it: as itself, as the noise in x, or as v.

    x = alpha * x0 + sigma * eps. For a flow model v is eps - x0; else Salimans & Ho 2022, section 4, with x
    scaled to unit variance.
    """
    if of == "picture":
        return x0
    if of == "noise":
        return (x - alpha * x0) / sigma
    if alpha < 1:
        return (x - x0) / sigma
    size: float = (1 + sigma**2) ** 0.5
    return (x / size - x0 * size) / sigma


def as_picture(of: str, output: Tensor, x: Tensor, sigma: float, alpha: float) -> Tensor:
    """The inverse of `as_output`."""
    if of == "picture":
        return output
    if of == "noise":
        return (x - sigma * output) / alpha
    if alpha < 1:
        return x - sigma * output
    size: float = (1 + sigma**2) ** 0.5
    return (x / size - output * sigma) / size
