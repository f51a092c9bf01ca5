"""Random files: typed graphs of everything that the engine treats in a way of its own.

A file is read off bytes, a choice a byte: Hypothesis has little to draw, and makes a small file of zeros.
"""

from __future__ import annotations

from collections.abc import Iterator
from copy import deepcopy
from dataclasses import dataclass, field
from random import Random
from typing import Any

from hypothesis import strategies as st
from laws.nodes import TYPES

from graphengine.nodetype import EMPTY

INTS, BLOBS = ("list", "int"), ("list", "Blob")
PLAIN = [
    "t.add", "t.split", "t.predict", "t.total", "law.nudge", "law.near", "law.exact", "t.blob", "t.mix",
    "t.number", "law.heads", "law.paint", "law.stir", "law.look", "law.part", "law.odd",
]  # fmt: skip
"""Node types without type variables, bodies or effects."""
LOOPS = ["flow.fold", "flow.map", "flow.repeat", "flow.scan", "flow.repeat_while", "flow.keep"]
ALL = frozenset(["fails", "states", "graphs", "effects", "io", "fleeting"])


@dataclass
class Space:
    """The ids of a file or sub-workflow, and the inputs in it that are exposed: by name, where, and what."""

    number: int = 0
    exposed: dict[str, tuple[str, str, Any, bool]] = field(default_factory=dict)
    """By name: a node, its input, its type, and whether it must be given."""

    def id(self) -> str:
        """A new id."""
        self.number += 1
        return f"n{self.number}"


class Seen(dict[Any, list[str]]):
    """The links that may stand in a graph, by type."""

    def inside(self, params: dict[str, Any]) -> Seen:
        """What is seen in a body with these inputs; they hide others of their names."""
        seen = Seen({type: [n for n in names if n not in params] for type, names in self.items()})
        for name, type in params.items():
            seen.setdefault(type, []).append(name)
        return seen


class Maker:
    """Makes a file of bytes; where these have run out, each choice is the first."""

    def __init__(self, data: bytes, kinds: frozenset[str]) -> None:
        self.data, self.at, self.kinds = data, 0, kinds
        self.graphs: dict[str, Any] = {}
        self.ports: dict[str, tuple[dict[str, tuple[Any, bool]], dict[str, Any]]] = {}
        """Of each sub-workflow: its inputs with their types and whether they must be given, its outputs."""

    def below(self, n: int) -> int:
        """A number from 0 on."""
        self.at += 1
        return self.data[self.at - 1] % n if self.at <= len(self.data) else 0

    def one(self, options: Any) -> Any:
        """One of some."""
        return options[self.below(len(options))]

    def file(self) -> Any:
        """A file."""
        space = Space()
        if "graphs" in self.kinds:
            for number in range(self.below(3)):
                self.graph(f"g{number}")
        seen = Seen()
        nodes = self.nodes(space, seen, 2, 3 + self.below(6))
        names = [name for names in seen.values() for name in names]
        latest = [names[-1] for names in seen.values()] + [self.one(names) for _ in range(self.below(2))]
        outputs = {f"o{i}": name for i, name in enumerate(latest)}
        inputs = {name: f"{id}.{port}" for name, (id, port, _, _) in space.exposed.items()}
        return {
            "format": 1, "inputs": inputs, "outputs": outputs, "nodes": nodes, "graphs": self.graphs,
        }  # fmt: skip

    def graph(self, name: str) -> None:
        """A sub-workflow."""
        space, seen = Space(), Seen()
        nodes = self.nodes(space, seen, 1, 1 + self.below(4), inner=True)
        links = {name: type for type, names in seen.items() for name in names[-2:]}
        if not links:
            return
        outputs = {f"o{i}": self.one(list(links)) for i in range(1 + self.below(2))}
        self.graphs[name] = {
            "inputs": {name: f"{id}.{port}" for name, (id, port, _, _) in space.exposed.items()},
            "outputs": outputs,
            "nodes": nodes,
        }
        given = {name: (type, must) for name, (_, _, type, must) in space.exposed.items()}
        self.ports[name] = given, {name: links[link] for name, link in outputs.items()}

    def nodes(self, space: Space, seen: Seen, depth: int, count: int, inner: bool = False) -> dict[str, Any]:
        """The nodes of a graph; what they give is seen from now on."""
        nodes: dict[str, Any] = {}
        loops = LOOPS[: 3 if "fails" in self.kinds else 6]
        extra = {
            "fails": ["t.broken", "law.picky", "law.picky"],
            "effects": ["law.tell"],
            "fleeting": ["law.fleeting"],
            "io": ["law.awaited", "law.outside"],
        }
        special = [kind for name, kinds in extra.items() if name in self.kinds for kind in kinds]
        for _ in range(count):
            kinds = [PLAIN] * 4 + [["switch"], ["guided"]] + [loops] * (3 if depth else 0)
            kinds += [[f"graph:{name}" for name in self.graphs]] * 2 * bool(self.graphs)
            kinds += [special] * bool(special)
            kind = self.one(self.one(kinds))
            site = Site(self, space, seen, depth, nodes, space.id(), inner)
            spec = site.node(kind)
            nodes[site.id] = spec
            if "states" in self.kinds and self.below(5) == 4:
                spec["state"] = self.one(["muted", "bypassed"])
            if self.below(6) == 5 and site.whole and not any(map(bodied, spec["inputs"].values())):
                twin = space.id()
                nodes[twin] = deepcopy(spec)
                for type, name in site.outputs:
                    seen.setdefault(type, []).append(f"{twin}.{name}")
        return nodes


