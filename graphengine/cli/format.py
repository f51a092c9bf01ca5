"""`graphengine format`"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from graphengine.cli.status import Status
from graphengine.errors import WorkflowError


def format(
    files: Annotated[list[Path], typer.Argument(metavar="FILE...", help="Workflow files (.json).")],
    check: Annotated[
        bool, typer.Option("--check", help="Change nothing; end with 2 if a file would change.")
    ] = False,
) -> None:
    """Put workflow files in their canonical form.

    Two versions of a file in this form compare well line by line. Only the spacing and the order of the known
    fields change; what is no valid file stays as it is.
    """
    wrong = False
    for file in files:
        try:
            before, after = texts(file)
        except WorkflowError as error:
            wrong = True
            for problem in error.problems:
                typer.secho(f"{file}: {problem}", fg="red", err=True)
            continue
        if before == after:
            typer.echo(f"{file}: ok")
            continue
        if check:
            wrong = True
            typer.echo(f"{file}: would be formatted")
            continue
        replace(file, after)
        typer.echo(f"{file}: formatted")
    raise typer.Exit(Status.INVALID if wrong else Status.DONE)


def texts(file: Path) -> tuple[bytes, bytes]:
    """What a file has, and what it should have. WorkflowError if it cannot be read as a workflow."""
    from graphengine.reader import PNG
    from graphengine.workflow import Workflow

    workflow = Workflow.load(file)
    if workflow.problems:
        raise WorkflowError(workflow.problems)
    before = file.read_bytes()
    if before.startswith(PNG):
        raise WorkflowError("is a picture, and stays as it is; name a .json file")
    return before, workflow.text().encode()


def replace(file: Path, data: bytes) -> None:
    """Write a file anew, where it is a link to another that one; it keeps its permissions."""
    from stat import S_IMODE

    from graphengine.folders import write_atomically

    try:
        file = file.resolve()
        mode = S_IMODE(file.stat().st_mode)
        write_atomically(file, data)
        file.chmod(mode)
    except OSError as error:
        raise typer.BadParameter(f"{file} cannot be written: {error.strerror}") from None
