"""Difference: what changed from one workflow to another, in words.

Nodes are the same if their ids are. One that is gone and one that is new are the same node under another id
if they have the same type and the same inputs; links to it have not changed then. Order, spacing, and a
literal that is wrapped though it need not be are no difference.

It reads the files' data, not their graphs, so that it serves workflows with problems and unknown types too.
"""

from __future__ import annotations

import json
from collections import defaultdict, deque
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

from graphengine.formatting import has_body
from graphengine.literals import widened
from graphengine.nodetype import NodeType
from graphengine.workflow import Workflow, looks_special

KINDS = (
    "field", "named_input", "named_output", "graph_added", "graph_removed", "graph_renamed", "node_added",
    "node_removed", "node_renamed", "node_moved", "node_type", "node_version", "node_input", "node_state",
    "node_title", "node_note", "node_field", "body_inputs", "body_output", "layout",
)  # fmt: skip
"""What a change can be, in the order in which the changes of a file or graph are told."""
APART = {"format", "requires", "inputs", "outputs", "nodes", "graphs", "layout"}
"""Fields that are told part by part, or not at all: what a file was made with is no change of it."""
MISSING: Any = type("Missing", (), {"__repr__": lambda self: "MISSING"})()
"""Stands for what is not there; null is there."""
LONG = 60
"""Letters of a text that are shown."""
AROUND = 15
"""Letters of a long text that are shown before what changed."""

Home = tuple[str, str]
"""The node and the input of a body; two empty texts for the file or graph itself."""


class Change(NamedTuple):
    """One change: what it is, at which node and input, and in words.

    `before` and `after` are JSON data, None where there was nothing. `input` also names a field, an input or
    output of the file, and what gives a body out. `graph` is the sub-workflow that all this is in, or empty.
    """

    kind: str
    node: str
    input: str
    before: Any
    after: Any
    text: str
    graph: str = ""

    def __str__(self) -> str:
        return self.text


def difference(a: Workflow, b: Workflow, types: Mapping[str, NodeType] | None = None) -> list[Change]:
    """Everything that changed from `a` to `b`; empty if they mean the same.

    With the node types, 5 and 5.0 are the same where a number is wanted: JavaScript writes 5.0 as 5.
    """
    before, after = objects(a.data, "graphs"), objects(b.data, "graphs")
    came = {key(graph): name for name, graph in after.items() if name not in before}
    graphs = {name: came.pop(key(graph)) for name, graph in before.items()
              if name not in after and key(graph) in came}  # fmt: skip
    found = [*Comparison(a.data, b.data, graphs, types or {}).changes()]
    found += among_graphs(before, after, graphs)
    found.sort(key=lambda change: KINDS.index(change.kind))
    for name in before:
        if name in after:
            inner = [*Comparison(before[name], after[name], graphs, types or {}).changes()]
            inner.sort(key=lambda change: KINDS.index(change.kind))
            found += [c._replace(graph=name, text=f"in graph {name}: {c.text}") for c in inner]
    return found


def among_graphs(
    before: Mapping[str, Any], after: Mapping[str, Any], renamed: Mapping[str, str]
) -> Iterator[Change]:
    """Sub-workflows that came, went, and are called otherwise."""
    for name in after:
        if name not in before and name not in renamed.values():
            yield Change("graph_added", "", name, None, after[name], f"graph {name} was added")
    for name in before:
        if name in renamed:
            text = f"graph {name} was renamed to {renamed[name]}"
            yield Change("graph_renamed", "", renamed[name], name, renamed[name], text)
        elif name not in after:
            yield Change("graph_removed", "", name, before[name], None, f"graph {name} was removed")


