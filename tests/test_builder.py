from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from enum import Enum
from pathlib import Path
from textwrap import dedent
from typing import Any, NamedTuple

import numpy as np
import pytest
import samples
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from samples import TYPES, run

import graphengine as ge
from graphengine import builder
from graphengine.builder import BodyBuilder, GraphBuilder, NodeBuilder, Output, WorkflowBuilder
from graphengine.check import check
from graphengine.errors import WorkflowError
from graphengine.graph import Graph, Link
from graphengine.nodetype import NodeType
from graphengine.reader import DEPTH, NESTED
from graphengine.registry import Manifest, Registry, installed, manifest_file
from graphengine.signature import read
from graphengine.workflow import Workflow

WORKFLOWS = Path(__file__).parent.parent / "workflows"


class Clash(NamedTuple):
    set: int
    id: int


class Colour(Enum):
    RED = "red"


@ge.node
def keep(value: Any = None, id: int = 0) -> int:
    """Takes anything."""
    return id


@ge.node
def clash(a: int) -> Clash:
    """Outputs that are called like what every node has."""
    return Clash(a, a)


@ge.node
def paint(colour: Colour) -> None:
    """Takes a member of an Enum."""


@ge.node
def stray(a: int) -> int:
    """In no pack."""
    return a


KINDS = TYPES | {kind.id: kind for kind in (read(f, "t", "") for f in (keep, clash, paint))}


def flow_of(types: dict[str, NodeType] = KINDS) -> WorkflowBuilder:
    return ge.Workflow.build(types=types)


def refusal(call: Any, *args: Any, **named: Any) -> str:
    """What a WorkflowError says."""
    with pytest.raises(WorkflowError) as caught:
        call(*args, **named)
    return str(caught.value)


# -- the files that ship -------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache that holds the manifest of the installed packs."""
    folder = tmp_path_factory.mktemp("cache")
    Registry.load(installed()).manifest.store(manifest_file(folder), folder)
    return folder


@pytest.fixture
def packs(cache: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, NodeType]:
    """The installed node types, which are also what a workflow is built from."""
    monkeypatch.setenv("GRAPHENGINE_CACHE", str(cache))
    return dict(Manifest.of(cache).types)


def model_and_noise(
    flow: WorkflowBuilder, text: str, seed: int, batch: int, sized: bool = False
) -> list[NodeBuilder]:
    model = flow.add("diffusion.load_model", id="model", model="storybook")
    positive = flow.add("diffusion.encode_text", id="positive", encoder=model.text_encoder, text=text)
    negative = flow.add("diffusion.encode_text", id="negative", encoder=model.text_encoder, text="")
    size: dict[str, Any] = {}
    canvas = None
    if sized:
        canvas = flow.add("diffusion.canvas", denoiser=model.denoiser, width=None, height=None)
        size = {"width": canvas.width, "height": canvas.height}
    solver = flow.add("diffusion.solver", name="euler")
    schedule = flow.add(
        "diffusion.schedule", denoiser=model.denoiser, steps=20, spacing="karras", solver=solver, **size
    )
    noise = flow.add(
        "diffusion.noise", denoiser=model.denoiser, schedule=schedule.schedule, seed=seed, batch=batch, **size
    )
    return [model, positive, negative, solver, schedule, noise, *([canvas] if canvas else [])]


def guided_step(step: BodyBuilder, latent: Any, nodes: list[NodeBuilder]) -> tuple[NodeBuilder, NodeBuilder]:
    model, positive, negative, solver, *_ = nodes
    now = {"denoiser": model.denoiser, "latent": latent, "timestep": step.timestep}
    cond = step.add("diffusion.predict", id="cond", **now, conditioning=positive)
    uncond = step.add("diffusion.predict", id="uncond", **now, conditioning=negative)
    guided = step.add("diffusion.cfg", id="guided", cond=cond, uncond=uncond, scale=5.0)
    next = step.add("diffusion.solver_step", id="next", latent=latent, prediction=guided,
                    timestep=step.timestep, solver=solver)  # fmt: skip
    return guided, next


