"""Loading a model: from its name to handles. Weights are read when a node first needs them."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Literal, NamedTuple

from graphengine.authoring import NO_CONTEXT, Choices, Context, Folders, Ui, node
from graphengine.errors import ModelError
from graphengine_diffusion.families import read_model
from graphengine_diffusion.families.family import ModelFolder
from graphengine_diffusion.files.recognition import DENOISER, MODEL, TEXT_ENCODER
from graphengine_diffusion.files.recognition import VAE as AUTOENCODER
from graphengine_diffusion.files.single import (
    Piece,
    assembled_text,
    assembled_vae,
    checkpoint,
    fitting,
    kind_of,
    lone_denoiser,
    recognised,
)
from graphengine_diffusion.handles import VAE, Denoiser, TextEncoder

Predicts = Literal["auto", "epsilon", "v_prediction"]
LatentFamily = Literal["auto", "sd1", "sdxl", "sd3", "flux1"]
TextFamily = Literal["auto", "sd1", "sd2", "sdxl", "sdxl_refiner", "sd3", "flux1"]


class LoadedModel(NamedTuple):
    """The three parts of a model."""

    denoiser: Denoiser
    text_encoder: TextEncoder
    vae: VAE


def model_names(folders: Folders) -> list[str]:
    """The models to choose from."""
    return fitting(folders, MODEL)


def denoiser_names(folders: Folders) -> list[str]:
    """The models and single denoisers to choose from."""
    return fitting(folders, MODEL, DENOISER)


def vae_names(folders: Folders) -> list[str]:
    """The models and single autoencoders to choose from."""
    return fitting(folders, MODEL, AUTOENCODER)


def text_encoder_names(folders: Folders) -> list[str]:
    """The models and single text encoders to choose from."""
    return fitting(folders, MODEL, TEXT_ENCODER)


def parts_of(model: str, folders: Folders) -> LoadedModel:
    """The handles of a model, from its configurations and the hashes of its files."""
    path = folders.model(model)
    beside = () if path.is_dir() else tuple(folders.items())  # where a tokenizer for a single file may be
    return read_parts(model, path, folders, folders.stamp(path), beside)


@lru_cache(maxsize=100)
def read_parts(model: str, path: Path, folders: Folders, stamp: str, beside: tuple[str, ...]) -> LoadedModel:
    """The handles of a model whose files have not changed since, nor the names of what is beside it."""
    if path.is_dir():
        return LoadedModel(*read_model(ModelFolder(model, path, folders)))
    found = recognised(model, path, MODEL)
    return LoadedModel(*read_model(checkpoint(model, path, folders, found)))


def is_whole(path: Path) -> bool:
    """Whether a path is a model with all its parts, and not one part."""
    return kind_of(path) == MODEL


def told_apart(denoiser: Denoiser, predicts: Predicts) -> Denoiser:
    """The denoiser with what the user says of its output. ModelError for a flow model, which has one kind."""
    if predicts == "auto" or predicts == denoiser.predicts:
        return denoiser
    if denoiser.predicts == "flow":
        raise ModelError(f"{denoiser.model} is a flow model, which does not predict {predicts}; choose auto")
    return replace(denoiser, predicts=predicts)


def denoiser_of(model: str, predicts: Predicts, folders: Folders) -> Denoiser:
    """The handle of a model's denoiser, or of one alone."""
    path = folders.model(model)
    if is_whole(path):
        found = parts_of(model, folders).denoiser
    else:
        found = read_model(lone_denoiser(model, path, folders)).denoiser
    return told_apart(found, predicts)


def vae_of(model: str, family: LatentFamily, folders: Folders) -> VAE:
    """The handle of a model's autoencoder, or of one alone."""
    path = folders.model(model)
    if is_whole(path):
        return parts_of(model, folders).vae
    return read_model(assembled_vae(model, path, folders, family)).vae


