"""Single files: a model whose components lie in files of their own, or all in one, read as a folder is.

A family reads configurations, and asks for components by their folder. Here the configurations come from
presets, and a component is a piece: a part of a file, or a folder of that component alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from graphengine.authoring import Folders
from graphengine.errors import ModelError
from graphengine_diffusion.families.family import ModelFolder
from graphengine_diffusion.files.headers import (
    DTYPES,
    Header,
    read_header,
    read_headers,
    read_json,
    stored_dtype,
    weight_files,
)
from graphengine_diffusion.files.layouts import prefixes
from graphengine_diffusion.files.presets import MODELS, PARTS, ModelPreset, architecture
from graphengine_diffusion.files.recognition import (
    DENOISER,
    MODEL,
    NODES,
    TEXT_ENCODER,
    UNKNOWN,
    Recognised,
    recognise,
)
from graphengine_diffusion.files.recognition import VAE as AUTOENCODER
from graphengine_diffusion.files.vocabulary import found_words
from graphengine_diffusion.files.weights import configured
from graphengine_diffusion.handles import Part


@dataclass(frozen=True)
class Piece:
    """One component: the name and path of the file or folder that it is in, and its architecture by name.

    A folder brings its own configuration, so its `preset` is empty.
    """

    name: str
    path: Path
    preset: str = ""

    def config(self, cls: str) -> dict[str, Any]:
        """The arguments of its class."""
        return (
            configured(self.path, cls, self.preset) if self.preset else read_json(self.path / "config.json")
        )

    def dtype(self, folder: str) -> str:
        """The precision that its weights are stored in."""
        if not self.preset:
            return stored_dtype(self.path)
        header = read_header(self.path)
        inside = prefixes(folder)
        return DTYPES.get(header.precision(inside if header.under(inside) else ("",)), "float32")


@dataclass(frozen=True)
class Assembly(ModelFolder):
    """A model put together from pieces, by the folders that they would be in; others are not there."""

    preset: ModelPreset = field(default_factory=lambda: MODELS["sd1"])
    pieces: Mapping[str, Piece] = field(default_factory=dict)

    def json(self, file: str) -> dict[str, Any]:
        """What the file of that name would say, were the model a folder."""
        folder, _, _ = file.partition("/")
        if file == "model_index.json":
            known = [p for p in self.preset.parts if p != "text_encoder_3" or self.has(p)]
            index = {part: ["library", architecture(self.preset.parts[part]).cls] for part in known}
            absent = {part: [None, None] for part in PARTS}
            return {"_class_name": self.preset.pipeline, **absent, **index, **self.preset.index}
        if folder == "scheduler":
            return dict(self.preset.scheduler) | told(self.scheduled())
        if folder in self.pieces:
            return self.pieces[folder].config(architecture(self.preset.parts[folder]).cls)
        return dict(architecture(self.preset.parts[folder]).arguments)

    def scheduled(self) -> Path | None:
        """The file of the denoiser, which may say what it was trained to predict."""
        piece = self.pieces.get(self.preset.denoiser)
        return piece.path if piece and piece.preset else None

    def has(self, folder: str) -> bool:
        """Whether a component is there."""
        return folder in self.pieces

    def part(self, folder: str, cls: str, precise: bool = False) -> Part:
        """A component; one that is not there is told when it is used."""
        piece = self.pieces.get(folder)
        if piece is None:
            return Part(self.name, folder, cls, "")
        stored = piece.dtype(folder)
        dtype = "float32" if precise else "bfloat16" if stored == "bfloat16" else "float16"
        place = folder if piece.preset else ""
        return Part(piece.name, place, cls, self.folders.content_hash(piece.path), dtype, piece.preset)

    def words(self, folder: str, cls: str) -> Part:
        """A tokenizer with as many words as its encoder knows, from wherever there is one."""
        encoder = folder.replace("tokenizer", "text_encoder")
        size = self.json(f"{encoder}/config.json").get("vocab_size", 0)
        found = found_words(self.folders, cls, size)
        if found is None:
            return Part(self.name, folder, cls, "", "")
        name, place, path = found
        return Part(name, place, cls, self.folders.content_hash(path), "", self.preset.words.get(folder, ""))


def told(file: Path | None) -> dict[str, Any]:
    """What a file says of its own training, in its metadata or in two empty tensors that some authors add."""
    if file is None:
        return {}
    header = read_header(file)
    said: dict[str, Any] = {}
    kind = header.metadata.get("modelspec.prediction_type", "")
    if kind in ("v", "v_prediction") or "v_pred" in header.tensors:
        said["prediction_type"] = "v_prediction"
    elif kind == "epsilon":
        said["prediction_type"] = "epsilon"
    if "ztsnr" in header.tensors:
        said["rescale_betas_zero_snr"] = True
    return said


def recognised(name: str, path: Path, *wanted: str) -> Recognised:
    """What a file is. ModelError says so if it is none of the kinds that are wanted."""
    found = recognise(header_of(path))
    if found.kind in wanted:
        return found
    whole = " or ".join(f"{'an' if kind[0] in 'aeiou' else 'a'} {kind}" for kind in wanted)
    if found.kind == UNKNOWN:
        raise ModelError(f"{name} is {found}, where {whole} is wanted; choose another file")
    raise ModelError(f"{name} is {found}, not {whole}; load it with {NODES[found.kind]}")


def checkpoint(name: str, path: Path, folders: Folders, found: Recognised) -> Assembly:
    """The model in a file that was recognised as one, or as a denoiser. ModelError if no preset fits it."""
    preset = MODELS.get(found.preset)
    if preset is None:
        family = f" for {found.family}" if found.family else ""
        raise ModelError(
            f"{name} is a {found.kind}{family} of a size that is not known; these are: "
            + ", ".join(model.title for model in MODELS.values())
        )
    pieces = {part: Piece(name, path, preset.parts[part]) for part in found.parts if part in preset.parts}
    return Assembly(name, path, folders, preset, pieces)


# -- components alone ----------------------------------------------------------------------------------------


def header_of(path: Path) -> Header:
    """The header of a file, or of all the files of a component folder as one."""
    if path.is_file():
        return read_header(path)
    return Header({name: row for name, (_, row) in read_headers(weight_files(path)).items()})


def kind_of(path: Path) -> str:
    """What a file or folder is; `UNKNOWN` if it cannot be read."""
    if (path / "model_index.json").is_file():
        return MODEL
    try:
        return recognise(header_of(path)).kind
    except ModelError:
        return UNKNOWN


def piece_of(name: str, path: Path, preset: str) -> Piece:
    """A component alone: a folder brings its configuration, a file has that of a preset."""
    if path.is_file():
        return Piece(name, path, preset)
    read_json(path / "config.json")
    return Piece(name, path)


def lone_denoiser(name: str, path: Path, folders: Folders) -> Assembly:
    """A model of which the denoiser alone is there."""
    found = recognised(name, path, DENOISER, MODEL)
    if path.is_file():
        return checkpoint(name, path, folders, found)
    preset = MODELS.get(found.preset) or next((m for m in MODELS.values() if m.family == found.family), None)
    if preset is None:
        raise ModelError(f"{name} is {found}; which model it belongs to is not known")
    return Assembly(name, path, folders, preset, {preset.denoiser: Piece(name, path)})


def assembled_vae(name: str, path: Path, folders: Folders, family: str) -> Assembly:
    """A model of which the autoencoder alone is there, with the scale that its family has."""
    found = recognised(name, path, AUTOENCODER)
    shape = architecture(found.preset).arguments if found.preset else {}
    same = [
        model
        for model in MODELS.values()
        if shape and is_like(architecture(model.parts["vae"]).arguments, shape)
    ]
    if path.is_dir():
        scale = read_json(path / "config.json").get("scaling_factor")
        same.sort(key=lambda model: architecture(model.parts["vae"]).arguments["scaling_factor"] != scale)
    if not same:
        raise ModelError(f"{name} is a VAE of a size that is not known")
    wanted = family if family != "auto" else "" if path.is_dir() else hinted(name, path)
    fits = [model for model in same if model.family == wanted] or (same if family == "auto" else [])
    if not fits:
        known = ", ".join(dict.fromkeys(model.family for model in same))
        raise ModelError(f"{name} is no VAE for {family}; its latents have the shape of these: {known}")
    return Assembly(name, path, folders, fits[0], {"vae": piece_of(name, path, fits[0].parts["vae"])})


def is_like(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Whether two autoencoders have weights of the same shapes."""
    return all(one[name] == other[name] for name in ("block_out_channels", "latent_channels"))


