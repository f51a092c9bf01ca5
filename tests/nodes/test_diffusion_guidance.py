"""Guidance: each node against the formula of its paper."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from graphengine_diffusion.guidance import (
    apg,
    as_output,
    as_picture,
    cfg,
    cfg_rescale,
    clip_prediction,
    dynamic_threshold,
    guidance_interval,
    mix_predictions,
    perp_neg,
)
from graphengine_diffusion.handles import LatentSpec
from graphengine_diffusion.types import Prediction, Timestep

torch.set_num_threads(1)

SPEC = LatentSpec(4, 8)
SIGMA = 2.5


def drawn(seed: int, batch: int = 2, size: int = 4) -> Tensor:
    return torch.randn(batch, 4, size, size, generator=torch.Generator().manual_seed(seed))


def prediction(seed: int, sigma: float = SIGMA, alpha: float = 1.0, batch: int = 2) -> Prediction:
    """A guess of its own, for one and the same x."""
    x0, x = drawn(seed, batch), drawn(99, batch) * (alpha**2 + sigma**2) ** 0.5
    return Prediction(x0, x, sigma, SPEC, tuple(range(batch)), alpha)


COND, UNCOND, NEGATIVE = prediction(1), prediction(2), prediction(3)
NODES: dict[str, Any] = {
    "cfg": lambda: cfg(COND, UNCOND, 3),
    "cfg_rescale": lambda: cfg_rescale(COND, UNCOND),
    "perp_neg": lambda: perp_neg(COND, UNCOND, NEGATIVE),
    "apg": lambda: apg(COND, UNCOND, 3, 0.5, 2.0),
    "mix": lambda: mix_predictions(COND, UNCOND, 0.3),
    "clip": lambda: clip_prediction(COND),
    "threshold": lambda: dynamic_threshold(COND, 0.9),
}


@pytest.mark.parametrize("name", NODES)
def test_the_step_stays_and_nothing_given_is_changed(name: str) -> None:
    before = COND.denoised.clone()
    found = NODES[name]()
    assert (found.sigma, found.alpha, found.seeds, found.spec) == (SIGMA, 1.0, (0, 1), SPEC)
    assert found.samples is COND.samples
    assert torch.equal(COND.denoised, before)


@pytest.mark.parametrize("name", NODES)
def test_each_picture_of_a_batch_is_guided_alone(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    both = NODES[name]().denoised

    def only(p: Prediction) -> Prediction:
        return Prediction(p.denoised[1:], p.samples[1:], p.sigma, p.spec, p.seeds[1:], p.alpha)

    for which in ("COND", "UNCOND", "NEGATIVE"):
        monkeypatch.setitem(globals(), which, only(globals()[which]))
    torch.testing.assert_close(NODES[name]().denoised, both[1:])


def test_guidance_keeps_what_x0_is_multiplied_by() -> None:
    cond, uncond = prediction(1, 0.6, 0.4), prediction(2, 0.6, 0.4)
    guided = cfg(cond, uncond, 3)
    assert guided.alpha == 0.4
    # As in the space of the model's own output, which is affine in x0.
    torch.testing.assert_close(guided.eps, uncond.eps + 3 * (cond.eps - uncond.eps), rtol=1e-4, atol=1e-4)


def test_predictions_of_different_sizes_are_refused() -> None:
    large = Prediction(drawn(1, 2, 8), drawn(2, 2, 8), SIGMA, SPEC, (0, 1))
    with pytest.raises(ValueError, match="2 of 4 x 4 x 4 and 2 of 4 x 8 x 8; make both from the same latent"):
        cfg(COND, large)


def test_rescaling_the_noise_is_what_diffusers_does() -> None:
    from diffusers.pipelines.stable_diffusion.pipeline_stable_diffusion import rescale_noise_cfg

    guided = cfg(COND, UNCOND, 7.5)
    wanted = rescale_noise_cfg(guided.eps, COND.eps, 0.7)
    torch.testing.assert_close(cfg_rescale(guided, COND, 0.7, "noise").eps, wanted)


@pytest.mark.parametrize("of", ["v", "noise", "picture"])
@pytest.mark.parametrize(("sigma", "alpha"), [(SIGMA, 1.0), (0.3, 1.0), (0.6, 0.4)])
def test_fully_rescaled_guidance_deviates_as_the_prompts_prediction(
    of: Any, sigma: float, alpha: float
) -> None:
    cond, uncond = prediction(1, sigma, alpha), prediction(2, sigma, alpha)
    guided = cfg(cond, uncond, 7.5)
    found = cfg_rescale(guided, cond, 1.0, of)

    def deviation(p: Prediction) -> Tensor:
        return as_output(of, p.denoised, p.samples, sigma, alpha).std((1, 2, 3))

    torch.testing.assert_close(deviation(found), deviation(cond))
    torch.testing.assert_close(
        cfg_rescale(guided, cond, 0.0, of).denoised, guided.denoised, rtol=1e-4, atol=1e-4
    )


def test_v_is_what_salimans_and_ho_call_v() -> None:
    a = 1 / (1 + SIGMA**2) ** 0.5
    v = a * COND.eps - SIGMA * a * COND.denoised
    torch.testing.assert_close(as_output("v", COND.denoised, COND.samples, SIGMA, 1.0), v)
    flow = prediction(1, 0.6, 0.4)
    torch.testing.assert_close(
        as_output("v", flow.denoised, flow.samples, 0.6, 0.4), flow.eps - flow.denoised
    )


@pytest.mark.parametrize("of", ["v", "noise", "picture"])
@pytest.mark.parametrize(("sigma", "alpha"), [(SIGMA, 1.0), (0.6, 0.4)])
def test_an_output_is_turned_back_into_the_picture(of: str, sigma: float, alpha: float) -> None:
    p = prediction(1, sigma, alpha)
    output = as_output(of, p.denoised, p.samples, sigma, alpha)
    back = as_picture(of, output, p.samples, sigma, alpha)
    torch.testing.assert_close(back, p.denoised, rtol=1e-4, atol=1e-4)


def test_pure_noise_of_a_flow_model_can_be_rescaled() -> None:
    cond, uncond = prediction(1, 1.0, 0.0), prediction(2, 1.0, 0.0)
    guided = cfg(cond, uncond, 5)
    assert torch.equal(cfg_rescale(guided, cond, 1.0, "noise").denoised, guided.denoised)
    assert cfg_rescale(guided, cond, 1.0, "v").denoised.isfinite().all()


def test_a_perpendicular_negative_takes_nothing_from_the_prompts_direction() -> None:
    plain, found = cfg(COND, UNCOND, 7.5).denoised, perp_neg(COND, UNCOND, NEGATIVE, 7.5, 2.0).denoised
    towards = COND.denoised - UNCOND.denoised
    change = ((found - plain) * towards).sum((1, 2, 3))
    torch.testing.assert_close(change, torch.zeros(2), rtol=0, atol=1e-3)
    assert (found - plain).abs().max() > 1
    unwanted = NEGATIVE.denoised - UNCOND.denoised
    assert (((found - plain) * unwanted).sum((1, 2, 3)) < 0).all(), "it goes away from the negative"


def test_a_negative_that_says_the_same_or_nothing_changes_nothing() -> None:
    plain = cfg(COND, UNCOND, 7.5).denoised
    for negative in (COND, UNCOND):
        found = perp_neg(COND, UNCOND, negative, 7.5).denoised
        torch.testing.assert_close(found, plain, rtol=1e-3, atol=1e-3)


def test_a_prompt_that_says_nothing_is_no_division_by_zero() -> None:
    assert perp_neg(UNCOND, UNCOND, NEGATIVE).denoised.isfinite().all()


def test_apg_is_what_diffusers_does() -> None:
    from diffusers.guiders.adaptive_projected_guidance import normalized_guidance

    for scale, parallel, most in ((7.5, 0.0, 0.0), (7.5, 0.5, 2.0), (3.0, 1.0, 1000.0)):
        wanted = normalized_guidance(
            COND.denoised, UNCOND.denoised, scale - 1, None, parallel, most, use_original_formulation=True
        )
        found = apg(COND, UNCOND, scale, parallel, most).denoised
        torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-4)


def test_apg_with_all_that_is_parallel_is_cfg() -> None:
    torch.testing.assert_close(apg(COND, UNCOND, 6, 1.0).denoised, cfg(COND, UNCOND, 6).denoised)


def chosen(fraction: float, start: float, end: float) -> tuple[str, list[str]]:
    """Which prediction is used at a step, and which were asked for."""
    asked: list[str] = []

    async def lazy(name: str) -> Any:
        asked.append(name)
        return name

    async def choose() -> Any:
        inside, outside = lazy("inside"), lazy("outside")
        try:
            return await guidance_interval(Timestep(0, 1, 0, 0, fraction), inside, outside, start, end)
        finally:
            inside.close()
            outside.close()

    return asyncio.run(choose()), asked


@pytest.mark.parametrize(("fraction", "start", "end", "name"), [
    (0.0, 0.2, 0.8, "outside"), (0.2, 0.2, 0.8, "inside"), (0.5, 0.2, 0.8, "inside"),
    (0.8, 0.2, 0.8, "outside"), (0.0, 0.0, 1.0, "inside"), (1.0, 0.0, 1.0, "inside"),
    (0.5, 0.5, 0.5, "outside"),
])  # fmt: skip
def test_only_the_prediction_of_the_interval_is_computed(
    fraction: float, start: float, end: float, name: str
) -> None:
    assert chosen(fraction, start, end) == (name, [name])


def test_an_interval_that_ends_before_it_starts_is_refused() -> None:
    with pytest.raises(ValueError, match=r"start: 0.8 is behind end, 0.2; swap them"):
        chosen(0.5, 0.8, 0.2)


def test_mixing_goes_from_one_to_the_other() -> None:
    assert torch.equal(mix_predictions(COND, UNCOND, 0).denoised, COND.denoised)
    assert torch.equal(mix_predictions(COND, UNCOND, 1).denoised, UNCOND.denoised)
    half = mix_predictions(COND, UNCOND).denoised
    torch.testing.assert_close(half, (COND.denoised + UNCOND.denoised) / 2)


def test_a_mask_says_where_the_second_prediction_is_used() -> None:
    mask = torch.zeros(1, 32, 32)
    mask[:, :, 16:] = 1
    found = mix_predictions(COND, UNCOND, 1.0, mask).denoised
    assert torch.equal(found[..., :2], COND.denoised[..., :2])
    assert torch.equal(found[..., 2:], UNCOND.denoised[..., 2:])


@given(st.integers(0, 99), st.floats(0.5, 1), st.floats(0.1, 3))
def test_thresholding_follows_imagen(seed: int, percentile: float, limit: float) -> None:
    given = prediction(seed)
    found = dynamic_threshold(given, percentile, limit).denoised
    s = given.denoised.abs().flatten(1).quantile(percentile, dim=1).clamp(min=limit).view(-1, 1, 1, 1)
    torch.testing.assert_close(found, given.denoised.clamp(-s, s) / s * limit, rtol=1e-4, atol=1e-5)
    assert found.abs().max() <= limit * 1.0001


def test_a_picture_within_its_range_is_left_alone() -> None:
    inside = Prediction(drawn(1).tanh(), drawn(2), SIGMA, SPEC, (0, 1))
    torch.testing.assert_close(dynamic_threshold(inside, 1.0).denoised, inside.denoised)
    assert torch.equal(clip_prediction(inside).denoised, inside.denoised)
    assert torch.equal(clip_prediction(COND, 0.5).denoised, COND.denoised.clamp(-0.5, 0.5))
