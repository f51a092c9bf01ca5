"""Pictures in files: load one, save them, show them, or save them as an animation.

A saved PNG holds the workflow that made it (a tEXt chunk, JSON in ASCII, not compressed), so that it can be
run again. The same picture and workflow give the same bytes.
"""

from __future__ import annotations

import json
import re
import struct
from io import BytesIO
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

import numpy as np
import torch
from PIL import Image as Pillow
from PIL import ImageOps, UnidentifiedImageError
from PIL.PngImagePlugin import PngInfo
from pydantic import Field
from torch import Tensor

from graphengine.authoring import NO_CONTEXT, Context, Folders, Ui, node
from graphengine.types import Image, Mask
from graphengine_nodes.pixels import PIXELS, from_pillow, luminance, on_background, to_pillow

PACK = "image"

FORMATS = ("PNG", "JPEG", "WEBP", "GIF")
FILE_NAME = r"^[^/\\:*?\"<>|.\x00-\x1f][^/\\:*?\"<>|\x00-\x1f]*$"
LONGEST_NAME = 100

FileName = Annotated[
    str,
    Field(
        min_length=1,
        max_length=LONGEST_NAME,
        pattern=FILE_NAME,
        description="a file name without a folder or an ending",
    ),
]
Quality = Annotated[int, Field(ge=1, le=100), Ui(widget="slider")]


PicturePath = Annotated[str, Ui(widget="image")]
MaskPath = Annotated[str, Ui(widget="mask")]


class Loaded(NamedTuple):
    """A picture, and which of its pixels are opaque."""

    image: Image
    mask: Mask


def content(path: str, folders: Folders) -> str:
    """What the file holds: a changed file is loaded anew, a moved one is not."""
    return folders.content_hash(folders.input(path))


@node(fingerprint=content, device="cpu")
def load(path: PicturePath, keep_alpha: bool = False, ctx: Context = NO_CONTEXT) -> Loaded:
    """Load a picture from a PNG, JPEG, WebP or GIF file (its first frame), turned as the camera was held.

    Gives the picture as [1, height, width, 3], or with a fourth channel if `keep_alpha`, and a mask of its
    alpha: 1 where it is opaque, 1 everywhere without alpha. The colours under transparent pixels stay as they
    are in the file. ValueError for a file that is damaged, of another kind, or beyond 67 million pixels.
    """
    picture = read(ctx.folders.input(path))
    values = from_pillow(picture) if picture.mode == "RGBA" else from_deep(picture)
    image = values if keep_alpha else values[..., :3].contiguous()
    return Loaded(image, values[..., 3].contiguous())


@node(fingerprint=content, device="cpu", id="mask.load", title="Load Mask", category="mask")
def load_mask(path: MaskPath, ctx: Context = NO_CONTEXT) -> Mask:
    """Load a mask from a picture, or paint it in the editor: white is selected, black is not.

    Gives the luminance as [1, height, width], 0 to 1 (Rec. 709, as `mask.from_luminance`); what is
    transparent is not selected.
    """
    picture = read(ctx.folders.input(path))
    values = from_pillow(picture) if picture.mode == "RGBA" else from_deep(picture)
    return luminance(values[..., :3]) * values[..., 3]


def read(path: Path) -> Pillow.Image:
    """The picture of a file, upright: RGBA, or I;16 where a grey one has 16 bits."""
    try:
        with Pillow.open(path, formats=FORMATS) as picture:
            if picture.width * picture.height > PIXELS:
                raise Pillow.DecompressionBombError
            picture.load()
            upright = ImageOps.exif_transpose(picture)
    except (Pillow.DecompressionBombError, Pillow.DecompressionBombWarning) as error:
        raise ValueError(f"{path.name} has more than {PIXELS} pixels; make it smaller first") from error
    except UnidentifiedImageError as error:
        raise ValueError(
            f"{path.name} is no PNG, JPEG, WebP or GIF picture; convert it to one of them"
        ) from error
    except (OSError, SyntaxError, ValueError, struct.error) as error:  # what Pillow raises for broken files
        raise ValueError(
            f"{path.name} is damaged ({error}); save it anew in the program that made it"
        ) from error
    return upright if upright.mode.startswith("I") else upright.convert("RGBA")


def from_deep(picture: Pillow.Image) -> Tensor:
    """A grey picture of 16 bits as [1, height, width, 4]."""
    grey = torch.from_numpy(np.asarray(picture).astype(np.float32) / 65535).clamp(0, 1)
    return torch.stack([grey, grey, grey, torch.ones_like(grey)], dim=-1)[None]


