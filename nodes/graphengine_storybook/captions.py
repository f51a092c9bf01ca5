"""Captions: a scene in plain English, said a little differently each time.

Not everything is always said. A colour may be left out if it is the usual one, the place if it is a
meadow, the time if it is day, so that a short prompt means something too.
"""

from random import Random

from graphengine_storybook.world import COLOUR_NAMES, KINDS, USUAL, Scene, Thing

NAMES: dict[str, tuple[str, ...]] = {kind: (kind,) for kind in KINDS} | {
    "house": ("house", "house", "cottage", "home"),
    "pine": ("pine", "pine tree", "fir tree"),
    "boat": ("boat", "sailboat", "ship"),
    "balloon": ("balloon", "hot air balloon"),
    "cat": ("cat", "cat", "kitten"),
    "car": ("car", "car", "little car"),
    "mushroom": ("mushroom", "toadstool"),
    "rocket": ("rocket", "space rocket"),
}
SIZE_WORDS = {"small": ("small", "small", "tiny", "little"), "large": ("large", "big", "huge")}
PLACE_PHRASES = {
    "meadow": (
        "in a meadow",
        "on green grass",
        "in a green field",
        "in the countryside",
        "on a meadow",
    ),
    "snow": ("in the snow", "in winter", "in a snowy landscape", "on the snow"),
    "beach": ("on the beach", "on a sandy beach", "at the seaside", "on the shore"),
    "desert": ("in the desert", "among sand dunes", "in a hot desert"),
    "sea": ("on the sea", "on the water", "at sea", "on the ocean", "on the waves"),
}
BACKDROP_PHRASES = ("on a {} background", "on plain {}", "against a {} background", "on {}")
TIME_PHRASES = {
    "day": ("by day", "on a sunny day", "in the daytime", "under a clear sky"),
    "sunset": ("at sunset", "at sunset", "at dusk", "in the evening", "under a sunset sky"),
    "night": ("at night", "at night", "under a starry sky", "under the stars", "on a dark night"),
}
LIGHT_PHRASES = {
    "sun": ("with a sun", "under a bright sun", "and the sun is shining"),
    "moon": ("with a moon", "under the moon", "in the moonlight", "with a crescent moon"),
}
LEFT = ("to the left of", "left of", "on the left of")
RIGHT = ("to the right of", "right of", "on the right of")
BESIDE = ("beside", "beside", "next to", "and", "with", "near", "by")
ABOVE = ("above", "over", "flying over", "on top of")
BELOW = ("below", "under", "beneath")
OPENINGS = ("a picture of", "a drawing of", "an illustration of", "a painting of")

_SAID = {"meadow": 0.7, "plain": 0.97}  # how often the place is said; elsewhere 0.96
_TIME_SAID = {"day": 0.22}  # how often the time is said; elsewhere 0.97
_SIDE_SAID = 0.6  # how often left or right is said; else the first thing named stands on the left
_OTHER_WORDS = (
    "the cute beautiful detailed simple photo very bright dark nice some there is its two one "
    "three grass sky sunny blurry bad ugly low quality"
)


def caption(scene: Scene, rng: Random, full: bool = False) -> str:
    """One way to say the scene; `full` leaves out nothing that the labels hold, the size apart."""
    things = _things(scene, rng, full)
    where, when, light = "", "", ""
    if full or rng.random() < _SAID.get(scene.place, 0.96):
        where = (
            rng.choice(BACKDROP_PHRASES).format(scene.backdrop)
            if scene.place == "plain"
            else rng.choice(PLACE_PHRASES[scene.place])
        )
    if scene.place != "plain" and (full or rng.random() < _TIME_SAID.get(scene.time, 0.97)):
        when = rng.choice(TIME_PHRASES[scene.time])
    if scene.light and (full or rng.random() < 0.85):
        light = rng.choice(LIGHT_PHRASES[scene.light])
    setting = (f"{where} {when}" if rng.random() < 0.75 else f"{when} {where}").strip()
    if rng.random() < 0.3:
        things = f"{rng.choice(OPENINGS)} {things}"
    if setting and rng.random() < 0.15:
        text = f"{setting}, {things} {light}"
    else:
        text = f"{things} {setting} {light}"
    return " ".join(text.split())


def hint(scene: Scene, rng: Random) -> str:
    """The colours, the place and the time, and no word for the things, as in "red and blue at night"."""
    parts = [" and ".join(thing.colour for thing in scene.things)]
    if scene.place == "plain":
        parts.append(rng.choice(BACKDROP_PHRASES).format(scene.backdrop))
    else:
        parts += [rng.choice(PLACE_PHRASES[scene.place]), rng.choice(TIME_PHRASES[scene.time])]
    return " ".join(parts)


def words() -> list[str]:
    """Every word a caption can hold, and some that people write, each once, in a fixed order."""
    tables = (NAMES, SIZE_WORDS, PLACE_PHRASES, TIME_PHRASES, LIGHT_PHRASES)
    phrases = [phrase for table in tables for group in table.values() for phrase in group]
    phrases += [*BACKDROP_PHRASES, *LEFT, *RIGHT, *BESIDE, *ABOVE, *BELOW, *OPENINGS]
    text = " ".join((*COLOUR_NAMES, *phrases, ", a an", _OTHER_WORDS)).replace("{}", "")
    return list(dict.fromkeys(text.split()))


def _things(scene: Scene, rng: Random, full: bool) -> str:
    first = _noun(scene.things[0], rng, full)
    if scene.relation == "one":
        return first
    second = _noun(scene.things[1], rng, full)
    if scene.relation == "above":
        if rng.random() < 0.65:
            return f"{first} {rng.choice(ABOVE)} {second}"
        return f"{second} {rng.choice(BELOW)} {first}"
    if rng.random() < _SIDE_SAID:
        if rng.random() < 0.5:
            return f"{first} {rng.choice(LEFT)} {second}"
        return f"{second} {rng.choice(RIGHT)} {first}"
    return f"{first} {rng.choice(BESIDE)} {second}"


def _noun(thing: Thing, rng: Random, full: bool) -> str:
    parts = [rng.choice(NAMES[thing.kind])]
    if full or thing.colour != USUAL[thing.kind] or rng.random() < 0.7:
        parts.insert(0, thing.colour)
    if thing.size:
        parts.insert(0, rng.choice(SIZE_WORDS[thing.size]))
    text = " ".join(parts)
    if rng.random() < 0.1:
        return text
    return f"{'an' if text[0] in 'aeiou' else 'a'} {text}"
