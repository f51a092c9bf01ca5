"""`graphengine run --sweep`"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import typer

from graphengine.cli.display import Emit, described, display, duration, tell
from graphengine.cli.interrupt import stoppable
from graphengine.cli.opening import value_of, wanted
from graphengine.cli.status import ENDS, Status
from graphengine.errors import GraphEngineError
from graphengine.events import Event

if TYPE_CHECKING:
    from graphengine.nodetype import NodeType
    from graphengine.notebook import Result
    from graphengine.plan import Step
    from graphengine.session import Session
    from graphengine.sweep import Combinations, Run, Sweep
    from graphengine.workflow import Workflow

NUMBER = r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d{1,2})?"
RANGE = re.compile(rf"({NUMBER}):({NUMBER})(?::({NUMBER}))?")


def axes(
    workflow: Workflow, types: Mapping[str, NodeType], pairs: Sequence[str], given: Container[str]
) -> dict[str, list[Any]]:
    """The values of each `--sweep NAME=VALUES`; `given` are inputs that `--set` and `--seed` speak of."""
    found: dict[str, list[Any]] = {}
    for pair in pairs:
        name, sign, text = pair.partition("=")
        if not sign or not name:
            raise typer.BadParameter(f"{pair!r} names no values to run; write --sweep name=1,2,3")
        if name in found:
            raise typer.BadParameter(f"{name} is swept twice; give all its values at once")
        if name in given:
            raise typer.BadParameter(f"{name} is both swept and set; do one of them")
        found[name] = values_of(text, wanted(workflow, types, name))
    return found


def values_of(text: str, kind: Any) -> list[Any]:
    """`start:stop:step`, a JSON list, or values between commas, each read as the input wants it."""
    text = text.strip()
    if kind in ("int", "float", "any") and (match := RANGE.fullmatch(text)):
        return steps(match[1], match[2], match[3] or "1", kind)
    listed = value_of(text, "any")
    if not isinstance(listed, list) and (kind != "str" or text.startswith('"')):
        listed = value_of(f"[{text}]", "any")
    return listed if isinstance(listed, list) else [value_of(v.strip(), kind) for v in text.split(",")]


def steps(start: str, stop: str, step: str, kind: Any) -> list[Any]:
    """Numbers at equal distances, the stop among them if it is met; whole if they are written so."""
    from decimal import Decimal

    from graphengine.sweep import LIMIT

    first, last, each = Decimal(start), Decimal(stop), Decimal(step)
    text = f"{start}:{stop}:{step}"
    if not each:
        raise typer.BadParameter(f"{text} goes nowhere; give a step that is not 0")
    if (last - first) / each < 0:
        raise typer.BadParameter(f"{text} never reaches its stop; give a step of the other sign")
    if (last - first) / each >= LIMIT:
        raise typer.BadParameter(f"{text} are more than {LIMIT:,} values; give a larger step")
    count = int((last - first) / each + Decimal("1e-9")) + 1
    number = int if kind != "float" and first % 1 == each % 1 == 0 else float
    return [number(first + index * each) for index in range(count)]


def foretell(session: Session, combinations: Combinations, as_json: bool) -> None:
    """Which combinations there are, and how much of each would run after those before it."""
    from graphengine.cli.console import results
    from graphengine.plan import GATHER, flat

    rows = []
    done: set[bytes | None] = set()
    for values in combinations:
        plan = session.plan(session.submit(combinations.workflow.with_inputs(values)))
        new: list[Step] = []
        shared: list[Step] = []
        for step in flat(plan.order):
            if step.type is not GATHER:
                (shared if step.type.cached and step.key in done else new).append(step)
        done.update(step.key for step in new)
        cached = [*plan.cached, *(step.node for step in shared)]
        if as_json:
            to_run = [step.node for step in new]
            tell({"values": values, "steps": to_run, "cached": cached, "skipped": list(plan.skipped)})
        rows.append((values, len(new), len(cached)))
    if as_json:
        return
    from rich.table import Table
    from rich.text import Text

    from graphengine.board import label

    table = Table(box=None, pad_edge=False, header_style="dim")
    for name in (*combinations.axes, "nodes to run", "cached"):
        table.add_column(Text(name), justify="left" if name in combinations.axes else "right")
    for values, *counts in rows:
        table.add_row(*(Text(label(v)) for v in values.values()), *map(str, counts))
    results().print(table)


def carry_out(
    session: Session, combinations: Combinations, name: str, as_json: bool, **options: Any
) -> Status:
    """Run every combination, tell how each went, and save the table and the grid of those that ran.

    `options` go to each run.
    """
    from graphengine.sweep import Sweep, runs

    done: list[Run] = []
    emits: list[Emit] = []

    def heard(event: Event) -> None:
        for emit in emits:
            emit(event)

    with stoppable(session):
        going = runs(session, combinations, heard, slimmer(session, combinations), **options)
        try:
            while True:
                with watching(as_json) as emits[:]:
                    run = next(going, None)
                if run is None:
                    break
                done.append(run)
                announce(run, len(done), len(combinations), as_json)
        except Exception:
            saved(Sweep(combinations, tuple(done), session.manifest, name), session)
            raise
    sweep = Sweep(combinations, tuple(done), session.manifest, name)
    files = saved(sweep, session)
    if as_json:
        failed = sum(run.state == "failed" for run in done)
        tell({"event": "result", "state": sweep.state, "runs": len(done), "failed": failed, "files": files})
    else:
        for file in files:
            typer.echo(file)
    return ENDS[sweep.state]


def slimmer(session: Session, combinations: Combinations) -> Callable[[Result], Result]:
    """What is kept of each run's outputs; says now if there can be no grid."""
    from graphengine.board import Board
    from graphengine.sweep import images, slim

    board, picture = None, next(iter(images(combinations.workflow, session.manifest)), "")
    if picture:
        try:
            board = Board.of(session.manifest, combinations.axes)
        except GraphEngineError as error:
            typer.secho(f"there will be no grid: {error}", fg="yellow", err=True)
    return lambda outputs: slim(outputs, picture, board)


