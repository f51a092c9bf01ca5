"""`graphengine fetch`"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from graphengine.cli.opening import settings
from graphengine.cli.remote import JOB_HELP, Token, Url, connected, job_id, shortened
from graphengine.cli.submit import saved
from graphengine.errors import Conflict


def fetch(
    id: Annotated[str, typer.Argument(metavar="ID", help=JOB_HELP)],
    out: Annotated[Path | None, typer.Option(metavar="DIR", help="Folder that they are saved into.")] = None,
    url: Url = None,
    token: Token = None,
) -> None:
    """Save the files that a job has made, and print where.

    A file that is there already, with the same content, is not written again.
    """
    client = connected(url, token)
    job = client.job(job_id(client, id))
    short = shortened(job["id"])
    if not job["outputs"]:
        if job["state"] in ("queued", "running"):
            raise Conflict(f"job {short} is {job['state']}; `graphengine logs {short} --follow` waits for it")
        typer.echo(f"job {short} is {job['state']}, and there are no files of it", err=True)
    for path in saved(client, job, out if out is not None else settings().outputs):
        typer.echo(path)
