"""Latents: sizes, noise of both kinds, masks, other sizes and batches."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from nodes.tinymodels import Shelf
from torch import Tensor

import graphengine_storybook
from graphengine_diffusion.handles import LatentSpec
from graphengine_diffusion.latents import (
    add_noise,
    canvas,
    empty_latent,
    noise,
    variance_preserving,
)
from graphengine_diffusion.loading import LoadedModel, load_model
from graphengine_diffusion.masking import composite_latent, latent_mask, mask_blend
from graphengine_diffusion.noise import draw
from graphengine_diffusion.reshaping import (
    crop_latent,
    flip_latent,
    join_latents,
    pick_latent,
    repeat_latent,
    upscale_latent,
)
from graphengine_diffusion.types import Latent, Past, Schedule, Timestep

torch.set_num_threads(1)

SPEC = LatentSpec(4, 8)


@pytest.fixture(scope="module")
def model() -> LoadedModel:
    return load_model(ctx=Shelf(Path(graphengine_storybook.__file__).parent / "models"))


def latent(batch: int = 2, height: int = 6, width: int = 8, first: int = 10, history: bool = False) -> Latent:
    samples = torch.randn(batch, 4, height, width, generator=torch.Generator().manual_seed(first))
    past = (Past("dpmpp_2m", 2.0, (samples + 1,)),) if history else ()
    return Latent(samples, SPEC, tuple(range(first, first + batch)), past)


def step(sigma: float, sigma_next: float, flow: bool = False) -> Timestep:
    return Timestep(3, sigma, sigma_next, 500.0, 0.5, flow)


def test_the_canvas_is_the_models_own_size_unless_told(model: LoadedModel) -> None:
    assert canvas(model.denoiser) == (128, 128)
    assert canvas(model.denoiser, 256) == (256, 128)
    assert canvas(model.denoiser, height=192) == (128, 192)
    with pytest.raises(ValueError, match="width: 100 is no multiple of 8, the VAE's factor; choose 96"):
        canvas(model.denoiser, 100)


def test_empty_latents_are_zeros_with_the_seeds_of_noise(model: LoadedModel) -> None:
    plan = Schedule(torch.tensor([1.0, 0.0]), torch.tensor([999.0]))
    found = empty_latent(model.denoiser, 5, 64, 128, 3)
    full = noise(model.denoiser, plan, 5, 64, 128, 3)
    assert not found.samples.any()
    assert (found.samples.shape, found.seeds, found.spec) == (full.samples.shape, full.seeds, full.spec)


@pytest.mark.parametrize("sigma", [0.0, 0.3, 1.0])
def test_noise_of_a_flow_model_takes_the_place_of_the_picture(sigma: float) -> None:
    clean = latent()
    wanted = (1 - sigma) * clean.samples + sigma * draw((7, 8), (4, 6, 8))
    plan = Schedule(torch.tensor([sigma, 0.0]), torch.tensor([sigma * 1000]), flow=True)
    for how in ({"schedule": plan}, {"timestep": step(sigma, 0, True)}, {"sigma": sigma, "flow": True}):
        found = add_noise(clean, 7, **how)  # type: ignore[arg-type]
        torch.testing.assert_close(found.samples, wanted)
        assert found.seeds == (7, 8)


def test_more_than_all_noise_is_refused_for_a_flow_model() -> None:
    with pytest.raises(ValueError, match=r"sigma: 1\.5 is above 1, which is all noise for a flow model"):
        add_noise(latent(), 7, sigma=1.5, flow=True)


@pytest.mark.parametrize(("sigma", "flow"), [(0.1, False), (5.0, False), (0.2, True), (0.9, True)])
def test_noisy_latents_of_both_kinds_are_scaled_to_unit_variance(sigma: float, flow: bool) -> None:
    unit = Latent(draw((1,), (4, 64, 64)), SPEC, (1,))
    at = step(sigma, 0, flow)
    found = variance_preserving(add_noise(unit, 4, timestep=at), at)
    assert float(found.samples.std()) == pytest.approx(1, abs=0.03)


def half_mask() -> Tensor:
    """The right half of a picture of 64 x 48."""
    mask = torch.zeros(1, 48, 64)
    mask[:, :, 32:] = 1
    return mask


@pytest.mark.parametrize("flow", [False, True])
def test_outside_of_the_mask_is_the_original_with_the_noise_of_the_step(flow: bool) -> None:
    x, original = latent(history=True), latent(first=20)
    at = step(0.9, 0.6, flow)
    found = mask_blend(x, original, half_mask(), at, 5)
    alpha = 0.4 if flow else 1.0
    wanted = alpha * original.samples + 0.6 * draw((5, 6), (4, 6, 8))
    torch.testing.assert_close(found.samples[..., :4], wanted[..., :4])
    assert torch.equal(found.samples[..., 4:], x.samples[..., 4:]), "inside stays to the bit"
    assert (found.seeds, found.history) == (x.seeds, x.history)


def test_after_the_last_step_the_original_is_back_to_the_bit() -> None:
    x, original = latent(), latent(first=20)
    for flow in (False, True):
        found = mask_blend(x, original, half_mask(), step(0.3, 0.0, flow), 5)
        assert torch.equal(found.samples[..., :4], original.samples[..., :4])


def test_the_noise_of_the_original_is_that_which_the_loop_began_with(model: LoadedModel) -> None:
    plan = Schedule(torch.tensor([3.0, 2.0, 0.0]), torch.tensor([900.0, 500.0]))
    start = noise(model.denoiser, plan, 5, 64, 48, 2)
    nothing = replace(start, samples=torch.zeros_like(start.samples))
    found = mask_blend(start, nothing, torch.zeros(1, 48, 64), step(3.0, 2.0), 5)
    torch.testing.assert_close(found.samples / 2, start.samples / 3)


def test_one_original_serves_a_batch_and_each_item_has_its_noise() -> None:
    original = latent(1, first=20)
    found = mask_blend(latent(3), original, torch.zeros(3, 48, 64), step(2, 1), 5)
    torch.testing.assert_close(found.samples - original.samples, draw((5, 6, 7), (4, 6, 8)))


def test_a_mask_counts_as_far_as_its_pixels_reach() -> None:
    mask = torch.zeros(1, 48, 64)
    mask[:, :, 28:] = 1
    small = latent_mask(mask, latent().samples, 8)
    assert small.shape == (1, 1, 6, 8)
    assert small[0, 0, 2].tolist() == [0, 0, 0, 0.5, 1, 1, 1, 1]


@pytest.mark.parametrize("shape", [(1, 64, 48), (1, 6, 8), (1, 48, 72)])
def test_a_mask_of_another_size_is_refused_in_one_sentence(shape: tuple[int, int, int]) -> None:
    words = (
        f"the mask is {shape[2]} x {shape[1]} pixels, but the picture 64 x 48; give the mask that size with"
    )
    with pytest.raises(ValueError, match=words):
        mask_blend(latent(), latent(), torch.zeros(shape), step(1, 0), 0)


def test_originals_that_do_not_fit_are_refused() -> None:
    with pytest.raises(
        ValueError, match="original is 64 x 32 pixels, but the latent 64 x 48; give both one size"
    ):
        mask_blend(latent(), latent(2, 4), half_mask(), step(1, 0), 0)
    with pytest.raises(ValueError, match="original has 2 items, but the latent 3; give one, or one for each"):
        mask_blend(latent(3), latent(2), half_mask(), step(1, 0), 0)
    with pytest.raises(ValueError, match="there are 2 masks for 3 pictures; give one, or one for each"):
        mask_blend(latent(3), latent(3), torch.zeros(2, 48, 64), step(1, 0), 0)


@given(st.integers(-8, 9), st.integers(-6, 7))
def test_a_composite_shows_the_upper_one_at_its_place(column: int, row: int) -> None:
    below, above = latent(), Latent(torch.full((1, 4, 3, 2), 9.0), SPEC, (0,))
    found = composite_latent(below, above, None, column * 8, row * 8)
    for y in range(6):
        for x in range(8):
            inside = row <= y < row + 3 and column <= x < column + 2
            wanted = torch.full((2, 4), 9.0) if inside else below.samples[..., y, x]
            assert torch.equal(found.samples[..., y, x], wanted)
    assert found.seeds == below.seeds


def test_a_composite_through_a_mask_mixes() -> None:
    below, above = latent(), latent(first=30)
    assert torch.equal(composite_latent(below, above, torch.ones(1, 48, 64)).samples, above.samples)
    assert torch.equal(composite_latent(below, above, torch.zeros(1, 48, 64)).samples, below.samples)
    half = composite_latent(below, above, torch.full((1, 48, 64), 0.5)).samples
    torch.testing.assert_close(half, (below.samples + above.samples) / 2)


def test_a_composite_of_what_does_not_fit_is_refused() -> None:
    wide = Latent(torch.zeros(1, 16, 6, 8), LatentSpec(16, 8), (0,))
    with pytest.raises(ValueError, match="one latent has 4 channels, the other 16; make both with one VAE"):
        composite_latent(latent(), wide)
    with pytest.raises(ValueError, match="x: 4 is no multiple of 8"):
        composite_latent(latent(), latent(), None, 4)
    with pytest.raises(ValueError, match="the lower batch has 2 latents, the upper 3"):
        composite_latent(latent(), latent(3))


METHODS: tuple[Any, ...] = ("nearest", "bilinear", "bicubic", "area")


@pytest.mark.parametrize("method", METHODS)
def test_scaling_a_flat_latent_keeps_it_flat_at_the_new_size(method: Any) -> None:
    flat = Latent(torch.full((2, 4, 6, 8), 0.7), SPEC, (3, 4), ((1.0, torch.zeros(2, 4, 6, 8)),))
    for arguments, shape in (((2.0,), (12, 16)), ((1.0, 128), (12, 16)), ((1.0, None, 24), (3, 4)),
                             ((1.0, 64, 64), (8, 8)), ((0.5,), (3, 4)), ((1.0,), (6, 8))):  # fmt: skip
        found = upscale_latent(flat, *arguments, method=method)
        assert found.samples.shape[2:] == shape
        torch.testing.assert_close(found.samples, torch.full_like(found.samples, 0.7), rtol=1e-4, atol=1e-4)
        assert found.seeds == (3, 4)
        assert found.history == (), "what a solver remembers has the old size"


def test_nearest_repeats_and_area_takes_the_mean() -> None:
    x = latent()
    doubled = upscale_latent(x, 2, method="nearest").samples
    assert torch.equal(doubled, x.samples.repeat_interleave(2, 2).repeat_interleave(2, 3))
    again = upscale_latent(Latent(doubled, SPEC, x.seeds), 0.5, method="area").samples
    torch.testing.assert_close(again, x.samples)


def test_a_size_that_is_no_multiple_is_refused() -> None:
    with pytest.raises(ValueError, match="width: 100 is no multiple of 8"):
        upscale_latent(latent(), 1.0, 100)


def test_a_crop_is_what_was_there() -> None:
    x = latent()
    assert torch.equal(crop_latent(x, 16, 8, 24, 32).samples, x.samples[..., 1:5, 2:5])
    assert torch.equal(crop_latent(x, 16, 8).samples, x.samples[..., 1:, 2:])
    with pytest.raises(ValueError, match="64 x 48 pixels at 8, 0 do not lie in a picture of 64 x 48; choose"):
        crop_latent(x, 8, 0, 64, 48)


def test_flipping_twice_changes_nothing() -> None:
    x = latent()
    assert torch.equal(flip_latent(x).samples[..., 0], x.samples[..., -1])
    assert torch.equal(flip_latent(x, "vertical").samples[..., 0, :], x.samples[..., -1, :])
    for direction in ("horizontal", "vertical"):
        assert torch.equal(flip_latent(flip_latent(x, direction), direction).samples, x.samples)  # type: ignore[arg-type]


def test_copies_have_seeds_of_their_own() -> None:
    found = repeat_latent(latent(), 3)
    assert found.seeds == (10, 11, 12, 13, 14, 15)
    for n in range(3):
        assert torch.equal(found.samples[2 * n : 2 * n + 2], latent().samples)
    assert repeat_latent(latent(), 1).seeds == (10, 11)


@given(st.integers(1, 4), st.integers(1, 4), st.booleans())
def test_a_batch_that_was_joined_comes_apart_again(first: int, second: int, history: bool) -> None:
    one, other = latent(first, history=history), latent(second, first=50, history=history)
    both = join_latents([one, other])
    for wanted, found in ((one, pick_latent(both, 0, first)), (other, pick_latent(both, first, second))):
        assert torch.equal(found.samples, wanted.samples)
        assert found.seeds == wanted.seeds
        assert len(found.history) == history
        for past, then in zip(found.history, wanted.history, strict=True):
            assert (past.solver, past.sigma) == (then.solver, then.sigma)
            assert all(torch.equal(a, b) for a, b in zip(past.kept, then.kept, strict=True))


def test_the_last_of_a_batch() -> None:
    assert pick_latent(latent(3), -1).seeds == (12,)
    with pytest.raises(ValueError, match="2 from 2 on are not in a batch of 3; its positions are 0 to 2"):
        pick_latent(latent(3), 2, 2)
    with pytest.raises(ValueError, match="1 from -4 on are not in a batch of 3"):
        pick_latent(latent(3), -4)


def test_latents_that_remember_different_steps_begin_anew() -> None:
    assert join_latents([latent(history=True), latent()]).history == ()


def test_joining_what_does_not_fit_is_refused() -> None:
    with pytest.raises(ValueError, match="no latent to put into a batch; link at least one"):
        join_latents([])
    with pytest.raises(
        ValueError, match="latent 1 is 64 x 32 pixels, but latent 0 is 64 x 48; scale or crop"
    ):
        join_latents([latent(), latent(2, 4)])
    with pytest.raises(
        ValueError, match="latent 1 is of another model than latent 0; make both with one VAE"
    ):
        join_latents([latent(), replace(latent(), spec=LatentSpec(4, 8, 0.5))])
