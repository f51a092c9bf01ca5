"""Several pictures on one sheet: a grid, a film strip, a table with headings, and captions.

A sheet is one picture with three channels; transparency shows the background. The gap lies between the
pictures and around them. Pictures of different sizes are centred in places that are as large as the largest.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor

from graphengine.authoring import Ui, node
from graphengine.types import Image
from graphengine_nodes.lettering import strips, suited, text_width
from graphengine_nodes.pixels import Colour, Length, check_size, on_background, rgb

PACK = "image"

Columns = Annotated[int, Field(ge=0, le=1000)]
Gap = Annotated[int, Field(ge=0, le=512), Ui(unit="px")]
TextSize = Annotated[int, Field(ge=0, le=256), Ui(unit="px")]


@node
def grid(image: Image, columns: Columns = 0, gap: Gap = 8, background: Colour = "#ffffff") -> Image:
    """Lay out the pictures of a batch in rows on one sheet; 0 columns make it about square."""
    pictures = list(on_background(image, background))
    return arranged(
        pictures, columns or squarest(len(pictures), image.shape[2], image.shape[1]), gap, background
    )


@node
def film_strip(
    images: list[Image],
    columns: Columns = 0,
    gap: Gap = 8,
    labels: list[str] | None = None,
    text_size: TextSize = 0,
    background: Colour = "#ffffff",
) -> Image:
    """Show pictures side by side in their order, as a process that is seen step by step.

    A batch of several stands as one column, so that each of its pictures makes a row. After so many `columns`
    a new row begins; 0 never does. `labels` stand below the frames, in their order; a `text_size` of 0
    follows from the pictures.
    """
    frames = [stacked(on_background(image, background), gap, background) for image in needed(images)]
    if labels:
        if len(labels) > len(frames):
            raise ValueError(f"there are {len(labels)} labels for {len(frames)} frames; leave some out")
        width = max(frame.shape[1] for frame in frames)
        texts = [*labels, *[""] * (len(frames) - len(labels))]
        captions = strips(texts, width, text_size or suited(width), background)
        height = max(frame.shape[0] for frame in frames)
        frames = [
            torch.cat([centred(frame, width, height, background), strip[0].to(frame)])
            for frame, strip in zip(frames, captions, strict=True)
        ]
    return arranged(frames, columns or len(frames), gap, background)


@node
def table(
    images: list[Image],
    column_labels: list[str],
    row_labels: list[str] | None = None,
    gap: Gap = 8,
    text_size: TextSize = 0,
    background: Colour = "#ffffff",
    column_title: str = "",
    row_title: str = "",
    group_labels: list[str] | None = None,
) -> Image:
    """Lay out pictures row by row in a table with a heading for each column, and for each row if given.

    Made for comparisons: one column for each value of one parameter, one row for each of another; the titles
    name these parameters. With `group_labels` there is one table below another, one for each value of a
    third. The pictures of a batch follow one another. ValueError where they do not fill the table.
    """
    pictures = [picture for image in needed(images) for picture in on_background(image, background)]
    wide, rows, groups = len(column_labels), len(row_labels or ()), group_labels or [""]
    least = wide * max(rows, 1) * len(groups)
    if not wide or len(pictures) % least or (rows and len(pictures) != least):
        raise ValueError(
            f"{len(pictures)} pictures do not fill a table of {wide} columns"
            + (f" and {rows} rows" if rows else "")
            + (f" in {len(groups)} groups" if group_labels else "")
            + "; give one label for each column and each row"
        )
    width, height = max(p.shape[1] for p in pictures), max(p.shape[0] for p in pictures)
    letters = text_size or suited(width)
    names: list[Tensor] = []
    if row_labels:
        side = min(text_width([*row_labels, row_title], letters), max(width, 4 * letters))
        names = [strip[0] for strip in strips(row_labels, side, letters, background, middle=True)]
        height = max(height, names[0].shape[0])
        names = [centred(name, side, height, background) for name in names]
    head = headings(column_labels, column_title, width, letters, gap, background)
    if names:
        left = arranged(names, 1, gap, background)[0, :, : names[0].shape[1] + gap]
        corner = strips([row_title], left.shape[1], letters, background, faint=True)[0][0]
        high = max(corner.shape[0], head.shape[0])
        head = torch.cat([on_foot(part, high, background) for part in (corner, head)], dim=1)
    parts, size = [], len(pictures) // len(groups)
    for number, group in enumerate(groups):
        some = pictures[number * size : (number + 1) * size]
        body = arranged([centred(p, width, height, background) for p in some], wide, gap, background)[0]
        body = torch.cat([left.to(body), body], dim=1) if names else body
        if group_labels:
            parts.append(strips([group], body.shape[1], round(letters * 1.2), background)[0][0].to(body))
        parts += [head.to(body), body]
    sheet = torch.cat(parts)
    check_size(sheet.shape[1], sheet.shape[0])
    return sheet[None]


@node
def card(
    text: Annotated[str, Field(max_length=2000), Ui(widget="multiline")],
    width: Length = 512,
    height: Length = 512,
    text_size: TextSize = 0,
    background: Colour = "#ffffff",
) -> Image:
    """A plain picture with a text in its middle, such as the title in front of a film strip.

    A `text_size` of 0 follows from the width. What does not fit into the height is cut off.
    """
    check_size(width, height)
    strip = strips([text], width, text_size or suited(width), background)[0][0, :height]
    return centred(strip, width, height, background)[None]


@node
def label(
    image: Image,
    text: Annotated[str, Field(max_length=2000), Ui(widget="multiline")],
    place: Literal["below", "above"] = "below",
    text_size: TextSize = 0,
    background: Colour = "#ffffff",
) -> Image:
    """Write a caption below or above a picture, on a strip of its own; long texts take several lines.

    A `text_size` of 0 follows from the picture. Letters are dark on a light background and light on a dark
    one.
    """
    width = image.shape[2]
    strip = strips([text], width, text_size or suited(width), background)[0].to(image)
    check_size(width, image.shape[1] + strip.shape[1])
    parts = [on_background(image, background), strip.expand(len(image), *strip.shape[1:])]
    return torch.cat(parts if place == "below" else parts[::-1], dim=1)


def headings(labels: list[str], title: str, width: int, letters: int, gap: int, background: str) -> Tensor:
    """What stands above the columns of a table, one label each, and a title over all: [height, width, 3]."""
    strip = [each[0] for each in strips(labels, width, letters, background)]
    space = canvas(gap, strip[0].shape[0], background, strip[0]) if gap else strip[0][:, :0]
    head = torch.cat([space, *(part for each in strip for part in (each, space))], dim=1)
    if title:
        over = strips([title], head.shape[1], letters, background, faint=True)[0][0]
        head = torch.cat([over[: -max(2, letters // 3)], head])  # without its margin: they belong together
    return head


def on_foot(picture: Tensor, height: int, background: str) -> Tensor:
    """The picture [height, width, 3] at the foot of a place that is so high."""
    space = picture.new_tensor(rgb(background)).repeat(height - picture.shape[0], picture.shape[1], 1)
    return torch.cat([space, picture])


def needed(images: Sequence[Tensor]) -> Sequence[Tensor]:
    """The pictures, if there are any."""
    if not sum(map(len, images)):
        raise ValueError("there is no picture to show; link at least one")
    return images


def squarest(count: int, width: int, height: int) -> int:
    """How many columns make a sheet of `count` pictures about as wide as high, with few places left empty."""
    columns = min(max(1, math.ceil(math.sqrt(count * height / width))), count)
    return math.ceil(count / math.ceil(count / columns))


def canvas(width: int, height: int, background: str, like: Tensor) -> Tensor:
    """An empty sheet [height, width, 3]."""
    check_size(width, height)
    return like.new_tensor(rgb(background)).repeat(height, width, 1)


def centred(picture: Tensor, width: int, height: int, background: str) -> Tensor:
    """The picture [height, width, 3] in the middle of a place."""
    if picture.shape[:2] == (height, width):
        return picture
    place = canvas(width, height, background, picture)
    top, left = (place.shape[0] - picture.shape[0]) // 2, (width - picture.shape[1]) // 2
    place[top : top + picture.shape[0], left : left + picture.shape[1]] = picture
    return place


def stacked(batch: Tensor, gap: int, background: str) -> Tensor:
    """The pictures of a batch below one another: [height, width, 3]."""
    if len(batch) == 1:
        return batch[0]
    return arranged(list(batch), 1, gap, background)[0, gap:, gap:][: -gap or None, : -gap or None]


def arranged(pictures: Sequence[Tensor], columns: int, gap: int, background: str) -> Tensor:
    """Pictures [height, width, 3] in rows, with gaps between and around: [1, height, width, 3]."""
    width, height = max(p.shape[1] for p in pictures), max(p.shape[0] for p in pictures)
    columns = max(1, min(columns, len(pictures)))
    rows = math.ceil(len(pictures) / columns)
    sheet = canvas(columns * (width + gap) + gap, rows * (height + gap) + gap, background, pictures[0])
    for number, picture in enumerate(pictures):
        row, column = divmod(number, columns)
        top, left = gap + row * (height + gap), gap + column * (width + gap)
        sheet[top : top + height, left : left + width] = centred(picture, width, height, background)
    return sheet[None]
