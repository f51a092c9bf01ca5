"""The KL autoencoder that Stable Diffusion and Flux share: pictures to latents and back.

Rombach et al. 2022, section 3.1. Families differ in the number of channels, the scale and the shift.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from graphengine.errors import ModelError
from graphengine_diffusion.families.family import ModelFolder
from graphengine_diffusion.handles import VAE, LatentSpec


def read(folder: ModelFolder, family: str, precise: bool = False) -> VAE:
    """The handle; `precise` asks for float32 on a GPU, unless the configuration says that half is enough."""
    config = folder.json("vae/config.json")
    if config.get("latents_mean") or config.get("latents_std"):
        raise ModelError(
            f"{folder.name}: its VAE normalises each channel by numbers of its own, which no family here "
            "does; choose a model with one scaling factor"
        )
    spec = LatentSpec(
        channels=config["latent_channels"],
        factor=2 ** (len(config["block_out_channels"]) - 1),
        scale=config.get("scaling_factor", 0.18215),
        shift=config.get("shift_factor") or 0.0,
    )
    exact = precise and bool(config.get("force_upcast", True))
    return VAE(folder.name, folder.part("vae", "AutoencoderKL", exact), family, spec)


def encode(module: Any, pixels: Tensor, spec: LatentSpec) -> Tensor:
    """The most likely latents (the mean of the posterior), so that encoding gives the same each time."""
    mean: Tensor = module.encode(pixels.to(dtype_of(module)), return_dict=False)[0].mode()
    return (mean.float() - spec.shift) * spec.scale


def decode(module: Any, samples: Tensor, spec: LatentSpec) -> Tensor:
    """The pictures, float32."""
    z = samples / spec.scale + spec.shift
    pixels: Tensor = module.decode(z.to(dtype_of(module)), return_dict=False)[0]
    return pixels.float()


def dtype_of(module: Any) -> torch.dtype:
    """The precision of the weights; `module.dtype` walks through all of them."""
    weight: Tensor = next(module.parameters())
    return weight.dtype
