"""Parcel: a value of an isolated pack's own class, as it travels through the engine, which never opens it."""

from __future__ import annotations

import json
from collections.abc import Collection
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from blake3 import blake3

from graphengine.codec import Codec
from graphengine.types import WireType

MARKS = ("class", "wire", "enum")
"""What an outline says of values of classes; see `Codec.outline`."""


@WireType("Parcel", doc="A value of an isolated pack.", hash=lambda parcel: str(parcel.digest))
@dataclass(frozen=True, eq=False, repr=False)
class Parcel:
    """A value as its pack has encoded it: the arrangement, and the tensors that it names.

    It is kept, stored and handed on like any other frozen value; only its pack knows what it means.
    """

    pack: str
    kind: str
    outline: str
    tensors: dict[str, Any]

    @cached_property
    def digest(self) -> str:
        """A hash that is equal for equal values only."""
        data = Codec().encode([self.kind, self.outline, self.tensors])
        return blake3(data).hexdigest()

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(f"{name!r} is asked of {self!r}, which only nodes of that pack can read")

    def __repr__(self) -> str:
        return f"<a {self.kind.rpartition(':')[2]} of the isolated pack {self.pack}>"


class Closing(Codec):
    """The engine's side of what comes from an isolated pack: values of its classes become Parcels."""

    def __init__(self, packages: Collection[str], pack: str) -> None:
        super().__init__(packages)
        self.pack = pack

    def value(self, outline: Any, tensors: dict[str, Any]) -> Any:
        if isinstance(outline, dict):
            ((mark, inner), *_) = outline.items()
            if mark in MARKS and inner.partition(":")[0].partition(".")[0] not in self.packages:
                named = {name: tensors[name] for name in texts(outline) if name in tensors}
                return Parcel(self.pack, inner, json.dumps(outline, separators=(",", ":")), named)
        return super().value(outline, tensors)


class Opening(Codec):
    """The pack's side: its Parcels become values again. ValueError for one of another pack."""

    def __init__(self, packages: Collection[str], pack: str) -> None:
        super().__init__(packages)
        self.pack = pack

    def value(self, outline: Any, tensors: dict[str, Any]) -> Any:
        found = super().value(outline, tensors)
        if type(found) is not Parcel:
            return found
        if found.pack != self.pack:
            raise ValueError(f"it is {found!r}, which only nodes of that pack can read")
        return self.value(json.loads(found.outline), found.tensors)


def texts(outline: Any) -> list[str]:
    """Every text in an outline, among which are the names of its tensors."""
    found, stack = [], [outline]
    while stack:
        item = stack.pop()
        if isinstance(item, str):
            found.append(item)
        elif isinstance(item, (list, dict)):
            stack += item.values() if isinstance(item, dict) else item
    return found
