"""Text: prompts are built from pieces, and numbers become captions."""

from __future__ import annotations

import random
import re
from string import Formatter
from typing import Annotated, Any, Literal

from pydantic import Field

from graphengine.authoring import Seed, Ui, node

PACK = "text"
LONGEST = 1_000_000

Text = Annotated[str, Ui(widget="multiline")]

SPEC = re.compile(r"(.?[<>=^])?[-+ ]?#?0?\d{0,3}[,_]?(\.\d{1,2})?[a-zA-Z%]?", re.DOTALL).fullmatch
"""A format specification whose width stays below a thousand: `{:>999999999}` would fill the memory."""


@node
def value(text: Text = "") -> str:
    """A text, to use in several places."""
    return text


@node
def join(parts: list[str], separator: str = ", ", skip_empty: bool = True) -> str:
    """Several texts as one, with a separator in between; empty ones are left out."""
    return separator.join(part for part in parts if part.strip() or not skip_empty)


@node
def replace(text: Text, find: str, by: str = "") -> str:
    """Put one text in the place of another, wherever it stands; capitals count."""
    if not find:
        raise ValueError("there is nothing to find; write the text that is to be replaced")
    if len(text) + text.count(find) * max(0, len(by) - len(find)) > LONGEST:
        raise ValueError(f"the text would grow beyond {LONGEST} characters; replace by something shorter")
    return text.replace(find, by)


@node
def format(template: Text, values: list[Any] | None = None, names: list[str] | None = None) -> str:
    """Fill values into a text: `{}` takes the next, `{1}` the second, `{name}` the one of that name.

    `names` names the values from the first on. A placeholder may say how to write a number, as Python does:
    `{:.2f}`, `{steps:04d}`; `{{` is a brace. Values are numbers, texts, true and false. Nothing inside of a
    value can be reached (`{a.b}`, `{a[0]}`).
    """
    given = list(values or ())
    known = {str(k): v for k, v in enumerate(given)} | dict(zip(names or (), given, strict=False))
    written, following = [], 0
    try:
        pieces = list(Formatter().parse(template))
    except ValueError as error:
        raise ValueError(
            f"{template!r} is no template: {error}; write a brace itself as {{{{ or }}}}"
        ) from error
    for plain, name, spec, conversion in pieces:
        written.append(plain)
        if name is None:
            continue
        if not name:
            name, following = str(following), following + 1
        written.append(filled(name, spec or "", conversion, known))
    return "".join(written)


@node
def format_each(template: Text, values: list[Any]) -> list[str]:
    """A text for each value of a list, such as labels: `CFG {}` of 1 and 7.5 makes CFG 1 and CFG 7.5.

    The placeholder is written as for `text.format`; several `{}` take a list of values each. Numbers without
    a form of their own are written as short as they can be.
    """
    lists = [value if isinstance(value, list) else [value] for value in values]
    return [format(template, [shortest(value) for value in some]) for some in lists]


def shortest(value: Any) -> Any:
    """A whole number that is written as a fraction, 20.0, as it is meant, 20; all else as it is."""
    return int(value) if isinstance(value, float) and value.is_integer() and abs(value) < 1e15 else value


def filled(name: str, spec: str, conversion: str | None, known: dict[str, Any]) -> str:
    """What stands in the place of one placeholder."""
    if name not in known:
        have = ", ".join(known) or "nothing"
        raise ValueError(f"there is no value for {{{name}}}; values can be named by: {have}")
    found = known[name]
    if not isinstance(found, (str, int, float)):
        raise ValueError(
            f"{{{name}}} is a {type(found).__name__}; only numbers, texts and true or false can be written"
        )
    if not SPEC(spec) or conversion:
        raise ValueError(f"{{{name}}} has a form that is not understood; write one such as {{{name}:.2f}}")
    try:
        return f"{found:{spec}}"
    except (ValueError, OverflowError) as error:
        raise ValueError(f"{found!r} cannot be written as {{{name}:{spec}}}: {error}") from error


@node
def lines(text: Text) -> list[str]:
    """The lines of a text as a list; spaces around them and empty lines are left out."""
    return [line.strip() for line in text.splitlines() if line.strip()]


@node
def split(text: Text, separator: Annotated[str, Field(min_length=1)] = ",") -> list[str]:
    """The pieces of a text between separators; spaces around them and empty pieces are left out."""
    if not separator:
        raise ValueError("there is no separator; write the character that stands between the pieces")
    return [piece.strip() for piece in text.split(separator) if piece.strip()]


@node
def choose(options: list[str], seed: Seed) -> str:
    """One of several texts by chance; the same seed chooses the same one."""
    if not options:
        raise ValueError("there is nothing to choose from; give at least one text")
    return random.Random(seed).choice(options)


@node
def case(text: Text, to: Literal["lower", "upper", "title", "sentence"] = "lower") -> str:
    """Write a text in small letters, in capitals, or with capitals at the start of words or of the text."""
    if to == "title":
        return re.sub(r"\S+", lambda word: word[0][:1].upper() + word[0][1:].lower(), text)
    if to == "sentence":
        return text[:1].upper() + text[1:].lower()
    return text.upper() if to == "upper" else text.lower()


@node
def length(text: Text) -> int:
    """How many characters a text has."""
    return len(text)


@node
def contains(text: Text, find: str, capitals_count: bool = False) -> bool:
    """Whether one text stands somewhere in another."""
    return find in text if capitals_count else find.casefold() in text.casefold()


@node(converter=True)
def to_number(text: str) -> float:
    """The number that a text writes, such as 7.5. ValueError where it writes none."""
    try:
        number = float(text)
    except ValueError:
        number = float("nan")
    if number - number != 0:  # not for infinities and not-a-number
        raise ValueError(f"{text!r} is no number; write one such as 20 or 7.5")
    return number


@node
def from_number(number: float, decimals: Annotated[int, Field(ge=-1, le=20)] = -1) -> str:
    """A number as text, with a fixed count of decimals; -1 writes as many as it needs."""
    if decimals >= 0:
        return f"{number:.{min(decimals, 20)}f}"
    return str(int(number)) if float(number).is_integer() and abs(number) < 1e15 else repr(float(number))
