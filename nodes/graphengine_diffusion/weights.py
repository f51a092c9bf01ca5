"""Reading a model folder: configuration as JSON, weights from `.safetensors` only.

A pickle (`.bin`, `.ckpt`, `.pt`) runs code when it is read, so it is refused. Classes come from a fixed list,
never from the folder; nothing is downloaded.
"""

from __future__ import annotations

import importlib
import json
import os
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch

from graphengine.errors import ModelError

CLASSES = {
    "UNet2DConditionModel": "diffusers",
    "UNet2DModel": "diffusers",
    "SD3Transformer2DModel": "diffusers",
    "FluxTransformer2DModel": "diffusers",
    "AutoencoderKL": "diffusers",
    "ControlNetModel": "diffusers",
    "CLIPTextModel": "transformers",
    "CLIPTextModelWithProjection": "transformers",
    "CLIPTokenizer": "transformers",
    "T5EncoderModel": "transformers",
    "T5Tokenizer": "transformers",
}
PICKLES = (".bin", ".ckpt", ".pt", ".pth", ".pkl")
HEADER_LIMIT = 100 << 20
DTYPES = {"F32": "float32", "F16": "float16", "BF16": "bfloat16"}


def load_module(model: Path, part: str, cls: str, dtype: str, device: str) -> Any:
    """One component, on a device, for inference: no dropout, no gradients.

    On a GPU it is in `dtype`, with convolutions in channels-last order; on a CPU in float32. ModelError if
    the weights are not those that the configuration speaks of.
    """
    files = weight_files(model / part)
    for file in files:
        read_header(file)
    options: dict[str, Any] = {"use_safetensors": True, "local_files_only": True, "output_loading_info": True}
    if variant := variant_of(files[0]):
        options["variant"] = variant
    precision = getattr(torch, dtype if torch.device(device).type != "cpu" else "float32")
    if CLASSES[cls] == "diffusers":
        options |= {"torch_dtype": precision, "low_cpu_mem_usage": find_spec("accelerate") is not None}
    else:
        options["dtype"] = precision
    try:
        module, info = library_class(cls).from_pretrained(str(model / part), **options)
    except torch.OutOfMemoryError:
        raise
    except (RuntimeError, ValueError, TypeError, KeyError, OSError) as error:
        raise ModelError(f"{model / part} cannot be loaded as {cls}: {error}") from error
    if missing := sorted(info["missing_keys"]):
        # The libraries would fill them with random numbers.
        raise ModelError(
            f"{model / part} lacks {len(missing)} of its weights, such as {missing[0]}; download it again"
        )
    module.eval().requires_grad_(False)
    if torch.device(device).type == "cpu":
        return module
    return module.to(device=device, memory_format=torch.channels_last)


def load_tokenizer(model: Path, part: str, cls: str) -> Any:
    """A tokenizer from its folder."""
    return library_class(cls).from_pretrained(str(model / part), local_files_only=True)


def library_class(cls: str) -> Any:
    """A model class of diffusers or transformers, which take seconds to import and must not go online."""
    os.environ["HF_HUB_OFFLINE"] = "1"
    library = importlib.import_module(CLASSES[cls])
    importlib.import_module(f"{CLASSES[cls]}.utils.logging").disable_progress_bar()
    return getattr(library, cls)


def read_json(path: Path) -> dict[str, Any]:
    """A configuration file of a model. ModelError if it is missing or damaged."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ModelError(
            f"{path} cannot be read ({error.strerror}); the model folder must be whole"
        ) from error
    except ValueError as error:
        raise ModelError(f"{path} is no JSON ({error}); download the model again") from error
    if not isinstance(found, dict):
        raise ModelError(f"{path} holds {type(found).__name__}, not an object; download the model again")
    return found


def weight_files(folder: Path) -> list[Path]:
    """The `.safetensors` files of one variant in a folder, the plain one if it is there; else ModelError."""
    found = sorted(folder.glob("*.safetensors"))
    plain = [f for f in found if not variant_of(f)]
    if plain:
        return plain
    if found:
        return [f for f in found if variant_of(f) == variant_of(found[0])]
    pickles = sorted(f.name for f in folder.glob("*") if f.suffix in PICKLES)
    if pickles:
        raise ModelError(
            f"{folder} holds its weights as {pickles[0]}, a pickle, which can run code when it is read, so "
            "it is refused; convert it to .safetensors, or get the model in that format"
        )
    raise ModelError(f"{folder} holds no .safetensors file; the model folder must be whole")


def variant_of(file: Path) -> str:
    """`fp16` of `model.fp16.safetensors` and `model.fp16-00001-of-00002.safetensors`; empty if plain."""
    middle = file.name.split(".")[1:-1]
    return middle[-1].split("-")[0] if middle else ""


def read_header(file: Path) -> dict[str, Any]:
    """The header of a `.safetensors` file: names, shapes, precisions. ModelError if the file is damaged."""
    size = file.stat().st_size
    with file.open("rb") as stream:
        length = int.from_bytes(stream.read(8), "little")
        if not 2 <= length <= min(HEADER_LIMIT, size - 8):
            raise ModelError(f"{file} is no .safetensors file or only a part of one; download it again")
        try:
            header = json.loads(stream.read(length))
        except ValueError as error:
            raise ModelError(f"{file} has a damaged header; download it again") from error
    header.pop("__metadata__", None)
    end = max((row["data_offsets"][1] for row in header.values()), default=0)
    if end > size - 8 - length:
        raise ModelError(
            f"{file} ends after {size} bytes, but its header wants {end + 8 + length}; download it again"
        )
    return dict(header)


def stored_dtype(folder: Path) -> str:
    """The precision that weights are stored in: `float32`, `float16` or `bfloat16`."""
    first: dict[str, Any] = next(iter(read_header(weight_files(folder)[0]).values()), {})
    return DTYPES.get(first.get("dtype", ""), "float32")
