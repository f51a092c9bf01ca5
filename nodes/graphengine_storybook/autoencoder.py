"""The autoencoder: a fixed linear encoder and a learned decoder, in the form of an AutoencoderKL.

A latent is 12 numbers for 8 x 8 pixels: the picture is averaged to half its size and each 4 x 4 x 3
patch projected on its principal components. `Code.write` puts that into the convolutions of
diffusers' encoder, so nothing has to be learned and every decoder reads the same code. The decoder
learns to draw the picture from it.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from random import Random
from typing import Any, NamedTuple

import torch
from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL
from torch import Tensor, nn
from torch.nn import functional

from graphengine_storybook.batches import SIDE, Batch, pixels, unit
from graphengine_storybook.stage import Losses, Stage, mixed, norms_in_float32
from graphengine_storybook.world import make

CHANNELS = 12
SCALE = 8
"""Pixels of a side to one latent."""

_PATCH = 4  # of the picture at half size
_WHITEN = 0.55  # 0 keeps the principal components' sizes, 1 makes them equal
_CONSTANT = 100.0  # far above any activation, see Code.write


def build(channels: tuple[int, int, int, int] = (16, 16, 32, 64)) -> AutoencoderKL:
    """A new autoencoder for 128 x 128 pictures; its encoder is void until a code is written."""
    vae: AutoencoderKL = AutoencoderKL(
        in_channels=3,
        out_channels=3,
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        block_out_channels=channels,
        layers_per_block=1,
        latent_channels=CHANNELS,
        norm_num_groups=4,
        sample_size=SIDE,
        mid_block_add_attention=False,
        scaling_factor=1.0,
    )
    with torch.no_grad():
        after: Any = vae.post_quant_conv
        after.weight.copy_(torch.eye(CHANNELS)[:, :, None, None])
        after.bias.zero_()
    return vae


@dataclass(frozen=True)
class Code:
    """The linear code: latent = (patch - mean) @ axes, patches in `pixel_unshuffle` order, -1 to 1.

    `mean` has 48 numbers, `axes` is (48, 12). Latents have unit variance over all channels together.
    """

    mean: Tensor
    axes: Tensor

    @classmethod
    def fit(cls, pictures: int = 600) -> "Code":
        """The principal components of the patches of so many scenes, partly whitened."""
        rng = Random("code")
        images = unit(pixels([make(rng, "any") for _ in range(pictures)], SIDE // 2))
        patches = functional.pixel_unshuffle(images, _PATCH).permute(0, 2, 3, 1).flatten(0, 2)
        mean = patches.mean(0)
        centred = patches - mean
        variances, vectors = torch.linalg.eigh(centred.T @ centred / len(centred))
        top = torch.arange(len(variances) - 1, len(variances) - 1 - CHANNELS, -1)
        axes = vectors[:, top] * variances[top].sqrt() ** -_WHITEN
        return cls(mean, axes / (centred @ axes).std())

    @classmethod
    @torch.no_grad()
    def read(cls, vae: AutoencoderKL) -> "Code":
        """The code that was written into this encoder, found by looking at one picture.

        Its first patches are the zero patch and the 48 unit patches.
        """
        size, inputs = SIDE // SCALE, 3 * _PATCH**2
        patches = torch.zeros(size * size, inputs)
        patches[1 : inputs + 1] = torch.eye(inputs)
        half = functional.pixel_shuffle(patches.view(1, size, size, inputs).permute(0, 3, 1, 2), _PATCH)
        full = half.repeat_interleave(2, 2).repeat_interleave(2, 3)
        latents = vae.encode(full.to(vae.device)).latent_dist.mode().cpu()[0].flatten(1).T
        axes = latents[1 : inputs + 1] - latents[0]
        return cls(-torch.linalg.pinv(axes.T) @ latents[0], axes)

    def to(self, device: torch.device) -> "Code":
        """The same code on a device."""
        return Code(self.mean.to(device), self.axes.to(device))

    def encode(self, pictures: Tensor) -> Tensor:
        """Latents (n, 12, 16, 16) of pictures, -1 to 1, of side 128 or of its half."""
        if pictures.shape[-1] == SIDE:
            pictures = functional.avg_pool2d(pictures, 2)
        patches = functional.pixel_unshuffle(pictures, _PATCH).permute(0, 2, 3, 1)
        return ((patches - self.mean) @ self.axes).permute(0, 3, 1, 2)

    @torch.no_grad()
    def write(self, vae: AutoencoderKL) -> None:
        """Make `vae.encode` compute this code, to rounding.

        The first level averages, the next two gather pixels into channels and project. Residual
        branches are zero. Two channels of +-100 make each group of the last GroupNorm a known constant
        scale, and silu(z) - silu(-z) = z undoes the activation, for which every latent is carried twice.
        """
        encoder: Any = vae.encoder  # its blocks are untyped
        quant: Any = vae.quant_conv
        axes = self.axes
        for parameter in encoder.parameters():
            parameter.zero_()
        for channel in range(3):
            _pass(encoder.conv_in, channel, channel)
        spread = _spread(encoder.conv_norm_out)
        carried = [(colour, 0, 0) for colour in range(3)]  # per channel: colour, y, x
        last = len(encoder.down_blocks) - 1
        for level, block in enumerate(encoder.down_blocks):
            shortcut = block.resnets[0].conv_shortcut
            if shortcut is not None:
                for channel in range(len(carried) if level < last else 0):
                    _pass(shortcut, channel, channel)
            if level == last:
                for target, source in spread.items():
                    _pass(shortcut, source, target)
                break
            conv = block.downsamplers[0].conv
            if level == 0:
                for channel in range(3):
                    conv.weight[channel, channel, :2, :2] = 0.25
                continue
            step = 2 ** (level - 1)
            taps = [
                (channel, (colour, y + step * down, x + step * right), down, right)
                for channel, (colour, y, x) in enumerate(carried)
                for down in (0, 1)
                for right in (0, 1)
            ]
            if level < last - 1:
                for target, (channel, _, down, right) in enumerate(taps):
                    conv.weight[target, channel, down, right] = 1
                carried = [place for _, place, _, _ in taps]
                continue
            for channel, (colour, y, x), down, right in taps:
                weights = axes[colour * _PATCH**2 + y * _PATCH + x]
                conv.weight[:CHANNELS, channel, down, right] = weights
                conv.weight[CHANNELS : 2 * CHANNELS, channel, down, right] = -weights
            offset = self.mean @ axes
            conv.bias[: 2 * CHANNELS + 2] = torch.cat(
                [-offset, offset, torch.tensor([_CONSTANT, -_CONSTANT])]
            )
        norm = encoder.conv_norm_out
        norm.weight[list(spread)] = _CONSTANT * math.sqrt(2 * norm.num_groups / norm.num_channels)
        quant.weight.zero_()
        quant.bias.zero_()
        for channel, source in spread.items():
            if source < 2 * CHANNELS:
                _pass(encoder.conv_out, channel, source % CHANNELS, 1.0 if source < CHANNELS else -1.0)
        for channel in range(CHANNELS):
            quant.weight[channel, channel] = 1
        quant.bias[CHANNELS:] = -12  # the log-variance: an encoder that does not guess


def _spread(norm: nn.GroupNorm) -> dict[int, int]:
    """For channels of the last norm what they hold: latents 0 to 11, their negatives 12 to 23, constants.

    Each group has the two constants and as many latents, twice, as fit beside them.
    """
    width = norm.num_channels // norm.num_groups
    fit = width // 2 - 1
    held: dict[int, int] = {}
    for group in range(math.ceil(CHANNELS / fit)):
        latents = range(group * fit, min(CHANNELS, (group + 1) * fit))
        sources = [*latents, *(CHANNELS + latent for latent in latents), 2 * CHANNELS, 2 * CHANNELS + 1]
        held |= {group * width + place: source for place, source in enumerate(sources)}
    return held


def _pass(conv: nn.Conv2d, source: int, target: int, weight: float = 1.0) -> None:
    height, width = conv.kernel_size
    conv.weight[target, source, height // 2, width // 2] = weight


def _edges(image: Tensor) -> tuple[Tensor, Tensor]:
    return image[..., 1:, :] - image[..., :-1, :], image[..., 1:] - image[..., :-1]


def train(vae: AutoencoderKL, code: Code, batches: Iterator[Batch], stage: Stage) -> int:
    """Teach the decoder alone, with noise on the latents to make it forgiving.

    For half of the time it learns on crops of 8 x 8 latents, of which the 8 pixels next to a cut
    are not scored; then on whole pictures, a quarter of the batch, because its norms see all of a
    picture. Returns the crops and pictures seen, a batch counted whole.
    """
    after: Any = vae.post_quant_conv
    after.to(stage.device)
    decoder = nn.ModuleDict({"decoder": vae.decoder}).to(stage.device)
    decoder.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    norms_in_float32(decoder)
    rng = Random("crops")

    def step(share: float) -> Losses:
        pixels = next(batches).pixels
        whole = share > 0.5
        pictures = unit(pixels[: max(1, len(pixels) // 4)] if whole else pixels).to(stage.device)
        latents = code.encode(pictures)
        strength = 0.08 * torch.rand(len(latents), 1, 1, 1, device=stage.device)
        latents = latents + strength * torch.randn_like(latents)
        rows, columns = (_WHOLE, _WHOLE) if whole else (_cut(rng), _cut(rng))
        with mixed(stage.device):
            drawn = vae.decoder(after(latents[:, :, rows.latent, columns.latent]))
        error = drawn.float() - pictures[:, :, rows.pixel, columns.pixel]
        error = error[:, :, rows.scored, columns.scored]
        edge = torch.stack([difference.abs().mean() for difference in _edges(error)]).sum()
        near = error.abs().mean()
        return {"loss": near + 0.3 * error.square().mean() + edge, "error": near, "edge": edge}

    return stage.run(decoder, step)


class _Cut(NamedTuple):
    latent: slice
    pixel: slice
    scored: slice  # of the pixels


_WHOLE = _Cut(slice(None), slice(None), slice(None))


def _cut(rng: Random, width: int = 8) -> _Cut:
    last = SIDE // SCALE - width
    start = rng.randint(0, last)
    scored = slice(0 if start == 0 else SCALE, SCALE * (width if start == last else width - 1))
    return _Cut(slice(start, start + width), slice(SCALE * start, SCALE * (start + width)), scored)


@torch.no_grad()
def psnr(vae: AutoencoderKL, count: int = 32) -> float:
    """Peak signal to noise in dB of `count` new scenes, encoded and decoded."""
    rng = Random("psnr")
    pictures = unit(pixels([make(rng, "any") for _ in range(count)])).to(vae.device)
    decoded = vae.decode(vae.encode(pictures).latent_dist.mode()).sample.clamp(-1, 1)
    error = ((decoded - pictures) / 2).square().mean((1, 2, 3))
    return float((-10 * error.log10()).mean())
