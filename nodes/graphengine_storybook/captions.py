"""Captions: a scene in plain English, said a little differently each time.

Not everything is always said. A colour may be left out if it is the usual one, the place if it is a
meadow, the time if it is day, so that a short prompt means something too. A weather is always said.
"""

from random import Random

from graphengine_storybook.world import COLOUR_NAMES, KINDS, USUAL, Scene, Thing

NAMES: dict[str, tuple[str, ...]] = {kind: (kind,) for kind in KINDS} | {
    "house": ("house", "house", "cottage", "home"),
    "tree": ("tree", "tree", "leafy tree"),
    "pine": ("pine", "pine tree", "fir tree", "spruce"),
    "boat": ("boat", "sailboat", "ship"),
    "mushroom": ("mushroom", "toadstool"),
    "flower": ("flower", "flower", "blossom"),
    "balloon": ("balloon", "hot air balloon"),
    "cat": ("cat", "cat", "kitten"),
    "car": ("car", "car", "automobile"),
    "rocket": ("rocket", "space rocket", "spaceship"),
    "umbrella": ("umbrella", "umbrella", "parasol"),
    "mountain": ("mountain", "mountain", "peak"),
    "castle": ("castle", "castle", "fortress"),
    "circle": ("circle", "circle", "disc"),
}
COLOUR_WORDS: dict[str, tuple[str, ...]] = {colour: (colour,) for colour in COLOUR_NAMES} | {
    "red": ("red", "red", "red", "scarlet"),
    "yellow": ("yellow", "yellow", "yellow", "golden"),
    "purple": ("purple", "purple", "violet"),
    "gray": ("gray", "grey"),
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
    "forest": ("in a forest", "in the forest", "in the woods", "among the trees"),
    "farm": ("on a farm", "in a wheat field", "in a field of wheat", "on farmland"),
    "snow": ("in the snow", "in winter", "in a snowy landscape", "on the snow"),
    "beach": ("on the beach", "on a sandy beach", "at the seaside", "on the shore"),
    "desert": ("in the desert", "among sand dunes", "in a hot desert"),
    "sea": ("on the sea", "on the water", "at sea", "on the ocean", "on the waves"),
    "city": ("in the city", "in a city", "in a town", "on a city street"),
}
BACKDROP_PHRASES = ("on a {} background", "on plain {}", "against a {} background", "on {}")
TIME_PHRASES = {
    "day": ("by day", "in the daytime", "during the day"),
    "sunset": ("at sunset", "at sunset", "at dusk", "in the evening"),
    "night": ("at night", "at night", "on a dark night", "by night"),
}
CLEAR_PHRASES = {
    "day": ("on a sunny day", "under a clear sky"),
    "sunset": ("under a sunset sky",),
    "night": ("under a starry sky", "under the stars"),
}
"""More for the times, if the weather is clear."""
WEATHER_PHRASES = {
    "rain": ("in the rain", "in the rain", "in rainy weather", "while it rains", "in a downpour"),
    "snow": ("while it snows", "in falling snow", "in a snowfall", "with snow falling"),
    "fog": ("in the fog", "in fog", "in thick fog", "in the mist", "in foggy weather"),
}
LIGHT_PHRASES = {
    "sun": ("with a sun", "under a bright sun", "and the sun is shining"),
    "moon": ("with a moon", "under the moon", "in the moonlight", "with a crescent moon"),
}
LEFT = ("to the left of", "left of", "on the left of", "is to the left of")
RIGHT = ("to the right of", "right of", "on the right of", "is to the right of")
BESIDE = ("beside", "beside", "next to", "and", "with", "near", "by", "stands beside")
ABOVE = ("above", "over", "flying over", "on top of", "is above")
BELOW = ("below", "under", "beneath", "is below")
BEFORE = ("in front of", "in front of", "before", "stands in front of")
BEHIND = ("behind", "behind", "stands behind")
BETWEEN = ("between", "between", "in between", "stands between")
OPENINGS = (
    "a picture of",
    "a drawing of",
    "an illustration of",
    "a painting of",
    "there is",
    "we see",
    "a scene with",
)

_SAID = {"meadow": 0.7, "plain": 0.97}  # how often the place is said; elsewhere 0.96
_TIME_SAID = {"day": 0.22}  # how often the time is said; elsewhere 0.97
_SIDE_SAID = 0.6  # how often left or right is said; else the first thing named stands on the left
_OTHER_WORDS = (
    "the cute beautiful detailed simple photo very bright dark nice some there is its two three one "
    "grass sky sunny blurry bad ugly low quality that are has it of left middle front"
)


