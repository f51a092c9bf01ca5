"""Measure the companions of the storybook model: `python -m graphengine_storybook.examine`.

Each figure stands beside what is reached without the companion. The judge reads the pictures; edges are
compared with a tolerance of two pixels. With n pictures a share p is known to about
sqrt(p (1 - p) / n).
"""

import argparse
import copy
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

import torch
from diffusers.models.unets.unet_2d import UNet2DModel
from diffusers.pipelines.controlnet.pipeline_controlnet import StableDiffusionControlNetPipeline
from PIL import Image
from torch import Tensor
from torch.nn import functional

from graphengine_storybook import MODELS, control, ddpm, lora, superres
from graphengine_storybook.batches import SIDE, pixels, unit
from graphengine_storybook.captions import hint
from graphengine_storybook.card import image, inscribe
from graphengine_storybook.edges import edges
from graphengine_storybook.evaluate import paint, painter, real, scenes
from graphengine_storybook.folder import Model
from graphengine_storybook.judge import Judge
from graphengine_storybook.portraits import portraits
from graphengine_storybook.styles import off_sepia
from graphengine_storybook.text_encoder import right
from graphengine_storybook.upscaler import Upscaler, bicubic, psnr, reduced
from graphengine_storybook.world import KINDS, Labels, Scene, labels, make

SCALE = 4.5
"""The guidance scale of the pictures that words make."""

CLASS_SCALE = 1.5
"""The guidance scale of the class-conditional pictures."""

_SURE = 0.9


@dataclass(frozen=True)
class Figure:
    """What was measured, with the companion and, if that means something, without it."""

    companion: str
    what: str
    made: float
    plain: float | None = None


@torch.no_grad()
def read(judge: Judge, pictures: Tensor, subjects: list[Scene]) -> Labels[float]:
    """The share of pictures (n, 3, side, side), -1 to 1, in which each label is that of its scene."""
    truth = torch.tensor([labels(scene) for scene in subjects])
    return Labels(*right(judge(pictures), truth).float().mean(0).tolist())


@torch.no_grad()
def read_kinds(judge: Judge, pictures: Tensor) -> tuple[Tensor, Tensor]:
    """The kind (n) that the judge sees in each picture, and how sure it is (n), 0 to 1.

    Pictures smaller than the judge wants are enlarged.
    """
    if pictures.shape[-1] < 64:
        pictures = functional.interpolate(pictures, size=64, mode="bilinear")
    sure, kinds = judge(pictures)[0].softmax(1).max(1)
    return kinds, sure


def agreement(made: Tensor, wanted: Tensor, tolerance: int = 2) -> float:
    """How well lines (n, 3, height, width) lie on each other: the F score of their pixels, 0 to 1.

    A pixel is right if the other picture has a line at most `tolerance` pixels away.
    """

    def near(lines: Tensor) -> Tensor:
        return functional.max_pool2d(lines, 2 * tolerance + 1, 1, tolerance)

    precision = (made * near(wanted)).sum((1, 2, 3)) / made.sum((1, 2, 3)).clamp(min=1)
    recall = (wanted * near(made)).sum((1, 2, 3)) / wanted.sum((1, 2, 3)).clamp(min=1)
    return float((2 * precision * recall / (precision + recall).clamp(min=1e-6)).mean())


def controlled(model: Model, network: Any) -> Any:
    """diffusers' own pipeline of a ControlNet beside the storybook model."""
    pipeline: Any = StableDiffusionControlNetPipeline(**model.pipeline().components, controlnet=network)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def sketch(
    pipeline: Any,
    texts: list[str],
    lines: Tensor,
    scale: float = SCALE,
    steps: int = 20,
    seed: int = 0,
    strength: float = 1.0,
) -> Tensor:
    """Pictures (n, 3, 128, 128), -1 to 1, of the texts along the lines (n, 3, 128, 128)."""
    result = pipeline(
        texts,
        image=lines,
        num_inference_steps=steps,
        guidance_scale=scale,
        controlnet_conditioning_scale=strength,
        generator=torch.Generator().manual_seed(seed),
        output_type="pt",
    )
    pictures: Tensor = result.images
    return pictures.float() * 2 - 1


