"""`graphengine submit`"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from graphengine.cli.display import display, from_data, tell
from graphengine.cli.opening import named_inputs
from graphengine.cli.remote import Token, Url, connected, shortened
from graphengine.cli.status import ENDS, Status
from graphengine.errors import GraphEngineError, NotFound, WorkflowError

if TYPE_CHECKING:
    from graphengine.client import Client
    from graphengine.nodetype import NodeType
    from graphengine.workflow import Workflow


def submit(
    file: Annotated[
        str,
        typer.Argument(
            metavar="FILE",
            help="A workflow: a .json file, a picture saved with its workflow, or a name the server has.",
        ),
    ],
    values: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="NAME=VALUE", help="Give a named input a value; may be repeated."),
    ] = None,
    upload: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=FILE", help="Send a picture, and give a named input its name; may be repeated."
        ),
    ] = None,
    seed: Annotated[int | None, typer.Option(metavar="N", help="The same as --set seed=N.")] = None,
    priority: Annotated[
        int, typer.Option(metavar="N", min=-1000, max=1000, help="Jobs with a higher one run first.")
    ] = 0,
    wait: Annotated[
        bool, typer.Option("--wait", help="Wait until the job has ended, and end as it did.")
    ] = False,
    out: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Wait, and save what it makes into this folder.")
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the job as JSON; with --wait, one object an event.")
    ] = False,
    url: Url = None,
    token: Token = None,
) -> None:
    """Give a workflow to a server, which runs it when it is its turn.

    Prints the id of the job. Once it is printed the job is on the server's disk, and does not need this
    command any more.
    """
    client = connected(url, token)
    if out is not None:
        made(out)  # told now, not when the work is done
    try:
        source, workflow = read(client, file)
        given = named_inputs(workflow, types_of(client) if values else {}, values or (), seed)
        given |= {name: client.upload(path)["name"] for name, path in pairs(upload or ())}
        job = client.submit(source, given, priority=priority)
    except WorkflowError as error:
        if as_json:
            tell({"event": "refused", "problems": [problem._asdict() for problem in error.problems]})
        raise
    waits = wait or out is not None
    if as_json:
        tell({"event": "submitted", "job": job["id"]} if waits else job)
    elif waits:
        typer.echo(f"job {shortened(job['id'])} is {job['state']}", err=True)
    else:
        typer.echo(job["id"])
    if waits:
        raise typer.Exit(attend(client, job, out, as_json))


def read(client: Client, file: str) -> tuple[Any, Workflow]:
    """What is to be submitted: the workflow of a file, or a name that the server knows; and what it is."""
    from graphengine.workflow import Workflow

    path = Path(file).expanduser()
    if path.is_file():
        workflow = Workflow.load(path)
        return workflow, workflow
    if path.suffix or "/" in file:
        raise WorkflowError(f"there is no file {file!r}; name a file, or a workflow that the server has")
    try:
        return file, Workflow.of(client.workflow(file))
    except NotFound:
        names = ", ".join(each["name"] for each in client.workflows()) or "none"
        raise WorkflowError(
            f"there is no file {file!r}, and the server has no workflow of that name; it has: {names}"
        ) from None


def types_of(client: Client) -> Mapping[str, NodeType]:
    """The node types of the server, as data: they say how a value on the command line is read."""
    from graphengine.nodetype import NodeType

    bare = {"module": "", "name": "", "code": ""}
    return {each["id"]: NodeType.from_json(bare | each) for each in client.nodes()["types"]}


def pairs(given: Sequence[str]) -> list[tuple[str, Path]]:
    """The inputs and the files of `--upload NAME=FILE`."""
    found = []
    for pair in given:
        name, sign, file = pair.partition("=")
        if not sign or not name or not file:
            raise typer.BadParameter(f"{pair!r} names no picture for an input; write --upload NAME=FILE")
        found.append((name, Path(file).expanduser()))
    return found


def attend(client: Client, job: dict[str, Any], out: Path | None, as_json: bool) -> Status:
    """Show what happens to a job until it has ended, and save what it made."""
    short = shortened(job["id"])
    try:
        watch(client, job, as_json)
        ended = client.job(job)
        paths = saved(client, ended, out) if out is not None else []
    except KeyboardInterrupt:
        typer.echo(
            f"not waiting any longer; job {short} goes on. `graphengine cancel {short}` ends it, "
            f"`graphengine logs {short} --follow` waits again",
            err=True,
        )
        return Status.CANCELLED
    if as_json:
        tell(
            {"event": "result", "state": ended["state"], "error": ended["error"], "outputs": ended["result"]}
            | {"files": [str(path) for path in paths]}
        )
    else:
        hand_over(ended, paths, fetched=out is not None)
    return ENDS[ended["state"]]


def watch(client: Client, job: dict[str, Any], as_json: bool) -> None:
    """The events of a job as they come."""
    if as_json:
        for entry in client.events(job):
            tell(entry["event"])
        return
    with display(as_json=False) as emit:
        for entry in client.events(job):
            if (event := from_data(entry["event"])) is not None:
                emit(event)


def saved(client: Client, job: dict[str, Any], folder: Path) -> list[Path]:
    """The files that a job's outputs were saved into."""
    return [client.download(output, made(folder)) for output in job["outputs"]]


def made(folder: Path) -> Path:
    """A folder, made if it is not there."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise GraphEngineError(f"{folder} can be no folder: {error.strerror}") from None
    return folder


def hand_over(job: dict[str, Any], paths: Sequence[Path], fetched: bool) -> None:
    """The results: plain values and the paths of files; why it failed."""
    for name, value in job["result"].items():
        typer.echo(f"{name}: {value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)}")
    for path in paths:
        typer.echo(path)
    if job["state"] != "done":
        typer.secho(f"job {shortened(job['id'])} {told(job)}", fg="red", err=True)
    elif job["outputs"] and not fetched:
        names = ", ".join(output["name"] for output in job["outputs"])
        typer.echo(f"made: {names}; `graphengine fetch {shortened(job['id'])}` saves it here", err=True)


def told(job: dict[str, Any]) -> str:
    """How a job ended that was not done."""
    return "was cancelled" if job["state"] == "cancelled" else f"failed: {job['error']}"
