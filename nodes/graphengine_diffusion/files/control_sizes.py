"""Control sizes: the arguments of a transformer's ControlNet, read off the header of its single file.

Nets of one family differ in how many blocks they have, so there are no presets for them. Imports no torch.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from math import isqrt
from typing import Any

from graphengine.errors import ModelError
from graphengine_diffusion.files.headers import Header

SD3_HEAD, FLUX_HEAD = 64, 128
"""The width of a head of attention, which the shapes do not tell."""

FLUX_AXES = [16, 56, 56]
"""How a head's numbers are shared out between the three axes of a place."""


def of_sd3(header: Header) -> dict[str, Any]:
    """The arguments of `SD3ControlNetModel`."""
    inner, channels, patch, _ = shape(header, "pos_embed.proj.weight")
    places = shape(header, "pos_embed.pos_embed")[1]
    twice = sorted({int(n) for n in numbers(header, r"transformer_blocks\.(\d+)\.attn2\.to_q\.weight")})
    normed = bool(header.shape("transformer_blocks.0.attn.norm_q.weight"))
    return {
        "patch_size": patch,
        "in_channels": channels,
        "out_channels": channels,
        "num_layers": blocks(header, "transformer_blocks"),
        "attention_head_dim": SD3_HEAD,
        "num_attention_heads": inner // SD3_HEAD,
        "joint_attention_dim": shape(header, "context_embedder.weight")[1],
        "caption_projection_dim": shape(header, "context_embedder.weight")[0],
        "pooled_projection_dim": shape(header, "time_text_embed.text_embedder.linear_1.weight")[1],
        "pos_embed_max_size": isqrt(places),
        "extra_conditioning_channels": shape(header, "pos_embed_input.proj.weight")[1] - channels,
        "dual_attention_layers": twice,
        "qk_norm": "rms_norm" if normed else None,
    }


def of_flux(header: Header) -> dict[str, Any]:
    """The arguments of `FluxControlNetModel`."""
    inner, channels = shape(header, "x_embedder.weight")
    modes = header.shape("controlnet_mode_embedder.weight")
    hint = header.shape("input_hint_block.conv_out.weight")
    return {
        "patch_size": 2 if hint else 1,
        "in_channels": channels,
        "num_layers": blocks(header, "transformer_blocks"),
        "num_single_layers": blocks(header, "single_transformer_blocks"),
        "attention_head_dim": FLUX_HEAD,
        "num_attention_heads": inner // FLUX_HEAD,
        "joint_attention_dim": shape(header, "context_embedder.weight")[1],
        "pooled_projection_dim": shape(header, "time_text_embed.text_embedder.linear_1.weight")[1],
        "guidance_embeds": header.under(["time_text_embed.guidance_embedder."]),
        "axes_dims_rope": FLUX_AXES,
        "num_mode": modes[0] if modes else None,
        "conditioning_embedding_channels": hint[0] if hint else None,
    }


CONTROL_SIZES: dict[str, Callable[[Header], dict[str, Any]]] = {
    "SD3ControlNetModel": of_sd3,
    "FluxControlNetModel": of_flux,
}


def shape(header: Header, key: str) -> tuple[int, ...]:
    """The shape of a weight that must be there."""
    found = header.shape(key)
    if not found:
        raise ModelError(
            f"the ControlNet lacks {key}; get it with the names that diffusers gives the weights, or as a "
            "folder in diffusers' format"
        )
    return found


def blocks(header: Header, stack: str) -> int:
    """How many blocks a stack has."""
    return len(set(numbers(header, rf"{stack}\.(\d+)\..+")))


def numbers(header: Header, pattern: str) -> list[str]:
    """What a pattern finds in the names of the weights."""
    return [found[1] for key in header.tensors if (found := re.fullmatch(pattern, key))]
