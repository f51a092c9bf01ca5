"""`graphengine doctor`"""

from __future__ import annotations

from typing import Annotated

import typer

from graphengine.cli.opening import Nodes, settings
from graphengine.cli.status import Status

COLOURS = {"ok": "green", "warning": "yellow", "problem": "red"}


def doctor(
    nodes: Nodes = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print what was found as JSON.")] = False,
) -> None:
    """Look at everything that GraphEngine needs, and say what is wrong and what to do.

    Ends with 1 if there is a problem; a warning is none.
    """
    import json

    from graphengine.doctor import examine

    found = []
    for finding in examine(settings(nodes)):
        found.append(finding)
        if not as_json:
            level = typer.style(f"{finding.level:<8}", fg=COLOURS[finding.level])
            typer.echo(f"{level} {finding.topic:<10} {finding.text}")
            if finding.remedy:
                typer.echo(f"{'':<8} {'':<10} -> {finding.remedy}")
    problems = sum(finding.level == "problem" for finding in found)
    if as_json:
        typer.echo(json.dumps([finding._asdict() for finding in found], indent=2, ensure_ascii=False))
    else:
        warnings = sum(finding.level == "warning" for finding in found)
        typer.echo(f"problems: {problems}, warnings: {warnings}")
    raise typer.Exit(Status.FAILED if problems else Status.DONE)