def text_to_image() -> WorkflowBuilder:
    flow = ge.Workflow.build(
        "Text to image",
        "A prompt becomes a picture: text encoder, noise, and a loop of U-Net predictions, guidance, a "
        "solver step.",
    )
    nodes = model_and_noise(flow, "a red house beside a pine tree at night", 7, 1, sized=True)
    model, positive, negative, solver, schedule, noise, canvas = nodes
    with flow.body("latent", "timestep") as step:
        guided, next = guided_step(step, step.latent, nodes)
        step.gives(next)
    denoise = flow.add("flow.fold", id="denoise", start=noise, over=schedule.timesteps, body=step)
    decode = flow.add("diffusion.vae_decode", id="decode", vae=model.vae, latent=denoise)
    flow.add("image.save", image=decode, name="text_to_image")
    flow.input("prompt", positive, "text")
    flow.input("negative_prompt", negative, "text")
    flow.input("seed", noise)
    flow.input("width", canvas)
    flow.input("height", canvas)
    flow.input("steps", schedule)
    flow.input("cfg", guided, "scale")
    flow.input("solver", solver, "name")
    flow.input("batch", noise)
    flow.input("model", model)
    flow.output(image=decode.image)
    return flow


def reverse_process() -> WorkflowBuilder:
    flow = ge.Workflow.build(
        "Reverse process",
        "Sixteen pictures come out of pure noise: x_t on the left, the model's guess of x_0 on the right, at "
        "each step, as a GIF.",
    )
    nodes = model_and_noise(flow, "a red mushroom in a green field", 1, 16)
    model, positive, negative, solver, schedule, noise = nodes
    with flow.body("state", "timestep") as step:
        latent = step.add("flow.item", id="latent", items=step.state, index=0)
        guided, next = guided_step(step, latent, nodes)
        noisy = step.add("diffusion.variance_preserving", id="noisy", latent=latent, timestep=step.timestep)
        guess = step.add("diffusion.denoised_latent", id="guess", prediction=guided)
        step.gives(state=step.add("flow.collect", id="kept", items=[next, noisy, guess]))
    denoise = flow.add("flow.scan", id="denoise", start=[noise], over=schedule.timesteps, body=step)
    with flow.body("step") as each:
        latents = [each.add("flow.item", id=f"{name}_latent", items=each.step, index=index)
                   for index, name in enumerate(["noisy", "guess"], 1)]  # fmt: skip
        sides = [each.add("diffusion.vae_decode", id=name, vae=model.vae, latent=latent)
                 for name, latent in zip(["left", "right"], latents, strict=True)]  # fmt: skip
        sheets = [each.add("image.grid", id=f"{side.id}_sheet", image=side, columns=4, gap=2)
                  for side in sides]  # fmt: skip
        each.gives(each.add("image.film_strip", id="frame", images=sheets, gap=12))
    frames = flow.add("flow.map", id="frames", over=denoise, body=each)
    last = flow.add("flow.item", id="last", items=frames, index=-1)
    flow.add("image.save", image=last, name="reverse_process")
    flow.add("image.save_animation", id="animation", images=frames, name="reverse_process",
             seconds_per_frame=0.15, hold=2.0)  # fmt: skip
    flow.input("prompt", positive, "text")
    flow.input("negative_prompt", negative, "text")
    flow.input("seed", noise)
    flow.input("count", noise, "batch")
    flow.input("steps", schedule)
    flow.input("cfg", guided, "scale")
    flow.input("solver", solver, "name")
    flow.input("model", model)
    flow.output(image=last, frames=frames)
    return flow


@pytest.mark.parametrize("build", [text_to_image, reverse_process])
def test_a_shipped_workflow_can_be_built_and_is_the_same_file(build: Any, packs: dict[str, NodeType]) -> None:
    shipped = json.loads((WORKFLOWS / f"{build.__name__}.json").read_text("utf-8"))
    shipped.pop("layout", None)  # where the editor put the nodes is no part of the graph
    found = build().workflow()
    assert json.dumps(found.data, indent=1) == json.dumps(shipped, indent=1)
    assert Workflow.parse(found.text()).data == shipped
    assert check(found, packs) == []


