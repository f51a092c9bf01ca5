"""`graphengine diff`"""

from __future__ import annotations

from typing import Annotated

import typer

from graphengine.cli.opening import FILE_HELP, Nodes, located, settings
from graphengine.cli.status import Status
from graphengine.errors import WorkflowError

COLOURS = {"added": "green", "removed": "red"}


def diff(
    before: Annotated[str, typer.Argument(metavar="BEFORE", help=FILE_HELP)],
    after: Annotated[str, typer.Argument(metavar="AFTER", help="What it is compared with, named alike.")],
    nodes: Nodes = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the changes as JSON.")] = False,
) -> None:
    """Say what changed between two workflows.

    Ends with 1 if they differ, and with 0 if they do not, be they formatted differently.
    """
    import json

    from graphengine.difference import difference
    from graphengine.session import Session
    from graphengine.workflow import Workflow

    found = []
    for file in (before, after):
        try:
            workflow = Workflow.load(located(file))
            problems = workflow.problems
        except WorkflowError as error:
            problems = error.problems
        for problem in problems:
            typer.secho(f"{file}: {problem}", fg="red", err=True)
        if not problems:
            found.append(workflow)
    if len(found) < 2:
        raise typer.Exit(Status.INVALID)
    changes = difference(found[0], found[1], Session(settings(nodes)).manifest.types)
    if as_json:
        typer.echo(json.dumps([change._asdict() for change in changes], indent=2, ensure_ascii=False))
    for change in changes if not as_json else ():
        typer.secho(change.text, fg=COLOURS.get(change.kind.rpartition("_")[2]))
    if not changes and not as_json:
        typer.echo("no difference")
    raise typer.Exit(Status.DIFFERENT if changes else Status.DONE)
