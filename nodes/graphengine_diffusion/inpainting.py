"""Inpainting and super-resolution: the pictures that a model made for it reads beside the noisy latents."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch.nn.functional import interpolate

from graphengine.authoring import NO_CONTEXT, Context, node
from graphengine.types import Image, Mask
from graphengine_diffusion.autoencoding import vae_encode
from graphengine_diffusion.handles import VAE
from graphengine_diffusion.pieces import with_each_piece
from graphengine_diffusion.types import Conditioning


@node
def inpaint_conditioning(
    conditioning: Conditioning, vae: VAE, image: Image, mask: Mask, ctx: Context = NO_CONTEXT
) -> Conditioning:
    """Show an inpainting model the picture and where to paint.

    White in the mask (0.5 and more) is painted anew. For models with more input channels than latents have,
    9 for Stable Diffusion; both conditionings of a guided prediction need it. A model without them is given
    the picture by `mask_blend` instead. Rombach et al. 2022, section 4.5.
    """
    if mask.shape[-2:] != image.shape[1:3]:
        raise ValueError(
            f"inpaint_conditioning: the mask is {mask.shape[2]} x {mask.shape[1]} and the image "
            f"{image.shape[2]} x {image.shape[1]}; resize one to the other"
        )
    if len(mask) not in (1, len(image)) and len(image) != 1:
        raise ValueError(
            f"inpaint_conditioning: {len(mask)} masks for {len(image)} images; give one, or one for each"
        )
    painted = (mask >= 0.5).float()
    # What is painted anew is shown as grey, the middle of -1 to 1.
    hidden = torch.where(painted[..., None] > 0, 0.5, image[..., :3])
    latents = vae_encode(vae, hidden, ctx).samples
    # Nearest, as in training: a latent is painted or not.
    small = interpolate(painted[:, None], size=latents.shape[-2:]).to(latents)
    concat = torch.cat([small.expand(len(latents), -1, -1, -1), latents], 1)
    return with_each_piece(conditioning, lambda c: replace(c, concat=concat))


@node
def image_conditioning(
    vae: VAE, image: Image, conditioning: Conditioning | None = None, ctx: Context = NO_CONTEXT
) -> Conditioning:
    """Show a picture to a model that reads one beside the noisy latents, such as one for super-resolution.

    The picture must be as large as the one to be made: enlarge it before. Saharia et al. 2021.
    """
    latents = vae_encode(vae, image, ctx).samples
    return with_each_piece(conditioning or Conditioning(), lambda c: replace(c, concat=latents))
