"""`graphengine cancel`"""

from __future__ import annotations

from typing import Annotated

import typer

from graphengine.cli.remote import JOB_HELP, Token, Url, connected, job_id, shortened


def cancel(
    ids: Annotated[list[str], typer.Argument(metavar="ID...", help=JOB_HELP)],
    url: Url = None,
    token: Token = None,
) -> None:
    """Cancel jobs: one that waits at once, one that runs within a step. One that has ended stays so."""
    client = connected(url, token)
    for job in [job_id(client, id) for id in ids]:
        found = client.cancel(job)
        typer.echo(f"{shortened(job)}: {'cancelling' if found['cancelling'] else found['state']}")