class Site:
    """A node that is being made."""

    def __init__(
        self, maker: Maker, space: Space, seen: Seen, depth: int, nodes: Any, id: str, inner: bool
    ) -> None:
        self.maker, self.space, self.seen, self.depth, self.nodes = maker, space, seen, depth, nodes
        self.id, self.inner = id, inner
        self.outputs: list[tuple[Any, str]] = []
        self.inputs: dict[str, Any] = {}
        self.whole = True
        """Whether nothing is left to those who run the sub-workflow."""

    def node(self, kind: str) -> Any:
        """The node; its outputs are seen from now on."""
        if kind == "switch":
            outputs = self.switch()
            kind = "flow.switch"
        elif kind == "guided":
            outputs = self.guided()
            kind = "t.add"
        elif kind.startswith("graph:"):
            outputs = self.instance(kind[6:])
        elif kind in LOOPS:
            outputs = self.loop(kind)
        else:
            for port in TYPES[kind].ports.values():
                if kind == "law.nudge" and port.name != "a" and self.maker.below(3):
                    continue
                self.give(port.name, port.type, port.default is EMPTY)
            outputs = TYPES[kind].outputs
        for name, type in outputs.items():
            self.outputs.append((type, name))
            self.seen.setdefault(type, []).append(f"{self.id}.{name}")
        return {"type": kind, "inputs": self.inputs}

    def give(self, name: str, type: Any, must: bool = True) -> None:
        """Put something at an input, or leave it to those who run the sub-workflow."""
        below = self.maker.below
        exposed = self.inner and below(3) == 2
        if exposed and below(2):
            self.whole = False
            self.space.exposed[f"in{len(self.space.exposed)}"] = self.id, name, type, must
            return
        value = self.inputs[name] = self.value(type, exposed)
        if not linked(value) and not (isinstance(value, list) and any(map(linked, value))):
            if exposed or (not self.inner and below(4) == 3):
                self.space.exposed[f"in{len(self.space.exposed)}"] = self.id, name, type, False

    def value(self, type: Any, literal: bool = False) -> Any:
        """A literal or a link."""
        links, below = self.seen.get(type, []), self.maker.below
        if type in (INTS, BLOBS):
            if links and below(3) == 2:
                return self.link(links)
            item = type[1]
            least = 1 if "fails" in self.maker.kinds or type == BLOBS else 0
            return [self.value(item, literal) for _ in range(least + below(3))]
        if links and not literal and (below(4) or type not in ("int", "float", "bool")):
            return self.link(links)
        if type == "bool":
            return bool(below(2))
        if type in ("int", "float"):
            return below(4)
        id = self.space.id()
        kind = "t.blob" if type == "Blob" else "law.paint"
        self.nodes[id] = {"type": kind, "inputs": {"n": below(4)}}
        self.seen.setdefault(type, []).append(f"{id}.{next(iter(TYPES[kind].outputs))}")
        return {"link": self.seen[type][-1]}

    def link(self, links: list[str]) -> Any:
        """A link, rather to what was made last."""
        return {"link": links[-1 - min(self.maker.below(len(links)), self.maker.below(len(links)))]}

    def switch(self) -> dict[str, Any]:
        """A choice."""
        type = self.maker.one(["int", "Blob", "Canvas"])
        self.give("use_first", "bool")
        self.inputs["first"], self.inputs["second"] = self.value(type), self.value(type)
        return {"result": type}

    def guided(self) -> dict[str, Any]:
        """The sum of two calls that may be made as one."""
        kind, model = self.maker.one(["t.predict", "law.exact"]), self.maker.below(2)
        for port in ("a", "b"):
            id = self.space.id()
            inputs = {"model": model, "x": self.value("int"), "cond": self.value("int")}
            self.nodes[id] = {"type": kind, "inputs": inputs}
            self.inputs[port] = {"link": f"{id}.value"}
        return {"value": "int"}

    def loop(self, kind: str) -> dict[str, Any]:
        """A loop with its body."""
        below, one = self.maker.below, self.maker.one
        state, item = one(["int", "Blob", "Canvas"]), "int"
        if kind in ("flow.repeat", "flow.repeat_while"):
            count = "times" if kind == "flow.repeat" else "at_most"
            self.inputs[count] = below(3) + ("fails" in self.maker.kinds)
        else:
            item = one(["int", "int", "Blob"])
            self.give("over", ("list", item))
        if kind not in ("flow.map", "flow.keep"):
            self.inputs["start"] = self.value(state)
        names = [one(["x", "y"]), one(["i", "j"])]
        takes = {
            "flow.fold": [state, item], "flow.scan": [state, item], "flow.map": [item], "flow.keep": [item],
        }.get(kind, [state])  # fmt: skip
        given = dict(zip(names, takes, strict=False))
        if kind == "flow.repeat_while":
            self.inputs["condition"] = self.body({names[0]: state}, "bool")
        gives = "bool" if kind == "flow.keep" else state
        if kind in ("flow.map", "flow.scan"):
            self.inputs["body"] = self.body(given, state)
        else:
            self.inputs["body"] = self.body(given, gives)
        result = {"flow.map": ("list", state), "flow.scan": ("list", state), "flow.keep": ("list", item)}
        return {next(iter(TYPES[kind].outputs)): result.get(kind, state)}

    def body(self, params: dict[str, Any], gives: Any) -> Any:
        """A body that gives something of a type."""
        seen = self.seen.inside(params)
        nodes = self.maker.nodes(self.space, seen, self.depth - 1, 1 + self.maker.below(3), self.inner)
        site = Site(self.maker, self.space, seen, self.depth, nodes, "", self.inner)
        found = site.value(gives)
        if not linked(found):
            id = self.space.id()
            kind = "law.odd" if gives == "bool" else "t.add"
            inputs = {"a": found if gives == "int" else self.maker.below(4)} | (
                {"b": 1} if gives == "int" else {}
            )
            nodes[id] = {"type": kind, "inputs": inputs}
            found = {"link": f"{id}.value"}
        return {"graph": {"inputs": list(params), "outputs": {"out": found["link"]}, "nodes": nodes}}

    def instance(self, name: str) -> dict[str, Any]:
        """A node that runs a sub-workflow."""
        given, outputs = self.maker.ports[name]
        for input, (type, must) in given.items():
            if must or self.maker.below(2):
                self.give(input, type, must)
        return outputs


