"""The noise of training and the spacings, against diffusers' schedulers and the papers' formulas."""

from __future__ import annotations

import math
from typing import Any, get_args

import numpy as np
import pytest
import torch

from graphengine.errors import ModelError
from graphengine_diffusion.handles import Betas, Flow
from graphengine_diffusion.schedules import (
    alpha_bars,
    cosine_alpha_bar,
    shift_of,
    sigma_at,
    time_at,
    training_of,
    training_sigmas,
)
from graphengine_diffusion.scheduling import Spacing
from graphengine_diffusion.spacings import EXPONENTS, SPACINGS, WHOLE, beta_quantile, spread

# diffusers turns tensors into arrays in a way that numpy 2 wants changed.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

SD = Betas()
SD3 = training_of(Flow(3.0))
FLUX = Flow(dynamic=(256, 0.5, 4096, 1.15))
OPTIONS = {"beta_start": SD.start, "beta_end": SD.end, "beta_schedule": "scaled_linear"}


def scheduler(name: str, **options: Any) -> Any:
    """A scheduler of diffusers, with the table in double precision.

    Theirs is float32, in which 1 - alpha_bar keeps five digits at the clean end.
    """
    import diffusers

    found = getattr(diffusers, name)(**OPTIONS, **options)
    found.alphas_cumprod = torch.from_numpy(alpha_bars(SD))
    return found


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
    theirs = scheduler("EulerDiscreteScheduler", rescale_betas_zero_snr=True)
    ours = training_sigmas(Betas(zero_snr=True))
    assert ours[-1] == pytest.approx(4096, rel=1e-4)
    np.testing.assert_allclose(ours[:-1], np.sort(theirs.sigmas.numpy()[:-1])[:-1], rtol=1e-4)


SOLVED = "DPMSolverMultistepScheduler"


@pytest.mark.parametrize(
    ("spacing", "name", "options", "counts"),
    [
        ("normal", "EulerDiscreteScheduler", {"timestep_spacing": "linspace"}, (2, 4, 10, 28, 1000)),
        ("trailing", "EulerDiscreteScheduler", {"timestep_spacing": "trailing"}, (1, 7, 20, 30, 1000)),
        (
            "leading",
            "EulerDiscreteScheduler",
            {"timestep_spacing": "leading", "steps_offset": 1},
            (1, 7, 20, 30, 500),
        ),
        ("karras", "EulerDiscreteScheduler", {"use_karras_sigmas": True}, (2, 7, 20, 100)),
        ("exponential", "EulerDiscreteScheduler", {"use_exponential_sigmas": True}, (2, 7, 20, 100)),
        ("sgm_uniform", SOLVED, {"timestep_spacing": "linspace"}, (1, 3, 9, 27, 37, 333)),
        ("trailing", SOLVED, {"timestep_spacing": "trailing"}, (1, 7, 20, 30, 1000)),
        ("karras", SOLVED, {"use_karras_sigmas": True}, (2, 7, 20, 100)),
        ("exponential", SOLVED, {"use_exponential_sigmas": True}, (2, 7, 20, 100)),
        ("polyexponential", SOLVED, {"use_exponential_sigmas": True}, (2, 7, 20, 100)),
    ],
)
def test_a_spacing_is_that_of_diffusers(
    spacing: str, name: str, options: dict[str, Any], counts: tuple[int, ...]
) -> None:
    for n in counts:
        theirs = scheduler(name, **options)
        theirs.set_timesteps(n)
        sigmas, times = spread(spacing, n, SD)
        np.testing.assert_allclose(sigmas, theirs.sigmas.numpy(), rtol=1e-5)
        # DPMSolverMultistepScheduler tells the model whole times.
        rounded = 1.0 if name == SOLVED and spacing not in ("trailing", "sgm_uniform") else 2e-2
        np.testing.assert_allclose(times, theirs.timesteps.numpy(), atol=rounded)


