"""Cache keys: what a value is made of, hashed.

A key is symbolic inside a body: the body's inputs stand as numbered symbols. So one Merkle pass over the file
gives each step its key, whether it stands in a body or not, and the key of a body is that of its outputs:
structure and captured keys at once. A step in a body is found again under `bind(key, keys of the arguments
that it depends on)`.

In what is hashed, a value is its canonical bytes (lengths first), or `k` or `h` and 32 bytes, so that no two
run together.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import fields
from enum import Enum
from typing import Any

from blake3 import blake3

Key = bytes


def digest(data: bytes) -> Key:
    """32 bytes of blake3."""
    return blake3(data).digest()


def symbol(depth: int, index: int) -> Key:
    """The input at `index` of the body at `depth`, whatever will be passed."""
    return digest(b"param %d %d" % (depth, index))


def bind(key: Key, arguments: Sequence[Key | None]) -> Key | None:
    """The key of a body's step in one call; None if an argument has none."""
    if not arguments:
        return key
    if None in arguments:
        return None
    return blake3(key + b"".join(arguments)).digest()  # type: ignore[arg-type]


def canonical(value: Any, depth: int = 16) -> bytes | None:
    """A plain value in bytes, types told apart and lengths first; None if it is not plain.

    Plain are None, bool, int, float, str, bytes, enum members, and lists, tuples, dicts, NamedTuples and
    frozen dataclasses of plain values. Fields with `compare=False` do not tell values apart and are left out.
    So are values whose wire type has a `hash`.
    """
    kind: Any = type(value)
    if kind is str:
        data: bytes = value.encode("utf-8", "surrogatepass")
        return b"s%d:" % len(data) + data
    if kind is int:
        return b"i%x;" % value  # hexadecimal: Python refuses to write more than 4,300 decimal digits
    if kind is float:
        return b"f" + struct.pack(">d", value)
    if value is None or kind is bool:
        return b"n" if value is None else b"t" if value else b"u"
    if kind is bytes:
        return b"b%d:" % len(value) + bytes(value)
    if depth == 0:
        return None
    items: Sequence[Any]
    if isinstance(value, Enum):
        items, mark = [kind.__module__, kind.__qualname__, value.name], b"e"
    elif kind is list or kind is tuple:
        items, mark = value, b"l" if kind is list else b"p"
    elif kind is dict:
        items, mark = [x for name in sorted(value, key=repr) for x in (name, value[name])], b"d"
    elif (wire := getattr(kind, "__wire__", None)) is not None and wire.hash is not None:
        items, mark = [kind.__module__, kind.__qualname__, wire.hash(value)], b"w"
    elif isinstance(value, tuple) and hasattr(value, "_fields"):
        items, mark = [kind.__module__, kind.__qualname__, *value], b"c"
    elif hasattr(kind, "__dataclass_fields__") and kind.__dataclass_params__.frozen:
        told = (getattr(value, f.name) for f in fields(value) if f.compare)
        items, mark = [kind.__module__, kind.__qualname__, *told], b"o"
    else:
        return None
    parts = []
    for item in items:
        part = canonical(item, depth - 1)
        if part is None:
            return None
        parts.append(part)
    return mark + b"%d:" % len(parts) + b"".join(parts)


def literal_key(value: Any) -> bytes:
    """What stands for a literal of the file in what is hashed: short ones as they are, long ones hashed."""
    data = b"i%x;" % value if type(value) is int else canonical(value, 64)
    if data is None:
        raise TypeError(f"{value!r} is no plain value")
    return data if len(data) < 64 else b"h" + digest(data)
