"""Wire types: how each kind of value that travels along a link is named, coloured and measured.

A wire type is either an annotation, `Image = Annotated[Tensor, WireType("Image", ...)]`, or a class that
a pack marks: `@WireType("Latent", colour="#b388ff")` above a frozen dataclass. Plain Python types (`int`,
`float`, `bool`, `str`, and lists of them) are wire types of their own, and may be written into the file.

As data, a type is a `TypeRef`: a name (`"Image"`, `"int"`, `"any"`), a type variable (`"~T"`), or
`("list", TypeRef)`.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from dataclasses import dataclass, fields, is_dataclass
from functools import cache
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

from graphengine.errors import PackError

if TYPE_CHECKING:
    from torch import Tensor
else:
    Tensor = Any  # torch takes seconds to import; the annotation needs only the name

NAME = re.compile("[A-Z][A-Za-z0-9]*").fullmatch
COLOUR = re.compile("#[0-9a-fA-F]{3}([0-9a-fA-F]{3})?").fullmatch

TypeRef = Any  # str | tuple["list", TypeRef]: recursive, and compared far too often for a class
C = TypeVar("C", bound=type)

PLAIN: dict[type, str] = {int: "int", float: "float", bool: "bool", str: "str"}


@dataclass(frozen=True)
class WireType:
    """What the engine and the editor know of one kind of value.

    `name` is a capitalised word; `colour` a CSS hex colour; `doc` one line for the tooltip. Two types with
    one name are one type: a pack that reuses a name must mean the same thing.

    A frozen dataclass of tensors and plain values needs no more. For another class of the pack's own,
    `encode` makes of a value what can be stored (tensors, plain values, lists and dicts of these), and
    `decode` the value again; without them it is kept in memory only. `hash` gives bytes or a text that are
    equal for equal values only: with it, a value that a node made itself is known again in a loop. `preview`
    gives a picture of a value, float32 [batch, height, width, channels] from 0 to 1; it is shown when a node
    has given one, and may be there for an annotation too.
    """

    name: str
    colour: str = "#9aa0a6"
    doc: str = ""
    encode: Callable[[Any], Any] | None = None
    decode: Callable[[Any], Any] | None = None
    hash: Callable[[Any], bytes | str] | None = None
    preview: Callable[[Any], Any] | None = None

    def __post_init__(self) -> None:
        if not NAME(self.name):
            raise PackError(
                f"{self.name!r} is no name of a wire type; write a capitalised word, such as Palette"
            )
        if not COLOUR(self.colour):
            raise PackError(f"{self.colour!r} is no colour of a wire type; write it as #rrggbb")
        if (self.encode is None) != (self.decode is None):
            raise PackError(f"the wire type {self.name} is encoded or decoded only; give it both functions")

    def __call__(self, cls: C) -> C:
        """Mark a class as this wire type."""
        cls.__wire__ = self  # type: ignore[attr-defined]
        return cls


Image = Annotated[
    Tensor,
    WireType("Image", "#4f9cf9", "Pictures: float32 [batch, height, width, channels], 0 to 1."),
]
Mask = Annotated[
    Tensor,
    WireType("Mask", "#8bc34a", "Masks: float32 [batch, height, width], 0 to 1; 1 is selected."),
]


def show(ref: TypeRef) -> str:
    """A type in the words of the editor: `Image`, `list of int`."""
    if isinstance(ref, tuple):
        return f"list of {show(ref[1])}"
    return str(ref).removeprefix("~")


@cache
def named_fields(kind: Any) -> tuple[str, ...]:
    """The fields of a dataclass that does not say itself how large it is."""
    return tuple(f.name for f in fields(kind)) if is_dataclass(kind) and not hasattr(kind, "nbytes") else ()


def weight(value: Any) -> int:
    """Bytes that keeping this value costs, about; tensors by their storage, containers by their items.

    What is there several times counts once: a view of a tensor holds all of it, two views no more than that.
    """
    total, stack = 0, [value]
    seen: set[int] = set()
    while stack:
        value = stack.pop()
        if id(value) in seen:
            continue
        seen.add(id(value))
        kind = type(value)
        if kind in PLAIN or value is None:
            total += sys.getsizeof(value)
            continue
        if names := named_fields(kind):  # type: ignore[arg-type]  # every class is hashable
            total += 64
            stack += [getattr(value, name) for name in names]
            continue
        if hasattr(value, "untyped_storage"):
            try:
                value = value.untyped_storage()
            except (NotImplementedError, RuntimeError):  # sparse tensors have none
                pass
            else:
                if value.data_ptr() in seen:
                    continue
                seen.add(value.data_ptr())
        try:
            size = getattr(value, "nbytes", None)
        except RuntimeError:  # a sparse tensor: as if it were dense
            size = value.numel() * value.element_size()
        if callable(size):
            size = size()
        if isinstance(size, int):
            total += size
        elif isinstance(value, (list, tuple, set, frozenset)):
            total += sys.getsizeof(value)
            stack += value
        elif isinstance(value, dict):
            total += sys.getsizeof(value)
            stack += value
            stack += value.values()
        else:
            total += sys.getsizeof(value)
    return total
