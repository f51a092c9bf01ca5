"""Illustrations: where the things of a scene stand, and the scene as a picture. Pillow is all this needs."""

from random import Random
from typing import NamedTuple

from PIL import Image

from graphengine_storybook.palette import COLOURS, jittered, scaled
from graphengine_storybook.scenery import Canvas, fog, ground_colour, landscape, plain, rainfall, snowfall
from graphengine_storybook.things import DRAWN, Pen
from graphengine_storybook.world import SHAPES, Scene, Thing

_BROAD = ("mountain", "car", "castle", "cat", "fish", "star", "heart", *SHAPES)
_HOVERING = ("star", "heart")
_NO_SHADOW = ("star", "heart", "balloon", "rocket")
_SIZED = {"": 1.0, "small": 0.75, "large": 1.25}
_TALLER = {"car": 1.15, "flower": 0.92, "mushroom": 0.92}
_HEIGHT = {"one": 0.5, "side": 0.42, "above": 0.378, "row": 0.31}
_COLUMNS = {"side": (0.27, 0.73), "row": (0.185, 0.5, 0.815)}


def draw(scene: Scene, size: int = 128) -> Image.Image:
    """The scene as an RGB picture of `size` by `size` pixels, drawn at twice that and averaged."""
    rng = Random(scene.seed)
    if scene.place == "plain":
        canvas = plain(2 * size, jittered(COLOURS[scene.backdrop], rng, 6))
    else:
        canvas = landscape(2 * size, scene.place, scene.time, scene.weather, scene.light, rng)
        if scene.weather == "fog":
            fog(canvas, scene.time)
    spots = [_spot(scene, index, rng) for index in range(len(scene.things))]
    standing = list(zip(scene.things, spots, strict=True))
    for thing, spot in reversed(standing) if scene.relation == "front" else standing:
        _place(canvas, scene, thing, spot, rng)
    if scene.weather == "snow":
        snowfall(canvas, rng)
    elif scene.weather == "rain":
        rainfall(canvas, rng)
    return canvas.image.reduce(2)


class _Spot(NamedTuple):
    """Where a thing's foot stands and how high the thing is, in shares of the picture's side."""

    x: float
    foot: float
    height: float


def _spot(scene: Scene, index: int, rng: Random) -> _Spot:
    thing = scene.things[index]
    height = (0.34, 0.56)[index] if scene.relation == "front" else _HEIGHT[scene.relation]
    height *= _SIZED[thing.size] * rng.uniform(0.95, 1.05) * _TALLER.get(thing.kind, 1)
    if thing.kind in _BROAD:
        height *= 0.86
    if scene.relation in _COLUMNS:
        x = _COLUMNS[scene.relation][index] + rng.uniform(-0.02, 0.02)
    else:
        x = 0.5 + rng.uniform(-0.04, 0.04)
    if scene.relation == "above":
        height = min(height, 0.43)
    elif scene.relation == "front":
        x += (0.13, -0.1)[index] * (1 if scene.seed % 2 else -1)
    return _Spot(x, _foot(scene, index, height, rng), height)


def _foot(scene: Scene, index: int, height: float, rng: Random) -> float:
    on_plain = scene.place == "plain"
    if scene.relation == "above":
        if on_plain:
            return (0.27, 0.75)[index] + height / 2
        return (min(0.45, 0.04 + height), 0.92)[index]
    if scene.relation == "front":
        return (0.94, 0.76)[index] + rng.uniform(-0.015, 0.015)
    foot = 0.84 + rng.uniform(-0.02, 0.02)
    if on_plain:
        return 0.5 + height / 2
    if scene.things[index].kind in _HOVERING:
        return min(0.84, 0.42 + 0.55 * height)
    return 0.72 if scene.things[index].kind == "balloon" else foot


def _place(canvas: Canvas, scene: Scene, thing: Thing, spot: _Spot, rng: Random) -> None:
    side = canvas.side
    outline = max(1, round(side * 0.0085))
    pen = Pen(canvas.draw, spot.x * side, spot.foot * side, spot.height * side, outline)
    if scene.place not in ("plain", "sea") and thing.kind not in _NO_SHADOW and spot.foot > 0.6:
        shadow = scaled(ground_colour(scene.place, scene.time, scene.weather), 0.82)
        pen.ellipse(0, -0.005, 0.42, 0.055, shadow)
    DRAWN[thing.kind](pen, jittered(COLOURS[thing.colour], rng, 8), rng)
