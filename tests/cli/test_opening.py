"""What the user wrote on the command line, understood."""

from __future__ import annotations

import pytest

from graphengine.cli.opening import value_of


@pytest.mark.parametrize("text", ["7", "true", "null", '"quoted"', "", " spaced "])
def test_a_text_input_takes_the_text_as_it_stands(text):
    assert value_of(text, "str") == text


@pytest.mark.parametrize(
    ("text", "value"),
    [("7", 7), ("7.5", 7.5), ("true", True), ("null", None), ("[1, 2]", [1, 2]), ("red", "red")],
)
@pytest.mark.parametrize("kind", ["int", ("list", "int"), "any", "~T"])
def test_any_other_input_takes_json_where_it_is_json(kind, text, value):
    found = value_of(text, kind)
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize("text", ["NaN", "-Infinity", "[1", "[" * 100_000])
def test_what_is_no_json_stays_text_for_check_to_refuse(text):
    assert value_of(text, "float") == text
