"""Shelf: what lies under a root of models, by name, without opening a file.

A folder with a `model_index.json` is a model in diffusers' format; one with a `config.json` or a
`tokenizer_config.json` is a component of one. Every other file of weights is an item of its own, at any
depth, so the folders that other programs sort models into (`checkpoints`, `loras`, `Stable-diffusion`, `VAE`)
are understood as they are. A root that holds a folder `models` is the home of such a program: there only that
and `embeddings` beside it are looked through, and the model folders in the root itself.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import NamedTuple

SUFFIX = ".safetensors"
PICKLES = (".ckpt", ".pt", ".pth", ".bin")
DEPTH = 8
"""How many folders deep a root is looked through."""
COMPONENT = ("config.json", "tokenizer_config.json")
OF_A_FOLDER = ("model.", "model-", "diffusion_pytorch_model", "pytorch_model")
"""How the weights of a component folder are called: they are no items of their own."""
HOME = ("models", "embeddings")


class Item(NamedTuple):
    """A model, a component or a file of weights: its path, and its name relative to its root."""

    name: str
    path: Path

    @property
    def is_model(self) -> bool:
        """Whether it is a model folder or a file that can be read: what a user may choose."""
        if self.path.suffix == SUFFIX and self.path.is_file():
            return True
        return (self.path / "model_index.json").is_file()


def items(root: Path) -> list[Item]:
    """Everything under a root, sorted by name. Links that lead out of it are left out."""
    home = (root / "models").is_dir()
    found: list[Item] = []
    for entry in entries(root):
        if home and entry.name not in HOME and not (entry.is_dir() and is_item(Path(entry.path))):
            continue
        found += walked(root, Path(entry.path), frozenset(), 1)
    return sorted(found)


def walked(root: Path, path: Path, above: frozenset[str], depth: int) -> Iterator[Item]:
    """What a path is, or holds. `above` are the folders that lead to it: a link to one of them ends here."""
    if path.is_symlink() and not within(root, path):
        return
    if path.is_file():
        if path.suffix in (SUFFIX, *PICKLES):
            yield Item(path.relative_to(root).as_posix().removesuffix(SUFFIX), path)
        return
    real = os.path.realpath(path)
    if depth > DEPTH or real in above or not path.is_dir():
        return
    component = is_item(path)
    if component:
        yield Item(path.relative_to(root).as_posix(), path)
    if (path / "model_index.json").is_file():
        return
    for entry in entries(path):
        if not (component and entry.name.startswith(OF_A_FOLDER)):
            yield from walked(root, Path(entry.path), above | {real}, depth + 1)


def entries(folder: Path) -> list[os.DirEntry[str]]:
    """What a folder holds, without what is hidden; nothing if it cannot be read."""
    try:
        with os.scandir(folder) as found:
            return [entry for entry in found if not entry.name.startswith(".")]
    except OSError:
        return []


def is_item(folder: Path) -> bool:
    """Whether a folder is a model or a component of one."""
    return any((folder / name).is_file() for name in ("model_index.json", *COMPONENT))


def within(root: Path, path: Path) -> bool:
    """Whether what a path leads to is under the root."""
    try:
        return path.resolve().is_relative_to(root.resolve())
    except (OSError, RuntimeError):
        return False


def short_names(found: Sequence[Item]) -> dict[str, Item]:
    """Each item by the last part of its name where that is its alone, else by its whole name."""
    last = Counter(PurePosixPath(item.name).name for item in found)
    named: dict[str, Item] = {}
    for item in found:
        short = PurePosixPath(item.name).name
        named.setdefault(short if last[short] == 1 else item.name, item)
    return named


def called(found: Iterable[Item], name: str) -> list[Item]:
    """The items whose name ends with these parts, with or without the suffix of the file."""
    wanted = PurePosixPath(name.removesuffix(SUFFIX)).parts
    if not wanted or ".." in wanted or wanted[0] == "/":
        return []
    matching = []
    for item in found:
        parts = PurePosixPath(item.name).parts[-len(wanted) :]
        if parts == wanted or (*parts[:-1], bare(parts[-1])) == wanted:
            matching.append(item)
    return matching


def bare(name: str) -> str:
    """The name of a file of weights without its suffix."""
    stem, dot, suffix = name.rpartition(".")
    return stem if dot + suffix in (SUFFIX, *PICKLES) else name
