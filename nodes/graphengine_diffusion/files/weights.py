"""Weights: a component of a model read from `.safetensors`, onto a device, ready for inference.

Names, shapes and precisions are checked in the files' headers before anything is allocated; then weights are
read one by one. Classes come from a fixed list, never from the folder; nothing is downloaded.
"""

from __future__ import annotations

import importlib
import os
import warnings
from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from graphengine.errors import ModelError
from graphengine_diffusion.files.attention import tell_signatures
from graphengine_diffusion.files.control_sizes import CONTROL_SIZES
from graphengine_diffusion.files.headers import (
    Row,
    read_header,
    read_headers,
    read_json,
    stored_dtype,
    weight_files,
)
from graphengine_diffusion.files.layouts import Layout, Source, layouts
from graphengine_diffusion.files.presets import architecture

__all__ = [
    "CLASSES",
    "configured",
    "load_component",
    "load_module",
    "load_tokenizer",
    "read_json",
    "stored_dtype",
]

CLASSES = {
    "UNet2DConditionModel": "diffusers",
    "UNet2DModel": "diffusers",
    "SD3Transformer2DModel": "diffusers",
    "FluxTransformer2DModel": "diffusers",
    "AutoencoderKL": "diffusers",
    "ControlNetModel": "diffusers",
    "SD3ControlNetModel": "diffusers",
    "FluxControlNetModel": "diffusers",
    "CLIPTextModel": "transformers",
    "CLIPTextModelWithProjection": "transformers",
    "CLIPTokenizer": "transformers",
    "T5EncoderModel": "transformers",
    "T5Tokenizer": "transformers",
}
OF_A_CONTROL_NET = {
    "in_channels",
    "down_block_types",
    "block_out_channels",
    "layers_per_block",
    "norm_num_groups",
    "cross_attention_dim",
    "attention_head_dim",
    "use_linear_projection",
    "transformer_layers_per_block",
    "addition_embed_type",
    "addition_time_embed_dim",
    "projection_class_embeddings_input_dim",
}
"""What a ControlNet takes over from the arguments of its U-Net."""
NARROW = {"F8_E4M3", "F8_E5M2"}
"""Precisions of eight bits, which are widened when they are read."""

Stored = Mapping[str, tuple[Path, Row]]


class Plan(NamedTuple):
    """Where each weight of a module comes from."""

    sources: dict[str, Source]
    stored: Stored


def load_module(model: Path, part: str, cls: str, dtype: str, device: str) -> Any:
    """One component of a model folder, on a device, for inference: no dropout, no gradients.

    On a GPU it is in `dtype`, with convolutions in channels-last order; on a CPU in float32. ModelError if
    the weights are not those that the configuration speaks of.
    """
    folder = model / part
    files = weight_files(folder)
    return assembled(str(folder), cls, part, read_json(folder / "config.json"), files, dtype, device)


def load_component(file: Path, part: str, cls: str, preset: str, dtype: str, device: str) -> Any:
    """The same from a single file, which may hold other components too; `preset` is its architecture."""
    arguments = configured(file, cls, preset)
    return assembled(f"the {part} of {file}", cls, part, arguments, [file], dtype, device)


def configured(file: Path, cls: str, preset: str) -> dict[str, Any]:
    """The arguments of a preset, with what the file itself says of the channels that a U-Net reads.

    The preset of a ControlNet is that of the U-Net which it is a half of; that of a transformer has none.
    """
    if cls in CONTROL_SIZES:
        return CONTROL_SIZES[cls](read_header(file))
    arguments = dict(architecture(preset).arguments)
    if cls == "ControlNetModel":
        return {name: value for name, value in arguments.items() if name in OF_A_CONTROL_NET}
    if cls == "UNet2DConditionModel":
        stored = read_headers([file])
        for layout in layouts(cls, "unet"):
            row = stored.get(layout.source("conv_in.weight", arguments).key)
            if row is not None and len(row[1].shape) == 4:
                return arguments | {"in_channels": row[1].shape[1]}
    return arguments


def assembled(
    what: str, cls: str, part: str, config: dict[str, Any], files: Iterable[Path], dtype: str, device: str
) -> Any:
    """A module of these arguments with the weights of these files."""
    stored = read_headers(files)
    kind = library_class(cls)
    try:
        with torch.device("meta"):
            module = made(kind, config)
    except (ValueError, TypeError, KeyError, AttributeError, NotImplementedError) as error:
        raise ModelError(f"{what} cannot be loaded as {cls}: {error}") from error
    plan = planned(what, cls, part, config, module, stored)
    precision = getattr(torch, dtype if torch.device(device).type != "cpu" else "float32")
    wide = set(getattr(module, "_keep_in_fp32_modules", None) or ()) if precision == torch.float16 else set()
    state = {}
    with Reader() as reader:
        for name, source in plan.sources.items():
            wanted = torch.float32 if wide & set(name.split(".")) else precision
            shape = module.state_dict()[name].shape if source.turn == "identity" else None
            state[name] = reader.read(source, plan.stored, shape).to(device=device, dtype=wanted)
    expected = {name: tensor.shape for name, tensor in module.state_dict().items()}
    module.load_state_dict({n: t.reshape(expected[n]) for n, t in state.items()}, strict=False, assign=True)
    if hasattr(module, "tie_weights"):
        module.tie_weights()
    fill(module, kind, config, device)
    module.eval().requires_grad_(False)
    tell_signatures(module)
    # Convolutions are quicker so, on a CPU too: a small U-Net takes a tenth less, a decoder a fifth.
    return module.to(memory_format=torch.channels_last)


