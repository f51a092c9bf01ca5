"""The nodes, with the model that ships with the project."""

from __future__ import annotations

import importlib
import re
from pathlib import Path
from typing import Any

import pytest
import torch
from nodes.tinymodels import Shelf

import graphengine_diffusion
import graphengine_storybook
from graphengine.types import Image
from graphengine_diffusion.autoencoding import vae_decode, vae_encode
from graphengine_diffusion.guidance import cfg
from graphengine_diffusion.latents import add_noise, denoised_latent, noise, variance_preserving
from graphengine_diffusion.loading import LoadedModel, load_model
from graphengine_diffusion.predicting import predict, predict_together
from graphengine_diffusion.scheduling import schedule
from graphengine_diffusion.solving import solver_step
from graphengine_diffusion.text import encode_text
from graphengine_diffusion.types import Conditioning, Latent, Prediction

PROMPT = "a red house beside a pine tree at night"


@pytest.fixture(scope="module")
def ctx() -> Shelf:
    return Shelf(Path(graphengine_storybook.__file__).parent / "models")


@pytest.fixture(scope="module")
def model(ctx: Shelf) -> LoadedModel:
    return load_model(ctx=ctx)


def paint(model: LoadedModel, ctx: Shelf, prompt: str, seed: int, steps: int = 12, **size: int) -> Image:
    plan = schedule(model.denoiser, steps, "karras")
    texts = [encode_text(model.text_encoder, text, ctx) for text in (prompt, "")]
    x = noise(model.denoiser, plan.schedule, seed, ctx=ctx, **size)
    for step in plan.timesteps:
        cond, uncond = predict_together(model.denoiser, [x, x], [step, step], texts, ctx)
        x = solver_step(x, cfg(cond, uncond, 5.0), step, "dpmpp_2m")
    return vae_decode(model.vae, x, ctx)


@pytest.fixture(scope="module")
def picture(model: LoadedModel, ctx: Shelf) -> Image:
    return paint(model, ctx, PROMPT, 7)


def prediction(model: LoadedModel, ctx: Shelf, text: str, seed: int = 3) -> Prediction:
    plan = schedule(model.denoiser, 5)
    x = noise(model.denoiser, plan.schedule, seed, ctx=ctx)
    return predict(model.denoiser, x, plan.timesteps[1], encode_text(model.text_encoder, text, ctx), ctx)


def test_storybook_makes_a_picture(picture: Image) -> None:
    assert picture.shape == (1, 128, 128, 3)
    assert picture.dtype == torch.float32
    assert picture.isfinite().all()
    assert picture.min() >= 0
    assert picture.max() <= 1
    assert picture.std() > 0.1  # a night sky and a red house, not a grey page


def test_the_prompt_decides_what_is_seen(model: LoadedModel, ctx: Shelf, picture: Image) -> None:
    by_day = paint(model, ctx, "a red house beside a pine tree by day", 7)
    assert by_day[:, :40].mean() > picture[:, :40].mean() + 0.1  # the sky


def test_a_size_is_kept(model: LoadedModel, ctx: Shelf) -> None:
    found = paint(model, ctx, PROMPT, 1, steps=2, width=96, height=64, batch=2)
    assert found.shape == (2, 64, 96, 3)


def test_what_leaves_a_node_can_be_trained_on(model: LoadedModel, ctx: Shelf, picture: Image) -> None:
    answer = prediction(model, ctx, PROMPT)
    tensors = [
        answer.denoised,
        encode_text(model.text_encoder, PROMPT, ctx).cross,
        vae_encode(model.vae, picture, ctx).samples,
        picture,
    ]
    for tensor in tensors:
        assert not tensor.is_inference()
        weight = torch.ones(1, requires_grad=True)
        (tensor * weight).sum().backward()
        assert weight.grad is not None


def test_a_prediction_gives_x0_and_noise_that_add_up(model: LoadedModel, ctx: Shelf) -> None:
    p = prediction(model, ctx, PROMPT)
    torch.testing.assert_close(p.x0 + p.sigma * p.eps, p.samples, rtol=1e-5, atol=1e-5)
    assert denoised_latent(p).samples is p.denoised


def test_cfg_goes_from_one_prediction_through_the_other(model: LoadedModel, ctx: Shelf) -> None:
    cond, uncond = prediction(model, ctx, PROMPT), prediction(model, ctx, "")
    assert (cond.denoised - uncond.denoised).abs().max() > 1e-3
    torch.testing.assert_close(cfg(cond, uncond, 0.0).denoised, uncond.denoised)
    torch.testing.assert_close(cfg(cond, uncond, 1.0).denoised, cond.denoised)
    middle = (cfg(cond, uncond, 2.0).denoised + uncond.denoised) / 2
    torch.testing.assert_close(middle, cond.denoised, rtol=1e-4, atol=1e-5)


