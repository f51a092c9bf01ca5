"""The world of the storybook: what a scene is, how one is invented and labelled.

A scene holds one to three things, a place, a time of day and a weather. Its `seed` fixes every free line of
the drawing, so a scene has one picture (`illustration.draw`).
"""

from dataclasses import dataclass, replace
from random import Random
from typing import Generic, Literal, NamedTuple, TypeVar

from graphengine_storybook.palette import COLOURS
from graphengine_storybook.things import DRAWN

T = TypeVar("T")
HeldOut = Literal["skip", "any", "only"]

KINDS = tuple(DRAWN)
COLOUR_NAMES = tuple(COLOURS)
SHAPES = ("circle", "square", "triangle")
PLACES = ("meadow", "forest", "farm", "snow", "beach", "desert", "sea", "city", "plain")
TIMES = ("day", "sunset", "night")
SIZES = ("", "small", "large")
RELATIONS = ("one", "side", "above", "front", "row")
LIGHTS = ("", "sun", "moon")
WEATHERS = ("clear", "rain", "snow", "fog")

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
_NEAR = ("boat", "mushroom", "flower", "cat", "car", "fish", "umbrella", "star", "heart")
_FAR = ("house", "tree", "pine", "mountain", "castle")
_SHORT = tuple(kind for kind in _OBJECTS if kind != "mountain")
_SNOWY = ("snow", "meadow", "forest", "farm", "city")
_RAINY = ("meadow", "forest", "farm", "beach", "sea", "city")


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

    `things` are (left, right) for the relation `side`, (upper, lower) for `above`, (near, far) for `front`,
    (left, middle, right) for `row`, one for `one`. If `place` is `plain`, `time` is `day`, `weather` is
    `clear` and `backdrop` a colour; else `backdrop` is empty.
    """

    things: tuple[Thing, ...]
    relation: str = "one"
    place: str = "meadow"
    time: str = "day"
    backdrop: str = ""
    light: str = ""
    seed: int = 0
    weather: str = "clear"


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
    third_kind: T  # KINDS, of the third thing
    third_colour: T  # COLOUR_NAMES
    weather: T  # WEATHERS


CLASSES = Labels(
    kind=len(KINDS),
    colour=len(COLOURS),
    other_kind=len(KINDS) + 1,
    other_colour=len(COLOURS) + 1,
    place=len(PLACES),
    time=len(TIMES) + 1,
    relation=len(RELATIONS),
    backdrop=len(COLOURS) + 1,
    size=len(SIZES),
    other_size=len(SIZES) + 1,
    light=len(LIGHTS),
    third_kind=len(KINDS) + 1,
    third_colour=len(COLOURS) + 1,
    weather=len(WEATHERS),
)
"""How many values each label can take."""


def make(rng: Random, held_out: HeldOut = "skip", count: int | None = None) -> Scene:
    """Invent a scene of `count` things (one to three by chance if None).

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
    place = rng.choices(PLACES, (1.3, 1, 1, 1, 1, 0.8, 1.1, 1, 1.3))[0]
    time = "day" if place == "plain" else rng.choices(TIMES, (0.5, 0.25, 0.25))[0]
    weather = _weather(rng, place)
    shapes = place == "plain" and rng.random() < 0.6
    relation = _relation(rng, count or rng.choices((1, 2, 3), (0.38, 0.47, 0.15))[0])
    kinds = _kinds(rng, relation, shapes, place == "sea" and rng.random() < 0.5)
    sized = relation not in ("front", "row")
    things = tuple(Thing(kind, _colour(rng, kind), _size(rng) if sized else "") for kind in kinds)
    light = ""
    if relation != "above" and weather == "clear" and place not in ("plain", "snow"):
        if time == "day" and rng.random() < 0.3:
            light = "sun"
        elif time == "night" and rng.random() < 0.4:
            light = "moon"
    backdrop = rng.choice(COLOUR_NAMES) if place == "plain" else ""
    return Scene(things, relation, place, time, backdrop, light, rng.getrandbits(31), weather)


def _relation(rng: Random, count: int) -> str:
    if count == 2:
        return rng.choices(("side", "above", "front"), (0.54, 0.26, 0.2))[0]
    return "one" if count == 1 else "row"


def _kinds(rng: Random, relation: str, shapes: bool, afloat: bool) -> tuple[str, ...]:
    """The kinds of the things; one of them belongs on the water if `afloat`."""
    every = SHAPES if shapes else _OBJECTS
    first = rng.choice(("boat", "boat", "fish", "balloon") if afloat else every)
    if relation == "one":
        return (first,)
    if relation == "side":
        pair = (first, rng.choice(every))
        return pair if rng.random() < 0.5 else (pair[1], pair[0])
    if relation == "row":
        row = [rng.choice(SHAPES if shapes else _SHORT) for _ in range(3)]
        if afloat:
            row[rng.randrange(3)] = first
        return tuple(row)
    if shapes:
        return first, rng.choice(SHAPES)
    if relation == "front":
        return first if afloat and first in _NEAR else rng.choice(_NEAR), rng.choice(_FAR)
    return rng.choice(_FLYING), first if first in _STANDING else rng.choice(_STANDING)


def _weather(rng: Random, place: str) -> str:
    if place == "plain":
        return "clear"
    rain = 0.12 if place in _RAINY else 0
    snow = 0.4 if place == "snow" else 0.06 if place in _SNOWY else 0
    return rng.choices(WEATHERS, (0.88 - rain - snow, rain, snow, 0.12))[0]


def _colour(rng: Random, kind: str) -> str:
    return USUAL[kind] if rng.random() < 0.2 else rng.choice(COLOUR_NAMES)


def _size(rng: Random) -> str:
    return rng.choices(SIZES, (0.6, 0.2, 0.2))[0]


def labels(scene: Scene) -> Labels[int]:
    """The scene in numbers, as the judge and the text encoder learn it."""
    first, second, third = (*scene.things, None, None)[:3]
    return Labels(
        kind=_kind(first),
        colour=_shade(first),
        other_kind=_kind(second),
        other_colour=_shade(second),
        place=PLACES.index(scene.place),
        time=len(TIMES) if scene.place == "plain" else TIMES.index(scene.time),
        relation=RELATIONS.index(scene.relation),
        backdrop=COLOUR_NAMES.index(scene.backdrop) if scene.backdrop else len(COLOURS),
        size=SIZES.index(scene.things[0].size),
        other_size=SIZES.index(second.size) if second else len(SIZES),
        light=LIGHTS.index(scene.light),
        third_kind=_kind(third),
        third_colour=_shade(third),
        weather=WEATHERS.index(scene.weather),
    )


def _kind(thing: Thing | None) -> int:
    return KINDS.index(thing.kind) if thing else len(KINDS)


def _shade(thing: Thing | None) -> int:
    return COLOUR_NAMES.index(thing.colour) if thing else len(COLOURS)
