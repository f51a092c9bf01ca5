"""Stable Diffusion 3 and 3.5: two CLIP text encoders, an optional T5, a transformer that predicts the flow.

Esser et al. 2024, "Scaling Rectified Flow Transformers for High-Resolution Image Synthesis".
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import pad

from graphengine_diffusion import clip, t5
from graphengine_diffusion.families import autoencoder
from graphengine_diffusion.families.autoencoder import decode, encode
from graphengine_diffusion.families.family import Model, ModelFolder
from graphengine_diffusion.families.training import read_flow
from graphengine_diffusion.handles import Denoiser, TextEncoder, Towers
from graphengine_diffusion.types import Conditioning, Residuals

__all__ = ["LOOKS_UP", "PIPELINES", "complete", "decode", "encode", "encode_text", "read", "reads", "run"]

PIPELINES: tuple[str, ...] = (
    "StableDiffusion3Pipeline",
    "StableDiffusion3Img2ImgPipeline",
    "StableDiffusion3InpaintPipeline",
)

T5_TOKENS = 256
"""How many tokens of T5 it reads; zeros where the folder has no T5, with which it was trained too."""


LOOKS_UP = False


def reads(index: dict[str, Any]) -> bool:
    """Every folder with these pipelines."""
    return True


def read(folder: ModelFolder) -> Model:
    """The three handles, from the configurations and the headers of the weights."""
    vae = autoencoder.read(folder, "sd3")
    config = folder.json("transformer/config.json")
    denoiser = Denoiser(
        folder.name,
        folder.part("transformer", "SD3Transformer2DModel"),
        "sd3",
        vae.spec,
        sample_size=config.get("sample_size", 128),
        text_width=config["joint_attention_dim"],
        predicts="flow",
        noise=read_flow(folder),
        pooled_width=config["pooled_projection_dim"],
    )
    towers = [
        folder.tower("text_encoder", "CLIPTextModelWithProjection", "tokenizer", "CLIPTokenizer"),
        folder.tower("text_encoder_2", "CLIPTextModelWithProjection", "tokenizer_2", "CLIPTokenizer"),
    ]
    if folder.has("text_encoder_3"):
        towers.append(folder.tower("text_encoder_3", "T5EncoderModel", "tokenizer_3", "T5Tokenizer"))
    words = TextEncoder(
        folder.name,
        tuple(part for part, _ in towers),
        tuple(tokenizer for _, tokenizer in towers),
        "sd3",
        long_tokens=T5_TOKENS,
        width=denoiser.text_width,
    )
    return Model(denoiser, words, vae)


def encode_text(towers: Towers, text: str, clip_skip: int = 0) -> Conditioning:
    """Both CLIP encoders side by side, padded with zeros to T5's width, then T5's tokens after them."""
    first, second = (clip.encoded(tower, text, layer=-2, clip_skip=clip_skip) for tower in towers[:2])
    states = torch.cat([first.states, second.states], -1)
    width = towers.handle.width
    long = t5.encoded(towers[2], text) if len(towers) > 2 else states.new_zeros(1, T5_TOKENS, width)
    cross = torch.cat([pad(states, (0, width - states.shape[-1])), long], 1)
    return Conditioning(cross, pooled=torch.cat([first.pooled, second.pooled], -1))


def complete(denoiser: Denoiser, conditioning: Conditioning, height: int, width: int) -> Conditioning:
    """The text alone. ValueError if the latents cannot be cut into patches."""
    if height % 2 or width % 2:
        raise ValueError(
            f"{denoiser.model} works on 2 x 2 patches, but the latent is {width} x {height}; choose a "
            f"width and a height that are multiples of {2 * denoiser.spec.factor} pixels"
        )
    return replace(conditioning, mask=None, extra={})


def run(
    module: Any, samples: Tensor, times: Tensor, conditioning: Conditioning, residuals: Residuals | None
) -> Tensor:
    """The velocity, float32."""
    dtype = module.proj_out.weight.dtype
    c = conditioning
    assert c.cross is not None
    assert c.pooled is not None
    blocks = None if residuals is None or not residuals.down else [r.to(dtype) for r in residuals.down]
    output: Tensor = module(
        hidden_states=samples.to(dtype),
        timestep=times,
        encoder_hidden_states=c.cross.to(dtype),
        pooled_projections=c.pooled.to(dtype),
        block_controlnet_hidden_states=blocks,
        return_dict=False,
    )[0]
    return output.float()
