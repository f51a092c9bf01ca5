"""Folding: the LoRAs of a model added to its weights, in a copy that shares what does not change."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import TypeVar

import torch
from torch.nn import Conv2d, Linear, Module

from graphengine.errors import ModelError
from graphengine_diffusion.lora_file import Layer, read_lora
from graphengine_diffusion.sharing import copy_with

log = logging.getLogger(__name__)

M = TypeVar("M", bound=Module)

RESNET = {
    "conv1": "in_layers.2",
    "time_emb_proj": "emb_layers.1",
    "conv2": "out_layers.3",
    "conv_shortcut": "skip_connection",
}
ENDS = {
    "conv_in": "input_blocks.0.0",
    "time_embedding.linear_1": "time_embed.0",
    "time_embedding.linear_2": "time_embed.2",
    "add_embedding.linear_1": "label_emb.0.0",
    "add_embedding.linear_2": "label_emb.0.2",
    "conv_out": "out.2",
}


def fold(module: M, place: str, loras: Sequence[tuple[Path, float]]) -> M:
    """A copy of a part of a model with LoRAs in it: W + sum of strength * (alpha / rank) * up @ down.

    `loras` are files and their strengths. Computed in float32 and kept in the precision of the weights.
    ModelError if a LoRA changes nothing here, or a layer has another shape; layers that the model does not
    have are left out, and the log tells them.
    """
    names = names_of(module)
    changes: dict[str, list[tuple[Layer, float]]] = {}
    for path, strength in loras:
        for name, layer in fitting(module, names, place, path):
            changes.setdefault(name, []).append((layer, strength))
    changed = {}
    with torch.inference_mode(False), torch.no_grad():
        for name, layers in changes.items():
            weight = module.get_parameter(name)
            total = weight.float()
            for layer, strength in layers:
                total = total + strength * layer.change().to(weight.device).reshape(weight.shape)
            changed[name] = total.to(weight.dtype)
    return copy_with(module, changed)


def fitting(module: Module, names: dict[str, str], place: str, path: Path) -> list[tuple[str, Layer]]:
    """The layers of one LoRA for one part of a model, each with the name of the weight that it changes."""
    layers = [layer for layer in read_lora(path) if layer.place == place]
    kind = type(module).__name__
    found = []
    for layer in layers:
        if layer.path not in names:
            continue
        shape = tuple(module.get_parameter(names[layer.path]).shape)
        if trimmed(shape) != trimmed(layer.shape):
            raise ModelError(
                f"{path.name} does not fit this {kind}: its layer {layer.name} is for weights of shape "
                f"{list(layer.shape)}, but the model's are {list(shape)}; it was made for another family"
            )
        found.append((names[layer.path], layer))
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


def names_of(module: Module) -> dict[str, str]:
    """The weights that a LoRA can change, by every name that files have for their layer, dots as `_`."""
    paths = [path for path, part in module.named_modules() if isinstance(part, (Linear, Conv2d))]
    original = original_names(module)
    found: dict[str, str] = {}
    for path in paths:
        for name in (path, f"text_model.{path}", path.removeprefix("text_model."), original.get(path, path)):
            found.setdefault(name.replace(".", "_"), f"{path}.weight")
    return found


def original_names(module: Module) -> dict[str, str]:
    """The layers of a U-Net by the names of the first implementation of latent diffusion.

    There the blocks are numbered through: `input_blocks.4.1` is `down_blocks.1.attentions.0` of diffusers.
    Empty for other modules.
    """
    if not hasattr(module, "down_blocks") or not hasattr(module, "up_blocks"):
        return {}
    blocks: dict[str, str] = {}
    at = 1
    for i, block in enumerate(module.down_blocks):  # type: ignore[arg-type]
        for j in range(len(block.resnets)):
            blocks[f"down_blocks.{i}.resnets.{j}"] = f"input_blocks.{at}.0"
            blocks[f"down_blocks.{i}.attentions.{j}"] = f"input_blocks.{at}.1"
            at += 1
        if block.downsamplers:
            blocks[f"down_blocks.{i}.downsamplers.0.conv"] = f"input_blocks.{at}.0.op"
            at += 1
    for j, name in enumerate(("resnets.0", "attentions.0", "resnets.1")):
        blocks[f"mid_block.{name}"] = f"middle_block.{j}"
    at = 0
    for i, block in enumerate(module.up_blocks):  # type: ignore[arg-type]
        for j in range(len(block.resnets)):
            blocks[f"up_blocks.{i}.resnets.{j}"] = f"output_blocks.{at}.0"
            blocks[f"up_blocks.{i}.attentions.{j}"] = f"output_blocks.{at}.1"
            at += 1
        if block.upsamplers:
            behind = 2 if getattr(block, "attentions", None) else 1
            blocks[f"up_blocks.{i}.upsamplers.0.conv"] = f"output_blocks.{at - 1}.{behind}.conv"
    found = dict(ENDS)
    for path, _ in module.named_modules():
        parts = path.split(".")
        for length in range(2, len(parts) + 1):
            head, tail = ".".join(parts[:length]), ".".join(parts[length:])
            if head in blocks:
                found[path] = ".".join(filter(None, (blocks[head], RESNET.get(tail, tail))))
                break
    return found
