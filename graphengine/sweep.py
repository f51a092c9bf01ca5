"""Sweep: a workflow, run for every combination of some values of its named inputs.

The input that is named last varies fastest. Open seeds are drawn once, so that only the swept values differ,
and all runs share one session, so that what they have in common is computed once.
"""

from __future__ import annotations

import csv
import io
import json
import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import cached_property
from itertools import islice, product
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from graphengine.board import Board, label
from graphengine.errors import GraphEngineError, NodeFailed, Problem, WorkflowError
from graphengine.events import Event, RunPlanned
from graphengine.folders import Folders
from graphengine.notebook import Result, image, is_picture, output_types, shown
from graphengine.registry import Manifest
from graphengine.workflow import Workflow

if TYPE_CHECKING:
    from PIL import Image as Pillow

Emit = Callable[[Event], object]

LIMIT = 10_000
"""The most combinations of one sweep."""
ROWS, GRID = 200, 1600
"""The most rows that a notebook shows, and the longest side of a grid there, in pixels."""
BLANK = {"done": "no picture", "failed": "failed", "cancelled": "not run"}
"""What stands in a grid instead of a picture, by the state of the run."""
FIXED = ("seconds", "state", "error", "files")
"""The columns that every table has."""


class Engine(Protocol):
    """What a sweep needs of a Session."""

    @property
    def manifest(self) -> Manifest: ...
    @property
    def cancels(self) -> int: ...
    def check(self, workflow: Workflow) -> list[Problem]: ...
    def seeds(self, workflow: Workflow) -> dict[tuple[str, str], int]: ...
    def cancel(self) -> None: ...
    def remembering(self) -> AbstractContextManager[None]: ...
    @property
    def run(self) -> Callable[..., Any]: ...


class Run(NamedTuple):
    """One combination: the swept values, and how it ended. `error` is empty where nothing failed."""

    values: dict[str, Any]
    state: str
    outputs: Result
    seconds: float
    files: tuple[Path, ...]
    error: str = ""


@dataclass(frozen=True, eq=False)
class Combinations:
    """A workflow with its seeds drawn, and the values of each swept input; all of it was checked."""

    workflow: Workflow
    axes: dict[str, tuple[Any, ...]]

    def __len__(self) -> int:
        return math.prod(map(len, self.axes.values()))

    def __iter__(self) -> Iterator[dict[str, Any]]:
        for values in product(*self.axes.values()):
            yield dict(zip(self.axes, values, strict=True))


