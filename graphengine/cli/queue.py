"""`graphengine queue`"""

from __future__ import annotations

from typing import Annotated, Any, Literal

import typer

from graphengine.cli.remote import JOB_HELP, Token, Url, connected, job_id, lasted, shortened

queue = typer.Typer(
    name="queue",
    help="Show what runs on a server and what waits, in its order; pause it, or move a job.",
    invoke_without_command=True,
    rich_markup_mode=None,
)


@queue.callback()
def show(
    context: typer.Context,
    as_json: Annotated[bool, typer.Option("--json", help="Print the data as JSON.")] = False,
    url: Url = None,
    token: Token = None,
) -> None:
    """Show what runs and what waits."""
    import json

    if context.invoked_subcommand is not None:
        context.obj = (url, token)
        return
    line = connected(url, token).queue()
    if as_json:
        typer.echo(json.dumps(line, indent=2, ensure_ascii=False))
    else:
        drawn(line)


@queue.command()
def pause(context: typer.Context, url: Url = None, token: Token = None) -> None:
    """Begin no more jobs; those that run go on."""
    given(context, url, token).pause()
    typer.echo("paused; `graphengine queue resume` goes on")


@queue.command()
def resume(context: typer.Context, url: Url = None, token: Token = None) -> None:
    """Begin jobs again."""
    line = given(context, url, token).resume()
    typer.echo(f"going on; {len(line['waiting'])} waiting")


@queue.command()
def move(
    context: typer.Context,
    id: Annotated[str, typer.Argument(metavar="ID", help=JOB_HELP)],
    place: Annotated[
        Literal["front", "back", "before", "after"],
        typer.Argument(metavar="front|back|before|after", help="Where the waiting job is put."),
    ],
    other: Annotated[
        str | None, typer.Argument(metavar="[OTHER]", help="The job before or after which it is put.")
    ] = None,
    url: Url = None,
    token: Token = None,
) -> None:
    """Move a waiting job; it takes the priority of its new place."""
    if (place in ("before", "after")) != (other is not None):
        raise typer.BadParameter("name the other job after `before` or `after`, and only there")
    client = given(context, url, token)
    job = job_id(client, id)
    client.move(job, place, None if other is None else job_id(client, other))
    waiting = [each["id"] for each in client.queue()["waiting"]]
    if job in waiting:
        typer.echo(f"{shortened(job)}: number {waiting.index(job) + 1} of {len(waiting)} waiting")
    else:
        typer.echo(f"{shortened(job)}: moved, and begun since")


def given(context: typer.Context, url: str | None, token: str | None) -> Any:
    """The server of a command's own options, else of those before its name."""
    before = context.obj or (None, None)
    return connected(url or before[0], token or before[1])


def drawn(line: dict[str, Any]) -> None:
    """The queue as a table."""
    from rich.table import Table
    from rich.text import Text

    from graphengine.cli.console import results

    if line["paused"]:
        typer.secho("paused; `graphengine queue resume` goes on", fg="yellow", err=True)
    table = Table(box=None, pad_edge=False, header_style="dim")
    for title in ("", "id", "workflow", "priority", "time"):
        table.add_column(title, justify="right" if title in ("priority", "time") else "left")
    rows = [("runs", job) for job in line["running"]]
    rows += [(str(number), job) for number, job in enumerate(line["waiting"], 1)]
    for place, job in rows:
        cells = (shortened(job["id"]), job["name"], str(job["priority"]), lasted(job))
        table.add_row(Text(place), *map(Text, cells))
    if rows:
        results().print(table)
    else:
        typer.echo("nothing runs, and nothing waits", err=True)
