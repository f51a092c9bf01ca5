"""Solvers against diffusers' schedulers, and against problems whose answer is known."""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import pairwise
from typing import Any, get_args

import pytest
import torch
from torch import Tensor

from graphengine_diffusion.handles import Betas
from graphengine_diffusion.noise import draw, step_seed
from graphengine_diffusion.parametrisation import denoised, scaled
from graphengine_diffusion.schedules import spread
from graphengine_diffusion.solvers import SOLVERS
from graphengine_diffusion.solving import SolverName
from graphengine_diffusion.types import History

# diffusers turns tensors into arrays in a way that numpy 2 wants changed.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

SHAPE = (3, 4, 8, 8)
SD = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear"}


def solve(
    solver: str,
    x: Tensor,
    sigmas: list[float],
    guess: Callable[[Tensor, float, int], Tensor],
    noise: Any = None,
) -> Tensor:
    """A loop over a schedule."""
    step, memory = SOLVERS[solver]
    history: History = ()
    for i, (sigma, sigma_next) in enumerate(pairwise(sigmas)):
        x0 = guess(x, sigma, i)
        x = step(x, x0, sigma, sigma_next, history, lambda i=i: noise(i))  # type: ignore[misc]
        history = (*history, (sigma, x0))[-memory:] if memory else ()
    return x


def step_noise(index: int) -> Tensor:
    return draw([step_seed(s, index) for s in range(SHAPE[0])], SHAPE[1:])


def output_of(x: Tensor, time: float) -> Tensor:
    """A smooth stand-in for a network."""
    return torch.sin(2 * x + time / 300) + 0.3 * x


@pytest.mark.parametrize("predicts", ["epsilon", "v_prediction"])
@pytest.mark.parametrize("solver", ["euler", "ddim", "euler_ancestral", "dpmpp_2m", "ddim eta=1"])
def test_a_solver_walks_where_the_scheduler_of_diffusers_walks(
    solver: str, predicts: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    import diffusers

    options = {**SD, "prediction_type": predicts, "timestep_spacing": "trailing"}
    scheduler: Any
    ancestral = "diffusers.schedulers.scheduling_euler_ancestral_discrete.randn_tensor"
    draws = iter(range(20))
    monkeypatch.setattr(ancestral, lambda *_, **__: step_noise(next(draws)))
    if solver == "euler":
        scheduler = diffusers.EulerDiscreteScheduler(**options)
    elif solver == "euler_ancestral":
        scheduler = diffusers.EulerAncestralDiscreteScheduler(**options)
    elif solver == "dpmpp_2m":
        scheduler = diffusers.DPMSolverMultistepScheduler(**options)
    else:
        scheduler = diffusers.DDIMScheduler(**options, clip_sample=False, set_alpha_to_one=True)
    scheduler.set_timesteps(20)
    sigmas, times = spread("trailing", 20, Betas())
    exploding = hasattr(scheduler, "is_scale_input_called")  # theirs of the Euler kind works in sigma space
    x = draw(range(SHAPE[0]), SHAPE[1:]) * float(sigmas[0])

    y = x if exploding else scaled(x, torch.tensor(sigmas[0]))
    for i, t in enumerate(scheduler.timesteps):
        y_in = scheduler.scale_model_input(y, t)
        extra = {"eta": 1.0, "variance_noise": step_noise(i)} if solver == "ddim eta=1" else {}
        y = scheduler.step(output_of(y_in, float(t)), t, y, return_dict=False, **extra)[0]

    def guess(x: Tensor, sigma: float, i: int) -> Tensor:
        s = torch.tensor(sigma)
        return denoised(predicts, output_of(scaled(x, s), times[i]), x, s)

    # DDIM with eta = 1 is DDPM's ancestral sampling, which in sigma space is the ancestral Euler step.
    name = {"ddim eta=1": "euler_ancestral"}.get(solver, solver)
    ours = solve(name, x, sigmas.tolist(), guess, step_noise)
    assert ours.isfinite().all()
    assert (ours - y).abs().max() <= 1e-5 * y.abs().max()


def gaussian(spread_of_data: float) -> Callable[[Tensor, float, int], Tensor]:
    """The perfect denoiser for data that is normal around 0: its answer is known in closed form."""
    return lambda x, sigma, i: x * spread_of_data**2 / (spread_of_data**2 + sigma**2)


def error_of(solver: str, n: int) -> float:
    """How far a solver ends from the exact solution of the probability-flow equation, for Gaussian data."""
    c, top, low = 0.7, 14.0, 0.01
    sigmas = torch.logspace(math.log10(top), math.log10(low), n + 1, dtype=torch.float64).tolist()
    x = torch.ones(1, dtype=torch.float64)
    exact = math.sqrt((c**2 + low**2) / (c**2 + top**2))
    return abs(float(solve(solver, x, sigmas, gaussian(c))) - exact)


@pytest.mark.parametrize(("solver", "gain"), [("euler", 2), ("ddim", 2), ("dpmpp_2m", 4)])
def test_twice_the_steps_reduce_the_error_as_the_order_says(solver: str, gain: int) -> None:
    coarse, fine = error_of(solver, 100), error_of(solver, 200)
    assert coarse / fine == pytest.approx(gain, rel=0.2)


def test_ancestral_steps_keep_the_spread_of_the_data() -> None:
    c = 0.7
    sigmas = spread("karras", 200, Betas())[0].tolist()
    x = draw([0], (40_000,)) * sigmas[0]
    found = solve("euler_ancestral", x, sigmas, gaussian(c), lambda i: draw([step_seed(0, i)], (40_000,)))
    assert float(found.std()) == pytest.approx(c, rel=0.03)


def test_every_solver_ends_at_the_models_last_guess() -> None:
    x = draw([1], (4, 8, 8))
    for step, _ in SOLVERS.values():
        found = step(x, x * 0.5, 0.03, 0.0, ((0.05, x * 0.4),), lambda: pytest.fail("no noise is wanted"))
        torch.testing.assert_close(found, x * 0.5)


def test_the_node_offers_every_solver() -> None:
    assert get_args(SolverName) == tuple(SOLVERS)


def test_noise_is_of_unit_variance_and_its_own_for_each_seed_and_step() -> None:
    seeds = [step_seed(seed, index) for seed in range(40) for index in range(40)]
    assert len({seed % 2**32 for seed in seeds}) == len(seeds)  # torch's generator reads the lower half only
    noise = draw(seeds[:16], (4, 32, 32))
    assert float(noise.std()) == pytest.approx(1, abs=0.01)
    together = torch.corrcoef(noise.flatten(1))
    assert (together - torch.eye(16)).abs().max() < 0.08
