"""Extras: what lies beside the models under the model roots, such as LoRAs and upscalers, and its names.

A name is the path of a file under a root, such as `loras/ink.safetensors`; the ending may be left out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

from graphengine.authoring import Folders
from graphengine.errors import ModelError
from graphengine_diffusion.headers import PICKLES, Row, read_header

ENDING = ".safetensors"


def extra_file(name: str, folders: Folders) -> Path:
    """The file of an extra by its name. ModelError if there is none, or it is no `.safetensors`."""
    for each in (name, name + ENDING):
        try:
            path = folders.model(each)
        except ModelError:
            continue
        if path.suffix == ENDING and path.is_file():
            return path
        if path.suffix in PICKLES:
            raise ModelError(
                f"{name} is a pickle, which can run code when it is read, so it is refused; get it as "
                ".safetensors"
            )
    have = ", ".join(extra_names(folders, lambda header: True)) or "none"
    raise ModelError(
        f"there is no file {name!r}; these are here: {have}. Put it into one of: "
        + ", ".join(map(str, folders.models))
    )


def extra_names(folders: Folders, wanted: Callable[[Mapping[str, Any]], bool]) -> list[str]:
    """The `.safetensors` files under the model roots whose header is of the wanted kind, sorted by name."""
    found = set()
    for root in folders.models:
        for path in files_under(root):
            try:
                header = header_of(path, folders.stamp(path))
            except (ModelError, OSError):  # a damaged file is no choice; naming it tells what is wrong
                continue
            if wanted(header):
                found.add(path.relative_to(root).as_posix())
    return sorted(found)


def files_under(root: Path) -> Iterator[Path]:
    """The single files of a root: in itself and in its folders, but not the parts of a model."""
    if not root.is_dir():
        return
    folders = (p for p in root.iterdir() if p.is_dir() and not any(p.glob("*.json")))
    for folder in (root, *folders):
        yield from folder.glob(f"*{ENDING}")


@lru_cache(maxsize=1000)
def header_of(path: Path, stamp: str) -> Mapping[str, Row]:
    """The header of a file that has not changed since."""
    return read_header(path).tensors
