"""Board: the pictures of a sweep on one sheet, drawn by nodes of the standard pack.

The engine knows no pack: it asks the registry for these nodes, as it does for those of a workflow.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING, Any

from graphengine.errors import GraphEngineError
from graphengine.notebook import pillow
from graphengine.registry import Manifest, Registry

if TYPE_CHECKING:
    from PIL import Image as Pillow

SHEET, LARGEST, SMALLEST = 4096, 1024, 32
"""The longest side of all places together, and of one place at most and at least, in pixels."""
LEGIBLE = 256
"""Smaller pictures are enlarged up to this side, so that the letters around them have room."""
ROW = 8
"""Of a single swept input, so many values stand in one row."""
LETTERS = 120
"""Of a heading."""
EMPTY = "#eceff1"
"""The colour of a place without a picture."""
NODES = ("image.card", "image.film_strip", "image.grid", "image.resize", "image.table")


@dataclass(frozen=True)
class Board:
    """Places in rows and columns: the last axis makes the columns, the one before it the rows.

    Further axes make groups of rows. A single axis with many values goes on in a new row.
    """

    nodes: Mapping[str, Callable[..., Any]]
    names: tuple[str, ...]
    labels: tuple[tuple[str, ...], ...]

    @classmethod
    def of(cls, manifest: Manifest, axes: Mapping[str, Sequence[Any]]) -> Board:
        """A board for all combinations. GraphEngineError where these are too many for one picture."""
        missing = [id for id in NODES if id not in manifest.types]
        if missing:
            raise GraphEngineError(f"a grid is drawn by nodes that are not installed: {', '.join(missing)}")
        nodes = {id: kind.run for id, kind in Registry.only(manifest, NODES).items()}
        board = cls(nodes, tuple(axes), tuple(tuple(map(label, values)) for values in axes.values()))
        if board.side < SMALLEST:
            raise GraphEngineError(
                f"{board.columns} columns and {board.rows} rows are too many for one picture; "
                "name the input with fewer values last, or sweep fewer values"
            )
        return board

    @property
    def wrapped(self) -> bool:
        """Whether one axis makes both rows and columns."""
        return len(self.names) == 1 and len(self.labels[0]) > ROW

    @property
    def columns(self) -> int:
        """Places side by side."""
        count = len(self.labels[-1])
        return math.ceil(math.sqrt(count)) if self.wrapped else count

    @property
    def rows(self) -> int:
        """Places below one another."""
        return math.ceil(math.prod(map(len, self.labels)) / self.columns)

    @property
    def side(self) -> int:
        """The longest side of a picture, in pixels."""
        return min(LARGEST, SHEET // max(self.columns, self.rows))

    def tile(self, batch: Any) -> Any:
        """The pictures of one combination as one, [1, height, width, channels], no larger than its place."""
        tile = batch.detach().float().nan_to_num().clamp(0, 1).cpu()
        if len(tile) > 1:
            tile = self.nodes["image.grid"](tile, gap=2)
        if max(tile.shape[1:3]) > self.side:
            tile = self.nodes["image.resize"](tile, self.side, self.side, "inside")
        return tile

    def draw(self, places: Sequence[Any]) -> Pillow.Image:
        """The sheet. Each place has a tile, or a text that says why it has none.

        GraphEngineError where there is no tile at all, or the sheet would have too many pixels.
        """
        tiles = [place for place in places if not isinstance(place, str)]
        if not tiles:
            raise GraphEngineError("no combination gave a picture, so there is no grid")
        height, width = (max(tile.shape[side] for tile in tiles) for side in (1, 2))
        times = max(1, min(LEGIBLE, self.side) // max(height, width))
        shown = [
            self.nodes["image.card"](place, width * times, height * times, background=EMPTY)
            if isinstance(place, str)
            else place.repeat_interleave(times, 1).repeat_interleave(times, 2)
            for place in places
        ]
        try:
            return pillow(self.sheet(shown)[0])
        except ValueError as error:
            raise GraphEngineError(f"the grid cannot be drawn: {error}") from error

    def sheet(self, places: list[Any]) -> Any:
        """Pictures of one size with headings: [1, height, width, channels]."""
        if self.wrapped:
            below = [f"{self.names[0]}: {text}" for text in self.labels[0]]
            return self.nodes["image.film_strip"](places, self.columns, labels=below)
        titles: dict[str, Any] = {"column_title": self.names[-1]}
        if len(self.names) > 1:
            titles |= {"row_labels": list(self.labels[-2]), "row_title": self.names[-2]}
        if len(self.names) > 2:
            titles["group_labels"] = [
                ", ".join(f"{name}: {text}" for name, text in zip(self.names, group, strict=False))
                for group in product(*self.labels[:-2])
            ]
        return self.nodes["image.table"](places, list(self.labels[-1]), **titles)


def label(value: Any) -> str:
    """A value as a heading: on one line, without the last digits of its rounding, cut where it is long."""
    if isinstance(value, str):
        text = " ".join(value.split()) or '""'
    elif isinstance(value, float):
        text = f"{value:.10g}"
    else:
        text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= LETTERS else text[: LETTERS - 3] + "..."