@dataclass(frozen=True, eq=False, repr=False)
class Sweep:
    """What a sweep gave: `runs` in the order of the combinations, fewer than those if it was cancelled."""

    combinations: Combinations
    runs: tuple[Run, ...]
    manifest: Manifest
    name: str = ""
    """What files are named after; without it, the workflow's own name."""

    def __repr__(self) -> str:
        return f"<Sweep of {', '.join(self.combinations.axes)}: {len(self.runs)} runs, {self.state}>"

    @property
    def state(self) -> str:
        """`cancelled` if it was stopped, else `failed` if one combination failed, else `done`."""
        states = {run.state for run in self.runs}
        if "cancelled" in states or len(self.runs) < len(self.combinations):
            return "cancelled"
        return "failed" if "failed" in states else "done"

    @cached_property
    def images(self) -> list[str]:
        """The names of the workflow's outputs that are pictures."""
        return images(self.combinations.workflow, self.manifest)

    @property
    def pictured(self) -> bool:
        """Whether there is something to show in a grid."""
        return any(is_picture(run.outputs.get(output)) for run in self.runs for output in self.images[:1])

    def table(self) -> list[dict[str, Any]]:
        """A row a run: the swept values, the plain outputs, `seconds`, `state`, `error` and `files`."""
        inputs = {n: f"input.{n}" if n in FIXED else n for n in self.combinations.axes}
        taken = {*inputs.values(), *FIXED}
        found = dict.fromkeys(n for run in self.runs for n, value in run.outputs.items() if plain(value))
        outputs = {n: f"output.{n}" if n in taken else n for n in found}
        rows = []
        for run in self.runs:
            row = {inputs[n]: value for n, value in run.values.items()}
            given = {n: v for n, v in run.outputs.items() if plain(v)}
            row |= {column: given.get(n) for n, column in outputs.items()}
            files = [str(path) for path in run.files]
            rows.append(
                row | {"seconds": run.seconds, "state": run.state, "error": run.error, "files": files}
            )
        return rows

    def csv(self) -> str:
        """The table as CSV; lists are JSON, and a semicolon stands between two paths."""
        rows = self.table()
        stream = io.StringIO()
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(rows[0] if rows else [])
        for row in rows:
            row |= {"seconds": f"{row['seconds']:.3f}", "files": "; ".join(row["files"])}
            writer.writerow(map(written, row.values()))
        return stream.getvalue()

    def grid(self, output: str | None = None) -> Pillow.Image:
        """One picture of what every combination gave at an output, the first that is a picture if not named.

        The last swept input makes the columns, the one before it the rows, further ones make groups of rows.
        GraphEngineError where there is nothing to show, or too much for one picture.
        """
        if output is None:
            output = next(iter(self.images), "")
        if output not in self.images:
            have = ", ".join(self.images) or "none"
            raise GraphEngineError(f"there is no picture {output!r} to show; the workflow's are: {have}")
        board = Board.of(self.manifest, self.combinations.axes)
        places: list[Any] = []
        for run in self.runs:
            value = run.outputs.get(output)
            places.append(board.tile(value) if is_picture(value) else BLANK[run.state])
        return board.draw(places + [BLANK["cancelled"]] * (len(self.combinations) - len(places)))

    def save(self, folder: str | Path) -> tuple[Path, ...]:
        """Save the table as CSV and, where there are pictures, the grid as PNG; gives where they are.

        Existing files are never replaced.
        """
        table = self.save_table(folder)
        return (table, self.save_grid(folder)) if self.pictured else (table,)

    def save_table(self, folder: str | Path) -> Path:
        """Save the table as CSV."""
        return self.publish(folder, "csv", self.csv().encode())

    def save_grid(self, folder: str | Path) -> Path:
        """Save the grid as PNG; it holds the workflow as any saved picture does, and the swept values."""
        return self.publish(folder, "png", self.png())

    def publish(self, folder: str | Path, ending: str, data: bytes) -> Path:
        """Save a file of this sweep under a new number."""
        name = re.sub(r"\W+", "_", self.name or self.combinations.workflow.name.lower()).strip("_")
        folders = Folders(outputs=Path(folder))
        return folders.publish(f"{name[:80] or 'workflow'}-sweep.{ending}", data)

    def png(self) -> bytes:
        """The grid as the bytes of a file."""
        from PIL.PngImagePlugin import PngInfo

        notes = PngInfo()
        notes.add_text("Software", "GraphEngine")
        notes.add_text("workflow", json.dumps(self.combinations.workflow.data, separators=(",", ":")))
        notes.add_text("sweep", json.dumps(self.combinations.axes))
        stream = io.BytesIO()
        self.grid().save(stream, "png", pnginfo=notes)
        return stream.getvalue()

    def _repr_html_(self) -> str:
        parts = []
        if self.pictured:
            try:
                parts.append(f"<div>{image(self.grid(), GRID)}</div>")
            except GraphEngineError as error:
                parts.append(shown(str(error), "str"))
        rows = self.table()
        if rows:
            parts.append(columns(rows[:ROWS]))
        if len(rows) > ROWS:
            parts.append(f"<div>and {len(rows) - ROWS} more</div>")
        return "".join(parts) or "<p>no runs</p>"


def sweep(
    engine: Engine,
    workflow: Workflow,
    axes: Mapping[str, Iterable[Any]],
    fixed: Mapping[str, Any] | None = None,
) -> Sweep:
    """Run every combination, and keep what each gave. WorkflowError tells all problems before any runs."""
    combinations = checked(engine, workflow, axes, fixed)
    return Sweep(combinations, tuple(runs(engine, combinations)), engine.manifest)


def checked(
    engine: Engine,
    workflow: Workflow,
    axes: Mapping[str, Iterable[Any]],
    fixed: Mapping[str, Any] | None = None,
) -> Combinations:
    """The combinations, once each was found right, with the open seeds drawn for all of them."""
    lists = {name: listed(name, values) for name, values in axes.items()}
    both = [
        Problem("inputs", n, "is both swept and given one value; do one of them")
        for n in fixed or ()
        if n in lists
    ]
    empty = [
        Problem("inputs", n, "has no value to run; give at least one") for n, v in lists.items() if not v
    ]
    if both or empty:
        raise WorkflowError([*both, *empty])
    if not lists:
        raise WorkflowError("nothing is swept; give at least one named input a list of values")
    combinations = Combinations(workflow, lists)
    if len(combinations) > LIMIT:
        raise WorkflowError(
            f"there are {len(combinations):,} combinations; give fewer values, for at most {LIMIT:,}"
        )
    every = list(combinations)
    workflow = workflow.with_inputs({**(fixed or {}), **every[0]})
    found: dict[Problem, list[dict[str, Any]]] = {}
    for values in every:
        for problem in engine.check(workflow.with_inputs(values)):
            found.setdefault(problem, []).append(values)
    if found:
        raise WorkflowError([told(problem, some, len(every)) for problem, some in found.items()])
    return Combinations(workflow.with_literals(engine.seeds(workflow)), lists)


