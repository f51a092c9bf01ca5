"""The second stage of a cascade: diffusion that makes a 32 x 32 picture into one of 128 x 128.

The shape of Imagen (Saharia et al. 2022) and of Saharia et al.'s SR3 (2021): a U-Net in pixel space whose
input is the noisy picture and, behind it as three more channels, the small one enlarged. It predicts the
sharp picture itself, over the cosine table of Nichol and Dhariwal 2021. It has no attention, so it learns
on crops.
"""

from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random

import torch
from diffusers.models.unets.unet_2d import UNet2DModel
from diffusers.schedulers.scheduling_ddim import DDIMScheduler
from torch import Tensor
from torch.nn import functional

from graphengine_storybook import ddpm
from graphengine_storybook.batches import SIDE, pixels, unit
from graphengine_storybook.folder import save_parts
from graphengine_storybook.portraits import portrait
from graphengine_storybook.stage import Losses, Stage, settle
from graphengine_storybook.world import make

FACTOR = 4
CHANNELS = (16, 16, 32)
STEPS = 10
"""The sampling steps of the figures."""

_CROP = 64
_WEAR = 0.06  # the most noise on the small picture: a first stage is not perfect


def build(channels: tuple[int, ...] = CHANNELS) -> UNet2DModel:
    """A new U-Net of six input channels; it starts by giving back the picture that it is shown."""
    return ddpm.carry(ddpm.build(channels, side=SIDE, inputs=6, attention=0), first=3)


def schedule() -> DDIMScheduler:
    """The noise table, and the sampler that the folder names."""
    scheduler: DDIMScheduler = DDIMScheduler(
        num_train_timesteps=1000,
        beta_schedule="squaredcos_cap_v2",
        prediction_type="sample",
        clip_sample=True,
        timestep_spacing="trailing",
    )
    return scheduler


def enlarged(small: Tensor) -> Tensor:
    """The small pictures (n, 3, 32, 32) at four times the side, bilinear: what the U-Net is shown."""
    return functional.interpolate(small, scale_factor=FACTOR, mode="bilinear", align_corners=False)


def drawings(count: int, seed: int | None = None) -> Iterator[Tensor]:
    """Batches without end of drawings (count, 3, 128, 128) from -1 to 1: scenes and portraits by halves."""
    rng = Random(seed)
    while True:
        scenes = [make(rng, "any") if index % 2 else portrait(rng) for index in range(count)]
        yield unit(pixels(scenes))


def train(
    unet: UNet2DModel,
    batches: Iterator[Tensor],
    stage: Stage,
    keep: Callable[[], None] | None = None,
) -> int:
    """Teach the U-Net on crops, for the last fifth of the time on whole pictures, a quarter of the batch.

    Its norms see all of a picture, and should not be surprised. Returns the crops and pictures it has
    seen, a batch counted whole.
    """
    settle(stage.device, unet)
    alpha_bar = schedule().alphas_cumprod.to(stage.device)
    rng = Random("crops")

    def step(share: float) -> Losses:
        sharp = next(batches).to(stage.device)
        small = functional.avg_pool2d(sharp, FACTOR)
        small = small + _WEAR * torch.rand(len(small), 1, 1, 1) * torch.randn_like(small)
        shown = enlarged(small)
        if share > 0.8:
            part = max(1, len(sharp) // 4)
            return {"loss": loss(unet, sharp[:part], shown[:part], alpha_bar)}
        top, left = rng.randrange(SIDE - _CROP + 1), rng.randrange(SIDE - _CROP + 1)
        window = (..., slice(top, top + _CROP), slice(left, left + _CROP))
        return {"loss": loss(unet, sharp[window], shown[window], alpha_bar)}

    return stage.run(unet, step, keep)


def loss(unet: UNet2DModel, sharp: Tensor, shown: Tensor, alpha_bar: Tensor) -> Tensor:
    """The error of the predicted picture, at timesteps spread evenly over the batch."""
    count = len(sharp)
    spread = torch.arange(count, device=sharp.device) + torch.rand(count, device=sharp.device)
    timestep = (spread * (len(alpha_bar) / count)).long().clamp(0, len(alpha_bar) - 1)
    eps = torch.randn_like(sharp)
    signal = alpha_bar[timestep][:, None, None, None]
    noisy = signal.sqrt() * sharp + (1 - signal).sqrt() * eps
    inputs = torch.cat([noisy, shown], 1).contiguous(memory_format=torch.channels_last)
    predicted: Tensor = unet(inputs, timestep).sample
    return (predicted - sharp).square().mean()


@torch.no_grad()
def sample(unet: UNet2DModel, small: Tensor, seed: int = 0, steps: int = STEPS) -> Tensor:
    """Pictures (n, 3, 128, 128) of small ones (n, 3, 32, 32), both from -1 to 1, by DDIM."""
    scheduler = schedule()
    scheduler.set_timesteps(steps)
    shown = enlarged(small)
    noisy = torch.randn(shown.shape, generator=torch.Generator().manual_seed(seed))
    for timestep in scheduler.timesteps:
        predicted = unet(torch.cat([noisy, shown], 1), timestep).sample
        noisy = scheduler.step(predicted, int(timestep), noisy, return_dict=False)[0]
    return noisy


def save(unet: UNet2DModel, folder: Path) -> None:
    """Write the model, float16, as a folder of a U-Net and a scheduler."""
    index = {"_class_name": "SuperResolutionPipeline"}
    save_parts(folder, {"unet": unet, "scheduler": schedule()}, index)
