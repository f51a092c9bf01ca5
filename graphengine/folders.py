"""Folders: where models, inputs and outputs are, and the content hashes of what lies there."""

from __future__ import annotations

import json
import os
import secrets
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from glob import escape as glob_escape
from pathlib import Path

from blake3 import blake3

from graphengine.errors import GraphEngineError, ModelError
from graphengine.shelf import PICKLES, SUFFIX, Item, called, items, short_names

CHUNK = 1 << 20
SHOWN = 20
"""How many names an error lists."""


@dataclass(frozen=True)
class Folders:
    """Made once and passed in; a name from a workflow is only ever resolved through it.

    `models`: roots under which model names are looked up, in order. `inputs`: roots for files that a node
    reads, in order; unless `confined` to them, a path to any file that the user can read goes before (the
    shell and the library run as the user). `outputs`: where saved files go. `cache`: where hashes of file
    contents are remembered, or None.
    """

    models: tuple[Path, ...] = ()
    inputs: tuple[Path, ...] = ()
    outputs: Path = Path("outputs")
    cache: Path | None = None
    confined: bool = False

    def model(self, name: str) -> Path:
        """The folder or file of a model by its name, such as `storybook`. ModelError if there is none.

        A name is that of a path under a root, with or without `.safetensors`, or the end of one where that
        is no other's too. ModelError names those that it may be.
        """
        for root in self.models:
            path = inside(root, name)
            if path is None:
                continue
            if path.exists():
                return path
            path = inside(root, name + SUFFIX)
            if path is not None and path.is_file():
                return path
        for root in self.models:
            found = called(items(root), name)
            if len({item.path for item in found if item.path.suffix not in PICKLES}) == 1:
                found = [item for item in found if item.path.suffix not in PICKLES]
            if len(found) > 1:
                meant = " or ".join(repr(item.name) for item in found)
                raise ModelError(f"there are {len(found)} models {name!r} in {root}; write {meant}")
            if found:
                return found[0].path.resolve()
        raise ModelError(self.missing(name))

    def missing(self, name: str) -> str:
        """That there is no such model, with those that may be meant, and where to put it."""
        names = [known for known, item in self.items().items() if item.path.suffix not in PICKLES]
        near = get_close_matches(name, names, 3)
        hint = f"did you mean {' or '.join(map(repr, near))}? " if near else ""
        have = ", ".join(names[:SHOWN]) or "none"
        more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
        places = ", ".join(map(str, self.models))
        return f"there is no model {name!r}; {hint}these are here: {have}{more}. Put it into one of: {places}"

    def items(self) -> dict[str, Item]:
        """Everything under the roots by its name: the shortest that `model` finds it by.

        Of two with the same path in two roots, the first root's.
        """
        found: dict[str, Item] = {}
        for root in self.models:
            for item in items(root):
                found.setdefault(item.name, item)
        return dict(sorted(short_names(list(found.values())).items()))

    def model_names(self) -> list[str]:
        """Every model under the roots: folders in diffusers' format and `.safetensors` files, sorted."""
        return [name for name, item in self.items().items() if item.is_model]

    def input(self, name: str) -> Path:
        """The file that a node wants to read. GraphEngineError if it is missing or outside the roots."""
        if not self.confined:
            try:
                path = Path(name).expanduser()
                if path.is_file():
                    return path
            except (OSError, RuntimeError):  # too long, or the home of a user who is not there
                pass
        for root in self.inputs:
            found = inside(root, name)
            if found is not None and found.is_file():
                return found
        raise GraphEngineError(f"there is no file {name!r} to read; check the path")

    def publish(self, name: str, data: bytes) -> Path:
        """Put a file under `outputs`, whole or not at all, and give where it is.

        A number that was not used before follows the name: `picture.png` becomes `picture_0001.png`. Two
        processes that publish at once get two numbers; an existing file is never replaced. GraphEngineError
        for a name that would lead out of the folder.
        """
        if not name or name != Path(name).name or "\0" in name:
            raise GraphEngineError(f"{name!r} is no name for a file; give one without a folder")
        stem, dot, ending = name.rpartition(".")
        if not dot:
            stem, ending = ending, ""
        self.outputs.mkdir(parents=True, exist_ok=True)
        others = self.outputs.glob(f"{glob_escape(stem)}_*{glob_escape(dot + ending)}")
        number = max((number_of(path, stem) for path in others), default=0) + 1
        temporary = unseen(self.outputs)
        try:
            with temporary.open("xb") as stream:
                stream.write(data)
            while True:
                path = self.outputs / f"{stem}_{number:04}{dot}{ending}"
                if claim(temporary, path):
                    return path
                number += 1
        finally:
            temporary.unlink(missing_ok=True)

    def publish_model(self, name: str, folder: Path) -> str:
        """Put a model's folder under the first root that can be written to, whole or not at all.

        Gives the name that it got: if another model has the name, a number follows, as in `pines_2`; the same
        model is not put there twice. `folder` is gone afterwards. GraphEngineError for a name that would lead
        out of the root, and if no root can be written to.
        """
        if not name or name != Path(name).name or "\0" in name:
            raise GraphEngineError(f"{name!r} is no name for a model; give one without a folder")
        root, given, number = writable(self.models), self.content_hash(folder), 1
        temporary = unseen(root)
        try:
            shutil.move(folder, temporary)
            while True:
                found = f"{name}_{number}" if number > 1 else name
                try:
                    os.rename(temporary, root / found)
                except OSError:
                    if not (root / found).exists():
                        raise
                    if self.content_hash(root / found) == given:
                        return found
                    number += 1
                else:
                    return found
        finally:
            shutil.rmtree(temporary, ignore_errors=True)

    def stamp(self, path: Path) -> str:
        """What stands for a file, or a folder with all its files: their names, sizes and times of change."""
        stats = [(str(f.resolve()), (s := f.stat()).st_size, s.st_mtime_ns) for f in within(path)]
        what = [str(path.resolve()), *stats]  # a folder of one file is not that file
        return blake3(json.dumps(what).encode()).hexdigest(length=16)

    def content_hash(self, path: Path) -> str:
        """The blake3 hash of a file, or of every file in a folder with its name; 32 hex digits.

        Remembered by path, size and time of change, so that gigabytes are read once.
        """
        remembered = self.remembered_hash(path)
        if remembered is not None:
            return remembered
        stamp = self.stamp(path)
        found = hashed(path)
        if self.cache:
            try:
                write_atomically(self.cache / "hashes" / stamp, found.encode())
            except OSError:  # a full or read-only disk costs the memory of it, not the run
                pass
        return found

    def remembered_hash(self, path: Path) -> str | None:
        """The content hash as it was when the file was read last, if neither size nor time have changed."""
        memo = self.cache / "hashes" / self.stamp(path) if self.cache else None
        return memo.read_text() if memo and memo.is_file() else None


