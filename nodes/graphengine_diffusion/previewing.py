"""Previewing: what latents look like, roughly and at once, or exactly through the VAE."""

from __future__ import annotations

from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor
from torch.nn import functional

from graphengine.authoring import NO_CONTEXT, Context, node
from graphengine.types import Image
from graphengine_diffusion.autoencoding import vae_decode
from graphengine_diffusion.families import FAMILIES
from graphengine_diffusion.handles import VAE
from graphengine_diffusion.latents import denoised_latent
from graphengine_diffusion.types import Latent, Prediction, Timestep

Colours = list[list[float]]
"""A row for each channel and one that is added: what makes red, green and blue of a latent."""

SAMPLES, SIDE = 16, 16
SMALLEST = 128
"""A preview is at least so many pixels wide or high."""


@node
def latent_colours(vae: VAE, ctx: Context = NO_CONTEXT) -> list[list[float]]:
    """How a VAE's latents show as colours: a small matrix, for previews that cost nothing.

    A row for each channel and one that is added, each red, green and blue. It is fitted by least squares to
    smooth random pictures that the VAE encodes: latents times matrix is about the mean colour of the pixels
    under a latent. The encoder runs once; the result is kept.
    """
    module, family, factor = ctx.use(vae), FAMILIES[vae.family], vae.spec.factor
    pictures = smooth_pictures(SAMPLES, SIDE * factor)
    with torch.inference_mode():
        latents = family.encode(module, pictures.to(ctx.device) * 2 - 1, vae.spec).float().cpu()
    means = functional.avg_pool2d(pictures, factor)
    return fitted(latents, means).tolist()


def smooth_pictures(count: int, side: int) -> Tensor:
    """Random colours that flow into one another, [count, 3, side, side], 0 to 1; always the same."""
    generator = torch.Generator().manual_seed(0)
    coarse = torch.rand(count, 3, 5, 5, generator=generator)
    contrast = torch.rand(count, 1, 1, 1, generator=generator) * 2
    smooth = functional.interpolate(coarse, (side, side), mode="bicubic", align_corners=False)
    return ((smooth - 0.5) * contrast + 0.5).clamp(0, 1)


def fitted(latents: Tensor, colours: Tensor) -> Tensor:
    """The matrix [channels + 1, 3] with the least squared error from latents to colours, both BCHW."""
    rows = latents.movedim(1, -1).flatten(0, 2)
    rows = torch.cat([rows, torch.ones(len(rows), 1)], 1)
    found: Tensor = torch.linalg.lstsq(rows.double(), colours.movedim(1, -1).flatten(0, 2).double()).solution
    return found.float()


@node
def latent_to_image(latent: Latent, colours: list[list[float]]) -> Image:
    """A rough picture of latents, without a VAE: one pixel a latent, smoothed to at least 128 pixels.

    `colours` comes from `latent_colours` of the model's VAE.
    """
    return coloured(latent.samples, colours)


@node
def preview_latent(latent: Latent, colours: list[list[float]], ctx: Context = NO_CONTEXT) -> None:
    """Show roughly what latents look like, such as those in a loop; costs next to nothing.

    `colours` comes from `latent_colours` of the model's VAE. The pictures of a batch are all shown.
    """
    ctx.preview(coloured(latent.samples, colours))


@node
def preview_prediction(prediction: Prediction, colours: list[list[float]], ctx: Context = NO_CONTEXT) -> None:
    """Show roughly what the model takes for the clean picture at this step; costs next to nothing.

    `colours` comes from `latent_colours` of the model's VAE. Stands in the loop, behind the guidance.
    """
    ctx.preview(coloured(prediction.denoised, colours))


@node
def preview_decoded(
    prediction: Prediction,
    vae: VAE,
    timestep: Timestep,
    every: Annotated[int, Field(ge=1, le=1000)] = 5,
    ctx: Context = NO_CONTEXT,
) -> None:
    """Show exactly what the model takes for the clean picture, decoded, at every n-th step and the last.

    Each picture costs a run of the VAE's decoder; `preview_prediction` costs none.
    """
    if timestep.index % every == 0 or timestep.sigma_next == 0:
        ctx.preview(vae_decode(vae, denoised_latent(prediction), ctx))


def coloured(samples: Tensor, colours: Colours) -> Tensor:
    """Latents times matrix as pictures, [batch, height, width, 3], 0 to 1. ValueError for another VAE's."""
    channels = samples.shape[1]
    if len(colours) != channels + 1 or any(len(row) != 3 for row in colours):
        raise ValueError(
            f"the colours are for {max(len(colours) - 1, 0)} channels, but the latent has {channels}; take "
            "them from latent_colours of the same model's VAE"
        )
    matrix = torch.tensor(colours, device=samples.device)
    rgb = (samples.movedim(1, -1) @ matrix[:-1] + matrix[-1]).clamp(0, 1)
    times = max(1, -(-SMALLEST // max(rgb.shape[1:3])))
    if times > 1:
        planes = rgb.movedim(-1, 1)
        rgb = functional.interpolate(planes, scale_factor=times, mode="bilinear").clamp(0, 1).movedim(1, -1)
    return rgb.contiguous()
