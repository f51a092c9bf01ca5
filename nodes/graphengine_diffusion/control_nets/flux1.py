"""ControlNets of Flux.1: a copy of some blocks, with a picture at the start: its latents, or its pixels.

A "union" net knows several kinds of pictures, and is told by a number which kind it gets.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from graphengine_diffusion.control_nets.kind import Call
from graphengine_diffusion.control_nets.picture import in_latents, in_pixels
from graphengine_diffusion.families.flux1 import GUIDANCE, packed, places
from graphengine_diffusion.handles import ControlNet, Part
from graphengine_diffusion.types import Conditioning, Latent, Residuals

COLOURS, FACTOR = 3, 8
"""The channels of a picture, and how many pixels there are to a latent, where the net reads pixels."""


def read(name: str, part: Part, config: dict[str, Any]) -> ControlNet:
    """The handle."""
    return ControlNet(
        name,
        part,
        channels=config.get("in_channels", 64) // 4,
        text_width=config.get("joint_attention_dim", 4096),
        pooled_width=config.get("pooled_projection_dim", 768),
        colours=COLOURS if config.get("conditioning_embedding_channels") else 0,
        factor=FACTOR,
        guidance=bool(config.get("guidance_embeds", False)),
        modes=config.get("num_mode") or 0,
    )


def complete(control_net: ControlNet, latent: Latent, conditioning: Conditioning) -> Conditioning:
    """The text, and as one vector; the strength of guidance for a net that reads it."""
    told = {}
    if control_net.guidance:
        told["guidance"] = conditioning.extra.get("guidance", torch.tensor([GUIDANCE]))
    return Conditioning(conditioning.cross, conditioning.pooled, extra=told)


def hint(control_net: ControlNet, image: Tensor, encoded: Latent | None, latent: Latent) -> Tensor:
    """The pixels, -1 to 1, for a net that reads them; else the latents as patches."""
    if control_net.colours:
        return in_pixels(control_net, image, latent.samples) * 2 - 1
    return packed(in_latents(control_net, encoded, latent))


def run(module: Any, call: Call) -> Residuals:
    """What is added behind the double and the single blocks."""
    dtype, c = module.x_embedder.weight.dtype, call.conditioning
    assert c.cross is not None
    assert c.pooled is not None
    batch, _, height, width = call.samples.shape
    mode = torch.full((batch, 1), call.mode, device=call.samples.device) if module.union else None
    double, single = module(
        hidden_states=packed(call.samples).to(dtype),
        controlnet_cond=call.hint.to(dtype),
        controlnet_mode=mode,
        encoder_hidden_states=c.cross.to(dtype),
        pooled_projections=c.pooled.to(dtype),
        timestep=call.times / 1000,
        guidance=c.extra.get("guidance"),
        img_ids=places(height // 2, width // 2).to(call.samples.device),
        txt_ids=call.samples.new_zeros(c.cross.shape[1], 3),
        return_dict=False,
    )
    # Nets that read pixels were trained with their few blocks added in turn, the others each several times.
    return Residuals(
        tuple(double or ()), single=tuple(single or ()), in_turn=module.input_hint_block is not None
    )


def nothing(control_net: ControlNet, samples: Tensor) -> Residuals:
    """Nothing at all: the transformer then runs as without a net."""
    return Residuals(())