@pytest.mark.parametrize("spacing", ["trailing", "leading", "ddim_uniform", "simple"])
def test_whole_training_steps_are_those_of_ddim(spacing: str) -> None:
    for n in (1, 4, 10, 20, 50, 200):
        named = "trailing" if spacing in ("trailing", "simple") else "leading"
        theirs = scheduler("DDIMScheduler", timestep_spacing=named, steps_offset=1)
        theirs.set_timesteps(n)
        sigmas, times = spread(spacing, n, SD)
        np.testing.assert_allclose(times, theirs.timesteps.numpy(), atol=1e-6)
        alpha_bar = theirs.alphas_cumprod[theirs.timesteps].numpy()
        np.testing.assert_allclose(1 / (1 + sigmas[:-1] ** 2), alpha_bar, rtol=1e-9)


@pytest.mark.parametrize("n", [1, 2, 20, 28, 1000])
@pytest.mark.parametrize("shift", [1.0, 3.0])
def test_sd3_is_scheduled_as_in_diffusers(n: int, shift: float) -> None:
    from diffusers import FlowMatchEulerDiscreteScheduler

    theirs = FlowMatchEulerDiscreteScheduler(shift=shift)
    theirs.set_timesteps(n)
    sigmas, times = spread("normal", n, training_of(Flow(shift)))
    np.testing.assert_allclose(sigmas, theirs.sigmas.numpy(), rtol=1e-5)
    np.testing.assert_allclose(times, theirs.timesteps.numpy(), rtol=1e-5)


