"""The U-Net with cross-attention that the Stable Diffusion families share: its handle, and running it."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from graphengine.errors import ModelError
from graphengine_diffusion.families.family import ModelFolder
from graphengine_diffusion.families.training import read_betas, read_prediction
from graphengine_diffusion.handles import Denoiser, LatentSpec
from graphengine_diffusion.types import Conditioning, Residuals


def read(folder: ModelFolder, family: str, spec: LatentSpec, sample_size: int) -> Denoiser:
    """The handle of a U-Net that reads latents alone, or a mask and a masked picture beside them.

    `sample_size` is used where the configuration names none.
    """
    unet = folder.json("unet/config.json")
    concat = unet["in_channels"] - spec.channels
    if concat not in (0, 1 + spec.channels):
        raise ModelError(
            f"{folder.name}: its U-Net reads {unet['in_channels']} channels, but its latents have "
            f"{spec.channels}; only U-Nets for text to image ({spec.channels}) and for inpainting "
            f"({1 + 2 * spec.channels}) are known"
        )
    return Denoiser(
        folder.name,
        folder.part("unet", "UNet2DConditionModel"),
        family,
        spec,
        sample_size=unet.get("sample_size") or sample_size,
        text_width=unet["cross_attention_dim"],
        predicts=read_prediction(folder),
        noise=read_betas(folder),
        concat=concat,
    )


def run(
    module: Any,
    samples: Tensor,
    times: Tensor,
    conditioning: Conditioning,
    residuals: Residuals | None,
    added: dict[str, Tensor] | None = None,
) -> Tensor:
    """The U-Net's output, float32. `added` is what is embedded beside the time."""
    dtype = module.conv_in.weight.dtype  # `module.dtype` walks through every submodule
    c = conditioning
    assert c.cross is not None
    if c.concat is not None:
        samples = torch.cat([samples, c.concat], 1)
    down = None if residuals is None else [r.to(dtype) for r in residuals.down]
    mid = None if residuals is None or residuals.mid is None else residuals.mid.to(dtype)
    output: Tensor = module(
        samples.to(dtype),
        times,
        encoder_hidden_states=c.cross.to(dtype),
        added_cond_kwargs=None if added is None else {name: t.to(dtype) for name, t in added.items()},
        down_block_additional_residuals=down,
        mid_block_additional_residual=mid,
        return_dict=False,
    )[0]
    return output.float()
