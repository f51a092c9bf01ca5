"""Combining: conditionings put together, and where, when and how much each acts.

A conditioning may carry others that act beside it. What a node sets, it sets for all of them.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor

from graphengine.authoring import Ui, node
from graphengine_diffusion.classes import class_number
from graphengine_diffusion.handles import Denoiser
from graphengine_diffusion.pieces import with_each_piece
from graphengine_diffusion.types import Conditioning

Fraction = Annotated[float, Field(ge=0, le=1), Ui(widget="slider")]
Part = Annotated[float, Field(ge=0, le=1), Ui(step=0.05)]
Strength = Annotated[float, Field(ge=0, le=10), Ui(step=0.05)]


@node
def combine_conditioning(first: Conditioning, second: Conditioning) -> Conditioning:
    """Let two conditionings act together: the model is asked with each, and the answers are mixed.

    Each keeps its area, its window and its strength; where several act, their strengths are the weights of
    the mean. Liu et al. 2022, "Compositional Visual Generation with Composable Diffusion Models". A
    prediction costs a run for each.
    """
    return replace(first, others=(*first.others, alone(second), *second.others))


@node
def concat_conditioning(first: Conditioning, second: Conditioning) -> Conditioning:
    """Put two texts behind one another, as one long text read in two chunks; it costs one run.

    What the model knows of a text as a whole, area, window and strength stay those of the first.
    """
    one, other = texts(first, second)
    same_width(one, other)
    mask = None
    if first.mask is not None or second.mask is not None:
        mask = torch.cat(batched(mask_of(first, one), mask_of(second, other)), 1)
    return replace(first, cross=torch.cat(batched(one, other), 1), mask=mask)


@node
def average_conditioning(first: Conditioning, second: Conditioning, amount: Fraction = 0.5) -> Conditioning:
    """Mix the vectors of two texts: 0 is the first, 1 the second, between them something of both.

    A shorter text is repeated up to the length of the longer, which changes nothing for a model that only
    looks up the text (cross-attention). Area, window, strength and others stay those of the first.
    """
    one, other = texts(first, second)
    same_width(one, other)
    length = math.lcm(one.shape[1], other.shape[1])
    vectors = [tensor.repeat(1, length // tensor.shape[1], 1) for tensor in (one, other)]
    pooled = first.pooled
    if first.pooled is not None and second.pooled is not None:
        same_width(first.pooled, second.pooled)
        pooled = torch.lerp(*batched(first.pooled, second.pooled), amount)
    mask = None
    if first.mask is not None or second.mask is not None:
        masks = [mask_of(c, t) for c, t in ((first, one), (second, other))]
        mask = torch.maximum(*batched(*(m.repeat(1, length // m.shape[1]) for m in masks)))
    return replace(first, cross=torch.lerp(*batched(*vectors), amount), pooled=pooled, mask=mask)


@node
def set_area(
    conditioning: Conditioning, x: Part = 0.0, y: Part = 0.0, width: Part = 0.5, height: Part = 1.0
) -> Conditioning:
    """Let a conditioning act in a rectangle only, in parts of the picture: 0, 0, 0.5, 1 is its left half.

    Combine it with others that act elsewhere, or everywhere: where there is an area, what has none is not
    asked.
    """
    if min(x, y) < 0 or min(width, height) <= 0 or x + width > 1 + 1e-6 or y + height > 1 + 1e-6:
        raise ValueError(
            f"the area {width:g} x {height:g} at {x:g}, {y:g} does not lie in the picture, which is 1 x 1; "
            "choose a smaller one"
        )
    return with_each_piece(conditioning, lambda c: replace(c, area=(x, y, width, height)))


@node
def set_window(conditioning: Conditioning, start: Fraction = 0.0, end: Fraction = 1.0) -> Conditioning:
    """Let a conditioning act in a part of the loop only: 0 is its begin, 1 its end.

    The first steps settle what is where, the last ones the details: a prompt can change on the way.
    """
    if not 0 <= start < end <= 1:
        raise ValueError(f"start, {start:g}, and end, {end:g}, hold no step; choose 0 <= start < end <= 1")
    return with_each_piece(conditioning, lambda c: replace(c, window=(start, end)))


@node
def set_strength(conditioning: Conditioning, strength: Strength = 1.0) -> Conditioning:
    """Let a conditioning weigh more or less among those that it is combined with; alone it changes nothing.

    What was combined before is multiplied as a whole: its parts keep their proportions.
    """
    if strength < 0:
        raise ValueError(
            f"strength: {strength:g} is below 0; use a negative prompt and guidance to avoid something"
        )
    return with_each_piece(conditioning, lambda c: replace(c, strength=c.strength * strength))


@node
def zero_conditioning(conditioning: Conditioning) -> Conditioning:
    """Say nothing: all vectors of the text are zero, which some models were taught as "no prompt".

    What is not text, such as sizes or a picture beside the latents, stays.
    """

    def zeroed(c: Conditioning) -> Conditioning:
        cross, pooled = (None if t is None else torch.zeros_like(t) for t in (c.cross, c.pooled))
        return replace(c, cross=cross, pooled=pooled)

    return with_each_piece(conditioning, zeroed)


@node
def class_label(denoiser: Denoiser, label: str) -> Conditioning:
    """Ask for a class by its name, from a model that was taught with classes instead of texts.

    The number of a class does as well; nothing is no class, as guidance compares with. ValueError names the
    classes that are near.
    """
    if not label.strip():
        return Conditioning()
    return Conditioning(extra={"class": torch.tensor([class_number(denoiser, label)])})


def alone(conditioning: Conditioning) -> Conditioning:
    """The conditioning without those beside it."""
    return replace(conditioning, others=())


def texts(first: Conditioning, second: Conditioning) -> tuple[Tensor, Tensor]:
    """The token vectors of both. ValueError where one has none."""
    if first.cross is None or second.cross is None:
        which = "first" if first.cross is None else "second"
        raise ValueError(f"the {which} conditioning has no text; give one from encode_text")
    return first.cross, second.cross


def same_width(one: Tensor, other: Tensor) -> None:
    """ValueError where vectors are of different models."""
    if one.shape[-1] != other.shape[-1]:
        raise ValueError(
            f"one conditioning is {one.shape[-1]} wide, the other {other.shape[-1]}; encode both with one "
            "text encoder"
        )


def mask_of(conditioning: Conditioning, cross: Tensor) -> Tensor:
    """Which tokens count; all where none are named."""
    return cross.new_ones(cross.shape[:2]) if conditioning.mask is None else conditioning.mask


def batched(one: Tensor, other: Tensor) -> tuple[Tensor, Tensor]:
    """Both with one number of items, on one device and of one kind of number."""
    other = other.to(one)
    count = max(len(one), len(other))
    if {len(one), len(other)} - {1, count}:
        raise ValueError(
            f"one conditioning has {len(one)} items, the other {len(other)}; make them equal, or one of them "
            "1"
        )
    return one.expand(count, *one.shape[1:]), other.expand(count, *other.shape[1:])