def test_the_example_in_the_manual_works(
    packs: dict[str, NodeType], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    manual = (builder.__doc__ or "").split("\n\n")
    exec(dedent("\n\n".join(manual[1:3])), {})
    found = Workflow.load(tmp_path / "boat.json")
    assert check(found, packs) == []
    assert found.inputs == {"prompt": ("positive", "text")}
    assert len(found.nodes) == 11


def test_building_imports_neither_torch_nor_a_pack(cache: Path) -> None:
    code = """if True:
        import sys
        import graphengine as ge
        flow = ge.Workflow.build()
        flow.output(flow.add("image.solid"))
        assert "solid" in flow.text()
        print(sorted({"torch", "graphengine_nodes", "networkx", "graphengine.executor"} & sys.modules.keys()))
    """
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True,
                          env=os.environ | {"GRAPHENGINE_CACHE": str(cache)})  # fmt: skip
    assert done.stdout.strip() == "[]"


def test_the_function_of_an_installed_pack_is_found(packs: dict[str, NodeType]) -> None:
    from graphengine_nodes.files import load
    from graphengine_nodes.images import solid

    flow = ge.Workflow.build()
    assert flow.add(solid).id == "solid"
    flow.add(load, path="a.png")
    assert [node["type"] for node in flow.data["nodes"].values()] == ["image.solid", "image.load"]


# -- ids -----------------------------------------------------------------------------------------------------


def test_a_node_is_named_after_its_type_and_then_numbered() -> None:
    flow = flow_of()
    assert [flow.add("t.add", a=1, b=2).id for _ in range(3)] == ["add", "add_2", "add_3"]
    flow.add("t.add", id="add_4", a=1, b=2)
    assert flow.add("t.add", a=1, b=2).id == "add_5"


def test_ids_are_unique_in_the_bodies_of_a_file_too_and_on_their_own_in_a_sub_workflow() -> None:
    flow = flow_of()
    flow.add("t.add", a=1, b=2)
    step = flow.body("x")
    assert step.add("t.add", a=1, b=2).id == "add_2"
    assert refusal(step.add, "t.add", id="add") == "add: another node has this id; give this t.add another"
    assert flow.graph("sub").add("t.add").id == "add"


def test_an_add_that_failed_takes_no_id() -> None:
    flow = flow_of()
    refusal(flow.add, "t.add", c=1)
    assert flow.add("t.add").id == "add"
    assert [*flow.data["nodes"]] == ["add"]


@pytest.mark.parametrize("id", ["A", "a b", "1", "ä", "a.b"])
def test_an_id_that_a_file_cannot_have_is_refused(id: str) -> None:
    told = f"{id}: {id!r} cannot be a node's id; write lower-case letters, digits and _"
    assert refusal(flow_of().add, "t.add", id=id) == told


# -- types ---------------------------------------------------------------------------------------------------


def test_a_node_can_be_added_by_its_function() -> None:
    flow = flow_of()
    node = flow.add(samples.add, a=1, b=2)
    assert flow.data["nodes"] == {node.id: {"type": "t.add", "inputs": {"a": 1, "b": 2}}}


def test_a_function_that_is_no_registered_node_is_told_what_to_do() -> None:
    assert refusal(flow_of().add, stray) == (
        f"{__name__}.stray is in no installed pack; name its module in a pack's MODULES, and install that "
        "pack with an entry point in `graphengine.packs`"
    )
    assert refusal(flow_of().add, refusal) == (
        f"{__name__}.refusal is no node; mark a function with `@node`, in a module of a pack"
    )


def test_an_unknown_type_is_refused_with_the_near_one() -> None:
    assert refusal(flow_of().add, "t.splt") == "there is no node type 't.splt'; did you mean t.split?"
    assert refusal(flow_of().add, "zzz") == (
        "there is no node type 'zzz'; `graphengine nodes` lists those that there are"
    )


def test_unknown_inputs_are_refused_all_at_once_and_a_context_is_none() -> None:
    assert refusal(flow_of().add, "t.bounded", stepz=1, kynd="a") == (
        "bounded.stepz: t.bounded has no such input; did you mean steps?\n"
        "bounded.kynd: t.bounded has no such input; did you mean kind?"
    )
    assert refusal(flow_of().add, "t.add", q=1) == "add.q: t.add has no such input; it has a, b"
    assert refusal(flow_of().add, "t.patient", ctx=1) == "patient.ctx: t.patient has no such input; it has n"


def test_what_only_the_whole_shows_is_left_to_check() -> None:
    flow = flow_of()
    flow.add("t.add", id="first", a="text")
    flow.add("t.bounded", id="second", steps=0)
    told = "first.a: 'text' is a text, not a whole number; write a whole number such as 20"
    assert refusal(flow.workflow).splitlines() == [
        told,
        "first.b: is missing; give it a whole number",
        "second.steps: 0 is below 1; choose 1 to 150",
    ]
    assert told in refusal(flow.text)


