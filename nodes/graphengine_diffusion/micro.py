"""Micro-conditioning: what some models are told beside the text; a model that does not read it ignores it."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor

from graphengine.authoring import Ui, node
from graphengine_diffusion.pieces import with_each_piece
from graphengine_diffusion.types import Conditioning

Size = Annotated[int, Field(ge=1, le=16384), Ui(unit="px")]
Offset = Annotated[int, Field(ge=0, le=16384), Ui(unit="px")]


@node
def size_conditioning(
    conditioning: Conditioning,
    original_width: Size | None = None,
    original_height: Size | None = None,
    crop_left: Offset = 0,
    crop_top: Offset = 0,
    target_width: Size | None = None,
    target_height: Size | None = None,
    aesthetic_score: Annotated[float, Field(ge=0, le=10), Ui(step=0.5)] | None = None,
) -> Conditioning:
    """Tell Stable Diffusion XL what sizes a picture like this had in its training.

    A large original gives fine detail, a small one blur; a crop other than 0, 0 gives a picture that is cut
    off. A size left empty is that of the picture. `aesthetic_score` is for the refiner: 6 is asked for, and
    2.5 for an empty text, unless it is given. Podell et al. 2023, sections 2.2 and 2.5.
    """
    found = {"crop": torch.tensor([[float(crop_top), float(crop_left)]])}
    sizes = {
        "original_size": (original_height, original_width),
        "target_size": (target_height, target_width),
    }
    for name, (height, width) in sizes.items():
        if (height is None) != (width is None):
            raise ValueError(
                f"size_conditioning: {name} has one side only; give width and height, or neither"
            )
        if height is not None and width is not None:
            found[name] = torch.tensor([[float(height), float(width)]])
    if aesthetic_score is not None:
        found["aesthetic_score"] = torch.tensor([[aesthetic_score]])
    return told(conditioning, found)


@node
def guidance_embedding(
    conditioning: Conditioning,
    scale: Annotated[float, Field(ge=0, le=100), Ui(step=0.5)] = 3.5,
) -> Conditioning:
    """Tell a model that was distilled with guidance, such as Flux dev, how strong it is to be.

    More follows the prompt harder. It takes the place of CFG and costs no second prediction. Meng et al.
    2023.
    """
    return told(conditioning, {"guidance": torch.tensor([scale])})


def told(conditioning: Conditioning, found: dict[str, Tensor]) -> Conditioning:
    """The conditioning, and all that it is combined with, with more in `extra`."""
    return with_each_piece(conditioning, lambda c: replace(c, extra=c.extra | found))
