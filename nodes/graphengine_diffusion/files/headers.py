"""Headers: what a `.safetensors` file says of itself, read and checked without reading a single weight.

The format (huggingface/safetensors): eight bytes with the length of the header, little-endian; the header, a
JSON object that gives each tensor its precision, its shape and its first and last byte; then the bytes. A
pickle (`.bin`, `.ckpt`, `.pt`) runs code when it is read, so it is refused. Imports no torch.
"""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from math import prod
from pathlib import Path
from typing import Any, NamedTuple

from graphengine.errors import ModelError

PICKLES = (".bin", ".ckpt", ".pt", ".pth", ".pkl")
HEADER_LIMIT = 100 << 20
BITS = {
    "BOOL": 8, "U8": 8, "I8": 8, "F8_E4M3": 8, "F8_E5M2": 8, "I16": 16, "U16": 16, "F16": 16, "BF16": 16,
    "I32": 32, "U32": 32, "F32": 32, "I64": 64, "U64": 64, "F64": 64,
}  # fmt: skip
"""The precisions that a tensor may have, and the bits of one number."""
DTYPES = {"F32": "float32", "F16": "float16", "BF16": "bfloat16"}


class Row(NamedTuple):
    """One tensor: its precision as the file writes it, its shape, and where its bytes are in the file."""

    dtype: str
    shape: tuple[int, ...]
    start: int
    end: int


@dataclass(frozen=True)
class Header:
    """The tensors of a file by name, and the texts that its author wrote into it."""

    tensors: Mapping[str, Row]
    metadata: Mapping[str, str] = field(default_factory=dict)

    def shape(self, key: str) -> tuple[int, ...]:
        """The shape of a tensor; empty if there is none of that name."""
        row = self.tensors.get(key)
        return row.shape if row else ()

    def under(self, prefixes: Iterable[str]) -> bool:
        """Whether a tensor's name begins with one of these."""
        wanted = tuple(prefixes)
        return any(key.startswith(wanted) for key in self.tensors)

    def precision(self, prefixes: tuple[str, ...] = ("",)) -> str:
        """The precision that most numbers under some prefixes have, as the file writes it; `F32` if none."""
        counts: Counter[str] = Counter()
        for key, row in self.tensors.items():
            if key.startswith(prefixes):
                counts[row.dtype] += prod(row.shape)
        return counts.most_common(1)[0][0] if counts else "F32"


def read_header(file: Path) -> Header:
    """The header of a file, checked. ModelError says in a sentence what is wrong with it.

    Remembered by the file's size and time of change.
    """
    try:
        stat = file.stat()
        return parsed(file, stat.st_size, stat.st_mtime_ns)
    except OSError as error:
        raise ModelError(f"{file} cannot be read ({error.strerror}); check that it is there") from error


@lru_cache(maxsize=2000)
def parsed(file: Path, size: int, _changed: int) -> Header:
    """The header of a file of this size."""
    if file.suffix.lower() in PICKLES:
        raise ModelError(refusal(file))
    with file.open("rb") as stream:
        first = stream.read(8)
        length = int.from_bytes(first, "little")
        if len(first) < 8 or not 2 <= length <= size - 8:
            raise ModelError(not_whole(file, first + stream.read(120)))
        if length > HEADER_LIMIT:
            raise ModelError(
                f"{file} has a header of {length:,} bytes, which no model needs; download it again"
            )
        text = stream.read(length)
    try:
        found = json.loads(text, object_pairs_hook=once)
    except (ValueError, RecursionError) as error:
        raise ModelError(f"{file} has a damaged header ({error}); download it again") from error
    if not isinstance(found, dict):
        raise ModelError(f"{file} has a damaged header (no object); download it again")
    metadata = found.pop("__metadata__", {})
    if not isinstance(metadata, dict):
        raise ModelError(f"{file} has a damaged header (its metadata are no object); download it again")
    rows = {name: row_of(file, name, row, 8 + length) for name, row in found.items()}
    end = 8 + length
    for name, row in sorted(rows.items(), key=lambda item: (item[1].start, item[1].end)):
        if row.start < end:
            raise ModelError(f"{file}: {name} lies over the tensor before it; the file is damaged")
        end = max(end, row.end)
        if end > size:
            raise ModelError(
                f"{file} ends after {size} bytes, but its header wants {end} ({name}); download it again"
            )
    return Header(rows, {str(k): str(v) for k, v in metadata.items()})


def row_of(file: Path, name: str, row: Any, offset: int) -> Row:
    """One entry of a header. ModelError if it does not say what a tensor is."""
    try:
        dtype, shape, (start, end) = row["dtype"], tuple(row["shape"]), row["data_offsets"]
        if not all(type(n) is int and n >= 0 for n in (*shape, start, end)):
            raise ValueError
    except (KeyError, TypeError, ValueError) as error:
        raise ModelError(f"{file}: its header does not say what {name} is; download it again") from error
    if dtype not in BITS:
        raise ModelError(f"{file}: {name} is stored as {dtype!r}; only {', '.join(BITS)} are known")
    if (end - start) * 8 != prod(shape) * BITS[dtype]:
        raise ModelError(
            f"{file}: {name} has {end - start} bytes, but its shape {list(shape)} in {dtype} wants "
            f"{prod(shape) * BITS[dtype] // 8}; download it again"
        )
    return Row(dtype, shape, offset + start, offset + end)