# -- outputs -------------------------------------------------------------------------------------------------


def test_an_output_is_an_attribute_and_a_node_with_one_stands_for_it() -> None:
    flow = flow_of()
    both = flow.add("t.split", a=12)
    low, high = both
    assert [str(low), str(high)] == [str(both.low), str(both["high"])] == ["split.low", "split.high"]
    first = flow.add("t.add", a=both.low, b=high)
    last = flow.add("t.add", a=first, b=first.value)
    assert flow.data["nodes"][last.id]["inputs"] == {"a": {"link": "add.value"}, "b": {"link": "add.value"}}


def test_a_wrong_output_is_an_attribute_error_with_the_near_one() -> None:
    node = flow_of().add("t.split", a=1)
    with pytest.raises(AttributeError, match=r"^split \(t.split\) has no output 'lov'; did you mean low\?$"):
        node.lov  # noqa: B018
    with pytest.raises(AttributeError, match=r"has no output 'value'; it has low, high$"):
        node.value  # noqa: B018
    with pytest.raises(LookupError, match=r"has no output 'hihg'; did you mean high\?"):
        node["hihg"]
    assert not hasattr(node, "value")
    assert not hasattr(node, "_repr_html_")


def test_completion_knows_the_outputs() -> None:
    flow = flow_of()
    assert {"low", "high", "set"} <= {*dir(flow.add("t.split", a=1))}
    assert {"latent", "add", "gives"} <= {*dir(flow.body("latent"))}


def test_outputs_that_are_called_like_methods_are_items() -> None:
    flow = flow_of()
    node = flow.add("t.clash", a=1)
    flow.output(node["set"], name=node["id"])
    step = flow.body("add", "body")
    assert str(step["add"]) == "add"
    assert flow.data["outputs"] == {"set": "clash.set", "name": "clash.id"}


def test_a_node_with_several_outputs_or_none_cannot_stand_for_one() -> None:
    flow = flow_of()
    both, none = flow.add("t.split", a=1), flow.add("t.show", value=1)
    assert refusal(flow.add, "t.add", a=both, b=none) == (
        "add.a: split (t.split) gives low, high; choose one, as in split.low\n"
        "add.b: show (t.show) gives nothing; link another node"
    )
    assert refusal(flow.output, image=both).startswith("outputs.image: split (t.split) gives low, high;")
    assert refusal(flow.output, image=3) == (
        "outputs.image: 3 is no output of a node; give one, as in `node.image`"
    )


# -- values --------------------------------------------------------------------------------------------------


def test_an_input_that_is_called_id_goes_first() -> None:
    flow = flow_of()
    flow.add("t.keep", {"id": 5}, id="it", value=1)
    assert flow.data["nodes"] == {"it": {"type": "t.keep", "inputs": {"id": 5, "value": 1}}}


def test_an_enum_is_written_by_its_value() -> None:
    flow = flow_of()
    flow.add("t.paint", colour=Colour.RED)
    assert flow.workflow().nodes["paint"].inputs == {"colour": "red"}


def test_a_list_may_hold_outputs_among_its_values() -> None:
    flow = flow_of()
    both = flow.add("t.split", a=12)
    flow.output(flow.add("t.total", items=(both.low, 3, flow.add("t.add", a=1, b=both.high))))
    assert flow.workflow().nodes["total"].inputs["items"] == (("split", "low"), 3, ("add", "value"))
    assert run(flow.text())["value"] == 2 + 3 + 2


def test_a_tuple_is_a_list_and_numbers_and_texts_of_other_kinds_are_plain() -> None:
    flow = flow_of()
    flow.add("t.keep", value=((1, 2.5), {"a": (np.float64(0.5), np.str_("x"))}, None, True))
    assert flow.workflow().nodes["keep"].inputs["value"] == [[1, 2.5], {"a": [0.5, "x"]}, None, True]


