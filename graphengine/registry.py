"""Registry: the node types of all packs. Manifest: the same as data, for all who need no node code.

A pack is an import package, or a single module; see `graphengine.packs` for how it is found. Its `__init__`
is quick to import and says what belongs to it:

* `PACK`: the first part of its nodes' ids (a module may have its own); without it, the package's name.
* `MODULES`: the names of its modules that hold nodes, relative to the package.
* `MODELS`: a folder of models that it ships.
* `CATALOGUE`: the name of its module, relative to the package, that knows files of models: it has the
  functions of `graphengine.catalogue.Reader` and imports no torch.

Loading a pack reads every marked function; an isolated one is loaded in a process of its own, which tells
what it has read. A broken pack is a `BrokenPack` with its traceback, never a dead engine.
"""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from types import ModuleType
from typing import Any, get_args, get_type_hints

from blake3 import blake3

from graphengine.environments import content
from graphengine.errors import PackEnded, PackError
from graphengine.folders import write_atomically
from graphengine.graph import no_collection
from graphengine.isolation import bound, describe
from graphengine.nodetype import NodeType
from graphengine.packs import (
    BrokenPack,
    Pack,
    files,
    imported,
    in_folders,
    installed,
    reachable,
    source_of,
)
from graphengine.signature import read
from graphengine.source import CodeVersions, place_in, place_of, trace_in
from graphengine.types import WireType

__all__ = ["BrokenPack", "Manifest", "Pack", "Registry", "installed", "manifest_file"]

LAYOUT = 5
"""Counts up when what a stored manifest holds changes."""
KEPT = 8
"""How many manifests stay: one for each environment or checkout that shares a cache, some for older code."""


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
    def stored(
        cls, cache: Path, nodes: Sequence[Path] = (), environments: Path | None = None
    ) -> Manifest | None:
        """The manifest of the packs as they are now, those in folders too, if one was stored; None else."""
        try:
            return cls.parse(manifest_file(cache, nodes, environments).read_bytes())
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return None

    @classmethod
    def of(cls, cache: Path, nodes: Sequence[Path] = (), environments: Path | None = None) -> Manifest:
        """The stored manifest, else a new one, made by a process of its own: this one never loads a pack.

        `nodes` are the folders of packs that are not installed, `environments` is the one in which those of
        isolated packs are.
        """
        found = cls.stored(cache, nodes, environments)
        file = manifest_file(cache, nodes, environments)
        if found is None:
            with tempfile.TemporaryDirectory(prefix="graphengine-") as folder:
                made = Path(folder, "manifest.json")
                command = [sys.executable, "-m", "graphengine.registry", str(made), str(environments or "")]
                done = subprocess.run(
                    [*command, *map(str, nodes)], capture_output=True, text=True, check=False
                )
                if not made.exists():
                    raise PackError(f"the packs could not be loaded:\n{done.stderr.strip()}")
                found = cls.parse(made.read_bytes())
            found.store(file, cache, nodes, environments)
        return found

    def store(
        self, file: Path, cache: Path, nodes: Sequence[Path] = (), environments: Path | None = None
    ) -> None:
        """Keep it for other processes, if the packs are still what they were when `file` was their place.

        A folder that cannot be written costs them the time, not the run.
        """
        if file != manifest_file(cache, nodes, environments):
            return
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
            "converters": self.converters,
            "catalogues": self.catalogues,
            "types": [t.to_json() for t in self.types.values()],
        }

    @property
    def converters(self) -> list[dict[str, Any]]:
        """The nodes that make one type of another: `from`, `to`, `node`, `input` and `output`."""
        return [found for kind in self.types.values() if (found := kind.conversion())]

    @classmethod
    def parse(cls, data: bytes) -> Manifest:
        """The inverse of `data`."""
        return cls.from_json(json.loads(data))

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
    def load(cls, packs: Iterable[Pack], problems: Iterable[BrokenPack] = ()) -> Registry:
        """Load packs, each on its own: what is wrong with one stands in `problems`."""
        packs, registry = list(packs), cls(problems=list(problems))
        reachable(packs)
        with no_collection():
            for pack in packs:
                registry.attempt(pack)
        return registry

    @classmethod
    def every(cls, nodes: Sequence[Path] = (), environments: Path | None = None) -> Registry:
        """Load every pack that is installed, or in one of some folders."""
        others = installed()
        packs, problems = in_folders(nodes, others, environments)
        return cls.load([*others, *packs], problems)

    @classmethod
    def only(cls, manifest: Manifest, ids: Iterable[str]) -> dict[str, NodeType]:
        """The named types with their functions; imports the modules that define these, and no others.

        The functions of an isolated pack ask its process, which starts when one is called.
        """
        reachable(manifest.packs)
        found: dict[str, NodeType] = {}
        for id in ids:
            known = manifest.types[id]
            if pack := next((p for p in manifest.packs if p.isolated and p.has(known.module)), None):
                found[id] = bound(known, pack, imported(manifest.packs))
                continue
            function = getattr(importlib.import_module(known.module), known.name)
            found[id] = read(function, id.partition(".")[0], known.code)
        return found

    def attempt(self, pack: Pack) -> None:
        """Load one pack, or note why it cannot be."""
        try:
            self.add(pack)
        except (Exception, SystemExit) as error:
            own = files(pack)
            place = place_in(error, own) or pack.project or (str(own[0]) if own else pack.module)
            trace = "" if isinstance(error, PackError) else trace_in(error, own)
            if isinstance(error, PackEnded):
                trace = error.complaints
            self.problems.append(BrokenPack(pack.name, f"{place}: {in_words(error)}", trace))

    def add(self, pack: Pack) -> None:
        """Load one pack."""
        if pack.isolated:
            self.take(pack)
            return
        package = importlib.import_module(pack.module)
        if (
            pack.place
            and not pack.version
            and isinstance(version := getattr(package, "__version__", None), str)
        ):
            pack = pack._replace(version=version)
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

    def take(self, pack: Pack) -> None:
        """Take the node types of an isolated pack from what its process says of them."""
        if not content(Path(pack.environment)):
            self.packs.append(pack)
            raise PackError(f"its environment is not made yet; run `graphengine packs install {pack.name}`")
        pack = pack._replace(source=source_of(pack))
        self.packs.append(pack)
        found = Manifest.from_json(describe(pack, state(engine_files())))
        self.problems += found.problems
        self.models += found.models
        for kind in found.types.values():
            if other := self.types.get(kind.id):
                text = f"{kind.module}.{kind.name}: {self.taken(kind.id, other)}"
                self.problems.append(BrokenPack(pack.name, f"{pack.project}: {text}", ""))
                continue
            self.types[kind.id] = kind
        for name, wire in found.wires.items():
            self.wires.setdefault(name, wire)

    def taken(self, id: str, other: NodeType) -> str:
        """That another node has an id."""
        place = place_of(other.run) if callable(other.run) else f"{other.module}.{other.name}"
        return f"there is another node {id!r}, at {place}; give one of them `id=`"

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
                    where = f"{place_of(function)}: {kind.module}.{kind.name}"
                    raise PackError(f"{where}: {self.taken(kind.id, other)}")
            except PackError as error:
                self.problems.append(BrokenPack(pack.name, str(error), ""))
                continue
            except Exception as error:
                text = f"{place_of(function)}: {module.__name__}.{name}: {in_words(error)}"
                self.problems.append(BrokenPack(pack.name, text, traceback.format_exc()))
                continue
            # Where `only` finds it.
            self.types[kind.id] = kind if kind.name == name else replace(kind, name=name)
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


