"""Extras: what lies beside the models in a file of its own: LoRAs, upscalers, embeddings."""

from __future__ import annotations

from pathlib import Path

from graphengine.authoring import Folders
from graphengine.errors import ModelError
from graphengine_diffusion.files.headers import PICKLES, refusal


def extra_file(name: str, folders: Folders) -> Path:
    """The file of an extra by its name. ModelError if there is none, or it is no `.safetensors`."""
    path = folders.model(name)
    if path.suffix.lower() in PICKLES:
        raise ModelError(refusal(path))
    if not path.is_file():
        raise ModelError(f"{name} is a folder; give the name of a single .safetensors file")
    return path
