"""Tiny models of random weights, built in code and saved as ordinary model folders; nothing is downloaded."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

os.environ["HF_HUB_OFFLINE"] = "1"

import torch

from graphengine.authoring import Context, Folders, Handle

WORDS = "a photo of the red blue house tree cat dog beside with at night day bad low quality".split()

SCHEDULER = {
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "beta_schedule": "scaled_linear",
    "steps_offset": 1,
    "clip_sample": False,
    "set_alpha_to_one": False,
}


class Shelf(Context):
    """A context that loads each model once, as the engine's model pool does."""

    def __init__(self, *roots: Path) -> None:
        self.folders = Folders(models=roots)
        self.loaded: dict[Any, Any] = {}

    def use(self, handle: Handle[Any]) -> Any:
        if handle not in self.loaded:
            self.loaded[handle] = handle.load(self.folders, self.device)
        return self.loaded[handle]


def byte_alphabet() -> Iterator[str]:
    """The 256 characters that stand for bytes in CLIP's vocabulary; what cannot be seen is moved up."""
    visible = [*range(33, 127), *range(161, 173), *range(174, 256)]
    yield from map(chr, visible)
    yield from (chr(256 + i) for i in range(256 - len(visible)))


def clip_tokenizer() -> Any:
    """A byte-pair tokenizer of CLIP's kind that knows `WORDS` whole and spells all else."""
    from transformers import CLIPTokenizer

    alphabet = list(byte_alphabet())
    tokens = dict.fromkeys([*alphabet, *(c + "</w>" for c in alphabet)])
    merges: dict[tuple[str, str], None] = {}
    for word in WORDS:
        left, *rest = [*word[:-1], word[-1] + "</w>"]
        for right in rest:
            merges[left, right] = None
            left += right
            tokens[left] = None
    tokens |= dict.fromkeys(["<|startoftext|>", "<|endoftext|>"])
    vocabulary = {token: i for i, token in enumerate(tokens)}
    return CLIPTokenizer(
        vocab=vocabulary, merges=list(merges), pad_token="<|endoftext|>", model_max_length=77
    )


def clip_text_model(tokenizer: Any, width: int = 32) -> Any:
    """CLIP's text encoder, three layers deep."""
    from transformers import CLIPTextConfig, CLIPTextModel

    torch.manual_seed(1)
    config = CLIPTextConfig(
        vocab_size=len(tokenizer),
        hidden_size=width,
        intermediate_size=48,
        num_hidden_layers=3,
        num_attention_heads=4,
        projection_dim=width,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        max_position_embeddings=77,
    )
    return CLIPTextModel(config).eval()


def sd1(prediction_type: str = "epsilon", in_channels: int = 4) -> Any:
    """A Stable Diffusion pipeline with two levels: 32 x 32 latents for 64 x 64 pixels."""
    import diffusers

    tokenizer = clip_tokenizer()
    text_encoder = clip_text_model(tokenizer)
    torch.manual_seed(0)
    unet = diffusers.UNet2DConditionModel(
        sample_size=32,
        in_channels=in_channels,
        out_channels=4,
        layers_per_block=1,
        block_out_channels=(8, 16),
        cross_attention_dim=32,
        norm_num_groups=4,
        attention_head_dim=2,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
    )
    torch.manual_seed(2)
    vae = diffusers.AutoencoderKL(
        block_out_channels=[4, 8],
        latent_channels=4,
        norm_num_groups=2,
        layers_per_block=1,
        down_block_types=["DownEncoderBlock2D"] * 2,
        up_block_types=["UpDecoderBlock2D"] * 2,
        sample_size=64,
    )
    return diffusers.StableDiffusionPipeline(
        unet=unet.eval(),
        vae=vae.eval(),
        text_encoder=text_encoder,
        tokenizer=tokenizer,
        scheduler=diffusers.DDIMScheduler(prediction_type=prediction_type, **SCHEDULER),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
