"""Solvers against diffusers' schedulers and the published formulas, and problems whose answer is known."""

from __future__ import annotations

import importlib
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any, get_args

import numpy as np
import pytest
import torch
from torch import Tensor

from graphengine.codec import Codec
from graphengine_diffusion.handles import Betas, Flow, LatentSpec
from graphengine_diffusion.noise import draw, step_seed
from graphengine_diffusion.parametrisation import denoised, scaled
from graphengine_diffusion.schedules import Training, alpha_bars, training_of
from graphengine_diffusion.scheduling import scheduled
from graphengine_diffusion.solvers import SOLVERS
from graphengine_diffusion.solving import SolverName, solver, solver_step
from graphengine_diffusion.spacings import spread
from graphengine_diffusion.types import Latent, Past, Prediction, Timestep

# diffusers turns tensors into arrays in ways that numpy 2 wants changed.
pytestmark = [
    pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:__array_wrap__ must accept:DeprecationWarning"),
]

SHAPE = (3, 4, 8, 8)
SPEC = LatentSpec(4, 8)
SD = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear"}
NO_NOISE = ("euler", "ddim", "heun", "dpm2", "dpmpp_2m", "uni_pc", "lms", "res_multistep")
FRESH_NOISE = ("euler_ancestral", "ddpm", "ddpm_large", "dpmpp_2m_sde", "dpmpp_sde", "lcm")
TWICE = ("heun", "dpm2", "dpmpp_sde")
EXPLODING = training_of(Betas())
STRAIGHT = training_of(Flow())

Guess = Callable[[Tensor, Timestep], Tensor]


def planned(name: str, n: int, training: Training = EXPLODING, spacing: str = "trailing") -> list[Timestep]:
    """The timesteps of a loop."""
    sigmas, times = spread(spacing, n, training)
    return scheduled(sigmas.tolist(), times.tolist(), training, name, 0).timesteps


def along(name: str, sigmas: Sequence[float], flow: bool = False) -> list[Timestep]:
    """The timesteps for given sigmas."""
    times = [0.0] * (len(sigmas) - 1)
    return scheduled(sigmas, times, STRAIGHT if flow else EXPLODING, name, 0).timesteps


def solve(name: Any, x: Tensor, steps: Sequence[Timestep], guess: Guess, seeds: Any = None) -> Tensor:
    """A loop over timesteps, through the node."""
    latent = Latent(x, SPEC, seeds or tuple(range(len(x))))
    for step in steps:
        x0 = guess(latent.samples, step)
        answer = Prediction(x0, latent.samples, step.sigma, SPEC, latent.seeds, step.alpha)
        latent = solver_step(latent, answer, step, name)
    return latent.samples


def step_noise(index: int, stage: int = 0) -> Tensor:
    return draw([step_seed(s, index, stage) for s in range(SHAPE[0])], SHAPE[1:])


def output_of(x: Tensor, time: float) -> Tensor:
    """A smooth stand-in for a network, which like a good one takes noise away and adds none."""
    return 0.6 * x + 0.4 * torch.sin(x + time / 300)


def model_of(predicts: str) -> Guess:
    """The guess of the clean picture by a model with this output."""

    def guess(x: Tensor, step: Timestep) -> Tensor:
        s = torch.tensor(step.sigma)
        return denoised(predicts, output_of(scaled(x, s, step.flow), step.time), x, s)

    return guess


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


def gaussian(c: float) -> Guess:
    """The perfect denoiser for data that is normal around 0: its answer is known in closed form."""
    return lambda x, step: x * step.alpha * c**2 / (step.alpha**2 * c**2 + step.sigma**2)


def error_of(name: str, n: int, flow: bool) -> float:
    """How far a solver ends from the exact solution of the probability-flow equation, for Gaussian data."""
    c = 0.7
    if flow:
        sigmas = torch.linspace(1.0, 0.02, n + 1, dtype=torch.float64).tolist()
    else:
        sigmas = torch.logspace(math.log10(14), -2, n + 1, dtype=torch.float64).tolist()
    steps = along(name, sigmas, flow)
    first, last = sigmas[0], float(np.float32(sigmas[-1]))

    def deviation(sigma: float) -> float:
        return math.sqrt(((1 - sigma) * c if flow else c) ** 2 + sigma**2)

    x = torch.ones(1, 1, 1, 1, dtype=torch.float64)
    found = solve(name, x, steps, gaussian(c))
    return abs(float(found) - deviation(last) / deviation(first))


@pytest.mark.parametrize(
    ("name", "order"),
    [
        ("euler", 1), ("ddim", 1), ("heun", 2), ("dpm2", 2), ("dpmpp_2m", 2), ("res_multistep", 2),
        ("uni_pc", 3),
    ],
)  # fmt: skip
@pytest.mark.parametrize("flow", [False, True], ids=["exploding", "flow"])
def test_twice_the_steps_reduce_the_error_as_the_order_says(name: str, order: int, flow: bool) -> None:
    n = 30 if order > 2 else 60
    coarse, fine = error_of(name, n, flow), error_of(name, 2 * n, flow)
    assert coarse < error_of("euler", n, flow) * (1.01 if order == 1 else 0.2)
    assert math.log2(coarse / fine) == pytest.approx(order, abs=0.4)


