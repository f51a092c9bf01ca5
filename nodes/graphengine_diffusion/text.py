"""Text: from words to what the model is conditioned on, and how alike texts are to the model."""

from __future__ import annotations

from typing import Annotated, Literal, NamedTuple

import torch
from pydantic import Field
from torch import Tensor
from torch.nn import functional

from graphengine.authoring import NO_CONTEXT, Context, Ui, node
from graphengine_diffusion.clip import chunks_of, encoded
from graphengine_diffusion.conditioning import with_each
from graphengine_diffusion.families import FAMILIES
from graphengine_diffusion.handles import TextEncoder, Tower
from graphengine_diffusion.prompt import escaped
from graphengine_diffusion.types import Conditioning


class Similarity(NamedTuple):
    """A table of numbers, a row and a column for each text, and the texts as its labels."""

    rows: list[list[float]]
    labels: list[str]


@node
def encode_text(
    encoder: TextEncoder,
    text: Annotated[str, Ui(widget="multiline")],
    ctx: Context = NO_CONTEXT,
    syntax: Literal["weights", "plain"] = "weights",
    clip_skip: Annotated[int, Field(ge=0, le=24)] = 0,
) -> Conditioning:
    """Turn a text into what the model can follow.

    An empty text is the "no prompt" that guidance compares with. With `syntax` "weights", `(word:1.3)` counts
    more, `(word)` 1.1 times and `[word]` less, BREAK begins a new chunk, and `\\(` is a bracket; "plain"
    takes every character as it is. A model reads a fixed number of tokens at once (77 for Stable Diffusion,
    32 for storybook; a word is one or a few): a longer text is read in chunks, cut behind a comma where one
    is near. `clip_skip` leaves out so many of the encoder's last layers; what is often called "clip skip 2"
    is 1 here.
    """
    towers = ctx.use(encoder)
    prompt = text if syntax == "weights" else escaped(text)
    with torch.inference_mode():
        found = FAMILIES[encoder.family].encode_text(towers, prompt, clip_skip)
    # A copy made outside of inference mode is an ordinary tensor, which training nodes may use too.
    return with_each(found, Tensor.clone)


@node
def text_similarity(
    encoder: TextEncoder,
    texts: Annotated[list[str], Field(min_length=1, max_length=64)],
    by: Literal["text", "words"] = "text",
    centred: bool = False,
    ctx: Context = NO_CONTEXT,
) -> Similarity:
    """How alike words or sentences are to a text encoder: the cosine of the angles between their vectors.

    1 is the same, 0 unrelated. `by` says what stands for a text: "text" the vector at its end mark, which has
    read all of it (its projection where the encoder has one); "words" the mean of its tokens' vectors. All
    vectors of an encoder lie near one direction: `centred` takes away the mean over these texts first (Mu &
    Viswanath 2018), so that differences show, down to -1. Draw the rows with `image.heatmap`. The first
    encoder of a model with several is asked.
    """
    if not texts:
        raise ValueError("there is no text to compare; give at least one")
    towers = ctx.use(encoder)
    if not towers:
        raise ValueError(f"{encoder.model} has no text encoder; take that of a text-to-image model")
    with torch.inference_mode():
        vectors = torch.cat([vector_of(towers[0], text, by) for text in texts])
    if centred:
        vectors = vectors - vectors.mean(0)
    near = functional.normalize(vectors, dim=1)
    return Similarity((near @ near.T).clamp(-1, 1).tolist(), list(texts))


def vector_of(tower: Tower, text: str, by: Literal["text", "words"]) -> Tensor:
    """One vector for a text, [1, width]; an empty text has the end mark alone."""
    found = encoded(tower, escaped(text))
    if by == "text":
        return found.pooled
    ids = [token.id for token in chunks_of(tower, escaped(text))[0]]
    return found.states[:, 1 : max(ids.index(tower.tokenizer.eos_token_id, 1), 2)].mean(1)
