"""`graphengine run`"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from graphengine.cli.display import tell
from graphengine.cli.interrupt import stoppable
from graphengine.cli.opening import FILE, FILE_HELP, located, named_inputs, settings
from graphengine.cli.status import ENDS, Status
from graphengine.errors import WorkflowError

if TYPE_CHECKING:
    from graphengine.session import Outcome, Session
    from graphengine.workflow import Workflow


def run(
    file: Annotated[str, typer.Argument(metavar=FILE, help=FILE_HELP)],
    values: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="NAME=VALUE", help="Give a named input a value; may be repeated."),
    ] = None,
    sweep: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=VALUES",
            help="Run for each value of a named input: cfg=1:7:3 (from 1 to 7 in steps of 3), "
            "solver=euler,ddim, or a JSON list; repeated, for every combination, the last varying fastest.",
        ),
    ] = None,
    seed: Annotated[int | None, typer.Option(metavar="N", help="The same as --set seed=N.")] = None,
    out: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Folder that results are saved into.")
    ] = None,
    device: Annotated[
        str | None, typer.Option(metavar="DEVICE", help="Where models run: auto, cpu, mps, cuda, cuda:1.")
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would run and what is cached, and run nothing.")
    ] = False,
    no_cache: Annotated[
        bool, typer.Option("--no-cache", help="Compute everything anew, and keep nothing.")
    ] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON object an event; the last is the result.")
    ] = False,
) -> None:
    """Run a workflow and save what it makes."""
    from graphengine.session import Session

    sizes = {"memory_cache": 0, "disk_cache": 0} if no_cache else {}
    session = Session(settings(outputs=out, device=device, **sizes))
    try:
        workflow = session.load(path := located(file))
        given = named_inputs(workflow, session.manifest.types, values or (), seed)
        if sweep:
            raise typer.Exit(swept(session, workflow, given, sweep, path.stem, dry_run, as_json))
        workflow = workflow.with_inputs(given)
        if dry_run:
            foretell(session, workflow, as_json)
            return
        status = carry_out(session, workflow, as_json)
    except WorkflowError as error:
        if as_json:
            tell({"event": "refused", "problems": [problem._asdict() for problem in error.problems]})
        raise
    raise typer.Exit(status)


def swept(
    session: Session, workflow: Workflow, given: dict[str, Any], pairs: list[str], name: str,
    dry_run: bool, as_json: bool,
) -> Status:  # fmt: skip
    """Run, or foretell, every combination of `--sweep`."""
    from graphengine.cli import sweep
    from graphengine.sweep import checked

    axes = sweep.axes(workflow, session.manifest.types, pairs, given)
    combinations = checked(session, workflow, axes, given)
    if dry_run:
        sweep.foretell(session, combinations, as_json)
        return Status.DONE
    return sweep.carry_out(session, combinations, name, as_json)


def foretell(session: Session, workflow: Workflow, as_json: bool) -> None:
    """What would run, and what is cached."""
    from graphengine.cli.console import results
    from graphengine.cli.summary import Summary
    from graphengine.events import RunPlanned

    plan = session.plan(session.submit(workflow))
    if as_json:
        tell({"steps": list(plan.steps), "cached": list(plan.cached), "skipped": list(plan.skipped)})
        return
    planned = RunPlanned(tuple(plan.steps), tuple(plan.cached), tuple(plan.skipped))
    results().print(Summary.of_plan(planned).table(workflow))


def carry_out(session: Session, workflow: Workflow, as_json: bool) -> Status:
    """Run it, and tell how it went."""
    from graphengine.cli.console import talk
    from graphengine.cli.display import described, display
    from graphengine.cli.summary import Summary
    from graphengine.events import Event

    summary = Summary()

    def heard(event: Event) -> None:
        summary(event)
        emit(event)

    with stoppable(session), display(as_json) as emit:
        outcome = session.run(workflow, emit=heard)
    if as_json:
        outputs = {name: described(value) for name, value in outcome.outputs.items()}
        files = [str(path) for path in outcome.files]
        tell({"event": "result", "state": outcome.state, "outputs": outputs, "files": files})
    else:
        talk().print(summary.table(outcome.workflow))
        hand_over(outcome)
    return ENDS[outcome.state]


def hand_over(outcome: Outcome) -> None:
    """The results: plain values and the paths of files; a word about what was given but not saved."""
    from graphengine.cli.display import described

    for name, value in outcome.outputs.items():
        plain = described(value)
        if plain == value or isinstance(value, tuple):
            typer.echo(
                f"{name}: {value if isinstance(value, str) else json.dumps(plain, ensure_ascii=False)}"
            )
        elif outcome.state == "done" and not outcome.files:
            typer.secho(f"{name} was made, but no node saves it; add image.save", fg="yellow", err=True)
    for path in outcome.files:
        typer.echo(path)
