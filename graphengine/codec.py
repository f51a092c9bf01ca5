"""Codec: values as bytes and back, without pickle: tensors as safetensors, with their arrangement as JSON.

What can be stored: None, bool, int, float, str, bytes, tensors, and lists, tuples, dicts, enum members,
NamedTuples and frozen dataclasses of these, and what a wire type encodes. Classes come back only from
packages that were named as packs.
"""

from __future__ import annotations

import base64
import json
import sys
from collections.abc import Collection
from dataclasses import fields, is_dataclass
from enum import Enum
from importlib import import_module
from math import isfinite
from struct import pack, unpack
from typing import Any


class NotStorable(Exception):
    """A value of a kind that has no form as bytes."""


class Codec:
    """Encodes anything storable; decodes what was encoded, with classes of the given packages only."""

    def __init__(self, packages: Collection[str] = ()) -> None:
        self.packages = {"graphengine", *packages}

    def encode(self, value: Any) -> bytes:
        """The value as the bytes of a safetensors file. NotStorable names a kind that cannot be stored."""
        from safetensors.torch import save

        tensors: dict[str, Any] = {}
        try:
            outline = self.outline(value, tensors)
            return save(tensors, {"value": json.dumps(outline, separators=(",", ":"))})
        except NotStorable:
            raise
        except Exception as error:  # a sparse or quantised tensor, a list that holds itself, a full memory
            raise NotStorable(f"a {type(value).__qualname__} cannot be stored: {error}") from error

    def decode(self, data: bytes) -> Any:
        """The value again, tensors on the CPU. ValueError if these are not bytes that `encode` gave."""
        from safetensors.torch import load

        try:
            size = int.from_bytes(data[:8], "little")
            outline = json.loads(json.loads(data[8 : 8 + size])["__metadata__"]["value"])
            return self.value(outline, load(data))
        except ValueError:
            raise
        except Exception as error:  # what a class makes of fields that it never had is not known
            raise ValueError(f"not a stored value: {error}") from error

    def outline(self, value: Any, tensors: dict[str, Any]) -> Any:
        """The arrangement of a value as JSON data; tensors are put aside under their numbers."""
        kind = type(value)
        if value is None or kind in (bool, str) or (kind is float and isfinite(value)):
            return value
        if kind is int:
            return value if abs(value) < 1 << 64 else {"int": hex(value)}
        if kind is float:  # a NaN has a sign and a payload, which its text has not
            return {"float": repr(value)} if value == value else {"nan": pack(">d", value).hex()}
        if kind is list:
            return [self.outline(v, tensors) for v in value]
        if kind is tuple:
            return {"tuple": [self.outline(v, tensors) for v in value]}
        if kind is dict:
            return {"dict": [[self.outline(k, tensors), self.outline(v, tensors)] for k, v in value.items()]}
        if kind is bytes:
            return {"bytes": base64.b64encode(value).decode()}
        torch = sys.modules.get("torch")
        if torch is not None and isinstance(value, torch.Tensor):
            name = str(len(tensors))
            value = value.detach()
            # How its dimensions lie in memory is kept: in another order, a convolution may give other bits.
            order = sorted(range(value.ndim), key=lambda d: -value.stride(d))
            # A copy of its own: safetensors refuses tensors that share their memory with others.
            tensors[name] = value.permute(order).to("cpu", copy=True).contiguous()
            return {"tensor": name} if order == [*range(value.ndim)] else {"tensor": name, "order": order}
        where = f"{kind.__module__}:{kind.__qualname__}"
        if kind.__module__.partition(".")[0] not in self.packages or "<locals>" in where:
            raise NotStorable(f"a {where} cannot be stored, because it belongs to no pack")
        wire = getattr(kind, "__wire__", None)
        if wire is not None and wire.encode is not None:
            return {"wire": where, "of": self.outline(wire.encode(value), tensors)}
        if isinstance(value, Enum):
            return {"enum": where, "name": value.name}
        if isinstance(value, tuple) and hasattr(value, "_fields"):
            return {
                "class": where,
                "fields": {n: self.outline(getattr(value, n), tensors) for n in value._fields},
            }
        if is_dataclass(kind) and kind.__dataclass_params__.frozen:  # type: ignore[attr-defined]
            parts = {f.name: self.outline(getattr(value, f.name), tensors) for f in fields(value) if f.init}
            return {"class": where, "fields": parts}
        raise NotStorable(
            f"a {where} cannot be stored; make it a frozen dataclass of tensors and plain values, or give "
            "its wire type `encode` and `decode`"
        )

    def value(self, outline: Any, tensors: dict[str, Any]) -> Any:
        """The inverse of `outline`."""
        if isinstance(outline, list):
            return [self.value(v, tensors) for v in outline]
        if not isinstance(outline, dict):
            return outline
        ((mark, inner), *_) = outline.items()
        if mark == "tensor":
            order = outline.get("order")
            return tensors[inner] if order is None else tensors[inner].permute(inverse(order))
        if mark == "class":
            given = {n: self.value(v, tensors) for n, v in outline["fields"].items()}
            return self.known(inner, object)(**given)
        if mark == "wire":
            cls = self.known(inner, object)
            decoded = cls.__wire__.decode(self.value(outline["of"], tensors))
            if type(decoded) is not cls:
                raise ValueError(f"the decode of {inner} gives a {type(decoded).__qualname__}")
            return decoded
        if mark == "tuple":
            return tuple(self.value(v, tensors) for v in inner)
        if mark == "dict":
            return {self.value(k, tensors): self.value(v, tensors) for k, v in inner}
        if mark == "float":
            return float(inner)
        if mark == "nan":
            return unpack(">d", bytes.fromhex(inner))[0]
        if mark == "int":
            return int(inner, 16)
        if mark == "bytes":
            return base64.b64decode(inner)
        if mark == "enum":
            return self.known(inner, Enum)[outline["name"]]
        raise ValueError(f"{mark!r} is no kind of value")

    def known(self, where: str, kind: type) -> Any:
        """A class of a pack by its place. ValueError if it is no class that values are made of."""
        module, _, name = where.partition(":")
        if module.partition(".")[0] not in self.packages:
            raise ValueError(f"{where} belongs to no pack")
        found: Any = import_module(module)
        for part in name.split("."):
            found = getattr(found, part)
        if isinstance(found, type) and found.__module__ == module and issubclass(found, kind):
            wire = getattr(found, "__wire__", None)
            if is_dataclass(found) or issubclass(found, (tuple, Enum)) or (wire and wire.decode):
                return found
        raise ValueError(f"{where} is no dataclass, NamedTuple or Enum, nor a wire type that is decoded")


def inverse(order: list[int]) -> list[int]:
    """The permutation that takes another one back."""
    return sorted(range(len(order)), key=order.__getitem__)
