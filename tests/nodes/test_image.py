"""Pictures as a whole, and their colours: what each node promises of size, values and channels."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from graphengine.types import Image
from graphengine_nodes import filters, images
from graphengine_nodes.filters import edges, slopes

torch.set_num_threads(1)


def picture(width: int = 12, height: int = 8, channels: int = 3, batch: int = 2, seed: int = 0) -> Tensor:
    """Random pixels."""
    return torch.rand(batch, height, width, channels, generator=torch.Generator().manual_seed(seed))


CHANGES: dict[str, Callable[[Tensor], Any]] = {
    "resize": lambda p: images.resize(p, 7, 5),
    "resize_cover": lambda p: images.resize(p, 7, 7, "cover", "nearest"),
    "crop": lambda p: images.crop(p, 1, 2, 4, 3),
    "pad": lambda p: images.pad(p, 1, 2, 3, 4).image,
    "pad_edge": lambda p: images.pad(p, 1, 2, 3, 4, "edge").image,
    "pad_mirror": lambda p: images.pad(p, 1, 2, 3, 4, "mirror").image,
    "flip": images.flip,
    "rotate": images.rotate,
    "batch": lambda p: images.batch([p, p]),
    "unbatch": lambda p: images.unbatch(p)[0],
    "invert": filters.invert,
    "grayscale": filters.grayscale,
    "adjust": lambda p: filters.adjust(p, 0.1, 1.2, 0.5, 2.2),
    "blur": lambda p: filters.blur(p, 1.5),
    "sharpen": filters.sharpen,
    "blend": lambda p: filters.blend(p, p.flip(1), "overlay"),
    "composite": lambda p: filters.composite(p, p[:1], None, -3, 2),
}


@pytest.mark.parametrize("channels", [1, 3, 4])
@pytest.mark.parametrize("name", CHANGES)
def test_the_input_stays_and_the_result_is_a_picture(name: str, channels: int) -> None:
    given = picture(channels=channels)
    before = given.clone()
    result = CHANGES[name](given)
    assert torch.equal(given, before)
    assert result.dtype == torch.float32
    assert result.is_contiguous()
    assert result.shape[-1] == (3 if name in ("blend", "composite") and channels == 1 else channels)
    assert 0 <= result.min()
    assert result.max() <= 1
    assert result.untyped_storage().nbytes() == result.nbytes, "it holds more memory than its own"


def test_solid_is_one_colour() -> None:
    result = images.solid(6, 4, "#ff8000", 2)
    assert result.shape == (2, 4, 6, 3)
    assert torch.equal(result[1, 3, 5], torch.tensor([1, 128 / 255, 0]))
    with pytest.raises(ValueError, match="'red' is no colour; write one such as #ff8800"):
        images.solid(4, 4, "red")
    with pytest.raises(ValueError, match="16384 x 16384 pixels is refused"):
        images.solid(16384, 16384)


def test_size() -> None:
    assert images.size(picture()) == images.Size(width=12, height=8, batch=2)


@pytest.mark.parametrize(("width", "height", "fit", "expected"), [
    (6, 0, "stretch", (6, 4)), (0, 16, "stretch", (24, 16)), (5, 9, "stretch", (5, 9)),
    (6, 6, "inside", (6, 4)), (24, 8, "inside", (12, 8)), (6, 6, "cover", (6, 6)), (24, 4, "cover", (24, 4)),
    (1, 0, "stretch", (1, 1)),
])  # fmt: skip
def test_resize_gives_the_size_that_is_asked_for(
    width: int, height: int, fit: Any, expected: tuple[int, int]
) -> None:
    result = images.resize(picture(), width, height, fit)
    assert (result.shape[2], result.shape[1]) == expected


@pytest.mark.parametrize("method", images.FILTERS)
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_resizing_one_colour_gives_that_colour(method: Any, channels: int) -> None:
    flat = torch.full((1, 10, 10, channels), 0.3)
    assert torch.allclose(images.resize(flat, 23, 7, "stretch", method), torch.tensor(0.3), atol=1e-5)


def test_resize_by_area_is_the_mean() -> None:
    given = picture(4, 4, 1, 1)
    assert torch.allclose(images.resize(given, 1, 1, "stretch", "area").squeeze(), given.mean(), atol=1e-6)


def test_resize_to_the_same_size_changes_nothing() -> None:
    given = picture()
    assert torch.equal(images.resize(given, 12, 8), given)


def test_resize_takes_no_colour_from_transparent_pixels() -> None:
    given = torch.zeros(1, 2, 2, 4)
    given[..., :, 0, :] = torch.tensor([1.0, 0, 0, 1])
    given[..., :, 1, :] = torch.tensor([0, 1.0, 0, 0])
    assert torch.allclose(
        images.resize(given, 1, 1, "stretch", "area").squeeze(), torch.tensor([1, 0, 0, 0.5])
    )


def test_resize_needs_a_size() -> None:
    with pytest.raises(ValueError, match="both width and height are 0; give at least one of them"):
        images.resize(picture(), 0, 0)


def test_crop_is_what_was_there() -> None:
    given = picture()
    assert torch.equal(images.crop(given, 2, 1, 5, 4), given[:, 1:5, 2:7])
    assert torch.equal(images.crop(given, 2, 1), given[:, 1:, 2:])


@pytest.mark.parametrize("corner", [(8, 0, 5, 4), (12, 0, 0, 0), (-1, 0, 4, 4), (0, 6, 3, 3)])
def test_a_crop_outside_is_refused(corner: tuple[int, int, int, int]) -> None:
    with pytest.raises(ValueError, match="do not lie in a picture of 12 x 8; choose a smaller rectangle"):
        images.crop(picture(), *corner)


@given(
    st.tuples(*[st.integers(0, 5)] * 4),
    st.sampled_from(["colour", "edge", "mirror"]),
    st.sampled_from([1, 3, 4]),
)
@settings(deadline=None)
def test_cropping_undoes_padding_and_the_mask_is_what_is_new(
    sides: tuple[int, int, int, int], fill: Any, channels: int
) -> None:
    given = picture(channels=channels)
    padded, mask = images.pad(given, *sides, fill)
    left, top, right, bottom = sides
    assert padded.shape == (2, 8 + top + bottom, 12 + left + right, channels)
    assert torch.equal(images.crop(padded, left, top, 12, 8), given)
    assert mask.shape == padded.shape[:3]
    assert mask[:, top : top + 8, left : left + 12].sum() == 0
    assert mask.sum() == mask.numel() - 2 * 8 * 12


def test_padding_fills_with_a_colour_or_the_border() -> None:
    given = picture(channels=4)
    assert torch.equal(images.pad(given, 1, colour="#ff0000").image[0, 0, 0], torch.tensor([1.0, 0, 0, 1]))
    assert torch.equal(images.pad(given, 2, fill="edge").image[:, :, 0], given[:, :, 0])
    assert torch.equal(images.pad(given, 2, fill="mirror").image[:, :, 0], given[:, :, 2])
    with pytest.raises(ValueError, match="a picture of 12 x 8 cannot be mirrored so far"):
        images.pad(given, 12, fill="mirror")
    with pytest.raises(ValueError, match="use crop to cut pixels off"):
        images.pad(given, -1)


def test_flips_and_turns() -> None:
    given = picture()
    assert torch.equal(images.flip(given)[:, :, 0], given[:, :, -1])
    assert torch.equal(images.flip(given, "vertical")[:, 0], given[:, -1])
    quarter = images.rotate(given, 90)
    assert torch.equal(quarter[:, :, -1], given[:, 0]), "clockwise: the upper row becomes the right column"
    assert torch.equal(images.rotate(quarter, 270), given)
    assert torch.equal(images.rotate(given, 180), images.flip(images.flip(given), "vertical"))


def test_a_batch_comes_apart_again() -> None:
    given = picture(batch=3)
    singles = images.unbatch(given)
    assert [single.shape for single in singles] == [(1, 8, 12, 3)] * 3
    assert torch.equal(images.batch(singles), given)


def test_a_batch_gives_all_pictures_the_same_channels() -> None:
    grey, colour, clear = picture(channels=1), picture(channels=3), picture(channels=4)
    assert images.batch([grey, colour]).shape == (4, 8, 12, 3)
    mixed = images.batch([grey, colour, clear])
    assert mixed.shape == (6, 8, 12, 4)
    assert torch.equal(mixed[:2, ..., 3], torch.ones(2, 8, 12))
    assert torch.equal(mixed[:2, ..., 1], grey[..., 0])


def test_a_batch_of_different_sizes_is_refused() -> None:
    with pytest.raises(
        ValueError, match="picture 1 is 9 x 8 pixels, but picture 0 is 12 x 8; resize them to one size"
    ):
        images.batch([picture(), picture(9)])
    with pytest.raises(ValueError, match="no picture to put into a batch"):
        images.batch([])


def test_channels_come_apart_and_together() -> None:
    given = picture(channels=4)
    red, green, blue, alpha = images.split_channels(given)
    assert red.shape == (2, 8, 12, 1)
    assert torch.equal(images.merge_channels(red, green, blue, alpha), given)
    assert torch.equal(images.merge_channels(red, green, blue), given[..., :3])
    assert torch.equal(images.merge_channels(red[:1], green, blue)[1, ..., 0], red[0, ..., 0])
    assert images.split_channels(picture(channels=1)).alpha.min() == 1


def test_merging_channels_of_different_sizes_is_refused() -> None:
    small, large = picture(4, 4, 1), picture(5, 4, 1)
    with pytest.raises(ValueError, match="one is 4 x 4 pixels, the other 5 x 4; resize one of them first"):
        images.merge_channels(large, small, large)


def test_inverting_twice_changes_nothing_and_alpha_stays() -> None:
    given = picture(channels=4)
    once = filters.invert(given)
    assert torch.equal(once[..., 3], given[..., 3])
    assert torch.allclose(once[..., :3] + given[..., :3], torch.ones(()))
    assert torch.allclose(filters.invert(once), given)


def test_grey_is_as_bright_as_the_colour() -> None:
    result = filters.grayscale(torch.tensor([[[[1.0, 0, 0], [0, 1, 0], [0, 0, 1], [1, 1, 1]]]]))
    assert torch.allclose(result[0, 0, :, 1], torch.tensor([0.2126, 0.7152, 0.0722, 1]))
    assert torch.equal(result[..., 0], result[..., 2])


def test_adjust_does_nothing_unless_told() -> None:
    given = picture()
    assert torch.allclose(filters.adjust(given), given, atol=1e-6)


def test_adjust_does_what_it_says() -> None:
    given = picture()
    assert torch.allclose(filters.adjust(given, brightness=0.2), (given + 0.2).clamp(0, 1), atol=1e-6)
    assert torch.allclose(filters.adjust(given, contrast=0), torch.tensor(0.5))
    assert torch.allclose(filters.adjust(given, saturation=0), filters.grayscale(given), atol=1e-6)
    assert torch.allclose(filters.adjust(given, gamma=2), given.sqrt(), atol=1e-6)
    with pytest.raises(ValueError, match=r"a gamma of 0 has no meaning; choose 0.1 to 10"):
        filters.adjust(given, gamma=0)


def test_blur_keeps_flat_colours_and_spreads_a_point_as_a_gaussian() -> None:
    flat = torch.full((1, 9, 9, 3), 0.6)
    assert torch.allclose(filters.blur(flat, 3), flat, atol=1e-6)
    point = torch.zeros(1, 41, 41, 1)
    point[0, 20, 20] = 1
    spread = filters.blur(point, 2)[0, :, :, 0]
    assert torch.allclose(spread.sum(), torch.ones(()), atol=1e-5)
    away = (torch.arange(41) - 20.0) ** 2
    variance = (spread.sum(0) * away).sum()
    assert abs(variance - 4) < 0.2
    assert torch.equal(filters.blur(point, 0), point)


def test_a_blur_is_wider_than_the_picture_without_harm() -> None:
    assert filters.blur(picture(3, 2), 200).shape == (2, 2, 3, 3)


def test_sharpening_steepens_an_edge() -> None:
    edge = torch.full((1, 8, 8, 3), 0.3)
    edge[:, :, 4:] = 0.7
    sharp = filters.sharpen(edge)
    assert sharp[0, 4, 3, 0] < 0.3
    assert sharp[0, 4, 4, 0] > 0.7
    assert torch.equal(filters.sharpen(edge, 0), edge)


@pytest.mark.parametrize(("mode", "expected"), [
    ("normal", 0.8), ("multiply", 0.2), ("screen", 0.85), ("overlay", 0.4), ("add", 1.0), ("subtract", 0.0),
    ("difference", 0.55), ("darken", 0.25), ("lighten", 0.8), ("soft_light", 0.25 + 0.6 * (0.5 - 0.25)),
])  # fmt: skip
def test_each_mode_of_blending(mode: Any, expected: float) -> None:
    below, above = torch.full((1, 2, 2, 3), 0.25), torch.full((1, 2, 2, 3), 0.8)
    assert torch.allclose(filters.blend(below, above, mode, 1.0), torch.tensor(expected), atol=1e-6)
    assert torch.equal(filters.blend(below, above, mode, 0.0), below)
    half = filters.blend(below, above, mode, 0.5)
    assert torch.allclose(half, torch.tensor((0.25 + expected) / 2), atol=1e-6)


def test_blending_uses_alpha_and_repeats_a_single_picture() -> None:
    below, above = picture(batch=3), picture(batch=1, channels=4, seed=1)
    above[..., 3] = 0
    assert torch.equal(filters.blend(below, above, amount=1), below)
    above[..., 3] = 1
    assert torch.equal(filters.blend(below, above, amount=1), above[..., :3].expand(3, -1, -1, -1))


def test_blending_what_does_not_fit_is_refused() -> None:
    with pytest.raises(ValueError, match="one is 12 x 8 pixels, the other 9 x 8; resize one of them first"):
        filters.blend(picture(), picture(9))
    with pytest.raises(ValueError, match="one batch has 2, the other 3; make them equal, or one of them 1"):
        filters.blend(picture(), picture(batch=3))


@given(st.integers(-15, 15), st.integers(-15, 15))
@settings(deadline=None)
def test_composite_puts_a_picture_at_its_place(x: int, y: int) -> None:
    below, above = picture(), torch.full((1, 5, 4, 3), 2.0)  # 2 stands nowhere else
    result = filters.composite(below, above, None, x, y)
    for row in range(8):
        for column in range(12):
            inside = y <= row < y + 5 and x <= column < x + 4
            expected = torch.full((2, 3), 2.0) if inside else below[:, row, column]
            assert torch.equal(result[:, row, column], expected)


def test_composite_leaves_the_rest_to_the_bit() -> None:
    below, above = picture(batch=1), picture(batch=1, seed=1)
    mask = (picture(channels=1, batch=1, seed=2)[..., 0] > 0.5).float()
    result = filters.composite(below, above, mask)
    assert torch.equal(result, torch.where(mask[..., None] > 0, above, below))
    soft = filters.composite(below, above, mask * 0.25)
    assert torch.allclose(
        soft, torch.where(mask[..., None] > 0, 0.75 * below + 0.25 * above, below), atol=1e-6
    )


def test_composite_on_nothing_keeps_the_colour() -> None:
    below, above = torch.zeros(1, 2, 2, 4), torch.full((1, 2, 2, 4), 0.5)
    result = filters.composite(below, above)
    assert torch.allclose(result, torch.full((1, 2, 2, 4), 0.5)), (
        "half a colour on nothing is half that colour"
    )


def test_a_mask_of_another_size_is_refused() -> None:
    with pytest.raises(ValueError, match="the mask is 3 x 3 pixels, the upper picture 12 x 8; resize one"):
        filters.composite(picture(), picture(), torch.ones(1, 3, 3))


def test_pictures_of_a_batch_are_picked_by_their_place() -> None:
    given = picture(batch=4)
    assert torch.equal(images.pick(given), given[:1])
    assert torch.equal(images.pick(given, 1, 2), given[1:3])
    assert torch.equal(images.pick(given, -1), given[3:])
    for index, count in ((4, 1), (3, 2), (-5, 1)):
        with pytest.raises(
            ValueError, match="are not in a batch of 4; its positions are 0 to 3, or -1 for the"
        ):
            images.pick(given, index, count)


# -- edges ---------------------------------------------------------------------------------------------------


def step_picture(height: int = 20, width: int = 20, at: int = 10, level: float = 1.0) -> Image:
    """Black on the left, brighter from column `at` on."""
    image = torch.zeros(1, height, width, 3)
    image[:, :, at:] = level
    return image


def test_the_slope_of_a_full_step_is_one() -> None:
    across, down = slopes(step_picture()[..., 0])
    assert across[0, 5].tolist() == [0.0] * 9 + [1.0, 1.0] + [0.0] * 9
    assert not down.any()


def test_sobel_draws_what_is_steeper_than_high() -> None:
    found = edges(step_picture(level=0.5), "sobel", high=0.4, radius=0.0)
    assert found.shape == (1, 20, 20, 1)
    assert found[0, 3, :, 0].nonzero().flatten().tolist() == [9, 10]
    assert not edges(step_picture(level=0.5), "sobel", high=0.6, radius=0.0).any()


@pytest.mark.parametrize("turns", range(4))
def test_canny_draws_a_straight_edge_one_pixel_wide(turns: int) -> None:
    image = step_picture().rot90(turns, (1, 2))
    found = edges(image).rot90(-turns, (1, 2))[0, :, :, 0]
    assert (found.sum(1) == 1).all()
    assert found.nonzero()[:, 1].unique().tolist() in ([9], [10])


def test_canny_draws_a_slanted_edge_thin_and_whole() -> None:
    y, x = torch.meshgrid(torch.arange(40), torch.arange(40), indexing="ij")
    image = (x > y).float()[None, ..., None]
    found = edges(image, radius=1.0)[0, 2:-2, 2:-2, 0]
    assert 1 <= found.sum(1).min() <= found.sum(1).max() <= 2
    assert ((found.nonzero()[:, 0] - found.nonzero()[:, 1]).abs() <= 1).all()


def test_canny_keeps_faint_lines_that_lead_to_strong_ones() -> None:
    image = step_picture(40) * torch.linspace(1, 0.15, 40)[:, None, None]  # an edge that fades downwards
    faint = step_picture(40, level=0.15)
    options = {"low": 0.05, "high": 0.3, "radius": 0.0}
    assert not edges(faint, **options).any()  # type: ignore[arg-type]
    assert edges(image, **options)[0, 37, :, 0].any()  # type: ignore[arg-type]
    options["low"] = 0.3
    assert not edges(image, **options)[0, 37, :, 0].any()  # type: ignore[arg-type]


def test_edges_read_grey_and_batches_and_no_alpha() -> None:
    images = torch.cat([step_picture(), step_picture(at=5)])
    found = edges(images)
    assert torch.equal(found[1:], edges(step_picture(at=5)))
    assert torch.equal(edges(images[..., :1]), found)
    assert torch.equal(edges(torch.cat([images, torch.rand(2, 20, 20, 1)], -1)), found)
    assert not edges(torch.full((1, 8, 8, 3), 0.7)).any()
    with pytest.raises(ValueError, match=r"low is 0.5 and high is 0.2; low must not be above high"):
        edges(images, low=0.5, high=0.2)
