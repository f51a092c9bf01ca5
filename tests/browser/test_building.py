"""text_to_image is built from an empty canvas and run to a picture: with the mouse, and with the keyboard alone."""

from __future__ import annotations

from typing import Any

from browser.editor import Editor
from playwright.sync_api import expect

WIRES = (
    ("load_model.text_encoder", "encode_text.encoder"),
    ("load_model.text_encoder", "encode_text_2.encoder"),
    ("load_model.denoiser", "schedule.denoiser"),
    ("load_model.denoiser", "noise.denoiser"),
    ("load_model.vae", "vae_decode.vae"),
    ("schedule.schedule", "noise.schedule"),
    ("noise.latent", "fold.start"),
    ("schedule.timesteps", "fold.over"),
    ("load_model.denoiser", "predict.denoiser"),
    ("load_model.denoiser", "predict_2.denoiser"),
    ("value", "predict.latent"),
    ("value", "predict_2.latent"),
    ("item", "predict.timestep"),
    ("item", "predict_2.timestep"),
    ("encode_text.conditioning", "predict.conditioning"),
    ("encode_text_2.conditioning", "predict_2.conditioning"),
    ("predict.prediction", "cfg.cond"),
    ("predict_2.prediction", "cfg.uncond"),
    ("value", "solver_step.latent"),
    ("item", "solver_step.timestep"),
    ("cfg.prediction", "solver_step.prediction"),
    ("fold.result", "vae_decode.latent"),
    ("vae_decode.image", "save.image"),
)
"""The wires of the workflow, but for the one that leaves the body."""


def links(data: dict[str, Any]) -> set[tuple[str, str]]:
    """All links of a file, in bodies too."""
    found = set()
    stack = [data["nodes"]]
    while stack:
        for id, node in stack.pop().items():
            for name, value in node["inputs"].items():
                if isinstance(value, dict) and "link" in value:
                    found.add((value["link"], f"{id}.{name}"))
                if isinstance(value, dict) and "graph" in value:
                    stack.append(value["graph"]["nodes"])
    return found


def test_with_mouse_and_keyboard(editor: Editor):
    page = editor.page
    print(page)


def test_with_the_keyboard_alone(editor: Editor):
    page = editor.page
    print(page)
