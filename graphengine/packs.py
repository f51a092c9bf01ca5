"""Packs: which there are, in this Python environment and in folders of the user; found without importing any.

An installed pack is found through the entry point group `graphengine.packs`. A folder holds packs as single
files, each a pack named after the file, as packages with an `__init__.py`, and as projects with a
`pyproject.toml`, which names its pack. Files and folders whose names begin with `_`, `.` or `test_` are none.

A project may ask to be isolated: its pack is run in a process and an environment of its own, and never
imported here.

A folder is not put on the import path: what lies in it is found by the names of its packs, and by no others,
so a pack depends on nothing that its nodes' code versions do not know of.
"""

from __future__ import annotations

import json
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

from blake3 import blake3

from graphengine import environments, project
from graphengine.errors import PackError

GROUP = "graphengine.packs"
NAME = re.compile(r"[a-z][a-z0-9_]*").fullmatch
APART = re.compile(r"([_.]|test_|(conftest|setup|noxfile)\.py$|tests$)").match
"""What lies beside packs and is none."""


class Pack(NamedTuple):
    """A pack: its name, its import package, its version, and where it is from.

    `distribution` is what an installer calls it, `place` the file or folder of a pack that is not installed,
    `project` the folder of the project that it is of. An isolated pack has an `environment`, and `source`
    stands for all that it was when its nodes were read.
    """

    name: str
    module: str
    version: str
    distribution: str = ""
    place: str = ""
    project: str = ""
    environment: str = ""
    source: str = ""

    @property
    def isolated(self) -> bool:
        """Whether it is run in a process of its own."""
        return bool(self.environment)

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


def in_folders(
    folders: Iterable[Path], others: Iterable[Pack], root: Path | None = None
) -> tuple[list[Pack], list[BrokenPack]]:
    """The packs in some folders, besides others that are installed, and what cannot be one.

    A folder that is not there has none. Of two packs of one name, the first one's folder goes before. `root`
    is where the environments of isolated packs are.
    """
    found: dict[str, Pack] = {name: pack for pack in others for name in (pack.name, pack.module)}
    packs, problems = [], []
    for place in places(folders):
        try:
            pack = pack_at(place, root)
        except PackError as error:
            problems.append(BrokenPack(place.name, str(error), ""))
            continue
        if why := trouble(pack, found.get(pack.name) or found.get(pack.module)):
            problems.append(BrokenPack(pack.name, why, ""))
            continue
        found[pack.name] = found[pack.module] = pack
        packs.append(pack)
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
                (place.suffix == ".py" and place.is_file())
                or (place / "__init__.py").is_file()
                or (place / project.FILE).is_file()
            ):
                yield place


def pack_at(place: Path, root: Path | None) -> Pack:
    """The pack that a file or folder is. PackError if it is a project that says wrong what it is."""
    if place.is_file() or not project.is_project(place):
        name = place.stem if place.is_file() else place.name
        return Pack(name, name, "", "", str(place))
    told = project.read(place)
    pack = Pack(told.name, told.module, told.version, "", str(told.place), str(place))
    if not told.isolated:
        return pack
    if root is None:
        raise PackError(f"{place}: the pack is isolated, and where environments are is not known")
    return pack._replace(environment=str(environments.environment(root, told.name, told.dependencies)))


def trouble(pack: Pack, other: Pack | None) -> str:
    """Why a file or folder cannot be the pack of its name; empty if it can."""
    place, name = Path(pack.project or pack.place), pack.name
    if not NAME(name):
        plain = re.sub(r"[^a-z0-9_]+", "_", name.lower()).strip("_") or "my_pack"
        plain = f"pack_{plain}" if plain[0].isdigit() else plain
        return f"{place}: {name!r} cannot be a pack's name; rename it to {plain}{place.suffix}"
    if other is not None:
        kept = other.project or other.place or f"the installed pack {other.name} ({other.distribution})"
        return f"{place}: there is {kept} of the same name, which goes before; rename one of them"
    source = Path(pack.place)
    if (module := elsewhere(pack.module)) and Path(module) not in (source, source / "__init__.py"):
        return f"{place}: {pack.module!r} is the name of a module of Python's, {module}; rename the pack"
    return ""


def elsewhere(name: str) -> str:
    """Where a module of this name is that is no pack of a folder; empty if there is none."""
    for finder in sys.meta_path:
        if finder is not FINDER and (spec := finder.find_spec(name, None)) and spec.origin:
            return spec.origin
    return ""


def reachable(packs: Iterable[Pack]) -> None:
    """Let the packs of folders be imported by their names; of two places of one name, the last that is asked.

    Those that are isolated cannot be imported. This is the only place that changes what Python finds.
    """
    for pack in packs:
        if not pack.place or pack.isolated:
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


def imported(packs: Iterable[Pack]) -> set[str]:
    """The import packages of the packs that are run in this process."""
    return {pack.module.partition(".")[0] for pack in packs if not pack.isolated}


def files(pack: Pack) -> list[Path]:
    """The Python files of a pack, those of a package's folders too, and what else tells of a change."""
    places: list[str] = [pack.place] if pack.place else []
    if not places and (spec := find_spec(pack.module.partition(".")[0])):
        places = [*(spec.submodule_search_locations or [spec.origin or ""])]
    roots = [Path(place) for place in places if place]
    found = [file for root in roots for file in ([root] if root.is_file() else sorted(root.rglob("*.py")))]
    if pack.project:
        found.append(Path(pack.project, project.FILE))
    if pack.environment and (made := Path(pack.environment, environments.MADE)).is_file():
        found.append(made)
    return found


def source_of(pack: Pack) -> str:
    """What stands for the files of an isolated pack as they are now, and for all in its environment."""
    total = blake3()
    for file in files(pack):
        total.update(json.dumps([str(file), blake3(file.read_bytes()).hexdigest()]).encode())
    return total.hexdigest(length=8)
