"""Solvers on problems whose answer is known, in loops that are cut, batched and resumed; and their errors."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any, get_args

import numpy as np
import pytest
import torch
from nodes.walks import (
    EXPLODING,
    SHAPE,
    SPEC,
    STRAIGHT,
    Guess,
    along,
    model_of,
    planned,
    solve,
)
from torch import Tensor

from graphengine.codec import Codec
from graphengine_diffusion.noise import draw, step_seed
from graphengine_diffusion.solvers import SOLVERS
from graphengine_diffusion.solving import SolverName, solver, solver_step
from graphengine_diffusion.types import Latent, Past, Prediction, Timestep

TWICE = ("heun", "dpm2", "dpmpp_sde")


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


def test_every_solver_is_offered_explained() -> None:
    names = get_args(SolverName)
    assert names == tuple(SOLVERS)
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