@pytest.mark.parametrize(
    ("value", "told"),
    [
        (float("nan"), "nan is no JSON number; give a finite number"),
        ([1, -float("inf")], "-inf is no JSON number; give a finite number"),
        (torch.zeros(2), "no file holds a Tensor; give a plain value, or link what makes one"),
        (np.zeros(2), "no file holds a ndarray; give a plain value, or link what makes one"),
        ({"a": {1}}, "no file holds a set; give a plain value, or link what makes one"),
        ({1: 2}, "no file holds a dict; give a plain value, or link what makes one"),
        (b"", "no file holds a bytes; give a plain value, or link what makes one"),
        (Path("a"), "no file holds a PosixPath; give a plain value, or link what makes one"),
    ],
    ids=repr,
)
def test_a_value_that_no_file_holds_is_refused_where_it_is_given(value: Any, told: str) -> None:
    assert refusal(flow_of().add, "t.keep", value=value) == f"keep.value: {told}"


def test_a_list_in_itself_has_an_end() -> None:
    endless: list[Any] = []
    endless.append(endless)
    told = f"keep.value: lists and objects nest deeper than {NESTED} here; make it flatter"
    assert refusal(flow_of().add, "t.keep", value=endless) == told


def test_an_output_inside_a_literal_is_refused() -> None:
    flow = flow_of()
    one = flow.add("t.add", a=1, b=2)
    for value in ({"a": one}, [[one.value]], [flow.body("x")]):
        assert refusal(flow.add, "t.keep", value=value).endswith(
            " is inside a literal; a link stands alone or in a list, a body alone"
        )


def test_half_a_character_is_told_with_its_place() -> None:
    flow = flow_of()
    flow.add("t.keep", value="\ud83d")
    assert refusal(flow.workflow) == "keep.value: '\\ud83d' has half a character; write it as UTF-8"


# -- bodies --------------------------------------------------------------------------------------------------


def test_a_body_sees_what_is_around_it_and_what_it_is_given() -> None:
    flow = flow_of()
    base = flow.add("t.add", id="base", a=1, b=1)
    with flow.body("row") as outer:
        with outer.body("x", "item") as inner:
            more = inner.add("t.add", a=inner.x, b=inner.item)
            inner.gives(inner.add("t.add", a=more, b=base))
        folded = outer.add("t.fold", start=outer.row, over=[1, 2], body=inner)
        outer.gives(folded)
    flow.output(values=flow.add("t.map", over=[10, 20], body=outer))
    assert run(flow.text()) == {"values": [10 + 1 + 2 + 4, 20 + 1 + 2 + 4]}


def test_the_output_of_a_body_keeps_its_name_or_gets_another() -> None:
    flow = flow_of()
    own, given, handed_on = bodies = [flow.body("x") for _ in range(3)]
    own.gives(own.add("t.add", a=own.x, b=1))
    given.gives(sum=given.add("t.add", a=given.x, b=1))
    handed_on.gives(handed_on.x)
    nodes = [flow.add("t.map", over=[1], body=body) for body in bodies]
    found = flow.workflow()
    assert [found.nodes[node.id].inputs["body"].outputs for node in nodes] == [
        {"value": ("add", "value")}, {"sum": ("add_2", "value")}, {"x": ("x", "")},
    ]  # fmt: skip


def test_an_output_of_another_body_or_of_another_workflow_is_refused() -> None:
    flow, other = flow_of(), flow_of()
    first, second = flow.body("x"), flow.body("x")
    inside = first.add("t.add", a=1, b=2)
    advice = "is inside another body; give it out of that body"
    assert refusal(flow.add, "t.show", value=inside) == f"show.value: add.value {advice}"
    assert refusal(second.add, "t.show", value=first.x) == f"show.value: x {advice}"
    assert refusal(second.gives, first.x) == f"outputs: x {advice}"
    advice = "belongs to another workflow, or sub-workflow; hand it over as an input"
    there = other.add("t.add", a=1, b=2)
    assert refusal(flow.add, "t.show", value=there) == f"show.value: add.value {advice}"
    assert (
        refusal(flow.graph("sub").add, "t.show", value=flow.add("t.add"))
        == f"show.value: add_2.value {advice}"
    )


def test_a_body_belongs_to_one_node_of_its_graph() -> None:
    flow = flow_of()
    step = flow.body("x")
    step.gives(step.x)
    told = "map.body: the body is of another graph; take `body` of the graph that has the node"
    assert refusal(flow.body("y").add, "t.map", over=[1], body=step) == told
    assert refusal(step.add, "t.map", over=[1], body=step) == told
    refusal(flow.add, "t.map", ovr=[1], body=step)
    flow.add("t.map", over=[1], body=step)
    assert refusal(flow.add, "t.map", over=[1], body=step) == (
        "map_2.body: map has this body already; build another"
    )


