from __future__ import annotations

import json
from copy import deepcopy
from dataclasses import replace
from typing import Any, TypeVar

import pytest
from samples import call, link

from graphengine.authoring import Body, node
from graphengine.cache import Cache
from graphengine.check import check
from graphengine.errors import WorkflowError
from graphengine.executor import Executor
from graphengine.nodetype import NodeType
from graphengine.planner import plan
from graphengine.signature import read
from graphengine.upgrade import Migration, upgraded
from graphengine.workflow import Workflow

T = TypeVar("T")

Inputs = dict[str, Any]


def renamed(inputs: Inputs) -> Inputs:
    """Version 1 called it `amount`."""
    if "amount" in inputs:
        inputs["by"] = inputs.pop("amount")
    return inputs


def signed(inputs: Inputs) -> Inputs:
    """Version 2 had `down` instead of negative numbers."""
    if inputs.pop("down", False):
        inputs["by"] = -inputs["by"]
    return inputs


@node(aliases=["t.raise", "old.increase"], migrations=[renamed, signed])
def shift(a: int, by: int = 1) -> int:
    """Has changed twice, and was called otherwise."""
    return a + by


@node(aliases=["t.same"])
def plain(a: int) -> int:
    """Was called otherwise."""
    return a


def looped(inputs: Inputs) -> Inputs:
    """Version 1 called its body `loop`."""
    inputs["body"] = inputs.pop("loop")
    return inputs


@node(version=7, migrations=[looped])
async def again(start: T, times: int, body: Body[[T], T]) -> T:
    """A loop whose code has changed more often than its inputs."""
    for _ in range(times):
        start = await body(start)
    return start


def wrong(inputs: Inputs) -> Inputs:
    """Gives what is no dict of inputs."""
    return list(inputs) if inputs else {"a": 1}  # type: ignore[return-value]


@node(migrations=[wrong])
def fragile(a: int) -> int:
    """Cannot be upgraded."""
    return a


TYPES: dict[str, NodeType] = {k.id: k for k in (read(f, "t", "") for f in (shift, plain, again, fragile))}
KNOWN = {id: replace(kind, steps=(), run=None) for id, kind in TYPES.items()}
"""As the Manifest has them, without functions."""


def file(nodes: dict[str, Any], **fields: Any) -> dict[str, Any]:
    return {"format": 1, "nodes": nodes, **fields}


def brought(data: dict[str, Any]) -> dict[str, Any]:
    """What is saved after an upgrade; what it came from has not changed."""
    before = deepcopy(data)
    found = upgraded(Workflow.of(data), KNOWN, lambda id: TYPES[id].steps)
    assert data == before
    assert upgraded(found, KNOWN, refuse) is found
    return found.data


def refuse(id: str) -> tuple[Migration, ...]:
    raise AssertionError(f"the pack of {id} would be loaded")


def outputs(data: dict[str, Any]) -> dict[str, Any]:
    workflow = Workflow.of(data)
    assert check(workflow, TYPES) == []
    return Executor(Cache()).run(plan(workflow, TYPES, Cache()))


def test_a_file_of_today_is_left_as_it_is_and_no_pack_is_loaded() -> None:
    nodes = {"a": call("shift", a=1, by=2), "b": call("plain", a=1), "c": {"type": "no.such"}}
    nodes["d"] = call("shift", a=1) | {"version": 3}
    workflow = Workflow.of(file(nodes))
    assert upgraded(workflow, KNOWN, refuse) is workflow


@pytest.mark.parametrize("alias", ["t.raise", "old.increase"])
def test_a_node_gets_the_name_that_its_type_has_today(alias: str) -> None:
    nodes = {"a": {"type": alias, "inputs": {"a": 1}, "title": "A"}, "b": call("same", a=link("a.value"))}
    data = brought(file(nodes, outputs={"v": "b.value"}))
    assert data["nodes"]["a"] == {"type": "t.shift", "inputs": {"a": 1}, "title": "A"}
    assert data["nodes"]["b"]["type"] == "t.plain"
    assert outputs(data) == {"v": 2}


