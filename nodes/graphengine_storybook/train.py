"""Train the storybook model: `python -m graphengine_storybook.train --minutes 120`.

Four stages share the minutes: the text encoder learns to name scenes, the denoiser to draw them, the
decoder to make pictures of latents, the judge to read pictures. Each saves its progress to OUT/progress
every minute, so the same command goes on after an interruption. `--from` starts from a model that
exists. The result is OUT/storybook, a StableDiffusionPipeline folder, and OUT/judge.
"""

import argparse
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import NamedTuple

import torch

from graphengine_storybook import autoencoder, judge, text_encoder, unet
from graphengine_storybook.autoencoder import Code
from graphengine_storybook.batches import SIDE, Batch, Batches, stream
from graphengine_storybook.folder import Model
from graphengine_storybook.judge import Judge
from graphengine_storybook.stage import Stage
from graphengine_storybook.tokenizer import Encoder
from graphengine_storybook.world import HeldOut


class Recipe(NamedTuple):
    """A stage's part of the minutes, its batch on a CPU, highest learning rate and averaging."""

    share: float
    batch: int
    rate: float
    decay: float


RECIPES = {
    "text": Recipe(0.05, 48, 1.5e-3, 0.998),
    "denoiser": Recipe(0.66, 32, 8e-4, 0.9993),
    "decoder": Recipe(0.19, 8, 1e-3, 0.998),
    "judge": Recipe(0.1, 64, 3e-3, 0.998),
}
"""The stages in the order in which they run."""


@dataclass(frozen=True)
class Plan:
    """What one call trains, from nothing or from what is in a folder.

    `larger` multiplies the batches; so many `workers` draw pictures.
    """

    minutes: float
    out: Path
    stages: tuple[str, ...] = tuple(RECIPES)
    device: str = "cpu"
    larger: int = 1
    workers: int = 0
    start: Path | None = None
    recipes: Mapping[str, Recipe] = field(default_factory=lambda: RECIPES)

    def stage(self, name: str) -> Stage:
        """The stage of this name, with its share of the minutes."""
        recipe = self.recipes[name]
        return Stage(
            name=name,
            minutes=self.minutes * recipe.share / sum(self.recipes[each].share for each in self.stages),
            progress=self.out / "progress",
            device=torch.device(self.device),
            batch=recipe.batch * self.larger,
            rate=recipe.rate,
            decay=recipe.decay,
        )


def train(plan: Plan, model: Model) -> dict[str, int]:
    """Run the plan's stages on `model` and write the folders. Returns the samples each has seen."""
    encode = Encoder(model.tokenizer)
    code = Code.read(model.vae).to(torch.device(plan.device))
    folder = plan.out / "storybook"
    samples: dict[str, int] = {}

    def batches(stage: Stage, size: int, held_out: HeldOut, empty: float = 0.0) -> Iterator[Batch]:
        kind = Batches(stage.batch, size, encode, held_out, empty, strange=0.15)
        return stream(kind, plan.workers)

    if not folder.exists():
        model.save(folder)
    for name in plan.stages:
        stage = plan.stage(name)
        if name == "text":
            seen = text_encoder.train(model.text_encoder, batches(stage, 0, "any"), stage)
        elif name == "denoiser":
            source = batches(stage, SIDE // 2, "skip", empty=0.11)
            keep = partial(model.save, folder)
            seen = unet.train(model.unet, model.text_encoder, code.encode, source, stage, keep)
        elif name == "decoder":
            seen = autoencoder.train(model.vae, code, batches(stage, SIDE, "skip"), stage)
        else:
            reader = Judge()
            seen = judge.train(reader, batches(stage, judge.SIDE, "any"), stage)
            reader.save(plan.out / "judge")
        samples[name] = seen
        model.save(folder)
    return samples


def main(arguments: list[str] | None = None) -> None:
    """The command."""
    parser = argparse.ArgumentParser(prog="graphengine_storybook.train", description=__doc__)
    parser.add_argument("--minutes", type=float, required=True, help="for all stages together")
    parser.add_argument("--device", choices=("cpu", "cuda"), help="a GPU if there is one")
    parser.add_argument("--from", type=Path, dest="start", help="a model folder to go on from")
    parser.add_argument("--out", type=Path, default=Path("storybook-training"))
    parser.add_argument("--stages", nargs="+", choices=tuple(RECIPES), default=tuple(RECIPES))
    parser.add_argument("--threads", type=int, default=torch.get_num_threads(), help="on the CPU")
    parser.add_argument("--workers", type=int, help="processes that draw (0 on the CPU, 12 on a GPU)")
    given = parser.parse_args(arguments)
    torch.set_num_threads(given.threads)
    device = given.device or ("cuda" if torch.cuda.is_available() else "cpu")
    gpu = device == "cuda"
    plan = Plan(
        minutes=given.minutes,
        stages=tuple(stage for stage in RECIPES if stage in given.stages),
        device=device,
        out=given.out,
        start=given.start,
        larger=16 if gpu else 1,
        workers=given.workers if given.workers is not None else (12 if gpu else 0),
    )
    model = Model.load(plan.start) if plan.start else Model.new(plan.out / "words")
    for name, count in train(plan, model).items():
        print(f"{name}: {count} samples", flush=True)


if __name__ == "__main__":
    main()
