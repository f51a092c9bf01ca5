"""Solvers against diffusers' schedulers and the published formulas, over whole loops."""

from __future__ import annotations

import importlib
import math
from collections.abc import Callable
from itertools import pairwise
from typing import Any, get_args

import numpy as np
import pytest
import torch
from nodes.walks import EXPLODING, SHAPE, along, model_of, output_of, planned, solve, step_noise
from torch import Tensor

from graphengine_diffusion.handles import Betas, Flow
from graphengine_diffusion.noise import draw
from graphengine_diffusion.parametrisation import denoised, scaled
from graphengine_diffusion.schedules import alpha_bars, training_of
from graphengine_diffusion.scheduling import scheduled
from graphengine_diffusion.solving import SolverName
from graphengine_diffusion.spacings import spread
from graphengine_diffusion.types import Timestep

# diffusers turns tensors into arrays in ways that numpy 2 wants changed.
pytestmark = [
    pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:__array_wrap__ must accept:DeprecationWarning"),
]

SD = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear"}


def close(found: Tensor, wanted: Tensor, within: float = 1e-5) -> None:
    """Agreement relative to the largest value."""
    assert found.isfinite().all()
    assert wanted.std() > 0.1
    assert (found - wanted).abs().max() <= within * wanted.abs().max()


class Gauss:
    """Stands in for scipy.integrate, which is no dependency: exact for polynomials of degree 15."""

    @staticmethod
    def quad(f: Callable[[Any], Any], a: Any, b: Any, epsrel: float) -> tuple[float, float]:
        points, weights = np.polynomial.legendre.leggauss(8)
        at = [float(f((float(b) - float(a)) / 2 * p + (float(a) + float(b)) / 2)) for p in points]
        return float(np.dot(weights, at) * (float(b) - float(a)) / 2), 0.0


DIFFUSERS: dict[str, tuple[str, dict[str, Any], Any]] = {
    "euler": ("EulerDiscreteScheduler", {}, None),
    "euler_ancestral": ("EulerAncestralDiscreteScheduler", {}, "euler_ancestral_discrete"),
    "ddim": ("DDIMScheduler", {"clip_sample": False, "set_alpha_to_one": True}, None),
    "ddpm": ("DDPMScheduler", {"clip_sample": False}, "ddpm"),
    "heun": ("HeunDiscreteScheduler", {}, None),
    "dpm2": ("KDPM2DiscreteScheduler", {}, None),
    "dpmpp_2m": ("DPMSolverMultistepScheduler", {}, None),
    "dpmpp_2m_sde": (
        "DPMSolverMultistepScheduler",
        {"algorithm_type": "sde-dpmsolver++"},
        "dpmsolver_multistep",
    ),
    "uni_pc": ("UniPCMultistepScheduler", {}, None),
    "lms": ("LMSDiscreteScheduler", {}, None),
    "lcm": ("LCMScheduler", {"clip_sample": False}, "lcm"),
}
FORMULAS = ("ddpm_large", "dpmpp_sde", "res_multistep")
"""These have no such scheduler there (that of DDPM adds its large noise after the last step too)."""


