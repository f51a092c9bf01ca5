"""The world of the storybook: what a scene is, how one is invented, drawn and labelled.

A scene holds one or two things, a place and a time of day. Its `seed` fixes every free line of the
drawing, so a scene has one picture. Pillow is all this needs.
"""

from dataclasses import dataclass, replace
from random import Random
from typing import Generic, Literal, NamedTuple, TypeVar

from PIL import Image

from graphengine_storybook.palette import COLOURS, jittered, scaled
from graphengine_storybook.scenery import GROUND, Canvas, landscape, plain, snowfall
from graphengine_storybook.things import DRAWN, Pen

T = TypeVar("T")
HeldOut = Literal["skip", "any", "only"]

KINDS = tuple(DRAWN)
COLOUR_NAMES = tuple(COLOURS)
SHAPES = ("circle", "square", "triangle")
PLACES = ("meadow", "snow", "beach", "desert", "sea", "plain")
TIMES = ("day", "sunset", "night")
SIZES = ("", "small", "large")
RELATIONS = ("one", "side", "above")
LIGHTS = ("", "sun", "moon")

USUAL = {
    "house": "red",
    "tree": "green",
    "pine": "green",
    "boat": "brown",
    "mushroom": "red",
    "flower": "pink",
    "balloon": "red",
    "cat": "orange",
    "car": "red",
    "rocket": "white",
    "fish": "orange",
    "umbrella": "purple",
    "star": "yellow",
    "heart": "red",
    "mountain": "brown",
    "castle": "white",
    "circle": "red",
    "square": "blue",
    "triangle": "green",
}
"""The colour that a thing has when nobody names one."""

HELD_OUT = {
    "house": "purple",
    "tree": "pink",
    "pine": "white",
    "boat": "green",
    "mushroom": "blue",
    "flower": "orange",
    "balloon": "black",
    "cat": "blue",
    "car": "yellow",
    "rocket": "red",
    "fish": "purple",
    "umbrella": "brown",
    "star": "pink",
    "heart": "green",
    "mountain": "purple",
    "castle": "orange",
    "circle": "brown",
    "square": "yellow",
    "triangle": "white",
}
"""For each kind the colour it never has in training: a test of putting words together."""

_OBJECTS = tuple(kind for kind in KINDS if kind not in SHAPES)
_FLYING = ("balloon", "rocket", "star", "heart", "umbrella", "fish")
_STANDING = tuple(kind for kind in _OBJECTS if kind not in ("star", "heart"))
_BROAD = ("mountain", "car", "castle", "cat", "fish", "star", "heart", *SHAPES)
_NO_SHADOW = ("star", "heart", "balloon", "rocket")


@dataclass(frozen=True)
class Thing:
    """One thing of a scene: a kind of `KINDS`, a colour of `COLOUR_NAMES`, a size of `SIZES`."""

    kind: str
    colour: str
    size: str = ""

    @property
    def held_out(self) -> bool:
        """Whether this kind in this colour is kept out of training."""
        return HELD_OUT[self.kind] == self.colour


@dataclass(frozen=True)
class Scene:
    """What one picture shows.

    `things` are (left, right) for the relation `side`, (upper, lower) for `above`, one for `one`.
    `time` is `day` and `backdrop` a colour if `place` is `plain`; else `backdrop` is empty.
    """

    things: tuple[Thing, ...]
    relation: str = "one"
    place: str = "meadow"
    time: str = "day"
    backdrop: str = ""
    light: str = ""
    seed: int = 0


class Labels(NamedTuple, Generic[T]):
    """A scene in numbers: indices into the tuples named here, one past the end for none."""

    kind: T  # KINDS, of the first thing
    colour: T  # COLOUR_NAMES
    other_kind: T  # KINDS, of the second thing
    other_colour: T  # COLOUR_NAMES
    place: T  # PLACES
    time: T  # TIMES; none on a plain ground
    relation: T  # RELATIONS
    backdrop: T  # COLOUR_NAMES
    size: T  # SIZES
    other_size: T  # SIZES
    light: T  # LIGHTS


CLASSES = Labels(
    len(KINDS),
    len(COLOURS),
    len(KINDS) + 1,
    len(COLOURS) + 1,
    len(PLACES),
    len(TIMES) + 1,
    len(RELATIONS),
    len(COLOURS) + 1,
    len(SIZES),
    len(SIZES) + 1,
    len(LIGHTS),
)
"""How many values each label can take."""


def make(rng: Random, held_out: HeldOut = "skip", count: int | None = None) -> Scene:
    """Invent a scene of `count` things (one or two by chance if None).

    `held_out`: `skip` never takes a pair of `HELD_OUT`, `any` may, `only` starts with one.
    """
    while True:
        scene = _invent(rng, count)
        if held_out == "only":
            first = scene.things[0]
            first = replace(first, colour=HELD_OUT[first.kind])
            scene = replace(scene, things=(first, *scene.things[1:]))
        elif held_out == "skip" and any(thing.held_out for thing in scene.things):
            continue
        names = [(thing.kind, thing.colour) for thing in scene.things]
        hidden = any(thing.colour == scene.backdrop for thing in scene.things)
        if len(set(names)) == len(names) and not hidden:
            return scene


