"""Reader: from the bytes of a file to the values of a workflow; strict, and bounded in size and depth.

Reading does not stop at the first mistake: what is wrong with a file that is JSON at all is collected.
"""

from __future__ import annotations

import json
import re
import zlib
from collections.abc import Iterator
from math import isfinite
from pathlib import Path
from typing import Any

from graphengine.errors import Problem, WorkflowError
from graphengine.graph import Graph, Link, Node
from graphengine.literals import short

DEPTH = 64
"""How deep bodies may nest."""
NESTED = 64
"""How deep the lists and objects of one literal may nest."""
BRACKETS = 500
"""How deep the brackets of a file may nest: five for each body, and some for what stands in the innermost."""
LARGEST = 32 << 20
"""Bytes that a workflow file may have."""
ID = re.compile(r"[a-z][a-z0-9_]*").fullmatch
FIELDS = {"format", "name", "description", "inputs", "outputs", "nodes", "graphs", "layout", "requires"}
NODE_FIELDS = {"type", "inputs", "title", "note", "state", "version"}
GRAPH_FIELDS = {"name", "description", "inputs", "outputs", "nodes", "layout"}
STATES = ("muted", "bypassed")
BODY_FIELDS = {"inputs", "outputs", "nodes"}
SPACED = re.compile(r'"\s+:').search
"""Finds a key whose colon does not follow at once."""
CONTAINERS = (dict, list, tuple)
PNG = b"\x89PNG\r\n\x1a\n"


def text_of(path: Path) -> str:
    """The text of a `.json` file, or the one inside a `.png` that was saved with its workflow."""
    try:
        size = path.stat().st_size
        with path.open("rb") as stream:
            head = stream.read(len(PNG))
            if head != PNG and size > LARGEST:
                raise WorkflowError(f"{path} has {size:,} bytes; a workflow has at most {LARGEST:,}")
            data = head + stream.read()
    except (OSError, ValueError) as error:  # a ValueError for a NUL in the path
        reason = getattr(error, "strerror", None) or error
        raise WorkflowError(f"{path} cannot be read: {reason}") from error
    if head == PNG:
        text = embedded(data)
        if text is None:
            raise WorkflowError(
                f"{path} is a picture without a workflow in it; use one that image.save wrote"
            )
        return text
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise WorkflowError(f"{path} is not UTF-8 text (byte {error.start}); save it as UTF-8") from error


def parsed(text: str) -> tuple[Any, tuple[Problem, ...]]:
    """The data of JSON text, and what is wrong with it though it is JSON. WorkflowError if it is none."""
    if len(text) > LARGEST:
        raise WorkflowError(f"the text has {len(text):,} characters; a workflow has at most {LARGEST:,}")
    blemished = "\\ud" in text or "\\uD" in text or not whole(text)

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        nonlocal blemished
        found = dict(pairs)
        if len(found) == len(pairs):
            return found
        blemished = True
        return Doubled(pairs)

    def constant(text: str) -> Any:
        nonlocal blemished
        blemished = True
        return float(text)

    def number(text: str) -> float:
        nonlocal blemished
        found = float(text)
        if not isfinite(found):  # 1e999
            blemished = True
        return found

    try:
        data = json.loads(text, parse_constant=constant, parse_float=number)
        # Asking Python about each object costs more than all the rest. Where each colon of a key follows its
        # quote at once, there are at least as many `":` as keys; if there are just as many, none came twice.
        if bounded(data) != text.count('":') or SPACED(text):
            data = json.loads(text, object_pairs_hook=unique, parse_constant=constant, parse_float=number)
    except RecursionError:
        raise WorkflowError("brackets are nested too deeply to be a workflow") from None
    except json.JSONDecodeError as error:
        raise WorkflowError(
            f"line {error.lineno}, column {error.colno} is not JSON: {error.msg}; correct the text there"
        ) from None
    except ValueError as error:
        raise WorkflowError(f"the text is not JSON: {error}") from None
    return data, tuple(blemishes(data)) if blemished else ()


