"""The shipped workflows: each runs, and what it is about is true of what it gives.

Pictures are read by the judge of the storybook's world, which is right about nearly every real drawing.
"""

from __future__ import annotations

import math
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from graphengine import events
from graphengine.config import Settings
from graphengine.resources import workflow_names, workflows
from graphengine.session import Session
from graphengine_nodes.files import load
from graphengine_nodes.images import resize
from graphengine_storybook import MODELS
from graphengine_storybook.edges import edges
from graphengine_storybook.examine import agreement, read_kinds
from graphengine_storybook.judge import Judge
from graphengine_storybook.styles import off_sepia
from graphengine_storybook.world import COLOUR_NAMES, KINDS, PLACES, Labels

QUICK = {"steps": 8}


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory) -> Session:
    """One session for all, so that models are loaded once."""
    folder = tmp_path_factory.mktemp("workflows")
    return Session(
        Settings(models=(folder / "models",), cache=folder / "cache", outputs=folder / "out", device="cpu")
    )


@pytest.fixture(scope="module")
def judge() -> Judge:
    return Judge.load(MODELS / "judge")


def run(session: Session, name: str, told: list[Any] | None = None, /, **inputs: Any) -> Any:
    """The outputs of a shipped workflow for some inputs."""
    outcome = session.run(session.load(name), inputs, emit=None if told is None else told.append)
    outcome.raise_for_failure()
    return outcome.outputs


def pixels(image: Tensor) -> Tensor:
    """An Image as the judge and the world have pictures: [n, 3, height, width], -1 to 1."""
    return image[..., :3].permute(0, 3, 1, 2) * 2 - 1


def kinds(judge: Judge, image: Tensor) -> list[str]:
    """What the judge sees first in each picture."""
    x = pixels(image)
    if x.shape[-1] != 128:
        x = functional.interpolate(x, size=64, mode="bilinear")
    with torch.no_grad():
        return [KINDS[i] for i in judge(x)[0].argmax(1).tolist()]


def psnr(first: Tensor, second: Tensor) -> float:
    """How near two pictures are, in decibels."""
    return -10 * math.log10(float((first - second).square().mean()))


def house() -> Tensor:
    """The picture that several workflows begin with."""
    return load(str(workflows() / "assets" / "house.png")).image


# -- a prompt becomes a picture ------------------------------------------------------------------------------


def test_text_to_image_paints_what_the_prompt_says(session: Session, judge: Judge) -> None:
    image = run(session, "text_to_image", prompt="a red house in the snow", seed=1)["image"]
    assert image.shape == (1, 128, 128, 3)
    with torch.no_grad():
        read = Labels(*(int(scores.argmax()) for scores in judge(pixels(image))))
    assert KINDS[read.kind] == "house"
    assert COLOUR_NAMES[read.colour] == "red"
    assert PLACES[read.place] == "snow"


def test_text_to_image_has_a_size(session: Session) -> None:
    assert run(session, "text_to_image", width=192, height=96, steps=2)["image"].shape == (1, 96, 192, 3)


@pytest.mark.parametrize("solver", ["heun", "dpm2", "dpmpp_sde", "uni_pc", "lcm"])
def test_text_to_image_takes_every_solver_by_one_input(session: Session, judge: Judge, solver: str) -> None:
    given: dict[str, Any] = {"prompt": "a red house in a meadow", "seed": 3, "steps": 10}
    assert kinds(judge, run(session, "text_to_image", solver=solver, **given)["image"]) == ["house"]


def test_variations_are_the_pictures_of_the_seeds_one_by_one(session: Session) -> None:
    found = run(session, "variations", prompt="an orange cat", count=3, seed=4, **QUICK)["images"]
    for i in range(3):
        alone = run(session, "text_to_image", prompt="an orange cat", seed=4 + i, **QUICK)["image"]
        torch.testing.assert_close(found[i : i + 1], alone, rtol=0, atol=1e-3)
    assert (found[0] - found[1]).abs().mean() > 0.01


# -- from a picture ------------------------------------------------------------------------------------------


def test_image_to_image_at_strength_0_gives_the_picture_back(session: Session) -> None:
    image = run(session, "image_to_image", strength=0.0)["image"]
    assert psnr(image, house()) > 24  # as well as the autoencoder can
    same = run(session, "image_to_image", strength=0.0, prompt="a black cat", seed=99)["image"]
    assert torch.equal(image, same)


def test_image_to_image_leaves_the_picture_the_further_the_stronger(session: Session) -> None:
    far = [psnr(run(session, "image_to_image", strength=s)["image"], house()) for s in (0.2, 0.6, 1.0)]
    assert far == sorted(far, reverse=True)
    assert far[0] > far[-1] + 3


