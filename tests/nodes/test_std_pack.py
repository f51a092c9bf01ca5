"""The standard pack as a whole: what the loader and the editor need of every node."""

import importlib
import inspect
import subprocess
import sys

import pytest

import graphengine_nodes
from graphengine.nodetype import NodeType
from graphengine.signature import read

MODULES = [importlib.import_module(f"graphengine_nodes.{name}") for name in graphengine_nodes.MODULES]
NODES = [
    read(value, module.PACK, "code")
    for module in MODULES
    for value in vars(module).values()
    if hasattr(value, "__graph_node__")
]


def test_every_node_has_an_id_of_its_own() -> None:
    ids = [node.id for node in NODES]
    assert len(set(ids)) == len(ids)
    assert {"flow.fold", "image.save", "mask.grow", "number.add", "text.format"} <= set(ids)


@pytest.mark.parametrize("node", NODES, ids=lambda node: node.id)
def test_a_tooltip_is_one_sentence_that_fits_a_line(node: NodeType) -> None:
    first = node.doc.splitlines()[0]
    assert first.endswith(".")
    assert 10 < len(first) <= 110


@pytest.mark.parametrize("node", NODES, ids=lambda node: node.id)
def test_a_node_survives_the_way_into_the_manifest(node: NodeType) -> None:
    again = NodeType.from_json(node.to_json())
    assert again.inputs == {n: p._replace(convert=None, choices=None) for n, p in node.inputs.items()}
    assert again.outputs == node.outputs


@pytest.mark.parametrize("node", NODES, ids=lambda node: node.id)
def test_only_a_node_with_a_lazy_or_a_body_is_a_coroutine(node: NodeType) -> None:
    awaits = any(port.kind in ("lazy", "body") for port in node.inputs.values())
    assert inspect.iscoroutinefunction(node.run) == awaits


def test_numbers_text_and_flow_need_no_torch() -> None:
    code = "import sys, graphengine_nodes.flow, graphengine_nodes.numbers, graphengine_nodes.text; " \
           "sys.exit('torch' in sys.modules)"  # fmt: skip
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
