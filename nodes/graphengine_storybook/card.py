"""The pictures and figures of a model card: `python -m graphengine_storybook.card FOLDER`.

Writes grid.png (the same prompts at several guidance scales) into the model's folder, and the table
of `evaluate` between the two marks in its README.md.
"""

import argparse
import math
from pathlib import Path
from typing import Any

import torch
from PIL import Image, ImageDraw
from torch import Tensor

from graphengine_storybook import MODELS
from graphengine_storybook.batches import SIDE
from graphengine_storybook.evaluate import paint, report
from graphengine_storybook.folder import Model
from graphengine_storybook.judge import Judge

PROMPTS = (
    "a yellow boat on the sea at sunset",
    "a red house beside a pine tree at night",
    "a blue cat in the snow",
    "a red mushroom in a forest in the rain",
    "a purple hot air balloon above a white castle",
    "a gray car in front of a green tree on a farm",
    "a red circle to the left of a blue square on a white background",
    "a white rocket in the desert",
    "a black car in the city at sunset",
    "a green umbrella to the right of an orange fish on the beach",
    "a pink flower in a meadow with a sun",
    "a purple house in the desert at night",
    "a cat between a red house and a green tree",
    "a white castle in the fog",
    "while it snows, a small brown boat on the water at night",
    "a yellow star above a huge brown mountain at night",
    "an orange kitten behind a blue flower",
    "a grey heart, a yellow star and a pink umbrella on the shore",
    "a tiny red fish on a black background",
    "a golden spaceship in the city at night in the rain",
)
SCALES = (1.0, 3.0, 5.0, 8.0)
SEED = 1
BEGIN, END = "<!-- figures -->", "<!-- end of figures -->"

_GAP = 4
_MARGIN = 44  # where the scale is written
_COLUMNS = 10


def grid(pipeline: Any, prompts: tuple[str, ...] = PROMPTS) -> Image.Image:
    """The prompts in lines of ten; in each line a row for each scale, all of one seed."""
    step = SIDE + _GAP
    lines = math.ceil(len(prompts) / _COLUMNS)
    height = step * len(SCALES) + 2 * _GAP
    width = _MARGIN + step * min(_COLUMNS, len(prompts))
    sheet = Image.new("RGB", (width, height * lines - 2 * _GAP), "white")
    pen = ImageDraw.Draw(sheet)
    for row, scale in enumerate(SCALES):
        pictures = paint(pipeline, list(prompts), scale, [SEED] * len(prompts))
        for index, picture in enumerate(pictures):
            line, column = divmod(index, _COLUMNS)
            sheet.paste(image(picture), (_MARGIN + column * step, line * height + row * step))
        for line in range(lines):
            pen.text((4, line * height + row * step + SIDE // 2), f"CFG {scale:g}", fill="black")
    return sheet


def image(picture: Tensor) -> Image.Image:
    """A picture (3, height, width), -1 to 1, for Pillow."""
    channels = ((picture.clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8)
    return Image.fromarray(channels.permute(1, 2, 0).numpy())


def inscribe(page: Path, figures: str) -> None:
    """Write figures between the two marks of a page."""
    before, rest = page.read_text(encoding="utf-8").split(BEGIN)
    after = rest.split(END)[1]
    page.write_text(f"{before}{BEGIN}\n{figures}\n{END}{after}", encoding="utf-8")


def main(arguments: list[str] | None = None) -> None:
    """The command."""
    parser = argparse.ArgumentParser(prog="graphengine_storybook.card", description=__doc__)
    parser.add_argument("folder", type=Path, nargs="?", default=MODELS / "storybook")
    parser.add_argument("--judge", type=Path, default=MODELS / "judge")
    parser.add_argument("--count", type=int, default=256, help="scenes with seen pairs")
    parser.add_argument("--scales", type=float, nargs="+", default=[1.0, 3.0, 4.5, 8.0])
    given = parser.parse_args(arguments)
    model = Model.load(given.folder)
    sheet = grid(model.pipeline())
    sheet.save(given.folder / "grid.png", optimize=True)
    figures = report(model, Judge.load(given.judge), given.count, given.scales).text()
    inscribe(given.folder / "README.md", figures)


if __name__ == "__main__":
    main()
