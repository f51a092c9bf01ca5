"""States: what is left of a graph without its muted and bypassed nodes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from graphengine.errors import Problem
from graphengine.graph import Graph, Link, Node
from graphengine.nodetype import EMPTY, NodeType


class Absent:
    """What comes through a link to a node that is muted."""

    def __repr__(self) -> str:
        return "ABSENT"


ABSENT = Absent()


class States:
    """Leads links around nodes that are muted or bypassed, and finds out which ones are `muted` with them.

    Works on `nodes` and on the outputs of `graphs` themselves. `means` says what stands for an output that no
    node gives: another link, a literal, a list, or ABSENT.
    """

    def __init__(
        self,
        nodes: Mapping[str, Node],
        graphs: Sequence[Graph],
        means: dict[Link, Any],
        types: Mapping[str, NodeType],
    ) -> None:
        self.nodes, self.graphs, self.means, self.types = nodes, graphs, means, types
        self.problems: list[Problem] = []
        self.literals: list[tuple[Graph, str, Link]] = []
        """Outputs of graphs for which a literal stands."""
        self.muted: set[str] = set()
        self.own()
        self.relink()
        self.spread()
        for graph, name, link in self.literals:
            if graph.owner not in self.muted:
                text = "is bypassed and gives a literal, which cannot be an output; mute it instead"
                place = (graph.owner, graph.port) if graph.owner else ("outputs", name)
                self.problems.append(Problem(*place, f"{link} {text}"))

    def own(self) -> None:
        """Say what stands for the outputs of nodes that are muted or bypassed."""
        for node in self.nodes.values():
            kind = self.types.get(node.type)
            if not node.state or (kind is None and node.state == "bypassed"):
                continue
            self.muted.add(node.id)
            for name, type in kind.outputs.items() if kind else ():
                found: Any = ABSENT
                for port in kind.ports.values() if kind and node.state == "bypassed" else ():
                    value = node.inputs.get(port.name, port.default)
                    nothing = value is EMPTY or value is None or isinstance(value, Graph)
                    if port.type == type and port.kind != "body" and not nothing:
                        found = value
                        break
                self.means[Link(node.id, name)] = found

    def meaning(self, value: Any) -> Any:
        """What stands for a link: a link to a node that is there, a literal, a list with links, or ABSENT."""
        seen: dict[Link, None] = {}
        while type(value) is Link and value in self.means:
            if value in seen:  # bypassed nodes in a ring
                value = ABSENT
                break
            seen[value] = None
            value = self.means[value]
        self.means.update(dict.fromkeys(seen, value))  # the way is walked once, however many come along it
        return value

    def relink(self) -> None:
        """Write what stands for each link."""
        for node in self.nodes.values():
            for name, value in node.inputs.items():
                if type(value) is Link:
                    value = node.inputs[name] = self.meaning(value)
                if type(value) is tuple:
                    items = [self.meaning(v) for v in value]
                    if any(type(v) is tuple for v in items):
                        text = "a bypassed node gives a list here, which cannot stand in a list; mute it"
                        self.problems.append(Problem(node.id, name, text))
                    node.inputs[name] = listed([v for v in items if v is not ABSENT and type(v) is not tuple])
        for graph in self.graphs:
            for name, link in list(graph.outputs.items()):
                found = self.meaning(link)
                if type(found) is Link:
                    graph.outputs[name] = found
                    continue
                del graph.outputs[name]
                if found is not ABSENT:
                    self.literals.append((graph, name, link))
                elif graph.owner in self.nodes:
                    self.muted.add(graph.owner)

    def spread(self) -> None:
        """Mute what needs something muted, and what stands in a body of it."""
        users: dict[str, list[tuple[Node, str]]] = {}
        owned: dict[str, list[Graph]] = {}
        outputs: dict[str, list[tuple[Graph, str]]] = {}
        waiting = list(self.muted)
        for node in self.nodes.values():
            for name, value in list(node.inputs.items()):
                if type(value) is Link and value.output:
                    users.setdefault(value.node, []).append((node, name))
                elif value is ABSENT and self.without(node, name):
                    waiting.append(node.id)
        for graph in self.graphs:
            owned.setdefault(graph.owner, []).append(graph)
            for name, link in graph.outputs.items():
                if link.output:
                    outputs.setdefault(link.node, []).append((graph, name))
        done = set[str]()
        while waiting:
            id = waiting.pop()
            if id in done:
                continue
            done.add(id)
            for graph in owned.get(id, ()):
                waiting += graph.ids
            waiting += [node.id for node, name in users.get(id, ()) if self.without(node, name)]
            for graph, name in outputs.get(id, ()):
                del graph.outputs[name]
                if graph.owner:
                    waiting.append(graph.owner)
        self.muted |= done
        for node in self.nodes.values():
            for name, value in node.inputs.items():
                if type(value) is tuple:
                    left = [v for v in value if type(v) is not Link or not v.output or v.node not in done]
                    node.inputs[name] = listed(left)

    def without(self, node: Node, name: str) -> bool:
        """Take an input away from a node; whether the node cannot do without it."""
        kind = self.types.get(node.type)
        port = kind.ports.get(name) if kind else None
        if port is None:  # a mistake, for `check` to tell
            return False
        del node.inputs[name]
        return port.default is EMPTY


def listed(items: list[Any]) -> Any:
    """The value of an input: a tuple where there are links among the items."""
    return tuple(items) if any(type(v) is Link for v in items) else items
