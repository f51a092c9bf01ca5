"""Latents: where they come from (noise, a picture) and what becomes of them (a picture)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor

from graphengine.authoring import NO_CONTEXT, Context, Seed, Ui, node
from graphengine.types import Image
from graphengine_diffusion.families import FAMILIES
from graphengine_diffusion.handles import VAE, Denoiser
from graphengine_diffusion.noise import draw
from graphengine_diffusion.types import Latent, Prediction, Schedule, Timestep

Pixels = Annotated[int, Field(ge=8, le=8192, multiple_of=8), Ui(unit="px")]

PIXELS_AT_ONCE = 1 << 22
"""A VAE needs about a kilobyte a pixel, so it takes a large batch in portions."""


@node
def noise(
    denoiser: Denoiser,
    schedule: Schedule,
    seed: Seed,
    width: Pixels | None = None,
    height: Pixels | None = None,
    batch: Annotated[int, Field(ge=1, le=64)] = 1,
    ctx: Context = NO_CONTEXT,
) -> Latent:
    """Pure noise to start from, as strong as the first step of the schedule wants it.

    `width` and `height` are in pixels; left empty, the size that the model was made for. Item i of a batch is
    drawn from seed + i, on the CPU in float32: a seed means the same picture alone, in a batch and on every
    machine.
    """
    spec = denoiser.spec
    default = denoiser.sample_size * spec.factor
    sides = (
        latent_side("height", height or default, spec.factor),
        latent_side("width", width or default, spec.factor),
    )
    seeds = tuple(range(seed, seed + batch))
    samples = draw(seeds, (spec.channels, *sides)) * schedule.sigmas[0]
    return Latent(samples.to(ctx.device), spec, seeds)


@node
def add_noise(
    latent: Latent,
    seed: Seed,
    schedule: Schedule | None = None,
    timestep: Timestep | None = None,
    sigma: Annotated[float, Field(ge=0, le=1e4)] | None = None,
    ctx: Context = NO_CONTEXT,
) -> Latent:
    """Add noise: x = x0 + sigma * noise, the forward process.

    How much is told by one of three: `schedule` (as much as its first step takes away: for image to image),
    `timestep` (the noise at that step) or `sigma`. Item i of a batch gets the noise of seed + i. Ho et al.
    2020, eq. 4, in sigma space; `variance_preserving` gives it as the paper scales it.
    """
    given = [s for s in (
        None if schedule is None else float(schedule.sigmas[0]),
        None if timestep is None else timestep.sigma,
        sigma,
    ) if s is not None]  # fmt: skip
    if len(given) != 1:
        raise ValueError(
            f"add_noise: {len(given)} of schedule, timestep and sigma are given; give exactly one"
        )
    x0 = latent.samples.to(ctx.device)
    seeds = tuple(range(seed, seed + len(x0)))
    noise = draw(seeds, x0.shape[1:]).to(ctx.device)
    return Latent(x0 + given[0] * noise, latent.spec, seeds)


@node
def variance_preserving(latent: Latent, timestep: Timestep) -> Latent:
    """Scale noisy latents to about unit variance, for looking at them: x / sqrt(1 + sigma^2).

    The sampling loop works in sigma space, where noisy latents are large. This is the x_t of the DDPM paper
    (Ho et al. 2020); decode it to see a picture dissolve into noise or come out of it.
    """
    return Latent(latent.samples / (1 + timestep.sigma**2) ** 0.5, latent.spec, latent.seeds)


@node
def denoised_latent(prediction: Prediction) -> Latent:
    """The model's guess of the clean picture at this step, as latents: decode it to look at it."""
    return Latent(prediction.denoised, prediction.spec, prediction.seeds)


@node(title="VAE Encode")
def vae_encode(vae: VAE, image: Image, ctx: Context = NO_CONTEXT) -> Latent:
    """Turn pictures into latents, the model's own small form of them.

    Width and height must be multiples of the VAE's factor, 8 for most models. A grey picture is taken as RGB,
    an alpha channel is left out. The same picture always gives the same latents: the mean, not a sample.
    """
    _, height, width, channels = image.shape
    latent_side("image height", height, vae.spec.factor)
    latent_side("image width", width, vae.spec.factor)
    rgb = image.expand(-1, -1, -1, 3) if channels == 1 else image[..., :3]
    if rgb.shape[-1] != 3:
        raise ValueError(f"vae_encode: the image has {channels} channels; give a grey, RGB or RGBA picture")
    module, family = ctx.use(vae), FAMILIES[vae.family]
    pixels = rgb.permute(0, 3, 1, 2).float() * 2 - 1
    samples = in_portions(lambda x: family.encode(module, x, vae.spec), pixels, height * width, ctx)
    return Latent(samples, vae.spec, tuple(range(len(samples))))


@node(title="VAE Decode")
def vae_decode(vae: VAE, latent: Latent, ctx: Context = NO_CONTEXT) -> Image:
    """Turn latents into pictures.

    Gives float32 [batch, height, width, 3], 0 to 1. Expects latents without noise, as they are after the last
    step of the loop.
    """
    have, want = latent.samples.shape[1], vae.spec.channels
    if have != want:
        raise ValueError(
            f"the latent has {have} channels, but the VAE of {vae.model} decodes {want}; use its own"
        )
    module, family = ctx.use(vae), FAMILIES[vae.family]
    area = latent.samples.shape[-2] * latent.samples.shape[-1] * vae.spec.factor**2
    pixels = in_portions(lambda x: family.decode(module, x, vae.spec), latent.samples, area, ctx)
    return (pixels / 2 + 0.5).clamp(0, 1).permute(0, 2, 3, 1).contiguous().cpu()


def in_portions(function: Callable[[Tensor], Tensor], items: Tensor, area: int, ctx: Context) -> Tensor:
    """Apply a VAE to a batch, a few pictures at a time; progress is told and memory stays bounded."""
    found = []
    for portion in torch.split(items, max(1, PIXELS_AT_ONCE // area)):
        with torch.inference_mode():
            found.append(function(portion.to(ctx.device)))
        ctx.progress(sum(map(len, found)), len(items))
    return torch.cat(found)


def latent_side(what: str, pixels: int, factor: int) -> int:
    """A side in latents. ValueError if it does not come out even."""
    if pixels % factor:
        near = max(factor, round(pixels / factor) * factor)
        raise ValueError(f"{what}: {pixels} is no multiple of {factor}, the VAE's factor; choose {near}")
    return pixels // factor