@node(device="cpu")
def save(
    image: Image,
    name: FileName = "picture",
    format: Literal["png", "jpeg", "webp"] = "png",
    quality: Quality = 95,
    ctx: Context = NO_CONTEXT,
) -> None:
    """Save each picture of a batch as a file; a PNG also holds the workflow that made it.

    `quality` is for JPEG and WebP. JPEG knows no transparency: there the picture is laid on white.
    """
    check_name(name)
    if format == "jpeg" and image.shape[-1] == 4:
        image = on_background(image, "#ffffff")
    options: dict[str, Any] = {"quality": quality}
    if format == "png":
        options = {"pnginfo": notes(ctx)}
    elif format == "jpeg":
        options |= {"subsampling": 0}
    ending = {"png": "png", "jpeg": "jpg", "webp": "webp"}[format]
    pictures = to_pillow(image)
    for done, picture in enumerate(pictures, 1):
        stream = BytesIO()
        picture.save(stream, format, **options)
        ctx.save(f"{name}.{ending}", stream.getvalue(), f"image/{format}")
        ctx.progress(done, len(pictures))


@node
def preview(image: Image, ctx: Context = NO_CONTEXT) -> None:
    """Show pictures in the editor without saving them."""
    ctx.preview(image)


@node(device="cpu")
def save_animation(
    images: list[Image],
    name: FileName = "animation",
    format: Literal["gif", "webp", "apng"] = "gif",
    seconds_per_frame: Annotated[float, Field(ge=0.02, le=10), Ui(unit="s", step=0.01)] = 0.1,
    hold: Annotated[float, Field(ge=0, le=30), Ui(unit="s")] = 0.0,
    loop: bool = True,
    quality: Quality = 90,
    ctx: Context = NO_CONTEXT,
) -> None:
    """Save pictures as an animation, one frame each; the pictures of a batch follow one another.

    `hold` shows the last frame for so many seconds more; `loop` starts again at the end. GIF counts time in
    hundredths of a second and has 255 colours a frame, chosen for each. `quality` is for WebP. Transparency
    is laid on white. GIF and APNG hold the workflow. ValueError where the sizes differ.
    """
    check_name(name)
    frames = [picture for image in images for picture in to_pillow(on_background(image, "#ffffff"))]
    if not frames:
        raise ValueError("there is no picture to animate; link at least one")
    for place, frame in enumerate(frames):
        if frame.size != frames[0].size:
            raise ValueError(
                f"frame {place} is {frame.width} x {frame.height} pixels, but frame 0 is {frames[0].width} x "
                f"{frames[0].height}; resize the pictures to one size"
            )
    each = round(max(seconds_per_frame, 0.02) * 100) * 10  # milliseconds, as GIF can say them
    durations = [each] * (len(frames) - 1) + [each + round(hold * 100) * 10]
    options: dict[str, Any] = {"save_all": True, "duration": durations if len(frames) > 1 else durations[0]}
    if format == "gif":
        frames = [with_palette(frame) for frame in frames]
        options |= {"comment": workflow_text(ctx).encode(), "optimize": False}
        options |= {"loop": 0} if loop else {}
    elif format == "webp":
        options |= {"loop": 0 if loop else 1, "quality": quality, "method": 4}
    else:
        options |= {"loop": 0 if loop else 1, "pnginfo": notes(ctx)}
    stream = BytesIO()
    frames[0].save(stream, "png" if format == "apng" else format, append_images=frames[1:], **options)
    ctx.save(f"{name}.{'png' if format == 'apng' else format}", stream.getvalue(), f"image/{format}")


def with_palette(frame: Pillow.Image) -> Pillow.Image:
    """The frame in 255 colours of its own, dithered; the 256th is free for GIF's transparency.

    The colours are chosen from 128 x 128 samples: as good as from all pixels, and 80 times as fast.
    """
    samples = frame.resize((min(frame.width, 128), min(frame.height, 128)), Pillow.Resampling.NEAREST)
    palette = samples.quantize(255, Pillow.Quantize.MEDIANCUT, kmeans=1)
    return frame.quantize(palette=palette, dither=Pillow.Dither.FLOYDSTEINBERG)


def check_name(name: str) -> None:
    """ValueError for a name that would be no plain file in the folder for outputs."""
    if len(name) > LONGEST_NAME or not re.fullmatch(FILE_NAME, name):
        raise ValueError(f"{name!r} is no name for a file; write one without a path, such as picture")


def workflow_text(ctx: Context) -> str:
    """The workflow as one line of JSON in ASCII; empty where there is none."""
    return json.dumps(dict(ctx.workflow), separators=(",", ":")) if ctx.workflow else ""


def notes(ctx: Context) -> PngInfo:
    """The text chunks of a PNG."""
    found = PngInfo()
    found.add_text("Software", "GraphEngine")
    if text := workflow_text(ctx):
        found.add_text("workflow", text)
    return found
