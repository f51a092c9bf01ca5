"""NodeType and Port: what the engine knows of a node.

Without its functions (`run`, `batched`, `fingerprint`) a NodeType is plain data: that is what the Manifest
holds, and all that `check`, the editor and the commands that run nothing need.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, NamedTuple

from graphengine.authoring import Folders
from graphengine.types import PLAIN, TypeRef

EMPTY: Any = type("Empty", (), {"__repr__": lambda self: "EMPTY"})()
"""The default of a port that must be given."""


class Port(NamedTuple):
    """One input.

    `kind` is `value`, `lazy`, `body` or `context` (which is no port to the user). `params` are the types of a
    body's inputs, `schema` holds JSON Schema keywords for a literal (`minimum`, `enum`, ...), `ui` the hints
    for the editor, `choices` the function behind `Choices`, `convert` what makes an argument of a literal.
    """

    name: str
    type: TypeRef
    kind: str = "value"
    default: Any = EMPTY
    optional: bool = False
    params: tuple[TypeRef, ...] = ()
    schema: Mapping[str, Any] = {}
    ui: Mapping[str, Any] = {}
    choices: Callable[[Folders], Any] | None = None
    convert: Callable[[Any], Any] | None = None

    @property
    def seed(self) -> bool:
        """Whether `null` here means: draw one."""
        return self.ui.get("widget") == "seed"


@dataclass(frozen=True, eq=False)
class NodeType:
    """One kind of node."""

    id: str
    title: str
    category: str
    doc: str
    module: str
    name: str
    inputs: dict[str, Port]
    outputs: dict[str, TypeRef]
    code: str
    cache: str = "disk"
    device: str = "model"
    awaits: str = ""
    """"" is a plain call, "engine" awaits a Lazy or a Body, "io" awaits the world."""
    shared: frozenset[str] = frozenset()
    """Inputs that must be equal within a batch."""
    fuses: bool = False
    exact: bool = False
    prints: frozenset[str] = frozenset()
    """Inputs that the fingerprint is made from; empty where there is none."""
    aliases: tuple[str, ...] = ()
    version: int = 1
    """Which form its inputs have; a node in a file may say which one it was written for."""
    migrations: int = 0
    """How many older forms can be brought to this one, a step each."""
    deprecated: str = ""
    experimental: bool = False
    converter: bool = False
    """Whether it is offered where a link of one type should end at an input of another."""
    run: Callable[..., Any] = field(default=None, repr=False)  # type: ignore[assignment]
    batched: Callable[..., Any] | None = field(default=None, repr=False)
    fingerprint: Callable[..., str] | None = field(default=None, repr=False)
    frugal: Callable[..., Any] | None = field(default=None, repr=False)
    steps: tuple[Callable[[dict[str, Any]], dict[str, Any]], ...] = field(default=(), repr=False)
    """The migrations themselves."""
    shows: tuple[tuple[int, Callable[[Any], Any]], ...] = field(default=(), repr=False)
    """Positions of outputs that have a preview, and what makes a picture of each."""

    @cached_property
    def cached(self) -> bool:
        """Whether what it gave may be used again."""
        return self.cache != "none" and bool(self.outputs)

    @cached_property
    def generic(self) -> bool:
        """Whether it has type variables."""
        ports = self.inputs.values()
        kinds = [*self.outputs.values(), *(p.type for p in ports), *(t for p in ports for t in p.params)]
        return any("~" in str(kind) for kind in kinds)

    @cached_property
    def plain(self) -> bool:
        """Whether a step of it is a function call and nothing else."""
        return not self.awaits and self.context is None and self.device != "io"

    @cached_property
    def free(self) -> dict[str, type]:
        """The inputs at which any literal of one kind may stand, just as it is, with that kind.

        A float is none of these: it may be no number, or written as an int.
        """
        kinds = {name: kind for kind, name in PLAIN.items() if kind is not float}
        ports = {n: p for n, p in self.inputs.items() if p.kind in ("value", "lazy") and p.type in kinds}
        return {n: kinds[p.type] for n, p in ports.items() if not p.schema and p.convert is None}

    @cached_property
    def single(self) -> bool:
        """Whether it has one output."""
        return len(self.outputs) == 1

    @cached_property
    def effect(self) -> bool:
        """Whether it runs for what it does, not for what it gives."""
        return not self.outputs

    @cached_property
    def beside(self) -> bool:
        """Whether it runs beside the device's thread."""
        return self.awaits == "io" or (self.device == "io" and not self.awaits)

    @cached_property
    def context(self) -> int | None:
        """Which argument is the Context, if there is one."""
        return next((i for i, p in enumerate(self.inputs.values()) if p.kind == "context"), None)

    @cached_property
    def ports(self) -> dict[str, Port]:
        """The inputs that a user sees."""
        return {n: p for n, p in self.inputs.items() if p.kind != "context"}

    def conversion(self) -> dict[str, Any] | None:
        """What a converter makes of what, for the editor."""
        if not self.converter:
            return None
        port = next(port for port in self.ports.values() if port.default is EMPTY)
        ((name, kind),) = self.outputs.items()
        return {"from": port.type, "to": kind, "node": self.id, "input": port.name, "output": name}

    def to_json(self) -> dict[str, Any]:
        """As plain JSON data, for the Manifest and the editor."""
        ports = []
        for port in self.inputs.values():
            row: dict[str, Any] = {"name": port.name, "type": port.type, "kind": port.kind}
            if port.default is not EMPTY and port.kind != "context":
                row["default"] = port.default
            for key in ("optional", "params", "schema", "ui"):
                if getattr(port, key):
                    row[key] = getattr(port, key)
            ports.append(row)
        plain = ("id", "title", "category", "doc", "module", "name", "code", "cache", "device", "awaits",
                 "fuses", "exact", "version", "migrations", "deprecated", "experimental",
                 "converter")  # fmt: skip
        sets = {
            "shared": sorted(self.shared),
            "prints": sorted(self.prints),
            "aliases": self.aliases,
            "shows": [place for place, _ in self.shows],
        }
        return {k: getattr(self, k) for k in plain} | sets | {"inputs": ports, "outputs": self.outputs}

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> NodeType:
        """The inverse of `to_json`; the functions are left out."""
        inputs = {}
        for row in data["inputs"]:
            default = row.get("default", EMPTY)
            inputs[row["name"]] = Port(
                row["name"], ref(row["type"]), row["kind"], default, row.get("optional", False),
                tuple(map(ref, row.get("params", ()))), row.get("schema", {}), row.get("ui", {}),
            )  # fmt: skip
        read: dict[str, Any] = {
            "inputs": inputs,
            "outputs": {n: ref(t) for n, t in data["outputs"].items()},
            "shared": frozenset(data["shared"]),
            "prints": frozenset(data["prints"]),
            "aliases": tuple(data["aliases"]),
            "shows": tuple((place, None) for place in data.get("shows", ())),
        }
        return cls(**{**data, **read})


def ref(data: Any) -> TypeRef:
    """A TypeRef out of JSON, where a tuple has become a list."""
    return ("list", ref(data[1])) if isinstance(data, (list, tuple)) else data
