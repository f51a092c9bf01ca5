"""Written out: the data of a file with the nodes of its sub-workflows in place of those that run them.

As a user would do it by hand, under names that begin with the name of the node that is replaced. Of a
sub-workflow that is muted or bypassed the nodes stay, muted.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from graphengine.nodetype import EMPTY

MUTED = {"state": "muted"}


def written_out(file: Any, types: Any) -> Any:
    """A file without sub-workflows; an output that would have to be a literal is no text."""
    whole = Copy(file, "", {}, False, file.get("graphs", {}), types)
    inputs = {name: ".".join(whole.place(*at.split("."))) for name, at in file.get("inputs", {}).items()}
    return {"format": 1, "inputs": inputs, "outputs": whole.outputs(file), "nodes": whole.nodes(file)}


def every(graph: Any) -> Iterator[tuple[str, Any]]:
    """The nodes of a graph and of the bodies in it."""
    for id, spec in graph["nodes"].items():
        yield id, spec
        for value in spec["inputs"].values():
            if isinstance(value, dict) and "graph" in value:
                yield from every(value["graph"])


class Copy(NamedTuple):
    """A graph that is written under names with a prefix; `given` replaces what stands at its inputs."""

    graph: Any
    prefix: str
    given: dict[tuple[str, str], Any]
    muted: bool
    graphs: Any
    types: Any

    def spec(self, id: str) -> Any:
        """A node."""
        return dict(every(self.graph))[id]

    def inner(self, id: str) -> Copy | None:
        """The copy of a sub-workflow that stands for a node, if it runs one."""
        spec = self.spec(id)
        kind, _, name = spec["type"].partition(":")
        if kind != "graph":
            return None
        graph = self.graphs[name]
        places = {name: tuple(at.split(".")) for name, at in graph["inputs"].items()}
        given = {places[n]: self.value(v) for n, v in (spec["inputs"] | self.passed(id)).items()}
        muted = self.muted or "state" in spec
        return Copy(graph, f"{self.prefix}{id}__", given, muted, self.graphs, self.types)

    def passed(self, id: str) -> dict[str, Any]:
        """What a node is given from around this graph, as it stands there."""
        return {port: Written(value) for (node, port), value in self.given.items() if node == id}

    def place(self, id: str, port: str) -> tuple[str, str]:
        """What an input is called where all is written out."""
        if not (inner := self.inner(id)):
            return self.prefix + id, port
        return inner.place(*inner.graph["inputs"][port].split("."))

    def type_of(self, id: str, name: str, side: str) -> Any:
        """The type that an input or an output has in the signature of its node."""
        if not (inner := self.inner(id)):
            port = getattr(self.types[self.spec(id)["type"]], side)[name]
            return port if side == "outputs" else port.type
        return inner.type_of(*inner.graph[side][name].split("."), side)

    def link(self, text: str) -> Any:
        """What stands for a link."""
        id, _, output = text.partition(".")
        inner = self.inner(id) if output else None
        if not inner:
            return {"link": self.prefix + text}
        if self.spec(id).get("state") == "bypassed" and not self.muted:
            wanted = self.type_of(id, output, "outputs")
            for name in inner.graph["inputs"]:
                if self.type_of(id, name, "inputs") == wanted:
                    found = inner.own(*inner.graph["inputs"][name].split("."))
                    if found is not EMPTY and found is not None:
                        return found
        return inner.link(inner.graph["outputs"][output])

    def own(self, id: str, port: str) -> Any:
        """What stands at an input; EMPTY if nothing does."""
        spec = self.spec(id)
        if (id, port) in self.given:
            return self.given[id, port]
        if port in spec["inputs"]:
            return self.value(spec["inputs"][port])
        if inner := self.inner(id):
            return inner.own(*inner.graph["inputs"][port].split("."))
        return self.types[spec["type"]].ports[port].default

    def value(self, value: Any) -> Any:
        """What stands for an input."""
        if isinstance(value, Written):
            return value.value
        if isinstance(value, list):
            return [self.value(item) for item in value]
        if isinstance(value, dict) and "link" in value:
            return self.link(value["link"])
        if isinstance(value, dict) and "graph" in value:
            body = value["graph"]
            names = [self.prefix + name for name in body["inputs"]]
            return {"graph": {"inputs": names, "outputs": self.outputs(body), "nodes": self.nodes(body)}}
        return value

    def outputs(self, graph: Any) -> Any:
        """What a graph gives."""
        found = {name: self.link(text) for name, text in graph["outputs"].items()}
        return {n: v["link"] if isinstance(v, dict) and "link" in v else [v] for n, v in found.items()}

    def nodes(self, graph: Any) -> Any:
        """The nodes of a graph or a body of this one."""
        found = {}
        for id, spec in graph["nodes"].items():
            if inner := self.inner(id):
                found |= inner.nodes(inner.graph)
            else:
                inputs = {n: self.value(v) for n, v in (spec["inputs"] | self.passed(id)).items()}
                found[self.prefix + id] = spec | (MUTED if self.muted else {}) | {"inputs": inputs}
        return found


class Written(NamedTuple):
    """A value that stands as it does where all is written out."""

    value: Any
