"""The refiner of Stable Diffusion XL: finishes a picture at low noise; one text encoder, an aesthetic score.

Podell et al. 2023, section 2.5. It takes over where the base model stops, on latents of the same kind.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch

from graphengine_diffusion.clip import encoded
from graphengine_diffusion.families import autoencoder, sdxl, unet
from graphengine_diffusion.families.autoencoder import decode, encode
from graphengine_diffusion.families.family import Model, ModelFolder
from graphengine_diffusion.families.sdxl import emptied, pooled_width, run
from graphengine_diffusion.handles import Denoiser, TextEncoder, Towers
from graphengine_diffusion.types import Conditioning

__all__ = ["LOOKS_UP", "PIPELINES", "complete", "decode", "encode", "encode_text", "read", "reads", "run"]

PIPELINES: tuple[str, ...] = sdxl.PIPELINES

SCORE, SCORE_OF_EMPTY = 6.0, 2.5
"""How much the training pictures were liked, 1 to 10: what a prompt asks for, and what it is held against."""


LOOKS_UP = True


def reads(index: dict[str, Any]) -> bool:
    """The models without the first text encoder."""
    return not sdxl.reads(index)


def read(folder: ModelFolder) -> Model:
    """The three handles, from the configurations and the headers of the weights."""
    vae = autoencoder.read(folder, "sdxl_refiner", precise=True)
    denoiser = unet.read(folder, "sdxl_refiner", vae.spec, sample_size=128)
    encoder, tokenizer = folder.tower(
        "text_encoder_2", "CLIPTextModelWithProjection", "tokenizer_2", "CLIPTokenizer"
    )
    words = TextEncoder(
        folder.name,
        (encoder,),
        (tokenizer,),
        "sdxl_refiner",
        width=denoiser.text_width,
        zeros_for_empty=bool(folder.json("model_index.json").get("force_zeros_for_empty_prompt", False)),
    )
    return Model(replace(denoiser, pooled_width=pooled_width(folder, numbers=5)), words, vae)


def encode_text(towers: Towers, text: str, clip_skip: int = 0) -> Conditioning:
    """The last but one hidden states, and the vector of the text.

    The score asked for is 6; an empty text, which guidance leads away from, has 2.5.
    """
    found = encoded(towers[0], text, layer=-2, clip_skip=clip_skip)
    c = emptied(towers, text, Conditioning(found.states, pooled=found.pooled))
    score = SCORE if text.strip() else SCORE_OF_EMPTY
    return replace(c, extra={"aesthetic_score": torch.tensor([[score]])})


def complete(denoiser: Denoiser, conditioning: Conditioning, height: int, width: int) -> Conditioning:
    """With `time_ids`: original size, top left corner of the crop (both height, width), aesthetic score."""
    factor = denoiser.spec.factor
    told = conditioning.extra
    numbers = [
        told.get("original_size", torch.tensor([[height * factor, width * factor]], dtype=torch.float32)),
        told.get("crop", torch.zeros(1, 2)),
        told.get("aesthetic_score", torch.tensor([[SCORE]])),
    ]
    return replace(conditioning, mask=None, extra={"time_ids": torch.cat(numbers, 1)})
