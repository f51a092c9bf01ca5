"""Arithmetic, comparison and chance."""

import math
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from graphengine_nodes import numbers

finite = st.floats(-1e100, 1e100)
seeds = st.integers(0, 2**53 - 1)


@given(finite, finite)
@settings(deadline=None)
def test_arithmetic_is_that_of_floats(a: float, b: float) -> None:
    assert numbers.add(a, b) == a + b
    assert numbers.subtract(a, b) == a - b
    assert numbers.multiply(a, b) == a * b
    assert numbers.minimum(a, b) <= numbers.maximum(a, b)
    assert {numbers.minimum(a, b), numbers.maximum(a, b)} == {a, b}
    assert numbers.absolute(a) == abs(a)


@given(finite, st.floats(1e-3, 1e3))
@settings(deadline=None)
def test_division_and_what_is_left(a: float, b: float) -> None:
    assert numbers.divide(a, b) == a / b
    assert 0 <= numbers.remainder(a, b) <= b


def test_whole_numbers_come_out_as_floats_too() -> None:
    for result in (numbers.add(1, 2), numbers.minimum(1, 2), numbers.clamp(3, 0, 5), numbers.remainder(7, 4)):
        assert type(result) is float


@given(finite, st.floats(-10, 0), st.floats(0, 10))
@settings(deadline=None)
def test_clamp_holds_a_number_between_its_bounds(value: float, low: float, high: float) -> None:
    held = numbers.clamp(value, low, high)
    assert low <= held <= high
    assert held == value or not low <= value <= high


def test_power() -> None:
    assert numbers.power(2, 10) == 1024
    assert numbers.power(9, 0.5) == 3
    assert numbers.power(-2, 3) == -8


@pytest.mark.parametrize(("call", "text"), [
    (lambda: numbers.divide(3, 0), "3 cannot be divided by 0; give another second number"),
    (lambda: numbers.remainder(3, 0), "3 cannot be divided by 0"),
    (lambda: numbers.power(0, -1), "divides by 0; give another base"),
    (lambda: numbers.power(-8, 0.5), "is no real number; give a base from 0 on"),
    (lambda: numbers.power(10, 400), "10 to the power of 400 is too large a number"),
    (lambda: numbers.multiply(1e200, 1e200), "is no finite number; give smaller numbers"),
    (lambda: numbers.add(10**400, 1), "is no finite number"),
    (lambda: numbers.clamp(1, 5, 2), "low, 5, is above high, 2; swap them"),
    (lambda: numbers.random(1, 5, 2), "low, 5, is above high, 2; swap them"),
    (lambda: numbers.random_integer(1, 5, 2), "low, 5, is above high, 2; swap them"),
    (lambda: numbers.multiple(5, 0), "no multiples of 0"),
    (lambda: numbers.round(math.inf), "is no finite number"),
])  # fmt: skip
def test_what_has_no_result_is_told_in_plain_words(call: Callable[[], Any], text: str) -> None:
    with pytest.raises(ValueError, match=text):
        call()


@pytest.mark.parametrize(("value", "nearest", "down", "up"), [
    (2.5, 3, 2, 3), (3.5, 4, 3, 4), (-2.5, -3, -3, -2), (2.4, 2, 2, 3), (7.0, 7, 7, 7),
    (0.49999999999999994, 0, 0, 1),
])  # fmt: skip
def test_round_takes_a_half_away_from_zero(value: float, nearest: int, down: int, up: int) -> None:
    assert numbers.round(value) == nearest
    assert numbers.round(value, "down") == down
    assert numbers.round(value, "up") == up


@given(st.floats(-1e6, 1e6), st.integers(1, 512))
@settings(deadline=None)
def test_a_multiple_is_near_and_divides(value: float, of: int) -> None:
    near = numbers.multiple(value, of)
    assert near % of == 0
    assert abs(near - value) <= of / 2 + 1e-6


@given(finite, finite)
@settings(deadline=None)
def test_each_relation_and_its_contrary_disagree(a: float, b: float) -> None:
    for relation, contrary in (("<", ">="), ("<=", ">"), ("=", "!=")):
        assert numbers.compare(a, b, relation) is not numbers.compare(a, b, contrary)
    assert numbers.compare(a, b, "<") is (a < b)
    assert numbers.compare(a, b, ">") is (a > b)
    assert numbers.compare(a, a, "=")


@given(seeds, st.floats(-100, 0), st.floats(0, 100))
@settings(deadline=None)
def test_a_seed_draws_the_same_number_each_time(seed: int, low: float, high: float) -> None:
    drawn = numbers.random(seed, low, high)
    assert low <= drawn <= high
    assert drawn == numbers.random(seed, low, high)
    whole = numbers.random_integer(seed, -3, 3)
    assert -3 <= whole <= 3
    assert whole == numbers.random_integer(seed, -3, 3)


def test_other_seeds_draw_other_numbers() -> None:
    assert len({numbers.random(seed) for seed in range(100)}) == 100
    assert {numbers.random_integer(seed, 1, 6) for seed in range(100)} == {1, 2, 3, 4, 5, 6}


@given(seeds, st.integers(1, 20))
@settings(deadline=None)
def test_seeds_are_different_and_within_bounds(seed: int, count: int) -> None:
    several = numbers.seeds(seed, count)
    assert several[0] == seed
    assert len(set(several)) == count
    assert all(0 <= s < 2**53 for s in several)


@given(finite, finite)
@settings(deadline=None)
def test_interpolation_ends_at_both_numbers(start: float, stop: float) -> None:
    assert numbers.interpolate(start, stop, 0) == start
    assert numbers.interpolate(start, stop, 1) == stop


def test_constants_give_what_they_hold() -> None:
    assert (numbers.integer(3), numbers.real(2.5), numbers.boolean(False)) == (3, 2.5, False)
