"""LoRAs: small files that change what a model draws."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, NamedTuple

from pydantic import Field

from graphengine.authoring import NO_CONTEXT, Choices, Context, Folders, Ui, node
from graphengine_diffusion.files.extras import extra_file
from graphengine_diffusion.files.lora_file import lora_places
from graphengine_diffusion.files.recognition import LORA
from graphengine_diffusion.files.single import fitting
from graphengine_diffusion.handles import Denoiser, Patch, TextEncoder

Strength = Annotated[float, Field(ge=-20, le=20), Ui(step=0.05)]


class WithLora(NamedTuple):
    """The two parts of a model that a LoRA changes."""

    denoiser: Denoiser
    text_encoder: TextEncoder


def lora_names(folders: Folders) -> list[str]:
    """The LoRAs to choose from."""
    return fitting(folders, LORA)


def lora_fingerprint(lora: str, folders: Folders) -> str:
    """Changes whenever the file does."""
    return folders.content_hash(extra_file(lora, folders))


@node(fingerprint=lora_fingerprint, device="cpu", title="Apply LoRA")
def apply_lora(
    denoiser: Denoiser,
    text_encoder: TextEncoder,
    lora: Annotated[str, Choices(lora_names), Ui(widget="model")],
    strength: Strength = 1.0,
    text_strength: Strength | None = None,
    ctx: Context = NO_CONTEXT,
) -> WithLora:
    """Change a model by a LoRA, as much as its strength says: W + strength * (alpha / rank) * up @ down.

    Hu et al. 2021. A strength of 0 leaves the model as it is, 1 is what the file was trained for, a negative
    one turns it round. `text_strength` is that for the text encoder; left empty, the same. Several LoRAs add
    up, one node after the other. Reads the formats of kohya, peft and diffusers, with the names of diffusers
    or those of the models' authors. A part that the file does not change is passed on as it is.
    """
    path = extra_file(lora, ctx.folders)
    places, digest = lora_places(path), ctx.folders.content_hash(path)
    named = tuple(sorted(places))
    text = strength if text_strength is None else text_strength
    if strength and "denoiser" in places:
        denoiser = replace(denoiser, patches=(*denoiser.patches, Patch(lora, digest, strength, named)))
    if text and places - {"denoiser"}:
        text_encoder = replace(
            text_encoder, patches=(*text_encoder.patches, Patch(lora, digest, text, named))
        )
    return WithLora(denoiser, text_encoder)
