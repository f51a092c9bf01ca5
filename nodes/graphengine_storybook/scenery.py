"""Scenery: the sky and the ground of each place at each time of day, in each weather.

All lengths are shares of the picture's side; the horizon lies about two thirds down.
"""

from dataclasses import dataclass
from functools import lru_cache
from random import Random

from PIL import Image, ImageDraw

from graphengine_storybook.palette import Rgb, jittered, mixed, scaled

_DAY_SKY: dict[str, tuple[Rgb, Rgb]] = {
    "meadow": ((96, 172, 240), (206, 232, 250)),
    "snow": ((176, 196, 218), (226, 234, 242)),
    "beach": ((88, 180, 244), (200, 234, 252)),
    "desert": ((120, 190, 236), (250, 234, 200)),
    "sea": ((130, 196, 244), (222, 240, 252)),
    "forest": ((120, 180, 232), (202, 226, 222)),
    "farm": ((104, 176, 242), (232, 236, 226)),
    "city": ((132, 178, 226), (222, 228, 236)),
}
_SUNSET_SKY: tuple[Rgb, Rgb] = ((104, 62, 132), (252, 160, 72))
_NIGHT_SKY: tuple[Rgb, Rgb] = ((10, 14, 46), (38, 46, 100))

GROUND: dict[tuple[str, str], Rgb] = {
    ("meadow", "day"): (112, 190, 80),
    ("snow", "day"): (244, 248, 252),
    ("beach", "day"): (240, 216, 158),
    ("desert", "day"): (226, 176, 102),
    ("sea", "day"): (36, 110, 178),
    ("meadow", "sunset"): (92, 106, 54),
    ("snow", "sunset"): (226, 194, 204),
    ("beach", "sunset"): (224, 170, 124),
    ("desert", "sunset"): (196, 116, 68),
    ("sea", "sunset"): (104, 78, 140),
    ("meadow", "night"): (24, 64, 48),
    ("snow", "night"): (128, 144, 184),
    ("beach", "night"): (112, 102, 96),
    ("desert", "night"): (98, 70, 58),
    ("sea", "night"): (14, 44, 96),
    ("forest", "day"): (74, 128, 62),
    ("forest", "sunset"): (70, 78, 46),
    ("forest", "night"): (16, 46, 40),
    ("farm", "day"): (232, 196, 84),
    ("farm", "sunset"): (208, 138, 54),
    ("farm", "night"): (104, 88, 44),
    ("city", "day"): (158, 160, 166),
    ("city", "sunset"): (126, 104, 116),
    ("city", "night"): (58, 60, 78),
}
"""The ground (or water) of a place at a time."""

_WAVE: dict[str, Rgb] = {"day": (130, 190, 232), "sunset": (250, 176, 112), "night": (62, 100, 160)}
_TREES: dict[str, Rgb] = {"day": (38, 92, 56), "sunset": (44, 48, 50), "night": (8, 28, 34)}
_TOWERS: dict[str, Rgb] = {"day": (112, 124, 148), "sunset": (82, 60, 96), "night": (28, 30, 58)}
_WINDOW: dict[str, Rgb] = {"day": (196, 214, 230), "sunset": (255, 206, 120), "night": (255, 220, 120)}
_FENCE: dict[str, Rgb] = {"day": (150, 100, 58), "sunset": (110, 66, 44), "night": (56, 42, 36)}
_FOG: dict[str, Rgb] = {"day": (222, 226, 230), "sunset": (222, 190, 176), "night": (84, 92, 118)}
_OVERCAST: dict[str, Rgb] = {"day": (146, 154, 168), "sunset": (126, 100, 112), "night": (26, 30, 48)}
_FOG_SHARE = 0.55
_RAIN: Rgb = (186, 206, 232)
_NIGHT_GAP: Rgb = (14, 18, 54)  # the sky that bites the moon into a crescent


def sky_colours(place: str, time: str, weather: str = "clear") -> tuple[Rgb, Rgb]:
    """The colours at the top and at the horizon."""
    top, bottom = {"sunset": _SUNSET_SKY, "night": _NIGHT_SKY}.get(time) or _DAY_SKY[place]
    if weather in ("rain", "snow"):
        return mixed(top, _OVERCAST[time], 0.75), mixed(bottom, _OVERCAST[time], 0.45)
    return top, bottom


def ground_colour(place: str, time: str, weather: str = "clear") -> Rgb:
    """The ground (or water) as it is seen through the weather."""
    ground = GROUND[place, time]
    return mixed(ground, _FOG[time], _FOG_SHARE) if weather == "fog" else ground


