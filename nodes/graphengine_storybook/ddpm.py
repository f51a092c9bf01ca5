"""Denoising diffusion in pixel space, as in Ho, Jain and Abbeel 2020: no text, no latents.

A small `UNet2DModel` predicts the noise of a 32 x 32 picture. With classes it is told the kind of the
thing; one more class, the last, says nothing, and a share of the labels is replaced by it, for
classifier-free guidance (Ho and Salimans 2022). `unconditional` takes the classes out again.
"""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from diffusers.models.unets.unet_2d import UNet2DModel
from diffusers.schedulers.scheduling_ddpm import DDPMScheduler
from torch import Tensor

from graphengine_storybook.batches import unit
from graphengine_storybook.folder import save_parts
from graphengine_storybook.portraits import SIDE
from graphengine_storybook.stage import Losses, Stage
from graphengine_storybook.world import KINDS

CHANNELS = (16, 32, 64)
UNLABELLED = 0.12
"""The share of the labels that a training of the classes leaves out."""


def build(
    channels: tuple[int, ...] = CHANNELS,
    classes: int | None = None,
    side: int = SIDE,
    inputs: int = 3,
    attention: int = 1,
) -> UNet2DModel:
    """A new U-Net: a level for each of `channels`, with attention on the last `attention` of them.

    With `classes` it is conditioned on a class, of which the last should mean none. `inputs` above 3
    are for pictures that it is shown beside the noisy one.
    """
    plain = len(channels) - attention
    unet: UNet2DModel = UNet2DModel(
        sample_size=side,
        in_channels=inputs,
        out_channels=3,
        block_out_channels=channels,
        down_block_types=("DownBlock2D",) * plain + ("AttnDownBlock2D",) * attention,
        up_block_types=("AttnUpBlock2D",) * attention + ("UpBlock2D",) * plain,
        layers_per_block=1,
        attention_head_dim=32,
        norm_num_groups=8,
        num_class_embeds=classes,
        add_attention=attention > 0,
    )
    return unet


def schedule() -> DDPMScheduler:
    """Betas even from 1e-4 to 0.02 over 1000 steps; the model predicts the noise."""
    scheduler: DDPMScheduler = DDPMScheduler(
        num_train_timesteps=1000,
        beta_start=0.0001,
        beta_end=0.02,
        beta_schedule="linear",
        prediction_type="epsilon",
        variance_type="fixed_small",
        clip_sample=True,
    )
    return scheduler


def loss(
    unet: UNet2DModel,
    pictures: Tensor,
    alpha_bar: Tensor,
    kinds: Tensor | None = None,
    generator: torch.Generator | None = None,
) -> Tensor:
    """The error of the predicted noise (Ho et al. 2020, Algorithm 1): the number to make smaller.

    `pictures` are (n, 3, side, side) from -1 to 1, `alpha_bar` the table of the schedule. The
    timesteps are drawn at random, but spread evenly over the batch, which calms the error.
    """
    count, device = len(pictures), pictures.device
    spread = torch.arange(count, device=device) + torch.rand(count, generator=generator, device=device)
    timestep = (spread * (len(alpha_bar) / count)).long().clamp(0, len(alpha_bar) - 1)
    eps = torch.randn(pictures.shape, generator=generator, device=device)
    signal = alpha_bar[timestep][:, None, None, None]
    noisy = signal.sqrt() * pictures + (1 - signal).sqrt() * eps
    predicted: Tensor = unet(noisy, timestep, class_labels=kinds).sample
    return (predicted - eps).square().mean()


def train(
    unet: UNet2DModel,
    batches: Iterator[tuple[Tensor, Tensor]],
    stage: Stage,
    keep: Callable[[], None] | None = None,
) -> int:
    """Teach the U-Net pictures and, if it has classes, their kinds. Returns the pictures it has seen."""
    unet.to(stage.device)
    alpha_bar = schedule().alphas_cumprod.to(stage.device)
    none = (unet.config["num_class_embeds"] or 0) - 1

    def step(share: float) -> Losses:
        pictures, kinds = next(batches)
        left_out = torch.rand(len(kinds)) < UNLABELLED
        labels = kinds.masked_fill(left_out, none).to(stage.device) if none >= 0 else None
        return {"loss": loss(unet, unit(pictures.to(stage.device)), alpha_bar, labels)}

    return stage.run(unet, step, keep=keep)


@torch.no_grad()
def unconditional(unet: UNet2DModel) -> UNet2DModel:
    """The same model without classes: it computes what `unet` does for the last class, which is none.

    A class is added to the embedding of the time, so that of none becomes a part of its bias.
    """
    config: dict[str, Any] = dict(unet.config)
    plain: UNet2DModel = UNet2DModel.from_config({**config, "num_class_embeds": None})
    weights = dict(unet.state_dict())
    none = weights.pop("class_embedding.weight")[-1]
    weights["time_embedding.linear_2.bias"] = weights["time_embedding.linear_2.bias"] + none
    plain.load_state_dict(weights)
    return plain


def save(unet: UNet2DModel, folder: Path) -> None:
    """Write the model: a `DDPMPipeline` folder, or one that names its classes as diffusers' DiT does."""
    parts = {"unet": unet, "scheduler": schedule()}
    if unet.config["num_class_embeds"] is None:
        save_parts(folder, parts, {"_class_name": "DDPMPipeline"})
    else:
        names = {str(index): kind for index, kind in enumerate((*KINDS, "nothing"))}
        save_parts(folder, parts, {"_class_name": "ClassConditionalPipeline", "id2label": names})


def load(folder: Path) -> UNet2DModel:
    """The U-Net in a folder of its own, in float32."""
    unet: UNet2DModel = UNet2DModel.from_pretrained(folder, torch_dtype=torch.float32)
    return unet
