"""Pictures as a whole: their size, shape, batch and channels.

A picture is float32 [batch, height, width, channels], 0 to 1, with 1, 3 or 4 channels; every node keeps the
batch and, unless it says otherwise, the channels. Positions are pixels from the upper left corner.
"""

from __future__ import annotations

from typing import Annotated, Literal, NamedTuple

import torch
from PIL import Image as Pillow
from pydantic import Field
from torch import Tensor
from torch.nn import functional

from graphengine.authoring import node
from graphengine.types import Image, Mask
from graphengine_nodes.pixels import (
    AnyLength,
    Colour,
    Length,
    alpha,
    check_size,
    colours,
    luminance,
    rgb,
    same_size,
    size_text,
)

PACK = "image"

FILTERS = {
    "lanczos": Pillow.Resampling.LANCZOS,
    "bicubic": Pillow.Resampling.BICUBIC,
    "bilinear": Pillow.Resampling.BILINEAR,
    "nearest": Pillow.Resampling.NEAREST,
    "area": Pillow.Resampling.BOX,
}

Filter = Literal["lanczos", "bicubic", "bilinear", "nearest", "area"]
Count = Annotated[int, Field(ge=1, le=1024)]


class Size(NamedTuple):
    """The size of a picture in pixels, and how many pictures the batch holds."""

    width: int
    height: int
    batch: int


class Padded(NamedTuple):
    """A picture on a larger canvas, and what of it is new."""

    image: Image
    mask: Mask


class Channels(NamedTuple):
    """Each channel as a grey picture."""

    red: Image
    green: Image
    blue: Image
    alpha: Image


@node
def solid(width: Length = 512, height: Length = 512, colour: Colour = "#808080", count: Count = 1) -> Image:
    """A picture of one colour."""
    check_size(width, height)
    return torch.tensor(rgb(colour)).repeat(count, height, width, 1)


@node
def size(image: Image) -> Size:
    """The width and height of a picture, and how many there are in the batch."""
    return Size(image.shape[2], image.shape[1], image.shape[0])


@node
def resize(
    image: Image,
    width: AnyLength = 512,
    height: AnyLength = 0,
    fit: Literal["stretch", "inside", "cover"] = "stretch",
    method: Filter = "lanczos",
) -> Image:
    """Make a picture larger or smaller; a width or height of 0 follows from the other one.

    `stretch` gives exactly the size, `inside` the largest of the same shape that fits into it, `cover` fills
    it and cuts off what is too much on both sides. Colours are weighted by their alpha.
    """
    tall, wide, channels = image.shape[1:]
    if not width and not height:
        raise ValueError("both width and height are 0; give at least one of them")
    width, height = width or max(1, round(wide * height / tall)), height or max(1, round(tall * width / wide))
    target = (width, height)
    if fit != "stretch":
        scales = width / wide, height / tall
        scale = min(scales) if fit == "inside" else max(scales)
        target = max(1, round(wide * scale)), max(1, round(tall * scale))
    check_size(*target)
    weighted = image
    if channels == 4:
        weighted = torch.cat([image[..., :3] * image[..., 3:], image[..., 3:]], dim=-1)
    result = resampled(weighted, *target, method)
    if channels == 4:
        cover = result[..., 3:]
        result = torch.cat([result[..., :3] / cover.clamp(min=1e-6), cover], dim=-1)
    if fit == "cover":
        left, top = (target[0] - width) // 2, (target[1] - height) // 2
        result = result[:, top : top + height, left : left + width]
    return result.clamp(0, 1).contiguous()


def resampled(values: Tensor, width: int, height: int, method: Filter) -> Tensor:
    """[batch, height, width, channels] at another size, by Pillow in float32, without rounding to 8 bits."""
    if values.shape[1:3] == (height, width):
        return values
    planes = values.detach().permute(0, 3, 1, 2).reshape(-1, *values.shape[1:3]).float().cpu().numpy()
    sized = [Pillow.fromarray(plane).resize((width, height), FILTERS[method]) for plane in planes]
    data = torch.stack([torch.frombuffer(bytearray(p.tobytes()), dtype=torch.float32) for p in sized])
    shaped = data.reshape(values.shape[0], values.shape[3], height, width).permute(0, 2, 3, 1)
    return shaped.to(values.device)


@node
def crop(
    image: Image, x: AnyLength = 0, y: AnyLength = 0, width: AnyLength = 0, height: AnyLength = 0
) -> Image:
    """Cut out a rectangle; a width or height of 0 reaches to the border."""
    tall, wide = image.shape[1:3]
    width, height = width or wide - x, height or tall - y
    if min(x, y) < 0 or min(width, height) < 1 or x + width > wide or y + height > tall:
        raise ValueError(
            f"{width} x {height} pixels at {x}, {y} do not lie in a picture of {size_text(image)}; choose a "
            "smaller rectangle"
        )
    return image[:, y : y + height, x : x + width].contiguous()


