"""Numbers as pictures: curves over a common axis, and a table of numbers as colours."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Annotated, NamedTuple

import torch
from PIL import Image as Pillow
from PIL import ImageDraw, ImageFont
from pydantic import Field

from graphengine.authoring import Ui, node
from graphengine.types import Image
from graphengine_nodes import sheets
from graphengine_nodes.lettering import Font, ink, strips
from graphengine_nodes.pixels import Colour, from_pillow, rgb
from graphengine_nodes.sheets import canvas, centred

PACK = "image"

Side = Annotated[int, Field(ge=160, le=4096), Ui(unit="px")]
Cell = Annotated[int, Field(ge=4, le=512), Ui(unit="px")]

SCALE = 3
LINES = ("#0072b2", "#e69f00", "#009e73", "#d55e00", "#cc79a7", "#56b4e9", "#7f7f7f")
"""Colours that people who are colour-blind can tell apart (Okabe and Ito 2008)."""

HEAT = ("#f4f7fb", "#4f9cf9", "#0b2545")
MOST_CELLS = 4096


class Axis(NamedTuple):
    """Where numbers from `low` to `high` lie between two pixels; `ticks` are round numbers among them."""

    low: float
    high: float
    start: float
    stop: float
    ticks: list[float]

    def place(self, value: float) -> float:
        """The pixel of a number."""
        return self.start + (value - self.low) / (self.high - self.low) * (self.stop - self.start)


@node
def curves(
    lines: list[list[float]],
    names: list[str] | None = None,
    x: list[float] | None = None,
    x_label: str = "",
    y_label: str = "",
    logarithmic: bool = False,
    width: Side = 640,
    height: Side = 400,
    background: Colour = "#ffffff",
) -> Image:
    """Draw lists of numbers as curves in one diagram, such as noise schedules side by side.

    The numbers of a list stand at 0, 1, 2, ..., or at the positions `x`. `names` make a legend. `logarithmic`
    draws powers of ten at equal distances; all numbers are then above 0.
    """
    positions = check_curves(lines, x, logarithmic)
    drawn = [[math.log10(v) if logarithmic else v for v in line] for line in lines]
    sheet = Pillow.new("RGB", (width * SCALE, height * SCALE), background)
    pen, font = ImageDraw.Draw(sheet), ImageFont.load_default(13 * SCALE)
    values = [v for line in drawn for v in line]
    labels_y = ticks(min(values), max(values), 6)
    texts = {v: tick_text(10**v if logarithmic else v) for v in labels_y}
    edge = 14 * SCALE
    left = edge + max(font.getlength(text) for text in texts.values()) + 8 * SCALE
    top = edge + (24 * SCALE if names or y_label else 0)
    right, bottom = width * SCALE - 2 * edge, height * SCALE - edge - (38 if x_label else 20) * SCALE
    used = positions[: max(map(len, lines))]
    across = axis(min(used), max(used), left, right, 8)
    up = axis(min(values), max(values), bottom, top, 6)
    faint, letters = mixed(background, ink(background), 0.14), ink(background)
    for value, text in texts.items():
        y = up.place(value)
        pen.line([(left, y), (right, y)], faint, SCALE)
        pen.text((left - 8 * SCALE, y), text, letters, font, anchor="rm")
    for value in across.ticks:
        pen.line([(across.place(value), bottom), (across.place(value), bottom + 4 * SCALE)], letters, SCALE)
        pen.text((across.place(value), bottom + 7 * SCALE), tick_text(value), letters, font, anchor="ma")
    pen.line([(left, bottom), (right, bottom)], letters, SCALE)
    pen.text(((left + right) / 2, height * SCALE - edge), x_label, letters, font, anchor="md")
    pen.text((edge, edge), y_label, letters, font, anchor="la")
    for number, line in enumerate(drawn):
        points = [(across.place(p), up.place(v)) for p, v in zip(positions, line, strict=False)]
        colour = LINES[number % len(LINES)]
        pen.line(points, colour, 2 * SCALE, joint="curve")
        if len(points) <= 32:
            for point in points:
                pen.circle(point, 3 * SCALE, colour)
    legend(pen, font, names or [], right, edge, letters)
    return from_pillow(sheet.reduce(SCALE))


@node
def heatmap(
    rows: list[list[float]],
    row_labels: list[str],
    column_labels: list[str],
    low: float = 0.0,
    high: float = 1.0,
    decimals: Annotated[int, Field(ge=-1, le=6)] = 2,
    cell: Cell = 64,
    background: Colour = "#ffffff",
) -> Image:
    """Show a table of numbers as colours, from light at `low` to dark at `high`, such as how alike words are.

    Each number is written with so many `decimals`; -1 writes none.
    """
    wide = len(column_labels)
    if len(rows) != len(row_labels) or any(len(row) != wide for row in rows) or not rows:
        sizes = ", ".join(map(str, sorted({len(row) for row in rows}))) or "no"
        raise ValueError(
            f"{len(rows)} rows of {sizes} numbers do not fit {len(row_labels)} row labels and {wide} column "
            "labels; give one for each"
        )
    if not low < high or len(rows) * wide > MOST_CELLS:
        raise ValueError(f"low must be below high, and a table has {MOST_CELLS} numbers at most")
    cells = []
    for value in (v for row in rows for v in row):
        if not math.isfinite(value):
            raise ValueError(
                f"{value} is no finite number and has no colour; mend the table before drawing it"
            )
        share = min(max((value - low) / (high - low), 0.0), 1.0)
        half = int(share > 0.5)
        colour = mixed(HEAT[half], HEAT[half + 1], share * 2 - half)
        square = canvas(cell, cell, colour, torch.zeros(()))
        if decimals >= 0:
            strip = strips([f"{value:.{decimals}f}"], cell, max(9, cell // 4), colour)[0][0]
            square = centred(strip[:cell], cell, cell, colour)
        cells.append(square[None])
    return sheets.table(cells, column_labels, row_labels, 2, max(9, cell // 4), background)


def check_curves(
    lines: Sequence[Sequence[float]], x: Sequence[float] | None, logarithmic: bool
) -> Sequence[float]:
    """The positions of the numbers. ValueError where there is nothing to draw."""
    longest = max(map(len, lines), default=0)
    if not longest:
        raise ValueError("there is no curve to draw; link at least one list of numbers")
    positions = range(longest) if x is None else x
    if len(positions) < longest:
        raise ValueError(
            f"{longest} numbers have only {len(positions)} positions in x; give one for each number"
        )
    for value in [v for line in lines for v in line] + list(positions):
        if not math.isfinite(value):
            raise ValueError(f"{value} is no finite number and cannot be drawn; leave it out")
    if logarithmic and (least := min(v for line in lines for v in line)) <= 0:
        raise ValueError(f"{least} has no logarithm; leave it out, or set logarithmic to false")
    return positions


def axis(low: float, high: float, start: float, stop: float, count: int) -> Axis:
    """An axis that holds all numbers; a single number lies in the middle."""
    marks = ticks(low, high, count)
    return Axis(min(low, marks[0]), max(high, marks[-1]), start, stop, marks)


def ticks(low: float, high: float, count: int) -> list[float]:
    """Round numbers that enclose two others, `count` about: steps of 1, 2 or 5 times a power of ten."""
    if high - low <= 1e-12 * max(abs(low), abs(high), 1e-300):
        low, high = low - max(abs(low), 1) / 2, high + max(abs(high), 1) / 2
    rough = (high - low) / count
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(m * power for m in (1, 2, 5, 10) if m * power >= rough * 0.999)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [n * step for n in range(first, last + 1)]


def tick_text(value: float) -> str:
    """A number as it stands at an axis: without the noise of the last digits."""
    return f"{value:.6g}" if abs(value) > 1e-12 else "0"


def legend(
    pen: ImageDraw.ImageDraw, font: Font, names: Sequence[str], right: float, top: float, letters: str
) -> None:
    """The names of the curves in one line at the upper right, each behind a dot of its colour."""
    for number, name in reversed(list(enumerate(names))):
        right -= font.getlength(name)
        pen.text((right, top), name, letters, font, anchor="la")
        right -= 12 * SCALE
        pen.circle((right + 5 * SCALE, top + 7 * SCALE), 4 * SCALE, LINES[number % len(LINES)])
        right -= 14 * SCALE


def mixed(first: str, second: str, share: float) -> str:
    """A colour between two others; a share of 0 is the first."""
    values = torch.lerp(torch.tensor(rgb(first)), torch.tensor(rgb(second)), share)
    return "#" + bytes((values * 255).round().byte().tolist()).hex()