def test_predicting_leaves_its_inputs_alone(model: LoadedModel, ctx: Shelf) -> None:
    plan = schedule(model.denoiser, 4)
    x = noise(model.denoiser, plan.schedule, 0, ctx=ctx)
    before = x.samples.clone()
    text = encode_text(model.text_encoder, PROMPT, ctx)
    p = predict(model.denoiser, x, plan.timesteps[0], text, ctx)
    guess = p.denoised.clone()
    for solver in ("euler", "ddim", "euler_ancestral", "dpmpp_2m"):
        y = solver_step(x, p, plan.timesteps[0], solver)  # type: ignore[arg-type]
        solver_step(y, p, plan.timesteps[1], solver)  # type: ignore[arg-type]
    assert torch.equal(x.samples, before)
    assert torch.equal(p.denoised, guess)


def test_one_text_goes_for_a_whole_batch_and_a_wrong_number_is_told(model: LoadedModel, ctx: Shelf) -> None:
    plan = schedule(model.denoiser, 2)
    x = noise(model.denoiser, plan.schedule, 0, batch=3, ctx=ctx)
    text = encode_text(model.text_encoder, PROMPT, ctx)
    assert predict(model.denoiser, x, plan.timesteps[0], text, ctx).denoised.shape[0] == 3
    two = Conditioning(torch.cat([text.cross, text.cross]))
    with pytest.raises(ValueError, match="has 2 items and the latent 3; give one text, or one for each"):
        predict(model.denoiser, x, plan.timesteps[0], two, ctx)


def test_parts_of_different_models_are_told(model: LoadedModel, ctx: Shelf) -> None:
    plan = schedule(model.denoiser, 2)
    text = encode_text(model.text_encoder, PROMPT, ctx)
    x = noise(model.denoiser, plan.schedule, 0, ctx=ctx)
    wide = Latent(torch.zeros(1, 16, 16, 16), model.vae.spec, (0,))
    with pytest.raises(ValueError, match="the latent has 16 channels, but storybook works on 12"):
        predict(model.denoiser, wide, plan.timesteps[0], text, ctx)
    with pytest.raises(ValueError, match="the latent has 16 channels, but the VAE of storybook decodes 12"):
        vae_decode(model.vae, wide, ctx)
    with pytest.raises(ValueError, match="the conditioning is 768 wide, but storybook reads 128"):
        predict(model.denoiser, x, plan.timesteps[0], Conditioning(torch.zeros(1, 77, 768)), ctx)


def test_a_picture_survives_the_vae(model: LoadedModel, ctx: Shelf, picture: Image) -> None:
    latent = vae_encode(model.vae, picture, ctx)
    assert latent.samples.shape == (1, 12, 16, 16)
    again = vae_decode(model.vae, latent, ctx)
    assert (again - picture).abs().mean() < 0.05
    assert torch.equal(vae_encode(model.vae, picture, ctx).samples, latent.samples)


def test_the_vae_takes_grey_and_transparent_pictures(model: LoadedModel, ctx: Shelf, picture: Image) -> None:
    grey = picture.mean(-1, keepdim=True)
    as_rgb = vae_encode(model.vae, grey.expand(-1, -1, -1, 3), ctx).samples
    assert torch.equal(vae_encode(model.vae, grey, ctx).samples, as_rgb)
    with_alpha = torch.cat([picture, torch.zeros_like(grey)], -1)
    wanted = vae_encode(model.vae, picture, ctx).samples
    assert torch.equal(vae_encode(model.vae, with_alpha, ctx).samples, wanted)
    with pytest.raises(ValueError, match="the image has 2 channels"):
        vae_encode(model.vae, torch.zeros(1, 16, 16, 2), ctx)


