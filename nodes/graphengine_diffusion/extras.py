"""Extras: what lies beside the models under the model roots, such as LoRAs and upscalers, and its names."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from graphengine.authoring import Folders
from graphengine.errors import ModelError
from graphengine_diffusion.headers import PICKLES, Header, read_header, refusal

ENDING = ".safetensors"


def extra_file(name: str, folders: Folders) -> Path:
    """The file of an extra by its name. ModelError if there is none, or it is no `.safetensors`."""
    path = folders.model(name)
    if path.suffix in PICKLES:
        raise ModelError(refusal(path))
    if path.suffix != ENDING or not path.is_file():
        raise ModelError(f"{name} is a folder, where a single {ENDING} file is wanted; choose another")
    return path


def extra_names(folders: Folders, wanted: Callable[[Header], bool]) -> list[str]:
    """The names of the `.safetensors` files under the model roots whose header is of the wanted kind."""
    found = []
    for name, item in folders.items().items():
        if item.path.suffix == ENDING and item.path.is_file():
            try:
                header = read_header(item.path)
            except ModelError:  # a damaged file is no choice; naming it tells what is wrong
                continue
            if wanted(header):
                found.append(name)
    return found
