"""ControlNets of Stable Diffusion 3: a copy of the first blocks, with a picture's latents at the start."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from graphengine.errors import ModelError
from graphengine_diffusion.control_nets.kind import Call
from graphengine_diffusion.control_nets.picture import in_latents
from graphengine_diffusion.handles import ControlNet, Part
from graphengine_diffusion.types import Conditioning, Latent, Residuals


def read(name: str, part: Part, config: dict[str, Any]) -> ControlNet:
    """The handle. ModelError for a net that needs more than a picture and a text."""
    if config.get("extra_conditioning_channels", 0):
        raise ModelError(f"{name} reads a mask beside the picture, which is not read; choose another")
    if not config.get("use_pos_embed", True) or config.get("joint_attention_dim", 4096) is None:
        raise ModelError(f"{name} shares layers with its transformer, which is not read; choose another")
    return ControlNet(
        name,
        part,
        channels=config.get("in_channels", 16),
        text_width=config.get("joint_attention_dim", 4096),
        pooled_width=config.get("pooled_projection_dim", 2048),
        blind=bool(config.get("force_zeros_for_pooled_projection", True)),
    )


def complete(control_net: ControlNet, latent: Latent, conditioning: Conditioning) -> Conditioning:
    """The text, and as one vector; zeros in its place for a net that was trained so."""
    pooled = conditioning.pooled
    if control_net.blind and pooled is not None:
        pooled = torch.zeros_like(pooled)
    return Conditioning(conditioning.cross, pooled)


def hint(control_net: ControlNet, image: Tensor, encoded: Latent | None, latent: Latent) -> Tensor:
    """The latents; without the shift of their mean for a net that was trained so."""
    samples = in_latents(control_net, encoded, latent)
    return samples + latent.spec.shift * latent.spec.scale if control_net.blind else samples


def run(module: Any, call: Call) -> Residuals:
    """What is added behind the blocks."""
    dtype, c = module.pos_embed_input.proj.weight.dtype, call.conditioning
    assert c.cross is not None
    assert c.pooled is not None
    (blocks,) = module(
        hidden_states=call.samples.to(dtype),
        controlnet_cond=call.hint.to(dtype),
        encoder_hidden_states=c.cross.to(dtype),
        pooled_projections=c.pooled.to(dtype),
        timestep=call.times,
        return_dict=False,
    )
    return Residuals(tuple(blocks))


def nothing(control_net: ControlNet, samples: Tensor) -> Residuals:
    """Nothing at all: the transformer then runs as without a net."""
    return Residuals(())