def saved(sweep: Sweep, session: Session) -> list[str]:
    """Save the table, and the grid if there is one, of what was run; gives where they are."""
    if not sweep.runs:
        return []
    files = [sweep.save_table(session.folders.outputs)]
    if sweep.pictured:
        try:
            files.append(sweep.save_grid(session.folders.outputs))
        except GraphEngineError as error:
            typer.secho(str(error), fg="yellow", err=True)
    return [str(path) for path in files]


@contextmanager
def watching(as_json: bool) -> Iterator[list[Emit]]:
    """Where the events of one run go: a bar on a terminal, JSON if wanted, else nowhere."""
    from graphengine.cli.console import talk

    if as_json or talk().is_terminal:
        with display(as_json) as emit:
            yield [emit]
    else:
        yield []


def announce(run: Run, number: int, count: int, as_json: bool) -> None:
    """What became of one combination, on one line."""
    from graphengine.sweep import pairs, plain

    if as_json:
        outputs = {name: described(value) for name, value in run.outputs.items()}
        files = [str(path) for path in run.files]
        tell({
            "event": "sweep", "number": number, "of": count, "values": run.values, "state": run.state,
            "seconds": run.seconds, "error": run.error, "outputs": outputs, "files": files,
        })  # fmt: skip
        return
    given = [f"{n}: {json.dumps(v, ensure_ascii=False)}" for n, v in run.outputs.items() if plain(v)]
    told = ", ".join([f"{run.state} in {duration(run.seconds)}", *given])
    text = f"{number} of {count}, {pairs(run.values)}: {told}"
    typer.secho(f"{text}; {run.error}" if run.error else text, fg="red" if run.error else None, err=True)
    for path in run.files:
        typer.echo(path)
