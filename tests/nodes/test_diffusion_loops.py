"""Rewired loops as workflows run them: inpainting, guidance in an interval, previews, prompts that change."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import pytest
import torch

from graphengine.config import Settings
from graphengine.events import NodePreview
from graphengine.session import Session
from graphengine.workflow import Workflow

torch.set_num_threads(1)

STEPS = 5


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory) -> Session:
    root = tmp_path_factory.mktemp("loops")
    return Session(Settings(cache=root / "cache", outputs=root / "outputs", device="cpu"))


def link(target: str) -> dict[str, str]:
    return {"link": target}


def call(kind: str, **inputs: Any) -> dict[str, Any]:
    return {"type": kind, "inputs": inputs}


def ask(text: str) -> dict[str, Any]:
    return call(
        "diffusion.predict",
        denoiser=link("model.denoiser"),
        latent=link("latent"),
        timestep=link("timestep"),
        conditioning=link(f"{text}.conditioning"),
    )


def step(prediction: str) -> dict[str, Any]:
    return call(
        "diffusion.solver_step",
        latent=link("latent"),
        prediction=link(f"{prediction}.prediction"),
        timestep=link("timestep"),
    )


def loop(body: dict[str, Any], last: str, extra: dict[str, Any] | None = None) -> dict[str, Any]:
    """A workflow of the small model whose loop has this body; ids outside are those of its file."""
    encoder = link("model.text_encoder")
    nodes = {
        "model": call("diffusion.load_model", model="storybook"),
        "positive": call("diffusion.encode_text", encoder=encoder, text="a (red:1.2) house at night"),
        "negative": call("diffusion.encode_text", encoder=encoder, text=""),
        "canvas": call("diffusion.canvas", denoiser=link("model.denoiser")),
        "schedule": call("diffusion.schedule", denoiser=link("model.denoiser"), steps=STEPS),
        "noise": call(
            "diffusion.noise", denoiser=link("model.denoiser"), schedule=link("schedule.schedule"), seed=3,
            width=link("canvas.width"), height=link("canvas.height"), batch=2,
        ),
        "denoise": call(
            "flow.fold", start=link("noise.latent"), over=link("schedule.timesteps"),
            body={"graph": {"inputs": ["latent", "timestep"], "outputs": {"latent": last}, "nodes": body}},
        ),
        "decode": call("diffusion.vae_decode", vae=link("model.vae"), latent=link("denoise.result")),
    }  # fmt: skip
    return {"format": 1, "outputs": {"image": "decode.image"}, "nodes": nodes | (extra or {})}


def run(session: Session, file: dict[str, Any], targets: Sequence[str] = ()) -> tuple[Any, list[Any]]:
    told: list[Any] = []
    outcome = session.run(Workflow.parse(json.dumps(file)), targets=targets, emit=told.append)
    outcome.raise_for_failure()
    return outcome.outputs, told


def calls_of_the_model(session: Session, file: dict[str, Any]) -> list[int]:
    """How many items each call of the U-Net has, from the first step to the last."""
    handle = run(session, file, ["model"])[0]["model.denoiser"]
    sizes: list[int] = []
    hook = session.pool.use(handle).register_forward_pre_hook(lambda _, args: sizes.append(len(args[0])))
    try:
        run(session, file)
    finally:
        hook.remove()
    return sizes


GUIDED = {
    "cond": ask("positive"),
    "uncond": ask("negative"),
    "guided": call(
        "diffusion.cfg", cond=link("cond.prediction"), uncond=link("uncond.prediction"), scale=4.0
    ),
}


def test_outside_of_its_interval_guidance_costs_half(session: Session) -> None:
    chosen = call(
        "diffusion.guidance_interval",
        timestep=link("timestep"),
        inside=link("guided.prediction"),
        outside=link("cond.prediction"),
        start=0.4,
        end=0.8,
    )
    file = loop(GUIDED | {"chosen": chosen, "next": step("chosen")}, "next.latent")
    # Two pictures: with guidance 4 items a step in one call or two; without it 2.
    sizes = calls_of_the_model(session, file)
    assert sum(sizes) == 2 * STEPS + 2 * 2


def test_an_interval_over_all_of_the_loop_is_plain_guidance(session: Session) -> None:
    chosen = call(
        "diffusion.guidance_interval",
        timestep=link("timestep"),
        inside=link("guided.prediction"),
        outside=link("cond.prediction"),
        start=0.0,
        end=1.0,
    )
    found, _ = run(session, loop(GUIDED | {"chosen": chosen, "next": step("chosen")}, "next.latent"))
    plain, _ = run(session, loop(GUIDED | {"next": step("guided")}, "next.latent"))
    torch.testing.assert_close(found["image"], plain["image"], rtol=0, atol=1e-3)


def test_inpainting_keeps_the_rest_to_the_pixel_and_paints_the_inside(session: Session) -> None:
    blend = call(
        "diffusion.mask_blend",
        latent=link("next.latent"),
        original=link("source.latent"),
        mask=link("mask.mask"),
        timestep=link("timestep"),
        seed=3,
    )
    extra = {
        "picture": call("image.solid", width=128, height=128, colour="#3070c0"),
        "mask": call(
            "mask.rectangle", width=128, height=128, x=40, y=40, rectangle_width=56, rectangle_height=56
        ),
        "source": call("diffusion.vae_encode", vae=link("model.vae"), image=link("picture.image")),
        "whole": call(
            "image.composite", below=link("picture.image"), above=link("decode.image"), mask=link("mask.mask")
        ),
    }
    file = loop(GUIDED | {"next": step("guided"), "kept": blend}, "kept.latent", extra)
    file["outputs"] |= {"whole": "whole.image", "picture": "picture.image", "latent": "denoise.result"}
    file["outputs"] |= {"source": "source.latent", "mask": "mask.mask"}
    found, _ = run(session, file)
    inside = found["mask"][0] > 0
    painted, picture = found["whole"], found["picture"][0]
    for each in painted:
        assert torch.equal(each[~inside], picture[~inside])
        assert (each[inside] - picture[inside]).abs().mean() > 0.05
    # The latents of the border cells, where the mask is zero, are the picture's own.
    assert torch.equal(
        found["latent"].samples[..., :5, :], found["source"].samples[..., :5, :].expand(2, -1, -1, -1)
    )
    assert not torch.equal(painted[0], painted[1]), "each item is painted by its own seed"


def test_a_loop_shows_what_it_is_at(session: Session) -> None:
    extra = {"colours": call("diffusion.latent_colours", vae=link("model.vae"))}
    body = GUIDED | {
        "shown": call(
            "diffusion.preview_prediction",
            prediction=link("guided.prediction"),
            colours=link("colours.value"),
        ),
        "next": step("guided"),
    }
    file = loop(body, "next.latent", extra)
    file["nodes"]["noise"]["inputs"]["seed"] = 77
    _, told = run(session, file)
    shown = [event.image for event in told if isinstance(event, NodePreview)]
    assert [tuple(image.shape) for image in shown] == [(2, 128, 128, 3)] * STEPS


def test_the_matrix_of_words_is_drawn(session: Session) -> None:
    texts = ["a red house", "a blue house", "a cat"]
    nodes = {
        "model": call("diffusion.load_model", model="storybook"),
        "near": call("diffusion.text_similarity", encoder=link("model.text_encoder"), texts=texts),
        "drawn": call(
            "image.heatmap", rows=link("near.rows"), row_labels=link("near.labels"),
            column_labels=link("near.labels"), low=0.5,
        ),
    }  # fmt: skip
    found, _ = run(session, {"format": 1, "outputs": {"image": "drawn.image"}, "nodes": nodes})
    assert found["image"].shape[0] == 1
    assert found["image"].shape[2] > 3 * 64


def test_two_parameters_make_a_labelled_table(session: Session) -> None:
    body = {
        "gain": call("flow.item", items=link("pair"), index=0),
        "blue": call("flow.item", items=link("pair"), index=1),
        "grey": call("image.adjust", image=link("base.image"), brightness=link("gain.result")),
        "seen": call("image.adjust", image=link("grey.image"), contrast=link("blue.result")),
    }
    nodes = {
        "base": call("image.solid", width=32, height=32, colour="#406080"),
        "first": call("flow.linspace", start=-0.5, stop=0.5, count=3),
        "second": call("flow.linspace", start=0.5, stop=1.0, count=2),
        "pairs": call("flow.product", first=link("first.value"), second=link("second.value")),
        "each": call(
            "flow.map", over=link("pairs.value"),
            body={"graph": {"inputs": ["pair"], "outputs": {"image": "seen.image"}, "nodes": body}},
        ),
        "rows": call("text.format_each", template="brightness {}", values=link("first.value")),
        "columns": call("text.format_each", template="contrast {}", values=link("second.value")),
        "table": call(
            "image.table", images=link("each.result"), column_labels=link("columns.value"),
            row_labels=link("rows.value"),
        ),
    }  # fmt: skip
    file = {"format": 1, "outputs": {"image": "table.image", "rows": "rows.value"}, "nodes": nodes}
    found, _ = run(session, file)
    assert found["rows"] == ["brightness -0.5", "brightness 0", "brightness 0.5"]
    assert found["image"].shape[1] > 3 * 32
