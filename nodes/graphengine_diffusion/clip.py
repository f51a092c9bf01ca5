"""CLIP's text encoder: words to token ids, token ids to vectors. Radford et al. 2021.

An encoder reads a fixed number of tokens at once, so a longer prompt is read in chunks, each with its own
start and end mark, and the chunks' vectors stand behind one another.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from graphengine_diffusion.handles import Tower
from graphengine_diffusion.prompt import Part, parts

CHUNKS = 32
"""The most chunks of a prompt: what attends to them takes time and memory for each."""


class Encoded(NamedTuple):
    """`states` [1, tokens, width] are the tokens' vectors, `pooled` [1, width] that of the first chunk."""

    states: Tensor
    pooled: Tensor


class Token(NamedTuple):
    """A token and how much it counts."""

    id: int
    weight: float


Chunk = list[Token]


def encoded(tower: Tower, text: str, layer: int = -1, clip_skip: int = 0) -> Encoded:
    """A prompt, with the marks that `prompt` reads, through one tower; float32.

    `layer` is which hidden states a family reads: -1 the last, through the final norm; -2 the last but one,
    as they are (SDXL, SD3). `clip_skip` leaves out that many more of the last layers. `pooled` is the
    unweighted vector at the end mark, projected where the encoder has a projection (as that of SDXL has).
    ValueError for a prompt of too many chunks, and where `clip_skip` leaves no layer.
    """
    chunks = chunks_of(tower, text)
    ids = torch.tensor([[token.id for token in chunk] for chunk in chunks], device=tower.encoder.device)
    found = tower.encoder(ids, output_hidden_states=True)
    pooled = found.text_embeds if hasattr(found, "text_embeds") else found.pooler_output
    if layer == -1 and not clip_skip:
        states = found.last_hidden_state
    else:
        layers = len(found.hidden_states) - 1  # the first are the embeddings, before any layer
        if clip_skip > layers + layer:
            raise ValueError(
                f"clip_skip: {clip_skip} leaves out too much of an encoder of {layers} layers; choose "
                f"{layers + layer} or less"
            )
        states = found.hidden_states[layer - clip_skip]
        if layer == -1:
            states = final_norm(tower.encoder)(states)
    weights = torch.tensor([[token.weight for token in chunk] for chunk in chunks])
    states = weighted(states.float(), weights.to(states.device))
    return Encoded(states.flatten(0, 1)[None], pooled[:1].float())


def weighted(states: Tensor, weights: Tensor) -> Tensor:
    """Vectors [chunks, tokens, width] made longer or shorter by their weights [chunks, tokens].

    Each vector is multiplied by its token's weight; then all of a chunk are multiplied by one factor, which
    brings the mean of all its numbers back to what it was. That is how weights in prompts are widely
    understood. The factor stays between 1 / largest and 1 / smallest weight: it does so anyway where the
    vectors' own means have one sign, and a mean near zero is no measure. A chunk without weights is not
    touched.
    """
    if bool((weights == 1).all()):
        return states
    scaled = states * weights[..., None]
    factor = states.mean((1, 2)) / scaled.mean((1, 2))
    factor = torch.where(factor > 0, factor, torch.ones_like(factor)).nan_to_num(1.0, posinf=1.0)
    largest, smallest = weights.amax(1).clamp(min=1), weights.amin(1).clamp(0.1, 1)
    factor = torch.minimum(torch.maximum(factor, 1 / largest), 1 / smallest)
    plain = (weights == 1).all(1)
    return torch.where(plain[:, None, None], states, scaled * factor[:, None, None])


def final_norm(encoder: object) -> torch.nn.Module:
    """The layer norm after the last layer of a CLIP text model."""
    norm: torch.nn.Module = getattr(encoder, "text_model", encoder).final_layer_norm  # type: ignore[attr-defined]
    return norm


def chunks_of(tower: Tower, text: str) -> list[Chunk]:
    """The tokens of a prompt in chunks of as many as the encoder reads: start, words, end, then padding.

    BREAK begins a new chunk. A part that is too long is cut where `cut` says.
    """
    room = tower.tokens - 2
    comma = tower.tokenizer(",", add_special_tokens=False).input_ids[-1:]
    words = [chunk for part in parts(text) for chunk in cut(tokens_of(tower, part), room, comma)]
    if len(words) > CHUNKS:
        raise ValueError(
            f"the prompt has {sum(map(len, words))} tokens in {len(words)} chunks of {room}; {CHUNKS} chunks "
            "are the most, so shorten it"
        )
    start, end = Token(tower.tokenizer.bos_token_id, 1.0), Token(tower.tokenizer.eos_token_id, 1.0)
    pad = Token(tower.tokenizer.pad_token_id, 1.0)
    return [[start, *chunk, end, *[pad] * (room - len(chunk))] for chunk in words]


def tokens_of(tower: Tower, part: Part) -> list[Token]:
    """The tokens of words, without the marks of start and end; each piece is taken by itself."""
    return [
        Token(number, piece.weight)
        for piece in part
        for number in tower.tokenizer(piece.text, add_special_tokens=False, verbose=False).input_ids
    ]


def cut(tokens: list[Token], room: int, comma: list[int]) -> list[Chunk]:
    """Tokens in chunks of at most `room`; at least one chunk, which may be empty.

    A chunk ends behind a comma if there is one among the last 20 of 75 tokens (in smaller encoders in
    proportion) and more follows, so that what stands between commas is read together; else where it is full.
    """
    reach = room * 20 // 75
    found = []
    while len(tokens) > room:
        commas = [n for n in range(room - reach, room) if tokens[n].id in comma]
        end = commas[-1] + 1 if commas else room
        found.append(tokens[:end])
        tokens = tokens[end:]
    return [*found, tokens]
