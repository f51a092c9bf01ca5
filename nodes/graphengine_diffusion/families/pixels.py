"""Models in pixel space, without a text: unconditional, by class, or super-resolution of a small picture.

Ho et al. 2020, "Denoising Diffusion Probabilistic Models"; Saharia et al. 2021, "Image Super-Resolution via
Iterative Refinement", where the small picture, enlarged, stands beside the noisy one. There is no text
encoder and no VAE: their handles stand for "the name of a class" and "as it is", so the same workflows run.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from graphengine_diffusion.classes import class_number
from graphengine_diffusion.families.family import Model, ModelFolder
from graphengine_diffusion.families.training import read_betas, read_prediction, read_scheduler
from graphengine_diffusion.handles import VAE, Denoiser, LatentSpec, Part, TextEncoder, Towers
from graphengine_diffusion.types import Conditioning, Residuals

PIPELINES: tuple[str, ...] = ("DDPMPipeline", "DDIMPipeline")


LOOKS_UP = False


def reads(index: dict[str, Any]) -> bool:
    """Every folder with these pipelines."""
    return True


def read(folder: ModelFolder) -> Model:
    """The three handles, of which only the denoiser has weights."""
    config, scheduler = folder.json("unet/config.json"), read_scheduler(folder)
    read_channels, made = config.get("in_channels", 3), config.get("out_channels", 3)
    # A model that learned the variance too (Nichol & Dhariwal 2021) gives twice the channels.
    channels = made // 2 if made == 2 * read_channels else made
    size = config.get("sample_size") or 32
    names = folder.json("model_index.json").get("id2label") or {}
    labels = tuple(names[key] for key in sorted(names, key=int))
    spec = LatentSpec(channels, factor=1)
    denoiser = Denoiser(
        folder.name,
        folder.part("unet", "UNet2DModel"),
        "pixels",
        spec,
        sample_size=size if isinstance(size, int) else max(size),
        text_width=0,
        predicts=read_prediction(folder),
        noise=read_betas(folder),
        concat=read_channels - channels,
        classes=config.get("num_class_embeds") or 0,
        labels=labels,
        clip=scheduler.get("clip_sample_range", 1.0) if scheduler.get("clip_sample", True) else None,
    )
    words = TextEncoder(folder.name, (), (), "pixels", classes=denoiser.classes, labels=labels)
    return Model(denoiser, words, VAE(folder.name, Part(folder.name, "", "", "", ""), "pixels", spec))


def encode_text(towers: Towers, text: str, clip_skip: int = 0) -> Conditioning:
    """The class of that name or number; an empty text is no class. ValueError if there is none such."""
    wanted, encoder = text.strip(), towers.handle
    if not wanted:
        return Conditioning()
    return Conditioning(extra={"class": torch.tensor([class_number(encoder, wanted)])})


def complete(denoiser: Denoiser, conditioning: Conditioning, height: int, width: int) -> Conditioning:
    """With a class, where the model knows classes.

    One more class than there are names is "no class" (Ho & Salimans 2022). ValueError if a class is needed.
    """
    if not denoiser.classes:
        return replace(conditioning, pooled=None, mask=None, extra={})
    nothing = len(denoiser.labels)
    chosen = conditioning.extra.get("class")
    if chosen is None:
        if not 0 < nothing < denoiser.classes:
            raise ValueError(
                f"{denoiser.model} makes pictures of a class; give predict a conditioning with one of the "
                f"{denoiser.classes}"
            )
        chosen = torch.tensor([nothing])
    return replace(conditioning, pooled=None, mask=None, extra={"class": chosen})


def run(
    module: Any, samples: Tensor, times: Tensor, conditioning: Conditioning, residuals: Residuals | None
) -> Tensor:
    """The U-Net's output, float32; a variance that it learned is left out."""
    dtype = module.conv_in.weight.dtype
    c = conditioning
    channels = samples.shape[1]
    if c.concat is not None:
        samples = torch.cat([samples, c.concat], 1)
    output: Tensor = module(samples.to(dtype), times, class_labels=c.extra.get("class"), return_dict=False)[0]
    return output[:, :channels].float()


def encode(module: Any, pixels: Tensor, spec: LatentSpec) -> Tensor:
    """The pictures as they are; in grey for a model of one channel."""
    return pixels if pixels.shape[1] == spec.channels else pixels.mean(1, keepdim=True)


def decode(module: Any, samples: Tensor, spec: LatentSpec) -> Tensor:
    """The pictures as they are."""
    return samples