def runs(
    engine: Engine,
    combinations: Combinations,
    emit: Emit | None = None,
    kept: Callable[[Result], Result] | None = None,
    **options: Any,
) -> Iterator[Run]:
    """Run each combination, and give it when it has ended; a cancelled one is the last.

    `kept` may take out of the outputs what is worth keeping, so that thousands of runs fit into memory.
    `options` go to each `Session.run`.
    """
    before = engine.cancels

    def heard(event: Event) -> None:
        if isinstance(event, RunPlanned) and engine.cancels != before:
            engine.cancel()  # it was called while this combination was planned, with nothing to stop yet
        if emit is not None:
            emit(event)

    with engine.remembering():
        for values in combinations:
            if engine.cancels != before:
                return
            began = perf_counter()
            outcome = engine.run(combinations.workflow.with_inputs(values), emit=heard, **options)
            seconds = perf_counter() - began
            error = "; ".join(str(NodeFailed(node, cause)) for node, cause in outcome.failures.items())
            drawn = {name: literal(outcome.workflow, name) for name, v in values.items() if v is None}
            outputs = kept(outcome.outputs) if kept else outcome.outputs
            yield Run(values | drawn, outcome.state, outputs, seconds, outcome.files, error)


def slim(outputs: Result, output: str, board: Board | None) -> Result:
    """Of the outputs only what a table shows, and of one the tile for a grid."""
    few = {name: value for name, value in outputs.items() if plain(value)}
    if board and is_picture(outputs.get(output)):
        few[output] = board.tile(outputs[output])
    return Result(few, {output: "Image"})


def listed(name: str, values: Iterable[Any]) -> tuple[Any, ...]:
    """The values of one input; those of arrays as plain numbers."""
    if isinstance(values, (str, bytes, Mapping)) or not isinstance(values, Iterable):
        raise WorkflowError([Problem("inputs", name, f"{values!r:.60} is one value; give a list of them")])
    return tuple(v.item() if hasattr(v, "item") else v for v in islice(values, LIMIT + 1))


def told(problem: Problem, some: Sequence[Mapping[str, Any]], count: int) -> Problem:
    """A problem with the combinations that have it: by the values that these have in common."""
    if len(some) == count:
        return problem
    same = {n: v for n, v in some[0].items() if all(other[n] == v for other in some)}
    where = f"{pairs(same)}; " if same else ""
    return problem._replace(text=f"{problem.text} ({where}{len(some)} of {count} combinations)")


def pairs(values: Mapping[str, Any]) -> str:
    """A combination in words: `cfg=1, solver=euler`."""
    return ", ".join(f"{name}={label(value)}" for name, value in values.items())


def literal(workflow: Workflow, name: str) -> Any:
    """The value at a named input."""
    id, input = workflow.inputs[name]
    return workflow.nodes[id].inputs.get(input)


def plain(value: Any) -> bool:
    """Whether a value is a number, a text or a list of such, and so has a place in a table."""
    if isinstance(value, (list, tuple)):
        return all(map(plain, value))
    return value is None or isinstance(value, (bool, int, float, str))


def written(value: Any) -> Any:
    """A value as a cell of a CSV file."""
    return json.dumps(value, ensure_ascii=False) if isinstance(value, (bool, list, tuple)) else value


def columns(rows: Sequence[dict[str, Any]]) -> str:
    """A table as HTML."""
    lines = [[*rows[0]]]
    for row in rows:
        fixed = {"seconds": f"{row['seconds']:.3g}", "files": "\n".join(row["files"])}
        lines.append(["" if value is None else value for value in (row | fixed).values()])
    cells = ("".join(f"<td>{shown(value, 'any')}</td>" for value in line) for line in lines)
    return f"<table>{''.join(f'<tr>{line}</tr>' for line in cells)}</table>"


def images(workflow: Workflow, manifest: Manifest) -> list[str]:
    """The names of the outputs that are pictures."""
    kinds = output_types(workflow, manifest.types, workflow.root.outputs)
    return [name for name, kind in kinds.items() if kind == "Image"]