def _invent(rng: Random, count: int | None) -> Scene:
    place = rng.choices(PLACES, (1.4, 1, 1, 0.8, 1.1, 1.2))[0]
    time = "day" if place == "plain" else rng.choices(TIMES, (0.5, 0.25, 0.25))[0]
    shapes = place == "plain" and rng.random() < 0.6
    kinds = SHAPES if shapes else _OBJECTS
    at_sea = place == "sea" and rng.random() < 0.5
    first = rng.choice(("boat", "boat", "fish", "balloon") if at_sea else kinds)
    relation = "one"
    chosen = [first]
    if (count or rng.choices((1, 2), (0.42, 0.58))[0]) == 2:
        relation = rng.choices(("side", "above"), (0.68, 0.32))[0]
        if relation == "side":
            chosen.insert(rng.randrange(2), rng.choice(kinds))
        elif shapes:
            chosen.insert(0, rng.choice(SHAPES))
        else:
            chosen = [rng.choice(_FLYING), first if first in _STANDING else rng.choice(_STANDING)]
    things = tuple(Thing(kind, _colour(rng, kind), _size(rng)) for kind in chosen)
    light = ""
    if relation != "above" and place not in ("plain", "snow"):
        if time == "day" and rng.random() < 0.3:
            light = "sun"
        elif time == "night" and rng.random() < 0.4:
            light = "moon"
    backdrop = rng.choice(COLOUR_NAMES) if place == "plain" else ""
    return Scene(things, relation, place, time, backdrop, light, rng.getrandbits(31))


def _colour(rng: Random, kind: str) -> str:
    return USUAL[kind] if rng.random() < 0.2 else rng.choice(COLOUR_NAMES)


def _size(rng: Random) -> str:
    return rng.choices(SIZES, (0.6, 0.2, 0.2))[0]


def labels(scene: Scene) -> Labels[int]:
    """The scene in numbers, as the judge and the text encoder learn it."""
    first, second = scene.things[0], scene.things[1] if len(scene.things) == 2 else None
    return Labels(
        kind=KINDS.index(first.kind),
        colour=COLOUR_NAMES.index(first.colour),
        other_kind=KINDS.index(second.kind) if second else len(KINDS),
        other_colour=COLOUR_NAMES.index(second.colour) if second else len(COLOURS),
        place=PLACES.index(scene.place),
        time=len(TIMES) if scene.place == "plain" else TIMES.index(scene.time),
        relation=RELATIONS.index(scene.relation),
        backdrop=COLOUR_NAMES.index(scene.backdrop) if scene.backdrop else len(COLOURS),
        size=SIZES.index(first.size),
        other_size=SIZES.index(second.size) if second else len(SIZES),
        light=LIGHTS.index(scene.light),
    )


def draw(scene: Scene, size: int = 128) -> Image.Image:
    """The scene as an RGB picture of `size` by `size` pixels, drawn at twice that and averaged."""
    rng = Random(scene.seed)
    if scene.place == "plain":
        canvas = plain(2 * size, jittered(COLOURS[scene.backdrop], rng, 6))
    else:
        canvas = landscape(2 * size, scene.place, scene.time, scene.light, rng)
    spots = [_spot(scene, index, rng) for index in range(len(scene.things))]
    for thing, spot in zip(scene.things, spots, strict=True):
        _place(canvas, scene, thing, spot, rng)
    if scene.place == "snow":
        snowfall(canvas, rng)
    return canvas.image.reduce(2)


class _Spot(NamedTuple):
    """Where a thing's foot stands and how high the thing is, in shares of the picture's side."""

    x: float
    foot: float
    height: float


def _spot(scene: Scene, index: int, rng: Random) -> _Spot:
    thing = scene.things[index]
    height = 0.42 if len(scene.things) == 2 else 0.5
    height *= {"": 1, "small": 0.75, "large": 1.25}[thing.size] * rng.uniform(0.95, 1.05)
    if thing.kind in _BROAD:
        height *= 0.86
    height *= {"car": 1.15, "flower": 0.92, "mushroom": 0.92}.get(thing.kind, 1)
    if scene.relation == "side":
        x = (0.27, 0.73)[index] + rng.uniform(-0.02, 0.02)
    else:
        x = 0.5 + rng.uniform(-0.04, 0.04)
    foot = 0.84 + rng.uniform(-0.02, 0.02)
    if scene.relation == "above":
        height = min(0.9 * height, 0.43)
        if scene.place == "plain":
            foot = (0.27, 0.75)[index] + height / 2
        else:
            foot = (min(0.45, 0.04 + height), 0.92)[index]
    elif scene.place == "plain":
        foot = 0.5 + height / 2
    elif thing.kind in ("star", "heart"):
        foot = min(0.84, 0.42 + 0.55 * height)
    elif thing.kind == "balloon":
        foot = 0.72
    return _Spot(x, foot, height)


def _place(canvas: Canvas, scene: Scene, thing: Thing, spot: _Spot, rng: Random) -> None:
    side = canvas.side
    outline = max(1, round(side * 0.0085))
    pen = Pen(canvas.draw, spot.x * side, spot.foot * side, spot.height * side, outline)
    if scene.place not in ("plain", "sea") and thing.kind not in _NO_SHADOW and spot.foot > 0.6:
        pen.ellipse(0, -0.005, 0.42, 0.055, scaled(GROUND[scene.place, scene.time], 0.82))
    DRAWN[thing.kind](pen, jittered(COLOURS[thing.colour], rng, 8), rng)