class Space:
    """A file, or one of its graphs: its nodes flat by id, with where each stands, and its bodies."""

    def __init__(self, data: Mapping[str, Any], graphs: Mapping[str, str]) -> None:
        self.data = data
        self.nodes: dict[str, dict[str, Any]] = {}
        self.types: dict[str, str] = {}
        self.homes: dict[str, Home] = {}
        self.bodies: dict[Home, dict[str, Any]] = {}
        waiting: list[tuple[Home, Mapping[str, Any]]] = [(("", ""), data)]
        for home, graph in waiting:  # grows meanwhile
            for id, node in objects(graph, "nodes").items():
                if id in self.nodes:
                    continue
                self.nodes[id], self.homes[id] = node, home
                kind = str(node.get("type", ""))
                name = kind.removeprefix("graph:")
                self.types[id] = f"graph:{graphs[name]}" if name != kind and name in graphs else kind
                for port, value in table(node, "inputs").items():
                    if has_body(value):
                        self.bodies[id, port] = value["graph"]
                        waiting.append(((id, port), value["graph"]))

    def inputs(self, id: str) -> dict[str, Any]:
        """What a node is given."""
        return {name: unwrapped(value) for name, value in table(self.nodes[id], "inputs").items()}

    def sources(self, id: str) -> list[str]:
        """The ids that a node's links name, and those that its bodies give out."""
        found: list[str] = []

        def note(text: Any) -> Any:
            source, dot, _ = text.partition(".") if isinstance(text, str) else ("", "", "")
            if dot:
                found.append(source)
            return text

        for value in self.inputs(id).values():
            relinked(value, note)
        return found


class Comparison:
    """Two files, or two states of one graph. `names` leads from old ids to new ones where these differ."""

    def __init__(
        self,
        a: Mapping[str, Any],
        b: Mapping[str, Any],
        graphs: Mapping[str, str],
        types: Mapping[str, NodeType],
    ) -> None:
        self.a, self.b, self.types = Space(a, graphs), Space(b, {}), types
        self.names = renamed(self.a, self.b)

    def changes(self) -> Iterator[Change]:
        """Every change, in no order of kinds."""
        a, b, names = self.a, self.b, self.names
        yield from self.fields()
        yield from self.named("named_input", "input", a.data, b.data, "inputs")
        yield from self.named("named_output", "output", a.data, b.data, "outputs")
        for id, node in a.nodes.items():
            if id not in b.nodes and id not in names:
                yield Change("node_removed", id, "", bare(node), None, self.passing(a, id, "removed"))
        came = b.nodes.keys() - a.nodes.keys() - set(names.values())
        for id, node in b.nodes.items():
            if id in came:
                yield Change("node_added", id, "", None, bare(node), self.passing(b, id, "added"))
        for old in a.nodes:
            if (new := names.get(old, old)) in b.nodes:
                yield from self.node(old, new)
        for (owner, port), body in a.bodies.items():
            home = names.get(owner, owner), port
            if home in b.bodies:
                yield from self.body(home, body, b.bodies[home])
        places = {names.get(id, id): place for id, place in table(a.data, "layout").items()}
        if key(places) != key(table(b.data, "layout")):
            yield Change("layout", "", "", None, None, "layout changed")

    def fields(self) -> Iterator[Change]:
        """Name, description, and what else stands at the top."""
        a, b = self.a.data, self.b.data
        for name in [*a, *(n for n in b if n not in a)]:
            before, after = a.get(name, MISSING), b.get(name, MISSING)
            if name not in APART and key(before) != key(after):
                yield change("field", "", name, before, after, f"{name}: {turned(before, after)}")

    def named(
        self, kind: str, what: str, a: Mapping[str, Any], b: Mapping[str, Any], field: str
    ) -> Iterator[Change]:
        """Names that stand for an input or an output of a node."""
        before, after = table(a, field), table(b, field)
        for name in [*before, *(n for n in after if n not in before)]:
            old, new = before.get(name, MISSING), after.get(name, MISSING)
            if self.target(old) == new:
                continue
            if old is MISSING:
                text = f"{what} {name} ({new}) was added"
            elif new is MISSING:
                text = f"{what} {name} ({old}) was removed"
            else:
                text = f"{what} {name}: {old} -> {new}"
            yield change(kind, "", name, old, new, text)

    def passing(self, space: Space, id: str, what: str) -> str:
        """That a node came or went."""
        home = space.homes[id]
        return f"{id} ({space.types[id]}) was {what}" + (f", in {place(home)}" if home[0] else "")

    def node(self, old: str, new: str) -> Iterator[Change]:
        """A node that is in both."""
        a, b = self.a.nodes[old], self.b.nodes[new]
        if old != new:
            yield Change("node_renamed", new, "", old, new, f"{old} was renamed to {new}")
        source, target = self.a.homes[old], self.b.homes[new]
        if (self.names.get(source[0], source[0]), source[1]) != target:
            text = f"{new} was moved from {place(source)} to {place(target)}"
            yield Change("node_moved", new, "", place(source), place(target), text)
        if self.a.types[old] != self.b.types[new]:
            before, after = a.get("type"), b.get("type")
            yield Change("node_type", new, "", before, after, f"type of {new}: {before} -> {after}")
        for name in [*a, *(n for n in b if n not in a)]:
            before, after = a.get(name, MISSING), b.get(name, MISSING)
            if name not in ("type", "inputs") and key(before) != key(after):
                kind = f"node_{name}" if name in ("version", "state", "title", "note") else "node_field"
                text = (state(new, before, after) if name == "state"
                        else f"{name} of {new}: {turned(before, after)}")  # fmt: skip
                yield change(kind, new, name, before, after, text)
        yield from self.inputs(old, new)

    def inputs(self, old: str, new: str) -> Iterator[Change]:
        """What a node is given."""
        a, b = self.a.inputs(old), self.b.inputs(new)
        kind = self.types.get(self.b.types[new])
        for name in [*a, *(n for n in b if n not in a)]:
            before, after = a.get(name, MISSING), b.get(name, MISSING)
            if has_body(before) and has_body(after):
                continue
            port = kind.inputs.get(name) if kind else None
            values = relinked(before, self.target), after
            old_key, new_key = (key(widened(value, port.type) if port else value) for value in values)
            if old_key != new_key:
                yield change("node_input", new, name, before, after, f"{new}.{name}: {turned(before, after)}")

    def body(self, home: Home, a: Mapping[str, Any], b: Mapping[str, Any]) -> Iterator[Change]:
        """The inputs and outputs of a body that is in both."""
        before, after = a.get("inputs", []), b.get("inputs", [])
        if before != after:
            text = f"inputs of {place(home)}: {pair(before, after)}"
            yield Change("body_inputs", *home, before, after, text)
        for found in self.named("body_output", "output", a, b, "outputs"):
            text = f"{place(home)}: {found.text}"
            yield found._replace(node=home[0], text=text)

    def target(self, text: Any) -> Any:
        """Where a link of the old file leads in the new one."""
        id, dot, port = text.partition(".") if isinstance(text, str) else ("", "", "")
        return f"{self.names.get(id, id)}.{port}" if dot else text


