"""Things: how each of the 19 kinds is drawn.

A `Pen` stands on the ground at the thing's foot. Its unit is the height of the thing, x runs to the
right and y upwards, so (0, 0) is the foot and (0, 1) the top.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from random import Random

from PIL import ImageDraw

from graphengine_storybook.palette import Rgb, dark, edge, light, scaled

Point = tuple[float, float]

_TRUNK: Rgb = (112, 74, 43)
_STICK: Rgb = (92, 68, 44)
_GLASS: Rgb = (184, 223, 246)
_STONE_HOLE: Rgb = (66, 50, 50)


@dataclass(frozen=True)
class Pen:
    """Draws in a thing's own coordinates.

    x and y are the foot in pixels, `scale` the pixels of one unit, `width` the outline in pixels.
    """

    draw: ImageDraw.ImageDraw
    x: float
    y: float
    scale: float
    width: int

    def at(self, x: float, y: float) -> Point:
        """The pixel under a point of the thing."""
        return self.x + x * self.scale, self.y - y * self.scale

    def _box(self, x: float, y: float, rx: float, ry: float) -> tuple[float, float, float, float]:
        left, top = self.at(x - rx, y + ry)
        right, bottom = self.at(x + rx, y - ry)
        return left, top, right, bottom

    def polygon(self, points: list[Point], fill: Rgb, outline: Rgb | None = None) -> None:
        """A closed shape through the points."""
        pixels = [self.at(x, y) for x, y in points]
        self.draw.polygon(pixels, fill=fill, outline=outline, width=self.width)

    def ellipse(
        self, x: float, y: float, rx: float, ry: float, fill: Rgb, outline: Rgb | None = None
    ) -> None:
        """An ellipse round (x, y)."""
        self.draw.ellipse(self._box(x, y, rx, ry), fill=fill, outline=outline, width=self.width)

    def rectangle(
        self, left: float, bottom: float, right: float, top: float, fill: Rgb, outline: Rgb | None
    ) -> None:
        """An upright rectangle."""
        box = (*self.at(left, top), *self.at(right, bottom))
        self.draw.rectangle(box, fill=fill, outline=outline, width=self.width)

    def dome(self, x: float, y: float, rx: float, ry: float, fill: Rgb, outline: Rgb | None = None) -> None:
        """The upper half of an ellipse round (x, y)."""
        box = self._box(x, y, rx, ry)
        self.draw.pieslice(box, 180, 360, fill=fill, outline=outline, width=self.width)

    def line(self, points: list[Point], fill: Rgb, width: float) -> None:
        """A stroke through the points, `width` in units of the thing."""
        pixels = [self.at(x, y) for x, y in points]
        self.draw.line(pixels, fill=fill, width=max(1, int(width * self.scale)), joint="curve")


def _house(pen: Pen, colour: Rgb, rng: Random) -> None:
    line = edge(colour)
    roof = (110, 62, 48)
    pen.rectangle(-0.4, 0, 0.4, 0.55, colour, line)
    pen.polygon([(-0.5, 0.53), (0, 1), (0.5, 0.53)], roof, scaled(roof, 0.6))
    pen.rectangle(-0.1, 0, 0.1, 0.3, (92, 60, 40), line)
    for x in (-0.27, 0.27):
        pen.rectangle(x - 0.08, 0.27, x + 0.08, 0.43, (255, 236, 150), line)


def _tree(pen: Pen, colour: Rgb, rng: Random) -> None:
    pen.rectangle(-0.08, 0, 0.08, 0.45, _TRUNK, scaled(_TRUNK, 0.66))
    for x, y, radius in ((-0.2, 0.55, 0.25), (0.2, 0.55, 0.25), (0, 0.75, 0.27)):
        pen.ellipse(x, y, radius, radius, colour, edge(colour))
    pen.ellipse(0, 0.6, 0.26, 0.2, colour)


def _pine(pen: Pen, colour: Rgb, rng: Random) -> None:
    pen.rectangle(-0.06, 0, 0.06, 0.2, _TRUNK, scaled(_TRUNK, 0.66))
    for y, width in ((0.14, 0.38), (0.38, 0.31), (0.62, 0.23)):
        pen.polygon([(-width, y), (0, y + 0.38), (width, y)], colour, edge(colour))


def _boat(pen: Pen, colour: Rgb, rng: Random) -> None:
    pen.line([(0, 0.25), (0, 1)], _STICK, 0.05)
    for cloth, sail in (
        ((250, 248, 240), [(0.05, 0.95), (0.05, 0.36), (0.42, 0.36)]),
        ((236, 232, 222), [(-0.05, 0.85), (-0.05, 0.36), (-0.34, 0.36)]),
    ):
        pen.polygon(sail, cloth, (130, 130, 140))
    pen.polygon([(-0.5, 0.3), (0.5, 0.3), (0.34, 0), (-0.34, 0)], colour, edge(colour))


def _mushroom(pen: Pen, colour: Rgb, rng: Random) -> None:
    stem = [(-0.13, 0.5), (0.13, 0.5), (0.18, 0), (-0.18, 0)]
    pen.polygon(stem, (244, 230, 206), (160, 140, 115))
    pen.dome(0, 0.45, 0.46, 0.5, colour, edge(colour))
    dot = (255, 255, 255) if sum(colour) < 650 else (214, 60, 60)
    for x, y, radius in ((-0.22, 0.6, 0.07), (0.04, 0.77, 0.075), (0.25, 0.58, 0.065)):
        pen.ellipse(x, y, radius, radius, dot)


def _flower(pen: Pen, colour: Rgb, rng: Random) -> None:
    pen.line([(0, 0), (0, 0.6)], (44, 130, 56), 0.07)
    for x, y in ((0.14, 0.2), (-0.14, 0.27)):
        pen.ellipse(x, y, 0.13, 0.055, (60, 150, 66), (34, 96, 44))
    turn = rng.random()
    for petal in range(6):
        angle = turn + petal * math.pi / 3
        x, y = 0.24 * math.cos(angle), 0.7 + 0.24 * math.sin(angle)
        pen.ellipse(x, y, 0.15, 0.15, colour, edge(colour))
    pen.ellipse(0, 0.7, 0.14, 0.14, (252, 206, 60))


def _balloon(pen: Pen, colour: Rgb, rng: Random) -> None:
    for side in (-1, 1):
        pen.line([(side * 0.2, 0.4), (side * 0.09, 0.16)], _STICK, 0.025)
    neck = [(-0.3, 0.48), (0.3, 0.48), (0.11, 0.27), (-0.11, 0.27)]
    pen.polygon(neck, colour, edge(colour))
    pen.ellipse(0, 0.66, 0.36, 0.35, colour, edge(colour))
    pen.ellipse(0, 0.66, 0.15, 0.34, light(colour))
    pen.rectangle(-0.11, 0, 0.11, 0.17, (150, 100, 55), (90, 60, 34))


def _cat(pen: Pen, colour: Rgb, rng: Random) -> None:
    line = edge(colour)
    for side in (-1, 1):
        ear = [(side * 0.42, 0.95), (side * 0.4, 0.45), (side * 0.08, 0.72)]
        inside = [(side * 0.36, 0.84), (side * 0.34, 0.6), (side * 0.18, 0.7)]
        pen.polygon(ear, colour, line)
        pen.polygon(inside, (244, 160, 170))
    pen.ellipse(0, 0.42, 0.45, 0.39, colour, line)
    for x in (-0.17, 0.17):
        pen.ellipse(x, 0.5, 0.09, 0.1, (252, 252, 252) if sum(colour) < 640 else (120, 190, 90))
        pen.ellipse(x, 0.5, 0.04, 0.08, (20, 20, 24))
    pen.polygon([(-0.06, 0.35), (0.06, 0.35), (0, 0.28)], (230, 100, 120))
    whisker = (70, 60, 60) if sum(colour) > 330 else (235, 235, 235)
    for side in (-1, 1):
        pen.line([(side * 0.2, 0.3), (side * 0.55, 0.34)], whisker, 0.02)
        pen.line([(side * 0.2, 0.25), (side * 0.54, 0.2)], whisker, 0.02)


def _car(pen: Pen, colour: Rgb, rng: Random) -> None:
    line = edge(colour)
    pen.polygon([(-0.3, 0.34), (-0.18, 0.6), (0.2, 0.6), (0.34, 0.34)], colour, line)
    pen.polygon([(-0.2, 0.36), (-0.13, 0.54), (-0.01, 0.54), (-0.01, 0.36)], _GLASS, line)
    pen.polygon([(0.05, 0.36), (0.05, 0.54), (0.16, 0.54), (0.24, 0.36)], _GLASS, line)
    body = (*pen.at(-0.55, 0.37), *pen.at(0.55, 0.11))
    pen.draw.rounded_rectangle(body, radius=0.08 * pen.scale, fill=colour, outline=line, width=pen.width)
    for x in (-0.3, 0.3):
        pen.ellipse(x, 0.11, 0.125, 0.125, (40, 40, 44))
        pen.ellipse(x, 0.11, 0.055, 0.055, (190, 190, 196))


def _rocket(pen: Pen, colour: Rgb, rng: Random) -> None:
    line = edge(colour)
    for side in (-1, 1):
        fin = [(side * 0.16, 0.4), (side * 0.36, 0.1), (side * 0.16, 0.16)]
        pen.polygon(fin, dark(colour), line)
    pen.polygon([(-0.09, 0.14), (0.09, 0.14), (0, -0.06)], (252, 170, 50))
    right = [(0.13, 0.82), (0.2, 0.6), (0.19, 0.14)]
    left = [(-x, y) for x, y in reversed(right)]
    pen.polygon([*left, (0, 1), *right], colour, line)
    pen.ellipse(0, 0.58, 0.1, 0.1, _GLASS, line)


def _fish(pen: Pen, colour: Rgb, rng: Random) -> None:
    line = edge(colour)
    pen.polygon([(0.24, 0.42), (0.55, 0.68), (0.55, 0.16)], dark(colour), line)
    pen.polygon([(-0.1, 0.62), (0.1, 0.86), (0.16, 0.58)], dark(colour), line)
    pen.ellipse(-0.08, 0.42, 0.42, 0.28, colour, line)
    pen.ellipse(-0.3, 0.48, 0.075, 0.075, (255, 255, 255), line)
    pen.ellipse(-0.32, 0.48, 0.035, 0.035, (10, 10, 14))
    pen.line([(-0.06, 0.6), (0, 0.42), (-0.06, 0.24)], line, 0.03)


def _umbrella(pen: Pen, colour: Rgb, rng: Random) -> None:
    handle = [(0, 0.5), (0, 0.08), (0.06, 0.02), (0.13, 0.04), (0.15, 0.12)]
    pen.line(handle, _STICK, 0.05)
    pen.dome(0, 0.5, 0.5, 0.45, colour, edge(colour))
    pen.dome(0, 0.5, 0.19, 0.44, light(colour))
    pen.line([(0, 0.93), (0, 1)], _STICK, 0.04)


def _star(pen: Pen, colour: Rgb, rng: Random) -> None:
    points = []
    for corner in range(10):
        radius, angle = 0.22 if corner % 2 else 0.5, corner * math.pi / 5
        points.append((radius * math.sin(angle), 0.5 + radius * math.cos(angle)))
    pen.polygon(points, colour, edge(colour))


def _heart(pen: Pen, colour: Rgb, rng: Random) -> None:
    # Weisstein, "Heart Curve", MathWorld, eq. 6 and 7; its unit is 0.03 of ours.
    points = []
    for corner in range(40):
        t = corner * math.pi / 20
        x = 16 * math.sin(t) ** 3
        y = 13 * math.cos(t) - 5 * math.cos(2 * t) - 2 * math.cos(3 * t) - math.cos(4 * t)
        points.append((0.03 * x, 0.54 + 0.03 * y))
    pen.polygon(points, colour, edge(colour))


def _mountain(pen: Pen, colour: Rgb, rng: Random) -> None:
    ridge = [(-0.75, 0.0), (-0.1, 1.0), (0.14, 0.72), (0.26, 0.8), (0.75, 0.0)]
    pen.polygon(ridge, colour, edge(colour))
    snow = (252, 252, 255) if sum(colour) < 700 else (170, 196, 226)
    cap = [(-0.1, 1), (0.14, 0.72), (0.07, 0.66), (-0.03, 0.76), (-0.14, 0.66), (-0.24, 0.78)]
    pen.polygon(cap, snow)


def _castle(pen: Pen, colour: Rgb, rng: Random) -> None:
    line = edge(colour)
    pen.rectangle(-0.3, 0, 0.3, 0.5, colour, line)
    for x in (-0.38, 0.38):
        pen.rectangle(x - 0.13, 0, x + 0.13, 0.68, colour, line)
        pen.polygon([(x - 0.17, 0.67), (x, 1), (x + 0.17, 0.67)], dark(colour), line)
        pen.rectangle(x - 0.04, 0.42, x + 0.04, 0.54, _STONE_HOLE, None)
    for x in (-0.16, 0, 0.16):
        pen.rectangle(x - 0.055, 0.49, x + 0.055, 0.59, colour, line)
    pen.dome(0, 0.16, 0.11, 0.12, _STONE_HOLE)
    pen.rectangle(-0.11, 0, 0.11, 0.17, _STONE_HOLE, None)


def _circle(pen: Pen, colour: Rgb, rng: Random) -> None:
    pen.ellipse(0, 0.5, 0.48, 0.48, colour, edge(colour))


def _square(pen: Pen, colour: Rgb, rng: Random) -> None:
    pen.rectangle(-0.44, 0.06, 0.44, 0.94, colour, edge(colour))


def _triangle(pen: Pen, colour: Rgb, rng: Random) -> None:
    pen.polygon([(-0.54, 0.04), (0, 0.98), (0.54, 0.04)], colour, edge(colour))


DRAWN: dict[str, Callable[[Pen, Rgb, Random], None]] = {
    "house": _house,
    "tree": _tree,
    "pine": _pine,
    "boat": _boat,
    "mushroom": _mushroom,
    "flower": _flower,
    "balloon": _balloon,
    "cat": _cat,
    "car": _car,
    "rocket": _rocket,
    "fish": _fish,
    "umbrella": _umbrella,
    "star": _star,
    "heart": _heart,
    "mountain": _mountain,
    "castle": _castle,
    "circle": _circle,
    "square": _square,
    "triangle": _triangle,
}
"""How each kind is drawn, in the order of the labels."""