def test_a_body_that_was_forgotten_is_told() -> None:
    flow = flow_of()
    flow.body("empty")
    flow.body("x", "y").add("t.add", a=1, b=2)
    assert refusal(flow.workflow) == "the body with inputs x, y is no input of a node; hand it to one"


def test_an_input_of_a_body_does_not_hide_one_around_it() -> None:
    outer = flow_of().body("x")
    assert refusal(outer.body, "x") == "a body around this one has an input 'x' too; choose another name"


def test_bodies_nest_as_deep_as_a_file_may_and_no_deeper() -> None:
    flow = flow_of()
    graphs: list[GraphBuilder] = [flow]
    for depth in range(DEPTH):
        graphs.append(graphs[-1].body(f"x{depth}"))
    assert refusal(graphs[-1].body, "y") == f"bodies are nested deeper than {DEPTH}; take a level out"
    for outer, inner in zip(graphs[-2::-1], graphs[:0:-1], strict=True):
        assert isinstance(inner, BodyBuilder)
        [given] = inner
        inner.gives(given)
        outer.add("t.map", over=[1], body=inner)
    assert len(flow.workflow().bodies) == DEPTH


# -- named inputs and outputs --------------------------------------------------------------------------------


def test_inputs_are_named_in_bodies_too_and_keep_their_own_name_if_they_get_none() -> None:
    flow = flow_of()
    step = flow.body("x")
    inside = step.add("t.add", a=step.x, b=1)
    step.gives(inside)
    node = flow.add("t.map", over=[1], body=step)
    flow.input("more", inside, "b")
    flow.input("over", node)
    flow.output(node)
    found = flow.workflow()
    assert found.inputs == {"more": ("add", "b"), "over": ("map", "over")}
    assert run(found.with_inputs({"more": 5, "over": [1, 2]}).text()) == {"result": [6, 7]}


def test_named_inputs_and_outputs_that_cannot_be_are_refused() -> None:
    flow = flow_of()
    node = flow.add("t.add", a=1, b=2)
    flow.input("a", node)
    flow.output(node)
    assert (
        refusal(flow.input, "prompt", node) == "inputs.prompt: add (t.add) has no input 'prompt'; it has a, b"
    )
    assert refusal(flow.input, "a", node, "b") == "inputs.a: is add.a already; choose another name"
    assert refusal(flow.output, node) == "outputs.value: is add.value already; choose another name"
    assert refusal(flow_of().input, "a", node) == (
        "inputs.a: add (t.add) belongs to another workflow; name its inputs there"
    )


# -- titles, notes, states -----------------------------------------------------------------------------------


def test_a_node_gets_a_title_a_note_and_a_state() -> None:
    flow = flow_of()
    node = flow.add("t.add", a=1, b=2).set(title="Sum", note="Why.")
    assert node.set(state="muted") is node
    flow.add("t.add", id="other", a=node, b=2).set(state="bypassed")
    nodes = flow.data["nodes"]
    assert nodes["add"] == {
        "type": "t.add", "inputs": {"a": 1, "b": 2}, "title": "Sum", "note": "Why.", "state": "muted",
    }  # fmt: skip
    assert nodes["other"].keys() == {"type", "inputs", "state"}


# -- sub-workflows -------------------------------------------------------------------------------------------


def with_graph() -> WorkflowBuilder:
    flow = flow_of()
    twice = flow.graph("twice", "Twice", "Adds it to itself.")
    sum = twice.add("t.add", id="sum", b=0)
    last = twice.add("t.add", id="last", a=sum, b=1)
    twice.input("number", sum, "a")
    twice.output(result=last)
    first = flow.add(twice, number=3)
    flow.output(flow.add("graph:twice", number=first))
    return flow


