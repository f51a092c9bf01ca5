"""Latents: where they come from, and the forward process that makes them noisy."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, NamedTuple

import torch
from pydantic import Field

from graphengine.authoring import NO_CONTEXT, Context, Seed, Ui, node
from graphengine_diffusion.handles import Denoiser
from graphengine_diffusion.noise import draw
from graphengine_diffusion.types import Latent, Prediction, Schedule, Timestep

Pixels = Annotated[int, Field(ge=8, le=8192), Ui(unit="px", step=8)]
Batch = Annotated[int, Field(ge=1, le=64)]


class Canvas(NamedTuple):
    """The size of a picture in pixels."""

    width: int
    height: int


@node
def canvas(denoiser: Denoiser, width: Pixels | None = None, height: Pixels | None = None) -> Canvas:
    """The size of the picture, set in one place for all nodes that ask for it.

    What is left empty is the size that the model was made for.
    """
    rows, columns = latent_sides(denoiser, width, height)
    return Canvas(columns * denoiser.spec.factor, rows * denoiser.spec.factor)


@node
def noise(
    denoiser: Denoiser,
    schedule: Schedule,
    seed: Seed,
    width: Pixels | None = None,
    height: Pixels | None = None,
    batch: Batch = 1,
    ctx: Context = NO_CONTEXT,
) -> Latent:
    """Pure noise to start from, as strong as the first step of the schedule wants it.

    `width` and `height` are in pixels; left empty, the size that the model was made for. Item i of a batch is
    drawn from seed + i, on the CPU in float32: a seed means the same picture alone, in a batch and on every
    machine.
    """
    seeds = seeds_from(seed, batch)
    shape = (denoiser.spec.channels, *latent_sides(denoiser, width, height))
    samples = draw(seeds, shape) * schedule.sigmas[0]
    return Latent(samples.to(ctx.device), denoiser.spec, seeds)


@node
def empty_latent(
    denoiser: Denoiser,
    seed: Seed = 0,
    width: Pixels | None = None,
    height: Pixels | None = None,
    batch: Batch = 1,
    ctx: Context = NO_CONTEXT,
) -> Latent:
    """Latents that are zero everywhere, such as a canvas that other latents are put on.

    Zero is the mean of a model's latents, often a flat brownish grey. The seeds are for solvers that draw
    noise.
    """
    shape = (batch, denoiser.spec.channels, *latent_sides(denoiser, width, height))
    return Latent(torch.zeros(shape, device=ctx.device), denoiser.spec, seeds_from(seed, batch))


@node
def add_noise(
    latent: Latent,
    seed: Seed,
    schedule: Schedule | None = None,
    timestep: Timestep | None = None,
    sigma: Annotated[float, Field(ge=0, le=1e4)] | None = None,
    flow: bool = False,
    ctx: Context = NO_CONTEXT,
) -> Latent:
    """Add noise, the forward process: x = x0 + sigma * noise, for flow models (1 - sigma) x0 + sigma * noise.

    How much is told by one of three: `schedule` (as much as its first step takes away: for image to image),
    `timestep` (the noise at that step) or `sigma`. Schedules and timesteps know whether they are of a flow
    model; for a `sigma` alone, `flow` says so. Item i of a batch gets the noise of seed + i. Ho et al. 2020,
    eq. 4, in sigma space (`variance_preserving` gives it as the paper scales it); Lipman et al. 2023.
    """
    given: list[tuple[float, bool]] = []
    if schedule is not None:
        given.append((float(schedule.sigmas[0]), schedule.flow))
    if timestep is not None:
        given.append((timestep.sigma, timestep.flow))
    if sigma is not None:
        given.append((sigma, flow))
    if len(given) != 1:
        raise ValueError(
            f"add_noise: {len(given)} of schedule, timestep and sigma are given; give exactly one"
        )
    (strength, mixing), x0 = given[0], latent.samples.to(ctx.device)
    if mixing and strength > 1:
        raise ValueError(f"sigma: {strength} is above 1, which is all noise for a flow model; choose 0 to 1")
    seeds = seeds_from(seed, len(x0))
    unit = draw(seeds, x0.shape[1:]).to(ctx.device)
    alpha = 1 - strength if mixing else 1.0
    return Latent(alpha * x0 + strength * unit, latent.spec, seeds)


@node
def variance_preserving(latent: Latent, timestep: Timestep) -> Latent:
    """Scale noisy latents to about unit variance, for looking at them: x / sqrt(alpha^2 + sigma^2).

    The sampling loop works in sigma space, where noisy latents are large (alpha is 1, but for flow models
    1 - sigma). This is the x_t of the DDPM paper (Ho et al. 2020); decode it to see a picture dissolve into
    noise or come out of it.
    """
    size = (timestep.alpha**2 + timestep.sigma**2) ** 0.5
    return Latent(latent.samples / size, latent.spec, latent.seeds)


@node
def denoised_latent(prediction: Prediction) -> Latent:
    """The model's guess of the clean picture at this step, as latents: decode it to look at it."""
    return Latent(prediction.denoised, prediction.spec, prediction.seeds)


def seeds_from(seed: int, count: int) -> tuple[int, ...]:
    """The seeds of a batch: each one more than the one before."""
    return tuple(range(seed, seed + count))


def latent_sides(denoiser: Denoiser, width: int | None, height: int | None) -> tuple[int, int]:
    """Height and width in latents; what is None is the size that the model was made for."""
    default = denoiser.sample_size * denoiser.spec.factor
    rows = latent_side("height", height or default, denoiser.spec.factor)
    return rows, latent_side("width", width or default, denoiser.spec.factor)


def latent_side(what: str, pixels: int, factor: int) -> int:
    """A side in latents. ValueError if it does not come out even."""
    if pixels % factor:
        near = max(factor, round(pixels / factor) * factor)
        raise ValueError(f"{what}: {pixels} is no multiple of {factor}, the VAE's factor; choose {near}")
    return pixels // factor


def pixel_size(latent: Latent) -> str:
    """The size of the picture that latents stand for, in words: `512 x 768`."""
    factor = latent.spec.factor
    return f"{latent.samples.shape[3] * factor} x {latent.samples.shape[2] * factor}"


def alike(latents: Sequence[Latent]) -> None:
    """ValueError where latents are of different models or sizes."""
    first = latents[0]
    for place, latent in enumerate(latents[1:], 1):
        if latent.spec != first.spec:
            raise ValueError(f"latent {place} is of another model than latent 0; make both with one VAE")
        if latent.samples.shape[1:] != first.samples.shape[1:]:
            raise ValueError(
                f"latent {place} is {pixel_size(latent)} pixels, but latent 0 is {pixel_size(first)}; scale "
                "or crop them to one size"
            )