def examine_control(root: Path, judge: Judge, count: int) -> list[Figure]:
    """Scenes drawn from their edges and a hint: colours and place, and no word for the things."""
    model = Model.load(MODELS / "storybook")
    pipeline = controlled(model, control.load(root / "storybook_control"))
    subjects = scenes(count, "skip")
    lines = edges(real(subjects) / 2 + 0.5)
    texts = [hint(scene, Random(scene.seed)) for scene in subjects]
    told, untold = (
        sketch(pipeline, texts, lines),
        paint(model.pipeline(), texts, SCALE, [s.seed for s in subjects]),
    )
    found, alone = read(judge, told, subjects), read(judge, untold, subjects)
    overlap, chance = (agreement(edges(made / 2 + 0.5), lines) for made in (told, untold))
    return [
        Figure("control", "kind, from the edges", found.kind, alone.kind),
        Figure("control", "kind of the second thing", found.other_kind, alone.other_kind),
        Figure("control", "relation", found.relation, alone.relation),
        Figure("control", "colour, from the words", found.colour, alone.colour),
        Figure("control", "place, from the words", found.place, alone.place),
        Figure("control", "edges on the given edges (F)", overlap, chance),
    ]


def control_grid(root: Path, count: int = 8) -> Image.Image:
    """Drawings, below them their edges, below these what the ControlNet makes of the edges and a hint."""
    model = Model.load(MODELS / "storybook")
    subjects = scenes(count, "skip")
    drawings = real(subjects)
    lines = edges(drawings / 2 + 0.5)
    texts = [hint(scene, Random(scene.seed)) for scene in subjects]
    made = sketch(controlled(model, control.load(root / "storybook_control")), texts, lines)
    step = SIDE + 4
    sheet = Image.new("RGB", (step * count - 4, step * 3 - 4), "white")
    for row, pictures in enumerate((drawings, 2 * lines - 1, made)):
        for column, picture in enumerate(pictures):
            sheet.paste(image(picture), (column * step, row * step))
    return sheet


