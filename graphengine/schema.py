"""Schema: workflow files as a JSON Schema (draft 2020-12), for editors that complete and check JSON.

It says what can be said of one place at a time: it accepts every file that `check` accepts, and refuses most
of those that it refuses. It is stricter with what `check` never sees, a mistake in a muted node or the inputs
of an older version of a node type that does not say its version.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from graphengine.literals import article, span
from graphengine.migrate import FORMAT
from graphengine.nodetype import EMPTY, NodeType, Port
from graphengine.reader import STATES
from graphengine.types import TypeRef, show

DRAFT = "https://json-schema.org/draft/2020-12/schema"
BEYOND = (
    "What a schema cannot say, `graphengine validate` does: ids that are used twice, links that lead nowhere "
    "or carry another type, cycles, and what a body must give."
)
ID = r"^[a-z][a-z0-9_]*$"
SOURCE = r"^[a-z][a-z0-9_]*(\..+)?$"
PLACE = r"^[a-z][a-z0-9_]*\..+$"
LITERALS = {"int": "integer", "float": "number", "bool": "boolean", "str": "string"}
BOUNDS = {"minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"}
KEYWORDS = (*sorted(BOUNDS), "minLength", "maxLength", "minItems", "maxItems", "pattern", "enum")
"""What a port's schema says that JSON Schema says in the same words."""
foreign = re.compile(r"\(\?[^:=!<]|\\[AZ]").search
"""Finds what a pattern says in Python's regular expressions only, and not in JavaScript's."""


def schema(types: Mapping[str, NodeType] | None = None) -> dict[str, Any]:
    """The schema of workflow files; with node types, the inputs of each are described too.

    A type that is not among them may have any inputs.
    """
    fields = {
        "format": {"const": FORMAT, "description": "The version of the file format."},
        **NAMED,
        "requires": {
            "type": "object",
            "additionalProperties": {"type": "string"},
            "description": "By the first part of node types: what has them, with its version, as for pip.",
        },
        **PARTS,
        "graphs": {
            **by_id("graph"),
            "description": "Reusable sub-workflows; a node of type graph:NAME runs one.",
        },
        "layout": LAYOUT,
    }
    found = {
        "$schema": DRAFT,
        "title": "GraphEngine workflow",
        "description": f"A workflow of GraphEngine, format {FORMAT}. {BEYOND}",
        **closed(fields, "format"),
        "$defs": definitions(),
    }
    if types:
        node = found["$defs"]["node"]
        node["properties"]["type"]["anyOf"] = [*map(choice, types.values()), {"type": "string"}]
        # The inputs of a known type are described by that alone: looking at each body twice, as any input and
        # as this one, would be 2 ** depth looks.
        loose = {"properties": {"inputs": node["properties"]["inputs"]}}
        node["properties"]["inputs"] = {"type": "object"}
        known = {"anyOf": [*map(which, types.values())]}
        node["allOf"] = [{"if": known, "else": loose}, *map(only_for, types.values())]
        found["$defs"] |= {kind.id: inputs(kind) for kind in types.values()}
    return found


def closed(properties: dict[str, Any], *required: str) -> dict[str, Any]:
    """An object with these fields and no others."""
    needed = {"required": [*required]} if required else {}
    return {"type": "object", "properties": properties, **needed, "additionalProperties": False}


def by_id(name: str) -> dict[str, Any]:
    """An object of what is defined under a name, by id."""
    return {"type": "object", "propertyNames": {"pattern": ID}, "additionalProperties": ref(name)}


def ref(name: str) -> dict[str, Any]:
    """What is defined under a name."""
    return {"$ref": f"#/$defs/{name}"}


def texts(pattern: str, description: str) -> dict[str, Any]:
    """An object of texts of one form."""
    values = {"type": "string", "pattern": pattern}
    return {"type": "object", "additionalProperties": values, "description": description}


NAMED = {
    "name": {"type": "string", "description": "A title for people."},
    "description": {"type": "string", "description": "What it does, in a sentence or two."},
}
PARTS = {
    "inputs": texts(PLACE, 'What a user may set, by name, each as "node.input".'),
    "outputs": texts(PLACE, 'What a user gets, by name, each as "node.output".'),
    "nodes": {**by_id("node"), "description": "The steps, by id."},
}
LAYOUT = {"type": "object", "description": "What only the graph editor needs: positions, frames, colours."}


