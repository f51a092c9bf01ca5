"""Conditioning as batches: what may share a call of the model, and how it is put together."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from graphengine_diffusion.types import Conditioning, Residuals


def tensors(conditioning: Conditioning) -> dict[str, Tensor]:
    """Every tensor of a conditioning by its name; those of `extra` as `extra.name`."""
    c = conditioning
    named = {"cross": c.cross, "pooled": c.pooled, "mask": c.mask, "concat": c.concat}
    found = {name: tensor for name, tensor in named.items() if tensor is not None}
    return found | {f"extra.{name}": tensor for name, tensor in sorted(c.extra.items())}


def with_tensors(conditioning: Conditioning, found: Mapping[str, Tensor]) -> Conditioning:
    """The same conditioning with other tensors, named as `tensors` names them."""
    return replace(
        conditioning,
        cross=found.get("cross"),
        pooled=found.get("pooled"),
        mask=found.get("mask"),
        concat=found.get("concat"),
        extra={name.removeprefix("extra."): t for name, t in found.items() if name.startswith("extra.")},
    )


def form_of(conditioning: Conditioning) -> object:
    """What must be equal for two conditionings to share a call: which tensors there are, and their sizes."""
    return tuple((name, tensor.shape[1:]) for name, tensor in tensors(conditioning).items())


def with_each(conditioning: Conditioning, function: Callable[[Tensor], Tensor]) -> Conditioning:
    """The same conditioning with every tensor changed."""
    return with_tensors(conditioning, {name: function(t) for name, t in tensors(conditioning).items()})


def spanning(conditioning: Conditioning, batch: int, device: str) -> Conditioning:
    """The conditioning for each item of a batch, on a device. ValueError if it has another number."""
    found = {}
    for name, tensor in tensors(conditioning).items():
        if len(tensor) not in (1, batch):
            raise ValueError(
                f"the conditioning has {len(tensor)} items and the latent {batch}; give one text, or one for "
                "each"
            )
        found[name] = tensor.to(device).expand(batch, *tensor.shape[1:])
    return with_tensors(conditioning, found)


def together(conditionings: Sequence[Conditioning]) -> Conditioning:
    """Conditionings of one form as one batch."""
    first, *more = map(tensors, conditionings)
    if not more:
        return conditionings[0]
    joined = {name: torch.cat([tensor, *(each[name] for each in more)]) for name, tensor in first.items()}
    return with_tensors(conditionings[0], joined)


def of_one_length(conditionings: Sequence[Conditioning], most: int = 4) -> list[Conditioning]:
    """Texts of several lengths, each repeated up to one length, so that they share a call.

    Attention to tokens that all stand there n times is attention to them once. Left as they are where the
    common length is more than `most` times the longest.
    """
    lengths = {c.cross.shape[1] for c in conditionings if c.cross is not None and c.mask is None}
    common = math.lcm(*lengths)
    if len(lengths) < 2 or common > most * max(lengths):
        return list(conditionings)
    return [
        c
        if c.cross is None or c.mask is not None
        else replace(c, cross=c.cross.repeat(1, common // c.cross.shape[1], 1))
        for c in conditionings
    ]


def form_of_residuals(residuals: Residuals | None) -> object:
    """What must be equal for two predictions with or without a ControlNet to share a call."""
    if residuals is None:
        return None
    return residuals.form()


def residuals_together(
    residuals: Sequence[Residuals | None], sizes: Sequence[int], device: str
) -> Residuals | None:
    """Residuals of one form as one batch, for calls of several sizes."""
    given = [r for r in residuals if r is not None]
    if not given:
        return None

    def joined(parts: Sequence[Tensor]) -> Tensor:
        return torch.cat([p.to(device).expand(n, *p.shape[1:]) for p, n in zip(parts, sizes, strict=True)])

    return given[0].with_parts([joined(each) for each in zip(*(r.parts for r in given), strict=True)])
