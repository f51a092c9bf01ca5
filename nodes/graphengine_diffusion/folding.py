"""Folding: the LoRAs of a model added to its weights, in a copy that shares what does not change."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import torch
from torch.nn import Conv2d, Linear, Module

from graphengine.errors import ModelError
from graphengine_diffusion.files.layouts import TRANSFORMERS, ldm_unet
from graphengine_diffusion.files.lora_file import Layer, read_lora
from graphengine_diffusion.sharing import copy_with

log = logging.getLogger(__name__)

M = TypeVar("M", bound=Module)


class Target(NamedTuple):
    """A weight that a layer of a LoRA changes: with all of its rows, or some, or the halves swapped."""

    weight: str
    rows: tuple[int, int, int] | None = None
    swapped: bool = False

    def whole(self, shape: Sequence[int]) -> tuple[int, ...]:
        """The shape of the matrix that the weight, which has this shape, is the rows of."""
        return (self.rows[2], *shape[1:]) if self.rows else tuple(shape)

    def of(self, layer: Layer) -> Layer:
        """What of a layer goes to the weight."""
        if self.rows:
            return layer.rows(self.rows[0], self.rows[1])
        return layer.swapped() if self.swapped else layer


def fold(module: M, places: Sequence[str], loras: Sequence[tuple[Path, float]]) -> M:
    """A copy of a part of a model with LoRAs in it: W + sum of strength * (alpha / rank) * up @ down.

    `loras` are files and their strengths, `places` what they call the part. Computed in float32 and kept in
    the precision of the weights. ModelError if a LoRA changes nothing here, or a layer has another shape;
    layers that the model does not have are left out, and the log tells them.
    """
    names = names_of(module)
    changes: dict[str, list[tuple[Layer, float]]] = {}
    for path, strength in loras:
        for target, layer in fitting(module, names, places, path):
            changes.setdefault(target.weight, []).append((target.of(layer), strength))
    changed = {}
    with torch.inference_mode(False), torch.no_grad():
        for name, layers in changes.items():
            weight = module.get_parameter(name)
            total = weight.float()
            for layer, strength in layers:
                total = total + strength * layer.change().to(weight.device).reshape(weight.shape)
            changed[name] = total.to(weight.dtype)
    return copy_with(module, changed)


def fitting(
    module: Module, names: dict[str, list[Target]], places: Sequence[str], path: Path
) -> list[tuple[Target, Layer]]:
    """The layers of one LoRA for one part of a model, each with every weight that it changes."""
    layers = [layer for layer in read_lora(path) if layer.place in places]
    kind = type(module).__name__
    found = []
    for layer in layers:
        for target in names.get(layer.path, ()):
            shape = target.whole(module.get_parameter(target.weight).shape)
            if trimmed(shape) != trimmed(layer.shape):
                raise ModelError(
                    f"{path.name} does not fit this {kind}: its layer {layer.name} is for weights of shape "
                    f"{list(layer.shape)}, but the model's are {list(shape)}; it was made for another family"
                )
            found.append((target, layer))
    unknown = [layer.name for layer in layers if layer.path not in names]
    if not found:
        first = unknown[0] if unknown else "nothing for this part"
        raise ModelError(
            f"{path.name} does not fit this {kind}: the model has none of its {len(layers)} layers, such as "
            f"{first}; it was made for another family"
        )
    if unknown:
        log.warning(
            "%s: %d of its %d layers are not in this %s and are left out, such as %s",
            path.name,
            len(unknown),
            len(layers),
            kind,
            unknown[0],
        )
    return found


def trimmed(shape: Sequence[int]) -> tuple[int, ...]:
    """A shape without the ones at its end: a 1 x 1 convolution is a linear layer."""
    return tuple(shape[:2]) if all(side == 1 for side in shape[2:]) else tuple(shape)


def names_of(module: Module) -> dict[str, list[Target]]:
    """The weights that a LoRA can change, by every name that files have for their layer, dots as `_`."""
    paths = [path for path, part in module.named_modules() if isinstance(part, (Linear, Conv2d))]
    found: dict[str, list[Target]] = {}
    for path in paths:
        text = path.removeprefix("text_model.")
        for name in (path, f"text_model.{text}", text):
            found.setdefault(name.replace(".", "_"), [Target(f"{path}.weight")])
    for path in paths:
        name, target = originally(module, path)
        if name != path:
            found.setdefault(name.replace(".", "_"), []).append(target)
    return found


def originally(module: Module, path: str) -> tuple[str, Target]:
    """A layer by the name that the model's authors gave it, and what of it this is.

    In the first U-Nets the blocks are numbered through: `input_blocks.4.1` is `down_blocks.1.attentions.0` of
    diffusers. In Stable Diffusion 3 and Flux one matrix makes query, key and value, and more in some blocks.
    The layers of other modules keep their name.
    """
    weight = f"{path}.weight"
    naming = TRANSFORMERS.get(type(module).__name__)
    if hasattr(module, "down_blocks") and hasattr(module, "up_blocks"):
        naming = ldm_unet
    if naming is None:
        return path, Target(weight)
    config: dict[str, Any] = module.config  # type: ignore[assignment]  # torch's stubs know only modules
    source = naming(weight, config)
    return source.key.removesuffix(".weight"), Target(weight, source.rows, source.turn == "halves")