def hinted(name: str, path: Path) -> str:
    """The family that a VAE's file names in its metadata, or that its own name speaks of."""
    words = f"{read_header(path).metadata.get('modelspec.architecture', '')} {Path(name).name}".lower()
    if "xl" in words:
        return "sdxl"
    if "sd3" in words or "stable-diffusion-v3" in words:
        return "sd3"
    return "flux1" if "flux" in words or recognise(read_header(path)).family in ("sd3", "flux1") else "sd1"


def assembled_text(pieces: list[Piece], folders: Folders, family: str) -> Assembly:
    """A model of which the text encoders alone are there. ModelError if no model reads just these."""
    found: dict[str, Piece] = {}
    for piece in pieces:
        preset = recognised(piece.name, piece.path, TEXT_ENCODER).preset
        if not preset:
            raise ModelError(f"{piece.name} is a text encoder of a size that is not known")
        if preset in found:
            raise ModelError(f"{found[preset].name} and {piece.name} are both {preset}; name each once")
        found[preset] = piece_of(piece.name, piece.path, preset)
    for model in MODELS.values():
        parts = {model.parts[folder]: folder for folder in model.text_encoders}
        needed = {p for p, folder in parts.items() if folder != "text_encoder_3" or family == "auto"}
        if family in ("auto", model.family) and needed <= found.keys() <= parts.keys():
            placed = {parts[preset]: piece for preset, piece in found.items()}
            return Assembly(" + ".join(p.name for p in pieces), pieces[0].path, folders, model, placed)
    of = f"{family} does not read" if family != "auto" else "no model reads"
    reads = "; ".join(
        f"{model.family}: {' and '.join(model.parts[folder] for folder in model.text_encoders)}"
        for model in {model.family: model for model in MODELS.values()}.values()
    )
    raise ModelError(f"{of} {' and '.join(found)} and nothing else; these go together: {reads}")


def fitting(folders: Folders, *kinds: str) -> list[str]:
    """The names of everything under the roots that is of one of these kinds."""
    return [name for name, item in folders.items().items() if kind_of(item.path) in kinds]
