"""The shipped text-to-image file against `StableDiffusionPipeline` with the same random weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from nodes.tinymodels import sd1

from graphengine.config import Settings
from graphengine.session import Session
from graphengine_diffusion.noise import draw, step_seed

# diffusers turns tensors into arrays in a way that numpy 2 wants changed.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

# 999 / 9 is whole, so that evenly spaced times are training steps, which diffusers rounds to.
STEPS, SEED, SCALE = 10, 1234, 5.0
PROMPT, NEGATIVE = "a photo of a red house", "bad low quality"

SOLVERS = {
    "euler": ("normal", "EulerDiscreteScheduler", {"timestep_spacing": "linspace"}),
    "euler_ancestral": ("normal", "EulerAncestralDiscreteScheduler", {"timestep_spacing": "linspace"}),
    "ddim": ("trailing", "DDIMScheduler", {"timestep_spacing": "trailing", "set_alpha_to_one": True}),
    "dpmpp_2m": ("normal", "DPMSolverMultistepScheduler", {}),
}


@pytest.fixture(scope="module", params=["epsilon", "v_prediction"])
def model(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, Session]:
    """A pipeline, and a session in which the folder that it saved is the model `tiny`."""
    root = tmp_path_factory.mktemp("models")
    pipeline = sd1(request.param)
    pipeline.set_progress_bar_config(disable=True)
    pipeline.save_pretrained(root / "tiny", safe_serialization=True)
    settings = Settings(models=(root,), cache=root / "cache", outputs=root / "outputs", device="cpu")
    return pipeline, Session(settings)


@pytest.mark.parametrize("solver", SOLVERS)
def test_the_graph_gives_the_pipelines_latents(
    model: tuple[Any, Session], solver: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    import diffusers

    pipeline, session = model
    spacing, name, options = SOLVERS[solver]
    workflow = session.load("text_to_image").with_inputs(
        {"model": "tiny", "prompt": PROMPT, "negative_prompt": NEGATIVE, "seed": SEED, "steps": STEPS}
        | {"cfg": SCALE, "solver": solver}
    )
    workflow = workflow.with_literals(
        {("schedule", "spacing"): spacing, ("noise", "width"): 64, ("noise", "height"): 64}
    )
    outcome = session.run(workflow, targets=["denoise", "noise", "schedule"])
    outcome.raise_for_failure()
    found, start = outcome.outputs["denoise.result"].samples, outcome.outputs["noise.latent"].samples
    times = outcome.outputs["schedule.timesteps"]

    scheduler = getattr(diffusers, name).from_config(pipeline.scheduler.config, **options)
    numbers = iter(range(STEPS))
    monkeypatch.setattr(
        "diffusers.schedulers.scheduling_euler_ancestral_discrete.randn_tensor",
        lambda shape, **_: draw([step_seed(SEED, next(numbers))], shape[1:]),
    )
    pipeline.scheduler = scheduler
    given: dict[str, Any] = {"num_inference_steps": STEPS}
    if solver.startswith("euler"):
        given["generator"] = torch.Generator().manual_seed(SEED)
    else:  # these start from x / sqrt(1 + sigma^2)
        given["latents"] = start / (1 + times[0].sigma ** 2) ** 0.5
    if solver == "dpmpp_2m":
        given = {"latents": given["latents"], "timesteps": [round(t.time) for t in times]}
    wanted = pipeline(
        PROMPT,
        negative_prompt=NEGATIVE,
        guidance_scale=SCALE,
        height=64,
        width=64,
        output_type="latent",
        **given,
    ).images
    assert wanted.std() > 0.1
    # An untrained epsilon model leaves latents as large as the noise it began with: their standard deviation
    # is some 15, and float32 has seven digits of that.
    assert (found - wanted).abs().max() < 1e-4 * max(1.0, float(wanted.std()))


def test_a_model_is_named_in_the_error_when_it_is_not_there(tmp_path: Path) -> None:
    session = Session(Settings(cache=tmp_path / "cache", outputs=tmp_path, device="cpu"))
    outcome = session.run(session.load("text_to_image"), {"model": "no_such_model"})
    assert outcome.state == "failed"
    assert "no_such_model" in str(outcome.failures["model"])
    assert "storybook" in str(outcome.failures["model"])
