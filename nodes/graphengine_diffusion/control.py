"""ControlNets: a picture, such as edges or a pose, that steers what the model draws. Zhang et al. 2023."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, NamedTuple

import torch
from pydantic import Field
from torch import Tensor

from graphengine.authoring import NO_CONTEXT, Choices, Context, Folders, Ui, node
from graphengine.errors import ModelError
from graphengine.types import Image
from graphengine_diffusion.conditioning import form_of, spanning, together
from graphengine_diffusion.control_nets import KINDS, Call
from graphengine_diffusion.files.headers import read_json
from graphengine_diffusion.files.presets import ARCHITECTURES
from graphengine_diffusion.files.recognition import CONTROL_NET
from graphengine_diffusion.files.single import fitting, header_of, recognised
from graphengine_diffusion.files.weights import configured
from graphengine_diffusion.handles import ControlNet, Part
from graphengine_diffusion.parametrisation import scaled
from graphengine_diffusion.types import Conditioning, Latent, Residuals, Timestep

Fraction = Annotated[float, Field(ge=0, le=1), Ui(widget="slider")]
CONFIG = "config.json"
OF_UNETS = "ControlNetModel"
OF_STREAMS = {"sd3": "SD3ControlNetModel", "flux1": "FluxControlNetModel"}
"""The classes of ControlNets for transformers, by the family."""


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

    It must be made for the family of the model that it steers: Stable Diffusion 1.x, 2.x, XL or 3, or Flux.1.
    Single files are read for all of them, as diffusers names the weights; for the first three also as their
    authors publish them.
    """
    return read_control_net(control_net, ctx.folders)


def read_control_net(name: str, folders: Folders) -> ControlNet:
    """The handle of a ControlNet, from its configuration and the hash of its files."""
    path = folders.model(name)
    cls, preset = in_folder(name, path) if path.is_dir() else in_file(name, path)
    config = read_json(path / CONFIG) if path.is_dir() else configured(path, cls, preset)
    dtype = "bfloat16" if header_of(path).precision() == "BF16" else "float16"
    place = "" if path.is_dir() else "controlnet"
    part = Part(name, place, cls, folders.content_hash(path), dtype, preset)
    return KINDS[cls].read(name, part, config)


def in_file(name: str, path: Path) -> tuple[str, str]:
    """The class of a ControlNet in a single file, and the architecture of the U-Net that it is a half of.

    The sizes of the others stand in the header.
    """
    family = recognised(name, path, CONTROL_NET).family
    if family in OF_STREAMS:
        return OF_STREAMS[family], ""
    if f"unet_{family}" not in ARCHITECTURES:
        raise ModelError(
            f"{name} is a ControlNet for {family or 'no family that is known'}; single files are read for "
            "sd1, sd2, sdxl, sd3 and flux1, so get it as a folder in diffusers' format"
        )
    return OF_UNETS, f"unet_{family}"


def in_folder(name: str, path: Path) -> tuple[str, str]:
    """The class of a ControlNet in a folder. ModelError if it is none."""
    cls = read_json(path / CONFIG).get("_class_name")
    if cls not in KINDS:
        raise ModelError(f"{name} is a {cls}, not a ControlNet; these are known: {', '.join(KINDS)}")
    return str(cls), ""


class Steering(NamedTuple):
    """What is the same for all calls: the net, the picture, its latents, the kind of picture, how much."""

    control_net: ControlNet
    image: Tensor
    encoded: Latent | None
    mode: int
    strength: float


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
    encoded: Latent | None = None,
    mode: int = 0,
) -> list[Residuals]:
    """Residuals for several predictions by one call of the model for each shape."""
    kind = KINDS[control_net.part.cls]
    for x, c in zip(latent, conditioning, strict=True):
        fit(control_net, x, c, mode)
    conditioning = [kind.complete(control_net, x, c) for x, c in zip(latent, conditioning, strict=True)]
    steering = Steering(control_net, image, encoded, mode, strength)
    found: dict[int, Residuals] = {}
    shapes: dict[object, list[int]] = {}
    for i, (x, step) in enumerate(zip(latent, timestep, strict=True)):
        if start <= step.fraction < end and strength:
            shapes.setdefault((x.samples.shape[1:], form_of(conditioning[i])), []).append(i)
        else:
            found[i] = kind.nothing(control_net, x.samples)
    for indices in shapes.values():
        answers = steer(
            steering,
            [latent[i] for i in indices],
            [timestep[i] for i in indices],
            [conditioning[i] for i in indices],
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
    encoded: Latent | None = None,
    mode: Annotated[int, Field(ge=0, le=99)] = 0,
) -> Residuals:
    """What a ControlNet adds inside the denoiser at this step: link it to the `control` of predict.

    `image` is what steers, such as edges: one for all items or one for each. It is resized to the picture
    that the latents stand for. ControlNets of Stable Diffusion 3 and most of Flux read its latents instead:
    link `encoded` to a `vae_encode` of it outside of the loop; the others ignore that. `mode` is the kind of
    picture, by its number, for a "union" net that knows several.

    `strength` multiplies the residuals. Steps before `start` and from `end` on, as parts of the loop from 0
    to 1, are not steered, and cost no call of the model. `before` are the residuals of another ControlNet, to
    which these are added. Calls that do not depend on each other run as one.
    """
    found = control_residuals_together(
        control_net,
        [latent],
        [timestep],
        [conditioning],
        image,
        strength,
        start,
        end,
        [before],
        ctx,
        encoded,
        mode,
    )
    return found[0]


