"""Formatting: the one text that a workflow has, so that two versions of a file compare well line by line.

Known fields stand in a fixed order; nodes, inputs, names and unknown fields stay in the user's. A node has
one line, or a line for each of its inputs where it does not fit on one; with a body it is always spread out.
The same data has the same text, whatever the text was that it was read from.
"""

from __future__ import annotations

import json
from typing import Any

from graphengine.graph import no_collection
from graphengine.reader import LARGEST

WIDTH = 110
"""Columns of a line."""
NARROW = 40
"""Columns that a value may take however far to the right it stands, so that a link is never broken up."""

FIELDS = {
    "file": ("format", "name", "description", "requires", "inputs", "outputs", "nodes", "graphs", "layout"),
    "graph": ("name", "description", "inputs", "outputs", "nodes", "layout"),
    "body": ("inputs", "outputs", "nodes"),
    "node": ("type", "version", "title", "note", "state", "inputs"),
}
"""The order of the known fields, by the place of the object."""
INSIDE = {
    ("file", "nodes"): "nodes",
    ("file", "graphs"): "graphs",
    ("file", "layout"): "layout",
    ("graph", "nodes"): "nodes",
    ("graph", "layout"): "layout",
    ("body", "nodes"): "nodes",
    ("node", "inputs"): "inputs",
}
"""The place of what stands in a field."""
EACH = {"nodes": "node", "graphs": "graph", "inputs": "input"}
"""The place of every value of an object whose keys the user chose."""
SPREAD = {"file", "nodes", "graphs", "graph", "body", "inputs", "layout"}
"""Places that are never put on one line by themselves, unless they are empty."""

ENCODE = json.JSONEncoder(ensure_ascii=False, allow_nan=False).encode


def text(data: Any) -> str:
    """The text of a workflow's data. ValueError for a number that is not finite.

    Data that would be too large to be read again because of its indentation is written without any.
    """
    with no_collection():
        found = indented(data)
    if found is not None and len(found.encode("utf-8", "surrogatepass")) <= LARGEST:
        return found
    return json.dumps(data, separators=(",", ":"), ensure_ascii=False, allow_nan=False) + "\n"


def indented(data: Any) -> str | None:
    """The text with its lines and columns; None where it becomes longer than a file may be."""
    parts: list[str] = []
    size = 0
    stack: list[str | tuple[str, Any, str, str, str]] = [("", data, "file", "", "")]
    while stack:
        item = stack.pop()
        if isinstance(item, str):
            parts.append(item)
            continue
        lead, value, place, indent, tail = item
        if place == "input" and has_body(value):
            lead, value, place, tail = lead + '{"graph": ', value["graph"], "body", "}" + tail
        if place in FIELDS and isinstance(value, dict):
            value = ordered(value, FIELDS[place])
        whole = None if value and spread(value, place) else line(value, max(WIDTH - len(lead), NARROW))
        if whole is not None:
            parts.append(lead + whole + tail)
        else:
            inner = f"\n{indent}  "
            if isinstance(value, dict):
                rows = [(f"{inner}{ENCODE(k)}: ", v, within(place, k)) for k, v in value.items()]
                parts.append(lead + "{")
                stack.append(f"\n{indent}}}{tail}")
            else:
                rows = [(inner, v, "") for v in value]
                parts.append(lead + "[")
                stack.append(f"\n{indent}]{tail}")
            last = len(rows) - 1
            stack += [(*rows[i], indent + "  ", "," if i < last else "") for i in range(last, -1, -1)]
        size += len(parts[-1])
        if size > LARGEST:
            return None
    return "".join(parts) + "\n"


def ordered(value: dict[str, Any], fields: tuple[str, ...]) -> dict[str, Any]:
    """The same object with the named fields first."""
    return {name: value[name] for name in fields if name in value} | value


def within(place: str, key: str) -> str:
    """The place of what stands under a key of an object; empty where nothing is known of it."""
    return EACH.get(place) or INSIDE.get((place, key), "")


def has_body(value: Any) -> bool:
    """Whether the value of an input is a body."""
    return isinstance(value, dict) and len(value) == 1 and isinstance(value.get("graph"), dict)


def spread(value: Any, place: str) -> bool:
    """Whether a value must not be put on one line, though it might fit: as a node with a body must not."""
    if not isinstance(value, dict):
        return False
    if place != "node":
        return place in SPREAD
    inputs = value.get("inputs")
    return isinstance(inputs, dict) and any(map(has_body, inputs.values()))


def line(value: Any, room: int) -> str | None:
    """A value on one line; None where lists and objects need more columns than there are."""
    if not value or not isinstance(value, (dict, list, tuple)):
        return ENCODE(value)
    if not small(value, room):
        return None
    found = ENCODE(value)
    return found if len(found) <= room else None


def small(value: Any, room: int) -> bool:
    """Whether a value may fit; looks at no more of it than there is room for, so the cost stays linear."""
    stack = [value]
    while stack:
        value = stack.pop()
        if isinstance(value, str):
            room -= len(value) + 2
        elif isinstance(value, dict):
            room -= 6 * len(value)
            if room >= 0:
                stack += value
                stack += value.values()
                room += 2 * len(value)  # the quotes of the keys are counted with these
        elif isinstance(value, (list, tuple)):
            room -= 2 * len(value)
            if room >= 0:
                stack += value
        else:
            room -= 1
        if room < 0:
            return False
    return True
