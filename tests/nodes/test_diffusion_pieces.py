"""Predictions of combined conditionings: strengths, areas, windows, control, and how few calls they cost."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
import torch
from nodes.tinymodels import Gallery
from torch import Tensor

from graphengine_diffusion.noise import draw
from graphengine_diffusion.pieces import acting, cells, pieces_of, weight_maps
from graphengine_diffusion.predicting import predict, predict_together
from graphengine_diffusion.text import encode_text
from graphengine_diffusion.types import Conditioning, Latent, Residuals, Timestep

START, LATE = Timestep(0, 3.0, 1.0, 700.0, 0.0), Timestep(3, 0.5, 0.0, 100.0, 0.75)


@pytest.fixture
def model(gallery: Gallery) -> Any:
    return gallery.model("sd1")


@pytest.fixture
def cat(gallery: Gallery, model: Any) -> Conditioning:
    return encode_text(model.text_encoder, "a cat", gallery)


@pytest.fixture
def dog(gallery: Gallery, model: Any) -> Conditioning:
    return encode_text(model.text_encoder, "a dog at night", gallery)


@pytest.fixture
def calls(gallery: Gallery, model: Any) -> Iterator[list[int]]:
    """The batch size of each call of the model."""
    sizes: list[int] = []
    hook = gallery.use(model.denoiser).register_forward_pre_hook(lambda _, args: sizes.append(len(args[0])))
    yield sizes
    hook.remove()


def latent_of(model: Any, seed: int = 0, size: int = 16, batch: int = 1) -> Latent:
    seeds = tuple(range(seed, seed + batch))
    return Latent(draw(seeds, (4, size, size)) * 3, model.denoiser.spec, seeds)


def ask(ctx: Gallery, model: Any, c: Conditioning, step: Timestep = START, **parts: Any) -> Tensor:
    return predict(model.denoiser, latent_of(model), step, c, ctx=ctx, **parts).denoised


def near(found: Tensor, wanted: Tensor) -> None:
    assert (found - wanted).abs().max() < 1e-5 * wanted.abs().max()


def test_strengths_are_weights_of_a_mean(gallery: Gallery, model: Any, cat: Any, dog: Any) -> None:
    both = replace(cat, strength=3.0, others=(dog,))
    one, other = ask(gallery, model, cat), ask(gallery, model, dog)
    near(ask(gallery, model, both), 0.75 * one + 0.25 * other)
    assert (one - other).abs().max() > 1e-3 * one.abs().max()


def test_the_strength_of_a_single_conditioning_changes_no_bit(gallery: Gallery, model: Any, cat: Any) -> None:
    assert torch.equal(ask(gallery, model, replace(cat, strength=0.3)), ask(gallery, model, cat))


def test_an_area_takes_its_place_and_leaves_the_rest(
    gallery: Gallery, model: Any, cat: Any, dog: Any
) -> None:
    both = replace(cat, others=(replace(dog, area=(0.5, 0.0, 0.5, 0.25)),))
    found, one, other = (ask(gallery, model, c) for c in (both, cat, dog))
    near(found[..., :4, 8:], other[..., :4, 8:])
    near(found[..., 4:, :], one[..., 4:, :])
    near(found[..., :4, :8], one[..., :4, :8])


def test_where_areas_overlap_they_are_averaged() -> None:
    left, right = Conditioning(area=(0, 0, 0.75, 1), strength=2.0), Conditioning(area=(0.25, 0, 0.75, 1))
    weights = weight_maps([left, right], 1, 4)
    torch.testing.assert_close(weights[0, 0], torch.tensor([1, 2 / 3, 2 / 3, 0]))
    torch.testing.assert_close(weights.sum(0), torch.ones(1, 4))


def test_an_area_is_at_least_one_latent() -> None:
    assert cells((0.99, 0.0, 0.001, 0.001), 8, 8) == (slice(0, 1), slice(7, 8))
    assert cells((0.0, 0.5, 1.0, 0.5), 10, 6) == (slice(5, 10), slice(0, 6))


def test_a_place_that_nothing_covers_is_told(gallery: Gallery, model: Any, cat: Any) -> None:
    with pytest.raises(ValueError, match=r"leave a part of the picture to none of them .* has no area"):
        ask(gallery, model, replace(cat, area=(0.0, 0.0, 0.5, 1.0)))


def test_a_piece_that_is_covered_everywhere_is_not_asked(
    gallery: Gallery, model: Any, cat: Any, dog: Any, calls: list[int]
) -> None:
    whole = replace(cat, others=(replace(dog, area=(0.0, 0.0, 1.0, 1.0)),))
    near(ask(gallery, model, whole), ask(gallery, model, dog))
    assert calls == [1, 1]


def test_a_window_ends_where_the_next_begins(gallery: Gallery, model: Any, cat: Any, dog: Any) -> None:
    first = replace(cat, window=(0.0, 0.75), others=(replace(dog, window=(0.75, 1.0)),))
    near(ask(gallery, model, first), ask(gallery, model, cat))
    near(ask(gallery, model, first, LATE), ask(gallery, model, dog, LATE))


def test_a_step_at_which_nothing_acts_is_told(gallery: Gallery, model: Any, cat: Any) -> None:
    with pytest.raises(
        ValueError, match=r"no conditioning acts at 75% of the loop \(the windows are 0 to 0.5\)"
    ):
        ask(gallery, model, replace(cat, window=(0.0, 0.5)), LATE)
    with pytest.raises(ValueError, match=r"acts at 0% of the loop \(every strength is 0\)"):
        acting(replace(cat, strength=0.0), 0.0)


def test_pieces_are_found_at_any_depth() -> None:
    c = Conditioning(
        strength=1,
        others=(Conditioning(strength=2, others=(Conditioning(strength=3),)), Conditioning(strength=4)),
    )
    assert [p.strength for p in pieces_of(c)] == [1, 2, 3, 4]
    assert all(not p.others for p in pieces_of(c))


def test_all_pieces_of_all_calls_cost_one_call_of_the_model(
    gallery: Gallery, model: Any, cat: Any, dog: Any, calls: list[int]
) -> None:
    both = replace(cat, others=(replace(dog, area=(0.0, 0.0, 0.5, 1.0)), dog))
    latents = [latent_of(model, 5, batch=2), latent_of(model, 9)]
    found = predict_together(model.denoiser, latents, [START, LATE], [both, dog], gallery)
    assert calls == [2 * 3 + 1]
    for answer, x, step, c in zip(found, latents, (START, LATE), (both, dog), strict=True):
        near(answer.denoised, predict(model.denoiser, x, step, c, ctx=gallery).denoised)


def test_texts_of_several_lengths_share_a_call_and_say_the_same(
    gallery: Gallery, model: Any, cat: Any, dog: Any, calls: list[int]
) -> None:
    long = replace(cat, cross=torch.cat([cat.cross, dog.cross], 1))
    x = latent_of(model)
    found = predict_together(model.denoiser, [x, x], [START] * 2, [long, dog], gallery)
    assert calls == [2]
    for answer, c in zip(found, (long, dog), strict=True):
        near(answer.denoised, ask(gallery, model, c))


def test_control_acts_on_its_own_call(gallery: Gallery, model: Any, cat: Any, calls: list[int]) -> None:
    shapes = [(8, 16), (8, 16), (8, 8), (16, 8)]
    control = Residuals(
        tuple(draw([i], (c, s, s)) for i, (c, s) in enumerate(shapes)), mid=draw([9], (16, 8, 8))
    )
    plain, steered = ask(gallery, model, cat), ask(gallery, model, cat, control=control)
    assert (plain - steered).abs().max() > 1e-3 * plain.abs().max()
    calls.clear()
    x = latent_of(model, batch=3)
    asks = [control, None, Residuals(tuple(2 * r for r in control.down), 2 * control.mid)]
    found = predict_together(model.denoiser, [x] * 3, [START, LATE, START], [cat] * 3, gallery, asks)
    assert calls == [6, 3]
    near(found[0].denoised[:1], steered)
    for answer, step, given in zip(found, (START, LATE, START), asks, strict=True):
        near(answer.denoised, predict(model.denoiser, x, step, cat, gallery, given).denoised)
