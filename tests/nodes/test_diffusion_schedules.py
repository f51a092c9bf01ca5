"""Schedules against diffusers' schedulers and the papers' formulas."""

from __future__ import annotations

from itertools import pairwise
from typing import Any, get_args

import numpy as np
import pytest
import torch

from graphengine.errors import ModelError
from graphengine_diffusion.handles import Betas, Denoiser, LatentSpec, Part
from graphengine_diffusion.schedules import (
    SPACINGS,
    alpha_bars,
    cosine_alpha_bar,
    sigma_at,
    spread,
    time_at,
    training_sigmas,
)
from graphengine_diffusion.scheduling import Spacing, schedule

# diffusers turns tensors into arrays in a way that numpy 2 wants changed.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

SD = Betas()
DENOISER = Denoiser("m", Part("m", "unet", "UNet2DConditionModel", "0"), "sd1", LatentSpec(4, 8), 64, 768)


def euler(**options: Any) -> Any:
    from diffusers import EulerDiscreteScheduler

    return EulerDiscreteScheduler(
        beta_start=SD.start, beta_end=SD.end, beta_schedule="scaled_linear", **options
    )


@pytest.mark.parametrize(
    ("betas", "options"),
    [
        (SD, {"beta_schedule": "scaled_linear", "beta_start": SD.start, "beta_end": SD.end}),
        (Betas("linear", 1e-4, 0.02), {"beta_schedule": "linear"}),
        (Betas("squaredcos_cap_v2"), {"beta_schedule": "squaredcos_cap_v2"}),
        (Betas("linear", 1e-4, 0.02, 50), {"beta_schedule": "linear", "num_train_timesteps": 50}),
        (Betas(trained=(0.1, 0.2, 0.3)), {"trained_betas": [0.1, 0.2, 0.3], "num_train_timesteps": 3}),
    ],
)
def test_the_noise_of_training_is_that_of_diffusers(betas: Betas, options: dict[str, Any]) -> None:
    from diffusers import DDIMScheduler

    theirs = DDIMScheduler(**options).alphas_cumprod.numpy()
    np.testing.assert_allclose(alpha_bars(betas), theirs, rtol=1e-5, atol=1e-12)


def test_zero_terminal_snr_ends_in_almost_pure_noise() -> None:
    theirs = euler(rescale_betas_zero_snr=True)
    ours = training_sigmas(Betas(zero_snr=True))
    assert ours[-1] == pytest.approx(4096, rel=1e-4)
    np.testing.assert_allclose(ours[:-1], np.sort(theirs.sigmas.numpy()[:-1])[:-1], rtol=1e-4)


@pytest.mark.parametrize(
    ("spacing", "options", "counts"),
    [
        ("normal", {"timestep_spacing": "linspace"}, (2, 4, 10, 28, 1000)),
        ("trailing", {"timestep_spacing": "trailing"}, (1, 7, 20, 30, 1000)),
        ("leading", {"timestep_spacing": "leading", "steps_offset": 1}, (1, 7, 20, 30, 500)),
        ("karras", {"timestep_spacing": "linspace", "use_karras_sigmas": True}, (2, 7, 20, 100)),
        ("exponential", {"timestep_spacing": "linspace", "use_exponential_sigmas": True}, (2, 7, 20, 100)),
    ],
)
def test_a_spacing_is_that_of_diffusers(
    spacing: str, options: dict[str, Any], counts: tuple[int, ...]
) -> None:
    for n in counts:
        theirs = euler(**options)
        # Their own table is float32, in which 1 - alpha_bar keeps five digits at the clean end.
        theirs.alphas_cumprod = torch.from_numpy(alpha_bars(SD))
        theirs.set_timesteps(n)
        sigmas, times = spread(spacing, n, SD)
        np.testing.assert_allclose(sigmas, theirs.sigmas.numpy(), rtol=1e-5)
        np.testing.assert_allclose(times, theirs.timesteps.numpy(), atol=2e-2)


@pytest.mark.parametrize("spacing", SPACINGS)
@pytest.mark.parametrize("n", [1, 2, 3, 20, 999, 1000])
def test_sigmas_fall_from_the_models_noise_to_none(spacing: str, n: int) -> None:
    sigmas, times = spread(spacing, n, SD)
    table = training_sigmas(SD)
    assert len(sigmas) == n + 1
    assert len(times) == n
    assert sigmas[-1] == 0
    assert (np.diff(sigmas) < 0).all()
    assert table[0] * (1 - 1e-9) <= sigmas[:-1].min()
    assert sigmas.max() <= table[-1] * (1 + 1e-9)
    if spacing != "leading":
        assert sigmas[0] == pytest.approx(table[-1])


@pytest.mark.parametrize("spacing", ["trailing", "leading"])
def test_more_steps_than_training_had_are_refused(spacing: str) -> None:
    with pytest.raises(ValueError, match="60 steps are more than the 50"):
        spread(spacing, 60, Betas(steps=50))


def test_time_and_sigma_are_each_others_inverse() -> None:
    table = training_sigmas(SD)
    times = np.linspace(0, 999, 333)
    np.testing.assert_allclose(time_at(sigma_at(times, table), table), times, atol=1e-9)


def test_cosine_steps_are_even_in_the_cosine_schedules_time() -> None:
    sigmas, _ = spread("cosine_beta", 30, SD)
    alpha_bar = 1 / (1 + sigmas[:-1] ** 2)
    f0 = cosine_alpha_bar(np.zeros(1))[0]
    u = np.arccos(np.sqrt(alpha_bar * f0))  # linear in the time, whatever its offset
    np.testing.assert_allclose(np.diff(u), np.diff(u)[0], rtol=1e-6)


def test_linear_steps_are_even_in_the_linear_schedules_time() -> None:
    sigmas, _ = spread("linear_beta", 30, SD)
    u = time_at(sigmas[:-1], training_sigmas(Betas("linear", 1e-4, 0.02)))
    np.testing.assert_allclose(np.diff(u), np.diff(u)[0], rtol=1e-6)


def test_an_unknown_beta_schedule_is_told() -> None:
    with pytest.raises(ModelError, match="'sigmoid' is not known"):
        training_sigmas(Betas("sigmoid"))


def test_the_node_offers_every_spacing() -> None:
    assert get_args(Spacing) == tuple(SPACINGS)


def test_timesteps_are_the_schedule_step_by_step() -> None:
    found = schedule(DENOISER, steps=12, spacing="karras")
    sigmas = found.schedule.sigmas.tolist()
    assert [(t.sigma, t.sigma_next) for t in found.timesteps] == list(pairwise(sigmas))
    assert [t.time for t in found.timesteps] == found.schedule.times.tolist()
    assert [t.index for t in found.timesteps] == list(range(12))


def test_strength_leaves_out_the_first_steps() -> None:
    whole = schedule(DENOISER, steps=20)
    for strength, kept in ((1.0, 20), (0.5, 10), (0.29, 6), (0.001, 1)):
        part = schedule(DENOISER, steps=20, strength=strength)
        assert part.timesteps == whole.timesteps[20 - kept :]
        assert part.schedule.sigmas.tolist() == whole.schedule.sigmas.tolist()[20 - kept :]
    none = schedule(DENOISER, steps=20, strength=0.0)
    assert none.timesteps == []
    assert none.schedule.sigmas.tolist() == [0.0]
