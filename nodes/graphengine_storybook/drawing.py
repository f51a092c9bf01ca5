"""Drawings of the storybook's world as a node: pictures to learn from, as many as wanted."""

from __future__ import annotations

from random import Random
from typing import Annotated, Literal, NamedTuple

import torch
from pydantic import Field

from graphengine.authoring import NO_CONTEXT, Context, Seed, Ui, node
from graphengine.types import Image
from graphengine_storybook.captions import caption
from graphengine_storybook.world import make

PORTION = 32


class Drawn(NamedTuple):
    """Pictures, and a caption for each."""

    image: Image
    captions: list[str]


@node(device="cpu")
def drawings(
    seed: Seed,
    count: Annotated[int, Field(ge=1, le=4096)] = 256,
    side: Annotated[Literal[32, 64, 128], Ui(unit="px")] = 32,
    of: Literal["portraits", "scenes"] = "portraits",
    ctx: Context = NO_CONTEXT,
) -> Drawn:
    """Draw pictures of the storybook's world, with captions: something to learn from.

    "portraits" are single things on a plain ground, "scenes" are what the storybook model was trained on. The
    same seed draws the same.
    """
    from graphengine_storybook.batches import pixels  # which imports transformers
    from graphengine_storybook.portraits import portrait

    rng = Random(seed)
    scenes = [portrait(rng) if of == "portraits" else make(rng) for _ in range(count)]
    drawn = []
    for first in range(0, count, PORTION):
        drawn.append(pixels(scenes[first : first + PORTION], side))
        ctx.progress(min(first + PORTION, count), count)
    image = torch.cat(drawn).permute(0, 2, 3, 1).float() / 255
    return Drawn(image.contiguous(), [caption(scene, rng) for scene in scenes])
