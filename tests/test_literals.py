from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, Literal

import pytest
from annotated_types import Ge, Gt, Le, Lt, MultipleOf
from hypothesis import given
from hypothesis import strategies as st
from pydantic import Field

from graphengine.authoring import Seed, node
from graphengine.errors import PackError
from graphengine.literals import article, mismatch, span, wrong_type
from graphengine.nodetype import Port
from graphengine.signature import read
from graphengine.types import Image, TypeRef


def port(hint: Any) -> Port:
    """The port of a parameter with this type."""

    @node
    def probe(x: Any) -> None: ...

    probe.__annotations__ = {"x": hint, "return": None}
    return read(probe, "pack", "").inputs["x"]


@pytest.mark.parametrize(
    ("hint", "value", "text"),
    [
        (int, None, "null is no value here; give a whole number"),
        (int, 1.0, "1.0 is a number, not a whole number; write a whole number such as 20"),
        (int, True, "true is not a whole number; write a whole number such as 20"),
        (int, "a", "'a' is a text, not a whole number; write a whole number such as 20"),
        (float, "1", "'1' is a text, not a number; write a number such as 7.5"),
        (float, False, "false is not a number; write a number such as 7.5"),
        (float, float("nan"), "nan is no finite number"),
        (float, float("-inf"), "-inf is no finite number"),
        (bool, 1, "1 is a whole number, not true or false; write true or false"),
        (str, 5, '5 is a whole number, not a text; write a text in quotes such as "a cat"'),
        (str, {"a": 1}, '{"a": 1} is an object, not a text; write a text in quotes such as "a cat"'),
        (list[int], 5, "5 is a whole number, not a list; write [...]"),
        (
            list[int],
            [1, "a"],
            "item 1: 'a' is a text, not a whole number; write a whole number such as 20",
        ),
        (list[int], [None], "item 0: null is not a whole number; write a whole number such as 20"),
        (list[list[int]], [[1], 2], "item 1: 2 is a whole number, not a list; write [...]"),
        (Image, "a.png", "'a.png' is a text, but an Image comes through a link"),
        (list[Image], [1], "item 0: 1 is a whole number, but an Image comes through a link"),
        (Annotated[int, Ge(1), Le(150)], 0, "0 is below 1; choose 1 to 150"),
        (Annotated[int, Ge(1), Le(150)], 151, "151 is above 150; choose 1 to 150"),
        (Annotated[float, Gt(0)], 0, "0 is not above 0; choose more than 0"),
        (Annotated[float, Lt(1)], 1.0, "1.0 is not below 1; choose less than 1"),
        (Annotated[int, MultipleOf(8)], 20, "20 is no multiple of 8; choose 16 or 24"),
        (Annotated[float, MultipleOf(0.1)], 0.25, "0.25 is no multiple of 0.1; choose 0.2 or 0.3"),
        (Literal["a", "b"], "c", "'c' is none of the choices; choose a, b"),
        (Literal[1, 2], 3, "3 is none of the choices; choose 1, 2"),
        (Annotated[str, Field(min_length=2)], "a", "'a' is shorter than 2"),
        (Annotated[str, Field(max_length=2)], "abc", "'abc' is longer than 2"),
        (Annotated[list[int], Field(min_length=2)], [1], "[1] is shorter than 2"),
        (Annotated[list[int], Field(max_length=1)], [1, 2], "[1, 2] is longer than 1"),
        (list[Annotated[int, Ge(1)]], [1, 0], "item 1: 0 is below 1; choose 1 or more"),
    ],
)
def test_a_refusal_says_what_was_there_and_what_to_do(hint: Any, value: Any, text: str) -> None:
    assert mismatch(value, port(hint)) == text


def test_a_pattern_is_told_where_a_text_does_not_fit() -> None:
    assert "#123" in mismatch("#123", port(Annotated[str, Field(pattern="^#[0-9a-f]{6}$")]))
    assert mismatch("#123abc", port(Annotated[str, Field(pattern="^#[0-9a-f]{6}$")])) == ""


def test_a_long_value_is_cut() -> None:
    text = mismatch("x" * 1000, port(int))
    assert len(text) < 150


def test_a_whole_number_that_no_float_can_hold_is_refused_and_nothing_is_raised() -> None:
    assert mismatch(10**400, port(float)).endswith("is no finite number")
    assert mismatch(10**300, port(float)) == ""
    assert mismatch(10**400, port(int)) == ""


