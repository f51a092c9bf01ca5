"""The tokenizer: CLIP's byte-pair format, with one token for every word of the world.

Words that the world does not know fall back to letters, as in CLIP (Radford et al. 2021, whose byte
table is GPT-2's). A prompt holds `LENGTH` tokens, the two at its ends included.
"""

import json
from collections import Counter
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import CLIPTokenizer

from graphengine_storybook.captions import words

LENGTH = 32
START, END = "<|startoftext|>", "<|endoftext|>"


def write(folder: Path) -> CLIPTokenizer:
    """Write vocab.json, merges.txt and tokenizer.json to `folder`, and load them."""
    folder.mkdir(parents=True, exist_ok=True)
    merges = _merges(words())
    letters = [letter for letter in _byte_letters() if letter]
    joined = [left + right for left, right in merges]
    vocabulary = [*letters, *(f"{letter}</w>" for letter in letters), *joined, START, END]
    ids = {token: index for index, token in enumerate(dict.fromkeys(vocabulary))}
    lines = "\n".join(f"{left} {right}" for left, right in merges)
    (folder / "vocab.json").write_text(json.dumps(ids, ensure_ascii=False), encoding="utf-8")
    (folder / "merges.txt").write_text(f"#version: 0.2\n{lines}\n", encoding="utf-8")
    config = {
        "tokenizer_class": "CLIPTokenizer",
        "model_max_length": LENGTH,
        "bos_token": START,
        "eos_token": END,
        "unk_token": END,
        "pad_token": END,
        "add_prefix_space": False,
        "do_lower_case": True,
        "errors": "replace",
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(config, indent=2), encoding="utf-8")
    tokenizer: CLIPTokenizer = CLIPTokenizer.from_pretrained(folder)
    extra = {name: (folder / name).read_bytes() for name in ("vocab.json", "merges.txt")}
    tokenizer.save_pretrained(folder)  # tokenizer.json; it drops the two older files
    for name, content in extra.items():
        (folder / name).write_bytes(content)
    return tokenizer


def _byte_letters() -> list[str]:
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [byte for byte in range(256) if byte not in printable]
    return [chr(byte) for byte in printable] + [chr(256 + index) for index in range(len(others))]


def _merges(vocabulary: list[str]) -> list[tuple[str, str]]:
    """Byte-pair merges, the most frequent pair first, until every word is one token."""
    spelled = {word: [*word[:-1], f"{word[-1]}</w>"] for word in vocabulary}
    merges: list[tuple[str, str]] = []
    while True:
        pairs = Counter(pair for parts in spelled.values() for pair in pairwise(parts))
        if not pairs:
            return merges
        best = max(pairs, key=lambda pair: (pairs[pair], pair))
        merges.append(best)
        for parts in spelled.values():
            _join(parts, best)


def _join(parts: list[str], pair: tuple[str, str]) -> None:
    index = 0
    while index < len(parts) - 1:
        if (parts[index], parts[index + 1]) == pair:
            parts[index : index + 2] = [parts[index] + parts[index + 1]]
        index += 1


class Encoder:
    """Token ids of many captions, quickly: each word is looked up once and remembered."""

    def __init__(self, tokenizer: CLIPTokenizer) -> None:
        self.tokenizer = tokenizer
        self._words: dict[str, list[int]] = {}

    def __call__(self, captions: list[str]) -> Tensor:
        """Ids (captions, LENGTH), as the tokenizer gives with padding and truncation."""
        end = self._id(self.tokenizer.eos_token_id)
        ids = torch.full((len(captions), LENGTH), end)
        for row, text in enumerate(captions):
            tokens = [self._id(self.tokenizer.bos_token_id)]
            for word in text.replace(",", " ,").split():
                tokens += self._word(word)
            tokens = [*tokens[: LENGTH - 1], end]
            ids[row, : len(tokens)] = torch.tensor(tokens)
        return ids

    def _word(self, word: str) -> list[int]:
        if word not in self._words:
            found: Any = self.tokenizer(word, add_special_tokens=False)["input_ids"]
            self._words[word] = list(found)
        return self._words[word]

    @staticmethod
    def _id(value: Any) -> int:
        return int(value)
