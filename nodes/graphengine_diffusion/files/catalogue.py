"""Catalogue: what a file or folder is, whether it is whole, and how a pickle becomes a safe file.

The functions of `graphengine.catalogue.Reader`, for `graphengine models`. Imports no torch, and reads no
weight but in a deep check.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from math import prod
from pathlib import Path
from typing import Any

from graphengine.catalogue import Card
from graphengine.errors import ModelError
from graphengine.folders import Folders, within
from graphengine_diffusion.files.headers import (
    PICKLES,
    Header,
    Row,
    read_header,
    read_headers,
    read_json,
    weight_files,
)
from graphengine_diffusion.files.layouts import prefixes
from graphengine_diffusion.files.presets import MODELS
from graphengine_diffusion.files.recognition import (
    CONTROL_NET,
    DENOISER,
    EMBEDDING,
    LORA,
    MODEL,
    TEXT_ENCODER,
    UNKNOWN,
    UPSCALER,
    VAE,
    WIDTHS,
    Recognised,
    inner_widths,
    recognise,
)

PICKLE = "pickle"
PIXELS = ("DDPMPipeline", "DDIMPipeline", "ClassConditionalPipeline", "SuperResolutionPipeline")
"""The pipelines of models in pixel space, which a test holds against the family's own list."""
TOKENIZER = "tokenizer"
SHELVES = {
    MODEL: ("checkpoints", "Stable-diffusion"),
    DENOISER: ("diffusion_models", "unet"),
    VAE: ("vae", "VAE"),
    TEXT_ENCODER: ("text_encoders", "clip"),
    CONTROL_NET: ("controlnet", "ControlNet"),
    LORA: ("loras", "Lora"),
    EMBEDDING: ("embeddings",),
    UPSCALER: ("upscale_models", "ESRGAN", "RealESRGAN", "SwinIR"),
}
"""The folders that files of a kind are kept in: ComfyUI's names, then those of A1111's web UI."""


def describe(path: Path, folders: Folders) -> Card | None:
    """What a file or folder is; None for a folder of something else."""
    try:
        if path.is_file():
            return described_file(path, folders)
        if (path / "model_index.json").is_file():
            return described_model(path)
        return described_component(path)
    except ModelError as error:
        kind = PICKLE if path.suffix.lower() in PICKLES else UNKNOWN
        return Card(kind, problem=str(error))


def described_file(path: Path, folders: Folders) -> Card:
    """A single file, by its header."""
    header = read_header(path)
    found = recognise(header)
    return Card(
        found.kind,
        found.family,
        header.precision(),
        sized_parts(header, found),
        header.metadata,
        tuple(lacking(found, header)),
        SHELVES.get(found.kind, ()),
    )


def sized_parts(header: Header, found: Recognised) -> dict[str, str]:
    """How large each component in a file is."""
    if found.kind not in (MODEL, DENOISER):
        rank = next((header.shape(key)[0] for key, _ in inner_widths(header)), 0)
        return {found.kind: sized(header.tensors) + (f", rank {rank}" if rank else "")}
    parts = {}
    for part in found.parts:
        inside = prefixes(part)
        rows = {key: row for key, row in header.tensors.items() if key.startswith(inside)}
        parts[part] = sized(rows or header.tensors)
    return parts


def sized(rows: Mapping[str, Row]) -> str:
    """How many tensors and numbers these are."""
    numbers = sum(prod(row.shape) for row in rows.values())
    kinds = ", ".join(sorted({row.dtype for row in rows.values()}))
    return f"{len(rows):,} {'tensor' if len(rows) == 1 else 'tensors'}, {numbers:,} numbers, {kinds}"


def lacking(found: Recognised, header: Header) -> Iterator[str]:
    """What a file lacks to paint a picture alone."""
    model = MODELS.get(found.preset) if found.kind in (MODEL, DENOISER) else None
    if model is None:
        return
    for part in model.parts:
        if part not in found.parts and part != model.denoiser:
            node = "load_vae" if part == "vae" else "load_text_encoder"
            shelf = SHELVES[VAE if part == "vae" else TEXT_ENCODER][0]
            yield f"{part}: put it into the folder {shelf} under a model root and load it with {node}"


