"""Training: each node is its line of algorithm 1, and together they learn."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from nodes.tinymodels import Shelf

from graphengine_diffusion.latents import add_noise
from graphengine_diffusion.loading import load_denoiser
from graphengine_diffusion.predicting import predict
from graphengine_diffusion.schedules import DDPM, alpha_bars
from graphengine_diffusion.scheduling import schedule
from graphengine_diffusion.training import (
    Training,
    continue_training,
    diffuse,
    draw_batch,
    gradient_step,
    new_unet,
    save_unet,
    training_losses,
)
from graphengine_storybook.drawing import drawings


def pictures(count: int = 6, side: int = 8) -> Any:
    """Each of one grey, which is its number."""
    return (torch.arange(count) / count)[:, None, None, None].expand(-1, side, side, 3).contiguous()


def begun(seed: int = 0) -> Training:
    return new_unet(8, [8, 8], seed)


def learned(training: Training, steps: int, rate: float = 3e-3) -> Training:
    images = pictures()
    for step in range(len(training.losses), len(training.losses) + steps):
        noisy, eps, times = diffuse(draw_batch(images, 1, step, 8), 2, step)
        training = gradient_step(training, noisy, eps, times, rate)
    return training


def test_a_batch_is_some_of_the_pictures_another_at_each_step_and_the_same_again() -> None:
    batch = draw_batch(pictures(), 5, 0, 64)
    assert batch.samples.shape == (64, 3, 8, 8)
    found = {round(float(x.mean() / 2 + 0.5), 4) for x in batch.samples}
    assert found == {round(float(p.mean()), 4) for p in pictures()}
    assert torch.equal(batch.samples, draw_batch(pictures(), 5, 0, 64).samples)
    assert not torch.equal(batch.samples, draw_batch(pictures(), 5, 1, 64).samples)
    assert not torch.equal(batch.samples, draw_batch(pictures(), 6, 0, 64).samples)


def test_half_of_the_pictures_are_mirrored() -> None:
    image = torch.zeros(1, 8, 8, 3)
    image[:, :, :4] = 1
    found = draw_batch(image, 0, 0, 400).samples[:, 0, 0, 0]
    assert 0.4 < float((found > 0).float().mean()) < 0.6


def test_noisy_pictures_follow_the_formula_of_the_paper() -> None:
    x0 = draw_batch(pictures(), 5, 0, 16)
    noisy, eps, times = diffuse(x0, 7, 3)
    alpha_bar = torch.tensor(alpha_bars(DDPM)[times], dtype=torch.float32)[:, None, None, None]
    wanted = alpha_bar.sqrt() * x0.samples + (1 - alpha_bar).sqrt() * eps.samples
    torch.testing.assert_close(noisy.samples, wanted)
    assert abs(float(eps.samples.std()) - 1) < 0.05
    assert [t // 62 for t in times[:-1]] == pytest.approx(list(range(15)), abs=1)  # spread over 0 .. 999
    assert diffuse(x0, 7, 3).times == times
    assert diffuse(x0, 7, 4).times != times


def test_a_step_is_that_of_torch_and_changes_nothing_that_was_given() -> None:
    from diffusers.models.unets.unet_2d import UNet2DModel

    training = learned(begun(), 2)
    before = {name: weight.clone() for name, weight in training.weights.items()}
    noisy, eps, times = diffuse(draw_batch(pictures(), 1, 9, 8), 2, 9)
    after = gradient_step(training, noisy, eps, times, 1e-3)
    assert all(torch.equal(training.weights[name], weight) for name, weight in before.items())

    unet = UNet2DModel(
        sample_size=8, block_out_channels=(8, 8), down_block_types=("DownBlock2D", "AttnDownBlock2D"),
        up_block_types=("AttnUpBlock2D", "UpBlock2D"), layers_per_block=1, attention_head_dim=8,
        norm_num_groups=2,
    )  # fmt: skip
    parameters = dict(unet.named_parameters())
    optimizer = torch.optim.Adam(parameters.values(), lr=3e-3)
    unet.load_state_dict(begun().weights, strict=False)
    for step in range(3):
        x, wanted, t = (
            (noisy, eps, times) if step == 2 else diffuse(draw_batch(pictures(), 1, step, 8), 2, step)
        )
        optimizer.param_groups[0]["lr"] = 1e-3 if step == 2 else 3e-3
        loss = (unet(x.samples, torch.tensor(t)).sample - wanted.samples).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        assert after.losses[step] == pytest.approx(float(loss.detach()), rel=1e-4)
    for name, weight in parameters.items():
        torch.testing.assert_close(after.weights[name], weight.detach(), rtol=1e-3, atol=1e-5)


def test_the_loss_falls() -> None:
    training = learned(begun(), 60)
    losses = training_losses(training, 10)
    assert len(losses) == 60
    assert losses[0] == pytest.approx(training.losses[0])
    assert losses[-1] == pytest.approx(sum(training.losses[-10:]) / 10)
    assert losses[-1] < 0.5 * losses[0]


def test_what_was_saved_is_loaded_by_its_name_and_knows_what_it_was_taught(tmp_path: Path) -> None:
    shelf, errors = Shelf(tmp_path), {}
    clean = draw_batch(pictures(), 9, 0, 32)
    for name, training in (("new", begun()), ("taught", learned(begun(), 150))):
        save_unet(training, name, shelf)
        denoiser = load_denoiser(name, ctx=shelf)
        step = schedule(denoiser, 20, "trailing").timesteps[10]
        found = predict(denoiser, add_noise(clean, 4, timestep=step), step, ctx=shelf)
        errors[name] = float((found.denoised - clean.samples).square().mean())
    assert errors["taught"] < 0.7 * errors["new"]
    from diffusers.pipelines.ddpm.pipeline_ddpm import DDPMPipeline

    pipeline = DDPMPipeline.from_pretrained(tmp_path / "taught", local_files_only=True)
    assert dict(pipeline.unet.named_parameters()).keys() == begun().average.keys()


def test_the_same_model_is_saved_once_and_another_gets_a_number(tmp_path: Path) -> None:
    shelf = Shelf(tmp_path)
    save_unet(begun(), "m", shelf)
    save_unet(begun(), "m", shelf)
    save_unet(begun(1), "m", shelf)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["m", "m_2"]


def test_training_goes_on_with_what_was_saved(tmp_path: Path) -> None:
    shelf = Shelf(tmp_path)
    training = learned(begun(), 3)
    save_unet(training, "m", shelf)
    again = continue_training(load_denoiser("m", ctx=shelf), shelf)
    assert again.side == 8
    assert again.channels == (8, 8)
    assert all(torch.equal(again.weights[name], weight) for name, weight in training.average.items())
    assert learned(again, 1).losses[0] < 2


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"side": 8, "channels": [6]}, "channels: 6 is no multiple of 4 from 4 to 1024; choose 4"),
        (
            {"side": 24, "channels": [8] * 5},
            "side: 24 pixels cannot be halved 4 times; choose",
        ),
    ],
)
def test_a_unet_that_cannot_be_is_refused(given: Any, told: str) -> None:
    with pytest.raises(ValueError, match=told):
        new_unet(**given)


def test_pictures_of_another_size_are_refused() -> None:
    noisy, eps, times = diffuse(draw_batch(pictures(side=16), 1, 0, 2), 2, 0)
    with pytest.raises(ValueError, match="the pictures are 16 x 16, but the U-Net learns 8 x 8; resize them"):
        gradient_step(begun(), noisy, eps, times)


def test_a_model_of_another_kind_cannot_go_on(tmp_path: Path) -> None:
    shelf = Shelf(tmp_path)
    save_unet(begun(), "m", shelf)
    denoiser = replace(load_denoiser("m", ctx=shelf), predicts="v_prediction")
    with pytest.raises(ValueError, match="m is no plain model of pixels that predicts noise; begin"):
        continue_training(denoiser, shelf)


def test_drawings_are_the_same_for_a_seed_and_come_with_captions() -> None:
    found = drawings(3, 5, 32)
    assert found.image.shape == (5, 32, 32, 3)
    assert 0 <= float(found.image.min()) < float(found.image.max()) <= 1
    assert len(found.captions) == 5
    assert all(found.captions)
    again, other = drawings(3, 5, 32), drawings(4, 5, 32)
    assert torch.equal(found.image, again.image)
    assert found.captions == again.captions
    assert not torch.equal(found.image, other.image)
    scenes = drawings(3, 2, 128, "scenes")
    assert scenes.image.shape == (2, 128, 128, 3)
