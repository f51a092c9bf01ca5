"""RRDBNet: the network of ESRGAN and Real-ESRGAN, dense blocks inside residuals inside residuals.

Wang et al. 2018, "ESRGAN", section 3.1 and figure 4; Wang et al. 2021, "Real-ESRGAN", section 3.3, whose
models for 2 and 1 times the size fold squares of pixels into channels first. Files name the weights in
three ways: `conv_first`, `body.0.rdb1.conv1` (Real-ESRGAN), `conv_first`, `RRDB_trunk.0.RDB1.conv1` (ESRGAN),
and `model.0`, `model.1.sub.0.RDB1.conv1.0` (ESRGAN's first release).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from math import isqrt
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import Conv2d, Module, ModuleList, Sequential
from torch.nn.functional import interpolate, leaky_relu, pad, pixel_unshuffle

RESIDUAL = 0.2
"""What a block adds is scaled by this, which keeps deep stacks steady; section 3.1."""

RENAMED = {
    r"RRDB_trunk\.(\d+)\.RDB(\d)\.conv(\d)": r"body.\1.rdb\2.conv\3",
    r"model\.1\.sub\.(\d+)\.RDB(\d)\.conv(\d)\.0": r"body.\1.rdb\2.conv\3",
    r"model\.1\.sub\.\d+": "conv_body",
    "model.0": "conv_first",
    "trunk_conv": "conv_body",
    r"(?:conv_up|upconv)(\d)": r"ups.\1",
    "HRconv": "conv_hr",
}


def conv(into: int, out: int) -> Conv2d:
    """A convolution of 3 x 3 that keeps the size."""
    return Conv2d(into, out, 3, padding=1)


def activated(x: Tensor) -> Tensor:
    """A leaky ReLU."""
    return leaky_relu(x, 0.2)


class DenseBlock(Module):
    """Five convolutions, each of which sees what all before it gave."""

    def __init__(self, features: int, growth: int) -> None:
        super().__init__()
        self.conv1 = conv(features, growth)
        self.conv2 = conv(features + growth, growth)
        self.conv3 = conv(features + 2 * growth, growth)
        self.conv4 = conv(features + 3 * growth, growth)
        self.conv5 = conv(features + 4 * growth, features)

    def forward(self, x: Tensor) -> Tensor:
        """The input, and a part of what the last convolution gives."""
        seen = x
        for layer in (self.conv1, self.conv2, self.conv3, self.conv4):
            seen = torch.cat([seen, activated(layer(seen))], 1)
        added: Tensor = self.conv5(seen)
        return x + RESIDUAL * added


class Block(Module):
    """Three dense blocks in a residual: RRDB."""

    def __init__(self, features: int, growth: int) -> None:
        super().__init__()
        self.rdb1, self.rdb2, self.rdb3 = (DenseBlock(features, growth) for _ in range(3))

    def forward(self, x: Tensor) -> Tensor:
        """The input, and a part of what the three give."""
        added: Tensor = self.rdb3(self.rdb2(self.rdb1(x)))
        return x + RESIDUAL * added


class Dense(Module):
    """Pictures [batch, colours, height, width] to 2^doublings / folded times the height and width."""

    def __init__(
        self, colours: int, features: int, growth: int, blocks: int, doublings: int, folded: int
    ) -> None:
        super().__init__()
        self.folded, self.scale = folded, 2**doublings // folded
        self.conv_first = conv(colours * folded**2, features)
        self.body = Sequential(*(Block(features, growth) for _ in range(blocks)))
        self.conv_body = conv(features, features)
        self.ups = ModuleList(conv(features, features) for _ in range(doublings))
        self.conv_hr = conv(features, features)
        self.conv_last = conv(features, colours)

    def forward(self, x: Tensor) -> Tensor:
        """The larger pictures."""
        height, width = x.shape[-2:]
        if self.folded > 1:
            x = pad(x, (0, -width % self.folded, 0, -height % self.folded), mode="replicate")
            x = pixel_unshuffle(x, self.folded)
        found: Tensor = self.conv_first(x)
        found = found + self.conv_body(self.body(found))
        for up in self.ups:
            found = activated(up(interpolate(found, scale_factor=2, mode="nearest")))
        found = self.conv_last(activated(self.conv_hr(found)))
        return found[..., : height * self.scale, : width * self.scale]


class Size(NamedTuple):
    """How to build the network, and how much larger it makes a picture."""

    build: Callable[[], Dense]
    scale: int


def names_of(names: Iterable[str]) -> dict[str, str] | None:
    """The weights by their names in the module; None if they are of another network."""
    found = {}
    for name in names:
        layer, _, kind = name.rpartition(".")
        for old, new in RENAMED.items():
            if re.fullmatch(old, layer):
                layer = re.sub(old, new, layer)
                break
        found[f"{layer}.{kind}"] = name
    found = numbered(found)
    return found if "conv_first.weight" in found and "conv_body.weight" in found else None


def numbered(found: Mapping[str, str]) -> dict[str, str]:
    """With the names of the last layers: ups from 0 on, by their order where they have a number only."""
    layers = {name.rpartition(".")[0] for name in found}
    ups = sorted(layer for layer in layers if layer.startswith("ups."))
    renamed = {layer: f"ups.{n}" for n, layer in enumerate(ups)}
    tail = sorted((x for x in layers if re.fullmatch(r"model\.\d+", x)), key=lambda x: int(x.split(".")[1]))
    if len(tail) >= 2:
        renamed |= {layer: f"ups.{n}" for n, layer in enumerate(tail[:-2])}
        renamed |= {tail[-2]: "conv_hr", tail[-1]: "conv_last"}
    split = {name: name.rpartition(".") for name in found}
    return {f"{renamed.get(layer, layer)}.{kind}": found[name] for name, (layer, _, kind) in split.items()}


def size_of(shapes: Mapping[str, tuple[int, ...]]) -> Size | None:
    """The size of the network, read off its weights."""
    first, last = shapes["conv_first.weight"], shapes.get("conv_last.weight", ())
    dense = shapes.get("body.0.rdb1.conv1.weight", ())
    if not len(first) == len(last) == len(dense) == 4:
        return None
    blocks = 1 + max(int(name.split(".")[1]) for name in shapes if name.startswith("body."))
    doublings = sum(bool(re.fullmatch(r"ups\.\d+\.weight", name)) for name in shapes)
    folded = isqrt(first[1] // last[0])
    build = partial(Dense, last[0], first[0], dense[0], blocks, doublings, folded)
    return Size(build, 2**doublings // folded)