@lru_cache(maxsize=64)
def _sky(side: int, top: Rgb, bottom: Rgb) -> Image.Image:
    height = int(0.72 * side)
    ramp = Image.linear_gradient("L").resize((1, height), Image.Resampling.BILINEAR)
    bands = [
        ramp.point([int(a + (b - a) * i / 255) for i in range(256)]) for a, b in zip(top, bottom, strict=True)
    ]
    return Image.merge("RGB", bands).resize((side, height), Image.Resampling.NEAREST)


@dataclass(frozen=True)
class Canvas:
    """A picture in the making: `side` pixels wide and high, its horizon `horizon` pixels down."""

    image: Image.Image
    draw: ImageDraw.ImageDraw
    side: int
    horizon: int

    def disc(self, x: float, y: float, rx: float, ry: float, fill: Rgb) -> None:
        """An ellipse round (x, y); all four in pixels."""
        self.draw.ellipse((x - rx, y - ry, x + rx, y + ry), fill=fill)


def plain(side: int, colour: Rgb) -> Canvas:
    """A picture of one colour."""
    image = Image.new("RGB", (side, side), colour)
    return Canvas(image, ImageDraw.Draw(image), side, side)


def landscape(side: int, place: str, time: str, weather: str, light: str, rng: Random) -> Canvas:
    """Sky and ground of a place other than `plain`, with a sun or moon if `light` says so."""
    image = Image.new("RGB", (side, side))
    canvas = Canvas(image, ImageDraw.Draw(image), side, int((0.66 + rng.uniform(-0.025, 0.025)) * side))
    image.paste(_sky(side, *sky_colours(place, time, weather)), (0, 0))
    ground = jittered(GROUND[place, time], rng, 5)
    if weather == "clear":
        if time == "night":
            _stars(canvas, rng)
        if time == "day" and place in ("meadow", "farm", "beach", "sea") and rng.random() < 0.5:
            _clouds(canvas, rng)
        if time == "sunset":
            sun = (rng.uniform(0.2, 0.8) * side, canvas.horizon, 0.13 * side, 0.13 * side)
            canvas.disc(*sun, (255, 226, 120))
    if light:
        _light(canvas, light, rng)
    _ground(canvas, place, time, ground, rng)
    return canvas


def fog(canvas: Canvas, time: str) -> None:
    """What was drawn so far, seen through fog."""
    veil = Image.new("RGB", canvas.image.size, _FOG[time])
    canvas.image.paste(Image.blend(canvas.image, veil, _FOG_SHARE))


def rainfall(canvas: Canvas, rng: Random) -> None:
    """Streaks in front of everything."""
    length, width = 0.055 * canvas.side, max(1, round(canvas.side * 0.0085))
    for row in range(6):
        for column in range(6):
            x = (column + 0.2 + 0.6 * rng.random()) * canvas.side / 6
            y = (row + 0.2 + 0.6 * rng.random()) * canvas.side / 6
            canvas.draw.line((x, y, x - 0.35 * length, y + length), fill=_RAIN, width=width)


def snowfall(canvas: Canvas, rng: Random) -> None:
    """Flakes in front of everything."""
    for _ in range(26):
        radius = rng.uniform(0.007, 0.012) * canvas.side
        canvas.disc(rng.random() * canvas.side, rng.random() * canvas.side, radius, radius, (255, 255, 255))


def _stars(canvas: Canvas, rng: Random) -> None:
    for _ in range(22):
        radius = rng.uniform(0.004, 0.009) * canvas.side
        x, y = rng.random() * canvas.side, rng.random() * canvas.horizon * 0.93
        canvas.disc(x, y, radius, radius, (250, 250, 225))


def _clouds(canvas: Canvas, rng: Random) -> None:
    for _ in range(rng.randint(1, 2)):
        x, y = rng.uniform(0.1, 0.9) * canvas.side, rng.uniform(0.08, 0.24) * canvas.side
        radius = rng.uniform(0.045, 0.065) * canvas.side
        for shift, share in ((-1.1, 0.75), (0, 1), (1.1, 0.75)):
            size = share * radius
            canvas.disc(x + shift * radius, y, 1.1 * size, 0.9 * size, (252, 253, 255))


def _light(canvas: Canvas, light: str, rng: Random) -> None:
    x, y = rng.uniform(0.82, 0.86) * canvas.side, 0.16 * canvas.side
    radius = 0.085 * canvas.side
    if light == "sun":
        canvas.disc(x, y, 1.35 * radius, 1.35 * radius, (255, 240, 180))
        canvas.disc(x, y, radius, radius, (255, 214, 50))
    else:
        canvas.disc(x, y, radius, radius, (248, 244, 208))
        canvas.disc(x + 0.575 * radius, y - 0.15 * radius, 0.925 * radius, 0.95 * radius, _NIGHT_GAP)


