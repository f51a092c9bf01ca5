"""Our loop, node by node, against `StableDiffusionPipeline` with the same random weights."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from nodes.parity import parity_row
from nodes.tinymodels import Shelf, sd1
from torch import Tensor

from graphengine_diffusion.guidance import cfg
from graphengine_diffusion.latents import noise
from graphengine_diffusion.loading import load_model
from graphengine_diffusion.noise import draw, step_seed
from graphengine_diffusion.predicting import predict, predict_together
from graphengine_diffusion.scheduling import schedule
from graphengine_diffusion.solving import SolverName, solver_step
from graphengine_diffusion.text import encode_text
from graphengine_diffusion.types import Latent, Timestep

# diffusers turns tensors into arrays in a way that numpy 2 wants changed.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

PROMPT, NEGATIVE, SCALE, SEED, STEPS = "a photo of a red house", "bad low quality", 7.5, 1234, 10


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], Shelf]:
    """The pipelines by what their U-Net predicts, and a context in which nodes find the same weights."""
    root = tmp_path_factory.mktemp("models")
    pipelines = {kind: sd1(kind) for kind in ("epsilon", "v_prediction")}
    for kind, pipeline in pipelines.items():
        pipeline.set_progress_bar_config(disable=True)
        pipeline.save_pretrained(root / kind, safe_serialization=True)
    return pipelines, Shelf(root)


def ours(
    ctx: Shelf, kind: str, steps: list[Timestep], start: Latent, solver: SolverName, fused: bool
) -> Tensor:
    """The loop as a workflow has it."""
    denoiser, encoder, _ = load_model(kind, ctx)
    texts = [encode_text(encoder, text, ctx) for text in (PROMPT, NEGATIVE)]
    x = start
    for step in steps:
        if fused:
            cond, uncond = predict_together(denoiser, [x, x], [step, step], texts, ctx)
        else:
            cond, uncond = (predict(denoiser, x, step, text, ctx) for text in texts)
        x = solver_step(x, cfg(cond, uncond, SCALE), step, solver)
    return x.samples


def theirs(pipeline: Any, scheduler: Any, **options: Any) -> Tensor:
    """The pipeline's latents."""
    pipeline.scheduler = scheduler
    found = pipeline(
        PROMPT,
        negative_prompt=NEGATIVE,
        guidance_scale=SCALE,
        height=64,
        width=64,
        output_type="latent",
        **options,
    )
    latents: Tensor = found.images
    return latents


def agree(kind: str, what: str, fused: bool, found: Tensor, wanted: Tensor) -> None:
    """Random weights under strong guidance reach values of 60, so the largest is the measure."""
    calls = "one call" if fused else "two calls"
    parity_row(f"sd1 {kind.partition('_')[0]}: {what}, {calls}", found, wanted, 1e-5)


def scheduler_of(pipeline: Any, name: str, **options: Any) -> Any:
    """A scheduler of diffusers for the noise that the pipeline's model was trained on."""
    import diffusers

    return getattr(diffusers, name).from_config(pipeline.scheduler.config, **options)