@pytest.mark.parametrize("n", [1, 4, 20, 28, 50])
@pytest.mark.parametrize("side", [256, 512, 1024, 1536])
def test_flux_is_scheduled_as_in_its_pipeline(n: int, side: int) -> None:
    from diffusers import FlowMatchEulerDiscreteScheduler

    tokens = (side // 16) ** 2
    mu = 0.5 + (tokens - 256) * (1.15 - 0.5) / (4096 - 256)
    theirs = FlowMatchEulerDiscreteScheduler(use_dynamic_shifting=True)
    theirs.set_timesteps(sigmas=np.linspace(1.0, 1 / n, n), mu=mu)
    sigmas, times = spread("trailing", n, training_of(FLUX, tokens=tokens))
    np.testing.assert_allclose(sigmas, theirs.sigmas.numpy(), rtol=1e-5)
    np.testing.assert_allclose(times, theirs.timesteps.numpy(), rtol=1e-5)
    theirs.set_timesteps(n, mu=mu)
    sigmas, _ = spread("normal", n, training_of(FLUX, tokens=tokens))
    np.testing.assert_allclose(sigmas, theirs.sigmas.numpy(), rtol=1e-5)


def test_flow_sigmas_are_those_that_unipc_takes() -> None:
    from diffusers import UniPCMultistepScheduler

    theirs = UniPCMultistepScheduler(use_flow_sigmas=True, prediction_type="flow_prediction")
    theirs.set_timesteps(20)
    sigmas, times = spread("sgm_uniform", 20, training_of(Flow()))
    np.testing.assert_allclose(sigmas, theirs.sigmas.numpy(), atol=2e-6)  # theirs begins at 1 - 1e-6
    np.testing.assert_allclose(times, theirs.timesteps.numpy(), atol=1)  # and whole times


@pytest.mark.parametrize(
    ("spacing", "option"), [("karras", "use_karras_sigmas"), ("exponential", "use_exponential_sigmas")]
)
def test_spacings_in_sigma_are_those_of_diffusers_for_flow_models(spacing: str, option: str) -> None:
    from diffusers import FlowMatchEulerDiscreteScheduler

    theirs = FlowMatchEulerDiscreteScheduler(**{option: True})
    theirs.set_timesteps(20)
    sigmas, times = spread(spacing, 20, training_of(Flow()))
    np.testing.assert_allclose(sigmas, theirs.sigmas.numpy(), rtol=1e-5)
    np.testing.assert_allclose(times, theirs.timesteps.numpy(), rtol=1e-5)


def test_a_shift_replaces_the_models_own() -> None:
    own, other = training_of(Flow(3.0)), training_of(Flow(1.0), shift=3.0)
    assert own.table.tolist() == other.table.tolist()
    assert training_of(FLUX, shift=2.0).shift == 2.0
    with pytest.raises(ValueError, match="shift is for flow models"):
        training_of(SD, shift=3.0)


def test_the_shift_of_flux_is_on_the_line_through_its_two_points() -> None:
    assert shift_of(FLUX, 256) == pytest.approx(math.exp(0.5))
    assert shift_of(FLUX, 4096) == pytest.approx(math.exp(1.15))
    assert shift_of(Flow(3.0), 256) == 3.0


@pytest.mark.parametrize("n", [2, 7, 20, 64])
def test_linear_quadratic_is_that_of_mochi(n: int) -> None:
    # The coefficients of the parabola as its code has them.
    half, rest = n // 2, n - n // 2
    left = half - 0.025 * n
    square = left / (half * rest**2)
    straight = 0.025 / half - 2 * left / rest**2
    taken = [i * 0.025 / half for i in range(half)]
    taken += [square * i**2 + straight * i + square * half**2 for i in range(half, n)]
    wanted = 1 - np.array(taken)
    np.testing.assert_allclose(spread("linear_quadratic", n, SD3)[0][:-1], wanted, rtol=1e-6)
    top = training_sigmas(SD)[-1]
    np.testing.assert_allclose(spread("linear_quadratic", n, SD)[0][:-1], top * wanted, rtol=1e-6)


def test_polyexponential_is_the_formula_of_k_diffusion() -> None:
    low, high = training_sigmas(SD)[[0, -1]]
    for rho in (0.5, 1.0, 2.0):
        ramp = np.linspace(1, 0, 12) ** rho
        wanted = np.exp(ramp * (math.log(high) - math.log(low)) + math.log(low))
        np.testing.assert_allclose(spread("polyexponential", 12, SD, rho)[0][:-1], wanted, rtol=1e-12)


def test_kl_optimal_is_the_formula_of_align_your_steps() -> None:
    low, high = training_sigmas(SD)[[0, -1]]
    for i, sigma in enumerate(spread("kl_optimal", 12, SD)[0][:-1]):
        wanted = math.tan(i / 11 * math.atan(low) + (1 - i / 11) * math.atan(high))
        assert sigma == pytest.approx(wanted, rel=1e-9)


def test_quantiles_of_the_beta_distribution_are_known() -> None:
    known = {  # scipy.stats.beta.ppf(p, 0.6, 0.6)
        0.0: 0.0, 0.01: 0.0008612388215429059, 0.05: 0.012554456873611399, 0.1: 0.03958440558878085,
        0.25: 0.17568037865269498, 0.4: 0.3627009907532143, 0.5: 0.5, 0.75: 0.824319621347305,
        0.9: 0.9604155944112192, 0.999: 0.9999814412614826, 1.0: 1.0,
    }  # fmt: skip
    np.testing.assert_allclose(beta_quantile(np.array(list(known))), list(known.values()), rtol=1e-12)
    # The beta distribution of (1/2, 1/2) is the arcsine distribution, whose quantiles are in closed form.
    p = np.linspace(0, 1, 101)
    np.testing.assert_allclose(beta_quantile(p, 0.5), np.sin(math.pi * p / 2) ** 2, rtol=1e-12, atol=1e-15)


def test_beta_steps_stand_at_the_quantiles_in_training_time() -> None:
    _, times = spread("beta", 10, SD)
    np.testing.assert_allclose(times / 999, beta_quantile(1 - np.arange(10) / 10), atol=1e-9)
    _, uniform = spread("sgm_uniform", 10, SD)
    assert times[0] - times[1] < uniform[0] - uniform[1]  # closer together at the noisy end
    assert times[-2] - times[-1] < times[4] - times[5]  # and at the clean end


@pytest.mark.parametrize("rho", [3.0, 7.0])
def test_rho_bends_karras(rho: float) -> None:
    sigmas, _ = spread("karras", 9, SD, rho)
    steps = np.diff(sigmas[:-1] ** (1 / rho))
    np.testing.assert_allclose(steps, steps[0], rtol=1e-9)


@pytest.mark.parametrize("training", [training_of(SD), SD3], ids=["sd", "sd3"])
@pytest.mark.parametrize("spacing", SPACINGS)
@pytest.mark.parametrize("n", [1, 2, 3, 20, 999, 1000])
def test_sigmas_fall_from_the_models_noise_to_none(spacing: str, n: int, training: Any) -> None:
    sigmas, times = spread(spacing, n, training)
    table = training.table
    assert len(sigmas) == n + 1
    assert len(times) == n
    assert sigmas[-1] == 0
    assert (np.diff(sigmas) < 0).all()
    assert (np.diff(times) < 0).all()
    assert sigmas.max() <= table[-1] * (1 + 1e-9)
    if spacing in ("leading", "ddim_uniform"):
        return
    if training.flow and spacing == "linear_beta":  # the linear schedule of DDPM never reaches pure noise
        assert sigmas[0] == pytest.approx(0.9937, abs=1e-4)
    else:
        assert sigmas[0] == pytest.approx(table[-1])
    if not training.flow:
        assert table[0] * (1 - 1e-9) <= sigmas[:-1].min()


@pytest.mark.parametrize("spacing", WHOLE)
def test_more_steps_than_training_had_are_refused(spacing: str) -> None:
    with pytest.raises(ValueError, match="60 steps are more than the 50"):
        spread(spacing, 60, Betas(steps=50))


def test_a_spacing_that_is_not_there_and_a_rho_that_it_has_not_are_told() -> None:
    with pytest.raises(ValueError, match="there is no spacing 'even'; choose normal, simple,"):
        spread("even", 5, SD)
    with pytest.raises(ValueError, match="rho is for karras and polyexponential, not for beta"):
        spread("beta", 5, SD, 3.0)
    assert set(EXPONENTS) < set(SPACINGS)


def test_time_and_sigma_are_each_others_inverse() -> None:
    table = training_sigmas(SD)
    times = np.linspace(0, 999, 333)
    np.testing.assert_allclose(time_at(sigma_at(times, table), table), times, atol=1e-9)


def test_the_time_of_a_flow_model_is_its_sigma() -> None:
    np.testing.assert_allclose(SD3.times(np.array([1.0, 0.25, 0.0])), [1000, 250, 0])


@pytest.mark.parametrize("training", [training_of(SD), SD3], ids=["sd", "sd3"])
def test_cosine_steps_are_even_in_the_cosine_schedules_time(training: Any) -> None:
    sigmas = spread("cosine_beta", 30, training)[0][1:-1]
    ratio = sigmas / (1 - sigmas) if training.flow else sigmas
    f0 = cosine_alpha_bar(np.zeros(1))[0]
    u = np.arccos(np.sqrt(f0 / (1 + ratio**2)))  # linear in the time, whatever its offset
    np.testing.assert_allclose(np.diff(u), np.diff(u)[0], rtol=1e-6)


@pytest.mark.parametrize("training", [training_of(SD), SD3], ids=["sd", "sd3"])
def test_linear_steps_are_even_in_the_linear_schedules_time(training: Any) -> None:
    sigmas = spread("linear_beta", 30, training)[0][:-1]
    ratio = sigmas / (1 - sigmas) if training.flow else sigmas
    u = time_at(ratio, training_sigmas(Betas("linear", 1e-4, 0.02)))
    np.testing.assert_allclose(np.diff(u), np.diff(u)[0], rtol=1e-6)


def test_an_unknown_beta_schedule_is_told() -> None:
    with pytest.raises(ModelError, match="'sigmoid' is not known"):
        training_sigmas(Betas("sigmoid"))


def test_the_node_offers_every_spacing() -> None:
    assert get_args(Spacing) == tuple(SPACINGS)
