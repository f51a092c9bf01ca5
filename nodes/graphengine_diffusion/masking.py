"""Masking: latents in which a mask says what is new and what stays."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor
from torch.nn import functional

from graphengine.authoring import NO_CONTEXT, Context, Seed, Ui, node
from graphengine.types import Mask
from graphengine_diffusion.latents import latent_side, pixel_size
from graphengine_diffusion.noise import draw
from graphengine_diffusion.types import Latent, Timestep

Offset = Annotated[int, Field(ge=-8192, le=8192), Ui(unit="px", step=8)]


@node
def mask_blend(
    latent: Latent,
    original: Latent,
    mask: Mask,
    timestep: Timestep,
    seed: Seed,
    ctx: Context = NO_CONTEXT,
) -> Latent:
    """Keep a picture outside of a mask while the inside is painted anew; the last node of an inpainting loop.

    Stands behind the solver step, with its timestep. Where the mask is 0, the latents become the original
    with as much noise as they have at the end of the step, and after the last step the original itself;
    where it is 1 they stay. Item i gets the noise of seed + i, the same at every step: with the seed of the
    node `noise` it is the noise that the loop began with. Lugmayr et al. 2022 (RePaint), eq. 8, without
    resampling. To keep the rest to the pixel, put the decoded picture on the original with `image.composite`.
    """
    x = latent.samples.to(ctx.device)
    known = fitting(original, latent, "original").to(ctx.device)
    inside = latent_mask(mask, x, latent.spec.factor).to(ctx.device)
    if timestep.sigma_next > 0:
        unit = draw(range(seed, seed + len(x)), x.shape[1:]).to(ctx.device)
        known = timestep.alpha_next * known + timestep.sigma_next * unit
    return replace(latent, samples=torch.lerp(known, x, inside.expand_as(x)))


@node
def composite_latent(
    below: Latent, above: Latent, mask: Mask | None = None, x: Offset = 0, y: Offset = 0
) -> Latent:
    """Put latents on others at a place, through a mask of the upper picture's size: 1 shows the upper one.

    `x` and `y` are pixels from the upper left corner, in steps of the VAE's factor. What lies outside of the
    lower one is cut off. The lower one's seeds stay.
    """
    if below.samples.shape[1] != above.samples.shape[1]:
        raise ValueError(
            f"one latent has {below.samples.shape[1]} channels, the other {above.samples.shape[1]}; make "
            "both with one VAE"
        )
    factor = below.spec.factor
    left, top = latent_side("x", x, factor), latent_side("y", y, factor)
    cover = above.samples
    weight = torch.ones(1, 1, *cover.shape[2:]) if mask is None else latent_mask(mask, cover, factor)
    tall, wide = below.samples.shape[2:]
    rows = slice(max(top, 0), min(top + cover.shape[2], tall))
    columns = slice(max(left, 0), min(left + cover.shape[3], wide))
    if rows.start >= rows.stop or columns.start >= columns.stop:
        return below
    there = (..., slice(rows.start - top, rows.stop - top), slice(columns.start - left, columns.stop - left))
    base = below.samples
    if len(cover) not in (1, len(base)):
        raise ValueError(
            f"the lower batch has {len(base)} latents, the upper {len(cover)}; make them equal, or the upper "
            "one 1"
        )
    result = base.clone()
    under = base[..., rows, columns]
    over = cover[there].to(base).expand_as(under)
    result[..., rows, columns] = torch.lerp(under, over, weight[there].to(base).expand_as(under))
    return Latent(result, below.spec, below.seeds)


def fitting(other: Latent, latent: Latent, name: str) -> Tensor:
    """Samples for each item of a latent. ValueError where size or number differ."""
    if other.samples.shape[1:] != latent.samples.shape[1:]:
        raise ValueError(
            f"{name} is {pixel_size(other)} pixels, but the latent {pixel_size(latent)}; give both one size"
        )
    if len(other.samples) not in (1, len(latent.samples)):
        raise ValueError(
            f"{name} has {len(other.samples)} items, but the latent {len(latent.samples)}; give one, or one "
            "for each"
        )
    return other.samples.expand_as(latent.samples)


def latent_mask(mask: Tensor, samples: Tensor, factor: int) -> Tensor:
    """A mask of the picture's size at the size of its latents, [1 or batch, 1, height, width].

    A latent is masked as far as its pixels are, so a border between them is soft. ValueError for a mask of
    another size.
    """
    batch, _, height, width = samples.shape
    if mask.shape[1:] != (height * factor, width * factor):
        raise ValueError(
            f"the mask is {mask.shape[2]} x {mask.shape[1]} pixels, but the picture {width * factor} x "
            f"{height * factor}; give the mask that size with mask.resize"
        )
    if len(mask) not in (1, batch):
        raise ValueError(f"there are {len(mask)} masks for {batch} pictures; give one, or one for each")
    return functional.avg_pool2d(mask[:, None].float(), factor)
