"""T5's text encoder: words to token ids, token ids to vectors. Raffel et al. 2020."""

from __future__ import annotations

import logging

import torch
from torch import Tensor

from graphengine_diffusion.handles import Tower
from graphengine_diffusion.prompt import spoken

log = logging.getLogger(__name__)


def encoded(tower: Tower, text: str) -> Tensor:
    """A prompt through T5, [1, tokens, width] float32; it knows no weights, so the marks are left out.

    Padding is read as well, as in the models' training.
    """
    ids = torch.tensor([token_ids(tower, spoken(text))], device=tower.encoder.device)
    states: Tensor = tower.encoder(ids)[0]
    return states.float()


def token_ids(tower: Tower, text: str) -> list[int]:
    """Exactly as many token ids as the encoder reads: words, end, then padding."""
    ids: list[int] = tower.tokenizer(text, verbose=False).input_ids
    if len(ids) > tower.tokens:
        kept, lost = ids[: tower.tokens - 1], ids[tower.tokens - 1 : -1]
        log.warning(
            "T5 reads %d tokens here; left out of the prompt: %s",
            tower.tokens - 1,
            tower.tokenizer.decode(lost),
        )
        ids = [*kept, ids[-1]]
    return ids + [tower.tokenizer.pad_token_id] * (tower.tokens - len(ids))
