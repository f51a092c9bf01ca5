"""Project: what the `pyproject.toml` in a folder says of the pack that lies beside it."""

from __future__ import annotations

import platform
import re
import tomllib
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

from packaging.specifiers import InvalidSpecifier, SpecifierSet

from graphengine.errors import PackError

FILE = "pyproject.toml"
GROUP = "graphengine.packs"
ENGINE = re.compile(r"\s*graphengine\s*($|[\[<>=!~;@ ])", re.IGNORECASE).match
"""A dependency that is the engine itself."""
EXAMPLE = f'write\n\n[project.entry-points."{GROUP}"]\nmy_pack = "my_pack"'


class Project(NamedTuple):
    """A pack that is the source of a distribution.

    `place` is the file or folder of its module. `dependencies` are those besides the engine.
    """

    name: str
    module: str
    version: str
    place: Path
    dependencies: tuple[str, ...]
    isolated: bool


def is_project(folder: Path) -> bool:
    """Whether a folder is a project, and not a package of which other tools have their settings beside it."""
    file = folder / FILE
    return file.is_file() and (not (folder / "__init__.py").is_file() or says(content(file)))


def read(folder: Path) -> Project:
    """The pack of a project. PackError says what is wrong with its file."""
    file = folder / FILE
    try:
        return told(folder, tomllib.loads(content(file)))
    except PackError as error:
        raise PackError(f"{file}: {error}") from None
    except (ValueError, RecursionError) as error:
        raise PackError(f"{file}: is no TOML: {error}") from None


def told(folder: Path, data: dict[str, Any]) -> Project:
    """The pack of a project whose file says this."""
    project, ours = table(data, "project"), table(table(data, "tool"), "graphengine")
    entries = table(table(project, "entry-points"), GROUP)
    if not entries:
        raise PackError(f"names no pack; {EXAMPLE}")
    if len(entries) > 1:
        raise PackError(f"names {len(entries)} packs, {', '.join(entries)}; in a folder a project has one")
    ((name, module),) = entries.items()
    if not isinstance(module, str) or not module.isidentifier():
        raise PackError(f"the module of {name} is {module!r}; name a package or a file beside this one")
    bases = (folder, folder / "src")
    places = [place for base in bases for place in (base / module, base / f"{module}.py")]
    found = [p for p in places if p.is_file() or (p / "__init__.py").is_file()]
    if not found:
        raise PackError(f"there is neither {places[0]}/__init__.py nor {places[1]}, which {name} names")
    if unknown := ours.keys() - {"isolated"}:
        raise PackError(f"[tool.graphengine] has no {min(unknown)!r}; it has `isolated`")
    if not isinstance(isolated := ours.get("isolated", False), bool):
        raise PackError(f"isolated is {isolated!r}; write `isolated = true`")
    runs_on(project.get("requires-python", ""))
    needs = project.get("dependencies", [])
    if not isinstance(needs, list) or not all(isinstance(each, str) for each in needs):
        raise PackError('`dependencies` is no list of texts; write such as `dependencies = ["numpy>=2"]`')
    if isolated and "dependencies" in (project.get("dynamic") or ()):
        raise PackError("its dependencies are dynamic, and are not known before it is built; write them here")
    version = project.get("version", "")
    needs = tuple(sorted({each.strip() for each in needs if not ENGINE(each)}))
    return Project(name, module, version if isinstance(version, str) else "", found[0], needs, isolated)


def runs_on(wanted: Any) -> None:
    """PackError if what a project says in `requires-python` leaves this Python out."""
    here = platform.python_version()
    try:
        fits = SpecifierSet(wanted).contains(here, prereleases=True)
    except (InvalidSpecifier, TypeError, AttributeError):
        raise PackError(
            f'requires-python is {wanted!r}; write such as `requires-python = ">=3.11"`'
        ) from None
    if not fits:
        raise PackError(f"needs Python {wanted}, and this is {here}")


def table(data: dict[str, Any], name: str) -> dict[str, Any]:
    """A table in a table; an empty one if there is none."""
    found = data.get(name, {})
    if not isinstance(found, dict):
        raise PackError(f"{name} is {found!r:.80}, and should be a table, `[{name}]`")
    return found


def says(text: str) -> bool:
    """Whether the text of such a file speaks of a pack."""
    return GROUP in text or "[tool.graphengine]" in text


def content(file: Path) -> str:
    """The text of a file; read again only when it has changed. PackError if it cannot be read."""
    try:
        stat = file.stat()
        return remembered(file, stat.st_size, stat.st_mtime_ns)
    except (OSError, UnicodeDecodeError) as error:
        raise PackError(f"cannot be read: {error}") from None


@lru_cache(1024)
def remembered(file: Path, size: int, changed: int) -> str:
    """The text of a file of this size and time of change."""
    return file.read_text("utf-8")
