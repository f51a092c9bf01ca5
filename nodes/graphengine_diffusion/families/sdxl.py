"""Stable Diffusion XL: two CLIP text encoders, and a U-Net that is told the sizes of its training pictures.

Podell et al. 2023, "SDXL: Improving Latent Diffusion Models for High-Resolution Image Synthesis".
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from graphengine_diffusion.clip import encoded
from graphengine_diffusion.families import autoencoder, unet
from graphengine_diffusion.families.autoencoder import decode, encode
from graphengine_diffusion.families.family import Model, ModelFolder
from graphengine_diffusion.handles import Denoiser, TextEncoder, Towers
from graphengine_diffusion.types import Conditioning, Residuals

__all__ = ["LOOKS_UP", "PIPELINES", "complete", "decode", "encode", "encode_text", "read", "reads", "run"]

PIPELINES: tuple[str, ...] = (
    "StableDiffusionXLPipeline",
    "StableDiffusionXLImg2ImgPipeline",
    "StableDiffusionXLInpaintPipeline",
)


LOOKS_UP = True


def reads(index: dict[str, Any]) -> bool:
    """The models with both text encoders; the refiner has the second alone."""
    return bool((index.get("text_encoder") or [None])[0])


def read(folder: ModelFolder) -> Model:
    """The three handles, from the configurations and the headers of the weights."""
    vae = autoencoder.read(folder, "sdxl", precise=True)
    denoiser = unet.read(folder, "sdxl", vae.spec, sample_size=128)
    towers = (
        folder.tower("text_encoder", "CLIPTextModel", "tokenizer", "CLIPTokenizer"),
        folder.tower("text_encoder_2", "CLIPTextModelWithProjection", "tokenizer_2", "CLIPTokenizer"),
    )
    words = TextEncoder(
        folder.name,
        tuple(part for part, _ in towers),
        tuple(tokenizer for _, tokenizer in towers),
        "sdxl",
        width=denoiser.text_width,
        zeros_for_empty=bool(folder.json("model_index.json").get("force_zeros_for_empty_prompt", True)),
    )
    return Model(replace(denoiser, pooled_width=pooled_width(folder, numbers=6)), words, vae)


def pooled_width(folder: ModelFolder, numbers: int) -> int:
    """The width of the text as one vector: what the U-Net embeds beside the time, less the sizes."""
    config = folder.json("unet/config.json")
    found: int = config["projection_class_embeddings_input_dim"] - numbers * config["addition_time_embed_dim"]
    return found


def encode_text(towers: Towers, text: str, clip_skip: int = 0) -> Conditioning:
    """The last but one hidden states of both encoders side by side, and the second's vector of the text."""
    first, second = (encoded(tower, text, layer=-2, clip_skip=clip_skip) for tower in towers)
    return emptied(
        towers, text, Conditioning(torch.cat([first.states, second.states], -1), pooled=second.pooled)
    )


def emptied(towers: Towers, text: str, found: Conditioning) -> Conditioning:
    """Zeros in place of an empty text, where the model was trained so."""
    if text.strip() or not towers.handle.zeros_for_empty or found.cross is None or found.pooled is None:
        return found
    return Conditioning(torch.zeros_like(found.cross), pooled=torch.zeros_like(found.pooled))


def complete(denoiser: Denoiser, conditioning: Conditioning, height: int, width: int) -> Conditioning:
    """With `time_ids`, for latents of this size."""
    return sized(conditioning, height * denoiser.spec.factor, width * denoiser.spec.factor)


def sized(conditioning: Conditioning, height: int, width: int) -> Conditioning:
    """With `time_ids` (Podell et al. 2023, section 2.2): original size, top left corner of the crop, size.

    Each is (height, width) in pixels. Without a word from the user the picture is whole and of its own size.
    """
    size = torch.tensor([[height, width]], dtype=torch.float32)
    told = conditioning.extra
    numbers = [
        told.get("original_size", size),
        told.get("crop", torch.zeros(1, 2)),
        told.get("target_size", size),
    ]
    return replace(conditioning, mask=None, extra={"time_ids": torch.cat(numbers, 1)})


def run(
    module: Any, samples: Tensor, times: Tensor, conditioning: Conditioning, residuals: Residuals | None
) -> Tensor:
    """The U-Net's output, float32."""
    assert conditioning.pooled is not None
    added = {"text_embeds": conditioning.pooled, "time_ids": conditioning.extra["time_ids"]}
    return unet.run(module, samples, times, conditioning, residuals, added)
