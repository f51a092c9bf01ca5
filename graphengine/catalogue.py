"""Catalogue: the models under the roots, as the packs describe them, without loading one.

The engine knows names, sizes and hashes. What a file is, whether it is whole, and how one of another format
is read is known to the packs that use it: a pack names a module (`CATALOGUE`) with the functions of `Reader`.
It must import torch for `verify` with `deep` only.
"""

from __future__ import annotations

import importlib
import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Protocol, cast

from graphengine.errors import ModelError
from graphengine.folders import Folders, claim, hashed, unseen, within, writable
from graphengine.shelf import is_item

UNKNOWN = "unknown"


@dataclass(frozen=True)
class Card:
    """What is known of a model from its header or its configuration.

    `kind` says what it is ("model", "LoRA"), `family` what it goes with, `precision` what most of its numbers
    are stored in. `parts` tells of each component how large it is, `metadata` holds the texts that its author
    wrote into it, `missing` what it lacks and where to put it. `shelves` are the folders that programs keep
    such files in, ours first; empty for a folder that stands in the root itself. `problem` says why it cannot
    be used.
    """

    kind: str = UNKNOWN
    family: str = ""
    precision: str = ""
    parts: Mapping[str, str] = field(default_factory=dict)
    metadata: Mapping[str, str] = field(default_factory=dict)
    missing: tuple[str, ...] = ()
    shelves: tuple[str, ...] = ()
    problem: str = ""


class Reader(Protocol):
    """The functions of a pack's catalogue module."""

    def describe(self, path: Path, folders: Folders) -> Card | None:
        """What a file or folder is; None if the pack knows nothing of it. Reads no weights."""

    def verify(self, path: Path, deep: bool) -> Sequence[str]:
        """What is wrong with a file or folder, a sentence each; `deep` reads every weight."""

    def convert(self, path: Path) -> Path | None:
        """Write a file that is not safe to read as one that is, beside it; None if the pack cannot."""


@dataclass(frozen=True)
class Catalogue:
    """The models under some roots. `modules` are the packs' readers, by the names of their modules."""

    folders: Folders
    modules: Sequence[str] = ()

    @cached_property
    def readers(self) -> tuple[Reader, ...]:
        """The packs' readers."""
        return tuple(cast(Reader, importlib.import_module(name)) for name in self.modules)

    def cards(self) -> dict[str, tuple[Path, Card]]:
        """Everything under the roots, by name."""
        return {name: (item.path, self.card(item.path)) for name, item in self.folders.items().items()}

    def card(self, path: Path) -> Card:
        """What a file or folder is, from the first pack that knows it."""
        for reader in self.readers:
            found = reader.describe(path, self.folders)
            if found is not None:
                return found
        return Card()

    def verify(self, path: Path, deep: bool = False) -> list[str]:
        """What is wrong with a file or folder: its headers, and its content against an earlier hash."""
        problems = [problem for reader in self.readers for problem in reader.verify(path, deep)]
        remembered = self.folders.remembered_hash(path)
        if remembered is None:
            self.folders.content_hash(path)
        elif remembered != hashed(path):
            problems.append(
                f"{path} has changed since it was read first, though its size and its time have not: the "
                "disk may be failing; download it again"
            )
        return problems

    def convert(self, path: Path) -> Path:
        """Write a file of another format as a safe one beside it. ModelError if no pack can."""
        for reader in self.readers:
            found = reader.convert(path)
            if found is not None:
                return found
        raise ModelError(f"{path} is of no format that can be converted")

    def add(self, path: Path, roots: Sequence[Path]) -> Path:
        """Check a file or folder and put it under the first root that can be written to; gives where.

        It is linked where the disk is the same, else copied; it appears when it is whole, and nothing is ever
        replaced. ModelError if it is of no kind that is known, or damaged.
        """
        path = Path(os.path.abspath(path))
        if not path.exists():
            raise ModelError(f"there is no file or folder {path}; check the path")
        if path.is_dir() and not is_item(path):
            raise ModelError(
                f"{path} is no model folder: it has neither a model_index.json nor a config.json"
            )
        card = self.card(path)
        problems = [card.problem] if card.problem else self.verify(path)
        if problems:
            raise ModelError("; ".join(problems))
        if card.kind == UNKNOWN:
            raise ModelError(f"{path} is of no kind that is known, so there is no place for it")
        root = writable(roots)
        target = placed(root, card.shelves) / path.name
        if target.exists() or path.resolve().is_relative_to(root.resolve()):
            where = target if target.exists() else path
            raise ModelError(f"there is {where} already; nothing was changed")
        target.parent.mkdir(parents=True, exist_ok=True)
        temporary = unseen(target.parent)
        try:
            if path.is_dir():
                copy_folder(path, temporary, target)
            else:
                link_or_copy(str(path), str(temporary))
                if not claim(temporary, target):
                    raise ModelError(f"there is {target} already; nothing was changed")
        finally:
            if temporary.is_dir():
                shutil.rmtree(temporary)
            temporary.unlink(missing_ok=True)
        return target


def size_of(path: Path) -> int:
    """The bytes of a file, or of all files in a folder."""
    return sum(file.stat().st_size for file in within(path))


def placed(root: Path, shelves: Sequence[str]) -> Path:
    """The folder under a root that files of a kind are kept in: the one that is there, else the first."""
    if not shelves:
        return root
    bases = (root / "models", root) if (root / "models").is_dir() else (root,)
    for base in bases:
        for shelf in shelves:
            if (base / shelf).is_dir():
                return base / shelf
    return bases[0] / shelves[0]


def link_or_copy(source: str, target: str) -> str:
    """A second name for a file, or a copy where the disk is another. A link is followed to what it means."""
    real = os.path.realpath(source)
    try:
        os.link(real, target)
    except OSError:
        shutil.copyfile(real, target)
    return target


def copy_folder(source: Path, temporary: Path, target: Path) -> None:
    """A folder under a new name, all at once. GraphEngineError if the name was taken meanwhile."""
    shutil.copytree(source, temporary, copy_function=link_or_copy)
    try:
        os.rename(temporary, target)
    except OSError as error:
        raise ModelError(f"{target} cannot be made ({error.strerror}); nothing was changed") from error
