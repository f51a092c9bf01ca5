"""Conditioning as batches: what may share a call of the model, and how it is put together."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from graphengine_diffusion.types import Conditioning


def form_of(conditioning: Conditioning) -> object:
    """What must be equal for two conditionings to share a call: which tensors there are, and their sizes."""
    c = conditioning
    named = [("cross", c.cross), ("pooled", c.pooled), ("mask", c.mask), *sorted(c.extra.items())]
    return tuple((name, t.shape[1:]) for name, t in named if t is not None)


def with_each(conditioning: Conditioning, function: Callable[[Tensor], Tensor]) -> Conditioning:
    """The same conditioning with every tensor changed."""
    c = conditioning
    return Conditioning(
        function(c.cross),
        None if c.pooled is None else function(c.pooled),
        None if c.mask is None else function(c.mask),
        {name: function(tensor) for name, tensor in c.extra.items()},
    )


def spanning(conditioning: Conditioning, batch: int) -> Conditioning:
    """The conditioning for every item of a batch. ValueError if it has another number of items."""
    have = len(conditioning.cross)
    if have == batch:
        return conditioning
    if have != 1:
        raise ValueError(
            f"the conditioning has {have} items and the latent {batch}; give one text, or one for each"
        )
    return with_each(conditioning, lambda tensor: tensor.expand(batch, *tensor.shape[1:]))


def together(conditionings: Sequence[Conditioning]) -> Conditioning:
    """Conditionings of one form as one batch."""
    first, *more = conditionings
    if not more:
        return first

    def joined(pick: Callable[[Conditioning], Tensor | None]) -> Tensor | None:
        picked = [t for c in conditionings if (t := pick(c)) is not None]
        return torch.cat(picked) if picked else None

    extra = {name: torch.cat([c.extra[name] for c in conditionings]) for name in first.extra}
    return Conditioning(
        torch.cat([c.cross for c in conditionings]),
        joined(lambda c: c.pooled),
        joined(lambda c: c.mask),
        extra,
    )