def change(kind: str, node: str, input: str, before: Any, after: Any, text: str) -> Change:
    """A change of a value that may be missing on one side."""
    return Change(kind, node, input, hollow(before), hollow(after), text)


def renamed(a: Space, b: Space) -> dict[str, str]:
    """The nodes that have another id in `b`, by their id in `a`."""
    gone = [id for id in a.nodes if id not in b.nodes]
    came = [id for id in b.nodes if id not in a.nodes]
    if not gone or not came:
        return {}
    seen: dict[Any, int] = {}
    known = numbered(a, gone, seen)
    alike: dict[int | None, deque[str]] = defaultdict(deque)
    for id, number in numbered(b, came, seen).items():
        alike[number].append(id)
    alike.pop(None, None)
    return {id: alike[known[id]].popleft() for id in gone if alike.get(known[id])}


def numbered(space: Space, ids: list[str], seen: dict[Any, int]) -> dict[str, int | None]:
    """A number for each of some nodes, the same for the same type and inputs; None on a cycle.

    A link to another one of them counts as its number, so that a chain may change all of its ids.
    """
    found: dict[str, int | None] = {}
    loose, opened = set(ids), set[str]()
    for first in ids:
        stack = [first]
        while stack:
            id = stack[-1]
            todo = [n for n in space.sources(id) if n in loose and n not in found] if id not in found else []
            if id in found or (todo and id in opened):  # the latter on a cycle
                found.setdefault(id, None)
                stack.pop()
            elif todo:
                opened.add(id)
                stack += todo
            else:
                cyclic = False

                def target(text: Any) -> Any:
                    nonlocal cyclic
                    source, dot, port = text.partition(".") if isinstance(text, str) else ("", "", "")
                    if not dot or source not in loose:
                        return text
                    cyclic = cyclic or found[source] is None
                    return [found[source], port]

                inputs = {n: relinked(v, target) for n, v in space.inputs(id).items()}
                mark = space.types[id], key(inputs)
                found[id] = None if cyclic else seen.setdefault(mark, len(seen))
                stack.pop()
    return found


