"""A picture of simulations: for each a column, with what happened over time and what the queue cost."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

from PIL import Image, ImageDraw, ImageFont
from simulate.play import Found

from graphengine_nodes.pixels import to_pillow
from graphengine_nodes.plots import LINES, curves

WIDTH, HEIGHT = 620, 230
"""Pixels of a diagram."""
EDGE, SCALE = 16, 3
MOMENTS = 120
"""Points of a curve."""
LOOKS = 10
"""Looks at the queue for each of them."""
LIMIT = 1.0
"""Milliseconds that the queue may take for a job."""


class Course(NamedTuple):
    """What happened in stretches of time; `seconds` are where each ends."""

    seconds: list[float]
    ended: list[float]
    """Jobs a second."""
    waiting: list[float]
    """The most that were seen."""
    busy: list[float]
    """Workers at a job."""
    loads: list[float]
    """Loads of models a second."""


def course(found: Found) -> Course:
    """What happened from the first moment to the end of the last job."""
    created, started, ended = (sorted(times) for times in zip(*found.times, strict=True))
    loaded, step = sorted(found.loaded), found.seconds / MOMENTS
    marks = [step * number for number in range(MOMENTS + 1)]
    counts = [[bisect_right(times, mark) for mark in marks] for times in (started, ended, loaded)]
    begun, gone, _ = (numbers[1:] for numbers in counts)
    looks = [step / LOOKS * (number + 1) for number in range(MOMENTS * LOOKS)]
    waiting = [bisect_right(created, look) - bisect_right(started, look) for look in looks]
    rates = [[(after - before) / step for before, after in pairwise(numbers)] for numbers in counts[1:]]
    return Course(
        marks[1:], rates[0], [max(waiting[n : n + LOOKS]) for n in range(0, len(waiting), LOOKS)],
        [a - b for a, b in zip(begun, gone, strict=True)], rates[1],
    )  # fmt: skip


def draw(plays: Sequence[tuple[str, Found]], path: Path) -> None:
    """Write the picture of some simulations, each with its title, as a PNG file."""
    columns = [column(title, found) for title, found in plays]
    sheet = Image.new(
        "RGB", (sum(each.width for each in columns), max(each.height for each in columns)), "#ffffff"
    )
    for number, each in enumerate(columns):
        sheet.paste(each, (number * each.width, 0))
    path.parent.mkdir(parents=True, exist_ok=True)
    sheet.save(path, optimize=True)


def column(title: str, found: Found) -> Image.Image:
    """One simulation."""
    seen = course(found)
    rows = [
        heading(title),
        *(
            diagram(seen.seconds, values, label)
            for label, values in (
                ("jobs that end, a second", seen.ended),
                ("jobs that wait, at most", seen.waiting),
                ("workers at a job", seen.busy),
                ("models loaded, a second", seen.loads),
            )
        ),
        bars({name: seconds / found.jobs * 1e3 for name, seconds in found.costs.seconds.items()}),
    ]
    whole = Image.new("RGB", (WIDTH + 2 * EDGE, sum(row.height for row in rows) + 2 * EDGE), "#ffffff")
    top = EDGE
    for row in rows:
        whole.paste(row, (EDGE, top))
        top += row.height
    return whole


def heading(title: str) -> Image.Image:
    """What was simulated."""
    sheet = Image.new("RGB", (WIDTH * SCALE, 40 * SCALE), "#ffffff")
    pen, font = ImageDraw.Draw(sheet), ImageFont.load_default(17 * SCALE)
    pen.text((14 * SCALE, 6 * SCALE), title, "#202124", font)
    return sheet.reduce(SCALE)


def diagram(seconds: list[float], values: list[float], label: str) -> Image.Image:
    """Numbers over the made-up time, from zero on."""
    lines, x = [[0.0, *values]], [0.0, *seconds]
    return to_pillow(curves(lines, x=x, x_label="seconds", y_label=label, width=WIDTH, height=HEIGHT))[0]


def bars(costs: dict[str, float]) -> Image.Image:
    """What each operation of the queue costs, in ms a job, beside what all may cost together."""
    shown = sorted(((ms, name) for name, ms in costs.items() if ms > LIMIT / 200), reverse=True)
    total, pitch, left = sum(costs.values()), 22, 120
    sheet = Image.new("RGB", (WIDTH * SCALE, (len(shown) + 3) * pitch * SCALE), "#ffffff")
    pen, font = ImageDraw.Draw(sheet), ImageFont.load_default(13 * SCALE)
    room = (WIDTH - left - 80) / max(LIMIT, total)
    text = f"processor time of the queue, ms a job (all together {total:.2f}; {LIMIT:g} is the limit)"
    pen.text((14 * SCALE, 10 * SCALE), text, "#202124", font)
    for row, (ms, name) in enumerate([(total, "all together"), *shown], 2):
        middle, end, colour = row * pitch * SCALE, (left + ms * room) * SCALE, LINES[0 if row > 2 else 2]
        pen.text(((left - 8) * SCALE, middle), name, "#202124", font, anchor="rm")
        box = (left * SCALE, middle - 7 * SCALE, end, middle + 7 * SCALE)
        pen.rectangle(box, colour)
        pen.text((end + 6 * SCALE, middle), f"{ms:.3f}", "#202124", font, anchor="lm")
    edge = (left + LIMIT * room) * SCALE
    pen.line([(edge, 1.4 * pitch * SCALE), (edge, sheet.height)], LINES[3], SCALE)
    return sheet.reduce(SCALE)
