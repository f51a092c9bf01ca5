"""Schedules as nodes: timesteps, halves of steps, cuts, curves; a loop whose solver comes through a link."""

from __future__ import annotations

import json
import math
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch

from graphengine import events
from graphengine.config import Settings
from graphengine.errors import NodeFailed
from graphengine.session import Session
from graphengine.workflow import Workflow
from graphengine_diffusion.handles import Betas, Denoiser, Flow, LatentSpec, Part
from graphengine_diffusion.scheduling import beta_curves, custom_schedule, schedule, split_schedule
from graphengine_diffusion.types import Latent
from graphengine_nodes.plots import curves

WORKFLOW = Path(__file__).parents[2] / "workflows" / "text_to_image.json"
PART = Part("m", "unet", "UNet2DConditionModel", "0")
DENOISER = Denoiser("m", PART, "sd1", LatentSpec(4, 8), 64, 768)
SD3 = Denoiser("f", PART, "sd3", LatentSpec(16, 8), 128, 4096, "flow", Flow(3.0))
FLUX = Denoiser("f", PART, "flux", LatentSpec(16, 8), 128, 4096, "flow", Flow(1.0, (256, 0.5, 4096, 1.15)))
MODELS = pytest.mark.parametrize("denoiser", [DENOISER, SD3, FLUX], ids=["sd", "sd3", "flux"])


def test_timesteps_are_the_schedule_step_by_step() -> None:
    found = schedule(DENOISER, steps=12, spacing="karras")
    sigmas = found.schedule.sigmas.tolist()
    assert [(t.sigma, t.sigma_next) for t in found.timesteps] == list(pairwise(sigmas))
    assert [t.time for t in found.timesteps] == found.schedule.times.tolist()
    assert [t.index for t in found.timesteps] == list(range(12))
    assert {(t.stage, t.solver, t.flow) for t in found.timesteps} == {(0, "", False)}


@pytest.mark.parametrize("solver", ["euler", "heun"])
@MODELS
def test_strength_leaves_out_the_first_steps(denoiser: Denoiser, solver: Any) -> None:
    whole = schedule(denoiser, steps=20, solver=solver)
    for strength, kept in ((1.0, 20), (0.5, 10), (0.29, 6), (0.001, 1)):
        part = schedule(denoiser, steps=20, strength=strength, solver=solver)
        assert part.timesteps == [t for t in whole.timesteps if t.index >= 20 - kept]
        assert part.schedule.sigmas.tolist() == whole.schedule.sigmas.tolist()[20 - kept :]
    none = schedule(denoiser, steps=20, strength=0.0, solver=solver)
    assert none.timesteps == []
    assert none.schedule.sigmas.tolist() == [0.0]


@pytest.mark.parametrize("solver", ["heun", "dpm2", "dpmpp_sde"])
@MODELS
def test_a_solver_that_asks_twice_gets_halves_of_steps(denoiser: Denoiser, solver: Any) -> None:
    whole = schedule(denoiser, 7)
    found = schedule(denoiser, 7, solver=solver)
    assert found.schedule.sigmas.tolist() == whole.schedule.sigmas.tolist()
    assert [t.stage for t in found.timesteps] == [1, 2] * 6 + [0]
    for a, b in pairwise(found.timesteps):
        assert a.sigma_next == b.sigma or (a.stage == 2 and a.sigma_next == pytest.approx(b.sigma))
    for step in whole.timesteps[:-1]:
        first, second = (t for t in found.timesteps if t.index == step.index)
        assert (first.sigma, second.sigma_next) == (step.sigma, step.sigma_next)
        assert first.fraction == second.fraction == step.fraction
        assert first.solver == second.solver == solver
        assert first.time == step.time > second.time
        middle = second.sigma
        if solver == "heun":
            assert middle == step.sigma_next
        elif solver == "dpm2" or step.alpha == 0:
            assert middle == pytest.approx(math.sqrt(step.sigma * step.sigma_next))
        else:  # half-way in the signal-to-noise ratio
            ratio = second.alpha / middle
            ends = (step.alpha / step.sigma) * (step.alpha_next / step.sigma_next)
            assert ratio == pytest.approx(math.sqrt(ends), rel=1e-4)


def test_both_halves_of_heun_know_the_time_of_their_sigma() -> None:
    found = schedule(DENOISER, 5, "trailing", solver="heun").timesteps
    assert [t.time for t in found] == pytest.approx([999, 799, 799, 599, 599, 399, 399, 199, 199])


def test_flow_models_are_told_their_sigma() -> None:
    found = schedule(SD3, 10)
    assert found.schedule.flow
    assert found.schedule.sigmas[0] == 1
    for step in found.timesteps:
        assert step.flow
        assert step.time == pytest.approx(1000 * step.sigma)
        assert step.alpha == 1 - step.sigma


