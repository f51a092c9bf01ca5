"""`requires`: the packs of a workflow, written when it is run or saved, and read where one is missing."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from graphengine.check import check
from graphengine.errors import WorkflowError
from graphengine.library import Library
from graphengine.nodetype import NodeType
from graphengine.packs import Pack
from graphengine.registry import Manifest
from graphengine.requirements import recorded
from graphengine.workflow import Workflow


def kind(id: str, module: str) -> NodeType:
    return NodeType(id, "", "", "", module, id.partition(".")[2], {}, {"value": "int"}, "v1")


MANIFEST = Manifest(
    {
        k.id: k
        for k in (kind("acme.one", "acme_nodes.inner"), kind("blur.soft", "blur"), kind("image.x", "std"))
    },
    (
        Pack("acme", "acme_nodes", "1.2", "acme-nodes"),
        Pack("blur", "blur", "", "", "/home/me/nodes/blur.py"),
        Pack("std", "std", "0.1.0", "graphengine"),
    ),
)


def file(*types: str, **fields: Any) -> Workflow:
    nodes = {f"n{place}": {"type": type} for place, type in enumerate(types)}
    return Workflow.of({"format": 1, **fields, "nodes": nodes})


def test_each_first_part_has_what_it_comes_from() -> None:
    found = recorded(file("acme.one", "acme.one", "blur.soft", "image.x"), MANIFEST)
    assert found.data["requires"] == {
        "acme": "acme-nodes==1.2", "blur": "./blur.py", "image": "graphengine==0.1.0"
    }  # fmt: skip
    assert recorded(found, MANIFEST) is found


def test_nodes_in_bodies_and_sub_workflows_count() -> None:
    body = {"graph": {"inputs": [], "outputs": {}, "nodes": {"in": {"type": "acme.one"}}}}
    data = {
        "format": 1,
        "graphs": {"part": {"nodes": {"deep": {"type": "blur.soft"}}}},
        "nodes": {"a": {"type": "image.x", "inputs": {"body": body}}, "b": {"type": "graph:part"}},
    }
    assert sorted(recorded(Workflow.of(data), MANIFEST).data["requires"]) == ["acme", "blur", "image"]


def test_what_is_not_known_stays_and_what_is_not_used_goes() -> None:
    before = {"gone": "gone-nodes==3", "old": "old-nodes==1", "acme": "acme-nodes==0.5"}
    found = recorded(file("acme.one", "gone.node", requires=before), MANIFEST)
    assert found.data["requires"] == {"acme": "acme-nodes==1.2", "gone": "gone-nodes==3"}
    assert "requires" not in recorded(file("new.node", requires={"old": "x"}), MANIFEST).data


def test_it_is_written_before_the_inputs_in_the_file() -> None:
    text = recorded(file("acme.one", name="Mine"), MANIFEST).text()
    assert text.index('"name"') < text.index('"requires"') < text.index('"nodes"')
    assert Workflow.parse(text).problems == ()


@pytest.mark.parametrize(
    ("type", "said", "text"),
    [
        (
            "gone.node",
            "gone-nodes==3.1",
            "there is no node type 'gone.node'; the file was saved with gone-nodes 3.1, which is not "
            "installed: pip install gone-nodes==3.1",
        ),
        (
            "gone.node",
            "gone-nodes",
            "there is no node type 'gone.node'; the file was saved with gone-nodes, which is not "
            "installed: pip install gone-nodes",
        ),
        (
            "acme.unlike_any_other",
            "acme-nodes==2.0",
            "there is no node type 'acme.unlike_any_other'; the file was saved with acme-nodes 2.0, the one "
            "that is installed has no such node: pip install acme-nodes==2.0",
        ),
        ("acme.onee", "acme-nodes==1.2", "there is no node type 'acme.onee'; did you mean acme.one?"),
        (
            "soft.edges",
            "./soft.py==1",
            "there is no node type 'soft.edges'; it is from soft.py, a file of whoever saved the workflow: "
            "put that into one of your folders of nodes",
        ),
    ],
)
def test_a_missing_pack_is_named_with_its_version_and_how_to_get_it(type: str, said: str, text: str) -> None:
    workflow = file(type, requires={type.partition(".")[0]: said})
    assert [problem.text for problem in check(workflow, MANIFEST.types)] == [text]


@pytest.mark.parametrize("said", ["x; rm -rf /", "-r http://a x", "a" * 600, "git+https://x", "./../x"])
def test_what_is_no_name_of_a_pack_is_not_said_again(said: str) -> None:
    (problem,) = check(file("gone.node", requires={"gone": said}), MANIFEST.types)
    assert problem.text == (
        "there is no node type 'gone.node'; install the pack that has it (`graphengine nodes` lists them)"
    )


def test_what_is_no_text_is_a_problem() -> None:
    found = [str(p) for p in file("acme.one", requires={"acme": 5}).problems]
    assert found == ['requires.acme: 5 is no pack; write a text such as "acme-nodes==1.2"']
    found = [str(p) for p in file("acme.one", requires=[]).problems]
    assert found == ["requires: must be an object, {...}, and is a list"]


def test_a_library_writes_what_is_recorded(tmp_path: Path) -> None:
    library = Library(tmp_path, tmp_path / "shipped")
    library.write("mine", file("acme.one").text(), record=lambda workflow: recorded(workflow, MANIFEST))
    assert json.loads(library.read("mine")[0])["requires"] == {"acme": "acme-nodes==1.2"}
    with pytest.raises(WorkflowError):
        library.write("mine", "[]", record=lambda workflow: recorded(workflow, MANIFEST))
