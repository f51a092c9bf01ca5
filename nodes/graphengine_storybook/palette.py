"""Colours: the eleven that a caption may name, and their shades. Channels are 0 to 255."""

from random import Random

Rgb = tuple[int, int, int]

COLOURS: dict[str, Rgb] = {
    "red": (214, 45, 48),
    "orange": (243, 140, 32),
    "yellow": (250, 214, 46),
    "green": (52, 165, 72),
    "blue": (48, 104, 216),
    "purple": (136, 66, 188),
    "pink": (247, 138, 184),
    "white": (246, 246, 246),
    "black": (40, 40, 46),
    "brown": (134, 84, 48),
    "gray": (148, 150, 158),
}
"""The colours of things, by the English word."""

_DARK = 180  # the sum of the channels below which a colour needs a lighter edge to be seen


def clamp(value: float) -> int:
    """The nearest channel value."""
    return max(0, min(255, int(value)))


def scaled(colour: Rgb, factor: float) -> Rgb:
    """Every channel times `factor`."""
    red, green, blue = colour
    return clamp(red * factor), clamp(green * factor), clamp(blue * factor)


def mixed(colour: Rgb, other: Rgb, share: float) -> Rgb:
    """The way from `colour` (share 0) to `other` (share 1)."""
    red, green, blue = (int(a + (b - a) * share) for a, b in zip(colour, other, strict=True))
    return red, green, blue


def jittered(colour: Rgb, rng: Random, amount: int) -> Rgb:
    """Every channel moved by at most `amount`: no two pictures have quite the same red."""
    red, green, blue = (clamp(channel + rng.randint(-amount, amount)) for channel in colour)
    return red, green, blue


def edge(colour: Rgb) -> Rgb:
    """The outline of a thing of this colour."""
    return scaled(colour, 0.5) if sum(colour) > _DARK else (92, 92, 104)


def dark(colour: Rgb) -> Rgb:
    """The shaded parts of a thing of this colour."""
    return scaled(colour, 0.74) if sum(colour) > _DARK else (66, 66, 76)


def light(colour: Rgb) -> Rgb:
    """The lit parts of a thing of this colour."""
    return mixed(colour, (255, 255, 255), 0.35)