def definitions() -> dict[str, Any]:
    """What refers to itself or is used in several places."""
    body = {
        "inputs": {
            "type": "array",
            "items": {"type": "string", "pattern": ID},
            "uniqueItems": True,
            "description": "What the body is called with; its nodes link to these by bare name.",
        },
        "outputs": texts(SOURCE, 'What the body gives, by name, each as "node.output".'),
        "nodes": PARTS["nodes"],
    }
    node = {
        "type": {"type": "string", "minLength": 1, "description": 'Such as "image.save" or "graph:NAME".'},
        "version": {
            "type": "integer",
            "minimum": 1,
            "description": "The version of the node type that the inputs were written for.",
        },
        "title": {"type": "string", "description": "A name for people; the id is what links use."},
        "note": {"type": "string", "description": "A remark."},
        "state": {
            "enum": [*STATES],
            "description": "Muted: does not run. Bypassed: hands on what it is given.",
        },
        "inputs": {"type": "object", "additionalProperties": ref("input")},
    }
    link = {"link": {"type": "string", "pattern": SOURCE}}
    return {
        "graph": closed({**NAMED, **PARTS, "layout": LAYOUT}),
        "node": closed(node, "type"),
        "link": {
            **closed(link, "link"),
            "description": 'An output of a node, "node.output", or an input of a body around it, "name".',
        },
        "wrapped": {
            **closed({"value": True}, "value"),
            "description": "A literal that would read like a link or a body if it were not wrapped.",
        },
        "body": {
            **closed({"graph": closed(body)}, "graph"),
            "description": "A sub-graph that the node calls.",
        },
        "input": {
            "description": "A literal, a link, a list of these, or a body.",
            "allOf": [
                if_alone("link", ref("link")),
                if_alone("graph", ref("body")),
                {
                    "if": {"type": "array"},
                    "then": {"items": {"allOf": [if_alone("link", ref("link")), if_alone("graph", False)]}},
                },
            ],
        },
    }


def if_alone(name: str, then: Any) -> dict[str, Any]:
    """What must be so where an object has one field, and it is this one."""
    return {"if": {"type": "object", "required": [name], "maxProperties": 1}, "then": then}


def choice(kind: NodeType) -> dict[str, Any]:
    """A node type as a value of `type` that an editor offers."""
    found = {"const": kind.id, "title": kind.title, "description": kind.doc.partition("\n")[0]}
    return found | ({"deprecated": True} if kind.deprecated else {})


def which(kind: NodeType) -> dict[str, Any]:
    """That a node is of a type; what was written for another version of it has other inputs."""
    said: dict[str, Any] = {"type": {"const": kind.id}}
    if kind.version > 1:
        said["version"] = {"const": kind.version}
    return {"properties": said, "required": ["type"]}


def only_for(kind: NodeType) -> dict[str, Any]:
    """What must be so for nodes of one type. One that does not run, having a state, may lack inputs."""
    then: dict[str, Any] = {"properties": {"inputs": ref(kind.id)}}
    needed = [name for name, port in kind.ports.items() if port.default is EMPTY]
    if needed:
        whole = {"required": ["inputs"], "properties": {"inputs": {"required": needed}}}
        then |= {"if": {"required": ["state"]}, "else": whole}
    return {"if": which(kind), "then": then}


def inputs(kind: NodeType) -> dict[str, Any]:
    """The inputs of one node type."""
    ports = {name: value(port) for name, port in kind.ports.items()}
    return {"title": kind.title, "description": kind.doc, **closed(ports)}


def value(port: Port) -> dict[str, Any]:
    """What may stand at a port."""
    found: dict[str, Any] = {"description": described(port)}
    if label := port.ui.get("label"):
        found["title"] = label
    if port.default is not EMPTY:
        found["default"] = port.default
    if port.kind == "body":
        return found | ref("body") | {"properties": {"graph": body(port)}}
    if open_to_all(port.type):
        return found | ref("input")
    options = [*literal(port.type, port.schema), ref("link"), ref("wrapped")]
    return found | {"anyOf": [*options, {"type": "null"}] if port.optional or port.seed else options}


def body(port: Port) -> dict[str, Any]:
    """How many inputs and outputs a body must have."""
    count = len(port.params)
    sizes = {
        "inputs": {"minItems": count, "maxItems": count},
        "outputs": {"minProperties": 1, "maxProperties": 1},
    }
    return {"properties": sizes, "required": ["inputs", "outputs"] if count else ["outputs"]}


def open_to_all(kind: TypeRef) -> bool:
    """Whether any value may be of a type."""
    return kind == "any" or (isinstance(kind, str) and kind.startswith("~"))


def literal(kind: TypeRef, schema: Mapping[str, Any]) -> list[dict[str, Any]]:
    """What a literal of a type must be like; nothing where only a link may stand."""
    said = {name: schema[name] for name in KEYWORDS if name in schema}
    if foreign(said.get("pattern", "")):
        del said["pattern"]
    step = schema.get("multipleOf")
    if step is not None and float(step).is_integer():  # by others, floats are not divided exactly
        said["multipleOf"] = step
    if isinstance(kind, tuple):
        if open_to_all(kind[1]):
            return [{"type": "array", "items": ref("input"), **said}]
        inner = literal(kind[1], schema.get("items", {}))
        return [{"type": "array", "items": {"anyOf": [*inner, ref("link"), ref("wrapped")]}, **said}]
    return [{"type": LITERALS[kind], **said}] if kind in LITERALS else []


def described(port: Port) -> str:
    """A port in words."""
    if port.kind == "body":
        gets = ", ".join(map(show, port.params)) or "nothing"
        said = f"a body that gets {gets}, and gives {show(port.type)}"
    else:
        said = article(port.type)
        if port.schema.keys() & BOUNDS:
            unit = port.ui.get("unit")
            said += f", {span(port.schema)}" + (f" {unit}" if unit else "")
        if "enum" in port.schema:
            said += f": {', '.join(map(str, port.schema['enum']))}"
    if "description" in port.schema:
        said += f"; {port.schema['description']}".rstrip(".")
    return f"{said[0].upper()}{said[1:]}."
