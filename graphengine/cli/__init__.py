"""The command `graphengine`: one module a command.

Modules here import typer at the top and nothing else that is slow; a command imports the engine when it is
called, so that `--help` is there at once and no command but `run` ever loads torch.

What a command finds goes to the standard output, everything else to the standard error.
"""

from __future__ import annotations

import sys
from typing import Annotated, Any

import typer

from graphengine import __version__
from graphengine.cli.backup import backup
from graphengine.cli.cache import cache
from graphengine.cli.cancel import cancel
from graphengine.cli.diff import diff
from graphengine.cli.doctor import doctor
from graphengine.cli.explain import explain
from graphengine.cli.fetch import fetch
from graphengine.cli.format import format
from graphengine.cli.gallery import gallery
from graphengine.cli.graph import graph
from graphengine.cli.jobs import jobs
from graphengine.cli.logs import logs
from graphengine.cli.models import models
from graphengine.cli.new_node import new_node
from graphengine.cli.nodes import nodes
from graphengine.cli.packs import packs
from graphengine.cli.queue import queue
from graphengine.cli.retry import retry
from graphengine.cli.run import run
from graphengine.cli.schema import schema
from graphengine.cli.serve import serve
from graphengine.cli.status import Status
from graphengine.cli.submit import submit
from graphengine.cli.validate import validate
from graphengine.errors import GraphEngineError, WorkflowError

app = typer.Typer(
    name="graphengine",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,  # rich takes longer to import than all the rest of `--help`
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for command in (
    *(run, validate, explain, format, diff, nodes, new_node, graph, gallery, schema),
    *(serve, submit, jobs, logs, fetch, cancel, retry, backup, doctor),
):
    app.command()(command)
app.add_typer(queue)
app.add_typer(cache)
app.add_typer(models)
app.add_typer(packs)

# typer brings click along under a private name, and this is the public way to the class.
UsageError: type[Any] = typer.BadParameter.__bases__[0]


def version(wanted: bool) -> None:
    """Print the version and stop."""
    if wanted:
        typer.echo(f"graphengine {__version__}")
        raise typer.Exit


@app.callback()
def top(
    version: Annotated[
        bool, typer.Option("--version", callback=version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """Typed node graphs for diffusion models.

    Exit status: 0 done, 1 a node failed (of diff: the workflows differ), 2 the workflow is not valid, 3 the
    command was not understood, 130 stopped with Ctrl-C.
    """


def main() -> None:
    """Run the command line, and end the process with its status. A user's mistake is told in a sentence."""
    try:
        status = app(prog_name="graphengine", standalone_mode=False)
    except WorkflowError as error:
        for problem in error.problems:
            complain(str(problem))
        status = Status.INVALID
    except GraphEngineError as error:
        complain(str(error))
        status = Status.FAILED
    except UsageError as error:
        error.show()
        status = Status.USAGE
    except (typer.Abort, KeyboardInterrupt):
        status = Status.CANCELLED
    sys.exit(status or Status.DONE)


def complain(text: str) -> None:
    """One red line on the standard error."""
    typer.secho(text, fg="red", err=True)
