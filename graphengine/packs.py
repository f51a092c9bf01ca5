"""Packs: which there are, in this Python environment and in folders of the user; found without importing any.

An installed pack is found through the entry point group `graphengine.packs`. A folder holds packs as single
files, each a pack named after the file, and as packages with an `__init__.py`. Files and folders whose names
begin with `_`, `.` or `test_` are none.

A folder is not put on the import path: what lies in it is found by the names of its packs, and by no others,
so a pack depends on nothing that its nodes' code versions do not know of.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Iterator, Sequence
from importlib import metadata
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from importlib.util import find_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import NamedTuple

GROUP = "graphengine.packs"
NAME = re.compile(r"[a-z][a-z0-9_]*").fullmatch
APART = re.compile(r"([_.]|test_|(conftest|setup|noxfile)\.py$|tests$)").match
"""What lies beside packs and is none."""


class Pack(NamedTuple):
    """A pack: its name, its import package, its version, and where it is from.

    `distribution` is what an installer calls it, `place` the file or folder of a pack that is not installed.
    """

    name: str
    module: str
    version: str
    distribution: str = ""
    place: str = ""

    def has(self, module: str) -> bool:
        """Whether a module is the pack's."""
        return module == self.module or module.startswith(f"{self.module}.")


class BrokenPack(NamedTuple):
    """A pack, or a node in it, that could not be loaded; `trace` is empty where `text` says it all."""

    pack: str
    text: str
    trace: str


class Finder(MetaPathFinder):
    """Finds the packs of folders by their names."""

    def __init__(self) -> None:
        self.places: dict[str, Path] = {}

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        place = self.places.get(name)
        if place is None:
            return None
        if place.is_dir():
            return spec_from_file_location(
                name, place / "__init__.py", submodule_search_locations=[str(place)]
            )
        return spec_from_file_location(name, place)


FINDER = Finder()
"""The one of this process; it is asked from the first call of `reachable` on."""


def installed() -> list[Pack]:
    """The packs of this Python environment, by name; nothing is imported."""
    found = set()
    for entry in metadata.entry_points(group=GROUP):
        name, version = (entry.dist.name, entry.dist.version) if entry.dist else ("", "")
        found.add(Pack(entry.name, entry.value, version, name))
    return sorted(found)


def in_folders(folders: Iterable[Path], others: Iterable[Pack]) -> tuple[list[Pack], list[BrokenPack]]:
    """The packs in some folders, besides others that are installed, and what cannot be one.

    A folder that is not there has none. Of two packs of one name, the first one's folder goes before.
    """
    found: dict[str, Pack] = {pack.name: pack for pack in others}
    packs, problems = [], []
    for place in places(folders):
        name = place.stem if place.is_file() else place.name
        if why := trouble(name, place, found.get(name)):
            problems.append(BrokenPack(name, why, ""))
            continue
        found[name] = Pack(name, name, "", "", str(place))
        packs.append(found[name])
    return packs, problems


def places(folders: Iterable[Path]) -> Iterator[Path]:
    """The files and folders that are packs, or should be."""
    for folder in dict.fromkeys(folder.absolute() for folder in folders):
        try:
            inside = sorted(folder.iterdir())
        except OSError:
            continue
        for place in inside:
            if not APART(place.name) and (
                (place.suffix == ".py" and place.is_file()) or (place / "__init__.py").is_file()
            ):
                yield place


def trouble(name: str, place: Path, other: Pack | None) -> str:
    """Why a file or folder cannot be the pack of its name; empty if it can."""
    if not NAME(name):
        plain = re.sub(r"[^a-z0-9_]+", "_", name.lower()).strip("_") or "my_pack"
        plain = f"pack_{plain}" if plain[0].isdigit() else plain
        return f"{place}: {name!r} cannot be a pack's name; rename it to {plain}{place.suffix}"
    if other is not None:
        kept = other.place or f"the installed pack {other.name} ({other.distribution})"
        return f"{place}: there is {kept} of the same name, which goes before; rename one of them"
    if (module := elsewhere(name)) and Path(module) not in (place, place / "__init__.py"):
        return f"{place}: {name!r} is the name of a module of Python's, {module}; rename the pack"
    return ""


def elsewhere(name: str) -> str:
    """Where a module of this name is that is no pack of a folder; empty if there is none."""
    for finder in sys.meta_path:
        if finder is not FINDER and (spec := finder.find_spec(name, None)) and spec.origin:
            return spec.origin
    return ""


def reachable(packs: Iterable[Pack]) -> None:
    """Let the packs of folders be imported by their names; of two places of one name, the last that is asked.

    This is the only place that changes what Python finds.
    """
    for pack in packs:
        if not pack.place:
            continue
        place = Path(pack.place)
        if FINDER.places.get(pack.module, place) != place:
            forget(pack)
        FINDER.places[pack.module] = place
        if FINDER not in sys.meta_path:
            sys.meta_path.insert(0, FINDER)  # before namespace packages, which any folder can be


def forget(pack: Pack) -> None:
    """Let the modules of a pack be read anew by the next import."""
    for name in [name for name in sys.modules if pack.has(name)]:
        del sys.modules[name]


def loaded(packs: Iterable[Pack]) -> list[str]:
    """The modules of some packs that this process has imported."""
    tops = {pack.module.partition(".")[0] for pack in packs}
    return [name for name in sys.modules if name.partition(".")[0] in tops]


def files(pack: Pack) -> list[Path]:
    """The Python files of a pack, and of a package their folders too: what tells whether it has changed."""
    places: list[str] = [pack.place] if pack.place else []
    if not places and (spec := find_spec(pack.module.partition(".")[0])):
        places = [*(spec.submodule_search_locations or [spec.origin or ""])]
    roots = [Path(place) for place in places if place]
    return [file for root in roots for file in ([root] if root.is_file() else sorted(root.rglob("*.py")))]
