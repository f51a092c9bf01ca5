"""The judge: a small classifier that reads a picture back into labels, to count adherence.

It looks at 64 x 64 pixels and learns from real drawings (pairs of `HELD_OUT` among them, blurred
and noised so that a decoder's faults do not confuse it). It is as good as its own accuracy on real
drawings, which `evaluate` prints beside every figure that it measures.
"""

from collections.abc import Iterator
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn import functional

from graphengine_storybook.batches import Batch, unit
from graphengine_storybook.stage import Losses, Stage, mixed
from graphengine_storybook.text_encoder import label_loss, right
from graphengine_storybook.world import CLASSES, Labels

SIDE = 64
FILE = "judge.safetensors"


class _Residual(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = _convolution(channels, channels, 1)
        self.second = _convolution(channels, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = x + self.second(self.first(x))
        return out


def _convolution(inputs: int, outputs: int, stride: int) -> nn.Sequential:
    conv = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(outputs), nn.ReLU())


class Judge(nn.Module):
    """Pictures of side 64 or 128, -1 to 1, to the logits of each label of `world.Labels`."""

    def __init__(self, channels: int = 24) -> None:
        super().__init__()
        self.look = nn.Sequential(
            _convolution(3, channels, 2),
            _convolution(channels, 2 * channels, 2),
            _Residual(2 * channels),
            _convolution(2 * channels, 4 * channels, 2),
            _Residual(4 * channels),
            nn.Conv2d(4 * channels, channels, 1),
            nn.Flatten(),
        )
        self.decide = nn.Sequential(
            nn.Linear(64 * channels, 8 * channels), nn.ReLU(), nn.Linear(8 * channels, sum(CLASSES))
        )

    def forward(self, pictures: Tensor) -> tuple[Tensor, ...]:
        if pictures.shape[-1] == 2 * SIDE:
            pictures = functional.avg_pool2d(pictures, 2)
        logits: Tensor = self.decide(self.look(pictures))
        return torch.split(logits, list(CLASSES), 1)

    def save(self, folder: Path) -> None:
        """Write the weights, float16, to `folder`."""
        folder.mkdir(parents=True, exist_ok=True)
        weights = {
            name: value.half() if value.is_floating_point() else value
            for name, value in self.state_dict().items()
        }
        save_file({name: value.cpu().contiguous() for name, value in weights.items()}, folder / FILE)
        (folder / FILE).chmod(0o644)

    @classmethod
    def load(cls, folder: Path) -> "Judge":
        """The judge whose weights lie in `folder`, in float32, ready to read."""
        weights = load_file(folder / FILE)
        judge = cls(weights["look.0.0.weight"].shape[0])
        judge.load_state_dict(weights)
        return judge.eval()


def train(judge: Judge, batches: Iterator[Batch], stage: Stage) -> int:
    """Teach the judge to read. Returns the pictures it has seen."""
    judge.to(stage.device)
    judge.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def step(share: float) -> Losses:
        batch = next(batches)
        truth = batch.labels.to(stage.device)
        pictures = _worn(unit(batch.pixels.to(stage.device)))
        with mixed(stage.device):
            logits = judge(pictures.contiguous(memory_format=torch.channels_last))
        logits = tuple(scores.float() for scores in logits)
        hits = Labels(*right(logits, truth).float().mean(0).unbind())
        return {
            "loss": label_loss(logits, truth),
            "kind": hits.kind,
            "colour": hits.colour,
            "other_kind": hits.other_kind,
            "other_colour": hits.other_colour,
        }

    return stage.run(judge, step)


def _worn(pictures: Tensor) -> Tensor:
    """Blurred, noised or paler, as a decoder may leave them; half of the batches stay sharp."""
    chance, strength = torch.rand(2).tolist()
    if chance < 0.25:
        smaller = int(SIDE * (0.45 + 0.45 * strength))
        small = functional.interpolate(pictures, size=smaller, mode="area")
        pictures = functional.interpolate(small, size=SIDE, mode="bilinear")
    elif chance < 0.5:
        pictures = pictures + torch.randn_like(pictures) * 0.08 * strength
    return pictures * (0.92 + 0.16 * torch.rand(len(pictures), 1, 1, 1).to(pictures))
