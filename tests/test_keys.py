from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum, IntEnum
from itertools import combinations
from typing import Any, NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from graphengine.keys import bind, canonical, digest, literal_key, symbol


class Colour(Enum):
    RED = 1
    BLUE = 2


class Other(IntEnum):
    RED = 1


class Pair(NamedTuple):
    a: Any
    b: Any


@dataclass(frozen=True)
class Point:
    a: Any
    b: Any
    note: str = field(default="", compare=False)


@dataclass
class Loose:
    a: int


twin: Any = NamedTuple("Pair", [("a", Any), ("b", Any)])
twin.__module__, twin.__qualname__ = "elsewhere", Pair.__qualname__

DIFFERENT = [
    None, True, False, 0, 1, -1, 0.0, -0.0, 1.0, float("nan"), float("inf"), "", "1", "n", b"", b"1",
    [], (), {}, [1], (1,), [[1]], [1, 2], [12], ["a", "b"], ["ab"], ["a", ["b"]], {"a": 1}, {"a": True},
    {"a": 1, "b": 2}, ["a", 1], Colour.RED, Colour.BLUE, Other.RED, Pair(1, 2), (1, 2),
    ("Pair", 1, 2), (Pair.__module__, "Pair", 1, 2), [Pair.__module__, "Pair", 1, 2], twin(1, 2), Point(1, 2),
    ("Point", 1, 2), 10**5000, 10**5000 + 1, "\ud800", "i1;",
]  # fmt: skip


def test_values_that_differ_have_bytes_that_differ() -> None:
    for one, two in combinations(DIFFERENT, 2):
        left, right = canonical(one), canonical(two)
        assert left is not None
        assert right is not None
        assert left != right
        assert not left.startswith(right)  # or two of them in a row could be read in two ways
        assert not right.startswith(left)


@pytest.mark.parametrize("value", [object(), Loose(1), {1, 2}, Point, int, [object()], {"a": Loose(1)}, len])
def test_what_is_not_plain_has_none(value: Any) -> None:
    assert canonical(value) is None


def test_a_dict_is_the_same_in_any_order() -> None:
    assert canonical({"a": 1, "b": {"c": 2, "d": 3}}) == canonical({"b": {"d": 3, "c": 2}, "a": 1})


def test_fields_that_do_not_compare_do_not_tell_values_apart() -> None:
    assert canonical(Point(1, 2, "here")) == canonical(Point(1, 2, "there"))


def test_a_list_that_holds_itself_is_not_plain() -> None:
    ring: list[Any] = []
    ring.append(ring)
    assert canonical(ring) is None


def test_a_literal_has_a_short_key_whatever_its_length() -> None:
    assert literal_key(5) == canonical(5)
    assert len(literal_key("x" * 10_000)) == 33
    assert literal_key("x" * 10_000) != literal_key("x" * 10_001)
    deep: Any = 1
    for _ in range(63):
        deep = [deep]
    assert literal_key(deep)


def test_a_literal_that_is_not_plain_is_refused() -> None:
    with pytest.raises(TypeError, match="is no plain value"):
        literal_key(object())


def test_symbols_differ_by_body_and_place() -> None:
    assert len({symbol(depth, index) for depth in range(20) for index in range(20)}) == 400


def test_a_key_without_arguments_is_its_own() -> None:
    key = digest(b"x")
    assert bind(key, ()) == key


def test_a_key_with_an_unknown_argument_is_unknown() -> None:
    assert bind(digest(b"x"), [b"i1;", None]) is None


def test_bound_keys_differ_by_arguments_and_their_order() -> None:
    key = digest(b"x")
    arguments = [(b"i1;", b"i2;"), (b"i2;", b"i1;"), (b"i1;",), (b"i12;",)]
    assert len({bind(key, a) for a in arguments} | {key}) == 5


plain = st.recursive(
    st.one_of(
        st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False), st.text(max_size=4),
        st.binary(max_size=4), st.sampled_from([*Colour, *Other]),
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.lists(inner, max_size=3).map(tuple),
        st.dictionaries(st.text(max_size=2), inner, max_size=3),
        st.builds(Pair, inner, inner),
        st.builds(Point, inner, inner),
    ),
    max_leaves=6,
)  # fmt: skip


def typed(value: Any) -> Any:
    """The value with its types, so that 1, 1.0 and True are not equal."""
    if isinstance(value, dict):
        return dict, frozenset((k, typed(v)) for k, v in value.items())
    if isinstance(value, (list, tuple)):
        return type(value), tuple(map(typed, value))
    if isinstance(value, Point):
        return Point, typed(value.a), typed(value.b)
    return type(value), repr(value)


@given(plain, plain)
def test_equal_bytes_mean_equal_values(one: Any, two: Any) -> None:
    assert (canonical(one) == canonical(two)) is (typed(one) == typed(two))


def test_what_is_not_plain_is_never_written_out() -> None:
    """A dict of large tensors is told from a plain one at once."""

    class Large:
        def __repr__(self) -> str:
            raise AssertionError("written out")

    assert canonical({"b": Large(), "a": 1}) is None
    assert canonical([{"a": Large()}, 1]) is None
