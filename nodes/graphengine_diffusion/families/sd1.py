"""Stable Diffusion 1.x and 2.x: one CLIP text encoder, a U-Net with cross-attention, a KL autoencoder.

Rombach et al. 2022, "High-Resolution Image Synthesis with Latent Diffusion Models". Folders of version 2
differ in their configuration only (a wider text encoder without its last layer, v-prediction).
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from torch import Tensor

from graphengine_diffusion.clip import encoded
from graphengine_diffusion.families import autoencoder, unet
from graphengine_diffusion.families.autoencoder import decode, encode
from graphengine_diffusion.families.family import Model, ModelFolder
from graphengine_diffusion.handles import Denoiser, TextEncoder, Towers
from graphengine_diffusion.types import Conditioning, Residuals

__all__ = ["LOOKS_UP", "PIPELINES", "complete", "decode", "encode", "encode_text", "read", "reads", "run"]

PIPELINES: tuple[str, ...] = (
    "StableDiffusionPipeline",
    "StableDiffusionImg2ImgPipeline",
    "StableDiffusionInpaintPipeline",
)


LOOKS_UP = True


def reads(index: dict[str, Any]) -> bool:
    """Every folder with these pipelines."""
    return True


def read(folder: ModelFolder) -> Model:
    """The three handles, from the configurations and the headers of the weights."""
    vae = autoencoder.read(folder, "sd1", precise=True)
    denoiser = unet.read(folder, "sd1", vae.spec, sample_size=64)
    encoder, tokenizer = folder.tower("text_encoder", "CLIPTextModel", "tokenizer", "CLIPTokenizer")
    text = folder.json("text_encoder/config.json") if folder.has("text_encoder") else {}
    words = TextEncoder(
        folder.name,
        (encoder,),
        (tokenizer,),
        "sd1",
        tokens=text.get("max_position_embeddings", 77),
        width=denoiser.text_width,
    )
    return Model(denoiser, words, vae)


def encode_text(towers: Towers, text: str, clip_skip: int = 0) -> Conditioning:
    """The last hidden state of CLIP, [1, tokens, width]."""
    return Conditioning(encoded(towers[0], text, clip_skip=clip_skip).states)


def complete(denoiser: Denoiser, conditioning: Conditioning, height: int, width: int) -> Conditioning:
    """The text alone: the model is told nothing of the picture's size."""
    return replace(conditioning, pooled=None, mask=None, extra={})


def run(
    module: Any, samples: Tensor, times: Tensor, conditioning: Conditioning, residuals: Residuals | None
) -> Tensor:
    """The U-Net's output, float32."""
    return unet.run(module, samples, times, conditioning, residuals)