class Reader:
    """Builds the frozen values of one file with a stack of graphs still to be read; collects problems.

    `name` is that of a sub-workflow of the file, which is read in the same way.
    """

    def __init__(self, data: dict[str, Any], problems: list[Problem], name: str = "") -> None:
        self.data, self.problems, self.name = data, problems, name
        self.special = False
        """Whether there are sub-workflows, or nodes that are muted or bypassed."""
        self.root = Graph()
        self.nodes: dict[str, Node] = {}
        self.inputs: dict[str, tuple[str, str]] = {}
        self.names: dict[str, str] = {}
        """The names of outputs, each kept once; most links of a large file have the same few."""
        self.graphs = [self.root]
        self.waiting: list[tuple[Graph, dict[str, Any]]] = [(self.root, data)]

    def read(self) -> None:
        """Read everything."""
        fields = GRAPH_FIELDS if self.name else FIELDS
        for name in sorted(self.data.keys() - fields):
            what = "sub-workflow" if self.name else "workflow"
            self.tell("", name, f"is no field of a {what}; it has {', '.join(sorted(fields))}")
        for name, text in self.object(self.data, "requires", "").items() if not self.name else ():
            if type(text) is not str:
                self.tell(
                    "requires", name, f'{short(text)} is no pack; write a text such as "acme-nodes==1.2"'
                )
        while self.waiting:
            self.graph(*self.waiting.pop())
        for name, target in self.object(self.data, "inputs", "").items():
            node, dot, port = target.partition(".") if isinstance(target, str) else ("", "", "")
            if not dot or node not in self.nodes:
                self.tell("inputs", name, f'{short(target)} is no input of a node; write "node.input"')
            else:
                self.inputs[name] = node, port

    def tell(self, node: str, input: str, text: str) -> None:
        """Note a problem."""
        if self.name:
            node = f"graph:{self.name}/{node}" if node else f"graph:{self.name}"
        self.problems.append(Problem(node, input, text))

    def object(self, data: dict[str, Any], name: str, node: str) -> dict[str, Any]:
        """A field that must be a JSON object; empty where it is missing, or wrong."""
        found = data.get(name)
        if type(found) is dict or isinstance(found, Doubled):
            return found
        if found is not None:
            self.tell(node, name, f"must be an object, {{...}}, and is {kind_of(found)}")
        return {}

    def graph(self, graph: Graph, body: dict[str, Any]) -> None:
        """The nodes and outputs of one graph."""
        nodes, own = self.nodes, graph.ids
        for id, spec in self.object(body, "nodes", graph.owner).items():
            if type(spec) is not dict and not isinstance(spec, Doubled):
                self.tell(id, "", f"must be an object with a type and inputs, and is {kind_of(spec)}")
                continue
            if not ID(id):
                self.tell(id, "", f"{id!r} cannot be a node's id; write lower-case letters, digits and _")
            if id in nodes:
                self.tell(id, "", "the id is used twice in the file; rename one of the two nodes")
                continue
            kind, given, state, version = spec.get("type"), spec.get("inputs"), "", 0
            if len(spec) > 2 or type(kind) is not str or not kind or type(given) is not dict:
                kind, given, state, version = self.fields(id, spec)
            inputs = given.copy()
            for name, value in given.items():
                shape = type(value)
                if shape is dict and len(value) == 1 and "link" in value:
                    inputs[name] = self.link(value["link"], id, name)
                elif shape is dict or shape is list:
                    if shape is list or len(value) == 1:
                        value = self.value(graph, id, name, value)
                    if type(value) in CONTAINERS and nested(value, NESTED):
                        text = f"lists and objects nest deeper than {NESTED} here; make it flatter"
                        self.tell(id, name, text)
                        value = None
                    inputs[name] = value
            if state or kind.startswith("graph:"):
                self.special = True
            nodes[id] = tuple.__new__(Node, (id, kind, inputs, graph, state, version))
            own.append(id)
        for name, text in self.object(body, "outputs", graph.owner).items():
            link = self.link(text, graph.owner or "outputs", name)
            if link is not None:
                graph.outputs[name] = link

    def fields(self, id: str, spec: dict[str, Any]) -> tuple[str, dict[str, Any], str, int]:
        """The type, inputs, state and version of a node that has more than the first two, or is wrong."""
        for name in sorted(spec.keys() - NODE_FIELDS):
            self.tell(id, name, f"is no field of a node; it has {', '.join(sorted(NODE_FIELDS))}")
        state, version = spec.get("state", ""), spec.get("version", 0)
        if "state" in spec and state not in STATES:
            self.tell(id, "state", f"{short(state)} is no state; write {' or '.join(STATES)}, or remove it")
            state = ""
        if "version" in spec and (type(version) is not int or version < 1):
            self.tell(id, "version", f"{short(version)} is no version; write a whole number from 1 on")
            version = 0
        kind = spec.get("type")
        if type(kind) is not str or not kind:
            self.tell(id, "type", f'{short(kind)} is no node type; write a text such as "image.save"')
            kind = ""
        return kind, self.object(spec, "inputs", id), state, version

    def value(self, graph: Graph, id: str, name: str, value: Any) -> Any:
        """An input that may be a link, a body, a wrapped literal, or a list with links."""
        if type(value) is list:
            items = [self.item(id, name, v) if type(v) is dict and len(v) == 1 else v for v in value]
            return tuple(items) if any(type(v) is Link for v in items) else items
        if "link" in value:
            return self.link(value["link"], id, name)
        if "graph" in value:
            return self.body(graph, id, name, value["graph"])
        return value["value"] if "value" in value else value

    def item(self, id: str, name: str, value: dict[str, Any]) -> Any:
        """An item of a list that may be a link or a wrapped literal."""
        if "link" in value:
            return self.link(value["link"], id, name)
        if "graph" in value:
            self.tell(id, name, "a body cannot stand in a list; make it the input's only value")
            return None
        return value["value"] if "value" in value else value

    def link(self, text: Any, node: str, name: str) -> Link | None:
        """`node.output` or a bare name."""
        if type(text) is not str or not text:
            self.tell(node, name, f'{short(text)} is no link; write "node.output"')
            return None
        source, _, output = text.partition(".")
        output = self.names.setdefault(output, output)
        return tuple.__new__(Link, (source, output))  # Link(...) takes twice as long

    def body(self, graph: Graph, id: str, name: str, spec: Any) -> Any:
        """A sub-graph, to be read later."""
        if not isinstance(spec, dict):
            self.tell(id, name, f"a body is an object with inputs, outputs and nodes, not {kind_of(spec)}")
            return None
        if graph.depth == DEPTH:
            self.tell(id, name, f"bodies are nested deeper than {DEPTH}; take a level out")
            return None
        for unknown in sorted(spec.keys() - BODY_FIELDS):
            self.tell(id, name, f"{unknown!r} is no field of a body; it has {', '.join(sorted(BODY_FIELDS))}")
        names = spec.get("inputs", [])
        if type(names) is not list or not all(type(n) is str and ID(n) for n in names):
            self.tell(id, name, f"the inputs of a body are a list of names, and not {short(names)}")
            names = []
        elif len(set(names)) < len(names):
            twice = next(n for i, n in enumerate(names) if n in names[:i])
            self.tell(id, name, f"the body has two inputs {twice!r}; rename one of them")
        inner = Graph(tuple(names), graph, id, name, graph.depth + 1)
        self.graphs.append(inner)
        self.waiting.append((inner, spec))
        return inner


