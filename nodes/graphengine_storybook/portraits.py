"""Portraits: one thing in its usual colour on a white ground, for the models that know no words.

A portrait is labelled by its kind alone, an index into `world.KINDS`. The whole world would be too much
for a model of half a million parameters; these are pictures that it can learn in minutes. White things
stand on blue.
"""

from collections.abc import Iterator
from random import Random

import torch
from torch import Tensor

from graphengine_storybook.batches import pixels
from graphengine_storybook.world import KINDS, USUAL, Scene, Thing

SIDE = 32
"""The side of a portrait in pixels: the average of 4 x 4 pixels of a drawing."""


def portrait(rng: Random, kind: str | None = None) -> Scene:
    """A scene of one thing, not a small one; of a `kind`, or of any."""
    kind = kind or rng.choice(KINDS)
    thing = Thing(kind, USUAL[kind], rng.choice(("", "large")))
    backdrop = "blue" if thing.colour == "white" else "white"
    return Scene((thing,), place="plain", backdrop=backdrop, seed=rng.getrandbits(31))


def portraits(count: int, side: int = SIDE, seed: int | None = None) -> Iterator[tuple[Tensor, Tensor]]:
    """Batches without end: pictures (count, 3, side, side), uint8, and their kinds (count).

    A `seed` makes them always the same; without one no two streams are.
    """
    rng = Random(seed)
    while True:
        scenes = [portrait(rng) for _ in range(count)]
        kinds = torch.tensor([KINDS.index(scene.things[0].kind) for scene in scenes])
        yield pixels(scenes, side), kinds