@pytest.mark.parametrize("value", [0.1, 0.3, 0.7, 1.1, 2, -0.3, 1e6 + 0.1])
def test_a_multiple_is_one_as_near_as_floats_can_say_it(value: float) -> None:
    assert mismatch(value, port(Annotated[float, MultipleOf(0.1)])) == ""


@pytest.mark.parametrize(
    ("hint", "value"),
    [
        (int, -3),
        (float, 1),
        (float, 1.5),
        (bool, False),
        (str, ""),
        (int | None, None),
        (Image | None, None),
        (Seed, None),
        (list[int], []),
        (list[float], [1, 0.5]),
        (list[list[str]], [["a"], []]),
        (Any, {"a": [1, None]}),
        (Any, [1]),
        (Literal["a", "b"], "b"),
    ],
)
def test_what_fits_passes(hint: Any, value: Any) -> None:
    assert mismatch(value, port(hint)) == ""


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        ("int", "a whole number"),
        ("Image", "an Image"),
        ("Latent", "a Latent"),
        ("~T", "a T"),
        ("any", "a value"),
        (("list", "Image"), "a list of Image"),
        (("list", "int"), "a list of whole numbers"),
        (("list", "bool"), "a list of true or false"),
        (("list", "str"), "a list of texts"),
        (("list", "any"), "a list of values"),
        (("list", ("list", "float")), "a list of list of numbers"),
    ],
)
def test_types_are_told_in_words(kind: TypeRef, text: str) -> None:
    assert article(kind) == text


@pytest.mark.parametrize(
    ("schema", "text"),
    [
        ({"minimum": 1, "maximum": 9}, "1 to 9"),
        ({"minimum": 1}, "1 or more"),
        ({"maximum": 9}, "9 or less"),
        ({"exclusiveMinimum": 0}, "more than 0"),
        ({"exclusiveMaximum": 1}, "less than 1"),
        ({"exclusiveMinimum": 0, "maximum": 1}, "more than 0 to 1"),
        ({"minimum": 0, "exclusiveMaximum": 1}, "0 to less than 1"),
    ],
)
def test_bounds_are_told_in_words(schema: dict[str, Any], text: str) -> None:
    assert span(schema) == text


numbers = st.one_of(st.integers(), st.floats(), st.integers(-20, 20), st.floats(-20, 20))
values = st.recursive(
    st.one_of(st.none(), st.booleans(), numbers, st.text(max_size=5)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=3), inner, max_size=2)
    ),
    max_leaves=5,
)
types = st.recursive(
    st.sampled_from(["int", "float", "bool", "str", "any", "Image", "~T"]),
    lambda inner: st.tuples(st.just("list"), inner),
    max_leaves=3,
)


def bounds(low: int, high: int, step: int, exclusive: bool) -> tuple[Any, Callable[[int], bool]]:
    """An annotation with bounds, and whether a number is inside of them."""
    marks = (Gt(low), Lt(high)) if exclusive else (Ge(low), Le(high), MultipleOf(step))

    def inside(value: int) -> bool:
        if exclusive:
            return low < value < high
        return low <= value <= high and value % step == 0

    return Annotated[(int, *marks)], inside


@given(st.integers(-20, 20), st.integers(-20, 20), st.integers(1, 5), st.booleans(), st.integers(-30, 30))
def test_what_passes_is_inside_the_bounds(
    low: int, high: int, step: int, exclusive: bool, value: int
) -> None:
    annotation, inside = bounds(low, high, step, exclusive)
    if any(map(inside, range(low, high + 1))):
        assert (mismatch(value, port(annotation)) == "") is inside(value)
    else:
        with pytest.raises(PackError, match="no value meets"):
            port(annotation)


def is_of(value: Any, kind: TypeRef) -> bool:
    if isinstance(kind, tuple):
        return isinstance(value, list) and all(is_of(v, kind[1]) for v in value)
    if kind in ("any", "~T"):
        return True
    if kind == "float":
        return type(value) in (int, float) and abs(value) < float("inf")
    return type(value) is {"int": int, "bool": bool, "str": str}.get(kind)


@given(values, types)
def test_what_passes_is_of_the_type_and_a_refusal_is_a_sentence(value: Any, kind: TypeRef) -> None:
    text = wrong_type(value, kind)
    assert (text == "") is is_of(value, kind)
    assert "\n" not in text
