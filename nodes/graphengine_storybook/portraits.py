"""Portraits: one large thing in front of a plain ground, for the models that know no words.

A portrait is labelled by its kind alone, an index into `world.KINDS`. Half of the world would be
too much for a model of half a million parameters; these are the pictures that it can learn in
minutes.
"""

from collections.abc import Iterator
from random import Random

import torch
from torch import Tensor

from graphengine_storybook.batches import pixels
from graphengine_storybook.world import COLOUR_NAMES, KINDS, Scene, Thing

SIDE = 32
"""The side of a portrait in pixels: the average of 4 x 4 pixels of a drawing."""


def portrait(rng: Random, kind: str | None = None) -> Scene:
    """A scene of one large thing on a plain ground; of a `kind`, or of any."""
    kind = kind or rng.choice(KINDS)
    colour, backdrop = rng.sample(COLOUR_NAMES, 2)
    thing = Thing(kind, colour, "large")
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
