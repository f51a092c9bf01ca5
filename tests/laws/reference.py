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

from laws.graphs import linked
from laws.scopes import Scope, Source
from laws.written import written_out

from graphengine.authoring import NO_CONTEXT
from graphengine.nodetype import Port


class Later(NamedTuple):
    """What a node awaits, answered on the spot."""

    answer: Callable[[], Any]

    def __await__(self) -> Iterator[Any]:
        return self.answer()
        yield


def outputs(file: Any, types: Any) -> dict[str, Any]:
    """What the outputs of a file are, without those that are muted or failed. Refused if it means nothing."""
    plain = written_out(file, types)
    root = Run(plain, [], None, types)
    root.look()
    sources = {name: source for name, text in plain["outputs"].items() if (source := root.source(text))}
    attempted(root.effects())
    values = zip(sources, attempted(partial(root.found, source) for source in sources.values()), strict=True)
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


class Run(Scope):
    """One run of a graph, and what its nodes gave."""

    def __init__(self, *given: Any) -> None:
        super().__init__(*given)
        self.done: dict[str, Any] = {}

    def found(self, source: Source) -> Any:
        """The value that a source gives."""
        if not source.name:
            return source.scope.value(source.literal)
        scope, name = source.scope, source.name
        return scope.run(name)[source.output] if source.output else scope.params[name]

    def value(self, value: Any, port: Port | None = None) -> Any:
        """What stands at an input."""
        if linked(value):
            source = self.source(value["link"])
            return self.found(source) if source else port and port.default
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
        return completed([*self.effects(), partial(self.found, self.source(text))])[-1]

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
