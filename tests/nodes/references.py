"""References: diffusers' own pipelines, what they give for a seed, and our loop over the same steps."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from nodes.parity import parity_row
from nodes.tinymodels import Shelf
from torch import Tensor

from graphengine_diffusion.autoencoding import vae_decode
from graphengine_diffusion.families.flux1 import unpacked
from graphengine_diffusion.guidance import cfg
from graphengine_diffusion.loading import LoadedModel
from graphengine_diffusion.noise import draw
from graphengine_diffusion.predicting import predict_together
from graphengine_diffusion.solving import SolverName, solver_step
from graphengine_diffusion.text import encode_text
from graphengine_diffusion.types import Conditioning, Latent, Timestep

PROMPT, NEGATIVE, SEED, SIDE, STEPS = "a photo of a red house", "bad low quality", 1234, 64, 4


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
    settings = {
        "prompt": PROMPT,
        "num_inference_steps": STEPS,
        "generator": torch.Generator().manual_seed(SEED),
        **size,
    }
    found = pipeline(**(settings | options), output_type="pt", callback_on_step_end=remember).images
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
    ctx: Shelf,
    model: LoadedModel,
    start: Tensor,
    steps: Sequence[Timestep],
    texts: Sequence[Conditioning],
    scale: float,
    after: Callable[[Latent, Timestep], Latent] = lambda x, step: x,
    solver: SolverName = "euler",
) -> Latent:
    """The loop as a workflow has it; `after` is what comes after a step."""
    x = Latent(start, model.denoiser.spec, tuple(range(SEED, SEED + len(start))))
    n = len(texts)
    for step in steps:
        found = predict_together(model.denoiser, [x] * n, [step] * n, list(texts), ctx)
        x = after(solver_step(x, found[0] if n == 1 else cfg(*found, scale), step, solver), step)
    return x


def texts_of(ctx: Shelf, model: LoadedModel, *texts: str) -> list[Conditioning]:
    return [encode_text(model.text_encoder, text, ctx) for text in texts]


def unit_noise(model: LoadedModel) -> Tensor:
    """The noise that diffusers draws from the same seed."""
    side = SIDE // model.denoiser.spec.factor
    return draw([SEED], (model.denoiser.spec.channels, side, side))


def compare(name: str, ctx: Shelf, model: LoadedModel, found: Latent, wanted: tuple[Tensor, Tensor]) -> None:
    parity_row(name, found.samples, wanted[0])
    parity_row(f"{name}, the picture", vae_decode(model.vae, found, ctx), wanted[1])
