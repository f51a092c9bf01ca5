"""ControlNets: a picture, such as edges or a pose, that steers what the model draws. Zhang et al. 2023."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any

import torch
from pydantic import Field
from torch import Tensor
from torch.nn import functional

from graphengine.authoring import NO_CONTEXT, Choices, Context, Folders, Ui, node
from graphengine.errors import ModelError
from graphengine.types import Image
from graphengine_diffusion.conditioning import form_of, spanning, together, with_each
from graphengine_diffusion.families import sdxl
from graphengine_diffusion.files.headers import read_json
from graphengine_diffusion.files.layouts import HINT_WIDTHS
from graphengine_diffusion.files.presets import ARCHITECTURES
from graphengine_diffusion.files.recognition import CONTROL_NET
from graphengine_diffusion.files.single import fitting, header_of, recognised
from graphengine_diffusion.files.weights import configured
from graphengine_diffusion.handles import ControlNet, Part
from graphengine_diffusion.parametrisation import scaled
from graphengine_diffusion.types import Conditioning, Latent, Residuals, Timestep

Fraction = Annotated[float, Field(ge=0, le=1), Ui(widget="slider")]
CONFIG = "config.json"
CLASS = "ControlNetModel"


def control_net_names(folders: Folders) -> list[str]:
    """The ControlNets to choose from."""
    return fitting(folders, CONTROL_NET)


def control_net_fingerprint(control_net: str, folders: Folders) -> str:
    """Changes whenever a file does."""
    return repr(read_control_net(control_net, folders))


@node(fingerprint=control_net_fingerprint, device="cpu", title="Load ControlNet")
def load_control_net(
    control_net: Annotated[str, Choices(control_net_names), Ui(widget="model")], ctx: Context = NO_CONTEXT
) -> ControlNet:
    """Choose a ControlNet: a folder in diffusers' format or a single file under one of the model roots.

    It must be made for the family of the model that it steers. Single files are read for Stable Diffusion
    1.x, 2.x and XL, as their authors publish them or as diffusers names the weights.
    """
    return read_control_net(control_net, ctx.folders)


def read_control_net(name: str, folders: Folders) -> ControlNet:
    """The handle of a ControlNet, from its configuration and the hash of its files."""
    path = folders.model(name)
    preset = "" if path.is_dir() else preset_of(name, path)
    config = configured(path, CLASS, preset) if preset else control_config(name, path)
    dtype = "bfloat16" if header_of(path).precision() == "BF16" else "float16"
    folder = "controlnet" if preset else ""
    part = Part(name, folder, CLASS, folders.content_hash(path), dtype, preset)
    return ControlNet(
        name,
        part,
        channels=config.get("in_channels", 4),
        text_width=config.get("cross_attention_dim", 1280),
        colours=config.get("conditioning_channels", 3),
        factor=2 ** (len(config.get("conditioning_embedding_out_channels", HINT_WIDTHS)) - 1),
        sized=config.get("addition_embed_type") == "text_time",
        widths=tuple(config.get("block_out_channels", (320, 640, 1280, 1280))),
        layers=config.get("layers_per_block", 2),
    )


def preset_of(name: str, path: Path) -> str:
    """The architecture of the U-Net that a ControlNet in a single file is a half of."""
    family = recognised(name, path, CONTROL_NET).family
    if f"unet_{family}" not in ARCHITECTURES:
        raise ModelError(
            f"{name} is a ControlNet for {family or 'no family that is known'}; single files are read for "
            "sd1, sd2 and sdxl, so get it as a folder in diffusers' format"
        )
    return f"unet_{family}"


def control_config(name: str, path: Path) -> dict[str, Any]:
    """The configuration of a ControlNet. ModelError if it is none, or one that works in another way."""
    config = read_json(path / CONFIG)
    if (cls := config.get("_class_name")) != CLASS:
        raise ModelError(f"{name} is a {cls}, not a {CLASS}; choose a ControlNet for SD or SDXL")
    if config.get("global_pool_conditions"):
        raise ModelError(f"{name} pools its residuals over the picture, which is not read; choose another")
    return config


def control_residuals_together(
    control_net: ControlNet,
    latent: list[Latent],
    timestep: list[Timestep],
    conditioning: list[Conditioning],
    image: Image,
    strength: float,
    start: float,
    end: float,
    before: list[Residuals | None],
    ctx: Context,
) -> list[Residuals]:
    """Residuals for several predictions by one call of the model for each shape."""
    for x, c in zip(latent, conditioning, strict=True):
        fit(control_net, x, c)
    conditioning = [completed(control_net, x, c) for x, c in zip(latent, conditioning, strict=True)]
    found: dict[int, Residuals] = {}
    shapes: dict[object, list[int]] = {}
    for i, (x, step) in enumerate(zip(latent, timestep, strict=True)):
        if start <= step.fraction < end and strength:
            shapes.setdefault((x.samples.shape[1:], form_of(conditioning[i])), []).append(i)
        else:
            found[i] = nothing(control_net, x.samples)
    for indices in shapes.values():
        answers = steer(
            control_net,
            [latent[i] for i in indices],
            [timestep[i] for i in indices],
            [conditioning[i] for i in indices],
            image,
            strength,
            ctx,
        )
        found |= zip(indices, answers, strict=True)
    return [added(found[i], before[i]) for i in range(len(latent))]


@node(batched=control_residuals_together, title="ControlNet")
def control_residuals(
    control_net: ControlNet,
    latent: Latent,
    timestep: Timestep,
    conditioning: Conditioning,
    image: Image,
    strength: Annotated[float, Field(ge=0, le=10), Ui(step=0.05)] = 1.0,
    start: Fraction = 0.0,
    end: Fraction = 1.0,
    before: Residuals | None = None,
    ctx: Context = NO_CONTEXT,
) -> Residuals:
    """What a ControlNet adds inside the denoiser at this step: link it to the `control` of predict.

    `image` is what steers, such as edges: one for all items or one for each. It is resized to the picture
    that the latents stand for. `strength` multiplies the residuals. Steps before `start` and from `end` on,
    as parts of the loop from 0 to 1, are not steered, and cost no call of the model. `before` are the
    residuals of another ControlNet, to which these are added. Calls that do not depend on each other run as
    one.
    """
    found = control_residuals_together(
        control_net, [latent], [timestep], [conditioning], image, strength, start, end, [before], ctx
    )
    return found[0]


def fit(control_net: ControlNet, latent: Latent, conditioning: Conditioning) -> None:
    """ValueError if latents or a text are of a family that the ControlNet was not made for."""
    name, have = control_net.model, latent.samples.shape[1]
    if have != control_net.channels:
        raise ValueError(
            f"the latent has {have} channels, but the ControlNet {name} reads {control_net.channels}; use "
            "one that was made for this model"
        )
    width = 0 if conditioning.cross is None else conditioning.cross.shape[-1]
    if width != control_net.text_width:
        raise ValueError(
            f"the conditioning is {width} wide, but the ControlNet {name} reads {control_net.text_width}; it "
            "was made for another family, so use one that was made for this model"
        )
    if control_net.sized and conditioning.pooled is None:
        raise ValueError(
            f"the ControlNet {name} reads the text as one vector too, as SDXL does, but the conditioning has "
            "none; use one that was made for this model"
        )


def steer(
    control_net: ControlNet,
    latents: Sequence[Latent],
    steps: Sequence[Timestep],
    conditionings: Sequence[Conditioning],
    image: Tensor,
    strength: float,
    ctx: Context,
) -> list[Residuals]:
    """The residuals for each of several batches of one shape, from one call of the model."""
    sizes = [len(latent.samples) for latent in latents]
    picture = control_picture(control_net, image, latents[0].samples)
    pictures = torch.cat([over_batch(picture, size) for size in sizes]).to(ctx.device)
    x = torch.cat([latent.samples.to(ctx.device) for latent in latents])
    numbers = [(s.sigma, s.time) for s, size in zip(steps, sizes, strict=True) for _ in range(size)]
    sigma, times = torch.tensor(numbers, dtype=torch.float32).to(ctx.device).unbind(1)
    spans = [spanning(c, size) for c, size in zip(conditionings, sizes, strict=True)]
    c = together([with_each(span, lambda t: t.to(ctx.device)) for span in spans])
    assert c.cross is not None
    module = ctx.use(control_net)
    dtype = module.conv_in.weight.dtype
    options = {}
    if control_net.sized:
        assert c.pooled is not None
        options["added_cond_kwargs"] = {
            "text_embeds": c.pooled.to(dtype),
            "time_ids": c.extra["time_ids"].to(dtype),
        }
    with torch.inference_mode():
        down, mid = module(
            scaled(x, sigma.view(-1, 1, 1, 1)).to(dtype),
            times,
            encoder_hidden_states=c.cross.to(dtype),
            controlnet_cond=pictures.to(dtype),
            return_dict=False,
            **options,
        )
    # Outside of inference mode, so that what leaves the node is an ordinary tensor.
    levels = [torch.split(each.float() * strength, sizes) for each in (*down, mid)]
    return [Residuals(each[:-1], each[-1]) for each in zip(*levels, strict=True)]


def completed(control_net: ControlNet, latent: Latent, conditioning: Conditioning) -> Conditioning:
    """What the ControlNet reads of a conditioning: the text; for SDXL as one vector too, and the size."""
    if not control_net.sized:
        return Conditioning(conditioning.cross)
    height, width = (side * latent.spec.factor for side in latent.samples.shape[-2:])
    text = Conditioning(conditioning.cross, conditioning.pooled, extra=conditioning.extra)
    return sdxl.sized(text, height, width)


def control_picture(control_net: ControlNet, image: Tensor, samples: Tensor) -> Tensor:
    """The picture as the model reads it: [batch, channels, height, width], 0 to 1, in the latents' size.

    Grey is taken as RGB, an alpha is left out. ValueError for other channels.
    """
    have, want = image.shape[-1], control_net.colours
    picture = image[..., :3] if have == 4 else image
    if have == 1:
        picture = image.expand(*image.shape[:-1], want)
    if picture.shape[-1] != want:
        raise ValueError(
            f"the image has {have} channels, but the ControlNet {control_net.model} reads {want}; give a "
            "grey, RGB or RGBA picture"
        )
    size = [side * control_net.factor for side in samples.shape[-2:]]
    planes = picture.permute(0, 3, 1, 2).float()
    if list(planes.shape[-2:]) == size:
        return planes
    return functional.interpolate(planes, size, mode="bilinear", antialias=True).clamp(0, 1)


def over_batch(picture: Tensor, batch: int) -> Tensor:
    """One picture for each item of a batch. ValueError if there is another number of them."""
    if len(picture) not in (1, batch):
        raise ValueError(
            f"there are {len(picture)} pictures and the latent has {batch} items; give one, or one for each"
        )
    return picture.expand(batch, *picture.shape[1:])


def nothing(control_net: ControlNet, samples: Tensor) -> Residuals:
    """Residuals of zeros: one for the first layer, one for each layer and each halving of each level."""
    batch, _, height, width = samples.shape

    def zeros(channels: int) -> Tensor:
        # Stands for a whole tensor and takes the memory of one number.
        return samples.new_zeros(1).expand(batch, channels, height, width)

    widths, down = control_net.widths, []
    down.append(zeros(widths[0]))
    for wide, following in pairwise((*widths, None)):
        down += [zeros(wide)] * control_net.layers  # type: ignore[arg-type]  # only the last is None
        if following is not None:
            height, width = (height + 1) // 2, (width + 1) // 2
            down.append(zeros(wide))  # type: ignore[arg-type]
    return Residuals(tuple(down), zeros(widths[-1]))


def added(residuals: Residuals, before: Residuals | None) -> Residuals:
    """The sum of two; ValueError if they are for different models."""
    if before is None:
        return residuals
    theirs, ours = (*before.down, before.mid), (*residuals.down, residuals.mid)
    if [None if t is None else t.shape for t in theirs] != [None if t is None else t.shape for t in ours]:
        raise ValueError(
            "the residuals in `before` are for another kind of model or another size; use ControlNets of one "
            "family, on the same latent"
        )
    pairs = zip(theirs, ours, strict=True)
    *down, mid = [a.to(b.device) + b for a, b in pairs if a is not None and b is not None]
    return Residuals(tuple(down), mid)