def relinked(value: Any, target: Callable[[Any], Any]) -> Any:
    """An input with its links, those in a list or out of a body too, led elsewhere."""
    if isinstance(value, list):
        return [relinked(v, target) if is_link(v) else v for v in value]
    if is_link(value):
        return {"link": target(value["link"])}
    if has_body(value):
        body = value["graph"]
        outputs = {name: target(text) for name, text in table(body, "outputs").items()}
        return {"graph": {"inputs": body.get("inputs", []), "outputs": outputs}}
    return value


def unwrapped(value: Any) -> Any:
    """An input without the wrapping of literals that need none."""
    if isinstance(value, list):
        return [unwrapped(v) if isinstance(v, dict) else v for v in value]
    if isinstance(value, dict) and len(value) == 1 and "value" in value and not looks_special(value["value"]):
        return value["value"]
    return value


def is_link(value: Any) -> bool:
    """Whether an input, or an item of one, is a link."""
    return isinstance(value, dict) and len(value) == 1 and isinstance(value.get("link"), str)


def table(data: Mapping[str, Any], field: str) -> dict[str, Any]:
    """A field that should be an object; empty where it is not."""
    found = data.get(field)
    return found if isinstance(found, dict) else {}


def objects(data: Mapping[str, Any], field: str) -> dict[str, dict[str, Any]]:
    """A field that should be an object of objects, without what is none."""
    return {name: value for name, value in table(data, field).items() if isinstance(value, dict)}


def key(value: Any) -> str:
    """A text that is the same for the same data; 1, 1.0 and true differ, and so does what is missing."""
    return "" if value is MISSING else json.dumps(value, sort_keys=True)


def bare(node: Mapping[str, Any]) -> dict[str, Any]:
    """A node without the nodes in its bodies, which are told by themselves."""
    inputs = node.get("inputs")
    if not isinstance(inputs, dict):
        return dict(node)
    return {**node, "inputs": {name: hollow(value) for name, value in inputs.items()}}


def hollow(value: Any) -> Any:
    """An input, without the nodes in it if it is a body; None if it is missing."""
    if has_body(value):
        return {"graph": {name: v for name, v in value["graph"].items() if name != "nodes"}}
    return None if value is MISSING else value


# -- words ---------------------------------------------------------------------------------------------------


def turned(before: Any, after: Any) -> str:
    """What was there, and what is there now."""
    if is_link(before) and is_link(after):
        return f"linked to {before['link']} -> linked to {after['link']}"
    if after is MISSING:
        return f"no longer linked to {before['link']}" if is_link(before) else (
            f"no longer given, was {said(before)}"
        )  # fmt: skip
    now = f"linked to {after['link']}" if is_link(after) else said(after)
    if before is MISSING:
        return f"now {now}, was not given"
    if is_link(before) or is_link(after) or has_body(before) or has_body(after):
        return f"now {now} instead of {said(before)}"
    return pair(before, after)


def said(value: Any) -> str:
    """A value in words, cut where it is long."""
    if is_link(value):
        return f"a link to {value['link']}"
    return "a body" if has_body(value) else cut(written(value))


def pair(before: Any, after: Any) -> str:
    """Two values with an arrow; of long ones the part where they begin to differ."""
    old, new = written(before), written(after)
    same = next(
        (i for i, (x, y) in enumerate(zip(old, new, strict=False)) if x != y), min(len(old), len(new))
    )
    start = same - AROUND if same > LONG - AROUND else 0
    return f"{cut(old, start)} -> {cut(new, start)}"


def written(value: Any) -> str:
    """A value as it stands in a file, texts in single quotes and the links in a list without any."""
    if isinstance(value, list):
        return "[" + ", ".join(v["link"] if is_link(v) else written(v) for v in value) + "]"
    if isinstance(value, str):
        return repr(value)
    return json.dumps(value, ensure_ascii=False)


def cut(text: str, start: int = 0) -> str:
    """A text from a place on, as long as a line shows it."""
    rest = text[start:]
    return ("..." if start else "") + (rest if len(rest) <= LONG else rest[:LONG] + "...")


def state(id: str, before: Any, after: Any) -> str:
    """That a node is muted or bypassed now, or no longer."""
    if after is MISSING:
        return f"{id} is no longer {before}"
    return f"{id} is {after} now" + ("" if before is MISSING else f" instead of {before}")


def place(home: Home) -> str:
    """A body by its owner and its input."""
    return f"{home[0]}.{home[1]}" if home[0] else "the top"
