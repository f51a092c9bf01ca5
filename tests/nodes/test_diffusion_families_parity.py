"""Every family against diffusers' own pipeline with the same random weights, from a seed to the picture."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import pytest
import torch
from nodes.parity import parity_row
from nodes.tinymodels import Gallery
from torch import Tensor

from graphengine_diffusion.autoencoding import vae_decode, vae_encode
from graphengine_diffusion.families.flux1 import unpacked
from graphengine_diffusion.guidance import cfg
from graphengine_diffusion.inpainting import inpaint_conditioning
from graphengine_diffusion.loading import LoadedModel
from graphengine_diffusion.micro import guidance_embedding, size_conditioning
from graphengine_diffusion.noise import draw, step_seed
from graphengine_diffusion.predicting import predict_together
from graphengine_diffusion.solving import SolverName, solver_step
from graphengine_diffusion.text import encode_text
from graphengine_diffusion.types import Conditioning, Latent, Timestep

# diffusers turns tensors into arrays in a way that numpy 2 wants changed.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

PROMPT, NEGATIVE, SEED, SIDE, STEPS = "a photo of a red house", "bad low quality", 1234, 64, 4


@pytest.fixture
def most_likely_latents(monkeypatch: pytest.MonkeyPatch) -> None:
    """diffusers draws from the autoencoder's posterior; we take its mean, and so does it here."""
    from diffusers.models.autoencoders.vae import DiagonalGaussianDistribution

    monkeypatch.setattr(DiagonalGaussianDistribution, "sample", lambda self, generator=None: self.mode())


def as_pipeline(pipeline: Any, kind: str) -> Any:
    """The same components in another of diffusers' pipelines."""
    import diffusers

    safety = {"requires_safety_checker": False} if kind.startswith("StableDiffusionI") else {}
    cls = getattr(diffusers, kind)
    settings = {}
    if "requires_aesthetics_score" in pipeline.config:
        settings = {
            "requires_aesthetics_score": pipeline.config.requires_aesthetics_score,
            "force_zeros_for_empty_prompt": pipeline.config.force_zeros_for_empty_prompt,
        }
    return cls(**pipeline.components, **safety, **settings)


def theirs(pipeline: Any, **options: Any) -> tuple[Tensor, Tensor]:
    """The latents after the last step and the picture [batch, height, width, 3]."""
    pipeline.set_progress_bar_config(disable=True)
    last: dict[str, Tensor] = {}

    def remember(_: Any, step: int, time: Any, values: dict[str, Tensor]) -> dict[str, Tensor]:
        last.update(values)
        return values

    own_size = type(pipeline).__name__ in (
        "StableDiffusionImg2ImgPipeline",
        "StableDiffusionXLImg2ImgPipeline",
    )
    size = {} if own_size else {"height": SIDE, "width": SIDE}
    settings = {"num_inference_steps": STEPS, "generator": torch.Generator().manual_seed(SEED), **size}
    found = pipeline(PROMPT, **(settings | options), output_type="pt", callback_on_step_end=remember).images
    latents = last["latents"]
    if latents.ndim == 3:
        latents = unpacked(latents, SIDE // 2, SIDE // 2)
    return latents, found.permute(0, 2, 3, 1)


def steps_of(scheduler: Any, flow: bool) -> list[Timestep]:
    """The steps that diffusers' scheduler went, so that families alone are compared."""
    sigmas, times = scheduler.sigmas.tolist(), scheduler.timesteps.tolist()
    n = len(times)
    return [Timestep(i, sigmas[i], sigmas[i + 1], times[i], i / n, flow) for i in range(n)]


def ours(
    ctx: Gallery,
    model: LoadedModel,
    start: Tensor,
    steps: Sequence[Timestep],
    texts: Sequence[Conditioning],
    scale: float,
    after: Callable[[Tensor, Timestep], Tensor] = lambda x, step: x,
    solver: SolverName = "euler",
) -> Latent:
    """The loop as a workflow has it; `after` is what comes after a step."""
    x = Latent(start, model.denoiser.spec, tuple(range(SEED, SEED + len(start))))
    n = len(texts)
    for step in steps:
        found = predict_together(model.denoiser, [x] * n, [step] * n, list(texts), ctx)
        x = solver_step(x, found[0] if n == 1 else cfg(*found, scale), step, solver)
        x = replace(x, samples=after(x.samples, step))
    return x


def texts_of(ctx: Gallery, model: LoadedModel, *texts: str) -> list[Conditioning]:
    return [encode_text(model.text_encoder, text, ctx) for text in texts]


def unit_noise(model: LoadedModel) -> Tensor:
    """The noise that diffusers draws from the same seed."""
    side = SIDE // model.denoiser.spec.factor
    return draw([SEED], (model.denoiser.spec.channels, side, side))


def compare(
    name: str, ctx: Gallery, model: LoadedModel, found: Latent, wanted: tuple[Tensor, Tensor]
) -> None:
    parity_row(name, found.samples, wanted[0])
    parity_row(f"{name}, the picture", vae_decode(model.vae, found, ctx), wanted[1])


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
    ("sdxl", "StableDiffusionXLImg2ImgPipeline", 5.0),
    ("sdxl refiner", "StableDiffusionXLImg2ImgPipeline", 5.0),
    ("sd3", "StableDiffusion3Img2ImgPipeline", 7.0),
    ("flux dev", "FluxImg2ImgPipeline", 0.0),
]


