"""The SVG picture of a workflow."""

from __future__ import annotations

from itertools import pairwise
from xml.etree import ElementTree

import pytest

from graphengine import resources
from graphengine.drawing.svg import GREY, svg
from graphengine.graph import Link
from graphengine.registry import Registry, installed
from graphengine.workflow import Workflow

NAME = "{http://www.w3.org/2000/svg}"
REGISTRY = Registry.load(installed())


def drawn(workflow: Workflow) -> ElementTree.Element:
    return ElementTree.fromstring(svg(workflow, REGISTRY.types, REGISTRY.wires))


def texts(picture: ElementTree.Element) -> list[str]:
    return [text.text or "" for text in picture.iter(f"{NAME}text")]


@pytest.mark.parametrize("name", resources.workflow_names())
def test_every_shipped_workflow_is_drawn_with_all_its_nodes_and_links(name):
    path = resources.workflow(name)
    assert path is not None
    workflow = Workflow.load(path)
    picture = drawn(workflow)
    assert set(workflow.nodes) <= set(texts(picture))
    cards = [box for box in picture.iter(f"{NAME}rect") if box.get("class") == "card"]
    frames = [box for box in picture.iter(f"{NAME}rect") if box.get("class") == "frame"]
    assert (len(cards), len(frames)) == (len(workflow.nodes), len(workflow.bodies))


def test_wires_have_the_colours_of_their_types_and_plain_values_are_grey():
    path = resources.workflow("text_to_image")
    assert path is not None
    workflow = Workflow.load(path)
    values = [value for node in workflow.nodes.values() for value in node.inputs.values()]
    plain = [link for link in values if type(link) is Link and link.node in ("solver", "canvas")]
    paths = drawn(workflow).iter(f"{NAME}path")
    strokes = [wire.get("stroke") for wire in paths if "wire" in wire.get("class", "")]
    assert len(plain) == 6
    assert 6 <= strokes.count(GREY) < len(strokes) / 2  # one that goes into a body is drawn in two pieces
    assert REGISTRY.wires["Conditioning"].colour in strokes


def test_a_carried_value_is_a_dashed_line_back():
    path = resources.workflow("text_to_image")
    assert path is not None
    picture = drawn(Workflow.load(path))
    (back,) = [path for path in picture.iter(f"{NAME}path") if path.get("class") == "wire back"]
    assert back.get("stroke") == REGISTRY.wires["Latent"].colour
    assert "latent becomes the next latent" in texts(picture)
    assert "latent  (start)" in texts(picture)
    assert "timestep  (each of over)" in texts(picture)


def test_what_the_user_wrote_cannot_break_out_of_the_picture():
    evil = "</text><script>alert(1)</script> & \"'\x00\x1b\ud800"
    nodes = {"a": {"type": evil, "inputs": {evil: evil, "b": {"link": "a.<b>"}}}}
    picture = drawn(Workflow.of({"format": 1, "name": evil, "nodes": nodes}))
    assert not list(picture.iter(f"{NAME}script"))
    assert any("<script>" in text for text in texts(picture))


def test_bodies_in_bodies_are_frames_in_frames():
    graph: dict[str, object] = {"inputs": ["x"], "outputs": {"x": "n9.v"}, "nodes": {"n9": {"type": "t.t"}}}
    for depth in range(8, -1, -1):
        inner = {
            "type": "flow.repeat",
            "inputs": {"times": 2, "start": {"link": "x"}, "body": {"graph": graph}},
        }
        graph = {"inputs": ["x"], "outputs": {"x": f"n{depth}.result"}, "nodes": {f"n{depth}": inner}}
    picture = drawn(Workflow.of({"format": 1, "nodes": graph["nodes"]}))
    frames = [box for box in picture.iter(f"{NAME}rect") if box.get("class") == "frame"]
    boxes = [[float(box.get(key, "")) for key in ("x", "y", "width", "height")] for box in frames]
    assert len(boxes) == 9
    boxes.sort(key=lambda box: -box[2])
    for (ax, ay, aw, ah), (bx, by, bw, bh) in pairwise(boxes):
        assert ax <= bx
        assert ay <= by
        assert bx + bw <= ax + aw
        assert by + bh <= ay + ah


SCALE = {
    "inputs": {"value": "by.first", "factor": "by.second"},
    "outputs": {"result": "by.value", "same": "inner.image"},
    "nodes": {
        "by": {"type": "number.multiply", "inputs": {"first": 0, "second": 1.5}},
        "inner": {"type": "graph:picture"},
    },
}
PICTURE = {"outputs": {"image": "load.image"}, "nodes": {"load": {"type": "image.load"}}}


def test_a_sub_workflow_is_a_card_with_its_inputs_and_outputs_in_their_colours():
    nodes = {
        "up": {"type": "graph:scale", "inputs": {"value": 3}},
        "save": {"type": "image.save", "inputs": {"image": {"link": "up.same"}}},
    }
    data = {"format": 1, "nodes": nodes, "graphs": {"scale": SCALE, "picture": PICTURE}}
    picture = drawn(Workflow.of(data))
    assert {"up", "graph:scale", "value: 3", "factor", "result", "same"} <= set(texts(picture))
    (wire,) = [path for path in picture.iter(f"{NAME}path") if path.get("class") == "wire"]
    assert wire.get("stroke") == REGISTRY.wires["Image"].colour


def test_sub_workflows_that_run_themselves_or_are_not_there_are_drawn_too():
    ring = {"outputs": {"x": "n.x"}, "nodes": {"n": {"type": "graph:ring"}}}
    nodes = {"a": {"type": "graph:ring"}, "b": {"type": "graph:gone", "inputs": {"y": {"link": "a.x"}}}}
    picture = drawn(Workflow.of({"format": 1, "nodes": nodes, "graphs": {"ring": ring}}))
    assert {"a", "graph:ring", "b", "graph:gone", "x", "y"} <= set(texts(picture))


@pytest.mark.parametrize("state", ["muted", "bypassed"])
def test_what_is_left_out_looks_so(state):
    nodes = {"a": {"type": "number.add", "state": state, "inputs": {"first": 1}}, "b": {"type": "number.add"}}
    picture = drawn(Workflow.of({"format": 1, "nodes": nodes}))
    (group,) = [group for group in picture.iter(f"{NAME}g") if group.get("class") == state]
    assert [text.text for text in group.iter(f"{NAME}text")][:2] == ["a", f"number.add, {state}"]
    assert {"b", "number.add"} <= set(texts(picture))


def test_nothing_is_drawn_of_nothing():
    assert drawn(Workflow.of({"format": 1, "nodes": {}})).get("viewBox") == "0 0 48 48"