def in_words(error: BaseException) -> str:
    """What an exception says to the author of a pack."""
    if isinstance(error, PackError):
        return str(error)
    if isinstance(error, ModuleNotFoundError) and error.name:
        return f"{error}; install what has it, and name that in the pack's dependencies"
    if isinstance(error, SyntaxError):
        return f"{type(error).__name__}: {error.msg}"
    return f"{type(error).__name__}: {error}"


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


def manifest_file(cache: Path, nodes: Sequence[Path] = (), environments: Path | None = None) -> Path:
    """Where the manifest of the packs as they are now is stored: named by their versions and file times."""
    others = installed()
    packs, problems = in_folders(nodes, others, environments)
    own = [file for pack in (*others, *packs) for file in files(pack)]
    name = state([*engine_files(), *own], *others, *packs, *problems)
    return cache / "manifests" / f"{name}.json"


def engine_files() -> list[Path]:
    """The engine's own code."""
    return sorted(Path(__file__).parent.rglob("*.py"))


def state(files: Iterable[Path], *parts: Any) -> str:
    """What stands for some files as they are now, by sizes and times, and for other things."""
    about = [LAYOUT, sys.version, *parts]
    about += [(str(file), (stat := file.stat()).st_size, stat.st_mtime_ns) for file in files]
    return blake3(json.dumps(about).encode()).hexdigest(length=16)


def main(file: str, environments: str, *nodes: str) -> None:
    """Write the manifest of all packs into a file."""
    every = Registry.every([*map(Path, nodes)], Path(environments) if environments else None)
    write_atomically(Path(file), every.manifest.data())


if __name__ == "__main__":
    main(*sys.argv[1:])
