"""Loops, choices and lists; the bodies here are plain coroutines that stand in for sub-graphs."""

import asyncio
from collections.abc import Awaitable, Coroutine, Generator
from itertools import chain, pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from graphengine_nodes import flow


class Request:
    """What awaiting a body gives to the engine: a call that it answers later."""

    def __init__(self, *arguments: Any) -> None:
        self.arguments = arguments

    def __await__(self) -> Generator[Any, Any, Any]:
        return (yield self)


def answered(running: Coroutine[Any, Any, Any], answer: Any) -> tuple[Any, list[tuple[Any, ...]]]:
    """Run a node as the engine does: no event loop, each request answered in turn."""
    calls = []
    value = None
    while True:
        try:
            request = running.send(value)
        except StopIteration as stop:
            return stop.value, calls
        assert isinstance(request, Request)
        calls.append(request.arguments)
        value = answer(*request.arguments)


async def lazily(value: Any) -> Any:
    return value


def test_fold_hands_each_result_to_the_next_step() -> None:
    result, calls = answered(flow.fold("", ["a", "b", "c"], Request), lambda text, letter: text + letter)
    assert result == "abc"
    assert calls == [("", "a"), ("a", "b"), ("ab", "c")]


def test_fold_over_nothing_gives_the_start() -> None:
    assert answered(flow.fold(7, [], Request), None) == (7, [])


@given(st.lists(st.integers()), st.integers())
@settings(deadline=None)
def test_the_last_value_of_a_scan_is_the_fold(over: list[int], start: int) -> None:
    add = int.__add__
    states, _ = answered(flow.scan(start, over, Request, True), add)
    assert states[0] == start
    assert states[-1] == answered(flow.fold(start, over, Request), add)[0]
    assert states[1:] == answered(flow.scan(start, over, Request), add)[0]


def test_map_keeps_the_order() -> None:
    assert answered(flow.map([3, 1, 2], Request), lambda n: n * n)[0] == [9, 1, 4]


def test_keep_leaves_out_what_the_body_refuses() -> None:
    assert answered(flow.keep([1, 2, 3, 4], Request), lambda n: n % 2 == 0)[0] == [2, 4]


@given(st.integers(0, 50))
@settings(deadline=None)
def test_repeat_calls_its_body_so_many_times(times: int) -> None:
    result, calls = answered(flow.repeat(times, 0, Request), lambda n: n + 2)
    assert (result, len(calls)) == (2 * times, times)


def test_repeat_while_stops_when_the_condition_fails() -> None:
    async def below_100(n: int) -> bool:
        return n < 100

    async def double(n: int) -> int:
        return 2 * n

    assert asyncio.run(flow.repeat_while(1, below_100, double)) == 128
    assert asyncio.run(flow.repeat_while(1, below_100, double, at_most=3)) == 8
    assert asyncio.run(flow.repeat_while(500, below_100, double)) == 500


@pytest.mark.parametrize(("use_first", "expected"), [(True, "yes"), (False, "no")])
def test_switch_awaits_one_branch_only(use_first: bool, expected: str) -> None:
    asked = []

    class Branch:
        def __init__(self, name: str) -> None:
            self.name = name

        def __await__(self) -> Generator[Any, Any, str]:
            asked.append(self.name)
            return self.name
            yield

    first: Awaitable[str] = Branch("yes")
    assert asyncio.run(flow.switch(use_first, first, Branch("no"))) == expected
    assert asked == [expected]


@given(st.booleans(), st.booleans())
@settings(deadline=None)
def test_truth_values(first: bool, second: bool) -> None:
    assert flow.both(first, second) is (first and second)
    assert flow.either(first, second) is (first or second)
    assert flow.negate(first) is (not first)


@given(st.lists(st.integers(), min_size=1), st.data())
@settings(deadline=None)
def test_item_counts_from_both_ends(items: list[int], data: st.DataObject) -> None:
    index = data.draw(st.integers(-len(items), len(items) - 1))
    assert flow.item(items, index) == items[index]


def test_collect_gives_its_items_in_their_order() -> None:
    assert flow.collect([3, 1, 2]) == [3, 1, 2]


def test_an_item_beyond_the_end_is_told() -> None:
    with pytest.raises(
        ValueError, match=r"no item 3 in this list; its positions are 0 to 2, or -1 for the last"
    ):
        flow.item([1, 2, 3], 3)
    with pytest.raises(ValueError, match="no item 0 in this list; it is empty"):
        flow.item([], 0)