def test_inpainting_leaves_what_is_not_masked_untouched_to_the_pixel(session: Session, judge: Judge) -> None:
    image = run(session, "inpainting")["image"]
    painted = load(str(workflows() / "assets" / "house_mask.png")).image[..., 0] > 0.5
    assert torch.equal(image[~painted], house()[~painted])
    assert (image[painted] - house()[painted]).abs().mean() > 0.05
    assert kinds(judge, image) == ["house"]


def test_outpainting_leaves_the_picture_untouched_and_fills_the_rest(session: Session) -> None:
    image = run(session, "outpainting")["image"]
    assert image.shape == (1, 128, 192, 3)
    assert torch.equal(image[:, :, :128], house())
    new = image[:, :, 128:]
    sky, grass = (float(part[..., 2].mean()) for part in (new[:, :30], new[:, -20:]))
    assert sky > grass  # in blue
    assert float(new.std()) > 0.05


def test_upscale_is_nearer_to_the_original_than_interpolation(session: Session) -> None:
    found = run(session, "upscale")
    assert found["upscaled"].shape == found["image"].shape == (1, 128, 128, 3)
    small = load(str(workflows() / "assets" / "house_small.png")).image
    bicubic = resize(small, 128, 128, method="bicubic")
    assert psnr(found["upscaled"], house()) > psnr(bicubic, house())


def test_two_pass_is_larger_and_shows_what_the_first_pass_laid_out(session: Session) -> None:
    found = run(session, "two_pass")
    assert found["small"].shape == (1, 128, 128, 3)
    assert found["image"].shape == (1, 192, 192, 3)
    reduced = functional.interpolate(found["image"].permute(0, 3, 1, 2), size=128, mode="area")
    assert psnr(reduced.permute(0, 2, 3, 1), found["small"]) > 15


# -- how diffusion works -------------------------------------------------------------------------------------


def test_the_forward_process_ends_in_noise(session: Session) -> None:
    frames = run(session, "forward_process")["frames"]
    near = [psnr(frame, house()) for frame in frames]
    assert near[0] > 20
    assert near[-1] < near[0] - 10
    assert all(a > b - 0.5 for a, b in pairwise(near))


def test_the_reverse_process_begins_in_noise_and_ends_in_pictures(session: Session, judge: Judge) -> None:
    found = run(session, "reverse_process", count=4, steps=10)
    first, last = found["frames"][0], found["image"]
    assert len(found["frames"]) >= 10
    assert first.shape == last.shape
    assert float(first.std()) != pytest.approx(float(last.std()), rel=0.01)


def test_noise_schedules_draw_the_formulas_of_the_papers(session: Session) -> None:
    found = run(session, "noise_schedules")
    linear = torch.linspace(1e-4, 0.02, 1000, dtype=torch.float64)
    assert found["linear"] == pytest.approx((1 - linear).cumprod(0).tolist(), rel=1e-9)  # Ho et al. 2020

    def f(t: Tensor) -> Tensor:
        return torch.cos((t / 1000 + 0.008) / 1.008 * math.pi / 2) ** 2

    times = torch.arange(1001, dtype=torch.float64)
    alpha_bar = (f(times) / f(times[:1]))[1:]  # Nichol & Dhariwal 2021, eq. 17; betas are clipped at 0.999
    assert found["cosine"][:-1] == pytest.approx(alpha_bar[:-1].tolist(), rel=1e-9)


def test_fewer_steps_shows_the_pictures_that_text_to_image_makes(session: Session) -> None:
    given: dict[str, Any] = {"prompt": "a blue boat on the sea", "seed": 2}
    found = run(session, "fewer_steps", counts=[2, 4], solvers=["euler", "heun"], **given)["pictures"]
    wanted = [
        run(session, "text_to_image", steps=n, solver=s, **given)["image"]
        for s in ("euler", "heun")
        for n in (2, 4)
    ]
    assert len(found) == 4
    assert all(torch.equal(a, b) for a, b in zip(found, wanted, strict=True))


def test_guidance_makes_pictures_follow_the_prompt_and_vary_less(session: Session) -> None:
    found = run(session, "guidance", scales=[1.0, 5.0], prompt="an orange cat", seed=2, **QUICK)["pictures"]
    alone = run(session, "text_to_image", prompt="an orange cat", seed=2, cfg=5.0, **QUICK)["image"]
    torch.testing.assert_close(found[3], alone, rtol=0, atol=1e-3)
    weak, strong = torch.cat(found[:3]), torch.cat(found[3:])
    assert strong.std(0).mean() < weak.std(0).mean() * 1.05


def test_custom_guidance_with_the_interval_open_is_text_to_image(session: Session) -> None:
    given: dict[str, Any] = {
        "prompt": "a blue boat",
        "negative_prompt": "night",
        "cfg": 4.0,
        "seed": 6,
        **QUICK,
    }
    plain = run(session, "text_to_image", **given)["image"]
    opened = run(
        session, "custom_guidance", second_negative_prompt="night", start=0.0, end=1.0, rescale=0.0, **given
    )
    torch.testing.assert_close(opened["image"], plain, rtol=0, atol=1e-4)
    other = run(
        session, "custom_guidance", second_negative_prompt="night", start=0.3, end=0.6, rescale=0.0, **given
    )
    assert (other["image"] - plain).abs().max() > 0.01


