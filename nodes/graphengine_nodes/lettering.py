"""Lettering: lines of text as strips of pixels, in the font that comes with Pillow."""

from __future__ import annotations

import math
from bisect import bisect
from collections.abc import Sequence

import torch
from PIL import Image as Pillow
from PIL import ImageDraw, ImageFont
from torch import Tensor

from graphengine_nodes.pixels import check_size, from_pillow, luminance, rgb

Font = ImageFont.FreeTypeFont | ImageFont.ImageFont

SMALLEST, LARGEST = 9, 48
SCALE = 4
DARK, LIGHT = "#202124", "#f1f3f4"
FAINT = {DARK: "#5f6368", LIGHT: "#9aa0a6"}


def suited(width: int) -> int:
    """The size of letters, in pixels, that goes with pictures of a width."""
    return min(max(round(width / 18), 11), LARGEST)


def ink(background: str) -> str:
    """The colour of letters that can be read on a background."""
    return DARK if float(luminance(torch.tensor(rgb(background))[None, None, None])) > 0.5 else LIGHT


def fitted(texts: Sequence[str], width: int, size: int) -> Font:
    """The font in the largest size, up to `size`, in which no word is wider than `width`; all are scaled."""
    words = [word for text in texts for word in text.split()]
    while True:
        font = ImageFont.load_default(size)
        if size <= SMALLEST * SCALE or all(font.getlength(word) <= width for word in words):
            return font
        size -= SCALE


def wrapped(text: str, width: int, font: Font) -> list[str]:
    """The lines of a text, broken between words; a word that is wider than `width` is cut."""
    lines = []
    for paragraph in text.splitlines():
        line = ""
        for word in paragraph.split():
            longer = f"{line} {word}".strip()
            if line and font.getlength(longer) > width:
                lines.append(line)
                longer = word
            line = shortened(longer, width, font)
        lines.append(line)
    return lines


def shortened(word: str, width: int, font: Font) -> str:
    """The word, or as much of its beginning as fits, with an ellipsis."""
    if font.getlength(word) <= width:
        return word
    keep = bisect(range(len(word)), width, key=lambda count: math.ceil(font.getlength(word[:count] + "...")))
    return word[: max(keep - 1, 0)] + "..."


def strips(
    texts: Sequence[str], width: int, size: int, background: str, middle: bool = False, faint: bool = False
) -> list[Tensor]:
    """Each text centred on a strip [1, height, width, 3]; all strips are as high as the highest needs.

    Text stands at the top of its strip, or in the `middle` of its height; `faint` letters stand back.
    Letters are drawn `SCALE` times as large and reduced, or small ones would stand on whole pixels only.
    """
    margin = max(2, size // 3)
    room = max(1, width - 2 * margin)
    font = fitted(texts, room * SCALE, size * SCALE)
    blocks = [wrapped(text, room * SCALE, font) for text in texts]
    line = round(font_height(font) * 1.15)
    most = max([len(block) for block in blocks], default=0)
    height = math.ceil(most * line / SCALE) + 2 * margin
    check_size(width, height)
    colour = FAINT[ink(background)] if faint else ink(background)
    drawn = []
    for block in blocks:
        strip = Pillow.new("RGB", (width * SCALE, height * SCALE), background)
        pen = ImageDraw.Draw(strip)
        top = margin * SCALE + (most - len(block)) * line // 2 * middle
        for number, text in enumerate(block):
            place = (strip.width - font.getlength(text)) / 2, top + number * line
            pen.text(place, text, fill=colour, font=font)
        drawn.append(from_pillow(strip.reduce(SCALE)))
    return drawn


def font_height(font: Font) -> int:
    """From the top of the highest letter to the foot of the lowest, in pixels."""
    box = font.getbbox("Ågjy|")
    return round(box[3])


def text_width(texts: Sequence[str], size: int) -> int:
    """The width that the widest of some lines needs on a strip, in pixels."""
    font = ImageFont.load_default(size * SCALE)
    widest = max((font.getlength(line) for text in texts for line in text.splitlines()), default=0)
    return math.ceil(widest / SCALE) + 2 * max(2, size // 3)