def fit(control_net: ControlNet, latent: Latent, conditioning: Conditioning, mode: int) -> None:
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
    pooled = 0 if conditioning.pooled is None else conditioning.pooled.shape[-1]
    if control_net.pooled_width and pooled != control_net.pooled_width:
        raise ValueError(
            f"the text as one vector is {pooled} wide, but the ControlNet {name} reads "
            f"{control_net.pooled_width}; use one that was made for this model"
        )
    height, wide = latent.samples.shape[-2:]
    if control_net.pooled_width and (height % 2 or wide % 2):
        raise ValueError(
            f"the ControlNet {name} works on 2 x 2 patches, but the latent is {wide} x {height}; choose a "
            f"width and a height that are multiples of {2 * latent.spec.factor} pixels"
        )
    if control_net.modes and mode >= control_net.modes:
        raise ValueError(
            f"mode: {mode} is no kind of picture that the ControlNet {name} knows; choose 0 to "
            f"{control_net.modes - 1}"
        )


def steer(
    steering: Steering,
    latents: Sequence[Latent],
    steps: Sequence[Timestep],
    conditionings: Sequence[Conditioning],
    ctx: Context,
) -> list[Residuals]:
    """The residuals for each of several batches of one shape, from one call of the model."""
    net, kind = steering.control_net, KINDS[steering.control_net.part.cls]
    sizes = [len(latent.samples) for latent in latents]
    picture = kind.hint(net, steering.image, steering.encoded, latents[0])
    hint = torch.cat([over_batch(picture, size) for size in sizes]).to(ctx.device)
    x = torch.cat([latent.samples.to(ctx.device) for latent in latents])
    numbers = [(s.sigma, s.time) for s, size in zip(steps, sizes, strict=True) for _ in range(size)]
    sigma, times = torch.tensor(numbers, dtype=torch.float32).to(ctx.device).unbind(1)
    c = together([spanning(c, size, ctx.device) for c, size in zip(conditionings, sizes, strict=True)])
    module = ctx.use(net)
    with torch.inference_mode():
        seen = scaled(x, sigma.view(-1, 1, 1, 1), steps[0].flow)
        found = kind.run(module, Call(seen, times, c, hint, steering.mode))
    # Outside of inference mode, so that what leaves the node is an ordinary tensor.
    parts = [torch.split(each.float() * steering.strength, sizes) for each in found.parts]
    return [found.with_parts(each) for each in zip(*parts, strict=True)]


def over_batch(picture: Tensor, batch: int) -> Tensor:
    """One picture for each item of a batch. ValueError if there is another number of them."""
    if len(picture) not in (1, batch):
        raise ValueError(
            f"there are {len(picture)} pictures and the latent has {batch} items; give one, or one for each"
        )
    return picture.expand(batch, *picture.shape[1:])


def added(residuals: Residuals, before: Residuals | None) -> Residuals:
    """The sum of two; ValueError if they are for different models."""
    if before is None or not before.parts:
        return residuals
    if not residuals.parts:
        return before
    if before.form() != residuals.form():
        raise ValueError(
            "the residuals in `before` are for another kind of model or another size; use ControlNets of one "
            "family, on the same latent"
        )
    pairs = zip(before.parts, residuals.parts, strict=True)
    return residuals.with_parts([a.to(b.device) + b for a, b in pairs])
