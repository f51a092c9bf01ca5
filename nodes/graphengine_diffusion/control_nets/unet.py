"""ControlNets of U-Nets: a copy of the way down, with a picture added at its start. Zhang et al. 2023."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

from torch import Tensor

from graphengine.errors import ModelError
from graphengine_diffusion.control_nets.kind import Call
from graphengine_diffusion.control_nets.picture import in_pixels
from graphengine_diffusion.families import sdxl
from graphengine_diffusion.files.layouts import HINT_WIDTHS
from graphengine_diffusion.handles import ControlNet, Part
from graphengine_diffusion.types import Conditioning, Latent, Residuals


def read(name: str, part: Part, config: dict[str, Any]) -> ControlNet:
    """The handle. ModelError for a net that pools its residuals."""
    if config.get("global_pool_conditions"):
        raise ModelError(f"{name} pools its residuals over the picture, which is not read; choose another")
    return ControlNet(
        name,
        part,
        channels=config.get("in_channels", 4),
        text_width=config.get("cross_attention_dim", 1280),
        colours=config.get("conditioning_channels", 3),
        factor=2 ** (len(config.get("conditioning_embedding_out_channels", HINT_WIDTHS)) - 1),
        sized=config.get("addition_embed_type") == "text_time",
        widths=tuple(config.get("block_out_channels", (320, 640, 1280, 1280))),
        layers=config.get("layers_per_block", 2),
    )


def complete(control_net: ControlNet, latent: Latent, conditioning: Conditioning) -> Conditioning:
    """The text; for SDXL as one vector too, and the size."""
    if not control_net.sized:
        return Conditioning(conditioning.cross)
    height, width = (side * latent.spec.factor for side in latent.samples.shape[-2:])
    text = Conditioning(conditioning.cross, conditioning.pooled, extra=conditioning.extra)
    return sdxl.sized(text, height, width)


def hint(control_net: ControlNet, image: Tensor, encoded: Latent | None, latent: Latent) -> Tensor:
    """The picture, 0 to 1."""
    return in_pixels(control_net, image, latent.samples)


def run(module: Any, call: Call) -> Residuals:
    """What is added to the skip connections and to the middle."""
    dtype, c = module.conv_in.weight.dtype, call.conditioning
    assert c.cross is not None
    options = {}
    if c.pooled is not None:
        options["added_cond_kwargs"] = {
            "text_embeds": c.pooled.to(dtype),
            "time_ids": c.extra["time_ids"].to(dtype),
        }
    down, mid = module(
        call.samples.to(dtype),
        call.times,
        encoder_hidden_states=c.cross.to(dtype),
        controlnet_cond=call.hint.to(dtype),
        return_dict=False,
        **options,
    )
    return Residuals(tuple(down), mid)


def nothing(control_net: ControlNet, samples: Tensor) -> Residuals:
    """Zeros: one for the first layer, one for each layer and each halving of each level."""
    batch, _, height, width = samples.shape

    def zeros(channels: int) -> Tensor:
        # Stands for a whole tensor and takes the memory of one number.
        return samples.new_zeros(1).expand(batch, channels, height, width)

    widths, down = control_net.widths, []
    down.append(zeros(widths[0]))
    for wide, following in pairwise((*widths, None)):
        down += [zeros(wide)] * control_net.layers  # type: ignore[arg-type]  # only the last is None
        if following is not None:
            height, width = (height + 1) // 2, (width + 1) // 2
            down.append(zeros(wide))  # type: ignore[arg-type]
    return Residuals(tuple(down), zeros(widths[-1]))
