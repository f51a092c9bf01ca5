"""Vocabulary: tokenizers, and where one is found for a model that came without.

A single file holds no tokenizer. One of the same number of words is taken from the user's other models, or
from a folder of its own under a model root; CLIP's also from the package open_clip_torch, which holds it.
"""

from __future__ import annotations

import gzip
import json
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from graphengine.authoring import Folders
from graphengine.errors import ModelError
from graphengine_diffusion.files.weights import library_class, load_tokenizer

if TYPE_CHECKING:
    from graphengine_diffusion.handles import Part

PLACES = ("tokenizer", "tokenizer_2", "tokenizer_3", "")
CLIP_WORDS = 49408
CLIP_FILE = "bpe_simple_vocab_16e6.txt.gz"
PACKAGE = "open_clip"
T5_FILES = ("spiece.model", "tokenizer.json")


def load_words(part: Part, folders: Folders) -> Any:
    """The tokenizer of a part. ModelError says where to put one if there is none."""
    if not part.hash:
        raise ModelError(where_to_put(part.model, part.cls))
    if part.model:
        tokenizer = load_tokenizer(folders.model(part.model), part.folder, part.cls)
    else:
        tokenizer = packaged_tokenizer()
    if part.preset:
        tokenizer.pad_token = part.preset
    return tokenizer


def found_words(folders: Folders, cls: str, words: int) -> tuple[str, str, Path] | None:
    """The name of a model, the folder in it and the path of a tokenizer with that many words.

    An empty name and folder stand for the package. None if there is no such tokenizer.
    """
    for name, item in folders.items().items():
        for place in PLACES if item.path.is_dir() else ():
            if fits(item.path / place, cls, words):
                return name, place, item.path / place
    if cls == "CLIPTokenizer" and words == CLIP_WORDS and (file := packaged_file()):
        return "", "", file
    return None


def fits(folder: Path, cls: str, words: int) -> bool:
    """Whether a folder holds a tokenizer of a class with that many words."""
    if cls != "CLIPTokenizer":
        return any((folder / name).is_file() for name in T5_FILES) and is_t5(folder)
    return words_in(folder) == words


def words_in(folder: Path) -> int:
    """How many words a tokenizer of CLIP's kind knows; 0 if the folder holds none."""
    try:
        if (folder / "vocab.json").is_file():
            return len(json.loads((folder / "vocab.json").read_bytes()))
        if (folder / "tokenizer.json").is_file():
            model = json.loads((folder / "tokenizer.json").read_bytes())["model"]
            return len(model["vocab"]) if model.get("type") == "BPE" else 0
    except (OSError, ValueError, KeyError, TypeError):
        pass
    return 0


def is_t5(folder: Path) -> bool:
    """Whether a tokenizer says that it is T5's."""
    try:
        config = json.loads((folder / "tokenizer_config.json").read_bytes())
        return str(config.get("tokenizer_class", "")).startswith("T5")
    except (OSError, ValueError, AttributeError):
        return False


def packaged_file() -> Path | None:
    """CLIP's vocabulary in the package open_clip_torch, if that is installed."""
    spec = find_spec(PACKAGE)
    for place in spec.submodule_search_locations or () if spec else ():
        if (file := Path(place, CLIP_FILE)).is_file():
            return file
    return None


def packaged_tokenizer() -> Any:
    """CLIP's tokenizer from the package's list of merges: 256 bytes, the same at a word's end, the merges.

    Radford et al. 2021; the list is that of the paper's code.
    """
    file = packaged_file()
    if file is None:
        raise ModelError(where_to_put("the model", "CLIPTokenizer"))
    lines = gzip.decompress(file.read_bytes()).decode("utf-8").split("\n")
    merges = [tuple(line.split()) for line in lines[1 : CLIP_WORDS - 256 * 2 - 2 + 1]]
    alphabet = byte_alphabet()
    tokens = [*alphabet, *(c + "</w>" for c in alphabet), *("".join(pair) for pair in merges)]
    tokens += ["<|startoftext|>", "<|endoftext|>"]
    vocabulary = {token: number for number, token in enumerate(tokens)}
    return library_class("CLIPTokenizer")(
        vocab=vocabulary, merges=merges, pad_token="<|endoftext|>", model_max_length=77
    )


def byte_alphabet() -> list[str]:
    """The characters that stand for the 256 bytes: those that can be seen, then stand-ins for the others."""
    visible = [*range(33, 127), *range(161, 173), *range(174, 256)]
    return [*map(chr, visible), *(chr(256 + i) for i in range(256 - len(visible)))]


def where_to_put(model: str, cls: str) -> str:
    """That a tokenizer is missing, and what to do."""
    if cls == "CLIPTokenizer":
        return (
            f"{model} holds no CLIP tokenizer, and none of the other models does; put a folder "
            "`clip_tokenizer` with vocab.json, merges.txt and tokenizer_config.json of a Stable "
            "Diffusion model into a model root, or install open_clip_torch, which holds it"
        )
    return (
        f"{model} holds no T5 tokenizer, and none of the other models does; put a folder `t5_tokenizer` with "
        "tokenizer.json (or spiece.model) and tokenizer_config.json of T5 into a model root"
    )
