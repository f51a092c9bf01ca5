"""Prompts: what the marks mean, and that every text is a prompt."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from graphengine_diffusion.prompt import MOST, Piece, escaped, parts, spoken

marks = st.lists(st.sampled_from([*"()[]\\:.1 9ab,\n", "BREAK", " BREAK ", ":1.2)"]), max_size=30)
marked = marks.map("".join) | st.text()


@pytest.mark.parametrize(("text", "pieces"), [
    ("a red house", [("a red house", 1)]),
    ("a (red) house", [("a ", 1), ("red", 1.1), (" house", 1)]),
    ("a (red:1.3) house", [("a ", 1), ("red", 1.3), (" house", 1)]),
    ("[red] house", [("red", 1 / 1.1), (" house", 1)]),
    ("((red))", [("red", 1.21)]),
    ("[[red]]", [("red", 1 / 1.21)]),
    ("(a (red:1.5) house:2)", [("a ", 2), ("red", 3), (" house", 2)]),
    ("(red: .5 )(blue:0)", [("red", 0.5), ("blue", 0)]),
    ("([red])", [("red", 1)]),
    ("()", []),
    ("(red:999)", [("red", MOST)]),
])  # fmt: skip
def test_brackets_say_how_much_words_count(text: str, pieces: list[tuple[str, float]]) -> None:
    (found,) = parts(text)
    assert [piece.text for piece in found] == [text for text, _ in pieces]
    assert [piece.weight for piece in found] == pytest.approx([weight for _, weight in pieces])


@pytest.mark.parametrize(("text", "literal"), [
    (r"a \(red\) \[house\]", "a (red) [house]"),
    (r"a \BREAK here", "a BREAK here"),
    (r"C:\new and \\", "C:\\new and \\"),
    ("a smile :) and (", "a smile :) and ("),
    ("a ) and a ]", "a ) and a ]"),
    ("weights such as :1.2)", "weights such as :1.2)"),
    ("BREAKFAST and break", "BREAKFAST and break"),
])  # fmt: skip
def test_what_is_escaped_or_has_no_partner_is_taken_literally(text: str, literal: str) -> None:
    assert parts(text) == ((Piece(literal),),)


def test_a_bracket_that_is_crossed_by_another_is_taken_literally() -> None:
    ((inside, outside),) = parts("(a [b) c]")
    assert inside == Piece("a [b", 1.1)
    assert outside == Piece(" c]", 1.0)


def test_square_brackets_have_no_number() -> None:
    assert parts("[red:1.2]") == ((Piece("red:1.2", 1 / 1.1),),)


def test_break_begins_a_new_part_and_keeps_the_weight() -> None:
    assert parts("a cat BREAK a (dog BREAK a bird:1.5)") == (
        (Piece("a cat"),),
        (Piece("a "), Piece("dog", 1.5)),
        (Piece("a bird", 1.5),),
    )


@pytest.mark.parametrize("text", ["", "BREAK", " BREAK BREAK ", "(BREAK)"])
def test_a_prompt_without_words_is_one_empty_part(text: str) -> None:
    assert parts(text) == ((),)


@given(marked)
def test_every_text_is_a_prompt_of_finite_weights(text: str) -> None:
    found = parts(text)
    assert found
    for piece in (piece for part in found for piece in part):
        assert piece.text
        assert math.isfinite(piece.weight)
        assert 0 <= piece.weight <= MOST


@given(marked)
def test_an_escaped_text_is_itself(text: str) -> None:
    assert parts(escaped(text)) == (((Piece(text),),) if text else ((),))


@given(marked)
def test_what_is_spoken_has_the_words_and_no_marks(text: str) -> None:
    assert spoken(escaped(text)) == text
    assert spoken(text) == " ".join("".join(piece.text for piece in part) for part in parts(text))


@given(st.lists(st.tuples(st.text("ab \\([])", min_size=1), st.integers(1, 99)), max_size=6))
def test_weighted_words_come_back_as_they_were_written(words: list[tuple[str, int]]) -> None:
    text = "".join(f"({escaped(word)}:{weight / 10})" for word, weight in words)
    (found,) = parts(text)
    letters = [(letter, piece.weight) for piece in found for letter in piece.text]
    assert letters == [(letter, weight / 10) for word, weight in words for letter in word]


@pytest.mark.parametrize(
    "text", ["(" * 50_000, "(" * 50_000 + "a" + ")" * 50_000, "([" * 50_000 + ")" * 50_000]
)
def test_deep_brackets_are_no_danger(text: str) -> None:
    (found,) = parts(text)
    assert all(piece.weight <= MOST for piece in found)