def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """A JSON object in which no name stands twice."""
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a name stands in it twice")
    return found


def not_whole(file: Path, start: bytes) -> str:
    """Why a file cannot be a `.safetensors` file, by how it begins."""
    if start.startswith(b"version https://git-lfs"):
        return f"{file} is only a pointer of Git LFS to the file; download it itself (`git lfs pull`)"
    if start.startswith((b"PK\x03\x04", b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05")):
        return refusal(file, f"a pickle under the name {file.name}")
    if start.lstrip().lower().startswith((b"<!doctype", b"<html")):
        return f"{file} is a web page, not a model; download it again, logged in if the site asks for it"
    return f"{file} is no .safetensors file or only a part of one; download it again"


def refusal(file: Path, what: str = "") -> str:
    """Why a pickle is not read, and what to do."""
    return (
        f"{file.parent} holds its weights as {what or f'{file.name}, a pickle'}, which can run code when it "
        f"is read, so it is refused; convert it to .safetensors: `graphengine models convert {file}`"
    )


def weight_files(folder: Path) -> list[Path]:
    """The `.safetensors` files of a component: of one variant, the plain one if it is there; else ModelError.

    Where an index names them, exactly those that it names.
    """
    found = sorted(p for p in folder.glob("*.safetensors") if not p.name.startswith("."))
    if not found:
        pickles = sorted(f for f in folder.glob("*") if f.suffix in PICKLES)
        if pickles:
            raise ModelError(refusal(pickles[0]))
        raise ModelError(f"{folder} holds no .safetensors file; the model folder must be whole")
    variants = {variant_of(file) for file in found}
    variant = "" if "" in variants else min(variants)
    files = [f for f in found if variant_of(f) == variant]
    if index := index_of(folder, variant):
        whole = [f for f in files if not is_shard(f)]
        return whole or named_by(index)
    shards = [f for f in files if is_shard(f)]
    wanted = int(shards[0].stem.rpartition("-")[2]) if shards else 0
    if wanted > len(shards):
        raise ModelError(
            f"{folder} holds {len(shards)} of {wanted} parts of its weights; download the others"
        )
    return files


def index_of(folder: Path, variant: str) -> Path | None:
    """The file that says which shard holds which weight."""
    for file in sorted(folder.glob("*.safetensors.index*.json")):
        middle = file.name.partition(".safetensors.index")[2].removesuffix(".json").lstrip(".")
        if middle == variant:
            return file
    return None


def named_by(index: Path) -> list[Path]:
    """The shards that an index names. ModelError if one is not there, or leads out of the folder."""
    names = read_json(index).get("weight_map")
    if not isinstance(names, dict) or not names:
        raise ModelError(f"{index} names no weights; download it again")
    files = []
    for name in sorted({str(n) for n in names.values()}):
        if name != os.path.basename(name) or not name.endswith(".safetensors"):
            raise ModelError(f"{index} names {name!r}, which is no .safetensors file beside it")
        if not (index.parent / name).is_file():
            raise ModelError(f"{index.parent} lacks {name}, a part of its weights; download it")
        files.append(index.parent / name)
    return files


def is_shard(file: Path) -> bool:
    """Whether a file is one of several, such as `model-00001-of-00002.safetensors`."""
    _, _, rest = file.stem.rpartition("-of-")
    return "-of-" in file.stem and rest.isdecimal()


def variant_of(file: Path) -> str:
    """`fp16` of `model.fp16.safetensors` and `model.fp16-00001-of-00002.safetensors`; empty if plain."""
    middle = file.name.split(".")[1:-1]
    return middle[-1].split("-")[0] if middle else ""


def read_headers(files: Iterable[Path]) -> dict[str, tuple[Path, Row]]:
    """Every tensor of several files: which file it is in, and what it is."""
    return {name: (file, row) for file in files for name, row in read_header(file).tensors.items()}


def read_json(path: Path) -> dict[str, Any]:
    """A configuration file of a model. ModelError if it is missing or damaged."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ModelError(
            f"{path} cannot be read ({error.strerror}); the model folder must be whole"
        ) from error
    except (ValueError, RecursionError) as error:
        raise ModelError(f"{path} is no JSON ({error}); download the model again") from error
    if not isinstance(found, dict):
        raise ModelError(f"{path} holds {type(found).__name__}, not an object; download the model again")
    return found


def stored_dtype(folder: Path) -> str:
    """The precision that a component's weights are stored in: `float32`, `float16` or `bfloat16`."""
    return DTYPES.get(read_header(weight_files(folder)[0]).precision(), "float32")
