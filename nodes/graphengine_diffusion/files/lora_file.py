"""LoRA files: their layers, in whichever of the common formats they are written.

A LoRA (Hu et al. 2021) changes a weight W to W + strength * (alpha / rank) * up @ down. Files differ in how
they name a layer and its matrices:

* kohya: `lora_unet_down_blocks_0_..._to_q.lora_up.weight`, `.lora_down.weight`, `.alpha`; text encoders as
  `lora_te_`, `lora_te1_`, `lora_te2_`; a convolution may have a core, `.lora_mid.weight`.
* peft and diffusers: `unet.down_blocks.0...to_q.lora_A.weight`, `.lora_B.weight`, or `.lora.up.weight`,
  `.lora.down.weight`; alpha is told by the file's metadata, else it is the rank.
* older diffusers: `unet.down_blocks.0...attn1.processor.to_q_lora.up.weight`.

A layer may be named as the model's authors name it, too. There one matrix of a transformer may make what
several layers of diffusers make, such as query, key and value: each of them takes its rows of `up`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from graphengine.errors import ModelError
from graphengine_diffusion.files.headers import read_header

PLACES = {
    "lora_unet_": "denoiser",
    "lora_transformer_": "denoiser",
    "lora_te_": "text_encoder",
    "lora_te1_": "text_encoder",
    "lora_te2_": "text_encoder_2",
    "lora_te3_": "text_encoder_3",
    "unet.": "denoiser",
    "transformer.": "denoiser",
    "diffusion_model.": "denoiser",
    "base_model.model.": "denoiser",
    "text_encoder.": "text_encoder",
    "text_encoder_2.": "text_encoder_2",
    "text_encoder_3.": "text_encoder_3",
}
"""What the name of a layer begins with, and the part of a model that it is in; without any, the denoiser."""

MATRICES = {
    ".lora_up.weight": "up",
    ".lora_down.weight": "down",
    ".lora_mid.weight": "mid",
    ".lora_B.weight": "up",
    ".lora_A.weight": "down",
    ".lora_B.default.weight": "up",
    ".lora_A.default.weight": "down",
    ".lora.up.weight": "up",
    ".lora.down.weight": "down",
    ".lora_linear_layer.up.weight": "up",
    ".lora_linear_layer.down.weight": "down",
    "_lora.up.weight": "up",
    "_lora.down.weight": "down",
    ".alpha": "alpha",
}

OTHERS = {
    "hada_w1_a": "a LoHa",
    "lokr_w1": "a LoKr",
    "lokr_w1_a": "a LoKr",
    "dora_scale": "a DoRA",
    "lora_magnitude_vector": "a DoRA",
    "oft_blocks": "an OFT",
}
"""Kinds of patches that are not read, by what their keys hold."""

PROJECTIONS = {"to_q": "q_proj", "to_k": "k_proj", "to_v": "v_proj", "to_out": "out_proj"}
"""Attention in older files of text encoders, and in CLIP."""


@dataclass(frozen=True)
class Layer:
    """What a LoRA changes of one layer of one part of a model.

    `name` is as the file has it, `path` the layer's place in the module with every dot written as `_`.
    `up` is [out, rank, ...], `down` [rank, in, ...], `mid` [rank, rank, height, width].
    """

    name: str
    place: str
    path: str
    up: Tensor
    down: Tensor
    mid: Tensor | None = None
    alpha: float | None = None

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of the weight that it changes."""
        return (
            self.up.shape[0],
            self.down.shape[1],
            *(self.down if self.mid is None else self.mid).shape[2:],
        )

    def rows(self, first: int, end: int) -> Layer:
        """The same for some rows of the weight."""
        return replace(self, up=self.up[first:end])

    def swapped(self) -> Layer:
        """The same for a weight whose two halves of rows stand the other way round."""
        return replace(self, up=torch.cat(self.up.chunk(2)[::-1]))

    def change(self) -> Tensor:
        """What is added to the weight at strength 1, float32: (alpha / rank) * up @ down."""
        up, down = self.up.float().flatten(1), self.down.float()
        rank = down.shape[0]
        if self.mid is None:
            product = up @ down.flatten(1)
        else:
            product = torch.einsum("or,rskl,si->oikl", up, self.mid.float(), down.flatten(1))
        return product.reshape(self.shape) * (1.0 if self.alpha is None else self.alpha / rank)


