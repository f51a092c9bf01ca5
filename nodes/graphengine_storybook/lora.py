"""The LoRA: a small change of the U-Net's weights that draws in another style (Hu et al. 2022).

Beside the linear layers of the attention and the convolutions of the residual blocks stands a product
of two thin matrices, B A. Training changes these alone. The file has the names that diffusers'
`save_lora_weights` gives, without `alpha`: the change is `strength * B A`.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from graphengine_storybook.batches import Batch, unit
from graphengine_storybook.folder import Model
from graphengine_storybook.stage import Losses, Stage, settle
from graphengine_storybook.styles import sepia
from graphengine_storybook.unet import Noise

RANK = 4
_CHANGED = re.compile(r"\.(to_q|to_k|to_v|to_out\.0|ff\.net\.0\.proj|ff\.net\.2|conv1|conv2)$")
_PREFIX, _DOWN, _UP = "unet.", ".lora_A.weight", ".lora_B.weight"


class Lora(nn.Module):
    """The two matrices of every layer that changes; at first they change nothing."""

    def __init__(self, unet: UNet2DConditionModel, rank: int = RANK) -> None:
        super().__init__()
        layers = {name: layer for name, layer in unet.named_modules() if _CHANGED.search(name)}
        self.names = list(layers)
        pairs = [_pair(layer, rank) for layer in layers.values()]
        self.down = nn.ModuleList([down for down, _ in pairs])
        self.up = nn.ModuleList([up for _, up in pairs])

    @contextmanager
    def attached(self, unet: UNet2DConditionModel) -> Iterator[None]:
        """Inside the `with` block, the U-Net computes with the change at full strength."""
        hooks = [
            unet.get_submodule(name).register_forward_hook(_added(down, up))
            for name, down, up in zip(self.names, self.down, self.up, strict=True)
        ]
        yield
        for hook in hooks:
            hook.remove()

    def weights(self) -> dict[str, Tensor]:
        """The matrices by the names of the file."""
        named = zip(self.names, self.down, self.up, strict=True)
        pairs: list[tuple[str, Any, Any]] = list(named)  # untyped: a ModuleList forgets its classes
        return {
            f"{_PREFIX}{name}{ending}": layer.weight.detach()
            for name, down, up in pairs
            for ending, layer in ((_DOWN, down), (_UP, up))
        }

    def restore(self, weights: Mapping[str, Tensor]) -> "Lora":
        """Set the matrices to those of a file; gives itself."""
        with torch.no_grad():
            for name, matrix in self.weights().items():
                matrix.copy_(weights[name])
        return self

    def save(self, file: Path) -> None:
        """Write the matrices, float16, to one file."""
        file.parent.mkdir(parents=True, exist_ok=True)
        half = {name: weight.half().cpu().contiguous() for name, weight in self.weights().items()}
        save_file(half, file, {"format": "pt"})
        file.chmod(0o644)


def _pair(layer: nn.Module, rank: int) -> tuple[nn.Module, nn.Module]:
    down: nn.Linear | nn.Conv2d
    up: nn.Linear | nn.Conv2d
    if isinstance(layer, nn.Conv2d):
        size, stride, padding = layer.kernel_size, layer.stride, layer.padding
        down = nn.Conv2d(layer.in_channels, rank, size, stride, padding, bias=False)  # type: ignore[arg-type]
        up = nn.Conv2d(rank, layer.out_channels, 1, bias=False)
    elif isinstance(layer, nn.Linear):
        down = nn.Linear(layer.in_features, rank, bias=False)
        up = nn.Linear(rank, layer.out_features, bias=False)
    else:
        raise TypeError(f"a LoRA changes Linear and Conv2d layers, and this is a {type(layer).__name__}")
    nn.init.zeros_(up.weight)
    return down, up


def _added(down: nn.Module, up: nn.Module) -> Callable[[nn.Module, tuple[Tensor, ...], Tensor], Tensor]:
    def hook(layer: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> Tensor:
        change: Tensor = up(down(inputs[0]))
        return output + change

    return hook


@torch.no_grad()
def fold(unet: UNet2DConditionModel, weights: Mapping[str, Tensor], strength: float) -> None:
    """Put the change into the U-Net's own weights: W += strength * B A. A second time adds to it."""
    for name, down in weights.items():
        if name.endswith(_DOWN):
            up = weights[name.removesuffix(_DOWN) + _UP]
            layer: Any = unet.get_submodule(name.removesuffix(_DOWN).removeprefix(_PREFIX))
            product = up.float().flatten(1) @ down.float().flatten(1)
            layer.weight += strength * product.view_as(layer.weight)


def load(file: Path) -> dict[str, Tensor]:
    """The matrices of a file, by their names."""
    return load_file(file)


def train(
    lora: Lora,
    model: Model,
    encode: Callable[[Tensor], Tensor],
    batches: Iterator[Batch],
    stage: Stage,
    keep: Callable[[], None] | None = None,
) -> int:
    """Teach the LoRA to draw in sepia what the captions say. Returns the pictures it has seen."""
    settle(stage.device, lora, model.unet, model.text_encoder)
    for frozen in (model.unet, model.text_encoder):
        frozen.requires_grad_(False).eval()
    noise = Noise().to(stage.device)

    def step(share: float) -> Losses:
        batch = next(batches)
        with torch.no_grad():
            states = model.text_encoder(batch.ids.to(stage.device)).last_hidden_state
            latents = encode(2 * sepia(unit(batch.pixels.to(stage.device)) / 2 + 0.5) - 1)
        return noise.loss(lambda noisy, t: model.unet(noisy, t, states).sample, latents)

    with lora.attached(model.unet):
        return stage.run(lora, step, keep)
