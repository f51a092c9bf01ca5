"""From the options of the command line to a server, and from a shortened id to a job."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from graphengine.cli.opening import settings
from graphengine.errors import Conflict, NotFound

if TYPE_CHECKING:
    from graphengine.client import Client

Url = Annotated[
    str | None,
    typer.Option(
        "--url",
        metavar="URL",
        help="Address of the server, or the link that it prints; else that of GRAPHENGINE_URL, else the "
        "server of this machine.",
    ),
]
Token = Annotated[
    str | None,
    typer.Option(
        "--token", metavar="TOKEN", help="What the server wants to be shown; better in GRAPHENGINE_TOKEN."
    ),
]
JOB_HELP = "A job's id, or its beginning or its end if no other job has that."

WHOLE = 32
"""Characters of an id."""
SHORT = 8
"""Characters of its end that are shown; the end is drawn, so two jobs hardly share it."""
FEWEST = 4
"""Characters that an id may be shortened to: fewer would be a slip of the finger."""


def connected(url: str | None, token: str | None) -> Client:
    """The server that is meant."""
    from graphengine.client import Client

    return Client(url, token, settings=settings())


def job_id(client: Client, text: str) -> str:
    """The id of the job that is meant. NotFound if none is, Conflict if several are."""
    if len(text) == WHOLE:
        return text
    if len(text) < FEWEST:
        raise typer.BadParameter(f"{text!r} is too short for a job; give {FEWEST} characters or more")
    ids = [str(job["id"]) for job in client.jobs()]
    found = [id for id in ids if id.startswith(text) or id.endswith(text)]
    if not found:
        raise NotFound(f"there is no job {text!r}; `graphengine jobs` lists those that are there")
    if len(found) > 1:
        raise Conflict(f"{len(found)} jobs could be meant by {text!r}: {', '.join(found[:5])}; write more")
    return found[0]


def shortened(id: str) -> str:
    """The end of an id, by which a job is known to people."""
    return id[-SHORT:]


def moment(time: float | None) -> str:
    """A time of day here, with its date; nothing for what has not happened."""
    return "" if time is None else f"{datetime.fromtimestamp(time):%Y-%m-%d %H:%M:%S}"


def lasted(job: dict[str, Any]) -> str:
    """How long a job has run."""
    from time import time

    from graphengine.cli.display import duration

    if job["started"] is None:
        return ""
    return duration(max((job["ended"] or time()) - job["started"], 0.0))
