"""`graphengine jobs`"""

from __future__ import annotations

from itertools import islice
from typing import Annotated, Any

import typer

from graphengine.cli.remote import JOB_HELP, Token, Url, connected, job_id, lasted, moment, shortened

STYLES = {"running": "cyan", "done": "green", "failed": "red", "cancelled": "dim"}
"""How each state is coloured."""


def jobs(
    id: Annotated[str | None, typer.Argument(metavar="[ID]", help=JOB_HELP)] = None,
    state: Annotated[
        list[str] | None,
        typer.Option(
            metavar="STATE",
            help="Only jobs that are queued, running, done, failed or cancelled; may be repeated.",
        ),
    ] = None,
    limit: Annotated[int, typer.Option(metavar="N", min=1, help="How many jobs are listed.")] = 50,
    as_json: Annotated[bool, typer.Option("--json", help="Print the data as JSON.")] = False,
    url: Url = None,
    token: Token = None,
) -> None:
    """List the jobs of a server, newest first, or show one of them whole."""
    import json

    from graphengine.store.jobs import STATES

    for given in state or ():
        if given not in STATES:
            raise typer.BadParameter(f"{given!r} is no state of a job; choose {', '.join(STATES)}")
    client = connected(url, token)
    if id is not None:
        job = client.job(job_id(client, id))
        if as_json:
            typer.echo(json.dumps(job, indent=2, ensure_ascii=False))
        else:
            whole(job)
        return
    found = list(islice(client.jobs(state or ()), limit + 1))
    if as_json:
        typer.echo(json.dumps(found[:limit], indent=2, ensure_ascii=False))
        return
    if not found:
        typer.echo("there are no jobs; `graphengine submit` makes one", err=True)
        return
    table(found[:limit])
    if len(found) > limit:
        typer.echo(f"there are more than {limit}; --limit shows more", err=True)


def table(found: list[dict[str, Any]]) -> None:
    """A row a job."""
    from rich.table import Table
    from rich.text import Text

    from graphengine.cli.console import results

    rows = Table(box=None, pad_edge=False, header_style="dim")
    for title in ("id", "state", "workflow", "created", "time", "error"):
        rows.add_column(title, no_wrap=title == "id", justify="right" if title == "time" else "left")
    for job in found:
        cells = (job["name"], moment(job["created"]), lasted(job), line_of(job["error"]))
        text = Text(stated(job), style=STYLES.get(job["state"], ""))
        rows.add_row(Text(shortened(job["id"])), text, *map(Text, cells))
    results().print(rows)


def stated(job: dict[str, Any]) -> str:
    """The state of a job in a word or two."""
    return "cancelling" if job["cancelling"] else str(job["state"])


def line_of(text: str) -> str:
    """The first line of a text, and not too much of it."""
    first = text.partition("\n")[0]
    return first if len(first) <= 80 else f"{first[:79]}…"


def whole(job: dict[str, Any]) -> None:
    """Everything about one job but its workflow."""
    import json

    from graphengine.cli.cache import sized

    rows = {
        "id": job["id"], "state": stated(job), "error": job["error"], "workflow": job["name"],
        "priority": job["priority"], "attempts": job["attempts"], "pinned": "yes" if job["pinned"] else "",
        "client": job["client"], "worker": job["worker"], "created": moment(job["created"]),
        "started": moment(job["started"]), "ended": moment(job["ended"]), "time": lasted(job),
        "targets": ", ".join(job["targets"]),
    }  # fmt: skip
    for title, text in rows.items():
        if text not in ("", None):
            typer.echo(f"{title:<10} {text}")
    for title, values in (("input", job["inputs"]), ("result", job["result"])):
        for name, value in values.items():
            typer.echo(f"{title:<10} {name}: {line_of(json.dumps(value, ensure_ascii=False))}")
    for output in job["outputs"]:
        typer.echo(f"{'output':<10} {output['name']} ({output['media']}, {sized(output['size'])})")