def test_a_sub_workflow_is_a_node_type_with_its_inputs_and_outputs() -> None:
    data = with_graph().data
    assert data["graphs"] == {
        "twice": {
            "name": "Twice",
            "description": "Adds it to itself.",
            "inputs": {"number": "sum.a"},
            "outputs": {"result": "last.value"},
            "nodes": {
                "sum": {"type": "t.add", "inputs": {"b": 0}},
                "last": {"type": "t.add", "inputs": {"a": {"link": "sum.value"}, "b": 1}},
            },
        }
    }
    assert data["nodes"] == {
        "twice": {"type": "graph:twice", "inputs": {"number": 3}},
        "twice_2": {"type": "graph:twice", "inputs": {"number": {"link": "twice.result"}}},
    }
    assert data["outputs"] == {"result": "twice_2.result"}


def test_a_file_with_sub_workflows_and_states_is_checked_and_runs() -> None:
    flow = with_graph()
    muted = flow.add("t.add", id="muted", a=1, b=2).set(state="muted")
    flow.add("t.add", id="follower", a=muted, b=1)
    text = flow.workflow().text()
    assert run(text) == {"result": 5}


def test_a_node_whose_type_has_had_other_forms_says_which_one_it_is_written_in() -> None:
    kinds = {**KINDS, "t.add": replace(KINDS["t.add"], version=3, migrations=2)}
    flow = ge.Workflow.build(types=kinds)
    flow.add("t.add", id="sum", a=1, b=2)
    assert flow.data["nodes"]["sum"]["version"] == 3


def test_a_sub_workflow_that_cannot_be_is_refused() -> None:
    flow = with_graph()
    assert refusal(flow.graph, "twice") == "graphs.twice: another sub-workflow has this name; choose another"
    assert refusal(flow.graph, "No") == (
        "graphs.No: 'No' cannot be its name; write lower-case letters, digits and _"
    )
    assert (
        refusal(flow.add, "graph:twize") == "there is no node type 'graph:twize'; did you mean graph:twice?"
    )
    assert refusal(flow.add, "graph:twice", numbr=1) == (
        "twice_3.numbr: graph:twice has no such input; did you mean number?"
    )
    assert refusal(flow_of().add, flow.graph("mine")) == (
        "the sub-workflow belongs to another workflow; build it with `graph` of this"
    )


# -- files ---------------------------------------------------------------------------------------------------


def test_what_is_saved_is_the_text_and_reads_back(tmp_path: Path) -> None:
    flow = ge.Workflow.build("Ünï", types=KINDS)
    flow.output(flow.add("t.add", a=1, b=2))
    flow.save(tmp_path / "a.json")
    assert (tmp_path / "a.json").read_text("utf-8") == flow.text()
    assert Workflow.load(tmp_path / "a.json").data == flow.data
    flow.add("t.add", a=1)
    assert "add_2.b: is missing" in refusal(flow.save, tmp_path / "b.json")
    assert not (tmp_path / "b.json").exists()


def test_a_workflow_does_not_change_when_the_building_goes_on() -> None:
    flow = flow_of()
    node = flow.add("t.add", a=1, b=2)
    found = flow.workflow()
    node.set(title="later")
    flow.add("t.add", a=1, b=2)
    assert found.data == {"format": 1, "nodes": {"add": {"type": "t.add", "inputs": {"a": 1, "b": 2}}}}


plain = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False, allow_infinity=False),
                  st.text(st.characters(codec="utf-8")))  # fmt: skip


