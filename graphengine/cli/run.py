"""`graphengine run`"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from graphengine.cli.display import tell
from graphengine.cli.interrupt import stoppable
from graphengine.cli.opening import FILE, FILE_HELP, Nodes, located, named_inputs, settings
from graphengine.cli.status import ENDS, Status
from graphengine.errors import WorkflowError

if TYPE_CHECKING:
    from graphengine.session import Outcome, Session
    from graphengine.workflow import Workflow


def duration(seconds: float | None) -> float | None:
    """A number of seconds that something may take."""
    if seconds is not None and not 0 < seconds < float("inf"):
        raise typer.BadParameter(f"{seconds:g} is no time that a node can take; give a number above 0")
    return seconds


LONGEST = 500
"""Characters of a value that are printed."""


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
    limit: Annotated[
        float | None,
        typer.Option(metavar="SECONDS", callback=duration, help="End each node that takes longer."),
    ] = None,
    debug: Annotated[
        bool,
        typer.Option(
            "--debug",
            help="Run every node, twice, to find those that change an input or give two results for one key.",
        ),
    ] = False,
    trace: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            dir_okay=False,
            help="Write what was done when, for ui.perfetto.dev or chrome://tracing.",
        ),
    ] = None,
    nodes: Nodes = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON object an event; the last is the result.")
    ] = False,
) -> None:
    """Run a workflow and save what it makes."""
    from graphengine.session import Session

    if trace and (sweep or dry_run):
        raise typer.BadParameter(f"--trace tells of one run; leave out {'--sweep' if sweep else '--dry-run'}")
    options = {"limit": limit, "debug": debug}
    sizes = {"memory_cache": 0, "disk_cache": 0} if no_cache else {}
    session = Session(settings(nodes, outputs=out, device=device, **sizes))
    try:
        workflow = session.load(path := located(file))
        given = named_inputs(workflow, session.manifest.types, values or (), seed)
        if sweep:
            raise typer.Exit(swept(session, workflow, given, sweep, path.stem, dry_run, as_json, **options))
        workflow = workflow.with_inputs(given)
        if dry_run:
            foretell(session, workflow, as_json)
            return
        status = carry_out(session, workflow, as_json, trace=trace, **options)
    except WorkflowError as error:
        if as_json:
            tell({"event": "refused", "problems": [problem._asdict() for problem in error.problems]})
        raise
    raise typer.Exit(status)


def swept(
    session: Session, workflow: Workflow, given: dict[str, Any], pairs: list[str], name: str,
    dry_run: bool, as_json: bool, **options: Any,
) -> Status:  # fmt: skip
    """Run, or foretell, every combination of `--sweep`; `options` go to each run."""
    from graphengine.cli import sweep
    from graphengine.sweep import checked

    axes = sweep.axes(workflow, session.manifest.types, pairs, given)
    combinations = checked(session, workflow, axes, given)
    if dry_run:
        sweep.foretell(session, combinations, as_json)
        return Status.DONE
    return sweep.carry_out(session, combinations, name, as_json, **options)


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
    results().print(Summary.of_plan(planned).table(workflow, session.manifest.types))


def carry_out(session: Session, workflow: Workflow, as_json: bool, **options: Any) -> Status:
    """Run it, and tell how it went; `options` are those of `Session.run`."""
    from graphengine.cli.console import talk
    from graphengine.cli.display import described, display
    from graphengine.cli.summary import Summary
    from graphengine.events import Event

    summary = Summary()

    def heard(event: Event) -> None:
        summary(event)
        emit(event)

    with stoppable(session), display(as_json) as emit:
        outcome = session.run(workflow, emit=heard, **options)
    if as_json:
        outputs = {name: described(value) for name, value in outcome.outputs.items()}
        files = [str(path) for path in outcome.files]
        found = {"impure": impure(outcome)} if options.get("debug") else {}
        tell({"event": "result", "state": outcome.state, "outputs": outputs, "files": files} | found)
    else:
        talk().print(summary.table(outcome.workflow, session.manifest.types))
        hand_over(outcome)
        if options.get("debug"):
            for node, text in impure(outcome).items():
                typer.echo(f"{node}: {text}")
            if outcome.state == "done":
                typer.echo("no node changed an input or gave two results", err=True)
        if trace := options.get("trace"):
            typer.echo(f"what was done when is in {trace}; open it with ui.perfetto.dev", err=True)
    return ENDS[outcome.state]


def impure(outcome: Outcome) -> dict[str, str]:
    """What `--debug` has found, by node."""
    from graphengine.errors import NodeImpure

    return {node: str(error) for node, error in outcome.failures.items() if isinstance(error, NodeImpure)}


def in_short(text: str) -> str:
    """A value as one line that somebody would read; `--json` prints it whole."""
    return (
        text
        if len(text) <= LONGEST
        else f"{text[:LONGEST]} ... ({len(text):,} characters; --json prints all)"
    )


def hand_over(outcome: Outcome) -> None:
    """The results: plain values and the paths of files; a word about what was given but not saved."""
    from graphengine.cli.display import described

    for name, value in outcome.outputs.items():
        plain = described(value)
        if plain == value or isinstance(value, tuple):
            text = value if isinstance(value, str) else json.dumps(plain, ensure_ascii=False)
            typer.echo(f"{name}: {text if isinstance(value, str) else in_short(text)}")
        elif outcome.state == "done" and not outcome.files:
            typer.secho(f"{name} was made, but no node saves it; add image.save", fg="yellow", err=True)
    for path in outcome.files:
        typer.echo(path)