def test_portions_of_a_large_batch_equal_the_whole(
    model: LoadedModel, ctx: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    x = Latent(
        torch.randn(3, 12, 4, 4, generator=torch.Generator().manual_seed(0)), model.vae.spec, (0, 1, 2)
    )
    whole = vae_decode(model.vae, x, ctx)
    monkeypatch.setattr("graphengine_diffusion.autoencoding.PIXELS_AT_ONCE", 32 * 32)
    told: list[tuple[float, float]] = []
    monkeypatch.setattr(ctx, "progress", lambda done, total: told.append((done, total)))
    torch.testing.assert_close(vae_decode(model.vae, x, ctx), whole, rtol=1e-4, atol=1e-5)
    assert told == [(1, 3), (2, 3), (3, 3)]


@pytest.mark.parametrize(("side", "size"), [("width", 100), ("height", 90)])
def test_a_side_that_does_not_come_out_even_is_told(
    model: LoadedModel, ctx: Shelf, side: str, size: int
) -> None:
    plan = schedule(model.denoiser, 2)
    with pytest.raises(ValueError, match=f"{side}: {size} is no multiple of 8"):
        noise(model.denoiser, plan.schedule, 0, ctx=ctx, **{side: size})
    shape = {"width": (1, 64, size, 3), "height": (1, size, 64, 3)}[side]
    with pytest.raises(ValueError, match=f"image {side}: {size} is no multiple of 8"):
        vae_encode(model.vae, torch.zeros(shape), ctx)


def test_noise_is_as_strong_as_the_first_step(model: LoadedModel) -> None:
    plan = schedule(model.denoiser, 20, "karras")
    x = noise(model.denoiser, plan.schedule, 5, batch=64)
    assert float(x.samples.std()) == pytest.approx(plan.timesteps[0].sigma, rel=0.01)
    assert x.seeds == tuple(range(5, 69))


def test_the_forward_process_adds_the_noise_of_its_seed(model: LoadedModel) -> None:
    plan = schedule(model.denoiser, 20)
    clean = Latent(torch.full((2, 12, 16, 16), 0.5), model.vae.spec, (0, 1))
    step = plan.timesteps[7]
    unit = noise(model.denoiser, plan.schedule, 9, batch=2).samples / plan.schedule.sigmas[0]
    wanted = 0.5 + step.sigma * unit
    for how in ({"timestep": step}, {"sigma": step.sigma}):
        found = add_noise(clean, 9, **how)  # type: ignore[arg-type]
        torch.testing.assert_close(found.samples, wanted)
        assert found.seeds == (9, 10)
    first = add_noise(clean, 9, schedule=plan.schedule)
    torch.testing.assert_close(first.samples, 0.5 + plan.timesteps[0].sigma * unit)
    assert torch.equal(add_noise(clean, 9, sigma=0.0).samples, clean.samples)


def test_noise_without_or_with_two_strengths_is_told(model: LoadedModel) -> None:
    plan = schedule(model.denoiser, 20)
    clean = Latent(torch.zeros(1, 12, 16, 16), model.vae.spec, (0,))
    with pytest.raises(ValueError, match="0 of schedule, timestep and sigma are given; give exactly one"):
        add_noise(clean, 1)
    with pytest.raises(ValueError, match="2 of schedule"):
        add_noise(clean, 1, schedule=plan.schedule, sigma=1.0)


def test_noisy_latents_can_be_scaled_for_looking_at(model: LoadedModel) -> None:
    plan = schedule(model.denoiser, 20)
    unit = Latent(
        torch.randn(1, 12, 64, 64, generator=torch.Generator().manual_seed(0)), model.vae.spec, (0,)
    )
    for step in plan.timesteps:
        noisy = variance_preserving(add_noise(unit, 4, timestep=step), step)
        assert float(noisy.samples.std()) == pytest.approx(1, abs=0.03)


def test_image_to_image_stays_as_close_as_strength_says(
    model: LoadedModel, ctx: Shelf, picture: Image
) -> None:
    # Another scene than the picture's, so that what the loop adds shows.
    text = encode_text(model.text_encoder, "a black car on the beach at sunset", ctx)
    source = vae_encode(model.vae, picture, ctx)

    def distance(strength: float) -> float:
        plan: Any = schedule(model.denoiser, 10, "karras", strength)
        x = add_noise(source, 3, schedule=plan.schedule)
        for step in plan.timesteps:
            x = solver_step(x, predict(model.denoiser, x, step, text, ctx), step)
        return float((x.samples - source.samples).abs().mean())

    assert distance(0.0) == 0
    assert 0 < distance(0.3) < distance(1.0)


def test_the_packs_readme_names_every_node() -> None:
    folder = Path(graphengine_diffusion.__file__).parent
    table = set(re.findall(r"^\| `(diffusion\.\w+)` \|", (folder / "README.md").read_text(), re.MULTILINE))
    modules = [importlib.import_module(f"graphengine_diffusion.{m}") for m in graphengine_diffusion.MODULES]
    nodes = {f"diffusion.{n}" for m in modules for n, f in vars(m).items() if hasattr(f, "__graph_node__")}
    assert table == nodes
