"""Embeddings: words that a text encoder learned, in small files. Textual inversion, Gal et al. 2022."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Annotated

from pydantic import Field

from graphengine.authoring import NO_CONTEXT, Choices, Context, Folders, Ui, node
from graphengine.errors import ModelError
from graphengine_diffusion.files.extras import extra_file
from graphengine_diffusion.files.headers import Row, read_header
from graphengine_diffusion.files.recognition import EMBEDDING
from graphengine_diffusion.files.single import fitting
from graphengine_diffusion.handles import Embedding, TextEncoder, Vectors

ENCODERS = ("clip_l", "clip_g", "t5xxl")
"""What files with several entries call the encoders that their vectors are for."""


def is_embedding(rows: Mapping[str, Row]) -> bool:
    """Whether the tensors of a file are those of an embedding: a few vectors and nothing else."""
    named = len(rows) == 1 or (bool(rows) and rows.keys() <= set(ENCODERS))
    return named and all(0 < len(row.shape) <= 2 and row.shape[-1] > 1 for row in rows.values())


def embedding_names(folders: Folders) -> list[str]:
    """The embeddings to choose from."""
    return fitting(folders, EMBEDDING)


def embedding_fingerprint(embedding: str, folders: Folders) -> str:
    """Changes whenever the file does."""
    return folders.content_hash(extra_file(embedding, folders))


@node(fingerprint=embedding_fingerprint, device="cpu")
def load_embedding(
    text_encoder: TextEncoder,
    embedding: Annotated[str, Choices(embedding_names), Ui(widget="model")],
    token: Annotated[str, Field(max_length=100)] | None = None,
    ctx: Context = NO_CONTEXT,
) -> TextEncoder:
    """Teach a text encoder a word: a small file of vectors from textual inversion. Gal et al. 2022.

    The word is `token`, or the name of the file. Write it in a prompt by itself, as `<word>` or as
    `embedding:word`. It counts as many tokens as the file has vectors. Reads `.safetensors` with
    `emb_params`, with `clip_l` and `clip_g` (SDXL), or with one entry of any name.
    """
    path = extra_file(embedding, ctx.folders)
    rows = read_header(path).tensors
    if not is_embedding(rows):
        raise ModelError(
            f"{path.name} is no embedding; one holds emb_params, clip_l and clip_g, or one entry"
        )
    word = (token or path.stem).strip("<> ").removeprefix("embedding:")
    if not word:
        raise ValueError("load_embedding: the token is empty; write a word")
    if word.lower() in (each.token.lower() for each in text_encoder.embeddings):
        raise ValueError(f"load_embedding: the text encoder knows {word!r} already; choose another token")
    vectors = []
    for entry, row in rows.items():
        encoder = encoder_of(entry, text_encoder)
        if encoder is None:
            continue
        first = len(ctx.use(text_encoder.tokenizers[encoder]))
        first += sum(v.tokens for e in text_encoder.embeddings for v in e.vectors if v.encoder == encoder)
        vectors.append(Vectors(encoder, entry, first, row.shape[0] if len(row.shape) == 2 else 1))
    if not vectors:
        raise ModelError(
            f"{path.name} is for {' and '.join(rows)}, which {text_encoder.model} has not; it was made for "
            "another family"
        )
    found = Embedding(embedding, ctx.folders.content_hash(path), word, tuple(vectors))
    return replace(text_encoder, embeddings=(*text_encoder.embeddings, found))


def encoder_of(entry: str, text_encoder: TextEncoder) -> int | None:
    """Which of a model's encoders the vectors of an entry are for; None if it has no such encoder."""
    t5 = [i for i, part in enumerate(text_encoder.parts) if part.cls.startswith("T5")]
    clip = [i for i in range(len(text_encoder.parts)) if i not in t5]
    if entry == "t5xxl":
        return t5[0] if t5 else None
    if entry == "clip_g":
        return clip[-1] if clip else None
    return clip[0] if clip else None
