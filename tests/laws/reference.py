"""The reference: what a file means, in the plainest way, to hold the engine against.

Plain recursion over the data of a file whose sub-workflows are `written_out`. It knows no keys, no plans and
no order, and keeps nothing but what the nodes of one run of one graph gave, each of which runs once in it. It
calls the same functions.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import Any, NamedTuple

from laws.graphs import bodied, linked
from laws.written import written_out

from graphengine.authoring import NO_CONTEXT
from graphengine.nodetype import EMPTY, Port


class Refused(Exception):
    """The file means nothing: a literal would have to be an output."""


class Source(NamedTuple):
    """Where a value comes from: a node's output, the input `name` of a body or, without a name, a literal."""

    scope: Scope
    name: str = ""
    output: str = ""
    literal: Any = None

    def value(self) -> Any:
        """The value."""
        if not self.name:
            return self.scope.value(self.literal)
        return self.scope.run(self.name)[self.output] if self.output else self.scope.params[self.name]


class Later(NamedTuple):
    """What a node awaits, answered on the spot."""

    answer: Callable[[], Any]

    def __await__(self) -> Iterator[Any]:
        return self.answer()
        yield


def outputs(file: Any, types: Any) -> dict[str, Any]:
    """What the outputs of a file are, without those that are muted or failed. Refused if it means nothing."""
    plain = written_out(file, types)
    root = Scope(plain, [], None, types)
    root.look()
    sources = {name: source for name, text in plain["outputs"].items() if (source := root.source(text))}
    attempted(root.effects())
    values = zip(sources, attempted(source.value for source in sources.values()), strict=True)
    return {name: value for name, value in values if not isinstance(value, Exception)}


def attempted(calls: Iterable[Callable[[], Any]]) -> list[Any]:
    """What each call gives, or raises."""
    found = []
    for call in calls:
        try:
            found.append(call())
        except Exception as error:
            found.append(error)
    return found


def completed(calls: Iterable[Callable[[], Any]]) -> list[Any]:
    """What each call gives; the first error once all were made."""
    found = attempted(calls)
    for value in found:
        if isinstance(value, Exception):
            raise value
    return found


class Scope:
    """One run of a graph: its nodes, the values of its inputs, and the graph around it, if it is a body."""

    def __init__(self, graph: Any, arguments: Iterable[Any], around: Scope | None, types: Any) -> None:
        self.graph, self.around, self.types = graph, around, types
        self.nodes = graph["nodes"]
        self.params = dict(zip(graph["inputs"], arguments, strict=False))
        self.done: dict[str, Any] = {}
        self.gone: dict[str, bool] = {}

    def home(self, id: str, of: str) -> Scope:
        """The innermost graph that has something of a name."""
        return self if id in getattr(self, of) or not self.around else self.around.home(id, of)

    def body(self, value: Any, arguments: Any = None) -> Scope:
        """A run of a body that stands here."""
        graph = value["graph"]
        return Scope(graph, arguments or [None] * len(graph["inputs"]), self, self.types)

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

    def value(self, value: Any, port: Port | None = None) -> Any:
        """What stands at an input."""
        if linked(value):
            source = self.source(value["link"])
            return source.value() if source else port and port.default
        if isinstance(value, list):
            return [self.value(v) for v in value if not (linked(v) and self.source(v["link"]) is None)]
        if port and port.type == "float" and type(value) is int:
            return float(value)
        return value

    def effects(self) -> list[Callable[[], Any]]:
        """The nodes that run for what they do."""
        own = [(id, spec) for id, spec in self.nodes.items() if not self.types[spec["type"]].outputs]
        return [partial(self.run, id) for id, spec in own if "state" not in spec and not self.lacks(id)]

    def call(self) -> Any:
        """Run a body: what it gives."""
        (text,) = self.graph["outputs"].values()
        return completed([*self.effects(), self.source(text).value])[-1]

    def run(self, id: str) -> dict[str, Any]:
        """What a node gives, by output."""
        if id not in self.done:
            (self.done[id],) = attempted([lambda: self.called(id)])
        if isinstance(self.done[id], Exception):
            raise self.done[id]
        return self.done[id]

    def called(self, id: str) -> dict[str, Any]:
        """Call the function of a node."""
        kind, inputs = self.types[self.nodes[id]["type"]], self.nodes[id]["inputs"]
        given = kind.run(*completed(partial(self.argument, inputs, port) for port in kind.inputs.values()))
        if kind.awaits == "io":
            given = asyncio.run(given)
        elif kind.awaits:
            try:
                given.send(None)
            except StopIteration as stop:
                given = stop.value
        return dict(zip(kind.outputs, given if len(kind.outputs) > 1 else [given], strict=bool(kind.outputs)))

    def argument(self, inputs: Any, port: Port) -> Any:
        """What a node's function gets."""
        if port.kind == "context":
            return NO_CONTEXT
        value = inputs.get(port.name, port.default)
        if port.kind == "body":
            return lambda *arguments: Later(self.body(value, arguments).call)
        return Later(partial(self.value, value, port)) if port.kind == "lazy" else self.value(value, port)
