"""Prompts out of pieces, and numbers as captions."""

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from graphengine_nodes import text


def test_join_leaves_empty_parts_out() -> None:
    assert text.join(["a house", "", "  ", "night"]) == "a house, night"
    assert text.join(["a", "", "b"], "-", skip_empty=False) == "a--b"
    assert text.join([]) == ""


def test_replace_changes_every_place() -> None:
    assert text.replace("a red house, red door", "red", "blue") == "a blue house, blue door"
    assert text.replace("a red house", "green", "blue") == "a red house"


def test_replace_needs_something_to_find_and_stays_small() -> None:
    with pytest.raises(ValueError, match="there is nothing to find"):
        text.replace("abc", "", "x")
    with pytest.raises(ValueError, match="would grow beyond 1000000 characters"):
        text.replace("a" * 10_000, "a", "b" * 10_000)


def test_format_takes_values_by_turn_by_position_and_by_name() -> None:
    assert text.format("{} and {}", [1, "two"]) == "1 and two"
    assert text.format("{1}, {0}, {1}", ["a", "b"]) == "b, a, b"
    assert text.format("cfg {scale:.1f}, {steps:03d}", [7.25, 20], ["scale", "steps"]) == "cfg 7.2, 020"
    assert text.format("{{{}}}", [True]) == "{True}"
    assert text.format("plain") == "plain"


@pytest.mark.parametrize("template", ["{0.__class__}", "{0[0]}", "{name.real}", "{name[a]}"])
def test_format_reaches_nothing_inside_of_a_value(template: str) -> None:
    with pytest.raises(ValueError, match="there is no value for"):
        text.format(template, ["abc"], ["name"])


@pytest.mark.parametrize(("template", "why"), [
    ("{0:>999999999}", "a form that is not understood"),
    ("{0:.999999}", "a form that is not understood"),
    ("{0:{0}}", "a form that is not understood"),
    ("{0!r}", "a form that is not understood"),
    ("{0:d}", "'abc' cannot be written as {0:d}"),
    ("{", "is no template"),
    ("{1}", "there is no value for {1}; values can be named by: 0, name"),
    ("{other}", "there is no value for {other}"),
])  # fmt: skip
def test_a_template_that_cannot_be_filled_says_why(template: str, why: str) -> None:
    with pytest.raises(ValueError, match=re.escape(why)):
        text.format(template, ["abc"], ["name"])


def test_format_writes_plain_values_only() -> None:
    with pytest.raises(ValueError, match="is a list; only numbers, texts and true or false can be written"):
        text.format("{}", [[1, 2]])


@given(st.text(), st.floats(allow_nan=False, allow_infinity=False), st.integers())
@settings(deadline=None)
def test_format_agrees_with_python(word: str, number: float, whole: int) -> None:
    assert (
        text.format("{}|{:.3f}|{:>8}|{:,}", [word, number, whole, whole])
        == f"{word}|{number:.3f}|{whole:>8}|{whole:,}"
    )


def test_lines_and_pieces_are_trimmed() -> None:
    assert text.lines(" a house \n\n\ta tree\r\n") == ["a house", "a tree"]
    assert text.split("red, green,, blue ") == ["red", "green", "blue"]
    assert text.split("a b|c", "|") == ["a b", "c"]
    with pytest.raises(ValueError, match="there is no separator"):
        text.split("abc", "")


@given(st.lists(st.text(), min_size=1), st.integers(0, 2**53 - 1))
@settings(deadline=None)
def test_a_seed_chooses_the_same_text_each_time(options: list[str], seed: int) -> None:
    chosen = text.choose(options, seed)
    assert chosen in options
    assert chosen == text.choose(options, seed)


def test_every_text_can_be_chosen() -> None:
    assert {text.choose(["a", "b", "c"], seed) for seed in range(50)} == {"a", "b", "c"}
    with pytest.raises(ValueError, match="there is nothing to choose from"):
        text.choose([], 1)


def test_case() -> None:
    said = "the CAT's house"
    assert text.case(said, "lower") == "the cat's house"
    assert text.case(said, "upper") == "THE CAT'S HOUSE"
    assert text.case(said, "title") == "The Cat's House"
    assert text.case(said, "sentence") == "The cat's house"
    assert text.case("", "sentence") == ""


def test_contains_overlooks_capitals_unless_told() -> None:
    assert text.contains("A Red House", "red")
    assert not text.contains("A Red House", "red", capitals_count=True)


@given(st.floats(allow_nan=False, allow_infinity=False))
@settings(deadline=None)
def test_a_number_comes_back_from_its_text(number: float) -> None:
    assert text.to_number(text.from_number(number)) == number


def test_numbers_as_text() -> None:
    assert text.from_number(20.0) == "20"
    assert text.from_number(7.5) == "7.5"
    assert text.from_number(7.5, 2) == "7.50"
    assert text.to_number(" 7.5 ") == 7.5


@pytest.mark.parametrize("wrong", ["", "seven", "nan", "inf", "1,5"])
def test_a_text_that_writes_no_number_is_told(wrong: str) -> None:
    with pytest.raises(ValueError, match=r"is no number; write one such as 20 or 7\.5"):
        text.to_number(wrong)


def test_value_and_length() -> None:
    assert text.value("a cat") == "a cat"
    assert text.length("a cat") == 5


def test_each_value_of_a_list_makes_a_label() -> None:
    assert text.format_each("CFG {}", [1, 7.5, 20.0, True, "high"]) == [
        "CFG 1", "CFG 7.5", "CFG 20", "CFG True", "CFG high"
    ]  # fmt: skip
    assert text.format_each("{:.1f}", [1, 0.25]) == ["1.0", "0.2"]
    assert text.format_each("{} steps, {}", [[5, "euler"], [10, "ddim"]]) == [
        "5 steps, euler",
        "10 steps, ddim",
    ]
    assert text.format_each("{}", []) == []
    with pytest.raises(ValueError, match=r"there is no value for \{1\}"):
        text.format_each("{0} {1}", [3])
