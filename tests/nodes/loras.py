"""LoRAs of random numbers, and modules whose layers compute them unfolded."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

RANK = 3


def matrices(module: Any, paths: list[str], mid: bool = False) -> Iterator[tuple[str, dict[str, Tensor]]]:
    """Random matrices for layers of a module; a convolution may have a core."""
    g = torch.Generator().manual_seed(3)
    for path in paths:
        shape = tuple(module.get_submodule(path).weight.shape)
        out, into, kernel = shape[0], shape[1], shape[2:]
        ones = (1,) * len(kernel)
        found = {"up": torch.randn(out, RANK, *ones, generator=g) * 0.1}
        if mid and kernel:
            found["mid"] = torch.randn(RANK, RANK, *kernel, generator=g) * 0.5
            found["down"] = torch.randn(RANK, into, *ones, generator=g) * 0.5
        else:
            found["down"] = torch.randn(RANK, into, *kernel, generator=g) * 0.5
        yield path, found


class Wrapped(torch.nn.Module):
    """W x + scale * B (A x), as the paper draws it: nothing is folded."""

    def __init__(self, layer: Any, found: dict[str, Tensor], scale: float) -> None:
        super().__init__()
        self.layer, self.scale, self.found = layer, scale, found
        self.weight = layer.weight

    def forward(self, x: Tensor) -> Tensor:
        up, down, mid = self.found["up"], self.found["down"], self.found.get("mid")
        if isinstance(self.layer, torch.nn.Linear):
            added = torch.nn.functional.linear(torch.nn.functional.linear(x, down), up)
        else:
            options = {"stride": self.layer.stride, "padding": self.layer.padding}
            if mid is None:
                inside = torch.nn.functional.conv2d(x, down, **options)
            else:
                inside = torch.nn.functional.conv2d(torch.nn.functional.conv2d(x, down), mid, **options)
            added = torch.nn.functional.conv2d(inside, up)
        return self.layer(x) + self.scale * added  # type: ignore[no-any-return]


def wrapped(module: Any, changes: dict[str, tuple[dict[str, Tensor], float]]) -> Any:
    """The module with its layers wrapped; it is changed in place."""
    for path, (found, scale) in changes.items():
        parent, _, name = path.rpartition(".")
        holder = module.get_submodule(parent)
        layer = Wrapped(module.get_submodule(path), found, scale)
        if name.isdecimal():
            holder[int(name)] = layer
        else:
            setattr(holder, name, layer)
    return module
