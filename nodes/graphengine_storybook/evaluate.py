"""Measure a model: `python -m graphengine_storybook.evaluate models/storybook`.

Captions that leave nothing out are turned into pictures, and the judge reads them back. Beside each
figure stands what the judge makes of real drawings (ten times as many): its own accuracy, and the most
a model could score. With n pictures a share p is known to about sqrt(p (1 - p) / n).
"""

import argparse
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from random import Random
from typing import Any

import torch
from torch import Tensor

from graphengine_storybook import MODELS, autoencoder
from graphengine_storybook.batches import pixels, unit
from graphengine_storybook.captions import caption
from graphengine_storybook.folder import Model
from graphengine_storybook.judge import Judge
from graphengine_storybook.text_encoder import right
from graphengine_storybook.world import RELATIONS, HeldOut, Labels, Scene, labels, make

STEPS, SCALE = 20, 4.5
"""The sampling steps and the guidance scale of the figures, and what the model card recommends."""

_AT_ONCE = 16


@dataclass(frozen=True)
class Figures:
    """Shares from 0 to 1 of what is as the caption says; None if no scene had it."""

    pictures: int
    kind: float | None
    colour: float | None
    size: float | None
    background: float | None  # the place, and of a plain ground its colour
    time: float | None
    weather: float | None
    one_thing: float | None  # single things with kind, colour, background and time right
    two_things: float | None  # pairs with both kinds and both colours right, in their order
    three_things: float | None  # rows with all kinds and colours right, in their order
    relation: float | None  # of pairs and rows: beside, above, in front of, in a row
    unseen: float | None  # kind and colour of things in a colour that training never showed


GOALS = {
    "kind": 0.97,
    "colour": 0.95,
    "background": 0.98,
    "two_things": 0.85,
    "relation": 0.85,
    "unseen": 0.85,
}
"""What the shipped model is to reach, by the name of the figure."""

PSNR_GOAL, SECONDS_GOAL = 30, 3
"""What its autoencoder is to reach, in dB, and the time of a picture in seconds."""


Draw = Callable[[list[Scene]], Tensor]


def scenes(count: int, held_out: HeldOut, things: int | None = None) -> list[Scene]:
    """The scenes of the measurement: always the same for the same arguments."""
    rng = Random(f"evaluate {held_out} {things}")
    return [make(rng, held_out, things) for _ in range(count)]


