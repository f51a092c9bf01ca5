"""Masks: what is selected, and what each change keeps."""

from collections.abc import Callable

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from graphengine_nodes import masks

torch.set_num_threads(1)


def soft(width: int = 12, height: int = 8, batch: int = 2) -> Tensor:
    """Random values."""
    return torch.rand(batch, height, width, generator=torch.Generator().manual_seed(3))


CHANGES: dict[str, Callable[[Tensor], Tensor]] = {
    "invert": masks.invert,
    "grow": lambda m: masks.grow(m, 2),
    "shrink": lambda m: masks.grow(m, -2),
    "feather": lambda m: masks.feather(m, 2),
    "threshold": masks.threshold,
    "combine": lambda m: masks.combine(m, m.flip(1), "exclusion"),
    "resize": lambda m: masks.resize(m, 12, 8),
}


@pytest.mark.parametrize("name", CHANGES)
def test_the_input_stays_and_the_result_is_a_mask(name: str) -> None:
    given = soft()
    before = given.clone()
    result = CHANGES[name](given)
    assert torch.equal(given, before)
    assert result.shape == given.shape
    assert result.dtype == torch.float32
    assert 0 <= result.min()
    assert result.max() <= 1


def test_alpha_selects_what_is_opaque() -> None:
    image = torch.rand(2, 8, 12, 4)
    assert torch.equal(masks.from_alpha(image), image[..., 3])
    assert masks.from_alpha(image[..., :3]).min() == 1


def test_colour_selects_what_is_near() -> None:
    image = torch.tensor([[[[0.0, 1, 0], [0.05, 1, 0], [0.3, 1, 0], [1, 0, 0]]]])
    assert masks.from_colour(image, "#00ff00", 0.0).flatten().tolist() == [1, 0, 0, 0]
    assert masks.from_colour(image, "#00ff00", 0.1).flatten().tolist() == [1, 1, 0, 0]
    falling = masks.from_colour(image, "#00ff00", 0.1, 0.4).flatten()
    assert torch.allclose(falling, torch.tensor([1, 1, 0.5, 0]))


def test_luminance_selects_what_is_bright() -> None:
    grey = torch.tensor([0.0, 0.25, 0.5, 1]).reshape(1, 1, 4, 1)
    assert masks.from_luminance(grey).flatten().tolist() == [0, 0.25, 0.5, 1]
    assert masks.from_luminance(grey.expand(1, 1, 4, 3), 0.25, 0.75).flatten().tolist() == [0, 0, 0.5, 1]
    assert masks.from_luminance(grey, 0.5, 0.5).flatten().tolist() == [0, 0, 1, 1]
    with pytest.raises(ValueError, match=r"low, 0.8, is above high, 0.2; swap them, or invert the mask"):
        masks.from_luminance(grey, 0.8, 0.2)


def test_white_and_black_come_back_from_a_picture() -> None:
    mask = masks.rectangle(12, 8, 2, 1, 5, 4)
    image = masks.to_image(mask)
    assert image.shape == (1, 8, 12, 3)
    assert torch.allclose(masks.from_luminance(image), mask, atol=1e-6)


def test_a_rectangle_is_cut_at_the_border() -> None:
    assert masks.rectangle(12, 8, 2, 1, 5, 4).sum() == 20
    assert masks.rectangle(12, 8, 10, 6, 5, 4).sum() == 4
    assert masks.rectangle(12, 8, 50, 50, 5, 4).sum() == 0
    assert masks.rectangle(12, 8, 2, 1, 5, 4)[0, 1:5, 2:7].min() == 1


def test_an_ellipse_has_the_area_of_one() -> None:
    mask = masks.ellipse(100, 80, 10, 10, 80, 60)
    assert abs(mask.sum() - torch.pi * 40 * 30) < 30
    assert mask[0, 40, 50] == 1
    assert mask[0, 10, 10] == 0
    assert torch.allclose(mask, mask.flip(2), atol=1e-5)
    assert masks.ellipse(10, 10, 0, 0, 0, 0).max() <= 0.5


@given(st.integers(1, 8))
@settings(deadline=None, max_examples=8)
def test_growing_reaches_as_far_as_it_says(pixels: int) -> None:
    point = torch.zeros(1, 31, 31)
    point[0, 15, 15] = 1
    grown = masks.grow(point, pixels)[0]
    assert grown[15].sum() == 2 * pixels + 1
    assert grown[:, 15].sum() == 2 * pixels + 1
    assert torch.equal(grown, grown.T)
    rows, columns = grown.nonzero(as_tuple=True)
    reach = ((rows - 15) ** 2 + (columns - 15) ** 2).double().sqrt().max()
    assert reach <= 1.2 * pixels + 0.5, "nearly a disc"


@given(st.integers(-8, 8))
@settings(deadline=None, max_examples=17)
def test_shrinking_is_growing_the_rest(pixels: int) -> None:
    mask = masks.rectangle(24, 20, 6, 5, 10, 9)
    assert torch.equal(masks.grow(mask, pixels), 1 - masks.grow(1 - mask, -pixels))
    assert pixels < 0 or (masks.grow(mask, pixels) >= mask).all()


def test_feather_keeps_the_amount_and_softens_the_border() -> None:
    mask = masks.rectangle(64, 64, 16, 16, 32, 32)
    feathered = masks.feather(mask, 3)
    assert abs(feathered.sum() - mask.sum()) < 1
    assert 0.4 < feathered[0, 32, 16] < 0.6
    assert torch.equal(masks.feather(mask, 0), mask)


def test_threshold_is_hard() -> None:
    assert masks.threshold(torch.tensor([[[0.0, 0.49, 0.5, 1]]])).flatten().tolist() == [0, 0, 1, 1]


@pytest.mark.parametrize(("how", "expected"), [
    ("union", [0, 1, 1, 1]), ("intersection", [0, 0, 0, 1]), ("difference", [0, 0, 1, 0]),
    ("exclusion", [0, 1, 1, 0]),
])  # fmt: skip
def test_combining_is_the_algebra_of_sets(how: str, expected: list[float]) -> None:
    first, second = torch.tensor([[[0.0, 0, 1, 1]]]), torch.tensor([[[0.0, 1, 0, 1]]])
    assert masks.combine(first, second, how).flatten().tolist() == expected


def test_combining_repeats_a_single_mask_and_refuses_other_sizes() -> None:
    assert masks.combine(soft(batch=3), soft(batch=1)).shape == (3, 8, 12)
    with pytest.raises(ValueError, match="one is 12 x 8 pixels, the other 5 x 5; resize one of them first"):
        masks.combine(soft(), soft(5, 5))


def test_resize_keeps_hard_borders_if_told() -> None:
    mask = masks.rectangle(16, 16, 4, 4, 8, 8)
    assert set(masks.resize(mask, 40, 24, smooth=False).unique().tolist()) == {0, 1}
    smooth = masks.resize(mask, 40, 24)
    assert smooth.shape == (1, 24, 40)
    assert abs(smooth.mean() - 0.25) < 0.01
