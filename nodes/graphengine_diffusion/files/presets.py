"""Presets: the architectures of the models that come as single files, which bring no configuration.

`presets.json` holds the arguments of each component's class, and which components make a model. A component
is known by a few numbers that stand in the header of its file: its signature. Imports no torch.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from graphengine.errors import ModelError

PARTS = ("unet", "transformer", "vae", "text_encoder", "text_encoder_2", "text_encoder_3")
"""The components that have weights, by their folders' names in diffusers' format."""


@dataclass(frozen=True)
class Architecture:
    """A class and the arguments that it is made with."""

    cls: str
    arguments: Mapping[str, Any]


@dataclass(frozen=True)
class ModelPreset:
    """What a model is made of.

    `parts` names the architecture of each component by its folder, `words` the padding token of each
    tokenizer, `scheduler` and `index` hold what diffusers' files of those names would say.
    """

    family: str
    title: str
    pipeline: str
    parts: Mapping[str, str]
    words: Mapping[str, str]
    scheduler: Mapping[str, Any]
    index: Mapping[str, Any] = field(default_factory=dict)

    @property
    def denoiser(self) -> str:
        """The folder of the U-Net or the transformer."""
        return "unet" if "unet" in self.parts else "transformer"

    @property
    def text_encoders(self) -> tuple[str, ...]:
        """The folders of the text encoders, in order."""
        return tuple(part for part in self.parts if part.startswith("text_encoder"))


def shipped() -> tuple[dict[str, Architecture], dict[str, ModelPreset]]:
    """The presets of `presets.json`."""
    data = json.loads(Path(__file__).with_name("presets.json").read_text(encoding="utf-8"))
    architectures = {n: Architecture(a["class"], a["arguments"]) for n, a in data["architectures"].items()}
    return architectures, {name: ModelPreset(**model) for name, model in data["models"].items()}


ARCHITECTURES, MODELS = shipped()


def architecture(name: str) -> Architecture:
    """An architecture by its name. ModelError if there is none, as in a workflow of a newer version."""
    found = ARCHITECTURES.get(name)
    if found is None:
        raise ModelError(f"there is no preset {name!r}; these are known: {', '.join(sorted(ARCHITECTURES))}")
    return found


def model_of(architecture: str) -> str:
    """The model whose denoiser has an architecture; empty if there is none."""
    for name, model in MODELS.items():
        if model.parts[model.denoiser] == architecture:
            return name
    return ""