@pytest.mark.parametrize("fused", [True, False], ids=["fused", "single"])
@pytest.mark.parametrize("kind", ["epsilon", "v_prediction"])
class TestParity:
    def test_euler_from_a_seed(self, models: Any, kind: str, fused: bool) -> None:
        pipelines, ctx = models
        denoiser = load_model(kind, ctx).denoiser
        plan = schedule(denoiser, STEPS, "normal")
        scheduler = scheduler_of(pipelines[kind], "EulerDiscreteScheduler", timestep_spacing="linspace")
        wanted = theirs(
            pipelines[kind],
            scheduler,
            num_inference_steps=STEPS,
            generator=torch.Generator().manual_seed(SEED),
        )
        start = noise(denoiser, plan.schedule, SEED, ctx=ctx)
        agree(kind, "euler", fused, ours(ctx, kind, plan.timesteps, start, "euler", fused), wanted)

    def test_euler_ancestral(
        self, models: Any, kind: str, fused: bool, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        pipelines, ctx = models
        denoiser = load_model(kind, ctx).denoiser
        plan = schedule(denoiser, STEPS, "normal")
        numbers = iter(range(STEPS))
        monkeypatch.setattr(
            "diffusers.schedulers.scheduling_euler_ancestral_discrete.randn_tensor",
            lambda shape, **_: draw([step_seed(SEED, next(numbers))], shape[1:]),
        )
        scheduler = scheduler_of(
            pipelines[kind], "EulerAncestralDiscreteScheduler", timestep_spacing="linspace"
        )
        wanted = theirs(
            pipelines[kind],
            scheduler,
            num_inference_steps=STEPS,
            generator=torch.Generator().manual_seed(SEED),
        )
        start = noise(denoiser, plan.schedule, SEED, ctx=ctx)
        found = ours(ctx, kind, plan.timesteps, start, "euler_ancestral", fused)
        agree(kind, "euler_ancestral", fused, found, wanted)

    @pytest.mark.parametrize(
        ("solver", "spacing", "name", "options"),
        [
            ("ddim", "trailing", "DDIMScheduler", {"timestep_spacing": "trailing", "set_alpha_to_one": True}),
            ("dpmpp_2m", "normal", "DPMSolverMultistepScheduler", {}),
            ("dpmpp_2m", "karras", "DPMSolverMultistepScheduler", {"use_karras_sigmas": True}),
        ],
        ids=["ddim", "dpmpp_2m-normal", "dpmpp_2m-karras"],
    )
    def test_solvers_that_diffusers_runs_in_the_other_scaling(
        self,
        models: Any,
        kind: str,
        fused: bool,
        solver: Any,
        spacing: Any,
        name: str,
        options: dict[str, Any],
    ) -> None:
        pipelines, ctx = models
        denoiser = load_model(kind, ctx).denoiser
        plan = schedule(denoiser, STEPS, spacing)
        start = noise(denoiser, plan.schedule, SEED, ctx=ctx)
        # These schedulers start from x / sqrt(1 + sigma^2); the same start is given to them.
        same = start.samples / (1 + plan.timesteps[0].sigma ** 2) ** 0.5
        # Theirs leaves out the last step of even times; whole times can be named.
        named = [round(t.time) for t in plan.timesteps]
        how = {"timesteps": named} if spacing == "normal" else {"num_inference_steps": STEPS}
        wanted = theirs(pipelines[kind], scheduler_of(pipelines[kind], name, **options), latents=same, **how)
        # DPMSolverMultistepScheduler rounds the times that it tells the model; we do not.
        steps = [replace(t, time=float(round(t.time))) for t in plan.timesteps]
        agree(kind, f"{solver} {spacing}", fused, ours(ctx, kind, steps, start, solver, fused), wanted)


@pytest.mark.parametrize(
    "text",
    ["", "a photo of a red house", "Über-cat, 3 dogs & \N{SNOWMAN}!", "a red house beside a tree " * 20],
)
def test_text_is_encoded_as_the_pipeline_encodes_it(models: Any, text: str) -> None:
    pipelines, ctx = models
    wanted, _ = pipelines["epsilon"].encode_prompt(text, "cpu", 1, do_classifier_free_guidance=False)
    found = encode_text(load_model("epsilon", ctx).text_encoder, text, ctx)
    assert found.cross is not None
    # The pipeline leaves out what does not fit; here there are more chunks.
    assert found.cross.shape == (1, 231 if len(text) > 100 else 77, 32)
    torch.testing.assert_close(found.cross[:, :77], wanted, rtol=1e-5, atol=1e-5)


def test_several_sizes_and_times_in_one_batch_equal_single_calls(models: Any) -> None:
    _, ctx = models
    denoiser, encoder, _ = load_model("epsilon", ctx)
    plan = schedule(denoiser, STEPS, "karras")
    sizes = [(64, 64, 1), (64, 64, 3), (32, 48, 2), (64, 64, 1)]
    latents = [
        noise(denoiser, plan.schedule, i, width=w, height=h, batch=n, ctx=ctx)
        for i, (w, h, n) in enumerate(sizes)
    ]
    steps = [plan.timesteps[i] for i in (0, 5, 3, 9)]
    texts = [encode_text(encoder, text, ctx) for text in ("a cat", "a dog", "", "night")]
    batch = predict_together(denoiser, latents, steps, texts, ctx)
    for found, latent, step, text in zip(batch, latents, steps, texts, strict=True):
        alone = predict(denoiser, latent, step, text, ctx)
        assert found.sigma == alone.sigma
        assert found.seeds == latent.seeds
        assert found.denoised.shape == latent.samples.shape
        scale = 1 + step.sigma  # x0 = x - sigma * eps: a difference in eps counts sigma times
        assert (found.denoised - alone.denoised).abs().max() < 1e-5 * scale


def test_predictions_that_are_fused_cost_one_call_of_the_model(models: Any) -> None:
    _, ctx = models
    denoiser, encoder, _ = load_model("epsilon", ctx)
    plan = schedule(denoiser, 2)
    x = noise(denoiser, plan.schedule, 0, ctx=ctx)
    texts = [encode_text(encoder, text, ctx) for text in ("a cat", "a dog")]
    sizes: list[int] = []
    hook = ctx.use(denoiser).register_forward_pre_hook(lambda _, args: sizes.append(len(args[0])))
    try:
        predict_together(denoiser, [x, x], [plan.timesteps[0]] * 2, texts, ctx)
    finally:
        hook.remove()
    assert sizes == [2]


@pytest.mark.parametrize("solver", ["euler", "euler_ancestral", "dpmpp_2m"])
def test_an_item_of_a_batch_is_the_picture_of_its_own_seed(models: Any, solver: Any) -> None:
    _, ctx = models
    denoiser = load_model("epsilon", ctx).denoiser
    plan = schedule(denoiser, 4, "karras")
    batch = ours(
        ctx, "epsilon", plan.timesteps, noise(denoiser, plan.schedule, 50, batch=3, ctx=ctx), solver, True
    )
    for i in range(3):
        start = noise(denoiser, plan.schedule, 50 + i, ctx=ctx)
        alone = ours(ctx, "epsilon", plan.timesteps, start, solver, True)
        torch.testing.assert_close(batch[i : i + 1], alone, rtol=1e-4, atol=1e-4)
    assert (batch[0] - batch[1]).abs().max() > 0.1


def test_a_folder_with_half_precision_only_loads(models: Any, tmp_path: Path) -> None:
    _, ctx = models
    sd1().to(torch.float16).save_pretrained(tmp_path / "half", safe_serialization=True, variant="fp16")
    half = Shelf(tmp_path)
    denoiser, encoder, _ = load_model("half", half)
    assert half.use(denoiser).dtype == torch.float32
    found = encode_text(encoder, "a red house", half).cross
    wanted = encode_text(load_model("epsilon", ctx).text_encoder, "a red house", ctx).cross
    torch.testing.assert_close(found, wanted, rtol=0.02, atol=0.02)
