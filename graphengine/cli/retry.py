"""`graphengine retry`"""

from __future__ import annotations

from typing import Annotated

import typer

from graphengine.cli.remote import JOB_HELP, Token, Url, connected, job_id, shortened


def retry(
    ids: Annotated[list[str], typer.Argument(metavar="ID...", help=JOB_HELP)],
    url: Url = None,
    token: Token = None,
) -> None:
    """Let jobs that failed or were cancelled wait again. What is cached of them is not computed again."""
    client = connected(url, token)
    for job in [job_id(client, id) for id in ids]:
        typer.echo(f"{shortened(job)}: {client.retry(job)['state']}")
