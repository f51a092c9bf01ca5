"""Write `src/api/schema.ts`: the bodies of the API as TypeScript, out of the server's own OpenAPI document.

`python web/schema.py` writes the file, `python web/schema.py --check` says whether it is as it should be.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from graphengine.server.openapi import document
from graphengine.server.routes import ROUTES

FILE = Path(__file__).resolve().parent / "src/api/schema.ts"
HEAD = "/** The bodies of the API. Made by `python web/schema.py` from the server's OpenAPI document. */\n"
PLAIN = {"integer": "number", "number": "number", "string": "string", "boolean": "boolean", "null": "null"}


def typescript(schemas: Mapping[str, Any]) -> str:
    """The whole file."""
    return HEAD + "".join(interface(name, schema) for name, schema in sorted(schemas.items()))


def interface(name: str, schema: Mapping[str, Any]) -> str:
    """One body: its first sentence, and its fields. What may be left out has a question mark."""
    lines = ["", f"/** {told(schema)} */", f"export interface {name} {{"]
    if not schema.get("properties"):
        return "\n".join([*lines[:2], f"export type {name} = Readonly<Record<string, never>>;", ""])
    required = set(schema.get("required", ()))
    for field, spec in schema.get("properties", {}).items():
        lines.append(f"  readonly {field}{'' if field in required else '?'}: {kind(spec)};")
    return "\n".join([*lines, "}", ""])


def told(schema: Mapping[str, Any]) -> str:
    """What the body is, in a line."""
    return " ".join(str(schema.get("description", schema.get("title", ""))).split())


def kind(spec: Mapping[str, Any]) -> str:
    """The TypeScript type of a JSON Schema."""
    if "$ref" in spec:
        return str(spec["$ref"]).rpartition("/")[2]
    if "const" in spec:
        return json.dumps(spec["const"])
    if "enum" in spec:
        return " | ".join(map(json.dumps, spec["enum"]))
    for words in ("anyOf", "oneOf"):
        if words in spec:
            return either(kind(s) for s in spec[words])
    if spec.get("type") == "array":
        inner = kind(spec.get("items", {}))
        return f"readonly ({inner})[]" if "|" in inner else f"readonly {inner}[]"
    if spec.get("type") == "object":
        inner = spec.get("additionalProperties")
        return f"Readonly<Record<string, {kind(inner) if isinstance(inner, dict) else 'unknown'}>>"
    return PLAIN.get(str(spec.get("type")), "unknown")


def either(kinds: Iterable[str]) -> str:
    """One of several, each once."""
    return " | ".join(dict.fromkeys(kinds))


def main(words: list[str]) -> int:
    """The command line."""
    text = typescript(document(ROUTES)["components"]["schemas"])
    if words == ["--check"]:
        if FILE.read_text() == text:
            return 0
        print(f"{FILE} is not what the server says; run `python web/schema.py`", file=sys.stderr)
        return 1
    FILE.write_text(text)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
