"""Upgrade: brings the nodes of an older file to what their types are called and take today."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from graphengine.errors import Problem, WorkflowError
from graphengine.graph import Node
from graphengine.nodetype import NodeType
from graphengine.reader import ID
from graphengine.workflow import Workflow

Migration = Callable[[dict[str, Any]], dict[str, Any]]
Migrations = Callable[[str], tuple[Migration, ...]]
"""The migrations of a node type, by its id; asked for only where one is needed, for it loads the pack."""


def upgraded(workflow: Workflow, types: Mapping[str, NodeType], migrations: Migrations) -> Workflow:
    """The same workflow with today's ids and inputs; itself where nothing is old.

    A node is as old as its `version` says. One that says nothing is of today if today's type knows all inputs
    that are given or named, and as old as can be if not. WorkflowError names the nodes that cannot be brought
    to today's form.
    """
    used = {node.type for _, node in everywhere(workflow)}
    if all(id.startswith("graph:") or (id in types and not types[id].migrations) for id in used):
        return workflow
    aliases = {alias: kind.id for kind in types.values() for alias in kind.aliases if alias not in types}
    names: dict[str, dict[str, str]] = {}
    """By node: the inputs of it that have names in the file, or in its sub-workflow."""
    for home, graph in homes(workflow):
        for name, (id, port) in graph.inputs.items():
            names.setdefault(home + id, {})[name] = port
    old = []
    for at, node in everywhere(workflow):
        kind = types.get(aliases.get(node.type, node.type))
        older = age(node, kind, names.get(at, {}).values()) if kind else 0
        if kind and (older or kind.id != node.type) and ID(node.id):
            old.append((at, kind, older))
    if not old:
        return workflow
    data, problems = copied(workflow.data), list[Problem]()
    for at, kind, older in reversed(old):  # inner ones first: a migration may move a body elsewhere
        spec = data
        for key in workflow.path(at):
            spec = spec[key]
        spec["type"] = kind.id
        if older and isinstance(spec.get("inputs", {}), dict):
            steps = migrations(kind.id)[-older:]
            try:
                spec["inputs"] = through(spec.get("inputs", {}), steps)
            except Exception as error:
                text = f"its inputs cannot be brought to version {kind.version} of {kind.id}: {error}"
                problems.append(Problem(at, "", text))
                continue
            spec["version"] = kind.version
            home, _, id = at.removeprefix("graph:").rpartition("/")
            whole: dict[str, Any] = data["graphs"][home] if home else data
            for name, port in names.get(at, {}).items():
                whole["inputs"][name] = f"{id}.{follow(port, steps)}"
    if problems:
        raise WorkflowError(problems[::-1])
    return Workflow.of(data, workflow.blemishes)


def everywhere(workflow: Workflow) -> Iterator[tuple[str, Node]]:
    """Every node, those of sub-workflows too, with what `Workflow.path` calls it."""
    for home, graph in homes(workflow):
        yield from ((home + id, node) for id, node in graph.nodes.items())


def homes(workflow: Workflow) -> Iterator[tuple[str, Workflow]]:
    """The file and its sub-workflows, with what the names of their nodes begin with."""
    yield "", workflow
    yield from ((f"graph:{name}/", graph) for name, graph in workflow.graphs.items())


def age(node: Node, kind: NodeType, named: Iterable[str]) -> int:
    """How many migrations a node has to go through, some of whose inputs are named."""
    if not kind.migrations:
        return 0
    if node.version:
        return min(max(0, kind.version - node.version), kind.migrations)
    return 0 if {*node.inputs, *named} <= kind.ports.keys() else kind.migrations


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
    return next((name for name, value in found.items() if value == mark), port)


def copied(data: Any) -> Any:
    """A copy of JSON data in which nothing is shared with it, nor within; no node is upgraded twice."""
    top = [data]
    places: list[tuple[Any, Any]] = [(top, 0)]
    for home, key in places:  # grows meanwhile
        value = home[key]
        if isinstance(value, (dict, list)):
            value = home[key] = dict(value) if isinstance(value, dict) else list(value)
            places += [(value, inner) for inner in (value if isinstance(value, dict) else range(len(value)))]
    return top[0]
