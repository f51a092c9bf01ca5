"""Registry: the node types of all packs. Manifest: the same as data, for all who need no node code.

A pack is an import package, found through the entry point group `graphengine.packs`. Its `__init__` is quick
to import and says what belongs to it:

* `PACK`: the first part of its nodes' ids (a module may have its own); without it, the package's name.
* `MODULES`: the names of its modules that hold nodes, relative to the package.
* `MODELS`: a folder of models that it ships.
* `CATALOGUE`: the name of its module, relative to the package, that knows files of models: it has the
  functions of `graphengine.catalogue.Reader` and imports no torch.

Loading a pack reads every marked function. A broken pack is a `BrokenPack` with its traceback, never a dead
engine.
"""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple, get_args, get_type_hints

from blake3 import blake3

from graphengine.errors import PackError
from graphengine.folders import write_atomically
from graphengine.nodetype import NodeType
from graphengine.signature import read
from graphengine.source import CodeVersions
from graphengine.types import WireType

GROUP = "graphengine.packs"
LAYOUT = 3
"""Counts up when what a stored manifest holds changes."""
KEPT = 8
"""How many manifests stay: one for each environment or checkout that shares a cache, some for older code."""


class Pack(NamedTuple):
    """An installed pack: its name, its import package, and the version of the distribution it came with."""

    name: str
    module: str
    version: str


class BrokenPack(NamedTuple):
    """A pack, or a node in it, that could not be loaded; `trace` is empty where `text` says it all."""

    pack: str
    text: str
    trace: str


@dataclass(frozen=True)
class Manifest:
    """Every node type as data. Stored on disk by what the packs' files are, so it is read, not made."""

    types: Mapping[str, NodeType]
    packs: tuple[Pack, ...] = ()
    problems: tuple[BrokenPack, ...] = ()
    models: tuple[Path, ...] = ()
    wires: Mapping[str, WireType] = field(default_factory=dict)
    catalogues: tuple[str, ...] = ()

    @classmethod
    def stored(cls, cache: Path) -> Manifest | None:
        """The manifest of the packs as they are now, if one was stored; None else."""
        try:
            data = json.loads(manifest_file(cache).read_bytes())
            return cls.from_json(data)
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return None

    @classmethod
    def of(cls, cache: Path) -> Manifest:
        """The stored manifest, else a new one, made by a process of its own: this one never loads a pack."""
        found = cls.stored(cache)
        if found is None:
            with tempfile.TemporaryDirectory(prefix="graphengine-") as folder:
                file = Path(folder, "manifest.json")
                command = [sys.executable, "-m", "graphengine.registry", str(file)]
                done = subprocess.run(command, capture_output=True, text=True, check=False)
                if not file.exists():
                    raise PackError(f"the packs could not be loaded:\n{done.stderr.strip()}")
                found = cls.from_json(json.loads(file.read_bytes()))
            found.store(cache)
        return found

    def store(self, cache: Path) -> None:
        """Keep it for other processes; a folder that cannot be written costs them the time, not the run."""
        file = manifest_file(cache)
        try:
            write_atomically(file, self.data())
            for old in sorted(file.parent.glob("*.json"), key=lambda f: f.stat().st_mtime)[:-KEPT]:
                old.unlink(missing_ok=True)
        except OSError:
            pass

    def data(self) -> bytes:
        """As JSON."""
        return json.dumps(self.to_json(), separators=(",", ":")).encode()

    def to_json(self) -> dict[str, Any]:
        """As plain JSON data."""
        return {
            "packs": self.packs,
            "problems": self.problems,
            "models": [str(p) for p in self.models],
            "wires": [[w.name, w.colour, w.doc] for w in self.wires.values()],
            "catalogues": self.catalogues,
            "types": [t.to_json() for t in self.types.values()],
        }

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Manifest:
        """The inverse of `to_json`."""
        return cls(
            {t["id"]: NodeType.from_json(t) for t in data["types"]},
            tuple(Pack(*p) for p in data["packs"]),
            tuple(BrokenPack(*p) for p in data["problems"]),
            tuple(Path(p) for p in data["models"]),
            {w[0]: WireType(*w) for w in data["wires"]},
            tuple(data["catalogues"]),
        )


