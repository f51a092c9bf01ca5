"""Text: from words to what the model is conditioned on."""

from __future__ import annotations

from typing import Annotated

import torch
from torch import Tensor

from graphengine.authoring import NO_CONTEXT, Context, Ui, node
from graphengine_diffusion.conditioning import with_each
from graphengine_diffusion.families import FAMILIES
from graphengine_diffusion.handles import TextEncoder
from graphengine_diffusion.types import Conditioning


@node
def encode_text(
    encoder: TextEncoder, text: Annotated[str, Ui(widget="multiline")], ctx: Context = NO_CONTEXT
) -> Conditioning:
    """Turn a text into what the model can follow.

    An empty text is the "no prompt" that guidance compares with. A model reads a fixed number of tokens (77
    for Stable Diffusion, 32 for storybook; a word is one or a few); what goes past it is left out, and the
    log tells which words.
    """
    towers = ctx.use(encoder)
    with torch.inference_mode():
        found = FAMILIES[encoder.family].encode_text(towers, text)
    # A copy made outside of inference mode is an ordinary tensor, which training nodes may use too.
    return with_each(found, Tensor.clone)
