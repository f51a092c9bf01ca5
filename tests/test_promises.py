"""What the README promises of a run, shown with the shipped model, each time in processes of their own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from PIL import Image, ImageChops

WORKFLOWS = Path(__file__).parents[1] / "workflows"
BODY = {"cond", "uncond", "guided", "next"}
QUICK = {"solver"}
"""Takes microseconds, so it is not worth a file in the cache and may run again."""


def graphengine(cache: Path, *arguments: str, code: int = 0) -> list[dict[str, Any]]:
    """Run the command in a new process; gives its events."""
    environment = {**os.environ, "GRAPHENGINE_CACHE": str(cache)}
    done = subprocess.run(
        [sys.executable, "-m", "graphengine", "run", *arguments, "--json", "--device", "cpu"],
        capture_output=True,
        text=True,
        env=environment,
        check=False,
    )
    assert done.returncode == code, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def ran(events: list[dict[str, Any]]) -> set[str]:
    """The nodes that ran."""
    return {e["node"] for e in events if e["event"] == "node_finished"} - BODY - QUICK


def saved(events: list[dict[str, Any]]) -> Path:
    """The file that a run saved."""
    (path,) = (Path(e["path"]) for e in events if e["event"] == "node_output")
    return path


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, list[dict[str, Any]]]:
    """A cache, a folder of outputs, and the events of a first run."""
    folder = tmp_path_factory.mktemp("first")
    file = str(WORKFLOWS / "text_to_image.json")
    events = graphengine(
        folder / "cache", file, "--set", "steps=8", "--seed", "3", "--out", str(folder / "out")
    )
    return folder / "cache", folder / "out", events


def again(first: Any, *arguments: str) -> list[dict[str, Any]]:
    """The first run once more, with other values."""
    cache, out, _ = first
    file = str(WORKFLOWS / "text_to_image.json")
    return graphengine(cache, file, "--set", "steps=8", "--seed", "3", "--out", str(out), *arguments)


def test_a_first_run_runs_every_node(first: Any) -> None:
    assert ran(first[2]) == {
        "model",
        "positive",
        "negative",
        "canvas",
        "schedule",
        "noise",
        "denoise",
        "decode",
        "save",
    }


def test_the_same_again_finds_every_node_but_the_save(first: Any) -> None:
    events = again(first)
    assert ran(events) == {"save"}
    planned = events[0]
    assert planned["event"] == "run_planned"
    assert planned["steps"] == ["save"]
    assert set(planned["cached"]) - QUICK == {
        "model",
        "positive",
        "negative",
        "canvas",
        "schedule",
        "noise",
        "denoise",
        "decode",
    }
    assert saved(events).read_bytes() == saved(first[2]).read_bytes()


def test_a_new_seed_runs_from_the_noise_on(first: Any) -> None:
    assert ran(again(first, "--seed", "4")) == {"noise", "denoise", "decode", "save"}


def test_a_new_guidance_scale_runs_from_the_loop_on(first: Any) -> None:
    assert ran(again(first, "--set", "cfg=3")) == {"denoise", "decode", "save"}


def test_the_same_seed_gives_the_same_bytes_without_a_cache(first: Any, tmp_path: Path) -> None:
    events = again((tmp_path / "cache", tmp_path / "out", None))
    assert "denoise" in ran(events)
    assert saved(events).read_bytes() == saved(first[2]).read_bytes()


def test_a_picture_holds_its_workflow_and_runs_again_to_the_same_pixels(tmp_path: Path) -> None:
    data = json.loads((WORKFLOWS / "text_to_image.json").read_text("utf-8"))
    data["nodes"]["noise"]["inputs"]["seed"] = None
    data["nodes"]["schedule"]["inputs"]["steps"] = 4
    file = tmp_path / "open_seed.json"
    file.write_text(json.dumps(data), "utf-8")
    picture = saved(graphengine(tmp_path / "a", str(file), "--out", str(tmp_path / "out")))
    with Image.open(picture) as image:
        held = json.loads(image.info["workflow"])  # type: ignore[attr-defined]
    assert isinstance(held["nodes"]["noise"]["inputs"]["seed"], int)
    second = saved(graphengine(tmp_path / "b", str(picture), "--out", str(tmp_path / "out")))
    assert second != picture
    with Image.open(picture) as one, Image.open(second) as two:
        assert ImageChops.difference(one, two).getbbox() is None


def test_a_failed_node_is_named_and_the_rest_finishes(tmp_path: Path) -> None:
    nodes = {
        "bad": {"type": "number.divide", "inputs": {"first": 1, "second": 0}},
        "after": {"type": "number.add", "inputs": {"first": {"link": "bad.value"}, "second": 1}},
        "good": {"type": "image.solid", "inputs": {"width": 8, "height": 8}},
        "save": {"type": "image.save", "inputs": {"image": {"link": "good.image"}}},
    }
    file = tmp_path / "fails.json"
    file.write_text(json.dumps({"format": 1, "outputs": {"v": "after.value"}, "nodes": nodes}))
    events = graphengine(tmp_path / "cache", str(file), "--out", str(tmp_path / "out"), code=1)
    failed = {(e["node"], e["because"]) for e in events if e["event"] == "node_failed"}
    assert failed == {("bad", "bad"), ("after", "bad")}
    assert saved(events).exists()
