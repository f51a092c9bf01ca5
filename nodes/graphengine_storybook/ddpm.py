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
from graphengine_storybook.stage import Losses, Stage, settle
from graphengine_storybook.world import KINDS

_SNR_CAP = 5.0
_CONSTANT = 10.0  # well above any pixel, see carry
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
        attention_head_dim=min(32, channels[-1]),
        norm_num_groups=max(1, channels[0] // 4),
        num_class_embeds=classes,
        add_attention=attention > 0,
    )
    return unet


@torch.no_grad()
def carry(unet: UNet2DModel, first: int = 0) -> UNet2DModel:
    """Let a new U-Net start by giving back three of its input channels, from `first` on, and learn the rest.

    From the noisy picture that is the guess that all it sees is noise: nearly right at most timesteps,
    and a small model takes thousands of steps to find it. The channels and their negatives go past all
    blocks, by the outermost connection: silu(z) - silu(-z) = z undoes the last activation, and two
    channels of +-10 beside each make the last norm a known scale. The same `unet` is returned.
    """
    parts: Any = unet  # its blocks are untyped
    last = parts.up_blocks[-1].resnets[-1]
    width, groups = parts.conv_in.out_channels, parts.conv_norm_out.num_groups
    if width != 4 * groups or groups < 3:
        raise ValueError(
            f"the first level has {width} channels in {groups} groups; choose 12 or more by fours"
        )
    for layer in (parts.conv_in, last.conv_shortcut, last.conv2):
        layer.weight[:12] = 0
        layer.bias[:12] = 0
    parts.conv_out.weight.zero_()
    parts.conv_out.bias.zero_()
    for colour in range(3):
        for index, sign in enumerate((1, -1)):
            carried, constant = 4 * colour + index, 4 * colour + 2 + index
            parts.conv_in.weight[carried, first + colour, 1, 1] = sign
            parts.conv_in.bias[constant] = sign * _CONSTANT
            for channel in (carried, constant):
                last.conv_shortcut.weight[channel, width + channel] = 1
            parts.conv_norm_out.weight[carried] = _CONSTANT / 2**0.5
            parts.conv_out.weight[colour, carried, 1, 1] = sign
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
    snr_cap: float | None = None,
    generator: torch.Generator | None = None,
) -> Tensor:
    """The error of the predicted noise (Ho et al. 2020, Algorithm 1): the number to make smaller.

    `pictures` are (n, 3, side, side) from -1 to 1, `alpha_bar` the table of the schedule. The
    timesteps are drawn at random, but spread evenly over the batch, which calms the error. With
    `snr_cap` the timesteps of little noise, with their fine details, count less (Hang et al. 2023).
    """
    count, device = len(pictures), pictures.device
    spread = torch.arange(count, device=device) + torch.rand(count, generator=generator, device=device)
    timestep = (spread * (len(alpha_bar) / count)).long().clamp(0, len(alpha_bar) - 1)
    eps = torch.randn(pictures.shape, generator=generator, device=device)
    signal = alpha_bar[timestep][:, None, None, None]
    noisy = signal.sqrt() * pictures + (1 - signal).sqrt() * eps
    predicted: Tensor = unet(noisy, timestep, class_labels=kinds).sample
    error = (predicted - eps).square()
    if snr_cap is not None:
        snr = signal / (1 - signal)
        error = error * snr.clamp(max=snr_cap) / snr  # for eps the weight is min(SNR, cap) / SNR
    return error.mean()


def train(
    unet: UNet2DModel,
    batches: Iterator[tuple[Tensor, Tensor]],
    stage: Stage,
    keep: Callable[[], None] | None = None,
    coarse: float = 0.8,
) -> int:
    """Teach the U-Net pictures and, if it has classes, their kinds. Returns the pictures it has seen.

    For the share `coarse` of the time the timesteps of much noise count most, where shapes and colours
    are decided; then all count alike, as in the paper, which takes the grain away.
    """
    settle(stage.device, unet)
    alpha_bar = schedule().alphas_cumprod.to(stage.device)
    none = (unet.config["num_class_embeds"] or 0) - 1

    def step(share: float) -> Losses:
        pictures, kinds = next(batches)
        cap = _SNR_CAP if share < coarse else None
        left_out = torch.rand(len(kinds)) < UNLABELLED
        labels = kinds.masked_fill(left_out, none).to(stage.device) if none >= 0 else None
        return {"loss": loss(unet, unit(pictures.to(stage.device)), alpha_bar, labels, cap)}

    return stage.run(unet, step, keep)


def fit(
    unet: UNet2DModel,
    pictures: Tensor,
    steps: int,
    batch: int = 16,
    rate: float = 1.5e-3,
    seed: int = 0,
) -> Iterator[float]:
    """Teach the U-Net these pictures (n, 3, side, side), -1 to 1, and yield the loss after each step.

    Algorithm 1 and AdamW, on the device where the U-Net is; `train` adds what a longer training wants,
    an average of the weights and a falling rate. The same seed gives the same weights.
    """
    generator = torch.Generator(pictures.device).manual_seed(seed)
    alpha_bar = schedule().alphas_cumprod.to(pictures.device)
    optimizer = torch.optim.AdamW(unet.parameters(), lr=rate)
    unet.train()
    for _ in range(steps):
        chosen = torch.randint(len(pictures), (batch,), generator=generator, device=pictures.device)
        error = loss(unet, pictures[chosen], alpha_bar, generator=generator)
        optimizer.zero_grad(set_to_none=True)
        torch.autograd.backward(error)
        optimizer.step()
        yield float(error.detach())
    unet.eval()


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
        names = {str(index): kind for index, kind in enumerate(KINDS)}
        save_parts(folder, parts, {"_class_name": "ClassConditionalPipeline", "id2label": names})


def load(folder: Path) -> UNet2DModel:
    """The U-Net in a folder of its own, in float32."""
    unet: UNet2DModel = UNet2DModel.from_pretrained(folder, torch_dtype=torch.float32)
    return unet


@torch.no_grad()
def sample(
    unet: UNet2DModel,
    count: int,
    kinds: Tensor | None = None,
    scale: float = 1.0,
    steps: int = 50,
    seed: int = 0,
) -> Tensor:
    """Pictures (count, 3, 32, 32), -1 to 1, from noise (Ho et al. 2020, Algorithm 2, in fewer steps).

    `kinds` (count) ask for classes, with guidance of so much `scale`. The fresh noise of each step
    repairs what a small model gets wrong: without it (DDIM) flat grounds stay grainy.
    """
    scheduler = schedule()
    scheduler.set_timesteps(steps)
    generator = torch.Generator().manual_seed(seed)
    noisy = torch.randn((count, 3, SIDE, SIDE), generator=generator)
    for timestep in scheduler.timesteps:
        eps = unet(noisy, timestep, class_labels=kinds).sample
        if kinds is not None and scale != 1:
            none = torch.full_like(kinds, unet.config["num_class_embeds"] - 1)
            eps_none = unet(noisy, timestep, class_labels=none).sample
            eps = eps_none + scale * (eps - eps_none)
        noisy = scheduler.step(eps, int(timestep), noisy, generator, return_dict=False)[0]
    return noisy
