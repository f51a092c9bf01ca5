"""One workflow file runs on any family by another model's name."""

from __future__ import annotations

import pytest
import torch
from nodes.tinymodels import Gallery

from graphengine.config import Settings
from graphengine.session import Session


@pytest.fixture(scope="module")
def session(gallery: Gallery, tmp_path_factory: pytest.TempPathFactory) -> Session:
    """A session whose models are the tiny ones."""
    folder = tmp_path_factory.mktemp("run")
    return Session(
        Settings(cache=folder / "cache", outputs=folder / "outputs", models=(gallery.root,), device="cpu")
    )


@pytest.mark.parametrize(
    ("name", "prompt", "side"),
    [
        ("sd1", "a red house", 64),
        ("sd2", "a red house", 64),
        ("sdxl", "a red house", 64),
        ("sdxl refiner", "a red house", 64),
        ("sd3", "a red house", 64),
        ("sd3 without T5", "a red house", 64),
        ("flux dev", "a red house", 256),
        ("flux schnell", "a red house", 256),
        ("pixels", "", 32),
    ],
)
def test_text_to_image(gallery: Gallery, session: Session, name: str, prompt: str, side: int) -> None:
    gallery.pipeline(name)
    workflow = session.load("text_to_image")
    outcome = session.run(workflow, {"model": name, "prompt": prompt, "steps": 3, "seed": 5, "batch": 2})
    outcome.raise_for_failure()
    image = outcome.outputs["image"]
    assert isinstance(image, torch.Tensor)
    assert image.shape == (2, side, side, 3)
    assert image.std() > 0.01
