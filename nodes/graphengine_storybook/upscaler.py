"""The upscaler: four times the side by a small convolutional network, `SRVGGNetCompact`.

The architecture and the names of its weights are those of Real-ESRGAN's compact models (Wang et al.
2021), so every program that reads those reads this one: convolutions of 3 x 3 with a PReLU behind each,
all at the low resolution, then a shuffle of channels into pixels, added to the nearest pixels.
"""

from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn import functional

from graphengine_storybook.batches import pixels, unit
from graphengine_storybook.stage import Losses, Stage, settle
from graphengine_storybook.world import make

FACTOR = 4
CROP = 64
"""The side, in pixels, of the sharp crops that it learns from."""

_SIDES = (128, 256, 512)  # of the drawings that are cropped: coarse, fine and finer lines
_FILE_DATA = {"architecture": "SRVGGNetCompact", "scale": "4", "licence": "Apache-2.0"}


class Upscaler(nn.Module):
    """Pictures (n, 3, height, width) from 0 to 1, to four times the height and width.

    `body` alternates convolutions and activations: `convolutions` of them between the first and the
    last, `features` wide.
    """

    def __init__(self, features: int = 32, convolutions: int = 8) -> None:
        super().__init__()
        layers: list[nn.Module] = [nn.Conv2d(3, features, 3, 1, 1), nn.PReLU(features)]
        for _ in range(convolutions):
            layers += [nn.Conv2d(features, features, 3, 1, 1), nn.PReLU(features)]
        last = nn.Conv2d(features, 3 * FACTOR**2, 3, 1, 1)
        for layer in layers:
            if isinstance(layer, nn.Conv2d):  # PyTorch's own start would let the signal fade
                nn.init.kaiming_normal_(layer.weight, a=0.25)
        nn.init.zeros_(last.weight)  # at first the nearest pixels
        self.body = nn.Sequential(*layers, last)

    def forward(self, pictures: Tensor) -> Tensor:
        details = functional.pixel_shuffle(self.body(pictures), FACTOR)
        return functional.interpolate(pictures, scale_factor=FACTOR, mode="nearest") + details

    def save(self, file: Path) -> None:
        """Write the weights, float16, to one file."""
        weights = {name: value.half().cpu().contiguous() for name, value in self.state_dict().items()}
        file.parent.mkdir(parents=True, exist_ok=True)
        save_file(weights, file, _FILE_DATA)
        file.chmod(0o644)

    @classmethod
    def load(cls, file: Path) -> "Upscaler":
        """The network of a file, in float32, its size read off the weights."""
        weights = load_file(file)
        last = max(int(name.split(".")[1]) for name in weights)
        network = cls(weights["body.0.weight"].shape[0], last // 2 - 1)
        network.load_state_dict(weights)
        return network.eval()


def reduced(pictures: Tensor) -> Tensor:
    """Every 4 x 4 pixels averaged: the low resolution that it learns to undo."""
    return functional.avg_pool2d(pictures, FACTOR)


def bicubic(pictures: Tensor) -> Tensor:
    """Four times the side by bicubic interpolation: what to be better than."""
    larger = functional.interpolate(pictures, scale_factor=FACTOR, mode="bicubic", align_corners=False)
    return larger.clamp(0, 1)


def crops(count: int, seed: int | None = None) -> Iterator[Tensor]:
    """Batches without end of sharp crops (count, 3, 64, 64) from 0 to 1, of drawings of several sizes."""
    rng = Random(seed)
    while True:
        side = rng.choice(_SIDES)
        each = min(count, (side // CROP) ** 2 // 2)  # crops of one drawing
        pictures = unit(pixels([make(rng, "any") for _ in range(count // each)], side)) / 2 + 0.5
        cut = []
        for picture in pictures:
            for _ in range(each):
                top, left = (FACTOR * rng.randint(0, (side - CROP) // FACTOR) for _ in range(2))
                cut.append(picture[:, top : top + CROP, left : left + CROP])
        yield torch.stack(cut)


def train(
    network: Upscaler,
    batches: Iterator[Tensor],
    stage: Stage,
    keep: Callable[[], None] | None = None,
) -> int:
    """Teach the network. Half of the batches are blurred a little first, as a decoder leaves its pictures.

    Returns the crops it has seen.
    """
    settle(stage.device, network)

    def step(share: float) -> Losses:
        sharp = next(batches).to(stage.device)
        small = reduced(_softened(sharp)).contiguous(memory_format=torch.channels_last)
        error = network(small) - sharp
        return {"loss": error.abs().mean() + error.square().mean(), "error": error.square().mean()}

    return stage.run(network, step, keep)


def _softened(sharp: Tensor) -> Tensor:
    chance, share = torch.rand(2).tolist()
    if chance < 0.5:
        return sharp
    blurred = functional.avg_pool2d(functional.pad(sharp, (2, 2, 2, 2), mode="replicate"), 5, 1)
    return torch.lerp(sharp, blurred, share)


def psnr(made: Tensor, wanted: Tensor) -> float:
    """Peak signal to noise in dB, the mean over pictures from 0 to 1."""
    error = (made - wanted).square().mean((1, 2, 3)).clamp(min=1e-10)
    return float((-10 * error.log10()).mean())
