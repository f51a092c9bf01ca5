"""The denoiser: a small UNet2DConditionModel that predicts v (Salimans and Ho 2022).

It works on 16 x 16 latents. The noise follows Stable Diffusion 1.5's table (`scaled_linear`,
0.00085 to 0.012, 1000 steps). The loss has min-SNR-5 weights (Hang et al. 2023); some captions are
empty, for classifier-free guidance.
"""

from collections.abc import Callable, Iterator

import torch
from diffusers.models.attention_processor import AttnProcessor
from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel
from diffusers.schedulers.scheduling_ddim import DDIMScheduler
from torch import Tensor, nn
from transformers import CLIPTextModel

from graphengine_storybook.autoencoder import CHANNELS
from graphengine_storybook.batches import Batch, unit
from graphengine_storybook.stage import Losses, Stage, mixed, norms_in_float32, quick_in_bfloat16, settle
from graphengine_storybook.text_encoder import WIDTH

_SNR_CAP = 5.0


def build(channels: tuple[int, int, int] = (48, 80, 160)) -> UNet2DConditionModel:
    """A new denoiser: levels of 16, 8 and 4 latents a side, with attention on the lower two."""
    unet: UNet2DConditionModel = UNet2DConditionModel(
        sample_size=16,
        in_channels=CHANNELS,
        out_channels=CHANNELS,
        block_out_channels=channels,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
        layers_per_block=1,
        cross_attention_dim=WIDTH,
        attention_head_dim=tuple(max(1, width // 32) for width in channels),
        norm_num_groups=16,
    )
    return unet


def schedule() -> DDIMScheduler:
    """The noise table, and the sampler that the folder names."""
    scheduler: DDIMScheduler = DDIMScheduler(
        num_train_timesteps=1000,
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        prediction_type="v_prediction",
        clip_sample=False,
        set_alpha_to_one=False,
        steps_offset=1,
        timestep_spacing="trailing",
    )
    return scheduler


class Noise(nn.Module):
    """The noise table as the loss needs it."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("alpha_bar", schedule().alphas_cumprod)
        self.alpha_bar: Tensor

    def loss(self, predict: Callable[[Tensor, Tensor], Tensor], latents: Tensor) -> Losses:
        """The weighted error of v at timesteps spread evenly over the batch."""
        count = len(latents)
        spread = torch.arange(count, device=latents.device) + torch.rand(count, device=latents.device)
        timestep = (spread * (1000 / count)).long().clamp(0, 999)
        alpha_bar = self.alpha_bar[timestep][:, None, None, None]
        alpha, sigma = alpha_bar.sqrt(), (1 - alpha_bar).sqrt()
        eps = torch.randn_like(latents)
        predicted = predict(alpha * latents + sigma * eps, timestep)
        error = (predicted.float() - (alpha * eps - sigma * latents)).square().mean((1, 2, 3))
        # Hang et al. 2023, section 3.4: for v the weight is min(SNR, 5) / (SNR + 1).
        snr = (alpha_bar / (1 - alpha_bar)).flatten()
        weight = snr.clamp(max=_SNR_CAP) / (snr + 1)
        return {"loss": (weight * error).mean() / 0.6, "error": error.mean()}


def train(
    unet: UNet2DConditionModel,
    text_encoder: CLIPTextModel,
    encode: Callable[[Tensor], Tensor],
    batches: Iterator[Batch],
    stage: Stage,
    keep: Callable[[], None] | None = None,
) -> int:
    """Teach the U-Net beside a text encoder that stays as it is; `encode` makes latents of pictures.

    Returns the samples seen.
    """
    settle(stage.device, unet, text_encoder)
    prefer_bfloat16(unet)
    noise = Noise().to(stage.device)

    def step(share: float) -> Losses:
        batch = next(batches)
        with torch.no_grad():
            states = text_encoder(batch.ids.to(stage.device)).last_hidden_state
            latents = encode(unit(batch.pixels.to(stage.device)))
        latents = latents.contiguous(memory_format=torch.channels_last)
        with mixed(stage.device):
            return noise.loss(lambda noisy, t: unet(noisy, t, states).sample, latents)

    return stage.run(unet, step, keep)


def prefer_bfloat16(unet: UNet2DConditionModel) -> None:
    """Make training under autocast quick on a CPU.

    PyTorch's bfloat16 attention and group norm are slow there: written out, and in float32, a step
    takes 0.6 of the time (batch of 32, one Zen 5 core). Neither changes the weights.
    """
    if unet.device.type != "cpu" or not quick_in_bfloat16(unet.device):
        return
    unet.set_attn_processor(AttnProcessor())
    norms_in_float32(unet)