def lora_places(path: Path) -> set[str]:
    """The parts of a model that a LoRA changes, from the header alone. ModelError if the file is no LoRA."""
    return {place_of(name)[0] for name in layer_names(path)}


def layer_names(path: Path) -> list[str]:
    """The layers that a file changes, named as the file has them."""
    keys = read_header(path).tensors
    for key in keys:
        for part in key.split("."):
            if part in OTHERS:
                raise ModelError(f"{path.name} is {OTHERS[part]}, which is not read; use a plain LoRA")
    found = dict.fromkeys(name for key in keys for name, what in [split(key)] if what in ("up", "down"))
    if not found:
        raise ModelError(
            f"{path.name} is no LoRA; it has no key such as *.lora_down.weight or *.lora_A.weight"
        )
    return list(found)


def read_lora(path: Path) -> list[Layer]:
    """The layers of a LoRA. ModelError if the file is none, or a layer is not whole."""
    from safetensors import safe_open

    names = layer_names(path)
    halves: dict[str, dict[str, Tensor]] = {name: {} for name in names}
    with safe_open(str(path), framework="pt") as file:
        told = alphas(file.metadata() or {})
        for key in file.keys():
            name, what = split(key)
            if name in halves:
                halves[name][what] = file.get_tensor(key)
    return [layer_of(path, name, found, told) for name, found in halves.items()]


def layer_of(path: Path, name: str, found: Mapping[str, Tensor], told: Mapping[str, Any]) -> Layer:
    """One layer from its matrices."""
    if missing := {"up", "down"} - found.keys():
        raise ModelError(f"{path.name}: its layer {name} lacks {missing.pop()}; download it again")
    up, down, mid = found["up"], found["down"], found.get("mid")
    if up.ndim < 2 or down.ndim < 2 or up.shape[1] != down.shape[0]:
        raise ModelError(
            f"{path.name}: the matrices of its layer {name} do not go together, {list(up.shape)} and "
            f"{list(down.shape)}; download it again"
        )
    place, inside = place_of(name)
    alpha = float(found["alpha"]) if "alpha" in found else told_alpha(told, name, down.shape[0])
    return Layer(name, place, inside, up, down, mid, alpha)


@lru_cache(maxsize=100_000)
def split(key: str) -> tuple[str, str]:
    """The layer that a key of a file is of, and which matrix of it; empty where it is none.

    The layer keeps its prefix, and has the names that modules have today.
    """
    for ending, what in MATRICES.items():
        if key.endswith(ending):
            name = key.removesuffix(ending)
            name = name.replace(".processor.", ".")
            if ending.startswith("_lora"):
                head, _, last = name.rpartition(".")
                if head.endswith("self_attn"):
                    last = PROJECTIONS.get(last, last)
                name = f"{head}.{'to_out.0' if last == 'to_out' else last}"
            return name, what
    return key, ""


def place_of(name: str) -> tuple[str, str]:
    """The part of a model that a layer is in, and its path there with every dot written as `_`."""
    prefix = next((prefix for prefix in PLACES if name.startswith(prefix)), "")
    return PLACES.get(prefix, "denoiser"), name.removeprefix(prefix).replace(".", "_")


def alphas(metadata: Mapping[str, str]) -> dict[str, Any]:
    """What diffusers writes beside the weights: the configuration of peft, or nothing."""
    try:
        found = json.loads(metadata.get("lora_adapter_metadata", "{}"))
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def told_alpha(told: Mapping[str, Any], name: str, rank: int) -> float | None:
    """The alpha of a layer that peft's configuration tells; None where it tells none."""
    part, _, inside = name.partition(".")
    patterns = told.get(f"{part}.alpha_pattern") or {}
    alpha = next(
        (a for pattern, a in patterns.items() if re.fullmatch(rf"(.*\.)?({pattern})", inside)),
        told.get(f"{part}.lora_alpha"),
    )
    if alpha is None:
        return None
    # Kalajdzievski 2023: a rank-stabilised LoRA is scaled by alpha / sqrt(rank).
    return float(alpha) * (rank**0.5 if told.get(f"{part}.use_rslora") else 1.0)
