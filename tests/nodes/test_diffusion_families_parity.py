"""Every family against diffusers' own pipeline with the same random weights, from a seed to the picture."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from nodes.parity import parity_row
from nodes.references import (
    NEGATIVE,
    PROMPT,
    SEED,
    SIDE,
    STEPS,
    as_pipeline,
    compare,
    ours,
    steps_of,
    texts_of,
    theirs,
    unit_noise,
)
from nodes.tinymodels import Gallery

from graphengine_diffusion.autoencoding import vae_decode, vae_encode
from graphengine_diffusion.micro import guidance_embedding, size_conditioning
from graphengine_diffusion.noise import draw, step_seed
from graphengine_diffusion.types import Conditioning, Timestep

# diffusers turns tensors into arrays in a way that numpy 2 wants changed.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

TEXT_TO_IMAGE: list[tuple[str, str, str | None, float, dict[str, Any]]] = [
    ("sd1", "text to image", NEGATIVE, 7.5, {"guidance_scale": 7.5}),
    ("sd2", "text to image, v", NEGATIVE, 7.5, {"guidance_scale": 7.5}),
    ("sdxl", "text to image", NEGATIVE, 5.0, {"guidance_scale": 5.0}),
    ("sdxl", "text to image, no negative prompt is zeros", "", 5.0, {"guidance_scale": 5.0}),
    ("sd3", "text to image", NEGATIVE, 7.0, {"guidance_scale": 7.0}),
    ("sd3 without T5", "text to image", NEGATIVE, 7.0, {"guidance_scale": 7.0}),
    ("flux dev", "text to image", None, 1.0, {"guidance_scale": 3.5}),
    ("flux dev", "text to image, CFG", NEGATIVE, 3.0, {"guidance_scale": 3.5, "true_cfg_scale": 3.0}),
    ("flux schnell", "text to image", None, 1.0, {"guidance_scale": 0.0, "max_sequence_length": 256}),
]


@pytest.mark.parametrize(
    ("name", "what", "negative", "scale", "options"),
    TEXT_TO_IMAGE,
    ids=[f"{r[0]}-{r[1]}" for r in TEXT_TO_IMAGE],
)
def test_text_to_image(
    gallery: Gallery, name: str, what: str, negative: str | None, scale: float, options: dict[str, Any]
) -> None:
    pipeline, model = gallery.pipeline(name), gallery.model(name)
    wanted = theirs(pipeline, **options, **({"negative_prompt": negative} if negative else {}))
    flow = model.denoiser.predicts == "flow"
    start = unit_noise(model) * float(getattr(pipeline.scheduler, "init_noise_sigma", 1.0))
    texts = texts_of(gallery, model, PROMPT, *([] if negative is None else [negative]))
    found = ours(gallery, model, start, steps_of(pipeline.scheduler, flow), texts, scale)
    compare(f"{name}: {what}", gallery, model, found, wanted)


IMAGE_TO_IMAGE = [
    ("sd1", "StableDiffusionImg2ImgPipeline", 7.5),
    ("sd2", "StableDiffusionImg2ImgPipeline", 7.5),
    ("sdxl", "StableDiffusionXLImg2ImgPipeline", 5.0),
    ("sdxl refiner", "StableDiffusionXLImg2ImgPipeline", 5.0),
    ("sd3", "StableDiffusion3Img2ImgPipeline", 7.0),
    ("sd3 without T5", "StableDiffusion3Img2ImgPipeline", 7.0),
    ("flux dev", "FluxImg2ImgPipeline", 0.0),
    ("flux schnell", "FluxImg2ImgPipeline", 0.0),
]


@pytest.mark.usefixtures("most_likely_latents")
@pytest.mark.parametrize(("name", "kind", "scale"), IMAGE_TO_IMAGE, ids=[row[0] for row in IMAGE_TO_IMAGE])
def test_image_to_image(gallery: Gallery, name: str, kind: str, scale: float) -> None:
    pipeline, model = as_pipeline(gallery.pipeline(name), kind), gallery.model(name)
    picture = torch.rand(1, SIDE, SIDE, 3, generator=torch.Generator().manual_seed(1))
    guided = {"negative_prompt": NEGATIVE, "guidance_scale": scale} if scale else {"guidance_scale": 5.0}
    strength = 0.6
    if name == "flux schnell":
        guided = {"guidance_scale": 0.0, "max_sequence_length": 256}
    wanted = theirs(pipeline, image=picture.permute(0, 3, 1, 2), strength=strength, **guided)
    flow = model.denoiser.predicts == "flow"
    # The pipelines of flow models round down the steps that are left out, the others those that are run.
    first = int(STEPS - STEPS * strength) if flow else STEPS - int(STEPS * strength)
    steps = steps_of(pipeline.scheduler, flow)[first:]
    x0 = vae_encode(model.vae, picture, gallery).samples
    start = steps[0].alpha * x0 + steps[0].sigma * unit_noise(model)
    texts = texts_of(gallery, model, PROMPT, *([NEGATIVE] if scale else []))
    if name == "sdxl refiner":
        texts[1] = size_conditioning(texts[1], aesthetic_score=2.5)
    if not scale:
        texts = [guidance_embedding(texts[0], 5.0)]
    found = ours(gallery, model, start, steps, texts, scale)
    compare(f"{name}: image to image", gallery, model, found, wanted)


def test_the_refiner_takes_over_where_the_base_stops(gallery: Gallery) -> None:
    base, refiner = gallery.pipeline("sdxl"), gallery.pipeline("sdxl refiner")
    refiner = as_pipeline(refiner, "StableDiffusionXLImg2ImgPipeline")
    for pipeline in (base, refiner):
        pipeline.set_progress_bar_config(disable=True)
    shared = {"negative_prompt": NEGATIVE, "num_inference_steps": 5, "output_type": "latent"}
    half = base(
        PROMPT,
        height=SIDE,
        width=SIDE,
        denoising_end=0.6,
        generator=torch.Generator().manual_seed(SEED),
        **shared,
    ).images
    wanted = refiner(PROMPT, image=half, denoising_start=0.6, **shared).images

    models = gallery.model("sdxl"), gallery.model("sdxl refiner")
    steps = steps_of(base.scheduler, False)
    x = unit_noise(models[0]) * float(base.scheduler.init_noise_sigma)
    before = [step for step in steps if step.time >= 400]
    after = [step for step in steps_of(refiner.scheduler, False) if step.time < 400]
    assert (len(before), len(after)) == (3, 2)
    assert before[-1].sigma_next == after[0].sigma
    x = ours(gallery, models[0], x, before, texts_of(gallery, models[0], PROMPT, NEGATIVE), 5.0).samples
    parity_row("sdxl: the first part of the steps", x, half)
    texts = texts_of(gallery, models[1], PROMPT, NEGATIVE)
    texts[1] = size_conditioning(texts[1], aesthetic_score=2.5)
    found = ours(gallery, models[1], x, after, texts, 5.0)
    parity_row("sdxl refiner: takes over from the base", found.samples, wanted)


def test_sizes_and_crops_are_told_as_the_pipeline_tells_them(gallery: Gallery) -> None:
    pipeline, model = gallery.pipeline("sdxl"), gallery.model("sdxl")
    sizes = {"original_size": (40, 30), "crops_coords_top_left": (7, 3), "target_size": (96, 80)}
    wanted = theirs(pipeline, negative_prompt=NEGATIVE, guidance_scale=5.0, **sizes)
    start = unit_noise(model) * float(pipeline.scheduler.init_noise_sigma)
    positive, negative = texts_of(gallery, model, PROMPT, NEGATIVE)
    positive = size_conditioning(
        positive,
        original_width=30,
        original_height=40,
        crop_left=3,
        crop_top=7,
        target_width=80,
        target_height=96,
    )
    # diffusers tells the negative prompt the same sizes unless it is given others.
    negative = replace(negative, extra=positive.extra)
    steps = steps_of(pipeline.scheduler, False)
    found = ours(gallery, model, start, steps, [positive, negative], 5.0)
    compare("sdxl: sizes and crops", gallery, model, found, wanted)


def test_ancestral_sampling_in_pixel_space(gallery: Gallery, monkeypatch: pytest.MonkeyPatch) -> None:
    pipeline, model = gallery.pipeline("pixels"), gallery.model("pixels")
    pipeline.set_progress_bar_config(disable=True)
    numbers = iter(range(10))
    monkeypatch.setattr(
        "diffusers.schedulers.scheduling_ddpm.randn_tensor",
        lambda shape, **_: draw([step_seed(SEED, next(numbers))], shape[1:]),
    )
    wanted = pipeline(
        num_inference_steps=10, generator=torch.Generator().manual_seed(SEED), output_type="pt"
    ).images.permute(0, 2, 3, 1)
    times = pipeline.scheduler.timesteps
    bars = pipeline.scheduler.alphas_cumprod[times].double()
    sigmas = [*((1 - bars) / bars).sqrt().tolist(), 0.0]
    steps = [Timestep(i, sigmas[i], sigmas[i + 1], time, i / 10) for i, time in enumerate(times.tolist())]
    start = draw([SEED], (3, 32, 32)) * (1 + sigmas[0] ** 2) ** 0.5
    found = ours(gallery, model, start, steps, [Conditioning()], 1.0, solver="euler_ancestral")
    parity_row("pixels: DDPM, 10 steps", vae_decode(model.vae, found, gallery), wanted)


BATCHES = ["sd1", "sd2", "sdxl", "sdxl refiner", "sd3", "flux dev", "flux schnell", "pixels"]


@pytest.mark.parametrize("name", BATCHES)
def test_a_batch_parity_row_of_four_seeds_equals_four_runs(gallery: Gallery, name: str) -> None:
    model = gallery.model(name)
    spec, flow = model.denoiser.spec, model.denoiser.predicts == "flow"
    texts = [Conditioning()] if name == "pixels" else texts_of(gallery, model, PROMPT, NEGATIVE)
    levels = [1.0, 0.8, 0.5, 0.0] if flow else [14.0, 5.0, 1.0, 0.0]
    steps = [Timestep(i, levels[i], levels[i + 1], 900.0 - 300 * i, i / 3, flow) for i in range(3)]
    start = draw(range(SEED, SEED + 4), (spec.channels, 16, 12)) * levels[0]
    batch = ours(gallery, model, start, steps, texts, 4.0).samples
    alone = [ours(gallery, model, start[i : i + 1], steps, texts, 4.0).samples for i in range(4)]
    parity_row(f"{name}: four seeds in a batch against four runs", batch, torch.cat(alone), 1e-5)
    assert (batch[0] - batch[1]).abs().max() > 0.01 * batch.abs().max()
