"""Numbers as pictures: curves stand where their numbers are, and a table's colours follow its numbers."""

import math
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from graphengine_nodes import plots
from graphengine_nodes.pixels import rgb

torch.set_num_threads(1)

numbers = st.floats(-1e9, 1e9)


def drawn(image: Tensor, colour: str) -> Tensor:
    """Which pixels have a colour: [height, width]."""
    return (image[0] - torch.tensor(rgb(colour))).abs().amax(-1) < 0.02


def test_a_diagram_has_the_size_that_is_asked_for() -> None:
    assert plots.curves([[1, 2, 3]], width=320, height=200).shape == (1, 200, 320, 3)


def test_a_falling_curve_falls() -> None:
    line = drawn(plots.curves([[3, 2, 1, 0]]), plots.LINES[0])
    rows, columns = line.nonzero(as_tuple=True)
    left, right = rows[columns < columns.min() + 20], rows[columns > columns.max() - 20]
    assert left.max() < right.min()


def test_each_curve_has_a_colour_of_its_own() -> None:
    image = plots.curves([[k, k] for k in range(3)])
    for colour in plots.LINES[:3]:
        assert drawn(image, colour).any()
    assert not drawn(image, plots.LINES[3]).any()


def test_names_make_a_legend() -> None:
    bare, named = plots.curves([[0, 0]]), plots.curves([[0, 0]], ["flat"])
    assert drawn(named, plots.LINES[0])[:40].any()
    assert not drawn(bare, plots.LINES[0])[:40].any()


def test_powers_of_ten_make_a_straight_line_on_a_logarithmic_axis() -> None:
    line = drawn(plots.curves([[10.0**k for k in range(-3, 4)]], logarithmic=True), plots.LINES[0])
    rows, columns = (place.double() for place in line.nonzero(as_tuple=True))
    assert torch.corrcoef(torch.stack([rows, columns]))[0, 1] < -0.999


@pytest.mark.parametrize(("arguments", "text"), [
    ({"lines": []}, "there is no curve to draw"),
    ({"lines": [[], []]}, "there is no curve to draw"),
    ({"lines": [[1, 2, 3]], "x": [1, 2]}, "3 numbers have only 2 positions in x"),
    ({"lines": [[1, math.inf]]}, "inf is no finite number and cannot be drawn"),
    ({"lines": [[1, 0]], "logarithmic": True}, "0 has no logarithm; leave it out, or set logarithmic to"),
])  # fmt: skip
def test_what_cannot_be_drawn_is_told(arguments: dict[str, Any], text: str) -> None:
    with pytest.raises(ValueError, match=text):
        plots.curves(**arguments)


@given(st.lists(numbers, min_size=1, max_size=5))
@settings(deadline=None, max_examples=25)
def test_any_numbers_can_be_drawn(line: list[float]) -> None:
    assert drawn(plots.curves([line], width=160, height=160), plots.LINES[0]).any()


@given(numbers, numbers)
@settings(deadline=None)
def test_ticks_are_few_and_enclose_the_numbers(first: float, second: float) -> None:
    low, high = min(first, second), max(first, second)
    marks = plots.ticks(low, high, 6)
    spare = 1e-6 * (marks[-1] - marks[0])
    assert marks[0] <= low + spare
    assert high - spare <= marks[-1]
    assert 2 <= len(marks) <= 12


def test_a_heatmap_goes_from_light_to_dark() -> None:
    image = plots.heatmap([[0.0, 0.5, 1.0]], ["row"], ["a", "b", "c"], decimals=-1, cell=20)
    for colour in plots.HEAT:
        assert drawn(image, colour).sum() >= 400
    beyond = plots.heatmap([[-5.0, 0.5, 5.0]], ["row"], ["a", "b", "c"], decimals=-1, cell=20)
    assert torch.equal(beyond, image)


def test_a_heatmap_writes_its_numbers() -> None:
    plain, written = (plots.heatmap([[0.0]], ["r"], ["c"], decimals=d) for d in (-1, 2))
    assert plain.shape == written.shape
    assert (written - plain).abs().max() > 0.5


@pytest.mark.parametrize(("arguments", "text"), [
    (([[1, 2], [3]], ["a", "b"], ["c", "d"]), "2 rows of 1, 2 numbers do not fit 2 row labels and 2"),
    (([], [], []), "0 rows of no numbers do not fit"),
    (([[1.0]], ["a"], ["b"], 1, 1), "low must be below high"),
    (([[math.nan]], ["a"], ["b"]), "nan is no finite number and has no colour"),
])  # fmt: skip
def test_a_table_that_does_not_fit_is_told(arguments: tuple[Any, ...], text: str) -> None:
    with pytest.raises(ValueError, match=text):
        plots.heatmap(*arguments)
