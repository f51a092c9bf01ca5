"""Literals: whether a value written into a file may stand at a port; if not, why, and what to write."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from math import isfinite
from typing import Any

from graphengine.nodetype import Port
from graphengine.types import PLAIN, TypeRef


def mismatch(value: Any, port: Port) -> str:
    """Why a literal cannot stand at a port, with what to do; empty if it can."""
    if value is None:
        return "" if port.optional or port.seed else f"null is no value here; give {article(port.type)}"
    return wrong_type(value, port.type) or out_of_bounds(value, port.schema)


def wrong_type(value: Any, wanted: TypeRef) -> str:
    """Why a JSON value is not of a type."""
    kind = type(value)
    if isinstance(wanted, tuple):
        if kind is not list:
            return f"{described(value)} not a list; write [...]"
        return next(
            (f"item {i}: {why}" for i, v in enumerate(value) if (why := wrong_type(v, wanted[1]))),
            "",
        )
    if wanted == "any" or wanted[0] == "~":
        return ""
    if wanted == "float" and kind in (int, float):
        return "" if finite(value) else f"{short(value)} is no finite number"
    if kind in PLAIN and PLAIN[kind] == wanted:
        return ""
    if wanted[0].isupper():
        return f"{described(value)} but {article(wanted)} comes through a link"
    return f"{described(value)} not {article(wanted)}; write {EXAMPLES[wanted]}"


def finite(value: float) -> bool:
    """Whether a number is one that a float can hold."""
    try:
        return isfinite(value)
    except OverflowError:  # a whole number of more than 308 digits
        return False


EXAMPLES = {
    "int": "a whole number such as 20",
    "float": "a number such as 7.5",
    "bool": "true or false",
    "str": 'a text in quotes such as "a cat"',
}
NAMES = {
    "int": "a whole number",
    "float": "a number",
    "bool": "true or false",
    "str": "a text",
    "list": "a list",
    "dict": "an object",
    "null": "null",
    "any": "a value",
}


PLURALS = {
    "int": "whole numbers",
    "float": "numbers",
    "bool": "true or false",
    "str": "texts",
    "any": "values",
}


def widened(value: Any, wanted: TypeRef) -> Any:
    """A literal with its whole numbers as floats where floats are wanted: JavaScript writes 1.0 as 1."""
    if wanted == "float" and type(value) is int:
        return float(value)
    if isinstance(wanted, tuple) and type(value) is list:
        return [widened(v, wanted[1]) for v in value]
    return value


def described(value: Any) -> str:
    """A value with its kind, where it does not say that itself: `'x' is a text,`, `true is`."""
    text = short(value)
    return (
        f"{text} is"
        if value is None or isinstance(value, bool)
        else f"{text} is {article(plain_name(value))},"
    )


def plain_name(value: Any) -> str:
    """The type of a JSON value, as its Python name."""
    return "null" if value is None else type(value).__name__


def article(kind: TypeRef) -> str:
    """A type with its article: `an Image`, `a list of Image`, `a whole number`."""
    if isinstance(kind, tuple):
        return f"a list of {PLURALS[kind[1]]}" if kind[1] in PLURALS else (
            f"a list of {article(kind[1]).split(' ', 1)[1]}"
        )  # fmt: skip
    if kind in NAMES:
        return NAMES[kind]
    name = kind.removeprefix("~")
    return f"{'an' if name[0] in 'AEIOU' else 'a'} {name}"


def short(value: Any) -> str:
    """A value as it stands in a file, cut where it is long; texts in single quotes."""
    in_json = value is None or isinstance(value, (bool, list, dict))
    text = json.dumps(value, ensure_ascii=False, default=str) if in_json else repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def out_of_bounds(value: Any, schema: Mapping[str, Any]) -> str:
    """Why a value of the right type is refused."""
    if not schema:
        return ""
    low, high = schema.get("minimum"), schema.get("maximum")
    above, below = schema.get("exclusiveMinimum"), schema.get("exclusiveMaximum")
    if (options := schema.get("enum")) is not None and value not in options:
        return f"{short(value)} is none of the choices; choose {', '.join(map(str, options))}"
    if low is not None and value < low:
        return f"{value} is below {low}; choose {span(schema)}"
    if high is not None and value > high:
        return f"{value} is above {high}; choose {span(schema)}"
    if above is not None and value <= above:
        return f"{value} is not above {above}; choose {span(schema)}"
    if below is not None and value >= below:
        return f"{value} is not below {below}; choose {span(schema)}"
    if (step := schema.get("multipleOf")) is not None and not divides(step, value):
        near = step * (value // step)
        return f"{value} is no multiple of {step}; choose {plainly(near)} or {plainly(near + step)}"
    for least, most in (("minLength", "maxLength"), ("minItems", "maxItems")):
        if least in schema and len(value) < schema[least]:
            return f"{short(value)} is shorter than {schema[least]}"
        if most in schema and len(value) > schema[most]:
            return f"{short(value)} is longer than {schema[most]}"
    if "pattern" in schema and not re.search(schema["pattern"], value):
        wanted = schema.get("description", f"a text that matches {schema['pattern']}")
        return f"{short(value)} does not fit; give {wanted}"
    if inner := schema.get("items"):
        return next((f"item {i}: {why}" for i, v in enumerate(value) if (why := out_of_bounds(v, inner))), "")
    return ""


def plainly(value: float) -> str:
    """A number without the last digits of its rounding."""
    return str(value) if isinstance(value, int) else f"{value:.12g}"


def divides(step: float, value: float) -> bool:
    """Whether a value is a multiple of a step; for floats as near as they can say it: 0.3 is one of 0.1."""
    if isinstance(step, int) and isinstance(value, int):
        return value % step == 0
    return abs(value / step - round(value / step)) <= 1e-9 * max(1.0, abs(value / step))


def span(schema: Mapping[str, Any]) -> str:
    """The bounds in words: `1 to 150`, `0 or more`."""
    low = schema.get("minimum", schema.get("exclusiveMinimum"))
    high = schema.get("maximum", schema.get("exclusiveMaximum"))
    low_text = f"more than {low}" if "exclusiveMinimum" in schema else f"{low}"
    high_text = f"less than {high}" if "exclusiveMaximum" in schema else f"{high}"
    if low is None:
        return f"{high_text} or less" if "exclusiveMaximum" not in schema else high_text
    if high is None:
        return f"{low_text} or more" if "exclusiveMinimum" not in schema else low_text
    return f"{low_text} to {high_text}"