class Doubled(dict[str, Any]):
    """A JSON object in which keys came twice; `twice` holds what each of them had, in the file's order."""

    def __init__(self, pairs: list[tuple[str, Any]]) -> None:
        super().__init__(pairs)
        every: dict[str, list[Any]] = {}
        for key, value in pairs:
            every.setdefault(key, []).append(value)
        self.twice = {key: values for key, values in every.items() if len(values) > 1}


def blemishes(data: Any) -> Iterator[Problem]:
    """Keys that came twice, and numbers that are none, with their places; for files known to have some."""
    stack: list[tuple[Any, tuple[str, ...]]] = [(data, ())]
    while stack:
        value, path = stack.pop()
        if isinstance(value, Doubled):
            for key, values in value.twice.items():
                said = "" if any(isinstance(v, (dict, list)) for v in values) else ", as " + shown(values)
                yield Problem(*place((*path, key, "")), f"the key {key!r} is there twice{said}; keep one")
        if isinstance(value, dict):
            stack += [(v, (*path, k)) for k, v in value.items()]
        elif isinstance(value, list):
            stack += [(v, path) for v in value]
        elif isinstance(value, float) and (value != value or value in (float("inf"), float("-inf"))):
            name = "NaN" if value != value else "Infinity"
            yield Problem(*place(path), f"{name} is no JSON number; write a finite number")
        elif isinstance(value, str) and not whole(value):
            yield Problem(*place(path), f"{short(value)} has half a character; write it as UTF-8")