def test_flux_is_shifted_by_the_size_of_the_picture_only() -> None:
    def shift(**size: Any) -> float:
        """The shift, read off sigma = shift / (shift + 1) at the half."""
        half = float(schedule(FLUX, 2, "trailing", **size).schedule.sigmas[1])
        return half / (1 - half)

    assert shift(width=256, height=256) == pytest.approx(math.exp(0.5), rel=1e-5)
    assert shift() == shift(width=1024, height=1024) == pytest.approx(math.exp(1.15), rel=1e-5)
    assert shift(width=512) == pytest.approx(shift(width=1024, height=512))
    assert shift(shift=2.0, width=256) == pytest.approx(2.0, rel=1e-5)
    sd3 = [schedule(SD3, 5, width=w).schedule.sigmas.tolist() for w in (256, 2048)]
    assert sd3[0] == sd3[1]
    assert schedule(SD3, 5, shift=1.0).schedule.sigmas.tolist() != sd3[0]


def test_a_shift_for_a_model_that_has_none_is_told() -> None:
    with pytest.raises(ValueError, match="is for flow models, and m is none; leave it empty"):
        schedule(DENOISER, shift=3.0)


@MODELS
def test_written_sigmas_are_taken_as_they_are(denoiser: Denoiser) -> None:
    found = custom_schedule(denoiser, [1.0, 0.5, 0.25, 0.0])
    assert found.schedule.sigmas.tolist() == [1.0, 0.5, 0.25, 0.0]
    assert [t.fraction for t in found.timesteps] == pytest.approx([0, 1 / 3, 2 / 3])
    same = schedule(denoiser, 6, "karras")
    again = custom_schedule(denoiser, same.schedule.sigmas.tolist())
    assert again.schedule.times.tolist() == pytest.approx(same.schedule.times.tolist(), abs=1e-2)
    assert len(custom_schedule(denoiser, [1.0, 0.5, 0.0], "heun").timesteps) == 3


