"""Train the companions of the storybook model: `python -m graphengine_storybook.companions --minutes 60`.

Small models of the same world for what else diffusion does. Each is a stage of its own, with a share of the
minutes. Progress is saved to OUT/progress every minute, so the same command goes on after an
interruption. `--from` starts from companions that exist. The results are OUT/storybook_NAME, folders and
files.
"""

import argparse
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TypeVar

import torch
from diffusers.models.unets.unet_2d import UNet2DModel

from graphengine_storybook import MODELS, control, ddpm, lora, superres, upscaler
from graphengine_storybook.autoencoder import Code
from graphengine_storybook.batches import SIDE, Batches, stream
from graphengine_storybook.folder import Model
from graphengine_storybook.portraits import portraits
from graphengine_storybook.stage import Stage
from graphengine_storybook.tokenizer import Encoder
from graphengine_storybook.train import Plan, Recipe
from graphengine_storybook.upscaler import Upscaler
from graphengine_storybook.world import KINDS

RECIPES = {
    "classes": Recipe(0.28, 16, 1.5e-3, 0.998),
    "pixels": Recipe(0.08, 16, 6e-4, 0.998),
    "control": Recipe(0.27, 12, 1e-3, 0.998),
    "upscaler": Recipe(0.07, 16, 2e-3, 0.998),
    "lora": Recipe(0.07, 16, 2e-3, 0.99),
    "superres": Recipe(0.11, 4, 1.5e-3, 0.998),
}
"""The stages in the order in which they run."""

T = TypeVar("T")


def begun(plan: Plan, name: str, load: Callable[[Path], T], new: Callable[[], T]) -> T:
    """The companion of this name, as the folder has it that the plan starts from; without one, a new one."""
    old = plan.start / name if plan.start else None
    return load(old) if old is not None and old.exists() else new()


def train_classes(stage: Stage, plan: Plan) -> int:
    """The class-conditional model, on labelled portraits."""
    name = "storybook_classes"
    unet = begun(plan, f"{name}/unet", ddpm.load, lambda: ddpm.carry(ddpm.build(classes=len(KINDS) + 1)))
    save = partial(ddpm.save, unet, plan.out / "storybook_classes")
    seen = ddpm.train(unet, portraits(stage.batch), stage, save)
    save()
    return seen


def train_pixels(stage: Stage, plan: Plan) -> int:
    """The unconditional model: at first the class-conditional one without its classes."""
    classes = plan.out / "storybook_classes" / "unet"

    def new() -> UNet2DModel:
        return ddpm.unconditional(ddpm.load(classes)) if classes.exists() else ddpm.carry(ddpm.build())

    unet = begun(plan, "storybook_pixels/unet", ddpm.load, new)
    known = plan.start is not None or classes.exists()
    save = partial(ddpm.save, unet, plan.out / "storybook_pixels")
    seen = ddpm.train(unet, portraits(stage.batch), stage, save, coarse=0.0 if known else 0.8)
    save()
    return seen


def train_control(stage: Stage, plan: Plan) -> int:
    """The ControlNet, on drawings and their edges."""
    model = Model.load(MODELS / "storybook")
    network = begun(plan, "storybook_control", control.load, lambda: control.build(model.unet))
    code = Code.read(model.vae).to(stage.device)
    sketches = control.Sketches(stage.batch, SIDE, Encoder(model.tokenizer), empty=0.15)
    save = partial(control.save, network, plan.out / "storybook_control")
    seen = control.train(network, model, code.encode, stream(sketches, plan.workers), stage, save)
    save()
    return seen


def train_upscaler(stage: Stage, plan: Plan) -> int:
    """The super-resolution network, on crops."""
    network = begun(plan, "storybook_upscaler.safetensors", Upscaler.load, Upscaler)
    save = partial(network.save, plan.out / "storybook_upscaler.safetensors")
    seen = upscaler.train(network, upscaler.crops(stage.batch), stage, save)
    save()
    return seen


def train_lora(stage: Stage, plan: Plan) -> int:
    """The LoRA, on drawings in sepia."""
    model = Model.load(MODELS / "storybook")
    fresh = lora.Lora(model.unet)
    change = begun(
        plan, "storybook_lora.safetensors", lambda file: fresh.restore(lora.load(file)), lambda: fresh
    )
    code = Code.read(model.vae).to(stage.device)
    batches = Batches(stage.batch, SIDE // 2, Encoder(model.tokenizer), empty=0.11)
    save = partial(change.save, plan.out / "storybook_lora.safetensors")
    seen = lora.train(change, model, code.encode, stream(batches, plan.workers), stage, save)
    save()
    return seen


def train_superres(stage: Stage, plan: Plan) -> int:
    """The second stage of a cascade, on drawings and their small versions."""
    unet = begun(plan, "storybook_superres/unet", ddpm.load, superres.build)
    save = partial(superres.save, unet, plan.out / "storybook_superres")
    seen = superres.train(unet, superres.drawings(stage.batch), stage, save)
    save()
    return seen


TRAINED: dict[str, Callable[[Stage, Plan], int]] = {
    "classes": train_classes,
    "pixels": train_pixels,
    "control": train_control,
    "upscaler": train_upscaler,
    "lora": train_lora,
    "superres": train_superres,
}


def train(plan: Plan) -> dict[str, int]:
    """Run the plan's stages. Returns the samples that each has seen."""
    return {name: TRAINED[name](plan.stage(name), plan) for name in plan.stages}


def main(arguments: list[str] | None = None) -> None:
    """The command."""
    parser = argparse.ArgumentParser(prog="graphengine_storybook.companions", description=__doc__)
    parser.add_argument("--minutes", type=float, required=True, help="for all stages together")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--from", type=Path, dest="start", help="a folder of companions to go on from")
    parser.add_argument("--out", type=Path, default=Path("storybook-companions"))
    parser.add_argument("--stages", nargs="+", choices=tuple(RECIPES), default=tuple(RECIPES))
    parser.add_argument("--threads", type=int, default=1, help="on the CPU")
    given = parser.parse_args(arguments)
    if given.start is not None and not given.start.is_dir():
        parser.error(
            f"--from {given.start}: there is no such folder; the companions that ship are in {MODELS}"
        )
    torch.set_num_threads(given.threads)
    plan = Plan(
        minutes=given.minutes,
        out=given.out,
        start=given.start,
        stages=tuple(stage for stage in RECIPES if stage in given.stages),
        device=given.device,
        larger=16 if given.device == "cuda" else 1,
        recipes=RECIPES,
    )
    for name, count in train(plan).items():
        print(f"{name}: {count} samples", flush=True)


if __name__ == "__main__":
    main()