def test_word_meanings_put_like_words_near_each_other(session: Session) -> None:
    texts = "at night\nat sunset\na fish"
    night, _, _ = run(session, "word_meanings", texts=texts)["similarity"]
    assert night[0] == pytest.approx(1, abs=1e-5)
    assert night[1] > night[2]


def test_xy_sweep_shows_the_pictures_that_text_to_image_makes_and_computes_once_what_they_share(
    session: Session,
) -> None:
    told: list[Any] = []
    given: dict[str, Any] = {"prompt": "a yellow rocket at night", **QUICK}
    found = run(session, "xy_sweep", told, seeds=[5, 6], scales=[2.0, 4.0], **given)["pictures"]
    wanted = [
        run(session, "text_to_image", seed=seed, cfg=cfg, **given)["image"]
        for cfg in (2.0, 4.0)
        for seed in (5, 6)
    ]
    assert all(torch.equal(a, b) for a, b in zip(found, wanted, strict=True))
    ended = [event.node for event in told if isinstance(event, events.NodeFinished)]
    assert ended.count("positive") == 1
    assert ended.count("negative") <= 1


# -- other models --------------------------------------------------------------------------------------------


def test_unconditional_ddpm_draws_things_of_the_world(session: Session, judge: Judge) -> None:
    images = run(session, "unconditional_ddpm", count=12, steps=50)["images"]
    assert images.shape == (12, 32, 32, 3)
    kinds, sure = read_kinds(judge, pixels(images))
    assert (sure > 0.9).float().mean() >= 0.5
    assert len(kinds[sure > 0.9].unique()) >= 3
    grounds = images[:, :6, :6].flatten(1, 2)  # a corner of each
    assert (grounds.std(1).mean(1) < 0.1).float().mean() >= 0.75  # plain ones; noise has 0.4


def test_class_conditional_draws_the_class_that_it_is_asked_for(session: Session, judge: Judge) -> None:
    images = run(session, "class_conditional", labels=["house", "boat", "star"])["images"]
    found = kinds(judge, torch.cat(images))
    wanted = [label for label in ("house", "boat", "star") for _ in range(4)]
    assert sum(a == b for a, b in zip(found, wanted, strict=True)) >= 10


def test_cascade_draws_its_small_pictures_larger(session: Session, judge: Judge) -> None:
    found = run(session, "cascade", label="house", count=4)
    assert found["images"].shape == (4, 128, 128, 3)
    assert kinds(judge, found["images"]).count("house") >= 3


def test_train_ddpm_learns_and_the_next_workflow_loads_what_it_saved(session: Session) -> None:
    losses = run(session, "train_ddpm", count=64, steps=40, name="mine")["losses"]
    assert len(losses) == 40
    assert losses[-1] < 0.5 * losses[0]
    images = run(session, "unconditional_ddpm", model="mine", count=2, steps=4)["images"]
    assert images.shape == (2, 32, 32, 3)


def test_control_paints_along_the_edges(session: Session) -> None:
    given: dict[str, Any] = {"prompt": "a purple house in the snow at night", "count": 2, "seed": 3}
    lines = edges(house().permute(0, 3, 1, 2)).expand(2, -1, -1, -1)

    def along(strength: float) -> float:
        images = run(session, "control", strength=strength, **given)["images"]
        return agreement(edges(images.permute(0, 3, 1, 2)), lines)

    assert along(1.0) > along(0.0) + 0.1


def test_a_lora_changes_the_style_as_far_as_its_strength_says(session: Session) -> None:
    given: dict[str, Any] = {"prompt": "a red house beside a pine in a meadow", "seed": 2}
    none, half, full = run(session, "lora", strengths=[0.0, 0.5, 1.0], **given)["images"]
    plain = run(session, "text_to_image", **given)["image"]
    assert torch.equal(none, plain)
    far = [float(off_sepia(image.permute(0, 3, 1, 2)).mean()) for image in (none, half, full)]
    assert far == sorted(far, reverse=True)
    assert far[2] < 0.5 * far[0]


# -- all of them ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", workflow_names())
def test_every_workflow_is_valid_has_names_for_what_users_change_and_asks_for_no_file_of_theirs(
    session: Session, name: str
) -> None:
    workflow = session.load(name)
    assert session.check(workflow) == []
    assert workflow.inputs
    assert workflow.root.outputs
    paths = [n.inputs["path"] for n in workflow.nodes.values() if "path" in n.inputs]
    assert all((workflows() / str(path)).is_file() for path in paths)


def test_every_workflow_has_a_test_of_its_own() -> None:
    text = Path(__file__).read_text(encoding="utf-8")
    assert all(f'"{name}"' in text for name in workflow_names())