@given(st.lists(st.integers()), st.lists(st.integers()), st.integers(0, 9))
@settings(deadline=None)
def test_lists_are_new_and_the_given_ones_stay(first: list[int], second: list[int], count: int) -> None:
    before = list(first), list(second)
    joined = flow.join(first, second)
    assert flow.length(joined) == len(first) + len(second)
    assert flow.take(joined, len(first)) == first
    assert flow.take_last(joined, len(second)) == second
    assert flow.take(first, count) + first[count:] == first
    assert flow.reverse(flow.reverse(first)) == first
    joined.append(0)
    assert (first, second) == before


@given(st.lists(st.integers(), unique=True), st.integers(1, 9))
@settings(deadline=None)
def test_every_keeps_the_first_and_the_last(items: list[int], step: int) -> None:
    kept = flow.every(items, step)
    assert kept[:1] == items[:1]
    assert kept[-1:] == items[-1:]
    assert kept == [n for n in items if n in kept]
    assert flow.every(items, 1) == items


def test_every_needs_a_step() -> None:
    with pytest.raises(ValueError, match="a step of 0 leads nowhere; choose 1 or more"):
        flow.every([1], 0)


@given(st.integers(-99, 99), st.integers(-99, 99), st.integers(-9, 9).filter(bool))
@settings(deadline=None)
def test_range_is_that_of_python(start: int, stop: int, step: int) -> None:
    assert flow.range(start, stop, step) == list(range(start, stop, step))


@pytest.mark.parametrize(("arguments", "text"), [
    ((0, 5, 0), "a step of 0 never arrives"),
    ((0, 1_000_001, 1), "makes 1000001 numbers; a list holds 1000000 at most"),
    ((2**70, 0, -1), "a list holds 1000000 at most"),
])  # fmt: skip
def test_a_range_without_end_is_refused(arguments: tuple[int, int, int], text: str) -> None:
    with pytest.raises(ValueError, match=text):
        flow.range(*arguments)


def test_a_range_of_a_million_is_allowed() -> None:
    assert len(flow.range(0, 1_000_000)) == 1_000_000
    assert len(flow.range(1_000_000, 0, -1)) == 1_000_000


@given(st.floats(-1e6, 1e6), st.floats(-1e6, 1e6), st.integers(2, 50))
@settings(deadline=None)
def test_linspace_has_both_ends_to_the_bit(start: float, stop: float, count: int) -> None:
    numbers = flow.linspace(start, stop, count)
    assert (numbers[0], numbers[-1], len(numbers)) == (start, stop, count)
    steps = [b - a for a, b in pairwise(numbers)]
    assert max(steps) - min(steps) <= 1e-8


def test_a_short_linspace() -> None:
    assert flow.linspace(2, 3, 0) == []
    assert flow.linspace(2, 3, 1) == [2]
    with pytest.raises(ValueError, match="a list holds 1000000 at most"):
        flow.linspace(0, 1, 1_000_001)


def test_zip_pairs_what_stands_at_the_same_place() -> None:
    assert flow.zip([1, 2], ["a", "b"]) == [[1, "a"], [2, "b"]]
    assert flow.zip([], []) == []
    with pytest.raises(ValueError, match="the lists have 1 and 2 items; give them the same length"):
        flow.zip([1], [1, 2])


@given(st.lists(st.integers(), max_size=5), st.lists(st.text(), max_size=5))
def test_a_product_has_a_row_for_each_of_the_first(first: list[int], second: list[str]) -> None:
    pairs = flow.product(first, second)
    assert len(pairs) == len(first) * len(second)
    for number, pair in enumerate(pairs):
        row, column = divmod(number, len(second))
        assert pair == [first[row], second[column]]


def test_a_product_of_too_many_is_refused() -> None:
    with pytest.raises(
        ValueError, match="1001 and 1000 items make 1001000 pairs; a list holds 1000000 at most"
    ):
        flow.product([0] * 1001, [0] * 1000)


@given(st.lists(st.lists(st.integers())))
def test_flattening_keeps_all_items_in_their_order(lists: list[list[int]]) -> None:
    assert flow.flatten(lists) == [*chain.from_iterable(lists)]
