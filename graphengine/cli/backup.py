"""`graphengine backup`"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from graphengine.cli.cache import sized
from graphengine.cli.opening import settings
from graphengine.errors import Conflict, NotFound


def backup(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A new file for the jobs of this machine.")],
    outputs: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Copy what the jobs have made into this folder, too.")
    ] = None,
) -> None:
    """Copy the server's database of jobs into one file, while it is in use.

    To restore, stop the server, put the file into its data folder as jobs.sqlite, remove jobs.sqlite-wal and
    jobs.sqlite-shm beside it, copy the files of --outputs into outputs/ there, and start the server.
    """
    from graphengine.backup import saved_outputs
    from graphengine.store.database import copy, looking

    database = settings().data / "jobs.sqlite"
    if not database.is_file():
        raise NotFound(f"there is no database {database}; GRAPHENGINE_DATA names the folder of the server")
    if file.exists():
        raise Conflict(f"there is {file} already; nothing was changed")
    with looking(database) as rows:  # told before anything is written, if it is another program's
        rows.one("SELECT count(*) FROM jobs")
    copy(database, file)
    with looking(file) as rows:
        (jobs,) = rows.one("SELECT count(*) FROM jobs") or (0,)
    typer.echo(f"{file}: {jobs:,} {'job' if jobs == 1 else 'jobs'}, {sized(file.stat().st_size)}")
    if outputs is not None:
        copied = saved_outputs(file, settings().data / "outputs", outputs)
        typer.echo(
            f"{outputs}: {copied.files:,} new {'file' if copied.files == 1 else 'files'}, "
            f"{sized(copied.bytes)}; {copied.known:,} were there"
        )
        if copied.missing:
            typer.secho(
                f"{copied.missing:,} outputs are not there any more; they were removed meanwhile",
                fg="yellow", err=True,
            )  # fmt: skip
