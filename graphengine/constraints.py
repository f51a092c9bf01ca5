"""Constraints: what the marks of `Annotated` say of an input, and whether any value can meet it."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from functools import cache
from typing import Any, get_args, get_type_hints

from graphengine.authoring import Choices, Ui
from graphengine.errors import PackError
from graphengine.literals import article, span
from graphengine.nodetype import Port

NUMBERS = {"minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"}
FITTING = {
    "int": NUMBERS,
    "float": NUMBERS,
    "str": {"minLength", "maxLength", "pattern"},
    "list": {"minItems", "maxItems"},
}
"""What can be asked of a literal, by the type of its port."""
KEYWORDS = {"ge": "minimum", "gt": "exclusiveMinimum", "le": "maximum", "lt": "exclusiveMaximum",
            "multiple_of": "multipleOf", "min_length": "minLength", "max_length": "maxLength"}  # fmt: skip


def marked(place: str, port: Port, marks: tuple[Any, ...]) -> Port:
    """The port with everything that its `Annotated` says."""
    for mark in marks:
        port = constrain(place, port, mark)
    if marks and (why := impossible(port.type, port.schema)):
        raise PackError(f"{place} has bounds that no value meets: {why}; correct one of the two")
    return port


def constrain(place: str, port: Port, mark: Any) -> Port:
    """Add what one mark of `Annotated` says."""
    if isinstance(mark, Ui):
        hints = {k: v for k, v in vars(mark).items() if v is not None}
        drawable(place, port, mark)
        return port._replace(ui={**port.ui, **hints})
    if isinstance(mark, Choices):
        if port.type not in ("str", ("list", "str")):
            raise PackError(f"{place}: Choices are texts, and it is {article(port.type)}; make it a `str`")
        return port._replace(ui={**port.ui, "choices": True}, choices=mark.read)
    if hasattr(mark, "metadata"):  # pydantic's Field
        for inner in mark.metadata:
            port = constrain(place, port, inner)
        return (
            port._replace(schema={**port.schema, "description": mark.description})
            if mark.description
            else port
        )
    said = {k: v for a, k in KEYWORDS.items() if (v := getattr(mark, a, None)) is not None}
    if isinstance(pattern := getattr(mark, "pattern", None), str):
        said["pattern"] = pattern
    if isinstance(port.type, tuple):
        said = {k.replace("Length", "Items"): v for k, v in said.items()}
    if said.keys() - FITTING.get("list" if isinstance(port.type, tuple) else port.type, set()):
        raise PackError(f"{place}: {mark!r} does not fit {article(port.type)}; remove it")
    if said:
        try:
            re.compile(said.get("pattern", ""))
        except re.error as error:
            raise PackError(f"{place}: {pattern!r} is no regular expression: {error}") from error
        return port._replace(schema={**port.schema, **said})
    raise PackError(
        f"{place}: {mark!r} cannot be checked before the node runs; use Field's ge, gt, le, lt, ..."
    )


FITS = {"slider": ("int", "float"), "seed": ("int",), "multiline": ("str",), "colour": ("str",)}
"""The types that a widget is for, where it is not for all."""


def drawable(place: str, port: Port, mark: Ui) -> None:
    """PackError for a hint that the editor knows nothing of, or that does not fit the type."""
    for name in ("widget", "scale"):
        said = getattr(mark, name)
        if said is not None and said not in options(name):
            words = ", ".join(map(repr, options(name)))
            raise PackError(f"{place}: there is no {name} {said!r}; write one of {words}")
    if mark.widget in FITS and port.type not in FITS[mark.widget]:
        kinds = " or ".join(FITS[mark.widget])
        raise PackError(
            f"{place}: the widget {mark.widget!r} is for {kinds}, and not for {article(port.type)}"
        )


@cache
def options(name: str) -> tuple[str, ...]:
    """What a field of Ui may be."""
    return tuple(option for part in get_args(get_type_hints(Ui)[name]) for option in get_args(part))


def impossible(kind: Any, schema: Mapping[str, Any]) -> str:
    """Why no value can be as it should, as the two bounds that are at odds; empty if one can."""
    for least, most in (("minLength", "maxLength"), ("minItems", "maxItems")):
        if schema.get(least, 0) > schema.get(most, math.inf):
            return f"at least {schema[least]} and at most {schema[most]} of them"
    low, high = schema.get("minimum", -math.inf), schema.get("maximum", math.inf)
    above, below = schema.get("exclusiveMinimum", -math.inf), schema.get("exclusiveMaximum", math.inf)
    if kind == "int":
        low = max(low, math.floor(above) + 1 if math.isfinite(above) else above)
        high = min(high, math.ceil(below) - 1 if math.isfinite(below) else below)
        above, below = -math.inf, math.inf
    bottom, top = max(low, above), min(high, below)
    if bottom > top or (bottom == top and bottom in (above, below)):
        return span(schema)
    unit = schema.get("multipleOf")
    if unit and math.isfinite(bottom) and math.ceil(bottom / unit) * unit > top:
        return f"{span(schema)}, and a multiple of {unit}"
    return ""