@pytest.mark.parametrize("predicts", ["epsilon", "v_prediction"])
@pytest.mark.parametrize("name", DIFFUSERS)
def test_a_solver_walks_where_the_scheduler_of_diffusers_walks(
    name: str, predicts: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    cls, options, random = DIFFUSERS[name]
    module = importlib.import_module("diffusers")
    if name == "lms":
        module = importlib.import_module("diffusers.schedulers.scheduling_lms_discrete")
        monkeypatch.setattr(module, "integrate", Gauss, raising=False)
    if name != "lcm":
        options = {**options, "timestep_spacing": "trailing"}
    scheduler = getattr(module, cls)(**SD, prediction_type=predicts, **options)
    draws = iter(range(20))
    if random:
        place = f"diffusers.schedulers.scheduling_{random}.randn_tensor"
        monkeypatch.setattr(place, lambda *_, **__: step_noise(next(draws)))
    # Their table is float32, in which 1 - alpha_bar keeps five digits at the clean end.
    scheduler.alphas_cumprod = torch.from_numpy(alpha_bars(Betas()))
    scheduler.set_timesteps(20)
    if name == "lcm":
        times = scheduler.timesteps.numpy().astype(float)
        sigmas = np.append(EXPLODING.sigmas(times), 0.0)
        steps = scheduled(sigmas.tolist(), times.tolist(), EXPLODING, name, 0).timesteps
    else:
        steps = planned(name, 20)
    theirs = scheduler.timesteps.numpy()
    np.testing.assert_allclose([s.time for s in steps], theirs, atol=1e-2)
    exploding = hasattr(scheduler, "init_noise_sigma") and float(scheduler.init_noise_sigma) > 1
    x = draw(range(SHAPE[0]), SHAPE[1:]) * steps[0].sigma
    y = x if exploding else scaled(x, torch.tensor(steps[0].sigma))
    for t in scheduler.timesteps:
        y_in = scheduler.scale_model_input(y, t)
        y = scheduler.step(output_of(y_in, float(t)), t, y, return_dict=False)[0].float()
    close(solve(name, x, steps, model_of(predicts)), y)


FLOWS: dict[str, tuple[str, dict[str, Any], Any]] = {
    "euler": ("FlowMatchEulerDiscreteScheduler", {"shift": 3.0}, None),
    "heun": ("FlowMatchHeunDiscreteScheduler", {"shift": 3.0}, None),
    "lcm": ("FlowMatchLCMScheduler", {"shift": 3.0}, "flow_match_lcm"),
    "ddim": ("DPMSolverMultistepScheduler", {"solver_order": 1}, None),
    "euler_ancestral": (
        "DPMSolverMultistepScheduler",
        {"solver_order": 1, "algorithm_type": "sde-dpmsolver++"},
        "dpmsolver_multistep",
    ),
    "dpmpp_2m": ("DPMSolverMultistepScheduler", {}, None),
    "dpmpp_2m_sde": (
        "DPMSolverMultistepScheduler",
        {"algorithm_type": "sde-dpmsolver++"},
        "dpmsolver_multistep",
    ),
    "uni_pc": ("UniPCMultistepScheduler", {}, None),
}


@pytest.mark.parametrize("name", FLOWS)
def test_a_solver_walks_where_diffusers_walks_for_flow_models(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    import diffusers

    cls, options, random = FLOWS[name]
    if not cls.startswith("FlowMatch"):
        options = {
            **options,
            "use_flow_sigmas": True,
            "flow_shift": 3.0,
            "prediction_type": "flow_prediction",
        }
    scheduler = getattr(diffusers, cls)(**options)
    scheduler.set_timesteps(20)
    draws = iter(range(20))
    if random:
        place = f"diffusers.schedulers.scheduling_{random}.randn_tensor"
        monkeypatch.setattr(place, lambda *_, **__: step_noise(next(draws)))
    sigmas = scheduler.sigmas.tolist()
    if name == "heun":  # theirs are those of the halves
        sigmas = [*sigmas[:1], *sigmas[1:-2:2], 0.0]
    steps = along(name, sigmas, flow=True)
    assert len(steps) == len(scheduler.timesteps)
    x = y = draw(range(SHAPE[0]), SHAPE[1:])
    for step, t in zip(steps, scheduler.timesteps, strict=True):
        y = scheduler.step(output_of(y, 1000 * step.sigma), t, y, return_dict=False)[0]

    def guess(x: Tensor, step: Timestep) -> Tensor:
        return denoised("flow", output_of(x, 1000 * step.sigma), x, torch.tensor(step.sigma))

    close(solve(name, x, steps, guess), y)


def test_dpmpp_sde_is_the_formula_of_k_diffusion() -> None:
    guess, steps = model_of("epsilon"), planned("dpmpp_sde", 12, spacing="karras")
    sigmas, times = spread("karras", 12, EXPLODING)
    x = y = draw(range(SHAPE[0]), SHAPE[1:]) * float(sigmas[0])

    def ancestral(start: float, end: float) -> tuple[float, float]:
        up = min(end, (end**2 * (start**2 - end**2) / start**2) ** 0.5)
        return (end**2 - up**2) ** 0.5, up

    for i, (s, s_next) in enumerate(pairwise(sigmas.tolist())):
        x0 = guess(y, Timestep(i, s, s_next, times[i], 0))
        if s_next == 0:
            y = y + (y - x0) / s * (s_next - s)
            continue
        t, t_next = -math.log(s), -math.log(s_next)
        h = t_next - t
        middle = math.exp(-(t + h / 2))
        # A Brownian path whose time is sigma, from s to the middle and on to the end.
        W_middle = math.sqrt(s - middle) * step_noise(i, 1)
        W_end = W_middle + math.sqrt(middle - s_next) * step_noise(i, 2)
        down, up = ancestral(s, middle)
        t_down = -math.log(down)
        y_2 = (math.exp(-t_down) / math.exp(-t)) * y - math.expm1(t - t_down) * x0
        y_2 = y_2 + W_middle / math.sqrt(s - middle) * up
        time = float(EXPLODING.times(np.array([middle]))[0])
        x0_2 = guess(y_2, Timestep(i, middle, s_next, time, 0))
        down, up = ancestral(s, s_next)
        t_down = -math.log(down)
        y = (math.exp(-t_down) / math.exp(-t)) * y - math.expm1(t - t_down) * x0_2
        y = y + W_end / math.sqrt(s - s_next) * up
    close(solve("dpmpp_sde", x, steps, guess), y)


@pytest.mark.parametrize("flow", [False, True], ids=["exploding", "flow"])
def test_res_multistep_is_the_formula_of_the_paper(flow: bool) -> None:
    training = training_of(Flow(3.0)) if flow else EXPLODING
    guess, steps = model_of("flow" if flow else "epsilon"), planned("res_multistep", 12, training)
    x = y = draw(range(SHAPE[0]), SHAPE[1:]) * steps[0].sigma

    def phi_1(t: float) -> float:
        return (math.exp(t) - 1) / t

    def phi_2(t: float) -> float:
        return (phi_1(t) - 1) / t

    before: tuple[float, Tensor] | None = None
    for step in steps:
        x0 = guess(y, step)
        if step.sigma_next == 0:
            y = x0
            continue
        # In lambda = log(alpha / sigma), for y = x / alpha; from pure noise the guess alone counts.
        if step.alpha == 0:
            y = step.alpha_next * x0 + step.sigma_next * y
            continue
        s, t = math.log(step.alpha / step.sigma), math.log(step.alpha_next / step.sigma_next)
        h = t - s
        b_1, b_2, earlier = phi_1(-h), 0.0, x0
        if before is not None:
            c = (before[0] - s) / h
            b_1, b_2, earlier = phi_1(-h) - phi_2(-h) / c, phi_2(-h) / c, before[1]
        y = math.exp(-h) * (step.alpha_next / step.alpha) * y + step.alpha_next * h * (
            b_1 * x0 + b_2 * earlier
        )
        before = (s, x0)
    close(solve("res_multistep", x, steps, guess), y)


@pytest.mark.parametrize("large", [False, True], ids=["ddpm", "ddpm_large"])
def test_ddpm_is_algorithm_2_of_the_paper(large: bool) -> None:
    betas = Betas("linear", 1e-4, 0.02, 50)
    training = training_of(betas)
    name = "ddpm_large" if large else "ddpm"
    steps = planned(name, 50, training)
    guess = model_of("epsilon")
    alpha_bar = np.append(1.0, alpha_bars(betas))
    x = draw(range(SHAPE[0]), SHAPE[1:])
    y = x.clone()
    for i, t in enumerate(range(50, 0, -1)):
        alpha = alpha_bar[t] / alpha_bar[t - 1]
        eps = output_of(y, t - 1)
        y = (y - (1 - alpha) / math.sqrt(1 - alpha_bar[t]) * eps) / math.sqrt(alpha)
        if t > 1:
            variance = 1 - alpha if large else (1 - alpha_bar[t - 1]) / (1 - alpha_bar[t]) * (1 - alpha)
            y = y + math.sqrt(variance) * step_noise(i)
    close(solve(name, x * math.sqrt(1 + steps[0].sigma ** 2), steps, guess), y)


def test_every_solver_is_compared() -> None:
    assert set(get_args(SolverName)) == {*DIFFUSERS, *FORMULAS}
