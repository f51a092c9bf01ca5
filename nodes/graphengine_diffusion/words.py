"""Words: added to a text encoder, each with vectors of its own. Textual inversion, Gal et al. 2022.

A tokenizer gets a token for each vector, and turns the word into these wherever a prompt has it. The table of
the encoder's vectors gets them at its end; everything else is shared with the encoder as it was.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from copy import deepcopy
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn import Module

from graphengine.errors import ModelError
from graphengine_diffusion.sharing import copy_with


class Word(NamedTuple):
    """A word of a prompt and how many tokens it is; the first has the number `first`."""

    text: str
    first: int
    tokens: int


class Taught:
    """A tokenizer that knows more words; for everything else it is the tokenizer itself.

    A word is found by itself, as `<word>` and as `embedding:word`, in upper or lower case.
    """

    def __init__(self, tokenizer: Any, words: Sequence[Word]) -> None:
        """ModelError if the tokens would not get their numbers."""
        from tokenizers import AddedToken

        self.tokenizer, self.written = deepcopy(tokenizer), dict[str, str]()
        for word in words:
            names = [f"<|{word.text}-{n}|>" for n in range(word.tokens)]
            self.tokenizer.add_tokens([AddedToken(name, normalized=False) for name in names])
            if self.tokenizer.convert_tokens_to_ids(names) != list(
                range(word.first, word.first + word.tokens)
            ):
                raise ModelError(f"the tokenizer knows {word.text!r} already; choose another token for it")
            self.written[word.text.lower()] = "".join(names)
        longest = sorted(map(re.escape, self.written), key=len, reverse=True)
        one = f"({'|'.join(longest)})"
        self.pattern = re.compile(rf"<{one}>|embedding:{one}(?!\w)|(?<!\w){one}(?!\w)", re.IGNORECASE)

    def __call__(self, text: str | list[str], *rest: Any, **options: Any) -> Any:
        """The tokens of a text, or of each of several."""
        given = self.spelled(text) if isinstance(text, str) else [self.spelled(each) for each in text]
        return self.tokenizer(given, *rest, **options)

    def spelled(self, text: str) -> str:
        """A text with its added words written as their tokens."""
        return self.pattern.sub(lambda found: self.written[found[found.lastindex or 0].lower()], text)

    def __getattr__(self, name: str) -> Any:
        """Whatever else a tokenizer has."""
        if name in ("tokenizer", "written", "pattern"):  # not there yet, while a copy is being made
            raise AttributeError(name)
        return getattr(self.tokenizer, name)


class Table(Module):
    """A table of vectors with more of them from the number `first` on."""

    def __init__(self, table: Any, first: int, vectors: Tensor) -> None:
        super().__init__()
        self.table, self.first = table, first
        self.vectors: Tensor
        self.register_buffer("vectors", vectors)

    @property
    def weight(self) -> Tensor:
        """The vectors of the table itself."""
        found: Tensor = self.table.weight
        return found

    def forward(self, ids: Tensor) -> Tensor:
        """The vectors [..., width] of token numbers [...]."""
        known = self.table(ids.clamp(max=len(self.weight) - 1))
        more = self.vectors[(ids - self.first).clamp(0, len(self.vectors) - 1)]
        return torch.where((ids >= self.first)[..., None], more, known)


def with_vectors(encoder: Any, first: int, vectors: Sequence[Tensor], names: Sequence[str]) -> Any:
    """A copy of a text encoder with more vectors [count, width], which shares all that it had.

    `names` say where the vectors come from. ModelError if they are of another width.
    """
    table = encoder.get_input_embeddings()
    width = table.weight.shape[1]
    for name, each in zip(names, vectors, strict=True):
        if each.shape[1] != width:
            raise ModelError(
                f"{name} has vectors of width {each.shape[1]}, but this {type(encoder).__name__} reads "
                f"{width}; it was made for another family"
            )
    found = copy_with(encoder, {})
    found.set_input_embeddings(Table(table, first, torch.cat(list(vectors)).to(table.weight)))
    for part in found.modules():
        # Older CLIP models find the end of a text as the largest number, which the added words now are.
        if getattr(part, "eos_token_id", None) == 2:
            part.eos_token_id = len(table.weight) - 1
    return found
