"""Comparing pictures: what a difference shows, and what its measures are."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from graphengine_nodes import comparing, plots

torch.set_num_threads(1)


def picture(batch: int = 2, seed: int = 0, channels: int = 3) -> Tensor:
    """Random pixels."""
    return torch.rand(batch, 8, 12, channels, generator=torch.Generator().manual_seed(seed))


def test_equal_pictures_differ_nowhere() -> None:
    given = picture()
    assert not comparing.difference(given, given, 100).any()
    assert comparing.measure(given, given) == (0, 0, comparing.IDENTICAL)


def test_a_difference_has_no_sign_and_grows_with_the_gain() -> None:
    first, second = picture(), picture(seed=1)
    found = comparing.difference(first, second)
    assert torch.equal(found, (first - second).abs())
    assert torch.equal(comparing.difference(second, first), found)
    assert torch.equal(comparing.difference(first, second, 3), (found * 3).clamp(max=1))


def test_one_picture_is_compared_with_each_of_a_batch_and_alpha_does_not_count() -> None:
    first, second = picture(3), picture(1, 1, 4)
    assert torch.equal(comparing.difference(first, second), (first - second[..., :3]).abs())


@given(st.floats(0.01, 1))
def test_a_constant_difference_has_that_mean_and_its_psnr(apart: float) -> None:
    found = comparing.measure(torch.zeros(1, 4, 4, 3), torch.full((1, 4, 4, 3), apart))
    assert found.mean == pytest.approx(apart, rel=1e-5)
    assert found.largest == pytest.approx(apart, rel=1e-5)
    assert found.psnr == pytest.approx(-20 * math.log10(apart), abs=1e-4)


@pytest.mark.parametrize("masks", [1, 2])
def test_only_masked_pixels_are_measured(masks: int) -> None:
    first, second = picture(), picture()
    second[:, 2, 3] = 1 - first[:, 2, 3]
    outside = torch.ones(masks, 8, 12)
    outside[:, 2, 3] = 0.4
    assert comparing.measure(first, second, outside).largest == 0
    inside = comparing.measure(first, second, 1 - outside)
    assert inside.mean == pytest.approx(float((first - second)[:, 2, 3].abs().mean()))


def test_what_cannot_be_measured_is_refused() -> None:
    with pytest.raises(ValueError, match="one is 12 x 8 pixels, the other 4 x 4; resize one of them first"):
        comparing.measure(picture(), torch.zeros(1, 4, 4, 3))
    with pytest.raises(
        ValueError, match="the mask is 4 x 4 pixels, the pictures 12 x 8; resize one of them first"
    ):
        comparing.measure(picture(), picture(), torch.ones(1, 4, 4))
    with pytest.raises(ValueError, match=r"the mask is 0\.5 or more nowhere, so there is nothing to measure"):
        comparing.measure(picture(), picture(), torch.zeros(1, 8, 12))


def test_a_histogram_counts_every_pixel_once() -> None:
    given = torch.tensor([[[[0.0, 0.5, 1.0], [0.1, 0.5, 0.9]]]])
    red, green, blue = comparing.histogram(given, 2)
    assert (red, green, blue) == ([1, 0], [0, 1], [0, 1])
    shares = comparing.histogram(picture(channels=4), 16)
    assert len(shares) == 3
    for share in shares:
        assert sum(share) == pytest.approx(1)
        assert len(share) == 16


def test_brightness_has_one_curve_and_it_can_be_drawn() -> None:
    (share,) = comparing.histogram(torch.full((1, 4, 4, 3), 0.3), 10, True)
    assert share.index(1.0) == 3 or share.index(1.0) == 2
    assert plots.curves(comparing.histogram(picture())).shape == (1, 400, 640, 3)
