"""Upgrade: brings the nodes of an older file to what their types are called and take today."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from copy import deepcopy
from typing import Any

from graphengine.errors import Problem, WorkflowError
from graphengine.graph import Node
from graphengine.nodetype import NodeType
from graphengine.workflow import Workflow

Migration = Callable[[dict[str, Any]], dict[str, Any]]
Migrations = Callable[[str], tuple[Migration, ...]]
"""The migrations of a node type, by its id; asked for only where one is needed, for it loads the pack."""


def upgraded(workflow: Workflow, types: Mapping[str, NodeType], migrations: Migrations) -> Workflow:
    """The same workflow with today's ids and inputs; itself where nothing is old.

    A node is as old as its `version` says. One that says nothing is of today if today's type knows all its
    inputs, and as old as can be if not. WorkflowError names the nodes that cannot be brought to today's form.
    """
    used = {node.type for _, node in everywhere(workflow)}
    if all(id.startswith("graph:") or (id in types and not types[id].migrations) for id in used):
        return workflow
    aliases = {alias: kind.id for kind in types.values() for alias in kind.aliases if alias not in types}
    old = [
        (at, node, types[id])
        for at, node in everywhere(workflow)
        if (id := aliases.get(node.type, node.type)) in types and (id != node.type or age(node, types[id]))
    ]
    if not old:
        return workflow
    data, problems = deepcopy(workflow.data), list[Problem]()
    for at, node, kind in old:
        spec = data
        for key in workflow.path(at):
            spec = spec[key]
        spec["type"] = kind.id
        if older := age(node, kind):
            steps = migrations(kind.id)[-older:]
            named = inputs_of(data, at)
            try:
                renamed = {name: follow(port, steps) for name, port in named_ports(named, node.id)}
                spec["inputs"] = through(spec.get("inputs") or {}, steps)
            except Exception as error:
                text = f"its inputs cannot be brought to version {kind.version} of {kind.id}: {error}"
                problems.append(Problem(at, "", text))
                continue
            spec["version"] = kind.version
            named |= {name: f"{node.id}.{port}" for name, port in renamed.items()}
    if problems:
        raise WorkflowError(problems)
    return Workflow.of(data, workflow.blemishes)


def everywhere(workflow: Workflow) -> Iterator[tuple[str, Node]]:
    """Every node, those of sub-workflows too, with what `Workflow.path` calls it."""
    yield from workflow.nodes.items()
    for name, graph in workflow.graphs.items():
        yield from ((f"graph:{name}/{id}", node) for id, node in graph.nodes.items())


def age(node: Node, kind: NodeType) -> int:
    """How many migrations a node has to go through."""
    if not kind.migrations:
        return 0
    if node.version:
        return min(max(0, kind.version - node.version), kind.migrations)
    return 0 if node.inputs.keys() <= kind.ports.keys() else kind.migrations


def through(inputs: dict[str, Any], steps: tuple[Migration, ...]) -> dict[str, Any]:
    """Inputs, as the file has them, taken through some migrations."""
    for step in steps:
        inputs = step(dict(inputs))
        if not isinstance(inputs, dict):
            raise TypeError(
                f"the migration {step.__name__} gave {inputs!r:.80}, and must give a dict of inputs"
            )
    return inputs


def follow(port: str, steps: tuple[Migration, ...]) -> str:
    """What an input is called after some migrations; its old name where they make something else of it."""
    mark = {"link": "."}
    try:
        found = through({port: mark}, steps)
    except Exception:  # one that reads other inputs too
        return port
    return next((name for name, value in found.items() if value is mark), port)


def inputs_of(data: dict[str, Any], at: str) -> dict[str, Any]:
    """The named inputs of the file, or of the sub-workflow that a node stands in."""
    if at.startswith("graph:"):
        data = data["graphs"][at.removeprefix("graph:").partition("/")[0]]
    found = data.get("inputs")
    return found if isinstance(found, dict) else {}


def named_ports(named: Mapping[str, Any], id: str) -> list[tuple[str, str]]:
    """The named inputs that stand for an input of one node, with that input."""
    return [
        (name, place.partition(".")[2])
        for name, place in named.items()
        if isinstance(place, str) and place.partition(".")[0] == id
    ]
