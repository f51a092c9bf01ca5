"""Training: algorithm 1 of the DDPM paper as nodes, a line of it each (Ho et al. 2020).

What is trained travels along a wire like everything else: a step of training makes a new `Training` of an
old one and changes nothing. So a loop over steps resumes like any loop.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Annotated, Any, NamedTuple

import torch
from pydantic import Field
from torch import Tensor
from torch.func import functional_call

from graphengine.authoring import NO_CONTEXT, Context, Seed, Ui, node
from graphengine.types import Image, WireType
from graphengine_diffusion.files.weights import library_class
from graphengine_diffusion.handles import Betas, Denoiser, LatentSpec
from graphengine_diffusion.noise import draw, step_seed
from graphengine_diffusion.schedules import DDPM, alpha_bars
from graphengine_diffusion.types import Latent

Weights = dict[str, Tensor]
SPEC = LatentSpec(3, 1)
"""Pixels: three colours, -1 to 1."""
INDEX = {
    "_class_name": "DDPMPipeline",
    "scheduler": ["diffusers", "DDPMScheduler"],
    "unet": ["diffusers", "UNet2DModel"],
}
"""What diffusers wants to know of a model's folder."""


@WireType("Training", "#f06292", "A small U-Net while it learns: its weights, and what Adam remembers.")
@dataclass(frozen=True, eq=False)
class Training:
    """`weights` by name, their running average, and the two moments of Adam (Kingma & Ba 2015).

    `side` is that of the pictures in pixels, `channels` are those of the levels. `losses` holds the loss of
    each step so far.
    """

    side: int
    channels: tuple[int, ...]
    weights: Weights
    average: Weights
    first: Weights
    second: Weights
    losses: tuple[float, ...] = ()


class Diffused(NamedTuple):
    """Noisy pictures, the noise in them, and the training step that each stands at."""

    noisy: Latent
    noise: Latent
    times: list[int]


