"""CLIP's text encoder: words to token ids, token ids to vectors. Radford et al. 2021."""

from __future__ import annotations

import logging
from typing import NamedTuple

import torch
from torch import Tensor

from graphengine_diffusion.handles import Tower

log = logging.getLogger(__name__)


class Encoded(NamedTuple):
    """`states` [1, tokens, width] are the tokens' vectors, `pooled` [1, width] that of the whole text."""

    states: Tensor
    pooled: Tensor


def encoded(tower: Tower, text: str, layer: int = -1, clip_skip: int = 0) -> Encoded:
    """A text through one tower, float32.

    `layer` is which hidden states a family reads: -1 the last, through the final norm; -2 the last but one,
    as they are (SDXL, SD3). `clip_skip` leaves out that many more of the last layers. `pooled` is the vector
    at the end mark, projected where the encoder has a projection (CLIPTextModelWithProjection).
    """
    ids = torch.tensor([token_ids(tower, text)], device=tower.encoder.device)
    found = tower.encoder(ids, output_hidden_states=True)
    pooled = found.text_embeds if hasattr(found, "text_embeds") else found.pooler_output
    if layer == -1 and not clip_skip:
        states = found.last_hidden_state
    else:
        states = found.hidden_states[layer - clip_skip]
        if layer == -1:
            states = final_norm(tower.encoder)(states)
    return Encoded(states.float(), pooled.float())


def final_norm(encoder: object) -> torch.nn.Module:
    """The layer norm after the last layer of a CLIP text model."""
    norm: torch.nn.Module = getattr(encoder, "text_model", encoder).final_layer_norm  # type: ignore[attr-defined]
    return norm


def token_ids(tower: Tower, text: str) -> list[int]:
    """Exactly as many token ids as the encoder reads: start, words, end, then padding."""
    ids: list[int] = tower.tokenizer(text, verbose=False).input_ids
    if len(ids) > tower.tokens:
        kept, lost = ids[: tower.tokens - 1], ids[tower.tokens - 1 : -1]
        log.warning(
            "the model reads %d tokens; left out of the prompt: %s",
            tower.tokens - 2,
            tower.tokenizer.decode(lost),
        )
        ids = [*kept, ids[-1]]
    return ids + [tower.tokenizer.pad_token_id] * (tower.tokens - len(ids))