def test_lms_is_exact_where_the_slope_is_a_cubic_polynomial() -> None:
    sigmas = [3.0, 2.5, 1.8, 1.0, 0.6, 0.2, 0.0]
    steps = along("lms", sigmas)

    def slope(sigma: float) -> float:
        return 1 - 2 * sigma + 0.5 * sigma**2 - 0.3 * sigma**3

    def area(sigma: float) -> float:
        return sigma - sigma**2 + 0.5 * sigma**3 / 3 - 0.3 * sigma**4 / 4

    def at(value: float) -> Tensor:
        return torch.full((1, 1, 1, 1), value, dtype=torch.float64)

    known = tuple(Past("lms", step.sigma, (at(slope(step.sigma)),)) for step in steps[:3])
    x = Latent(at(2.0), SPEC, (0,), known)
    for step in steps[3:]:
        x0 = x.samples - step.sigma * slope(step.sigma)
        x = solver_step(x, Prediction(x0, x.samples, step.sigma, SPEC, (0,)), step, "lms")
        wanted = 2.0 + area(step.sigma_next) - area(steps[3].sigma)
        assert float(x.samples) == pytest.approx(wanted, rel=1e-12)


@pytest.mark.parametrize("name", ["euler_ancestral", "ddpm", "ddpm_large", "dpmpp_2m_sde", "dpmpp_sde"])
@pytest.mark.parametrize("flow", [False, True], ids=["exploding", "flow"])
def test_fresh_noise_keeps_the_spread_of_the_data(name: str, flow: bool) -> None:
    c = 0.7
    training = STRAIGHT if flow else EXPLODING
    steps = planned(name, 400 if name == "ddpm_large" else 150, training, "normal" if flow else "karras")
    x = draw([0], (1, 100, 200)) * steps[0].sigma
    assert float(solve(name, x, steps, gaussian(c)).std()) == pytest.approx(c, rel=0.03)