def linked(value: Any) -> bool:
    """Whether it is a link."""
    return isinstance(value, dict) and "link" in value


def bodied(value: Any) -> bool:
    """Whether it is a body."""
    return isinstance(value, dict) and "graph" in value


def levels(file: Any) -> Iterator[Any]:
    """Every graph of a file: the file itself, its sub-workflows, and the bodies in them."""
    waiting = [file, *file["graphs"].values()]
    for graph in waiting:  # grows meanwhile
        yield graph
        for spec in graph["nodes"].values():
            waiting += [value["graph"] for value in spec["inputs"].values() if bodied(value)]


def edited(file: Any, by: int) -> Any:
    """The file with one number changed."""
    file = deepcopy(file)
    spots: list[tuple[Any, Any]] = []
    for graph in levels(file):
        for spec in graph["nodes"].values():
            spots += [(spec["inputs"], name) for name in spec["inputs"]]
            for value in spec["inputs"].values():
                spots += [(value, i) for i in range(len(value))] if isinstance(value, list) else []
    numbers = [(where, at) for where, at in spots if type(where[at]) is int]
    if numbers:
        where, at = numbers[by % len(numbers)]
        where[at] += 1
    return file


def scrambled(file: Any, seed: int) -> Any:
    """The file with the nodes of each graph in another order."""
    file, order = deepcopy(file), Random(seed)
    for graph in levels(file):
        nodes = list(graph["nodes"].items())
        order.shuffle(nodes)
        graph["nodes"] = dict(nodes)
    return file


def files(*kinds: str, without: str = "") -> st.SearchStrategy[Any]:
    """Files with nodes of some kinds: those named, or all but those in `without` and those that fail."""
    chosen = frozenset(kinds) or ALL - {"fails", *without.split()}
    return st.binary(min_size=200, max_size=300).map(lambda data: Maker(data, chosen).file())


FAILING = files("fails", "graphs", "effects", "io", "fleeting")
"""Files of which some nodes fail. None is muted: that may leave a loop nothing to go over, and what fails in
its body is then asked for or not, as the engine likes."""
