"""Inpainting against diffusers' pipelines: the saved workflow, the loop by hand, and models of 9 channels."""

from __future__ import annotations

from pathlib import Path
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
from PIL import Image as Pillow
from torch import Tensor

from graphengine.config import Settings
from graphengine.session import Session
from graphengine.workflow import Workflow
from graphengine_diffusion.autoencoding import vae_encode
from graphengine_diffusion.inpainting import inpaint_conditioning
from graphengine_diffusion.masking import mask_blend
from graphengine_diffusion.types import Latent, Timestep

pytestmark = [
    pytest.mark.usefixtures("most_likely_latents"),
    # diffusers turns tensors into arrays in a way that numpy 2 wants changed.
    pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning"),
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a picture and a mask."""
    folder = tmp_path_factory.mktemp("inpainting")
    picture, mask = picture_and_mask()
    Pillow.fromarray((picture[0] * 255).round().byte().numpy()).save(folder / "picture.png")
    Pillow.fromarray((mask[0] * 255).byte().numpy()).save(folder / "mask.png")
    return folder


@pytest.fixture(scope="module")
def session(gallery: Gallery, folder: Path) -> Session:
    """A session whose models are the tiny ones."""
    return Session(
        Settings(cache=folder / "cache", outputs=folder / "outputs", models=(gallery.root,), device="cpu")
    )


def picture_and_mask() -> tuple[Tensor, Tensor]:
    """A picture of 8 bits, and a mask whose border lies between latents, where all scale it alike."""
    picture = torch.rand(1, SIDE, SIDE, 3, generator=torch.Generator().manual_seed(1))
    mask = torch.zeros(1, SIDE, SIDE)
    mask[:, 10:40, 20:56] = 1.0
    return (picture * 255).round() / 255, mask


def inpainted(
    gallery: Gallery, name: str, kind: str, spacing: str = "leading", **options: Any
) -> tuple[Any, tuple[Tensor, Tensor]]:
    """The pipeline, and the latents and the picture that it makes."""
    picture, mask = picture_and_mask()
    pipeline = as_pipeline(gallery.pipeline(name), kind)
    if hasattr(pipeline, "unet"):
        pipeline.scheduler = type(pipeline.scheduler).from_config(
            pipeline.scheduler.config, timestep_spacing=spacing
        )
    return pipeline, theirs(pipeline, image=picture.permute(0, 3, 1, 2), mask_image=mask[:, None], **options)


def decoded(vae: Any, latents: Tensor) -> Tensor:
    """The picture by diffusers' autoencoder, [batch, height, width, 3]."""
    with torch.inference_mode():
        pixels = vae.decode(latents / vae.config.scaling_factor + vae.config.shift_factor).sample
    return (pixels / 2 + 0.5).clamp(0, 1).permute(0, 2, 3, 1)


WORKFLOW: list[tuple[str, str, float, str, dict[str, Any]]] = [
    ("sd1", "StableDiffusionInpaintPipeline", 0.75, "normal", {}),
    ("sd2", "StableDiffusionInpaintPipeline", 0.5, "normal", {}),
    ("sdxl", "StableDiffusionXLInpaintPipeline", 0.75, "normal", {}),
    ("sd3", "StableDiffusion3InpaintPipeline", 1.0, "normal", {}),
    ("sd3 without T5", "StableDiffusion3InpaintPipeline", 0.5, "normal", {}),
    ("flux dev", "FluxInpaintPipeline", 0.75, "trailing", {"guidance_scale": 3.5, "true_cfg_scale": 5.0}),
    (
        "flux schnell",
        "FluxInpaintPipeline",
        1.0,
        "trailing",
        {"true_cfg_scale": 5.0, "max_sequence_length": 256},
    ),
]


@pytest.mark.parametrize(
    ("name", "kind", "strength", "spacing", "options"),
    WORKFLOW,
    ids=[f"{row[0]}-{row[2]}" for row in WORKFLOW],
)
def test_the_saved_workflow_is_the_pipeline(
    gallery: Gallery,
    session: Session,
    folder: Path,
    name: str,
    kind: str,
    strength: float,
    spacing: str,
    options: dict[str, Any],
) -> None:
    guided = {"guidance_scale": 5.0, "negative_prompt": NEGATIVE, "strength": strength, **options}
    pipeline, wanted = inpainted(gallery, name, kind, spacing="linspace", **guided)
    saved = session.load("inpainting").with_literals({("schedule", "spacing"): spacing})
    workflow = Workflow.of({**saved.data, "outputs": {**saved.data["outputs"], "latent": "denoise.result"}})
    told = {"model": name, "prompt": PROMPT, "negative_prompt": NEGATIVE, "seed": SEED, "steps": STEPS}
    files = {"path": str(folder / "picture.png"), "mask": str(folder / "mask.png")}
    outcome = session.run(workflow, {**told, **files, "strength": strength, "cfg": 5.0})
    outcome.raise_for_failure()
    picture, mask = picture_and_mask()
    latent = outcome.outputs["latent"]
    row = f"{name}: inpainting, the saved workflow, strength {strength:g}"
    parity_row(row, latent.samples, wanted[0])
    # diffusers' pipeline for SD3 leaves out the shift of the latents before it decodes them.
    made = decoded(pipeline.vae, wanted[0]) if "sd3" in name else wanted[1]
    # The workflow puts what was painted on the picture, so that the rest stays to the pixel.
    whole = torch.lerp(picture, made, mask[..., None])
    found = outcome.outputs["image"]
    parity_row(f"{row}, the picture", found, whole)
    outside = mask == 0
    assert torch.equal(found[outside], picture[outside])
    assert (found - picture)[mask == 1].std() > 0.01


LOOPS = [("sd1", "StableDiffusionInpaintPipeline"), ("sdxl", "StableDiffusionXLInpaintPipeline")]


@pytest.mark.parametrize(("name", "kind"), LOOPS, ids=[row[0] for row in LOOPS])
def test_from_pure_noise_with_mask_blend_behind_each_step(gallery: Gallery, name: str, kind: str) -> None:
    """At full strength diffusers begins with noise alone, as the node `noise` gives it."""
    guided = {"guidance_scale": 5.0, "negative_prompt": NEGATIVE, "strength": 1.0}
    pipeline, wanted = inpainted(gallery, name, kind, **guided)
    model, (picture, mask) = gallery.model(name), picture_and_mask()
    original = vae_encode(model.vae, picture, gallery)

    def blend(x: Latent, step: Timestep) -> Latent:
        return mask_blend(x, original, mask, step, SEED, gallery)

    start = unit_noise(model) * float(pipeline.scheduler.init_noise_sigma)
    texts = texts_of(gallery, model, PROMPT, NEGATIVE)
    found = ours(gallery, model, start, steps_of(pipeline.scheduler, False), texts, 5.0, blend)
    compare(f"{name}: inpainting, mask_blend, from noise alone", gallery, model, found, wanted)


@pytest.mark.parametrize(("name", "kind"), LOOPS, ids=[row[0] for row in LOOPS])
def test_a_model_with_nine_channels(gallery: Gallery, name: str, kind: str) -> None:
    guided = {"guidance_scale": 5.0, "negative_prompt": NEGATIVE, "strength": 1.0}
    pipeline, wanted = inpainted(gallery, f"{name} inpaint", kind, **guided)
    model, (picture, mask) = gallery.model(f"{name} inpaint"), picture_and_mask()
    start = unit_noise(model) * float(pipeline.scheduler.init_noise_sigma)
    texts = [
        inpaint_conditioning(text, model.vae, picture, mask, gallery)
        for text in texts_of(gallery, model, PROMPT, NEGATIVE)
    ]
    found = ours(gallery, model, start, steps_of(pipeline.scheduler, False), texts, 5.0)
    compare(f"{name}: inpainting, 9 channels", gallery, model, found, wanted)