@pytest.mark.usefixtures("most_likely_latents")
@pytest.mark.parametrize(("name", "kind", "scale"), IMAGE_TO_IMAGE, ids=[row[0] for row in IMAGE_TO_IMAGE])
def test_image_to_image(gallery: Gallery, name: str, kind: str, scale: float) -> None:
    pipeline, model = as_pipeline(gallery.pipeline(name), kind), gallery.model(name)
    picture = torch.rand(1, SIDE, SIDE, 3, generator=torch.Generator().manual_seed(1))
    guided = {"negative_prompt": NEGATIVE, "guidance_scale": scale} if scale else {"guidance_scale": 5.0}
    strength = 0.6
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


def picture_and_mask() -> tuple[Tensor, Tensor]:
    picture = torch.rand(1, SIDE, SIDE, 3, generator=torch.Generator().manual_seed(1))
    mask = torch.zeros(1, SIDE, SIDE)
    mask[:, 10:40, 20:55] = 1.0
    return picture, mask


INPAINTING = [
    ("sd1", "StableDiffusionInpaintPipeline", 1.0),
    ("sd1", "StableDiffusionInpaintPipeline", 0.75),
    ("sdxl", "StableDiffusionXLInpaintPipeline", 1.0),
    ("sd1 inpaint", "StableDiffusionInpaintPipeline", 1.0),
    ("sdxl inpaint", "StableDiffusionXLInpaintPipeline", 1.0),
]


@pytest.mark.usefixtures("most_likely_latents")
@pytest.mark.parametrize(
    ("name", "kind", "strength"), INPAINTING, ids=[f"{row[0]}-{row[2]}" for row in INPAINTING]
)
def test_inpainting(gallery: Gallery, name: str, kind: str, strength: float) -> None:
    pipeline, model = as_pipeline(gallery.pipeline(name), kind), gallery.model(name)
    picture, mask = picture_and_mask()
    wanted = theirs(
        pipeline,
        image=picture.permute(0, 3, 1, 2),
        mask_image=mask[:, None],
        strength=strength,
        negative_prompt=NEGATIVE,
        guidance_scale=5.0,
    )
    steps = steps_of(pipeline.scheduler, False)[STEPS - int(STEPS * strength) :]
    x0, noise = vae_encode(model.vae, picture, gallery).samples, unit_noise(model)
    start = x0 + steps[0].sigma * noise
    if strength == 1.0:
        start = noise * float(pipeline.scheduler.init_noise_sigma)
    texts = texts_of(gallery, model, PROMPT, NEGATIVE)
    if model.denoiser.concat:
        texts = [inpaint_conditioning(text, model.vae, picture, mask, gallery) for text in texts]
        found = ours(gallery, model, start, steps, texts, 5.0)
    else:
        small = torch.nn.functional.interpolate(mask[:, None], size=x0.shape[-2:])

        def blend(x: Tensor, step: Timestep) -> Tensor:
            return (1 - small) * (x0 + step.sigma_next * noise) + small * x

        found = ours(gallery, model, start, steps, texts, 5.0, blend)
    how = "9 channels" if model.denoiser.concat else f"blended, strength {strength:g}"
    compare(f"{name.split()[0]}: inpainting, {how}", gallery, model, found, wanted)


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