def text_encoder_of(first: str, second: str, third: str, family: TextFamily, folders: Folders) -> TextEncoder:
    """The handle of a model's text encoders, or of those in up to three files."""
    names = [name for name in (first, second, third) if name]
    paths = [folders.model(name) for name in names]
    if len(names) == 1 and is_whole(paths[0]):
        return parts_of(first, folders).text_encoder
    pieces = [Piece(name, path) for name, path in zip(names, paths, strict=True)]
    return read_model(assembled_text(pieces, folders, family)).text_encoder


def model_fingerprint(model: str, folders: Folders) -> str:
    """Changes whenever a file changes that the handles speak of."""
    return repr(parts_of(model, folders))


def denoiser_fingerprint(model: str, predicts: Predicts, folders: Folders) -> str:
    """The same for a denoiser."""
    return repr(denoiser_of(model, predicts, folders))


def vae_fingerprint(model: str, family: LatentFamily, folders: Folders) -> str:
    """The same for an autoencoder."""
    return repr(vae_of(model, family, folders))


def text_encoder_fingerprint(
    model: str, second: str, third: str, family: TextFamily, folders: Folders
) -> str:
    """The same for text encoders."""
    return repr(text_encoder_of(model, second, third, family, folders))


@node(fingerprint=model_fingerprint, device="cpu")
def load_model(
    model: Annotated[str, Choices(model_names), Ui(widget="model")] = "storybook",
    ctx: Context = NO_CONTEXT,
) -> LoadedModel:
    """Choose a model: its denoiser, its text encoder and its VAE.

    Gives handles, so it is quick: weights are read when a node first needs them. `model` is the name of a
    folder in diffusers' format or of a single `.safetensors` file under one of the model roots. Pickles
    (`.bin`, `.ckpt`, `.pt`) are refused, because reading one can run code; `graphengine models convert` makes
    a safe file of one.
    """
    return parts_of(model, ctx.folders)


@node(fingerprint=denoiser_fingerprint, device="cpu")
def load_denoiser(
    model: Annotated[str, Choices(denoiser_names), Ui(widget="model")],
    predicts: Predicts = "auto",
    ctx: Context = NO_CONTEXT,
) -> Denoiser:
    """Choose a denoiser: that of a model, or a U-Net or transformer in a file or folder of its own.

    Nothing else of the model is loaded. `predicts` says what the output of a U-Net means where its file does
    not: "auto" takes a file of Stable Diffusion 2.x for the version of 768 pixels (v), others for epsilon.
    """
    return denoiser_of(model, predicts, ctx.folders)


@node(fingerprint=vae_fingerprint, device="cpu", title="Load VAE")
def load_vae(
    model: Annotated[str, Choices(vae_names), Ui(widget="model")],
    family: LatentFamily = "auto",
    ctx: Context = NO_CONTEXT,
) -> VAE:
    """Choose a VAE: that of a model, or one in a file or folder of its own.

    `family` says whose latents a single file makes: Stable Diffusion 1.x and XL have VAEs of one shape and
    two scales, and so have Stable Diffusion 3 and Flux. "auto" takes what the file says, or its name (`xl`,
    `sd3`), or else the VAE for Stable Diffusion 1.x, with 16 channels for Flux.
    """
    return vae_of(model, family, ctx.folders)


@node(fingerprint=text_encoder_fingerprint, device="cpu")
def load_text_encoder(
    model: Annotated[str, Choices(text_encoder_names), Ui(widget="model")],
    second: Annotated[str, Choices(text_encoder_names), Ui(widget="model")] = "",
    third: Annotated[str, Choices(text_encoder_names), Ui(widget="model")] = "",
    family: TextFamily = "auto",
    ctx: Context = NO_CONTEXT,
) -> TextEncoder:
    """Choose text encoders: those of a model, or one to three in files or folders of their own.

    Stable Diffusion XL reads CLIP-L and CLIP-G, Flux CLIP-L and T5, Stable Diffusion 3 all three or both
    CLIPs (then say `family`). The order does not matter.
    """
    return text_encoder_of(model, second, third, family, ctx.folders)