@pytest.mark.parametrize("name", get_args(SolverName))
@pytest.mark.parametrize("flow", [False, True], ids=["exploding", "flow"])
def test_a_good_model_is_followed_to_its_picture(name: str, flow: bool) -> None:
    """Pure noise at the start (lambda -inf for a flow model) and none at the end are no trouble."""
    picture = draw([5, 6, 7], SHAPE[1:])
    for n in (1, 2, 3, 10):
        steps = planned(name, n, STRAIGHT if flow else EXPLODING, "normal")
        x = draw(range(SHAPE[0]), SHAPE[1:]) * steps[0].sigma
        found = solve(name, x, steps, lambda x, step: picture)
        torch.testing.assert_close(found, picture, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", [n for n in get_args(SolverName) if n != "lms"])
def test_a_solver_ends_at_the_models_last_guess(name: str) -> None:
    last: list[Tensor] = []

    def guess(x: Tensor, step: Timestep) -> Tensor:
        last[:] = [model_of("epsilon")(x, step)]
        return last[0]

    steps = planned(name, 6, spacing="karras")
    found = solve(name, draw(range(3), SHAPE[1:]) * steps[0].sigma, steps, guess)
    torch.testing.assert_close(found, last[0], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", get_args(SolverName))
@pytest.mark.parametrize("flow", [False, True], ids=["exploding", "flow"])
def test_a_batch_of_four_is_four_single_runs(name: str, flow: bool) -> None:
    training, guess = (STRAIGHT, model_of("flow")) if flow else (EXPLODING, model_of("epsilon"))
    steps = planned(name, 6, training, "normal")
    x = draw([11, 12, 13, 14], SHAPE[1:]) * steps[0].sigma
    batch = solve(name, x, steps, guess, (11, 12, 13, 14))
    for i, seed in enumerate((11, 12, 13, 14)):
        alone = solve(name, x[i : i + 1], steps, guess, (seed,))
        assert (batch[i] - alone[0]).abs().max() <= 1e-5 * batch.abs().max()
    assert (batch[0] - batch[1]).abs().max() > 0.1


@pytest.mark.parametrize("name", get_args(SolverName))
def test_a_loop_resumes_from_what_was_stored(name: Any) -> None:
    codec, guess = Codec(["graphengine_diffusion"]), model_of("epsilon")
    steps = planned(name, 6, spacing="karras")
    x = draw(range(3), SHAPE[1:]) * steps[0].sigma
    latent = Latent(x, SPEC, (0, 1, 2))
    for step in steps:
        answer = Prediction(guess(latent.samples, step), latent.samples, step.sigma, SPEC, latent.seeds)
        latent = codec.decode(codec.encode(solver_step(latent, answer, step, name)))
        assert all(type(past) is Past for past in latent.history)
    assert torch.equal(latent.samples, solve(name, x, steps, guess))


def histories(name: Any, steps: Sequence[Timestep]) -> Iterator[Latent]:
    """The latents after each step."""
    latent = Latent(draw(range(3), SHAPE[1:]) * steps[0].sigma, SPEC, (0, 1, 2))
    for step in steps:
        x0 = model_of("epsilon")(latent.samples, step)
        latent = solver_step(
            latent, Prediction(x0, latent.samples, step.sigma, SPEC, latent.seeds), step, name
        )
        yield latent


@pytest.mark.parametrize(
    ("name", "most"),
    [
        ("euler", 0), ("euler_ancestral", 0), ("ddim", 0), ("ddpm", 0), ("ddpm_large", 0), ("lcm", 0),
        ("dpmpp_2m", 1), ("dpmpp_2m_sde", 1), ("res_multistep", 1), ("uni_pc", 3), ("lms", 3), ("heun", 2),
        ("dpm2", 1), ("dpmpp_sde", 1),
    ],
)  # fmt: skip
def test_no_more_is_kept_than_the_solver_needs(name: str, most: int) -> None:
    kept = [sum(len(p.kept) for p in latent.history) for latent in histories(name, planned(name, 6))]
    assert max(kept) == most
    if name in TWICE:
        assert kept[1::2] == [0] * 5  # a whole step forgets


def test_what_another_loop_left_is_not_used() -> None:
    steps = planned("dpmpp_2m", 6)
    *_, done = histories("dpmpp_2m", steps)
    used = replace(done, samples=draw(range(3), SHAPE[1:]) * steps[2].sigma)
    fresh = replace(used, history=())
    larger = replace(fresh, samples=draw(range(3), (4, 16, 16)))

    def stepped(latent: Latent, name: Any = "dpmpp_2m") -> Tensor:
        guess = torch.zeros_like(latent.samples)
        answer = Prediction(guess, latent.samples, steps[2].sigma, SPEC, latent.seeds)
        return solver_step(latent, answer, steps[2], name).samples

    assert done.history[-1].sigma < steps[2].sigma
    assert torch.equal(stepped(used), stepped(fresh))  # it was made noisy again
    before = Past("dpmpp_2m", steps[1].sigma, (torch.ones(SHAPE),))
    assert not torch.equal(stepped(replace(fresh, history=(before,))), stepped(fresh))
    assert torch.equal(stepped(replace(larger, history=(before,))), stepped(larger))  # it was enlarged
    assert torch.equal(stepped(replace(fresh, history=(before,)), "uni_pc"), stepped(fresh, "uni_pc"))


@pytest.mark.parametrize(
    ("made_for", "name", "told"),
    [
        ("euler", "heun", "made for solvers that ask the model once a step, but the solver is heun"),
        ("heun", "euler", "made for heun, but the solver is euler; set schedule.solver to euler too"),
        ("heun", "dpm2", "made for heun, but the solver is dpm2; set schedule.solver to dpm2 too"),
    ],
)
def test_timesteps_of_another_solver_are_told(made_for: str, name: Any, told: str) -> None:
    x = Latent(torch.zeros(SHAPE), SPEC, (0, 1, 2))
    step = planned(made_for, 3)[0]
    with pytest.raises(ValueError, match=told):
        solver_step(x, Prediction(x.samples, x.samples, step.sigma, SPEC, x.seeds), step, name)


def test_half_a_step_without_the_other_is_told() -> None:
    x = Latent(torch.zeros(SHAPE), SPEC, (0, 1, 2))
    step = planned("heun", 3)[1]
    with pytest.raises(ValueError, match="second half of a step of heun, and its first half is not there"):
        solver_step(x, Prediction(x.samples, x.samples, step.sigma, SPEC, x.seeds), step, "heun")


def test_a_name_that_is_no_solver_is_told() -> None:
    wrong: Any = "plms"
    assert solver("heun") == "heun"
    with pytest.raises(ValueError, match="there is no solver 'plms'; choose euler, euler_ancestral, ddim"):
        solver(wrong)
    x = Latent(torch.zeros(SHAPE), SPEC, (0, 1, 2))
    step = planned("euler", 3)[0]
    with pytest.raises(ValueError, match="there is no solver 'plms'"):
        solver_step(x, Prediction(x.samples, x.samples, step.sigma, SPEC, x.seeds), step, wrong)


def test_every_solver_is_offered_explained_and_compared() -> None:
    names = get_args(SolverName)
    assert names == tuple(SOLVERS)
    assert set(names) == {*DIFFUSERS, *FORMULAS} == {*NO_NOISE, *FRESH_NOISE}
    assert {name for name, found in SOLVERS.items() if found.between} == set(TWICE)
    for name in names:
        assert f"`{name}`" in (solver_step.__doc__ or "")
        assert SOLVERS[name].step.__doc__


def test_noise_is_of_unit_variance_and_its_own_for_each_seed_step_and_stage() -> None:
    seeds = [step_seed(seed, i, stage) for seed in range(40) for i in range(40) for stage in range(3)]
    assert len({seed % 2**32 for seed in seeds}) == len(seeds)  # torch's generator reads the lower half only
    noise = draw(seeds[:18], (4, 32, 32))
    assert float(noise.std()) == pytest.approx(1, abs=0.01)
    together = torch.corrcoef(noise.flatten(1))
    assert (together - torch.eye(18)).abs().max() < 0.08