@node(device="cpu")
def new_unet(
    side: Annotated[int, Field(ge=8, le=256, multiple_of=8), Ui(unit="px")] = 32,
    channels: Annotated[list[int], Field(min_length=1, max_length=6)] | None = None,
    seed: Seed = 0,
) -> Training:
    """Begin a U-Net for pictures without a text, its weights drawn from the seed.

    `channels` are those of the levels, from the full resolution down, each a multiple of 4; left empty 16, 32
    and 64. Each level but the first halves the side, and the last has self-attention.
    """
    channels = channels or [16, 32, 64]
    wrong = [c for c in channels if c < 4 or c % 4 or c > 1024]
    if wrong:
        near = max(4, min(1024, wrong[0] // 4 * 4))
        raise ValueError(f"channels: {wrong[0]} is no multiple of 4 from 4 to 1024; choose {near}")
    if side % (1 << (len(channels) - 1)):
        raise ValueError(
            f"side: {side} pixels cannot be halved {len(channels) - 1} times; choose a multiple of "
            f"{1 << (len(channels) - 1)}, or fewer channels"
        )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        unet = built(side, tuple(channels))
    weights = {name: w.detach().clone() for name, w in unet.named_parameters()}
    zeros = {name: torch.zeros_like(w) for name, w in weights.items()}
    return Training(side, tuple(channels), weights, weights, zeros, zeros)


@node(device="cpu")
def draw_batch(
    images: Image, seed: Seed, step: int = 0, size: Annotated[int, Field(ge=1, le=1024)] = 16
) -> Latent:
    """Draw a batch out of many pictures: x0 ~ q(x0), line 2 of algorithm 1.

    `step` is the number of the step in the loop: each draws another batch. Half of the pictures are mirrored.
    """
    chance = torch.Generator().manual_seed(step_seed(seed, step) & 0xFFFFFFFF)
    chosen = torch.randint(len(images), (size,), generator=chance)
    mirrored = torch.rand(size, generator=chance) < 0.5
    x = images[chosen][..., :3].permute(0, 3, 1, 2) * 2 - 1
    if x.shape[1] != 3:
        raise ValueError(f"draw_batch: the images have {images.shape[-1]} channels; give RGB pictures")
    x = torch.where(mirrored[:, None, None, None], x.flip(3), x)
    return Latent(x.contiguous(), SPEC, tuple(range(size)))


@node(device="cpu")
def diffuse(latent: Latent, seed: Seed, step: int = 0) -> Diffused:
    """Make pictures noisy, each as far as chance has it: lines 3 and 4 of algorithm 1.

    t ~ Uniform(1..T), noise ~ N(0, I), x_t = sqrt(alpha_bar_t) x0 + sqrt(1 - alpha_bar_t) noise, with the
    linear betas of the paper. The timesteps of a batch are spread evenly, which calms the loss.
    """
    x0, count = latent.samples, len(latent.samples)
    chance = torch.Generator().manual_seed(step_seed(seed, step) & 0xFFFFFFFF)
    times = ((torch.arange(count) + torch.rand(count, generator=chance)) * (DDPM.steps / count)).long()
    noise = draw([step_seed(seed + 1 + i, step) & 0xFFFFFFFF for i in range(count)], x0.shape[1:])
    alpha_bar = torch.from_numpy(alpha_bars(DDPM)).float()[times][:, None, None, None]
    noisy = alpha_bar.sqrt() * x0 + (1 - alpha_bar).sqrt() * noise
    return Diffused(replace(latent, samples=noisy), replace(latent, samples=noise), times.tolist())


@node
def gradient_step(
    training: Training,
    noisy: Latent,
    noise: Latent,
    times: list[int],
    rate: Annotated[float, Field(gt=0, le=0.1), Ui(scale="log")] = 1e-3,
    memory: Annotated[float, Field(ge=0, lt=1)] = 0.98,
    ctx: Context = NO_CONTEXT,
) -> Training:
    """Learn from a batch: a step against the gradient of |noise - eps(x_t, t)|^2, line 5 of algorithm 1.

    By Adam with the learning rate `rate`. `memory` is how much of the running average of the weights, which
    is what gets saved, stays at each step.
    """
    if noisy.samples.shape[-1] != training.side or noisy.samples.shape[-2] != training.side:
        tall, wide = noisy.samples.shape[-2:]
        raise ValueError(
            f"gradient_step: the pictures are {wide} x {tall}, but the U-Net learns {training.side} x "
            f"{training.side}; resize them"
        )
    device = ctx.device
    weights = {n: w.to(device).clone().requires_grad_() for n, w in training.weights.items()}
    x, wanted = noisy.samples.to(device), noise.samples.to(device)
    unet = skeleton(training.side, training.channels, device)
    output = functional_call(unet, weights, (x, torch.tensor(times).to(device)))
    loss = (output.sample - wanted).square().mean()
    gradients = torch.autograd.grad(loss, list(weights.values()))
    optimizer = torch.optim.Adam(weights.values(), lr=rate)
    done = torch.tensor(float(len(training.losses)))
    for (name, weight), gradient in zip(weights.items(), gradients, strict=True):
        weight.grad = gradient
        moments = training.first[name].to(device).clone(), training.second[name].to(device).clone()
        optimizer.state[weight] = {"step": done.clone(), "exp_avg": moments[0], "exp_avg_sq": moments[1]}
    optimizer.step()
    # At first the average is that of the few steps so far, not of the weights that chance gave.
    kept = min(memory, (1 + float(done)) / (10 + float(done)))
    average = {n: torch.lerp(w.detach(), training.average[n].to(device), kept) for n, w in weights.items()}
    states = {n: optimizer.state[w] for n, w in weights.items()}
    return replace(
        training,
        weights={n: w.detach() for n, w in weights.items()},
        average=average,
        first={n: s["exp_avg"] for n, s in states.items()},
        second={n: s["exp_avg_sq"] for n, s in states.items()},
        losses=(*training.losses, loss.item()),
    )


@node(device="cpu")
def training_losses(training: Training, window: Annotated[int, Field(ge=1, le=1000)] = 10) -> list[float]:
    """The loss at each step, averaged over the last `window` steps; draw it with `image.curves`."""
    losses = torch.tensor((0.0, *training.losses), dtype=torch.float64).cumsum(0)
    ends = torch.arange(1, len(losses))
    starts = (ends - window).clamp(min=0)
    found: list[float] = ((losses[ends] - losses[starts]) / (ends - starts)).tolist()
    return found


@node(device="cpu")
def save_unet(training: Training, name: str = "trained", ctx: Context = NO_CONTEXT) -> None:
    """Save what was learned as a model that others load by its name.

    A folder in diffusers' format (DDPMPipeline) under the first model root that can be written to. If another
    model has the name, a number follows it; the same model is saved once.
    """
    unet = built(training.side, training.channels)
    unet.load_state_dict({n: w.cpu() for n, w in training.average.items()}, strict=False)
    folder = ctx.temporary() / "model"
    unet.save_pretrained(folder / "unet", safe_serialization=True)
    (folder / "scheduler").mkdir()
    for file, content in (("model_index.json", INDEX), ("scheduler/scheduler_config.json", scheduled(DDPM))):
        (folder / file).write_text(json.dumps(content, indent=2), encoding="utf-8")
    ctx.folders.publish_model(name, folder)


@node
def continue_training(denoiser: Denoiser, ctx: Context = NO_CONTEXT) -> Training:
    """Go on with a model that was saved before, or that is shipped, on other pictures.

    It must be one without a text and without classes, of the kind that `save_unet` saves.
    """
    unet = ctx.use(denoiser)
    if denoiser.family != "pixels" or denoiser.classes or denoiser.concat or denoiser.predicts != "epsilon":
        raise ValueError(
            f"continue_training: {denoiser.model} is no plain model of pixels that predicts noise; "
            "begin with new_unet"
        )
    channels = tuple(unet.config["block_out_channels"])
    weights = {name: w.detach().float().clone() for name, w in unet.named_parameters()}
    mine = {name: w.shape for name, w in skeleton(denoiser.sample_size, channels, "cpu").named_parameters()}
    if mine != {name: w.shape for name, w in weights.items()}:
        raise ValueError(
            f"continue_training: the U-Net of {denoiser.model} is built in another way than those of "
            "new_unet; begin with it"
        )
    zeros = {name: torch.zeros_like(w) for name, w in weights.items()}
    return Training(denoiser.sample_size, channels, weights, weights, zeros, zeros)


@lru_cache(maxsize=4)
def skeleton(side: int, channels: tuple[int, ...], device: str) -> Any:
    """A U-Net whose own weights do not matter: each call is given others."""
    return built(side, channels).to(device)


def built(side: int, channels: tuple[int, ...]) -> Any:
    """A UNet2DModel with a level for each of `channels`."""
    plain = len(channels) - 1
    return library_class("UNet2DModel")(
        sample_size=side,
        block_out_channels=channels,
        down_block_types=("DownBlock2D",) * plain + ("AttnDownBlock2D",),
        up_block_types=("AttnUpBlock2D",) + ("UpBlock2D",) * plain,
        layers_per_block=1,
        attention_head_dim=min(32, channels[-1]),
        norm_num_groups=channels[0] // 4,
    )


def scheduled(betas: Betas) -> Mapping[str, Any]:
    """The configuration of diffusers' scheduler."""
    return {
        "_class_name": "DDPMScheduler",
        "num_train_timesteps": betas.steps,
        "beta_start": betas.start,
        "beta_end": betas.end,
        "beta_schedule": betas.schedule,
    }
