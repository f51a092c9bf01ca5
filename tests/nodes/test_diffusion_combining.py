"""Conditionings: what acts, where, when and how much, after each node."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from nodes.tinymodels import Shelf
from torch import Tensor

import graphengine_storybook
from graphengine_diffusion.combining import (
    average_conditioning,
    class_label,
    combine_conditioning,
    concat_conditioning,
    set_area,
    set_strength,
    set_window,
    zero_conditioning,
)
from graphengine_diffusion.handles import Denoiser
from graphengine_diffusion.latents import noise
from graphengine_diffusion.loading import LoadedModel, load_model
from graphengine_diffusion.predicting import predict
from graphengine_diffusion.scheduling import schedule
from graphengine_diffusion.text import encode_text
from graphengine_diffusion.types import Conditioning

torch.set_num_threads(1)


@pytest.fixture(scope="module")
def ctx() -> Shelf:
    return Shelf(Path(graphengine_storybook.__file__).parent / "models")


@pytest.fixture(scope="module")
def model(ctx: Shelf) -> LoadedModel:
    return load_model(ctx=ctx)


def drawn(seed: int, *shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def text(seed: int, tokens: int = 7, batch: int = 1) -> Conditioning:
    size = torch.tensor([[64, 64]])
    return Conditioning(drawn(seed, batch, tokens, 8), drawn(seed + 50, batch, 6), extra={"time_ids": size})


def cross(conditioning: Conditioning) -> Tensor:
    assert conditioning.cross is not None
    return conditioning.cross


def test_combined_conditionings_all_act_each_with_what_is_its_own() -> None:
    left, right, all_over = set_area(text(1)), set_window(text(2), 0, 0.5), text(3)
    found = combine_conditioning(combine_conditioning(left, right), combine_conditioning(all_over, text(4)))
    everyone = [replace(found, others=()), *found.others]
    assert [float(cross(c)[0, 0, 0]) for c in everyone] == [
        float(cross(text(n))[0, 0, 0]) for n in (1, 2, 3, 4)
    ]
    assert [c.area for c in everyone] == [(0, 0, 0.5, 1), None, None, None]
    assert [c.window for c in everyone] == [(0, 1), (0, 0.5), (0, 1), (0, 1)]
    assert all(not c.others for c in found.others), "the list is flat"


def test_what_is_set_is_set_for_all_that_were_combined() -> None:
    both = combine_conditioning(set_strength(text(1), 2), text(2))
    found = set_strength(set_window(set_area(both, 0.25, 0, 0.5, 0.5), 0.1, 0.9), 0.5)
    for one in (found, *found.others):
        assert one.area == (0.25, 0, 0.5, 0.5)
        assert one.window == (0.1, 0.9)
    assert [found.strength, *(c.strength for c in found.others)] == [1.0, 0.5]
    assert both.area is None, "what was given stays"


@pytest.mark.parametrize("area", [(0.6, 0, 0.5, 1), (0, 0.1, 1, 1), (0, 0, 0, 1), (-0.1, 0, 0.5, 1)])
def test_an_area_outside_of_the_picture_is_refused(area: tuple[float, float, float, float]) -> None:
    with pytest.raises(ValueError, match="does not lie in the picture, which is 1 x 1; choose a smaller one"):
        set_area(text(1), *area)


def test_thirds_fill_the_picture() -> None:
    assert set_area(text(1), 2 / 3, 0, 1 / 3, 1).area == (2 / 3, 0, 1 / 3, 1)


@pytest.mark.parametrize("window", [(0.5, 0.5), (0.6, 0.4), (-0.1, 1), (0, 1.1)])
def test_a_window_without_a_step_is_refused(window: tuple[float, float]) -> None:
    with pytest.raises(ValueError, match="hold no step; choose 0 <= start < end <= 1"):
        set_window(text(1), *window)


def test_a_negative_strength_is_refused() -> None:
    with pytest.raises(ValueError, match="strength: -1 is below 0; use a negative prompt"):
        set_strength(text(1), -1)


def test_texts_stand_behind_one_another() -> None:
    first, second = text(1, 7), text(2, 5)
    found = concat_conditioning(set_window(first, 0, 0.5), second)
    assert torch.equal(cross(found), torch.cat([cross(first), cross(second)], 1))
    assert found.pooled is first.pooled
    assert found.window == (0, 0.5)
    assert found.mask is None


def test_a_joined_mask_counts_all_tokens_of_a_text_without_one() -> None:
    masked = replace(text(1, 3), mask=torch.tensor([[1.0, 1, 0]]))
    found = concat_conditioning(text(2, 2), masked)
    assert found.mask is not None
    assert found.mask.tolist() == [[1, 1, 1, 1, 0]]


def test_one_text_is_put_behind_each_of_a_batch() -> None:
    found = concat_conditioning(text(1, batch=3), text(2))
    assert cross(found).shape == (3, 14, 8)
    with pytest.raises(ValueError, match="one conditioning has 3 items, the other 2; make them equal"):
        concat_conditioning(text(1, batch=3), text(2, batch=2))


def test_encoding_in_one_go_is_concatenating_chunks(model: LoadedModel, ctx: Shelf) -> None:
    one, other = (encode_text(model.text_encoder, t, ctx) for t in ("a red house", "a blue cat"))
    together = encode_text(model.text_encoder, "a red house BREAK a blue cat", ctx)
    torch.testing.assert_close(cross(concat_conditioning(one, other)), cross(together), rtol=1e-5, atol=1e-5)


def test_an_average_lies_between() -> None:
    first, second = text(1), text(2)
    assert torch.equal(cross(average_conditioning(first, second, 0)), cross(first))
    assert torch.equal(cross(average_conditioning(first, second, 1)), cross(second))
    quarter = average_conditioning(first, second, 0.25)
    torch.testing.assert_close(cross(quarter), 0.75 * cross(first) + 0.25 * cross(second))
    assert quarter.pooled is not None
    assert first.pooled is not None
    assert second.pooled is not None
    torch.testing.assert_close(quarter.pooled, 0.75 * first.pooled + 0.25 * second.pooled)
    assert torch.equal(quarter.extra["time_ids"], first.extra["time_ids"])


def test_repeating_a_text_changes_nothing_for_the_model(model: LoadedModel, ctx: Shelf) -> None:
    plan = schedule(model.denoiser, 4)
    x = noise(model.denoiser, plan.schedule, 1, ctx=ctx)
    short = encode_text(model.text_encoder, "a red house", ctx)
    long = encode_text(model.text_encoder, "a red house BREAK a blue cat", ctx)
    repeated = average_conditioning(short, long, 0.0)
    assert cross(repeated).shape == cross(long).shape
    alone, again = (predict(model.denoiser, x, plan.timesteps[1], c, ctx=ctx) for c in (short, repeated))
    torch.testing.assert_close(alone.denoised, again.denoised, rtol=1e-3, atol=1e-3)


def test_texts_of_different_encoders_are_refused() -> None:
    other = Conditioning(drawn(1, 1, 7, 12))
    for node in (concat_conditioning, average_conditioning):
        with pytest.raises(ValueError, match="8 wide, the other 12; encode both with one text encoder"):
            node(text(1), other)
        with pytest.raises(
            ValueError, match="the second conditioning has no text; give one from encode_text"
        ):
            node(text(1), Conditioning())


def test_zeros_say_nothing_and_keep_what_is_no_text() -> None:
    found = zero_conditioning(combine_conditioning(replace(text(1), concat=drawn(5, 1, 4, 2, 2)), text(2)))
    for one in (found, *found.others):
        assert not cross(one).any()
        assert one.pooled is not None
        assert not one.pooled.any()
        assert one.extra["time_ids"].all()
    assert found.concat is not None
    assert found.concat.any()


@pytest.fixture
def classes(model: LoadedModel) -> Denoiser:
    return replace(
        model.denoiser, labels=("tench, Tinca tinca", "goldfish", "great white shark", "tiger shark")
    )


@pytest.mark.parametrize(("label", "number"), [
    ("goldfish", 1), (" Tiger Shark ", 3), ("tinca tinca", 0), ("tench", 0), ("2", 2),
])  # fmt: skip
def test_a_class_is_found_by_name_or_number(classes: Denoiser, label: str, number: int) -> None:
    found = class_label(classes, label)
    assert found.extra["class"].tolist() == [number]
    assert found.extra["class"].dtype == torch.int64
    assert found.cross is None


def test_no_name_is_no_class(classes: Denoiser) -> None:
    assert not class_label(classes, " ").extra


def test_an_unknown_class_names_those_that_are_near(classes: Denoiser, model: LoadedModel) -> None:
    with pytest.raises(ValueError, match=r"storybook has no class 'gold fish'; did you mean goldfish\?"):
        class_label(classes, "gold fish")
    with pytest.raises(ValueError, match="has no class '4'; it has tench, Tinca tinca, goldfish"):
        class_label(classes, "4")
    with pytest.raises(
        ValueError, match="storybook knows no classes; leave the text empty, or use another model"
    ):
        class_label(model.denoiser, "cat")
