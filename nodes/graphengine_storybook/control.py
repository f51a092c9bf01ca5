"""The ControlNet: edges that say where the U-Net draws what (Zhang, Rao and Agrawala 2023).

It starts as a copy of the way down of the storybook's U-Net and learns alone: the U-Net does not change.
Many of its captions leave out the things, so that it has to read them from the edges.
"""

from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random

import torch
from diffusers.models.controlnets.controlnet import ControlNetModel
from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel
from torch import Tensor, nn

from graphengine_storybook.batches import Batch, Batches, unit
from graphengine_storybook.captions import hint
from graphengine_storybook.edges import edges
from graphengine_storybook.folder import Model, save_parts
from graphengine_storybook.stage import Losses, Stage, settle
from graphengine_storybook.unet import Noise
from graphengine_storybook.world import Scene

EMBEDDING = (8, 16, 32, 64)
"""The channels on the way from 128 x 128 pixels to 16 x 16 latents."""

_SILU_GAIN = 1.2  # silu lets less through than the ReLU that the start is made for
_HINTED = 0.5  # the share of the captions that name colours and places alone


def build(unet: UNet2DConditionModel) -> ControlNetModel:
    """A new ControlNet for this U-Net; it changes nothing until it has learned.

    Its edge encoder starts with signals of about unit size. As diffusers makes it they fade to nothing,
    and its last layer is zero, beside those at the way out that have to be: a long wait for a small model.
    """
    control: ControlNetModel = ControlNetModel.from_unet(unet, conditioning_embedding_out_channels=EMBEDDING)
    for layer in control.controlnet_cond_embedding.modules():
        if isinstance(layer, nn.Conv2d):
            nn.init.kaiming_normal_(layer.weight)
            layer.weight.data *= _SILU_GAIN
    return control


class Sketches(Batches):
    """Batches whose captions often leave the things to the edges."""

    def text(self, scene: Scene, rng: Random) -> str:
        """Nothing, a hint or a whole caption."""
        if rng.random() < _HINTED:
            return hint(scene, rng)
        return super().text(scene, rng)


def predict(
    control: ControlNetModel,
    unet: UNet2DConditionModel,
    lines: Tensor,
    states: Tensor,
) -> Callable[[Tensor, Tensor], Tensor]:
    """What the U-Net predicts of noisy latents at timesteps, told the words and the edges."""

    def told(noisy: Tensor, timestep: Tensor) -> Tensor:
        down, middle = control(noisy, timestep, states, lines, return_dict=False)
        sample: Tensor = unet(
            noisy,
            timestep,
            states,
            down_block_additional_residuals=down,
            mid_block_additional_residual=middle,
        ).sample
        return sample

    return told


def train(
    control: ControlNetModel,
    model: Model,
    encode: Callable[[Tensor], Tensor],
    batches: Iterator[Batch],
    stage: Stage,
    keep: Callable[[], None] | None = None,
) -> int:
    """Teach the ControlNet beside a model that stays as it is. Returns the pictures it has seen."""
    settle(stage.device, control, model.unet, model.text_encoder)
    for frozen in (model.unet, model.text_encoder):
        frozen.requires_grad_(False).eval()
    noise = Noise().to(stage.device)

    def step(share: float) -> Losses:
        batch = next(batches)
        pictures = unit(batch.pixels.to(stage.device))
        with torch.no_grad():
            states = model.text_encoder(batch.ids.to(stage.device)).last_hidden_state
            latents = encode(pictures).contiguous(memory_format=torch.channels_last)
            lines = edges(pictures / 2 + 0.5).contiguous(memory_format=torch.channels_last)
        return noise.loss(predict(control, model.unet, lines, states), latents)

    return stage.run(control, step, keep)


def save(control: ControlNetModel, folder: Path) -> None:
    """Write the ControlNet, float16, as diffusers does."""
    save_parts(folder, {"": control})


def load(folder: Path) -> ControlNetModel:
    """The ControlNet in a folder, in float32."""
    control: ControlNetModel = ControlNetModel.from_pretrained(folder, torch_dtype=torch.float32)
    return control