def made(kind: Any, config: dict[str, Any]) -> Any:
    """A module of these arguments."""
    if not hasattr(kind, "config_class"):
        with warnings.catch_warnings():
            # diffusers builds its own ControlNet of Flux from a name that it deprecates.
            warnings.simplefilter("ignore", FutureWarning)
            return kind.from_config(config)
    # The configuration of a whole CLIP holds that of its text half.
    return kind(kind.config_class.from_dict(config.get("text_config") or config))


def planned(what: str, cls: str, part: str, config: Any, module: Any, stored: Stored) -> Plan:
    """Where each weight comes from, in the layout that fits best. ModelError if none fits."""
    shapes = {name: tuple(tensor.shape) for name, tensor in module.state_dict().items()}
    best: tuple[int, list[str], list[str], dict[str, Source]] | None = None
    for layout in layouts(cls, part):
        missing, wrong, sources = tried(layout, config, shapes, stored)
        if best is None or len(missing) + len(wrong) < best[0]:
            best = len(missing) + len(wrong), missing, wrong, sources
        if not missing and not wrong:
            return Plan(sources, stored)
    if best is None:
        raise ModelError(f"{what}: no layout of {cls} is known")
    _, missing, wrong, _ = best
    if len(missing) == len(shapes):
        raise ModelError(
            f"{what} cannot be loaded as {cls}: it holds none of its weights, such as {missing[0]}"
        )
    if missing:
        # The libraries would fill them with random numbers.
        raise ModelError(
            f"{what} lacks {len(missing)} of its weights, such as {missing[0]}; download it again"
        )
    raise ModelError(f"{what} cannot be loaded as {cls}: {wrong[0]}")


def tried(
    layout: Layout, config: Any, shapes: Mapping[str, tuple[int, ...]], stored: Stored
) -> tuple[list[str], list[str], dict[str, Source]]:
    """What a layout does not find, what is of another shape, and where the rest is."""
    missing, wrong, sources = [], [], {}
    for name, shape in shapes.items():
        source = layout.source(name, config)
        if source.turn == "identity":
            sources[name] = source
            continue
        found = stored.get(source.key)
        if found is None:
            missing.append(source.key)
            continue
        row = found[1]
        have = row.shape
        if source.rows:
            have = (source.rows[1] - source.rows[0], *have[1:]) if have[:1] == source.rows[2:] else ()
        elif source.turn == "transposed":
            have = have[::-1]
        if trimmed(have) != trimmed(shape):
            wrong.append(f"{source.key} is {list(row.shape)} in the file, where the model has {list(shape)}")
        elif row.dtype not in NARROW and not row.dtype.startswith(("F", "BF")):
            wrong.append(f"{source.key} holds whole numbers ({row.dtype}), so the file is quantised")
        sources[name] = source
    return missing, wrong, sources


def trimmed(shape: tuple[int, ...]) -> tuple[int, ...]:
    """A shape without the ones at its end: a 1 x 1 convolution is a matrix."""
    while len(shape) > 1 and shape[-1] == 1:
        shape = shape[:-1]
    return shape


class Reader:
    """Reads tensors out of files, each of which is opened once."""

    def __init__(self) -> None:
        self.files = ExitStack()
        self.open: dict[Path, Any] = {}

    def __enter__(self) -> Reader:
        return self

    def __exit__(self, *error: object) -> None:
        self.files.close()

    def read(self, source: Source, stored: Stored, shape: Any = None) -> Tensor:
        """The weight of a source, in memory of its own. ModelError if it cannot be read any more."""
        from safetensors import SafetensorError, safe_open

        if source.turn == "identity":
            return torch.eye(*shape)
        path, _ = stored[source.key]
        try:
            if path not in self.open:
                self.open[path] = self.files.enter_context(safe_open(path, framework="pt"))
            tensor: Tensor = self.open[path].get_tensor(source.key)
        except (SafetensorError, OSError) as error:
            raise ModelError(f"{path} cannot be read ({error}); download it again") from error
        if source.rows:
            tensor = tensor[source.rows[0] : source.rows[1]]
        if source.turn == "transposed":
            tensor = tensor.T
        if source.turn == "halves":
            tensor = torch.cat(tensor.chunk(2)[::-1])
        # The file may change while the model is in memory.
        return tensor.clone(memory_format=torch.contiguous_format)


def fill(module: Any, kind: Any, config: dict[str, Any], device: str) -> None:
    """The buffers that no file holds: they follow from the arguments alone."""
    left = [name for name, tensor in module.named_buffers() if tensor.is_meta]
    if torch.device(device).type == "meta" or not left:
        return
    whole = None
    for name in left:
        owner, _, last = name.rpartition(".")
        if last == "position_ids":
            value = torch.arange(module.get_buffer(name).shape[-1]).expand(1, -1)
        else:
            whole = whole or made(kind, config)
            value = whole.get_buffer(name)
        module.get_submodule(owner).register_buffer(last, value.to(device), persistent=False)


def load_tokenizer(model: Path, part: str, cls: str) -> Any:
    """A tokenizer from its folder. ModelError if it cannot be read."""
    try:
        return library_class(cls).from_pretrained(str(model / part), local_files_only=True)
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise ModelError(f"{model / part} cannot be loaded as {cls}: {error}") from error


def library_class(cls: str) -> Any:
    """A model class of diffusers or transformers, which take seconds to import and must not go online."""
    os.environ["HF_HUB_OFFLINE"] = "1"
    library = importlib.import_module(CLASSES[cls])
    importlib.import_module(f"{CLASSES[cls]}.utils.logging").disable_progress_bar()
    return getattr(library, cls)
