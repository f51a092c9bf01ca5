"""Prompts: which words count how much, and where a new part begins. Text in, pieces out; no model is needed.

* `(word)` counts 1.1 times, `(word:1.3)` 1.3 times, `[word]` 1 / 1.1 times; what is nested multiplies.
* `BREAK`, in capitals and as a word of its own, begins a new part.
* `\\(`, `\\)`, `\\[`, `\\]`, `\\BREAK` and `\\\\` are the characters themselves.
* A bracket that has no partner stands for itself, so every text is a prompt.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import groupby
from typing import NamedTuple

ROUND = 1.1
"""What a pair of round brackets multiplies by, and a pair of square ones divides by."""

MOST = 100.0
"""No weight is larger, however deep the brackets."""

PARTNERS = {")": "(", "]": "["}

MARKS = re.compile(
    r"(?P<escape>\\(?:[()\[\]\\]|BREAK\b))"
    r"|(?P<number>:\s*(?:\d{1,9}(?:\.\d{0,9})?|\.\d{1,9})\s*\))"
    r"|(?P<bracket>[()\[\]])"
    r"|(?P<break>\bBREAK\b)"
)


class Piece(NamedTuple):
    """Words that count the same; 1 is as much as in a prompt without marks."""

    text: str
    weight: float = 1.0


class Mark(NamedTuple):
    """A stretch of the text that may mean more than its characters."""

    kind: str
    text: str


class Pair(NamedTuple):
    """Where a bracket that has a partner is closed, and what it multiplies by."""

    close: int
    factor: float


Part = tuple[Piece, ...]


def parts(text: str) -> tuple[Part, ...]:
    """The parts between BREAKs, each as its pieces; at least one part, which may be empty.

    Empty parts are left out, and so are spaces beside a BREAK. Neighbours of one weight are one piece.
    """
    marks = list(marks_of(text))
    pairs = paired(marks)
    closed = {pair.close for pair in pairs.values()}
    factors = [1.0]
    found: list[list[Piece]] = [[]]
    for place, mark in enumerate(marks):
        if place in pairs:
            factors.append(min(factors[-1] * pairs[place].factor, MOST))
        elif place in closed:
            factors.pop()
        elif mark.kind == "break":
            found.append([])
        else:
            literal = mark.text[1:] if mark.kind == "escape" else mark.text
            found[-1].append(Piece(literal, factors[-1]))
    last = len(found) - 1
    trimmed = [stripped([*merged(part)], start=n > 0, end=n < last) for n, part in enumerate(found)]
    return tuple(part for part in trimmed if part) or ((),)


def marks_of(text: str) -> Iterator[Mark]:
    """The text in order, taken apart into marks and what lies between; nothing is left out."""
    end = 0
    for match in MARKS.finditer(text):
        if match.start() > end:
            yield Mark("words", text[end : match.start()])
        yield Mark(str(match.lastgroup), match.group())
        end = match.end()
    if end < len(text):
        yield Mark("words", text[end:])


def paired(marks: list[Mark]) -> dict[int, Pair]:
    """The brackets that have partners, by where they open; one that is crossed by another has none."""
    found: dict[int, Pair] = {}
    waiting: list[tuple[int, str]] = []
    open_count = {"(": 0, "[": 0}
    for place, mark in enumerate(marks):
        if mark.kind not in ("bracket", "number"):
            continue
        partner = PARTNERS.get(mark.text[-1])
        if partner is None:
            waiting.append((place, mark.text))
            open_count[mark.text] += 1
            continue
        if not open_count[partner]:
            continue
        bracket = ""
        while bracket != partner:
            opened, bracket = waiting.pop()
            open_count[bracket] -= 1
        factor = ROUND if partner == "(" else 1 / ROUND
        if mark.kind == "number":
            factor = min(float(mark.text[1:-1]), MOST)
        found[opened] = Pair(place, factor)
    return found


def merged(pieces: list[Piece]) -> Part:
    """The pieces, with neighbours that count the same as one."""
    alike = groupby(pieces, key=lambda piece: piece.weight)
    return tuple(Piece("".join(piece.text for piece in some), weight) for weight, some in alike)


def stripped(part: list[Piece], start: bool, end: bool) -> Part:
    """The part without the spaces at its start and its end, where these are at a BREAK."""
    while start and part and not part[0].text.strip():
        part.pop(0)
    while end and part and not part[-1].text.strip():
        part.pop()
    if start and part:
        part[0] = part[0]._replace(text=part[0].text.lstrip())
    if end and part:
        part[-1] = part[-1]._replace(text=part[-1].text.rstrip())
    return tuple(part)


def escaped(text: str) -> str:
    """The text with every mark escaped: as a prompt, it is exactly these characters, all of weight 1."""
    return re.sub(r"[()\[\]\\]|\bBREAK\b", lambda mark: "\\" + mark.group(), text)


def spoken(text: str) -> str:
    """The prompt without its marks: what is left for an encoder that knows no weights."""
    return " ".join("".join(piece.text for piece in part) for part in parts(text))
