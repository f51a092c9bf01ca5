"""`graphengine validate`"""

from __future__ import annotations

from typing import Annotated

import typer

from graphengine.cli.opening import FILE_HELP, Nodes, located, settings
from graphengine.cli.status import Status


def validate(
    files: Annotated[list[str], typer.Argument(metavar="FILE...", help=FILE_HELP)],
    nodes: Nodes = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the problems as JSON.")] = False,
) -> None:
    """Say everything that is wrong, and run nothing."""
    import json

    from graphengine.errors import WorkflowError
    from graphengine.session import Session

    session = Session(settings(nodes))
    found = []
    for file in files:
        try:
            problems = list(session.check(session.load(located(file))))
        except WorkflowError as error:
            problems = list(error.problems)
        found.append((file, problems))
        for problem in problems if not as_json else ():
            typer.secho(f"{file}: {problem}" if len(files) > 1 else str(problem), fg="red")
        if not problems and not as_json:
            typer.echo(f"{file}: ok")
    if as_json:
        rows = [{"file": file, "problems": [p._asdict() for p in problems]} for file, problems in found]
        typer.echo(json.dumps(rows, indent=2, ensure_ascii=False))
    raise typer.Exit(Status.INVALID if any(problems for _, problems in found) else Status.DONE)
