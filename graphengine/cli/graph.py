"""`graphengine graph`"""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from graphengine.cli.opening import FILE, FILE_HELP, Nodes, located, settings


class Format(StrEnum):
    """How a graph can be drawn."""

    MERMAID = "mermaid"
    SVG = "svg"


def graph(
    file: Annotated[str, typer.Argument(metavar=FILE, help=FILE_HELP)],
    format: Annotated[
        Format | None,
        typer.Option(help="Mermaid text, or an SVG picture; follows from --out where it is not given."),
    ] = None,
    out: Annotated[Path | None, typer.Option(metavar="PATH", help="Write into this file.")] = None,
    nodes: Nodes = None,
) -> None:
    """Draw a workflow, also one that has problems."""
    from graphengine.session import Session

    session = Session(settings(nodes))
    workflow, manifest = session.load(located(file)), session.manifest
    if format is None:
        format = Format.SVG if out and out.suffix == ".svg" else Format.MERMAID
    if format is Format.SVG:
        from graphengine.drawing.svg import svg

        text = svg(workflow, manifest.types, manifest.wires)
    else:
        from graphengine.drawing.mermaid import mermaid

        text = mermaid(workflow, manifest.types)
    if out is None:
        typer.echo(text, nl=False)
        return
    try:
        out.write_text(text, encoding="utf-8")
    except OSError as error:
        raise typer.BadParameter(f"{out} cannot be written: {error.strerror}") from None
    typer.echo(out)
