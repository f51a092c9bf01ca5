"""What only a CUDA device can show: `pytest -m gpu`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from graphengine.config import Settings
from graphengine.session import Session

pytestmark = pytest.mark.gpu


def run(folder: Path, device: str, **inputs: Any) -> dict[str, Any]:
    """The outputs of text_to_image on a device, with a cache of its own."""
    session = Session(Settings(cache=folder / "cache", outputs=folder / "out", device=device))
    outcome = session.run(session.load("text_to_image"), {"steps": 8, "seed": 3, **inputs})
    outcome.raise_for_failure()
    return outcome.outputs


def test_a_gpu_paints_the_picture_that_the_cpu_paints(tmp_path: Path) -> None:
    one = run(tmp_path / "cpu", "cpu")["image"]
    two = run(tmp_path / "gpu", "cuda")["image"]
    assert two.device.type == "cpu"
    # Half precision on the GPU: the same picture, not the same bits.
    assert (one - two).abs().mean() < 0.02


def test_a_gpu_gives_the_same_picture_twice(tmp_path: Path) -> None:
    one, two = (run(tmp_path / name, "cuda", batch=2)["image"] for name in ("a", "b"))
    assert torch.equal(one, two)


def test_values_cached_by_a_gpu_run_serve_the_next_one(tmp_path: Path) -> None:
    run(tmp_path, "cuda")
    session = Session(Settings(cache=tmp_path / "cache", outputs=tmp_path / "out", device="cuda"))
    workflow = session.submit(session.load("text_to_image"), {"steps": 8, "seed": 3, "cfg": 3.0})
    assert set(session.plan(workflow).steps) == {"denoise", "decode", "save"}
    assert session.run(workflow).state == "done"
