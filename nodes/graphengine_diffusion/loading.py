"""Loading a model: from its name to handles."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Annotated, NamedTuple

from graphengine.authoring import NO_CONTEXT, Choices, Context, Folders, Ui, node
from graphengine.errors import ModelError
from graphengine_diffusion.families import read_model
from graphengine_diffusion.families.family import ModelFolder
from graphengine_diffusion.handles import VAE, Denoiser, TextEncoder


class LoadedModel(NamedTuple):
    """The three parts of a model."""

    denoiser: Denoiser
    text_encoder: TextEncoder
    vae: VAE


def model_names(folders: Folders) -> list[str]:
    """The models to choose from."""
    return folders.model_names()


def parts_of(model: str, folders: Folders) -> LoadedModel:
    """The handles of a model, from its configurations and the hashes of its files."""
    path = folders.model(model)
    if not path.is_dir():
        raise ModelError(
            f"{model} is a single file; only folders with a model_index.json are read. Convert it to one"
        )
    return read_parts(model, path, folders, folders.stamp(path))


@lru_cache(maxsize=100)
def read_parts(model: str, path: Path, folders: Folders, stamp: str) -> LoadedModel:
    """The handles of a model folder whose files have not changed since."""
    return LoadedModel(*read_model(ModelFolder(model, path, folders)))


def model_fingerprint(model: str, folders: Folders) -> str:
    """Changes whenever a file changes that the handles speak of."""
    return repr(parts_of(model, folders))


@node(fingerprint=model_fingerprint, device="cpu")
def load_model(
    model: Annotated[str, Choices(model_names), Ui(widget="model")] = "storybook",
    ctx: Context = NO_CONTEXT,
) -> LoadedModel:
    """Choose a model: its denoiser, its text encoder and its VAE.

    Gives handles, so it is quick: weights are read when a node first needs them. `model` is the name of a
    folder in diffusers' format under one of the model roots. Weights are read from `.safetensors` only; a
    pickle (`.bin`, `.ckpt`, `.pt`) is refused, because reading one can run code.
    """
    return parts_of(model, ctx.folders)
