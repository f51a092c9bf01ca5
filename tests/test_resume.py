"""A loop goes on where the change is: thirty denoising steps with a guidance scale of its own for each."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import torch

from graphengine import events
from graphengine.config import Settings
from graphengine.session import Session
from graphengine.workflow import Workflow

WORKFLOW = Path(__file__).parents[1] / "workflows" / "text_to_image.json"
STEPS = 30


def guided(scales: list[float]) -> Workflow:
    """`text_to_image` with one guidance scale for each step."""
    data = json.loads(WORKFLOW.read_text("utf-8"))
    nodes = data["nodes"]
    del data["inputs"]["cfg"], nodes["save"]
    nodes["schedule"]["inputs"]["steps"] = STEPS
    nodes["pairs"] = {
        "type": "flow.zip",
        "inputs": {"first": {"link": "schedule.timesteps"}, "second": scales},
    }
    fold = nodes["denoise"]["inputs"]
    fold["over"] = {"link": "pairs.value"}
    body = fold["body"]["graph"]
    body["inputs"] = ["latent", "pair"]
    for name, index in (("time", 0), ("scale", 1)):
        body["nodes"][name] = {
            "type": "flow.item",
            "inputs": {"items": {"link": "pair"}, "index": index},
        }
    for node in ("cond", "uncond", "next"):
        body["nodes"][node]["inputs"]["timestep"] = {"link": "time.result"}
    body["nodes"]["guided"]["inputs"]["scale"] = {"link": "scale.result"}
    return Workflow.of(data)


def counted(session: Session, workflow: Workflow) -> tuple[Counter[str], Any]:
    """How often each node ran, and the latent that came out."""
    ran: Counter[str] = Counter()

    def emit(event: events.Event) -> None:
        if isinstance(event, events.NodeFinished):
            ran[event.node] += 1

    outcome = session.run(workflow, {"seed": 4}, targets=["denoise"], emit=emit)
    outcome.raise_for_failure()
    return ran, outcome.outputs["denoise.result"].samples


def opened(cache: Path, **settings: Any) -> Session:
    """A session, as a new process would have it."""
    return Session(Settings(cache=cache, device="cpu", **settings))


@pytest.fixture
def scales() -> tuple[list[float], list[float]]:
    """A scale for each step, and the same with others from step 20 on."""
    return [5.0] * STEPS, [5.0] * 20 + [3.0] * 10


def test_a_value_that_acts_from_step_20_of_30_costs_10_predictions(tmp_path: Path, scales: Any) -> None:
    session = opened(tmp_path, disk_cache=0)
    ran, _ = counted(session, guided(scales[0]))
    assert ran["cond"] == ran["uncond"] == STEPS
    ran, resumed = counted(session, guided(scales[1]))
    assert ran["cond"] == ran["uncond"] == 10
    _, whole = counted(opened(tmp_path, memory_cache=0, disk_cache=0), guided(scales[1]))
    assert torch.equal(resumed, whole)


@pytest.mark.parametrize(("every", "predictions"), [(1, 10), (5, 10), (8, 14), (0, 30)])
def test_a_new_process_resumes_at_the_last_state_on_disk(
    tmp_path: Path, scales: Any, every: int, predictions: int
) -> None:
    counted(opened(tmp_path, loop_states=every), guided(scales[0]))
    ran, resumed = counted(opened(tmp_path, loop_states=every), guided(scales[1]))
    assert ran["cond"] == predictions
    _, whole = counted(opened(tmp_path, memory_cache=0, disk_cache=0), guided(scales[1]))
    assert torch.equal(resumed, whole)