def measure(judge: Judge, draw: Draw, count: int) -> Figures:
    """Figures of what `draw` shows for `count` scenes, and half as many with unseen pairs."""
    seen = scenes(count, "skip")
    truth, hits = _read(judge, draw, seen)
    _, unseen = _read(judge, draw, scenes(max(1, count // 2), "only", 1))
    row = truth.relation == RELATIONS.index("row")
    several = truth.relation > 0
    two = several & ~row
    background = hits.place & hits.backdrop
    first = hits.kind & hits.colour
    both = first & hits.other_kind & hits.other_colour
    return Figures(
        pictures=len(seen) + len(unseen.kind),
        kind=_share(torch.cat([hits.kind, hits.other_kind[several], hits.third_kind[row]])),
        colour=_share(torch.cat([hits.colour, hits.other_colour[several], hits.third_colour[row]])),
        size=_share(torch.cat([hits.size, hits.other_size[several]])),
        background=_share(background),
        time=_share(hits.time),
        weather=_share(hits.weather),
        one_thing=_share((first & background & hits.time)[~several]),
        two_things=_share(both[two]),
        three_things=_share((both & hits.third_kind & hits.third_colour)[row]),
        relation=_share(hits.relation[several]),
        unseen=_share(unseen.kind & unseen.colour),
    )


def real(subjects: list[Scene]) -> Tensor:
    """The scenes as they are drawn: pictures from -1 to 1."""
    return unit(pixels(subjects))


def painter(pipeline: Any, scale: float, steps: int = STEPS) -> Draw:
    """Pictures that the model makes of the scenes' full captions."""

    def draw(subjects: list[Scene]) -> Tensor:
        texts = [caption(scene, Random(scene.seed), full=True) for scene in subjects]
        return paint(pipeline, texts, scale, [scene.seed for scene in subjects], steps)

    return draw


@torch.no_grad()
def paint(
    pipeline: Any,
    texts: list[str],
    scale: float,
    seeds: list[int],
    steps: int = STEPS,
) -> Tensor:
    """Pictures (n, 3, 128, 128) of the texts, -1 to 1."""
    done = []
    for part in _parts(range(len(texts))):
        result = pipeline(
            [texts[i] for i in part],
            num_inference_steps=steps,
            guidance_scale=scale,
            generator=[torch.Generator().manual_seed(seeds[i]) for i in part],
            output_type="pt",
        )
        done.append(result.images.float().cpu() * 2 - 1)
    return torch.cat(done)


def _parts(indices: range) -> Iterator[range]:
    for start in range(0, len(indices), _AT_ONCE):
        yield indices[start : start + _AT_ONCE]


@torch.no_grad()
def _read(judge: Judge, draw: Draw, subjects: list[Scene]) -> tuple[Labels[Tensor], Labels[Tensor]]:
    numbers = torch.tensor([labels(scene) for scene in subjects])
    hits = right(judge(draw(subjects)), numbers)
    return Labels(*numbers.unbind(1)), Labels(*hits.unbind(1))


def _share(hits: Tensor) -> float | None:
    return round(float(hits.float().mean()), 3) if len(hits) else None


def seconds_a_picture(pipeline: Any, scale: float = SCALE) -> float:
    """The time of one picture on its own, the faster of two."""
    times = []
    for seed in (0, 1):
        start = time.perf_counter()
        paint(pipeline, ["a red house in a meadow"], scale, [seed])
        times.append(time.perf_counter() - start)
    return round(min(times), 2)


@dataclass(frozen=True)
class Report:
    """The figures of several ways to make the pictures, and those of the model as a whole."""

    columns: dict[str, Figures]
    psnr: float  # dB
    seconds: float  # a picture

    def text(self) -> str:
        """Markdown: a table with a column for each way, and a line below."""
        rows = [f"| | {' | '.join(self.columns)} | goal |", "|---" * (len(self.columns) + 2) + "|"]
        for name in asdict(next(iter(self.columns.values()))):
            values = [asdict(figures)[name] for figures in self.columns.values()]
            cells = " | ".join("-" if value is None else f"{value:g}" for value in values)
            rows.append(f"| {name.replace('_', ' ')} | {cells} | {GOALS.get(name, '-')} |")
        last = (
            f"Autoencoder: {self.psnr} dB PSNR (goal {PSNR_GOAL}). One picture: {self.seconds} s "
            f"(goal {SECONDS_GOAL}; {STEPS} steps, CPU threads: {torch.get_num_threads()})."
        )
        return "\n".join([*rows, "", last])


def report(model: Model, judge: Judge, count: int, scales: list[float]) -> Report:
    """Everything that `evaluate` measures."""
    pipeline = model.pipeline()

    @torch.no_grad()
    def decoded(subjects: list[Scene]) -> Tensor:
        latents = model.vae.encode(real(subjects)).latent_dist.mode()
        pictures: Tensor = model.vae.decode(latents).sample
        return pictures.clamp(-1, 1)

    columns = {
        "real drawings": measure(judge, real, 10 * count),
        "encoded and decoded": measure(judge, decoded, count),
    }
    for scale in scales:
        columns[f"made, CFG {scale:g}"] = measure(judge, painter(pipeline, scale), count)
    return Report(columns, round(autoencoder.psnr(model.vae), 1), seconds_a_picture(pipeline))


def main(arguments: list[str] | None = None) -> None:
    """The command."""
    parser = argparse.ArgumentParser(prog="graphengine_storybook.evaluate", description=__doc__)
    parser.add_argument("folder", type=Path, nargs="?", default=MODELS / "storybook")
    parser.add_argument("--judge", type=Path, default=MODELS / "judge")
    parser.add_argument("--count", type=int, default=128, help="scenes with seen pairs")
    parser.add_argument("--scales", type=float, nargs="+", default=[SCALE], help="guidance scales")
    given = parser.parse_args(arguments)
    model, judge = Model.load(given.folder), Judge.load(given.judge)
    print(report(model, judge, given.count, given.scales).text())


if __name__ == "__main__":
    main()
