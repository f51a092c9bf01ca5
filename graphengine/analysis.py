"""Questions about a workflow as a graph, answered with networkx; loaded only by those who ask.

The hot path (check, plan) has its own order and never comes here.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import networkx as nx

from graphengine.graph import Graph, Link, Node, links
from graphengine.nodetype import NodeType
from graphengine.workflow import Workflow

LONGEST = 34
"""Letters of a value that a drawing shows."""


def digraph(workflow: Workflow) -> nx.DiGraph[str]:
    """Every node of the file, those in bodies too, with an edge from source to user.

    A node that owns a body depends on what the body gives, and the nodes of the body on what the owner is
    given.
    """
    found: nx.DiGraph[str] = nx.DiGraph()
    found.add_nodes_from(workflow.nodes)
    for node in workflow.nodes.values():
        for link in [*links(node.inputs), *(o for b in bodies(node) for o in b.outputs.values())]:
            if link.output and link.node in workflow.nodes:
                found.add_edge(link.node, node.id)
    for graph in workflow.bodies:
        owner = workflow.nodes[graph.owner]
        sources = [link.node for link in links(owner.inputs) if link.output and link.node in workflow.nodes]
        found.add_edges_from((source, id) for source in sources for id in graph.ids)
    return found


def cycles(workflow: Workflow) -> list[list[str]]:
    """One cycle of each knot of nodes that lead back to themselves.

    Each is given by ids in the order of its links, the first repeated at the end.
    """
    graph = digraph(workflow)
    found = []
    for knot in nx.strongly_connected_components(graph):
        if len(knot) > 1 or any(graph.has_edge(id, id) for id in knot):
            edges = nx.find_cycle(graph.subgraph(knot), source=min(knot))
            found.append([edges[0][0], *(edge[1] for edge in edges)])
    return sorted(found)


def ancestors(workflow: Workflow, id: str) -> set[str]:
    """Every node that a node depends on."""
    return set(nx.ancestors(digraph(workflow), id))


def inner_first(workflow: Workflow) -> list[str]:
    """The sub-workflows, each after those that it runs, and those that run each other in any order."""
    graph: nx.DiGraph[str] = nx.DiGraph()
    graph.add_nodes_from(workflow.graphs)
    for name, inner in workflow.graphs.items():
        used = {node.type.removeprefix("graph:") for node in inner.nodes.values()}
        graph.add_edges_from((other, name) for other in used if other in workflow.graphs)
    rings = nx.condensation(graph)
    return [name for ring in nx.topological_sort(rings) for name in sorted(rings.nodes[ring]["members"])]


def layers(edges: Sequence[tuple[str, str]], names: Sequence[str]) -> list[list[str]]:
    """Columns for a drawing: each name stands one further than the last that it depends on.

    What nothing leads to is drawn as late as what it leads to allows. Names on a cycle share a column.
    Within a column the given order stays.
    """
    graph: nx.DiGraph[str] = nx.DiGraph()
    graph.add_nodes_from(names)
    graph.add_edges_from(edges)
    acyclic = nx.condensation(graph)
    column: dict[int, int] = {}
    for number, generation in enumerate(nx.topological_generations(acyclic)):
        column.update(dict.fromkeys(generation, number))
    for part in column:
        if acyclic.in_degree(part) == 0 and acyclic.out_degree(part):
            column[part] = min(column[after] for after in acyclic.successors(part)) - 1
    member: dict[str, int] = acyclic.graph["mapping"]
    found: list[list[str]] = [[] for _ in range(max(column.values(), default=-1) + 1)]
    for name in names:
        found[column[member[name]]].append(name)
    return found


def bodies(node: Node) -> Iterator[Graph]:
    """The bodies of a node."""
    return (value for value in node.inputs.values() if type(value) is Graph)


def outside(workflow: Workflow, graph: Graph) -> list[Link]:
    """What a body and the bodies in it use from around it, each once, in the order of the file."""
    found: dict[Link, None] = {}
    stack = [graph]
    while stack:
        inner = stack.pop()
        used = [
            *inner.outputs.values(),
            *(link for node in workflow.within(inner) for link in links(node.inputs)),
        ]
        for link in used:
            target = workflow.resolve(link, inner)
            if target is None:
                continue
            home = target.scope if isinstance(target, Node) else target.graph
            if home is not graph and home in graph.chain():
                found[link] = None
        stack += [body for node in reversed(workflow.within(inner)) for body in bodies(node)]
    return list(found)


def shown(value: Any) -> str:
    """A literal as the drawings show it, cut where it is long."""
    found = value if value and isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return found if len(found) <= LONGEST else found[: LONGEST - 1] + "…"


class Round(NamedTuple):
    """How the inputs of a body are filled: `first` by the owner's input, `again` by an output of the body."""

    first: dict[str, str]
    again: dict[str, str]


def rounds(graph: Graph, owner: NodeType | None) -> Round:
    """What a body is called with, read off the types of its owner.

    In `fold(start: T, over: list[S], body: Body[[T, S], T])` the first input is `start` and later what the
    body gave, the second `each of over`. Where the owner's type is not known, equal names mean a carried
    value.
    """
    port = owner.inputs.get(graph.port) if owner else None
    if owner is None or port is None or port.kind != "body":
        return Round({}, {name: name for name in graph.inputs if name in graph.outputs})
    first: dict[str, str] = {}
    again: dict[str, str] = {}
    for name, wanted in zip(graph.inputs, port.params, strict=False):
        for other in owner.ports.values():
            if other.kind != "body" and other.type in (wanted, ("list", wanted)) and variable(wanted):
                first[name] = other.name if other.type == wanted else f"each of {other.name}"
                break
        if wanted == port.type and variable(wanted) and graph.outputs:
            again[name] = next(iter(graph.outputs))
    return Round(first, again)


def variable(type: Any) -> bool:
    """Whether a type is a type variable."""
    return isinstance(type, str) and type.startswith("~")