def test_an_alias_that_is_a_type_today_means_that() -> None:
    types = KNOWN | {"t.same": replace(KNOWN["t.plain"], id="t.same")}
    workflow = Workflow.of(file({"a": call("same", a=1)}))
    assert upgraded(workflow, types, refuse) is workflow


def test_inputs_are_brought_through_every_version_since_theirs() -> None:
    nodes = {
        "one": call("shift", a=10, amount=3, down=True) | {"version": 1},
        "two": call("shift", a=10, by=3, down=True) | {"version": 2},
        "three": call("shift", a=10, by=3) | {"version": 3},
    }
    data = brought(file(nodes, outputs={id: f"{id}.value" for id in nodes}))
    assert [data["nodes"][id]["inputs"] for id in nodes] == [{"a": 10, "by": by} for by in (-3, -3, 3)]
    assert {data["nodes"][id]["version"] for id in nodes} == {3}
    assert outputs(data) == {"one": 7, "two": 7, "three": 13}


def test_a_node_that_does_not_say_its_version_is_as_old_as_its_inputs_look() -> None:
    nodes = {
        "old": call("shift", a=10, amount=3),
        "new": call("shift", a=10),
        "alias": call("raise", amount=2),
    }
    data = brought(file(nodes))
    assert data["nodes"] == {
        "old": call("shift", a=10, by=3) | {"version": 3},
        "new": call("shift", a=10),
        "alias": call("shift", by=2) | {"version": 3},
    }


def test_code_may_have_more_versions_than_inputs() -> None:
    whole = {"graph": {"inputs": ["x"], "outputs": {"x": "x"}, "nodes": {}}}
    nodes = {
        "six": call("again", start=1, times=2, loop=whole) | {"version": 6},
        "one": call("again", start=1, times=2, loop=whole) | {"version": 1},
        "none": call("again", start=1, times=2, loop=whole),
        "seven": call("again", start=1, times=2, body=whole) | {"version": 7},
    }
    found = brought(file(nodes))["nodes"]
    assert [found[id]["inputs"].keys() for id in nodes] == [{"start", "times", "body"}] * 4


def test_nodes_in_bodies_and_sub_workflows_are_brought_along() -> None:
    """Those of a body too whose owner keeps it at another input today."""
    innermost = {"s": call("raise", a=link("y"), amount=5)}
    inner = {"graph": {"inputs": ["y"], "outputs": {"y": "s.value"}, "nodes": innermost}}
    outer = {"l": call("again", start=link("x"), times=2, loop=inner)}
    whole = {"graph": {"inputs": ["x"], "outputs": {"x": "l.result"}, "nodes": outer}}
    nodes = {"l": call("again", start=0, times=3, loop=whole)}
    graph = {"inputs": {"start": "l.start"}, "outputs": {"v": "l.result"}, "nodes": nodes}
    outer["k"] = outer.pop("l")
    whole["graph"]["outputs"] = {"x": "k.result"}
    data = brought(
        file(
            nodes | {"r": {"type": "graph:g", "inputs": {"start": 100}}},
            outputs={"v": "l.result", "w": "r.v"},
            graphs={"g": graph},
        )
    )
    assert outputs(data) == {"v": 30, "w": 130}
    assert "amount" not in json.dumps(data)
    assert "loop" not in json.dumps(data)


def test_names_of_inputs_follow_their_inputs() -> None:
    graph = {"inputs": {"step": "s.amount", "a": "s.a"}, "outputs": {}, "nodes": {"s": call("shift", a=1)}}
    nodes = {
        "s": call("shift", a=1, amount=3),
        "t": call("shift", a=1),
        "u": call("shift", a=1, by=1) | {"version": 2},
        "r": {"type": "graph:g", "inputs": {"step": 5}},
    }
    inputs = {"far": "s.amount", "bare": "t.amount", "lost": "u.down", "a": "s.a", "given": "r.step"}
    data = brought(file(nodes, inputs=inputs, graphs={"g": graph}))
    assert data["inputs"] == {
        "far": "s.by", "bare": "t.by", "lost": "u.down", "a": "s.a", "given": "r.step",
    }  # fmt: skip
    assert data["graphs"]["g"]["inputs"] == {"step": "s.by", "a": "s.a"}
    problems = check(Workflow.of(data), TYPES)
    assert list(map(str, problems)) == ["inputs.lost: there is no input of u named 'down'; it has a, by"]


