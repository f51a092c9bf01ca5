"""Independent predictions of a body run as one call of the model, and give what single calls give."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from graphengine.config import Settings
from graphengine.plan import Section
from graphengine.session import Session
from graphengine.workflow import Workflow

WORKFLOW = Path(__file__).parents[1] / "workflows" / "text_to_image.json"
PREDICT = "diffusion.predict"


def link(text: str) -> dict[str, str]:
    return {"link": text}


def predict(conditioning: str, latent: str = "latent") -> dict[str, Any]:
    inputs = {"denoiser": link("model.denoiser"), "latent": link(latent), "timestep": link("timestep")}
    return {"type": PREDICT, "inputs": inputs | {"conditioning": link(f"{conditioning}.conditioning")}}


def cfg(cond: str, uncond: str, scale: float) -> dict[str, Any]:
    inputs = {"cond": link(f"{cond}.prediction"), "uncond": link(f"{uncond}.prediction"), "scale": scale}
    return {"type": "diffusion.cfg", "inputs": inputs}


def written(texts: dict[str, str], nodes: dict[str, Any]) -> Workflow:
    """`text_to_image` with other texts, and another body around `next`."""
    data = json.loads(WORKFLOW.read_text("utf-8"))
    data["inputs"], data["outputs"] = {"seed": "noise.seed"}, {"latent": "denoise.result"}
    outer = data["nodes"]
    for name in ("positive", "negative", "decode", "save"):
        del outer[name]
    outer["schedule"]["inputs"]["steps"] = 6
    for name, text in texts.items():
        inputs = {"encoder": link("model.text_encoder"), "text": text}
        outer[name] = {"type": "diffusion.encode_text", "inputs": inputs}
    body = outer["denoise"]["inputs"]["body"]["graph"]
    body["nodes"] = nodes | {"next": body["nodes"]["next"]}
    return Workflow.of(data)


TWO = written(
    {"red": "a red house", "none": ""},
    {"a": predict("red"), "b": predict("none"), "guided": cfg("a", "b", 5.0)},
)
THREE = written(
    {"red": "a red house", "boat": "a boat on the sea", "none": ""},
    {
        "a": predict("red"),
        "b": predict("boat"),
        "c": predict("none"),
        "both": cfg("a", "b", 0.5),
        "guided": cfg("both", "c", 4.0),
    },
)
"""Two prompts mixed, and the empty one: the shape of composed prompts and of a perpendicular negative too."""
CHAINED = written(
    {"red": "a red house", "none": ""},
    {
        "a": predict("red"),
        "b": predict("none"),
        "middle": cfg("a", "b", 2.0),
        "step": {
            "type": "diffusion.solver_step",
            "inputs": {
                "latent": link("latent"),
                "prediction": link("middle.prediction"),
                "timestep": link("timestep"),
            },
        },
        "c": predict("red", "step.latent"),
        "d": predict("none", "step.latent"),
        "guided": cfg("c", "d", 3.0),
    },
)
"""Two predictions that wait for two others: two batches."""


def session(folder: Path) -> Session:
    return Session(Settings(cache=folder, device="cpu"))


def batches(workflow: Workflow, where: Session) -> list[int]:
    """The sizes of the batches of a body."""
    plan = where.plan(where.submit(workflow, {"seed": 1}))
    (loop,) = (s for s in plan.root.steps if s.node == "denoise")
    body: Section = loop.bodies[0][1]
    return [len(step) for step in body.order if isinstance(step, tuple)]


@pytest.mark.parametrize(
    ("workflow", "sizes"), [(TWO, [2]), (THREE, [3]), (CHAINED, [2, 2])], ids=["two", "three", "chained"]
)
def test_independent_predictions_are_one_call_and_agree_with_single_ones(
    workflow: Workflow, sizes: list[int], tmp_path: Path
) -> None:
    fused, single = session(tmp_path / "fused"), session(tmp_path / "single")
    single.pool.widest[PREDICT] = 1
    assert batches(workflow, fused) == sizes
    assert batches(workflow, single) == []
    together = fused.run(workflow, {"seed": 1}).outputs["latent"].samples
    apart = single.run(workflow, {"seed": 1}).outputs["latent"].samples
    assert float((together - apart).abs().max()) < 1e-5 * max(1.0, float(apart.abs().max()))


def test_the_model_is_called_once_a_step(tmp_path: Path) -> None:
    where = session(tmp_path)
    handle = where.run(THREE, {"seed": 1}, targets=["model"]).outputs["model.denoiser"]
    calls: list[int] = []
    hook = where.pool.use(handle).register_forward_pre_hook(lambda module, args: calls.append(len(args[0])))
    where.run(THREE, {"seed": 1})
    hook.remove()
    assert calls == [3] * 6


def test_a_batch_that_does_not_fit_is_split_and_gives_the_same(tmp_path: Path) -> None:
    """A model that takes two items at once and no more."""
    where, whole = session(tmp_path / "small"), session(tmp_path / "large")
    handle = where.run(THREE, {"seed": 1}, targets=["model"]).outputs["model.denoiser"]
    real, sizes = where.pool.load, list[int]()

    def narrow(module: Any, args: Any) -> None:
        sizes.append(len(args[0]))
        if len(args[0]) > 2:
            raise torch.OutOfMemoryError("too large")

    def load(handle: Any) -> Any:
        resident = real(handle)
        if type(resident.model).__name__ == "UNet2DConditionModel":
            resident.model.register_forward_pre_hook(narrow)
        return resident

    where.pool.load = load  # type: ignore[method-assign]
    where.pool.clear()
    split = where.run(THREE, {"seed": 1})
    assert split.state == "done"
    assert where.pool.widest == {PREDICT: 2}
    assert sizes[:2] == [3, 3]
    assert set(sizes[2:]) == {1, 2}
    expected = whole.run(THREE, {"seed": 1}).outputs["latent"].samples
    found = split.outputs["latent"].samples
    assert float((found - expected).abs().max()) < 1e-5 * max(1.0, float(expected.abs().max()))
    sizes.clear()
    where.run(THREE, {"seed": 2})
    assert set(sizes) == {1, 2}
    sizes.clear()
    where.run(THREE, {"seed": 2})
    assert sizes == []
    assert handle is not None
