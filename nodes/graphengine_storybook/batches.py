"""Batches: scenes drawn, described and labelled without end."""

from collections.abc import Iterator
from random import Random
from typing import NamedTuple

import numpy
import torch
from torch import Tensor
from torch.utils.data import DataLoader, IterableDataset

from graphengine_storybook.captions import caption
from graphengine_storybook.illustration import draw
from graphengine_storybook.tokenizer import Encoder
from graphengine_storybook.world import HeldOut, Scene, labels, make

SIDE = 128
"""The side of a picture in pixels."""


class Batch(NamedTuple):
    """Scenes as tensors, `n` of them."""

    pixels: Tensor  # (n, 3, size, size), uint8; size 0 if no pictures were asked for
    ids: Tensor  # (n, 32), int64: the captions' tokens
    labels: Tensor  # (n, 14), int64: world.Labels


class Batches(IterableDataset[Batch]):
    """Batches of `count` new scenes.

    `size` is the side of the pictures: 128, 64 (the average of 2 x 2) or 0 for none. A share
    `empty` of the captions is left out, a share `strange` gets a made-up word, to be skipped. No
    two streams are the same, so a training that was interrupted sees nothing twice.
    """

    def __init__(
        self,
        count: int,
        size: int,
        encode: Encoder,
        held_out: HeldOut = "skip",
        empty: float = 0.0,
        strange: float = 0.0,
    ) -> None:
        self.count = count
        self.size = size
        self.encode = encode
        self.held_out = held_out
        self.empty = empty
        self.strange = strange

    def __iter__(self) -> Iterator[Batch]:
        rng = Random()
        while True:
            scenes = [make(rng, self.held_out) for _ in range(self.count)]
            ids = self.encode([self.text(scene, rng) for scene in scenes])
            truth = torch.tensor([labels(scene) for scene in scenes])
            yield Batch(pixels(scenes, self.size), ids, truth)

    def text(self, scene: Scene, rng: Random) -> str:
        """What is said of a scene."""
        if rng.random() < self.empty:
            return ""
        text = caption(scene, rng)
        if rng.random() < self.strange:
            parts = text.split()
            letters = rng.choices("abcdefghijklmnopqrstuvwxyz", k=rng.randint(3, 6))
            parts.insert(rng.randint(0, len(parts)), "".join(letters))
            text = " ".join(parts)
        return text


def pixels(scenes: list[Scene], size: int = SIDE) -> Tensor:
    """The scenes drawn: (scenes, 3, size, size), uint8. Small ones are large ones averaged."""
    if not size:
        return torch.empty((len(scenes), 3, 0, 0), dtype=torch.uint8)
    pictures = [draw(scene, max(size, SIDE)).reduce(max(1, SIDE // size)) for scene in scenes]
    stack = numpy.stack([numpy.asarray(picture) for picture in pictures])
    return torch.from_numpy(stack).permute(0, 3, 1, 2)


def unit(pictures: Tensor) -> Tensor:
    """uint8 channels as floats from -1 to 1."""
    return pictures.float() / 127.5 - 1


def stream(batches: Batches, workers: int) -> Iterator[Batch]:
    """The batches, made by so many processes beside this one (0: by this one)."""
    return iter(DataLoader(batches, batch_size=None, num_workers=workers))