def described_model(path: Path) -> Card:
    """A model in diffusers' format, by its configurations."""
    index = read_json(path / "model_index.json")
    named = [name for name, value in index.items() if is_component(value)]
    parts, missing, precision = {}, [], ""
    for name in named:
        folder = path / name
        if not folder.is_dir():
            missing.append(f"{name}: download the folder {name} of this model into {path}")
        elif (folder / "config.json").is_file() and name not in ("safety_checker", "feature_extractor"):
            rows = {key: row for key, (_, row) in read_headers(weight_files(folder)).items()}
            parts[name] = sized(rows)
            precision = precision or Header(rows).precision()
            if name in ("unet", "transformer"):
                precision = Header(rows).precision()
    return Card(MODEL, pipeline_family(path, index), precision, parts, {}, tuple(missing))


def is_component(value: Any) -> bool:
    """Whether an entry of a `model_index.json` names a component that is there."""
    return isinstance(value, list) and len(value) == 2 and all(isinstance(v, str) for v in value)


def pipeline_family(path: Path, index: Mapping[str, Any]) -> str:
    """The family of a folder, by its pipeline and the width of the text that it reads."""
    pipeline = str(index.get("_class_name", ""))
    if "XL" in pipeline:
        return "sdxl" if is_component(index.get("text_encoder")) else "sdxl_refiner"
    if pipeline.startswith("StableDiffusion") and (path / "unet" / "config.json").is_file():
        width = read_json(path / "unet" / "config.json").get("cross_attention_dim")
        return "sd2" if WIDTHS.get(width if isinstance(width, int) else 0) == "sd2" else "sd1"
    stem = pipeline.removesuffix("Pipeline").removesuffix("Inpaint").removesuffix("Img2Img")
    if pipeline in PIXELS:
        return "pixels"
    return next((m.family for m in MODELS.values() if m.pipeline == f"{stem}Pipeline"), pipeline)


def described_component(path: Path) -> Card | None:
    """A component in a folder of its own."""
    if not (path / "config.json").is_file():
        return (
            Card(TOKENIZER, shelves=("tokenizers",)) if (path / "tokenizer_config.json").is_file() else None
        )
    header = Header({key: row for key, (_, row) in read_headers(weight_files(path)).items()})
    found = recognise(header)
    if found.kind == UNKNOWN:
        return None
    parts = {found.kind: sized(header.tensors)}
    return Card(found.kind, found.family, header.precision(), parts, {}, (), SHELVES.get(found.kind, ()))


def verify(path: Path, deep: bool) -> Sequence[str]:
    """What is wrong with the headers of a file, or of every file in a folder; `deep` counts bad numbers."""
    problems = []
    files = [path] if path.is_file() else [f for f in within(path) if f.suffix == ".safetensors"]
    for folder in sorted({file.parent for file in files} if path.is_dir() else ()):
        try:
            weight_files(folder)
        except ModelError as error:
            problems.append(str(error))
    for file in files:
        try:
            read_header(file)
        except ModelError as error:
            problems.append(str(error))
        else:
            problems += [*not_finite(file)] if deep else []
    return problems


def not_finite(file: Path) -> Iterator[str]:
    """The tensors of a file that hold numbers that are infinite or not a number."""
    import torch
    from safetensors import safe_open

    with safe_open(file, framework="pt") as stream:
        for key in stream.keys():
            tensor = stream.get_tensor(key)
            if tensor.is_floating_point():
                bad = int((~torch.isfinite(tensor.float())).sum())
                if bad:
                    yield f"{file}: {key} holds {bad:,} numbers that are not finite"


def convert(path: Path) -> Path | None:
    """Write the tensors of a pickle into a `.safetensors` file beside it, in a process of its own.

    None for a file that is no pickle. ModelError if it holds anything but plain tensors, or the file is there
    already.
    """
    if path.suffix.lower() not in PICKLES:
        return None
    if not path.is_file():
        raise ModelError(f"there is no file {path}; check the path")
    target = path.with_suffix(".safetensors")
    if target.exists():
        raise ModelError(f"there is {target} already; move it away first")
    command = [sys.executable, "-m", "graphengine_diffusion.files.conversion", str(path), str(target)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        lines = done.stderr.strip().splitlines() or [f"the process ended with {done.returncode}"]
        raise ModelError(lines[-1])
    return target