def hashed(path: Path) -> str:
    """The content hash of a file or a folder, read now."""
    total = blake3()
    for file in within(path):
        each = blake3()
        with file.open("rb") as stream:
            while chunk := stream.read(CHUNK):
                each.update(chunk)
        name = file.relative_to(path).as_posix() if path.is_dir() else ""
        total.update(name.encode() + b"\0" + each.digest())
    return total.hexdigest(length=16)


def writable(roots: Sequence[Path]) -> Path:
    """The first root that can be written to, made if it is not there. GraphEngineError if none can."""
    for root in roots:
        try:
            root.mkdir(parents=True, exist_ok=True)
        except OSError:
            continue
        if os.access(root, os.W_OK):
            return root
    where = ", ".join(map(str, roots)) or "none"
    raise GraphEngineError(f"no folder of models can be written to ({where}); set GRAPHENGINE_MODELS")


def within(path: Path) -> list[Path]:
    """A file itself, or every file in a folder."""
    return sorted(p for p in path.rglob("*") if p.is_file()) if path.is_dir() else [path]


def inside(root: Path, name: str) -> Path | None:
    """`name` under `root`, or None where it would lead outside of it (`..`, an absolute path, a symlink).

    The root itself is not under it, and neither is a name that no file can have.
    """
    try:
        root, path = root.resolve(), (root / name).resolve()
        path.exists()
    except (OSError, RuntimeError, ValueError):  # too long, a symlink to itself, a NUL
        return None
    return path if path != root and path.is_relative_to(root) else None


def number_of(path: Path, stem: str) -> int:
    """The number that `publish` gave a file; 0 for other files."""
    digits = path.name.removeprefix(stem + "_").partition(".")[0]
    return int(digits) if digits.isdecimal() and len(digits) < 10 else 0


def claim(temporary: Path, path: Path) -> bool:
    """Give a finished file its name, unless the name is taken: then False."""
    try:
        os.link(temporary, path)
    except FileExistsError:
        return False
    except OSError:  # a file system without hard links
        if path.exists():
            return False
        os.replace(temporary, path)
    return True


def unseen(folder: Path) -> Path:
    """A name for a file that is still being written."""
    return folder / f".writing-{secrets.token_hex(8)}"


def write_atomically(path: Path, data: bytes) -> None:
    """Write a whole file or none of it; another process never sees a part."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = unseen(path.parent)
    try:
        with temporary.open("xb") as stream:
            stream.write(data)
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
