"""Guidance: several predictions made into one."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from graphengine.authoring import NO_CONTEXT, Context, Ui, node
from graphengine_diffusion.types import Prediction


@node(title="CFG")
def cfg(
    cond: Prediction,
    uncond: Prediction,
    scale: Annotated[float, Field(ge=0, le=100), Ui(step=0.5)] = 7.5,
    ctx: Context = NO_CONTEXT,
) -> Prediction:
    """Classifier-free guidance: away from the prediction without the prompt, towards the one with it.

    1 is the prompt alone, 0 none of it; more follows the prompt harder and varies less. Ho & Salimans 2022,
    eq. 6, with `scale` = 1 + w: uncond + scale * (cond - uncond).
    """
    with_text, without = cond.denoised.to(ctx.device), uncond.denoised.to(ctx.device)
    x0 = without + scale * (with_text - without)
    return Prediction(x0, cond.samples, cond.sigma, cond.spec, cond.seeds)
