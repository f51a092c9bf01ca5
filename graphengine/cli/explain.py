"""`graphengine explain`"""

from __future__ import annotations

import json
from typing import Annotated

import typer

from graphengine.cli.opening import FILE, FILE_HELP, Nodes, located, named_inputs, settings

COLOURS = {"cached": "cyan", "runs": "green", "in a loop": "green"}


def explain(
    file: Annotated[str, typer.Argument(metavar=FILE, help=FILE_HELP)],
    values: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="NAME=VALUE", help="Give a named input a value; may be repeated."),
    ] = None,
    seed: Annotated[int | None, typer.Option(metavar="N", help="The same as --set seed=N.")] = None,
    device: Annotated[
        str | None, typer.Option(metavar="DEVICE", help="Where models run: auto, cpu, mps, cuda, cuda:1.")
    ] = None,
    nodes: Nodes = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the reasons as JSON.")] = False,
) -> None:
    """Say of each node whether it is cached, or which input changed since the last run; run nothing."""
    from rich.table import Table
    from rich.text import Text

    from graphengine.cli.console import results
    from graphengine.session import Session

    session = Session(settings(nodes, device=device))
    workflow = session.load(located(file))
    workflow = workflow.with_inputs(named_inputs(workflow, session.manifest.types, values or (), seed))
    reasons = session.explain(workflow)
    if as_json:
        typer.echo(json.dumps([r._asdict() for r in reasons], indent=2, ensure_ascii=False))
        return
    table = Table(box=None, pad_edge=False, header_style="dim")
    for title in ("node", "", "why"):
        table.add_column(title, overflow="fold")
    for node, state, why in reasons:
        table.add_row(node, Text(state, style=COLOURS.get(state, "dim")), why)
    results().print(table)