@node
def pad(
    image: Image,
    left: AnyLength = 0,
    top: AnyLength = 0,
    right: AnyLength = 0,
    bottom: AnyLength = 0,
    fill: Literal["colour", "edge", "mirror"] = "colour",
    colour: Colour = "#808080",
) -> Padded:
    """Put a picture on a larger canvas, as for outpainting; the mask is 1 where the canvas is new.

    `edge` goes on with the pixels of the border, `mirror` reflects the picture (it can add at most as much as
    there is). Alpha is 1 on a coloured canvas.
    """
    batch, tall, wide, channels = image.shape
    if min(left, top, right, bottom) < 0:
        raise ValueError("a negative number of pixels cannot be added; use crop to cut pixels off")
    check_size(wide + left + right, tall + top + bottom)
    if fill == "mirror" and (max(left, right) >= wide or max(top, bottom) >= tall):
        raise ValueError(
            f"a picture of {size_text(image)} cannot be mirrored so far; pad less, or fill with edge"
        )
    sides = (left, right, top, bottom)
    planes = image.permute(0, 3, 1, 2)
    if fill == "colour":
        canvas = image.new_tensor((*rgb(colour), 1.0))
        canvas = luminance(canvas[None, None, None, :3])[0, 0] if channels == 1 else canvas[:channels]
        result = canvas.repeat(batch, tall + top + bottom, wide + left + right, 1)
        result[:, top : top + tall, left : left + wide] = image
    else:
        mode = "replicate" if fill == "edge" else "reflect"
        result = functional.pad(planes, sides, mode=mode).permute(0, 2, 3, 1).contiguous()
    mask = functional.pad(image.new_zeros(batch, tall, wide), sides, value=1.0)
    return Padded(result, mask)


@node
def flip(image: Image, direction: Literal["horizontal", "vertical"] = "horizontal") -> Image:
    """Mirror a picture: left and right, or above and below."""
    return image.flip(2 if direction == "horizontal" else 1)


@node
def rotate(image: Image, degrees: Literal[90, 180, 270] = 90) -> Image:
    """Turn a picture clockwise by a quarter, a half or three quarters."""
    return torch.rot90(image, -(degrees // 90), dims=(1, 2)).contiguous()


@node(converter=True)
def batch(images: list[Image]) -> Image:
    """Pictures of one size as one batch, in their order; where one has colours or alpha, all get them."""
    if not images:
        raise ValueError("there is no picture to put into a batch; link at least one")
    channels = max(image.shape[-1] for image in images)
    for place, image in enumerate(images):
        if image.shape[1:3] != images[0].shape[1:3]:
            raise ValueError(
                f"picture {place} is {size_text(image)} pixels, but picture 0 is {size_text(images[0])}; "
                "resize them to one size"
            )
    return torch.cat([widened(image, channels).to(images[0].device) for image in images])


def widened(image: Tensor, channels: int) -> Tensor:
    """The picture with more channels: grey becomes red, green and blue; alpha is 1."""
    if image.shape[-1] == channels:
        return image
    if channels == 3:
        return colours(image)
    return torch.cat([colours(image), alpha(image)[..., None]], dim=-1)


@node(converter=True)
def unbatch(image: Image) -> list[Image]:
    """The pictures of a batch as a list of single ones."""
    return [each[None].clone() for each in image]


@node
def pick(image: Image, index: int = 0, count: Count = 1) -> Image:
    """Some pictures of a batch: `count` of them from `index` on; 0 is the first, -1 the last."""
    have = len(image)
    start = index + have if index < 0 else index
    if start < 0 or start + count > have:
        raise ValueError(
            f"{count} from {index} on are not in a batch of {have}; its positions are 0 to {have - 1}, or -1 "
            "for the last"
        )
    return image[start : start + count].clone()


@node
def split_channels(image: Image) -> Channels:
    """Take a picture apart into its channels; alpha is 1 where there is none, grey is red, green and blue."""
    red, green, blue = (c[..., None].contiguous() for c in colours(image).unbind(-1))
    return Channels(red, green, blue, alpha(image)[..., None].contiguous())


@node
def merge_channels(red: Image, green: Image, blue: Image, alpha: Image | None = None) -> Image:
    """Build a picture from its channels, each a grey picture; the result has an alpha if one is given."""
    parts = [red, green, blue] if alpha is None else [red, green, blue, alpha]
    planes = [luminance(part) for part in parts]
    count = max(len(plane) for plane in planes)
    widest = next(plane for plane in planes if len(plane) == count)
    return torch.stack([same_size(plane, widest)[0].to(widest.device) for plane in planes], dim=-1)