def shown(values: list[Any]) -> str:
    """The values that one key had: `1 and 2`."""
    return " and ".join(map(short, values))


def nested(value: Any, limit: int) -> bool:
    """Whether lists and objects nest deeper than a limit."""
    return keys(value, limit) is None


def bounded(data: Any) -> int:
    """How many keys there are in JSON data. WorkflowError where brackets nest too deeply."""
    found = keys(data, BRACKETS)
    if found is None:
        raise WorkflowError("brackets are nested too deeply to be a workflow")
    return found


def keys(value: Any, limit: int) -> int | None:
    """How many keys the objects in a list or object have; None where they nest deeper than a limit."""
    level, kinds = [value] if isinstance(value, CONTAINERS) else [], {dict, list, tuple, Doubled}
    count = 0
    for _ in range(limit):
        inner = []
        for outer in level:
            if isinstance(outer, dict):
                count += len(outer)
            for item in outer.values() if isinstance(outer, dict) else outer:
                if type(item) in kinds:
                    inner.append(item)
        if not inner:
            return count
        level = inner
    return None


def whole(text: str) -> bool:
    """Whether a text has no half of a surrogate pair, which is no character and cannot be saved."""
    if text.isascii():
        return True
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def place(path: tuple[str, ...]) -> tuple[str, str]:
    """The innermost node and input on a path of keys; `graph:name/node` in a sub-workflow."""
    node = name = ""
    home = f"graph:{path[1]}/" if path[:1] == ("graphs",) and len(path) > 2 else ""
    for i, key in enumerate(path[:-1]):
        if key == "nodes":
            node, name = home + path[i + 1], ""
        elif key == "inputs" and node:
            name = path[i + 1]
    return node or home[:-1], name


def kind_of(value: Any) -> str:
    """A JSON value's kind in words."""
    names = {dict: "an object", list: "a list", str: "a text", bool: "true or false", type(None): "null"}
    return names.get(type(value), "a number")


def embedded(png: bytes) -> str | None:
    """The text chunk `workflow` of a PNG (tEXt, zTXt or iTXt; PNG specification, section 11.3.4)."""
    at = len(PNG)
    while at + 12 <= len(png):
        size = int.from_bytes(png[at : at + 4], "big")
        kind, body = png[at + 4 : at + 8], png[at + 8 : at + 8 + size]
        at += 12 + size
        keyword, _, rest = body.partition(b"\0")
        if keyword != b"workflow":
            continue
        try:
            if kind == b"tEXt":
                return rest.decode("latin-1")
            if kind == b"zTXt":
                return inflate(rest[1:]).decode("latin-1")
            if kind == b"iTXt":
                text = rest[2:].split(b"\0", 2)[2]
                return (inflate(text) if rest[0] else text).decode("utf-8")
        except (zlib.error, UnicodeDecodeError, IndexError):
            return None
    return None


def inflate(data: bytes) -> bytes:
    """Decompress what a workflow may have; zlib.error where it is cut short, or more."""
    stream = zlib.decompressobj()
    found = stream.decompress(data, LARGEST)
    if not stream.eof:
        raise zlib.error("cut short, or too long")
    return found