def test_links_and_wrapped_literals_are_brought_along_as_they_stand() -> None:
    nodes = {"a": call("plain", a=1), "s": call("shift", a={"value": 1}, amount=link("a.value"))}
    data = brought(file(nodes))
    assert data["nodes"]["s"]["inputs"] == {"a": {"value": 1}, "by": link("a.value")}


def test_what_cannot_be_brought_to_today_is_told_all_at_once() -> None:
    whole = {"graph": {"inputs": ["x"], "outputs": {"x": "x"}, "nodes": {"n": call("fragile", b=1)}}}
    nodes = {
        "s": call("shift", down=True, a=1),
        "f": call("again", start=1, times=1, body=whole),
        "good": call("shift", a=1, amount=1),
    }
    graph = {"inputs": {}, "outputs": {}, "nodes": {"n": call("fragile", b=1, c=2)}}
    with pytest.raises(WorkflowError) as error:
        brought(file(nodes, graphs={"g": graph}))
    cannot = "its inputs cannot be brought to version 2 of t.fragile: the migration wrong gave"
    must = "and must give a dict of inputs"
    assert list(map(str, error.value.problems)) == [
        "s: its inputs cannot be brought to version 3 of t.shift: 'by'",
        f"n: {cannot} ['b'], {must}",
        f"graph:g/n: {cannot} ['b', 'c'], {must}",
    ]


def test_a_node_newer_than_what_is_installed_is_told_by_check() -> None:
    workflow = Workflow.of(file({"s": call("shift", a=1, twice=True) | {"version": 4}}))
    assert upgraded(workflow, KNOWN, refuse) is workflow
    assert list(map(str, check(workflow, TYPES))) == [
        "s.version: is written for version 4 of t.shift, and 3 is installed; upgrade its pack",
        "s.twice: there is no input of t.shift named 'twice'; it has a, by",
    ]


@pytest.mark.parametrize("inputs", [[1], "x", None])
def test_inputs_that_are_none_are_left_for_check_to_tell(inputs: Any) -> None:
    data = file({"s": {"type": "t.raise", "version": 1, "inputs": inputs}})
    found = upgraded(Workflow.of(data), KNOWN, lambda id: TYPES[id].steps)
    assert found.data["nodes"]["s"]["inputs"] == inputs
    assert check(found, TYPES)


@pytest.mark.parametrize("id", ["a/b", "graph:g/b", "graph:"])
def test_a_name_that_no_node_may_have_is_left_for_check_to_tell(id: str) -> None:
    nodes = {id: call("raise", amount=1), "s": call("raise", a=1, amount=1)}
    data = brought(file(nodes, inputs={"x": f"{id}.amount"}))
    assert data["nodes"][id] == call("raise", amount=1)
    assert data["nodes"]["s"] == call("shift", a=1, by=1) | {"version": 3}
    assert f"{id!r} cannot be a node's id" in str(check(Workflow.of(data), TYPES)[0])


def test_what_only_the_text_showed_is_still_told_after_an_upgrade() -> None:
    text = '{"format": 1, "nodes": {"s": {"type": "t.raise", "inputs": {"a": 1, "a": 2}}}}'
    found = upgraded(Workflow.parse(text), KNOWN, refuse)
    assert found.nodes["s"].type == "t.shift"
    assert list(map(str, check(found, TYPES))) == [
        "s.a: the key 'a' is there twice, as 1 and 2; keep one",
    ]