def around(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Lists and objects of these, some of which look like links, bodies or wrapped literals."""
    keys = st.sampled_from(["link", "graph", "value", "a"])
    return st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=2)


values = plain | around(plain | around(plain | around(plain)))


@given(values)
def test_any_json_value_is_read_as_it_was_given(value: Any) -> None:
    flow = flow_of()
    flow.add("t.keep", value=value)
    found = flow.workflow().nodes["keep"].inputs["value"]
    assert json.dumps(found) == json.dumps(value)


class Program:
    """Draws what a user might write, and remembers which graph that means."""

    def __init__(self, data: st.DataObject) -> None:
        self.data = data
        self.flow = flow_of()
        self.nodes: dict[str, tuple[str, dict[str, Any], str]] = {}
        self.bodies: dict[str, tuple[tuple[str, ...], dict[str, Link]]] = {}
        self.names: Iterator[str] = (f"p{number}" for number in range(10**6))

    def number(self, sources: list[tuple[Any, Link]]) -> tuple[Any, Any]:
        """A whole number, or an output that is one; and what the reader should make of it."""
        literal = st.integers().map(lambda n: (n, n))
        return self.data.draw(st.one_of(literal, st.sampled_from(sources)) if sources else literal)

    def numbers(self, sources: list[tuple[Any, Link]]) -> tuple[Any, Any]:
        """A list of these."""
        drawn = [self.number(sources) for _ in range(self.data.draw(st.integers(0, 3)))]
        meant = [m for _, m in drawn]
        return [g for g, _ in drawn], tuple(meant) if any(type(m) is Link for m in meant) else meant

    def fill(
        self, graph: GraphBuilder, owner: str, sources: list[tuple[Any, Link]]
    ) -> list[tuple[Any, Link]]:
        """Add nodes to a graph; gives every number that can be linked in it."""
        sources = [*sources]
        for _ in range(self.data.draw(st.sampled_from([1, 2, 5, 8]))):
            kind = self.data.draw(st.sampled_from(["add", "split", "total", "fold"]))
            a, b, items = self.number(sources), self.number(sources), self.numbers(sources)
            given = {"add": {"a": a, "b": b}, "split": {"a": a}, "total": {"items": items},
                     "fold": {"start": a, "over": items}}[kind]  # fmt: skip
            inputs = {name: pair[0] for name, pair in given.items()}
            if kind == "fold" and len(self.nodes) > 12:
                continue  # or bodies within bodies might never end
            if kind == "fold":
                inputs["body"] = self.body(graph, sources)
            id = self.data.draw(st.sampled_from(["", f"node_{len(self.nodes)}"]))
            node = graph.add(f"t.{kind}", id=id, **inputs)
            self.nodes[node.id] = (f"t.{kind}", {name: pair[1] for name, pair in given.items()}, owner)
            if kind == "fold":
                self.settle(node.id)
            sources += [(output, output.link) for output in node]
            if kind != "split":
                sources.append((node, next(iter(node)).link))
        return sources

    def body(self, graph: GraphBuilder, sources: list[tuple[Any, Link]]) -> BodyBuilder:
        """A body for a fold; its owner's id is not known yet."""
        names = (next(self.names), next(self.names))
        body = graph.body(*names)
        inside = self.fill(body, "?" + names[0], [*sources, *((given, given.link) for given in body)])
        output, link = self.data.draw(st.sampled_from(inside))
        body.gives(out=output)
        self.bodies["?" + names[0]] = (names, {"out": link})
        return body

    def settle(self, id: str) -> None:
        """The last body that was built is this node's."""
        marker = next(name for name in reversed(self.bodies) if name.startswith("?"))
        self.bodies[id] = self.bodies.pop(marker)
        self.nodes = {n: (t, i, id if o == marker else o) for n, (t, i, o) in self.nodes.items()}


@settings(max_examples=50, deadline=None)
@given(st.data())
def test_a_random_program_gives_a_file_that_reads_back_to_its_graph(data: st.DataObject) -> None:
    program = Program(data)
    sources = program.fill(program.flow, "", [])
    program.flow.output(out=sources[-1][0])
    text = program.flow.text()
    found = Workflow.parse(text)
    assert found.text() == text
    assert check(found, KINDS) == []
    bodies = {node.id: value for node in found.nodes.values() for value in node.inputs.values()
              if isinstance(value, Graph)}  # fmt: skip
    plain = {
        node.id: (
            node.type,
            {n: v for n, v in node.inputs.items() if not isinstance(v, Graph)},
            node.scope.owner,
        )
        for node in found.nodes.values()
    }
    assert plain == program.nodes
    assert {id: (graph.inputs, graph.outputs) for id, graph in bodies.items()} == program.bodies
    assert found.root.outputs == {"out": sources[-1][1]}


def test_what_is_built_is_shown_by_its_names() -> None:
    flow = flow_of()
    node = flow.add("t.add", a=1, b=2)
    assert isinstance(node.value, Output)
    assert [repr(node), repr(node.value)] == ["add (t.add)", "add.value"]
    assert repr(flow.body("x", "y")) == "the body with inputs x, y"


def test_a_saved_file_says_which_packs_it_requires(packs: dict[str, NodeType], tmp_path: Path) -> None:
    flow = ge.Workflow.build("Grey")
    flow.output(flow.add("image.solid", colour="#808080").image)
    flow.save(tmp_path / "grey.json")
    said = json.loads((tmp_path / "grey.json").read_text())["requires"]
    assert said == {"image": f"graphengine=={ge.__version__}"}