@pytest.mark.parametrize(
    ("denoiser", "sigmas", "told"),
    [
        (DENOISER, [1.0, 2.0, 0.0], "sigmas fall from step to step, but 2 follows 1; write the larger first"),
        (DENOISER, [1.0, 1.0], "but 1 follows 1"),
        (DENOISER, [1.0, -0.5], "sigmas are from 10000 to 0, but these are from 1 to -0.5"),
        (SD3, [14.0, 1.0, 0.0], "sigmas are from 1 to 0, but these are from 14 to 0"),
        (DENOISER, [float("nan"), 0.0], "but 0 follows nan"),
    ],
)
def test_sigmas_that_are_no_schedule_are_told(denoiser: Denoiser, sigmas: list[float], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        custom_schedule(denoiser, sigmas)


@pytest.mark.parametrize("solver", ["euler", "heun"])
@pytest.mark.parametrize("strength", [1.0, 0.5])
def test_the_parts_of_a_split_schedule_are_the_whole(solver: Any, strength: float) -> None:
    whole = schedule(DENOISER, 10, "karras", strength, solver)
    for cut in ({"step": 7}, {"fraction": 0.7}, {"step": 0}, {"step": 10}, {"fraction": 1.0}):
        found = split_schedule(*whole, **cut)  # type: ignore[arg-type]
        assert found.high_timesteps + found.low_timesteps == whole.timesteps
        first = cut.get("step", round(10 * cut.get("fraction", 0)))
        assert all(t.index < first for t in found.high_timesteps)
        assert all(t.index >= first for t in found.low_timesteps)
        assert found.high.sigmas[-1] == found.low.sigmas[0]
        assert torch.equal(torch.cat([found.high.sigmas, found.low.sigmas[1:]]), whole.schedule.sigmas)
        assert torch.equal(torch.cat([found.high.times, found.low.times]), whole.schedule.times)
        for part, steps in ((found.high, found.high_timesteps), (found.low, found.low_timesteps)):
            assert len(part.sigmas) == len({t.index for t in steps}) + 1
            if steps:
                assert steps[0].sigma == part.sigmas[0]
                assert steps[-1].sigma_next == part.sigmas[-1]


def test_a_cut_is_told_by_one_of_two() -> None:
    whole = schedule(DENOISER, 10)
    with pytest.raises(ValueError, match="none of step and fraction is given; give exactly one"):
        split_schedule(*whole)
    with pytest.raises(ValueError, match="both of step and fraction is given"):
        split_schedule(*whole, step=3, fraction=0.3)


def test_curves_are_the_formulas_of_the_papers() -> None:
    linear, alpha_bar = beta_curves("linear"), 1.0
    for t in range(1000):
        # Ho et al. 2020, section 4: beta from 1e-4 to 0.02 in T = 1000 steps; eq. 4.
        alpha_bar *= 1 - (1e-4 + (0.02 - 1e-4) * t / 999)
        assert linear.alpha_bar[t] == pytest.approx(alpha_bar, rel=1e-9)
        assert linear.log_snr[t] == pytest.approx(math.log(alpha_bar / (1 - alpha_bar)), rel=1e-9)
    cosine = beta_curves("cosine")

    def f(t: float) -> float:
        """Nichol & Dhariwal 2021, eq. 17, with s = 0.008."""
        return math.cos((t / 1000 + 0.008) / 1.008 * math.pi / 2) ** 2

    for t in range(1, 1000):
        assert cosine.alpha_bar[t - 1] == pytest.approx(f(t) / f(0), rel=1e-9)
    # beta is at most 0.999, which only the last step is touched by.
    assert cosine.alpha_bar[999] == pytest.approx(cosine.alpha_bar[998] * 0.001, rel=1e-9)
    assert beta_curves("scaled_linear").alpha_bar[-1] == pytest.approx(
        1 / (1 + float(schedule(DENOISER).schedule.sigmas[0]) ** 2), rel=1e-5
    )


@pytest.mark.parametrize("name", ["linear", "scaled_linear", "cosine"])
def test_curves_can_be_drawn_and_their_timesteps_used(name: Any) -> None:
    found = beta_curves(name)
    assert curves([found.alpha_bar, found.log_snr]).std() > 0.01
    assert len(found.timesteps) == 1000
    for step, alpha_bar in zip(found.timesteps, reversed(found.alpha_bar), strict=True):
        assert 1 / (1 + step.sigma**2) == pytest.approx(alpha_bar, rel=1e-4)
    assert [t.time for t in found.timesteps] == list(range(999, -1, -1))
    assert found.timesteps[-1].sigma_next == 0


def test_only_the_beta_schedule_of_the_model_moves_the_sigmas() -> None:
    other = Denoiser("m", PART, "sd1", LatentSpec(4, 8), 64, 768, noise=Betas("linear", 1e-4, 0.02))
    a, b = schedule(DENOISER, 10).schedule, schedule(other, 10).schedule
    assert a.times.tolist() == b.times.tolist()
    assert (a.sigmas[:-1] != b.sigmas[:-1]).all()


def opened(folder: Path) -> Session:
    """A session that keeps the state of a loop after each round."""
    return Session(
        Settings(models=(), cache=folder / "cache", outputs=folder / "out", device="cpu", loop_states=1)
    )


def linked(through: dict[str, Any], over: str = "schedule.timesteps") -> Workflow:
    """text_to_image with a solver that comes through a link, in a loop over other timesteps."""
    data = json.loads(WORKFLOW.read_text("utf-8"))
    nodes = data["nodes"]
    del nodes["save"], data["inputs"]["solver"]
    nodes["chosen"] = through
    nodes["schedule"]["inputs"] |= {"solver": {"link": "chosen.value"}, "steps": 4}
    nodes["noise"]["inputs"] |= {"width": 64, "height": 64}
    nodes["cut"] = {
        "type": "diffusion.split_schedule",
        "inputs": {
            "schedule": {"link": "schedule.schedule"},
            "timesteps": {"link": "schedule.timesteps"},
            "step": 2,
        },
    }
    nodes["denoise"]["inputs"]["over"] = {"link": over}
    step = nodes["denoise"]["inputs"]["body"]["graph"]["nodes"]["next"]
    step["inputs"]["solver"] = {"link": "chosen.value"}
    return Workflow.of(data)


def run(session: Session, workflow: Workflow) -> tuple[int, Latent]:
    """How many solver steps ran, and the latent that came out."""
    ran = 0

    def emit(event: events.Event) -> None:
        nonlocal ran
        ran += isinstance(event, events.NodeFinished) and event.node == "next"

    outcome = session.run(workflow, {"seed": 4}, targets=["denoise"], emit=emit)
    outcome.raise_for_failure()
    return ran, outcome.outputs["denoise.result"]


@pytest.mark.parametrize(("name", "rounds"), [("heun", 7), ("uni_pc", 4)])
def test_a_solver_chosen_once_runs_a_loop_that_another_process_resumes(
    tmp_path: Path, name: str, rounds: int
) -> None:
    through = {"type": "diffusion.solver", "inputs": {"name": name}}
    ran, whole = run(opened(tmp_path / "a"), linked(through))
    assert ran == rounds
    first, _ = run(opened(tmp_path / "b"), linked(through, "cut.high_timesteps"))
    rest, resumed = run(opened(tmp_path / "b"), linked(through))
    assert 0 < rest < rounds
    assert first + rest <= rounds + 1
    assert torch.equal(resumed.samples, whole.samples)
    assert whole.samples.std() > 0.1


def test_a_text_that_is_no_solver_fails_with_a_clear_sentence(tmp_path: Path) -> None:
    workflow = linked({"type": "text.value", "inputs": {"text": "plms"}})
    with pytest.raises(NodeFailed, match="there is no solver 'plms'; choose euler, euler_ancestral"):
        run(opened(tmp_path), workflow)