def caption(scene: Scene, rng: Random, full: bool = False) -> str:
    """One way to say the scene; `full` leaves out nothing that the labels hold."""
    things = _things(scene, rng, full)
    where = ""
    if full or rng.random() < _SAID.get(scene.place, 0.96):
        where = (
            rng.choice(BACKDROP_PHRASES).format(_colour(scene.backdrop, rng))
            if scene.place == "plain"
            else rng.choice(PLACE_PHRASES[scene.place])
        )
    circumstances = [where, _when(scene, rng, full)]
    if scene.weather != "clear":
        circumstances.append(rng.choice(WEATHER_PHRASES[scene.weather]))
    if rng.random() < 0.4:
        rng.shuffle(circumstances)
    setting = " ".join(circumstances).strip()
    light = ""
    if scene.light and (full or rng.random() < 0.85):
        light = rng.choice(LIGHT_PHRASES[scene.light])
    if rng.random() < 0.3:
        things = f"{rng.choice(OPENINGS)} {things}"
    if setting and rng.random() < 0.2:
        text = f"{setting}, {things} {light}"
    else:
        text = f"{things} {setting} {light}"
    return " ".join(text.split())


def hint(scene: Scene, rng: Random) -> str:
    """The colours and the circumstances, and no word for the things, as in "red and blue at night"."""
    parts = [" and ".join(thing.colour for thing in scene.things)]
    if scene.place == "plain":
        parts.append(rng.choice(BACKDROP_PHRASES).format(scene.backdrop))
    else:
        parts += [rng.choice(PLACE_PHRASES[scene.place]), rng.choice(TIME_PHRASES[scene.time])]
    if scene.weather != "clear":
        parts.append(rng.choice(WEATHER_PHRASES[scene.weather]))
    return " ".join(parts)


def words() -> list[str]:
    """Every word a caption can hold, and some that people write, each once, in a fixed order."""
    things = (NAMES, COLOUR_WORDS, SIZE_WORDS)
    settings = (PLACE_PHRASES, TIME_PHRASES, CLEAR_PHRASES, WEATHER_PHRASES, LIGHT_PHRASES)
    tables = (*things, *settings)
    phrases = [phrase for table in tables for group in table.values() for phrase in group]
    relations = (*LEFT, *RIGHT, *BESIDE, *ABOVE, *BELOW, *BEFORE, *BEHIND, *BETWEEN)
    phrases += [*BACKDROP_PHRASES, *relations, *OPENINGS]
    text = " ".join((*phrases, ", a an", _OTHER_WORDS)).replace("{}", "")
    return list(dict.fromkeys(text.split()))


def _when(scene: Scene, rng: Random, full: bool) -> str:
    if scene.place == "plain" or not (full or rng.random() < _TIME_SAID.get(scene.time, 0.97)):
        return ""
    clear = CLEAR_PHRASES[scene.time] if scene.weather == "clear" else ()
    return rng.choice((*TIME_PHRASES[scene.time], *clear))


def _things(scene: Scene, rng: Random, full: bool) -> str:
    nouns = [_noun(thing, rng, full) for thing in scene.things]
    if scene.relation == "one":
        return nouns[0]
    if scene.relation == "row":
        return _row(nouns, rng)
    first, second = nouns
    if scene.relation == "above":
        if rng.random() < 0.65:
            return f"{first} {rng.choice(ABOVE)} {second}"
        return f"{second} {rng.choice(BELOW)} {first}"
    if scene.relation == "front":
        if rng.random() < 0.65:
            return f"{first} {rng.choice(BEFORE)} {second}"
        return f"{second} {rng.choice(BEHIND)} {first}"
    if rng.random() < _SIDE_SAID:
        if rng.random() < 0.5:
            return f"{first} {rng.choice(LEFT)} {second}"
        return f"{second} {rng.choice(RIGHT)} {first}"
    return f"{first} {rng.choice(BESIDE)} {second}"


def _row(nouns: list[str], rng: Random) -> str:
    left, middle, right = nouns
    if rng.random() < 0.5:
        return f"{middle} {rng.choice(BETWEEN)} {left} and {right}"
    return f"{left}, {middle} and {right}" if rng.random() < 0.7 else f"{left} and {middle} and {right}"


def _noun(thing: Thing, rng: Random, full: bool) -> str:
    parts = [rng.choice(NAMES[thing.kind])]
    if full or thing.colour != USUAL[thing.kind] or rng.random() < 0.7:
        parts.insert(0, _colour(thing.colour, rng))
    if thing.size:
        parts.insert(0, rng.choice(SIZE_WORDS[thing.size]))
    text = " ".join(parts)
    chance = rng.random()
    if chance < 0.1:
        return text
    return f"the {text}" if chance < 0.18 else f"{'an' if text[0] in 'aeiou' else 'a'} {text}"


def _colour(colour: str, rng: Random) -> str:
    return rng.choice(COLOUR_WORDS[colour])
