"""Pixels: pictures between tensors and Pillow, colours, alpha, and what must fit for two pictures to meet.

A picture is float32 [batch, height, width, channels], 0 to 1, in sRGB. It has 1 channel (grey), 3 (red,
green, blue) or 4 (with alpha, not multiplied into the colours). No function writes into a tensor that it was
given.
"""

from __future__ import annotations

import math
from typing import Annotated

import numpy as np
import torch
from PIL import Image as Pillow
from pydantic import Field
from torch import Tensor
from torch.nn import functional

from graphengine.authoring import Ui

LARGEST = 16384
"""The longest side of a picture, in pixels."""

PIXELS = 1 << 26
"""The most pixels of one picture, 8192 x 8192: a small file can hold a picture that fills the memory."""

Length = Annotated[int, Field(ge=1, le=LARGEST), Ui(unit="px")]
AnyLength = Annotated[int, Field(ge=0, le=LARGEST), Ui(unit="px")]
Radius = Annotated[float, Field(ge=0, le=200), Ui(unit="px", scale="log")]
Fraction = Annotated[float, Field(ge=0, le=1), Ui(widget="slider")]
Colour = Annotated[
    str, Field(pattern="^#[0-9a-fA-F]{6}$", description="a colour such as #ff8800"), Ui(widget="colour")
]

LUMA = (0.2126, 0.7152, 0.0722)
"""How bright red, green and blue look (ITU-R BT.709)."""


def rgb(colour: str) -> tuple[float, float, float]:
    """A colour such as `#ff8800` as red, green and blue from 0 to 1."""
    digits = colour.removeprefix("#")
    if len(digits) != 6 or any(d not in "0123456789abcdefABCDEF" for d in digits):
        raise ValueError(f"{colour!r} is no colour; write one such as #ff8800")
    red, green, blue = bytes.fromhex(digits)
    return red / 255, green / 255, blue / 255


def colours(image: Tensor) -> Tensor:
    """Red, green and blue without the alpha; grey three times."""
    return image[..., :3] if image.shape[-1] >= 3 else image[..., :1].expand(*image.shape[:-1], 3)


def alpha(image: Tensor) -> Tensor:
    """How opaque each pixel is: [batch, height, width]; 1 where there is no alpha."""
    return image[..., 3] if image.shape[-1] == 4 else image.new_ones(image.shape[:-1])


def with_alpha(changed: Tensor, image: Tensor) -> Tensor:
    """Changed colours under the alpha of the picture that they come from."""
    return torch.cat([changed, image[..., 3:]], dim=-1) if image.shape[-1] == 4 else changed


def luminance(image: Tensor) -> Tensor:
    """How bright each pixel looks: [batch, height, width]."""
    if image.shape[-1] == 1:
        return image[..., 0]
    return (image[..., :3] * image.new_tensor(LUMA)).sum(-1)


def on_background(image: Tensor, colour: str) -> Tensor:
    """The picture laid on a colour: always three channels."""
    cover = alpha(image)[..., None]
    return colours(image) * cover + image.new_tensor(rgb(colour)) * (1 - cover)


def bytes_of(values: Tensor) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    """Values from 0 to 1 as bytes from 0 to 255 on the CPU. ValueError where there are none to show."""
    if wrong := int((~torch.isfinite(values)).sum()):
        raise ValueError(
            f"{wrong} of {values.numel()} values of the picture are no numbers (NaN or infinite); the model "
            "ran out of range, so load it with more precision, such as float32"
        )
    data = (values.detach().clamp(0, 1) * 255).round().to("cpu", torch.uint8)
    return np.ascontiguousarray(data.numpy())


def to_pillow(image: Tensor) -> list[Pillow.Image]:
    """Each picture of a batch, with 8 bits a channel, in mode L, RGB or RGBA."""
    if image.ndim != 4 or image.shape[-1] not in (1, 3, 4):
        raise ValueError(
            f"a picture has the shape [batch, height, width, 1, 3 or 4], but this has {list(image.shape)}"
        )
    data = bytes_of(image)
    return [Pillow.fromarray(each[..., 0] if each.shape[-1] == 1 else each) for each in data]


def from_pillow(picture: Pillow.Image) -> Tensor:
    """A picture in mode L, RGB or RGBA as [1, height, width, channels]."""
    data = np.asarray(picture, dtype=np.float32) / 255
    return torch.from_numpy(data.reshape(1, picture.height, picture.width, -1))


def check_size(width: int, height: int) -> None:
    """ValueError where a picture of this size would have no pixels, or too many."""
    if not (1 <= width <= LARGEST and 1 <= height <= LARGEST and width * height <= PIXELS):
        raise ValueError(
            f"a picture of {width} x {height} pixels is refused; each side has 1 to {LARGEST}, and "
            f"both together at most {PIXELS}"
        )


def size_text(values: Tensor) -> str:
    """The size of a picture or a mask in words: `64 x 48`."""
    return f"{values.shape[2]} x {values.shape[1]}"


def same_batch(first: Tensor, second: Tensor) -> tuple[Tensor, Tensor]:
    """Two batches of one length, on one device; a batch of one is used for each of the other."""
    second = second.to(first.device)
    count = max(len(first), len(second))
    if {len(first), len(second)} - {1, count}:
        raise ValueError(
            f"one batch has {len(first)}, the other {len(second)}; make them equal, or one of them 1"
        )
    return first.expand(count, *first.shape[1:]), second.expand(count, *second.shape[1:])


def same_size(first: Tensor, second: Tensor) -> tuple[Tensor, Tensor]:
    """Two batches of pictures or masks of one size. ValueError says both sizes where they differ."""
    if first.shape[1:3] != second.shape[1:3]:
        raise ValueError(
            f"one is {size_text(first)} pixels, the other {size_text(second)}; resize one of them first"
        )
    return same_batch(first, second)


def gaussian(values: Tensor, radius: float) -> Tensor:
    """Blur [batch, height, width, channels] with a Gaussian of standard deviation `radius` pixels.

    The border is continued by its own pixels. The kernel ends at three standard deviations.
    """
    if radius <= 0:
        return values
    reach = max(1, math.ceil(3 * radius))
    place = torch.arange(-reach, reach + 1, dtype=torch.float32, device=values.device)
    kernel = torch.exp(-0.5 * (place / radius) ** 2)
    kernel = kernel / kernel.sum()
    batch, height, width, channels = values.shape
    planes = values.permute(0, 3, 1, 2).reshape(batch * channels, 1, height, width)
    planes = functional.pad(planes, (reach, reach, reach, reach), mode="replicate")
    planes = functional.conv2d(planes, kernel.view(1, 1, 1, -1))
    planes = functional.conv2d(planes, kernel.view(1, 1, -1, 1))
    return planes.reshape(batch, channels, height, width).permute(0, 2, 3, 1).contiguous()
