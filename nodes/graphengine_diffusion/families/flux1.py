"""Flux.1: T5's tokens, CLIP's vector of the text, a transformer on 2 x 2 patches that predicts the flow.

Black Forest Labs 2024. "dev" is distilled from guided predictions and is told how strong the guidance was;
"schnell" is distilled to a few steps and is not.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from graphengine.errors import ModelError
from graphengine_diffusion import clip, t5
from graphengine_diffusion.families import autoencoder, sd3
from graphengine_diffusion.families.autoencoder import decode, encode
from graphengine_diffusion.families.family import Model, ModelFolder
from graphengine_diffusion.families.training import read_flow
from graphengine_diffusion.handles import Denoiser, TextEncoder, Towers
from graphengine_diffusion.types import Conditioning, Residuals

__all__ = ["LOOKS_UP", "PIPELINES", "complete", "decode", "encode", "encode_text", "read", "reads", "run"]

PIPELINES: tuple[str, ...] = ("FluxPipeline", "FluxImg2ImgPipeline", "FluxInpaintPipeline")

SAMPLE_SIZE = 128
"""The side of the latents of a picture of 1024 pixels; the configuration does not say it."""

T5_TOKENS, T5_TOKENS_OF_SCHNELL = 512, 256

GUIDANCE = 3.5
"""The strength that "dev" is told without a word from the user."""


LOOKS_UP = False


def reads(index: dict[str, Any]) -> bool:
    """Every folder with these pipelines."""
    return True


def read(folder: ModelFolder) -> Model:
    """The three handles, from the configurations and the headers of the weights."""
    vae = autoencoder.read(folder, "flux1")
    config = folder.json("transformer/config.json")
    if config["in_channels"] != 4 * vae.spec.channels:
        raise ModelError(
            f"{folder.name}: its transformer reads {config['in_channels']} numbers a patch, but a patch of "
            f"its latents has {4 * vae.spec.channels}; choose a text-to-image model"
        )
    guidance = bool(config.get("guidance_embeds", False))
    denoiser = Denoiser(
        folder.name,
        folder.part("transformer", "FluxTransformer2DModel"),
        "flux1",
        vae.spec,
        sample_size=SAMPLE_SIZE,
        text_width=config["joint_attention_dim"],
        predicts="flow",
        noise=read_flow(folder),
        pooled_width=config["pooled_projection_dim"],
        guidance=guidance,
    )
    towers = (
        folder.tower("text_encoder", "CLIPTextModel", "tokenizer", "CLIPTokenizer"),
        folder.tower("text_encoder_2", "T5EncoderModel", "tokenizer_2", "T5Tokenizer"),
    )
    words = TextEncoder(
        folder.name,
        tuple(part for part, _ in towers),
        tuple(tokenizer for _, tokenizer in towers),
        "flux1",
        long_tokens=T5_TOKENS if guidance else T5_TOKENS_OF_SCHNELL,
        width=denoiser.text_width,
    )
    return Model(denoiser, words, vae)


def encode_text(towers: Towers, text: str, clip_skip: int = 0) -> Conditioning:
    """T5's states, and CLIP's vector of the whole text."""
    clip_tower, t5_tower = towers
    pooled = clip.encoded(clip_tower, text, clip_skip=clip_skip).pooled
    return Conditioning(t5.encoded(t5_tower, text), pooled=pooled)


def complete(denoiser: Denoiser, conditioning: Conditioning, height: int, width: int) -> Conditioning:
    """With the strength of guidance, where the model reads one."""
    c = sd3.complete(denoiser, conditioning, height, width)
    if not denoiser.guidance:
        return c
    return replace(c, extra={"guidance": conditioning.extra.get("guidance", torch.tensor([GUIDANCE]))})


def run(
    module: Any, samples: Tensor, times: Tensor, conditioning: Conditioning, residuals: Residuals | None
) -> Tensor:
    """The velocity, float32."""
    dtype = module.x_embedder.weight.dtype
    c = conditioning
    assert c.cross is not None
    assert c.pooled is not None
    height, width = samples.shape[-2:]
    control = Residuals(()) if residuals is None else residuals
    output: Tensor = module(
        hidden_states=packed(samples).to(dtype),
        timestep=times / 1000,
        guidance=c.extra.get("guidance"),
        pooled_projections=c.pooled.to(dtype),
        encoder_hidden_states=c.cross.to(dtype),
        txt_ids=samples.new_zeros(c.cross.shape[1], 3),
        img_ids=places(height // 2, width // 2).to(samples.device),
        controlnet_block_samples=[r.to(dtype) for r in control.down] or None,
        controlnet_single_block_samples=[r.to(dtype) for r in control.single] or None,
        controlnet_blocks_repeat=control.in_turn,
        return_dict=False,
    )[0]
    return unpacked(output.float(), height, width)


def packed(samples: Tensor) -> Tensor:
    """Latents [batch, channels, h, w] as patches of 2 x 2, [batch, h/2 * w/2, channels * 4]."""
    batch, channels, height, width = samples.shape
    patches = samples.reshape(batch, channels, height // 2, 2, width // 2, 2)
    return patches.permute(0, 2, 4, 1, 3, 5).reshape(batch, -1, channels * 4)


def unpacked(patches: Tensor, height: int, width: int) -> Tensor:
    """The latents that `packed` made into patches."""
    batch, _, numbers = patches.shape
    samples = patches.reshape(batch, height // 2, width // 2, numbers // 4, 2, 2)
    return samples.permute(0, 3, 1, 4, 2, 5).reshape(batch, numbers // 4, height, width)


def places(rows: int, columns: int) -> Tensor:
    """Where each patch is: (0, row, column)."""
    row, column = torch.meshgrid(torch.arange(rows), torch.arange(columns), indexing="ij")
    return torch.stack([torch.zeros_like(row), row, column], -1).reshape(-1, 3).float()