@dataclass
class Registry:
    """Node types with their functions, loaded from packs."""

    types: dict[str, NodeType] = field(default_factory=dict)
    packs: list[Pack] = field(default_factory=list)
    problems: list[BrokenPack] = field(default_factory=list)
    models: list[Path] = field(default_factory=list)
    wires: dict[str, WireType] = field(default_factory=dict)
    catalogues: list[str] = field(default_factory=list)
    versions: CodeVersions = field(default_factory=CodeVersions)

    @classmethod
    def load(cls, packs: Iterable[Pack]) -> Registry:
        """Load packs, each on its own: what is wrong with one stands in `problems`."""
        registry = cls()
        for pack in packs:
            try:
                registry.add(pack)
            except PackError as error:
                registry.problems.append(BrokenPack(pack.name, str(error), ""))
            except (Exception, SystemExit) as error:
                text = f"{type(error).__name__}: {error}"
                registry.problems.append(BrokenPack(pack.name, text, traceback.format_exc()))
        return registry

    @classmethod
    def only(cls, manifest: Manifest, ids: Iterable[str]) -> dict[str, NodeType]:
        """The named types with their functions; imports the modules that define these, and no others."""
        found: dict[str, NodeType] = {}
        for id in ids:
            known = manifest.types[id]
            function = getattr(importlib.import_module(known.module), known.name)
            found[id] = read(function, id.partition(".")[0], known.code)
        return found

    def add(self, pack: Pack) -> None:
        """Load one pack."""
        package = importlib.import_module(pack.module)
        self.packs.append(pack)
        if isinstance(models := getattr(package, "MODELS", None), Path):
            self.models.append(models)
        if isinstance(catalogue := getattr(package, "CATALOGUE", None), str):
            self.catalogues.append(f"{pack.module}.{catalogue}")
        modules = getattr(package, "MODULES", ())
        if isinstance(modules, str):
            raise PackError(f"{pack.module}: MODULES is one text; write a tuple, `MODULES = ({modules!r},)`")
        names = [f"{pack.module}.{name}" for name in modules]
        for module in [package, *map(importlib.import_module, names)]:
            prefix = getattr(module, "PACK", None) or getattr(package, "PACK", None) or pack.module
            self.module(pack, module, prefix)

    def module(self, pack: Pack, module: ModuleType, prefix: str) -> None:
        """Every marked function that a module defines; a wrong one spoils only itself."""
        seen: set[int] = set()
        for name, function in list(vars(module).items()):
            if not hasattr(function, "__graph_node__") or function.__module__ != module.__name__:
                continue
            if id(function) in seen:  # under a second name
                continue
            seen.add(id(function))
            try:
                kind = read(function, prefix, self.versions.of(module.__name__))
                other = self.types.get(kind.id)
                if other is not None:
                    raise PackError(
                        f"two nodes are called {kind.id!r}: {other.module}.{other.name} and "
                        f"{kind.module}.{kind.name}; give one of them `id=`"
                    )
            except PackError as error:
                self.problems.append(BrokenPack(pack.name, str(error), ""))
                continue
            except Exception as error:
                text = f"{module.__name__}.{name}: {type(error).__name__}: {error}"
                self.problems.append(BrokenPack(pack.name, text, traceback.format_exc()))
                continue
            self.types[kind.id] = replace(kind, name=name)  # where `only` finds it
            for wire in wires_of(function):
                self.wires.setdefault(wire.name, wire)

    @cached_property
    def manifest(self) -> Manifest:
        """The same as data."""
        return Manifest(
            self.types,
            tuple(self.packs),
            tuple(self.problems),
            tuple(self.models),
            dict(sorted(self.wires.items())),
            tuple(self.catalogues),
        )


def wires_of(function: Any) -> Iterable[WireType]:
    """The wire types that a signature names."""
    hints = list(get_type_hints(function, include_extras=True).values())
    while hints:
        hint = hints.pop()
        if isinstance(hint, WireType):
            yield hint
        elif isinstance(wire := getattr(hint, "__wire__", None), WireType):
            yield wire
        elif isinstance(hint, type) and hasattr(hint, "_fields"):
            hints += get_type_hints(hint, include_extras=True).values()
        elif isinstance(hint, list):
            hints += hint
        else:
            hints += get_args(hint)


def installed() -> list[Pack]:
    """The packs of this Python environment, by name; nothing is imported."""
    found = []
    for entry in metadata.entry_points(group=GROUP):
        found.append(Pack(entry.name, entry.value, entry.dist.version if entry.dist else ""))
    return sorted(set(found))


def manifest_file(cache: Path) -> Path:
    """Where the manifest of the packs as they are now is stored: named by their versions and file times."""
    parts: list[Any] = [LAYOUT, sys.version]
    roots = [Path(__file__).parent]
    for pack in installed():
        parts.append(pack)
        spec = find_spec(pack.module.partition(".")[0])
        places = (spec.submodule_search_locations or [spec.origin or ""]) if spec else ()
        roots += [Path(place) for place in places if place]
    for root in roots:
        files = [root] if root.is_file() else sorted(root.rglob("*.py"))
        parts += [(str(f), (s := f.stat()).st_size, s.st_mtime_ns) for f in files]
    return cache / "manifests" / (blake3(json.dumps(parts).encode()).hexdigest(length=16) + ".json")


if __name__ == "__main__":
    write_atomically(Path(sys.argv[1]), Registry.load(installed()).manifest.data())
