"""`graphengine logs`"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any

import typer

from graphengine.cli.display import from_data, line, tell
from graphengine.cli.remote import JOB_HELP, Token, Url, connected, job_id


def logs(
    id: Annotated[str, typer.Argument(metavar="ID", help=JOB_HELP)],
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="Go on with what happens next, until the job has ended.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object an event.")] = False,
    url: Url = None,
    token: Token = None,
) -> None:
    """Say what has happened to a job, from when it was submitted on."""
    client = connected(url, token)
    job = job_id(client, id)
    for entry in client.events(job) if follow else client.past(job):
        if as_json:
            tell(entry)
        else:
            typer.echo(f"{datetime.fromtimestamp(entry['time']):%H:%M:%S}  {line_of(entry['event'])}")


def line_of(data: Mapping[str, Any]) -> str:
    """An event as a line: one of a run in the words of `run`, a job's new state in its own."""
    event = from_data(data)
    if event is not None:
        return line(event)
    if data.get("event") == "job":
        reason = f": {data['error']}" if data.get("error") else ""
        return f"job: {data.get('state')}{reason}"
    return json.dumps(data, ensure_ascii=False)
