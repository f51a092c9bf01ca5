"""Scopes: what a link means where it stands, through bodies and past muted and bypassed nodes."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple, Self

from laws.graphs import bodied, linked

from graphengine.nodetype import EMPTY


class Refused(Exception):
    """The file means nothing: a literal would have to be an output."""


class Source(NamedTuple):
    """Where a value comes from: a node's output, the input `name` of a body or, without a name, a literal."""

    scope: Any
    name: str = ""
    output: str = ""
    literal: Any = None


class Scope:
    """A graph: its nodes, the values of its inputs, and the graph around it, if it is a body."""

    def __init__(self, graph: Any, arguments: Iterable[Any], around: Self | None, types: Any) -> None:
        self.graph, self.around, self.types = graph, around, types
        self.nodes = graph["nodes"]
        self.params = dict(zip(graph["inputs"], arguments, strict=False))
        self.gone: dict[str, bool] = {}

    def home(self, id: str, of: str) -> Self:
        """The innermost graph that has something of a name."""
        return self if id in getattr(self, of) or not self.around else self.around.home(id, of)

    def body(self, value: Any, arguments: Any = None) -> Self:
        """A run of a body that stands here."""
        graph = value["graph"]
        return type(self)(graph, arguments or [None] * len(graph["inputs"]), self, self.types)

    def source(self, text: Any) -> Source | None:
        """Where what comes through a link comes from; None if it is muted."""
        if not isinstance(text, str):
            return Source(self, literal=text[0])
        id, _, output = text.partition(".")
        if not output:
            return Source(self.home(id, "params"), id)
        home = self.home(id, "nodes")
        spec = home.nodes[id]
        kind, state = self.types[spec["type"]], spec.get("state")
        for port in kind.ports.values() if state == "bypassed" else ():
            value = spec["inputs"].get(port.name, port.default)
            if port.type == kind.outputs[output] and port.kind != "body" and value not in (EMPTY, None):
                return home.source(value["link"]) if linked(value) else Source(home, literal=value)
        return None if state or home.lacks(id) else Source(home, id, output)

    def lacks(self, id: str) -> bool:
        """Whether a node needs something that is muted."""
        if id not in self.gone:
            spec = self.nodes[id]
            must = [n for n, port in self.types[spec["type"]].ports.items() if port.default is EMPTY]
            self.gone[id] = any(self.nothing(spec["inputs"][name]) for name in must)
        return self.gone[id]

    def nothing(self, value: Any) -> bool:
        """Whether what stands at an input gives nothing."""
        if linked(value):
            return self.source(value["link"]) is None
        if not bodied(value):
            return False
        return any(self.body(value).source(text) is None for text in value["graph"]["outputs"].values())

    def look(self) -> None:
        """Refuse literals that would have to be outputs."""
        for text in self.graph["outputs"].values():
            if (source := self.source(text)) and not source.name:
                raise Refused
        for id, spec in self.nodes.items():
            if "state" not in spec and not self.lacks(id):
                for value in filter(bodied, spec["inputs"].values()):
                    self.body(value).look()
