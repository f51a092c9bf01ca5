"""Stable Diffusion 1.x and 2.x: one CLIP text encoder, a U-Net with cross-attention, a KL autoencoder.

Rombach et al. 2022, "High-Resolution Image Synthesis with Latent Diffusion Models". Folders of version 2
differ in their configuration only (a wider text encoder without its last layer, v-prediction).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, get_args, get_type_hints

import torch
from torch import Tensor

from graphengine.errors import ModelError
from graphengine_diffusion.clip import encoded
from graphengine_diffusion.families.family import Model, ModelFolder
from graphengine_diffusion.handles import VAE, Betas, Denoiser, LatentSpec, TextEncoder, Tower
from graphengine_diffusion.types import Conditioning, Residuals

PIPELINES: tuple[str, ...] = ("StableDiffusionPipeline", "StableDiffusionImg2ImgPipeline")


def read(folder: ModelFolder) -> Model:
    """The three handles, from the configurations and the headers of the weights."""
    unet, vae, text = (folder.json(f"{part}/config.json") for part in ("unet", "vae", "text_encoder"))
    scheduler = folder.json("scheduler/scheduler_config.json")
    spec = LatentSpec(
        channels=vae["latent_channels"],
        factor=2 ** (len(vae["block_out_channels"]) - 1),
        scale=vae.get("scaling_factor", 0.18215),
        shift=vae.get("shift_factor") or 0.0,
    )
    if unet["in_channels"] != spec.channels:
        raise ModelError(
            f"{folder.name}: its U-Net reads {unet['in_channels']} channels, but its latents have "
            f"{spec.channels}, so it is made for inpainting or upscaling; choose a text-to-image model"
        )
    denoiser = Denoiser(
        folder.name,
        folder.part("unet", "UNet2DConditionModel"),
        "sd1",
        spec,
        sample_size=unet.get("sample_size") or 64,
        text_width=unet["cross_attention_dim"],
        predicts=known_prediction(folder, scheduler.get("prediction_type", "epsilon")),
        noise=read_betas(scheduler),
    )
    words = TextEncoder(
        folder.name,
        (folder.part("text_encoder", "CLIPTextModel"),),
        (folder.words("tokenizer", "CLIPTokenizer"),),
        "sd1",
        tokens=text.get("max_position_embeddings", 77),
    )
    precise = bool(vae.get("force_upcast", True))
    return Model(denoiser, words, VAE(folder.name, folder.part("vae", "AutoencoderKL", precise), "sd1", spec))


def known_prediction(folder: ModelFolder, kind: str) -> Any:
    """What the U-Net's output means, if we know how to read it."""
    known = get_args(get_type_hints(Denoiser)["predicts"])
    if kind not in known:
        raise ModelError(
            f"{folder.name}: its U-Net predicts {kind!r}; only these are known: {', '.join(known)}"
        )
    return kind


def read_betas(scheduler: dict[str, Any]) -> Betas:
    """The training noise; what the file leaves out are the defaults of diffusers' schedulers."""
    return Betas(
        schedule=scheduler.get("beta_schedule", "linear"),
        start=scheduler.get("beta_start", 0.0001),
        end=scheduler.get("beta_end", 0.02),
        steps=scheduler.get("num_train_timesteps", 1000),
        zero_snr=scheduler.get("rescale_betas_zero_snr", False),
        trained=tuple(scheduler.get("trained_betas") or ()),
    )


def encode_text(towers: Sequence[Tower], text: str, clip_skip: int = 0) -> Conditioning:
    """The last hidden state of CLIP, [1, tokens, width]; what is past the limit is left out."""
    return Conditioning(encoded(towers[0], text, clip_skip=clip_skip).states)


def run(
    module: Any, samples: Tensor, times: Tensor, conditioning: Conditioning, residuals: Residuals | None
) -> Tensor:
    """The U-Net's output, float32."""
    dtype = module.conv_in.weight.dtype  # `module.dtype` walks through every submodule
    c = conditioning
    if c.cross is None:
        raise ValueError("this model follows a text; give predict a conditioning that has one")
    if c.concat is not None:
        samples = torch.cat([samples, c.concat], 1)
    output: Tensor = module(
        samples.to(dtype),
        times,
        encoder_hidden_states=c.cross.to(dtype),
        down_block_additional_residuals=None if residuals is None else [r.to(dtype) for r in residuals.down],
        mid_block_additional_residual=None
        if residuals is None or residuals.mid is None
        else residuals.mid.to(dtype),
        return_dict=False,
    )[0]
    return output.float()


def encode(module: Any, pixels: Tensor, spec: LatentSpec) -> Tensor:
    """The most likely latents (the mean of the posterior), so that encoding gives the same each time."""
    mean: Tensor = module.encode(pixels.to(module.dtype), return_dict=False)[0].mode()
    return (mean.float() - spec.shift) * spec.scale


def decode(module: Any, samples: Tensor, spec: LatentSpec) -> Tensor:
    """The pictures, float32."""
    z = samples / spec.scale + spec.shift
    pixels: Tensor = module.decode(z.to(module.dtype), return_dict=False)[0]
    return pixels.float()