def _ground(canvas: Canvas, place: str, time: str, ground: Rgb, rng: Random) -> None:
    draw, side, horizon = canvas.draw, canvas.side, canvas.horizon
    if place == "beach":
        draw.rectangle((0, horizon - 0.1 * side, side, side), fill=GROUND["sea", time])
        canvas.disc(0.5 * side, horizon + 0.6 * side, 0.95 * side, 0.6 * side, ground)
        return
    if place == "desert":
        canvas.disc(0.125 * side, horizon + 0.37 * side, 0.625 * side, 0.43 * side, scaled(ground, 0.92))
        canvas.disc(0.925 * side, horizon + 0.435 * side, 0.675 * side, 0.465 * side, ground)
        draw.rectangle((0, horizon + 0.1 * side, side, side), fill=ground)
        return
    if place == "forest":
        _treeline(canvas, _TREES[time], rng)
    elif place == "city":
        _skyline(canvas, time, rng)
    elif place in ("meadow", "snow", "farm"):
        canvas.disc(0.15 * side, horizon + 0.265 * side, 0.55 * side, 0.335 * side, scaled(ground, 0.93))
    draw.rectangle((0, horizon, side, side), fill=ground)
    thin = max(1, round(side * 0.0085))
    if place == "sea":
        for _ in range(9):
            x, y = rng.random() * side, rng.uniform(horizon + 0.03 * side, side)
            box = (x - 0.05 * side, y - 0.02 * side, x + 0.05 * side, y + 0.03 * side)
            draw.arc(box, 200, 340, fill=_WAVE[time], width=thin)
    elif place == "farm":
        _fence(canvas, _FENCE[time])
        for row in range(4):
            y = horizon + (0.05 + 0.08 * row) * side
            draw.line((0, y, side, y), fill=scaled(ground, 0.88), width=2 * thin)
    elif place == "city":
        y = horizon + 0.24 * side
        for column in range(5):
            x = (0.04 + 0.21 * column) * side
            draw.rectangle((x, y, x + 0.1 * side, y + 0.014 * side), fill=scaled(ground, 1.25))
    elif place == "meadow":
        for _ in range(10):
            x, y = rng.random() * side, rng.uniform(horizon + 0.04 * side, side)
            tip = y - 0.025 * side
            blades = [(x - 0.012 * side, tip), (x, y), (x + 0.012 * side, tip)]
            draw.line(blades, fill=scaled(ground, 0.74), width=thin)


def _treeline(canvas: Canvas, colour: Rgb, rng: Random) -> None:
    side, foot = canvas.side, canvas.horizon + 0.01 * canvas.side
    for tree in range(9):
        x = (tree + 0.5 + rng.uniform(-0.12, 0.12)) * side / 9
        height = (0.34 if tree % 2 else 0.27) * side * rng.uniform(0.93, 1.07)
        crown = [(x - 0.085 * side, foot), (x, foot - height), (x + 0.085 * side, foot)]
        canvas.draw.polygon(crown, fill=scaled(colour, 1 if tree % 2 else 1.25))


def _skyline(canvas: Canvas, time: str, rng: Random) -> None:
    side, foot, left = canvas.side, canvas.horizon, 0.0
    for tower in range(7):
        width = side / 7
        height = (0.2, 0.33, 0.25, 0.38, 0.22, 0.3, 0.26)[tower] * side * rng.uniform(0.92, 1.08)
        fill = scaled(_TOWERS[time], 1 if tower % 2 else 1.14)
        canvas.draw.rectangle((left, foot - height, left + width, foot), fill=fill)
        for row in range(int(height / (0.075 * side))):
            y = foot - height + (0.025 + 0.075 * row) * side
            for x in (left + 0.22 * width, left + 0.6 * width):
                canvas.draw.rectangle((x, y, x + 0.18 * width, y + 0.035 * side), fill=_WINDOW[time])
        left += width


def _fence(canvas: Canvas, wood: Rgb) -> None:
    side, foot = canvas.side, canvas.horizon + 0.02 * canvas.side
    for share in (0.055, 0.095):
        y = foot - share * side
        canvas.draw.rectangle((0, y, side, y + 0.016 * side), fill=wood)
    for post in range(8):
        x = (post + 0.5) * side / 8
        canvas.draw.rectangle((x - 0.012 * side, foot - 0.125 * side, x + 0.012 * side, foot), fill=wood)
