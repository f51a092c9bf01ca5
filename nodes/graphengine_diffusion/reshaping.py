"""Reshaping: latents of another size, turned round, or in other batches."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal

import torch
from pydantic import Field
from torch.nn import functional

from graphengine.authoring import Ui, node
from graphengine_diffusion.latents import Pixels, alike, latent_side, pixel_size
from graphengine_diffusion.types import History, Latent, Past

Place = Annotated[int, Field(ge=0, le=8192), Ui(unit="px", step=8)]


@node
def upscale_latent(
    latent: Latent,
    factor: Annotated[float, Field(ge=0.125, le=8), Ui(step=0.25)] = 2.0,
    width: Pixels | None = None,
    height: Pixels | None = None,
    method: Literal["nearest", "bilinear", "bicubic", "area"] = "bicubic",
) -> Latent:
    """Make latents larger or smaller, without decoding them: the start of a second pass at a larger size.

    By a factor, or to a width and a height in pixels; if only one is given, the other keeps the shape. What
    comes out is blurred or blocky until it is denoised again, with a strength of about 0.5.
    """
    _, _, tall, wide = latent.samples.shape
    unit = latent.spec.factor
    if width is None and height is None:
        rows, columns = max(1, round(tall * factor)), max(1, round(wide * factor))
    else:
        rows = latent_side("height", height, unit) if height else 0
        columns = latent_side("width", width, unit) if width else 0
        rows, columns = (
            rows or max(1, round(tall * columns / wide)),
            columns or max(1, round(wide * rows / tall)),
        )
    if (rows, columns) == (tall, wide):
        samples = latent.samples
    elif method in ("bilinear", "bicubic"):
        # Without antialiasing, making smaller would pick a few latents and drop the others.
        samples = functional.interpolate(
            latent.samples, (rows, columns), mode=method, align_corners=False, antialias=True
        )
    else:
        samples = functional.interpolate(
            latent.samples, (rows, columns), mode="nearest-exact" if method == "nearest" else "area"
        )
    return Latent(samples, latent.spec, latent.seeds)


@node
def crop_latent(
    latent: Latent,
    x: Place = 0,
    y: Place = 0,
    width: Pixels | None = None,
    height: Pixels | None = None,
) -> Latent:
    """Cut a rectangle out of latents, in pixels of the picture; left empty, a side reaches to the border."""
    factor = latent.spec.factor
    tall, wide = latent.samples.shape[2:]
    left, top = latent_side("x", x, factor), latent_side("y", y, factor)
    columns = wide - left if width is None else latent_side("width", width, factor)
    rows = tall - top if height is None else latent_side("height", height, factor)
    if min(left, top) < 0 or min(rows, columns) < 1 or left + columns > wide or top + rows > tall:
        raise ValueError(
            f"{columns * factor} x {rows * factor} pixels at {x}, {y} do not lie in a picture of "
            f"{pixel_size(latent)}; choose a smaller rectangle"
        )
    samples = latent.samples[..., top : top + rows, left : left + columns].contiguous()
    return Latent(samples, latent.spec, latent.seeds)


@node
def flip_latent(latent: Latent, direction: Literal["horizontal", "vertical"] = "horizontal") -> Latent:
    """Mirror latents: left and right, or above and below. The picture is about the mirrored one."""
    samples = latent.samples.flip(3 if direction == "horizontal" else 2)
    return Latent(samples, latent.spec, latent.seeds)


@node
def repeat_latent(latent: Latent, times: Annotated[int, Field(ge=1, le=64)] = 2) -> Latent:
    """The latents of a batch several times over, such as one picture for several variations.

    Each copy gets seeds of its own, so that a solver which adds noise makes something else of it: the seeds
    of a batch of n go on by n with each copy.
    """
    count = len(latent.samples)
    seeds = tuple(seed + copy * count for copy in range(times) for seed in latent.seeds)
    return Latent(latent.samples.repeat(times, 1, 1, 1), latent.spec, seeds)


@node
def pick_latent(latent: Latent, index: int = 0, count: Annotated[int, Field(ge=1, le=1024)] = 1) -> Latent:
    """Some latents of a batch, with their seeds: `count` of them from `index` on; -1 is the last one."""
    have = len(latent.samples)
    start = index + have if index < 0 else index
    if start < 0 or start + count > have:
        raise ValueError(
            f"{count} from {index} on are not in a batch of {have}; its positions are 0 to {have - 1}, or -1 "
            "for the last"
        )
    chosen = slice(start, start + count)
    history = tuple(
        past._replace(kept=tuple(before[chosen].clone() for before in past.kept)) for past in latent.history
    )
    return Latent(latent.samples[chosen].clone(), latent.spec, latent.seeds[chosen], history)


@node
def join_latents(latents: list[Latent]) -> Latent:
    """Latents of one size as one batch, in their order; each keeps its seed.

    What a multistep solver remembers is kept if all remember the same steps, else its next step begins anew.
    """
    if not latents:
        raise ValueError("there is no latent to put into a batch; link at least one")
    alike(latents)
    first = latents[0]
    device = first.samples.device
    seeds = tuple(seed for latent in latents for seed in latent.seeds)
    samples = torch.cat([latent.samples.to(device) for latent in latents])
    pasts = [[(past.solver, past.sigma) for past in latent.history] for latent in latents]
    history: History = ()
    if all(past == pasts[0] for past in pasts):
        history = tuple(joined(past, device) for past in zip(*(x.history for x in latents), strict=True))
    return Latent(samples, first.spec, seeds, history)


def joined(pasts: Sequence[Past], device: torch.device) -> Past:
    """The same earlier call of several batches, as that of one."""
    kept = zip(*(past.kept for past in pasts), strict=True)
    return pasts[0]._replace(kept=tuple(torch.cat([t.to(device) for t in tensors]) for tensors in kept))