def examine_upscaler(root: Path, judge: Judge, count: int) -> list[Figure]:
    """Drawings averaged to a quarter of the side and enlarged again."""
    network = Upscaler.load(root / "storybook_upscaler.safetensors")
    figures = []
    for side, number in ((128, count), (512, max(1, count // 8))):
        rng = Random(f"upscaler {side}")
        sharp = unit(pixels([make(rng, "any") for _ in range(number)], side)) / 2 + 0.5
        small = reduced(sharp)
        with torch.no_grad():
            made = network(small).clamp(0, 1)
        what = f"PSNR in dB, {side // 4} to {side} pixels, beside bicubic"
        figures.append(Figure("upscaler", what, psnr(made, sharp), psnr(bicubic(small), sharp)))
    return figures


def examine_pixels(root: Path, judge: Judge, count: int) -> list[Figure]:
    """Pictures from nothing but noise; beside them the judge on real portraits."""
    unet = ddpm.load(root / "storybook_pixels" / "unet").eval()
    truth, _ = next(portraits(count, seed=1))
    kinds, sure = read_kinds(judge, ddpm.sample(unet, count))
    real_kinds, real_sure = read_kinds(judge, unit(truth))
    return [
        Figure("pixels", "the judge is sure of a kind", _share(sure > _SURE), _share(real_sure > _SURE)),
        Figure("pixels", f"kinds seen in {count}", len(set(kinds.tolist())), len(set(real_kinds.tolist()))),
    ]


def examine_classes(root: Path, judge: Judge, count: int) -> list[Figure]:
    """Pictures of asked kinds."""
    unet = ddpm.load(root / "storybook_classes" / "unet").eval()
    asked = torch.arange(count) % len(KINDS)
    made = {scale: ddpm.sample(unet, count, asked, scale) for scale in (1.0, CLASS_SCALE)}
    hits = {scale: _share(read_kinds(judge, pictures)[0] == asked) for scale, pictures in made.items()}
    what = f"kind as asked, guidance {CLASS_SCALE:g}, beside none"
    return [Figure("classes", what, hits[CLASS_SCALE], hits[1.0])]


def examine_superres(root: Path, judge: Judge, count: int) -> list[Figure]:
    """Small drawings made large again by diffusion."""
    unet: UNet2DModel = ddpm.load(root / "storybook_superres" / "unet").eval()
    rng = Random("superres")
    subjects = [make(rng, "any") for _ in range(count)]
    sharp = real(subjects)
    small = functional.avg_pool2d(sharp, superres.FACTOR)
    started = time.perf_counter()
    made = superres.sample(unet, small)
    seconds = (time.perf_counter() - started) / count
    made, sharp, plain = made / 2 + 0.5, sharp / 2 + 0.5, bicubic(small / 2 + 0.5)
    found, alone = read(judge, 2 * made - 1, subjects), read(judge, 2 * plain - 1, subjects)
    lines = edges(sharp)
    overlap, blurred = (agreement(edges(pictures), lines, 1) for pictures in (made, plain))
    return [
        Figure(
            "superres", "PSNR in dB, 32 to 128 pixels, beside bicubic", psnr(made, sharp), psnr(plain, sharp)
        ),
        Figure("superres", "edges on the true edges (F), beside bicubic", overlap, blurred),
        Figure("superres", "kind, beside bicubic", found.kind, alone.kind),
        Figure("superres", f"seconds a picture, {superres.STEPS} steps", seconds),
    ]


def examine_lora(root: Path, judge: Judge, count: int) -> list[Figure]:
    """Scenes from their captions at several strengths of the LoRA."""
    model = Model.load(MODELS / "storybook")
    weights = lora.load(root / "storybook_lora.safetensors")
    subjects = scenes(count, "skip")
    original = copy.deepcopy(model.unet.state_dict())
    figures = []
    alone: Labels[float] | None = None
    for strength in (0.0, 0.5, 1.0):
        model.unet.load_state_dict(original)
        lora.fold(model.unet, weights, strength)
        made = painter(model.pipeline(), SCALE)(subjects)
        off = float(off_sepia(made / 2 + 0.5).mean())
        found = read(judge, made, subjects)
        alone = alone or found
        if strength == 0:
            without = off
            continue
        figures.append(Figure("lora", f"distance from sepia, strength {strength:g}", off, without))
        figures.append(Figure("lora", f"kind, strength {strength:g}", found.kind, alone.kind))
        figures.append(Figure("lora", f"time, strength {strength:g}", found.time, alone.time))
    return figures


def _share(hits: Tensor) -> float:
    return float(hits.float().mean())


EXAMINED: dict[str, Callable[[Path, Judge, int], list[Figure]]] = {
    "control": examine_control,
    "upscaler": examine_upscaler,
    "pixels": examine_pixels,
    "classes": examine_classes,
    "superres": examine_superres,
    "lora": examine_lora,
}
"""How each companion is measured: told the folder, the judge and the number of pictures."""


def table(figures: list[Figure]) -> str:
    """The figures in Markdown."""
    rows = ["| companion | what | with it | without |", "|---|---|---|---|"]
    for figure in figures:
        plain = "-" if figure.plain is None else f"{figure.plain:.3g}"
        rows.append(f"| {figure.companion} | {figure.what} | {figure.made:.3g} | {plain} |")
    return "\n".join(rows)


def main(arguments: list[str] | None = None) -> None:
    """The command."""
    parser = argparse.ArgumentParser(prog="graphengine_storybook.examine", description=__doc__)
    parser.add_argument("root", type=Path, nargs="?", default=MODELS, help="where the companions lie")
    parser.add_argument("--only", nargs="+", choices=tuple(EXAMINED), default=tuple(EXAMINED))
    parser.add_argument("--count", type=int, default=48, help="pictures of each")
    parser.add_argument("--cards", action="store_true", help="write the figures and a grid into the cards")
    given = parser.parse_args(arguments)
    judge = Judge.load(MODELS / "judge")
    found = [figure for name in given.only for figure in EXAMINED[name](given.root, judge, given.count)]
    print(table(found))
    if given.cards:
        if "control" in given.only:
            grid = control_grid(given.root)
            grid.save(given.root / "storybook_control" / "grid.png", optimize=True)
        inscribe(given.root / "README.md", table(found))
        for name in given.only:
            page = given.root / f"storybook_{name}" / "README.md"
            if page.exists():
                inscribe(page, table([figure for figure in found if figure.companion == name]))


if __name__ == "__main__":
    main()
