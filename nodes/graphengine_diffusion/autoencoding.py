"""Autoencoding: pictures to latents and latents to pictures, whole or in tiles."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor

from graphengine.authoring import NO_CONTEXT, Context, Ui, node
from graphengine.types import Image
from graphengine_diffusion.families import FAMILIES
from graphengine_diffusion.handles import VAE
from graphengine_diffusion.latents import latent_side, seeds_from
from graphengine_diffusion.tiling import tiled
from graphengine_diffusion.types import Latent

Tile = Annotated[int, Field(ge=64, le=4096), Ui(unit="px", step=64)]

PIXELS_AT_ONCE = 1 << 22
"""A VAE needs about a kilobyte a pixel, so it takes a large batch in portions."""

FRUGAL_TILE = 512
"""The side of a tile, in pixels, where memory is short."""

OVERLAP = 4
"""Tiles share a quarter of their side."""


def vae_encode_in_tiles(
    vae: VAE, image: Image, ctx: Context = NO_CONTEXT, tile: Tile | None = None
) -> Latent:
    """`vae_encode` for a device with little memory: in tiles, even where none are asked for."""
    return vae_encode(vae, image, ctx, tile or frugal_tile(max(image.shape[1:3])))


@node(title="VAE Encode", frugal=vae_encode_in_tiles)
def vae_encode(vae: VAE, image: Image, ctx: Context = NO_CONTEXT, tile: Tile | None = None) -> Latent:
    """Turn pictures into latents, the model's own small form of them.

    Width and height must be multiples of the VAE's factor, 8 for most models. A grey picture is taken as RGB,
    an alpha channel is left out. The same picture always gives the same latents: the mean, not a sample.
    `tile` is the side of the squares that a picture is encoded in, to save memory; left empty, it is encoded
    whole, and in tiles where memory is short.
    """
    _, height, width, channels = image.shape
    latent_side("image height", height, vae.spec.factor)
    latent_side("image width", width, vae.spec.factor)
    rgb = image.expand(-1, -1, -1, 3) if channels == 1 else image[..., :3]
    if rgb.shape[-1] != 3:
        raise ValueError(f"vae_encode: the image has {channels} channels; give a grey, RGB or RGBA picture")
    module, family = ctx.use(vae), FAMILIES[vae.family]
    pixels = rgb.permute(0, 3, 1, 2).float() * 2 - 1

    def encode(portion: Tensor) -> Tensor:
        return family.encode(module, portion.to(ctx.device), vae.spec)

    samples = through(encode, pixels, height * width, tile, vae.spec.factor, 1, ctx)
    return Latent(samples, vae.spec, seeds_from(0, len(samples)))


def vae_decode_in_tiles(
    vae: VAE, latent: Latent, ctx: Context = NO_CONTEXT, tile: Tile | None = None
) -> Image:
    """`vae_decode` for a device with little memory: in tiles, even where none are asked for."""
    longest = max(latent.samples.shape[-2:]) * vae.spec.factor
    return vae_decode(vae, latent, ctx, tile or frugal_tile(longest))


@node(title="VAE Decode", frugal=vae_decode_in_tiles)
def vae_decode(vae: VAE, latent: Latent, ctx: Context = NO_CONTEXT, tile: Tile | None = None) -> Image:
    """Turn latents into pictures.

    Gives float32 [batch, height, width, 3], 0 to 1. Expects latents without noise, as they are after the last
    step of the loop. `tile` is the side of the squares that a picture is decoded in, to save memory; left
    empty, it is decoded whole, and in tiles where memory is short. Tiles overlap by a quarter and their seams
    are feathered; as a VAE looks at all of a picture for its brightness, large tiles differ less.
    """
    have, want = latent.samples.shape[1], vae.spec.channels
    if have != want:
        raise ValueError(
            f"the latent has {have} channels, but the VAE of {vae.model} decodes {want}; use its own"
        )
    module, family = ctx.use(vae), FAMILIES[vae.family]
    area = latent.samples.shape[-2] * latent.samples.shape[-1] * vae.spec.factor**2

    def decode(portion: Tensor) -> Tensor:
        return family.decode(module, portion.to(ctx.device), vae.spec)

    pixels = through(decode, latent.samples, area, tile, 1, vae.spec.factor, ctx)
    return (pixels / 2 + 0.5).clamp(0, 1).permute(0, 2, 3, 1).contiguous().cpu()


def through(
    function: Callable[[Tensor], Tensor],
    items: Tensor,
    area: int,
    tile: int | None,
    reads: int,
    writes: int,
    ctx: Context,
) -> Tensor:
    """A batch through a VAE: a few pictures at a time, or in tiles. Progress is told.

    `reads` and `writes` are as in `tiled`; the larger of them is the VAE's factor.
    """
    factor = max(reads, writes)
    if tile is not None and tile < factor * max(items.shape[-2:]) // reads:
        side = max(2, tile // factor)
        with torch.inference_mode():
            found = tiled(function, items, side, max(1, side // OVERLAP), reads, writes, ctx.progress)
        return found.clone().to(ctx.device)
    parts = []
    for portion in torch.split(items, max(1, PIXELS_AT_ONCE // area)):
        with torch.inference_mode():
            parts.append(function(portion))
        ctx.progress(sum(map(len, parts)), len(items))
    return torch.cat(parts)


def frugal_tile(longest: int) -> int:
    """The side of tiles for pictures whose longest side is so many pixels: at most half of it."""
    return max(64, min(FRUGAL_TILE, longest // 2))
