"""`graphengine nodes`"""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING, Annotated

import typer

from graphengine.cli.opening import Nodes, settings

if TYPE_CHECKING:
    from graphengine.nodetype import NodeType, Port
    from graphengine.registry import Manifest


def nodes(
    id: Annotated[str | None, typer.Argument(metavar="ID", help="Show this node type in full.")] = None,
    nodes: Nodes = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the data as JSON.")] = False,
) -> None:
    """List the node types that are installed, or show one in full."""
    import json

    from graphengine.session import Session

    manifest = Session(settings(nodes)).manifest
    if id is not None and id not in manifest.types:
        raise typer.BadParameter(unknown(id, list(manifest.types)))
    if as_json:
        data = manifest.to_json() if id is None else manifest.types[id].to_json()
        typer.echo(json.dumps(data, indent=2, ensure_ascii=False))
    elif id is None:
        listed(manifest)
    else:
        detailed(manifest.types[id])


def unknown(id: str, known: list[str]) -> str:
    """That there is no such node type, with those that may be meant."""
    from difflib import get_close_matches

    short = {name.partition(".")[2]: name for name in known}
    near = dict.fromkeys(
        [*get_close_matches(id, known, 3), *(short[n] for n in get_close_matches(id, short, 3))]
    )
    hint = f"did you mean {' or '.join(near)}?" if near else "`graphengine nodes` lists them all"
    return f"there is no node type {id!r}; {hint}"


def listed(manifest: Manifest) -> None:
    """All types by category; broken packs last."""
    from rich.table import Table
    from rich.text import Text

    from graphengine.cli.console import results

    console = results()
    table = Table(box=None, pad_edge=False, show_header=True, header_style="dim")
    table.add_column("node", no_wrap=True)
    for title, share in (("inputs", 3), ("outputs", 2), ("", 5)):
        table.add_column(title, ratio=share if console.is_terminal else None)
    ordered = sorted(manifest.types.values(), key=lambda t: (t.category, t.id))
    for category, group in groupby(ordered, key=lambda t: t.category):
        table.add_row(Text(category, style="bold"))
        for kind in group:
            doc = kind.doc.partition("\n")[0]
            table.add_row(
                *(Text(t) for t in (f"  {kind.id}", ", ".join(kind.ports), ", ".join(kind.outputs), doc))
            )
    console.print(table)
    for problem in manifest.problems:
        typer.secho(f"{problem.pack}: {problem.text}", fg="red", err=True)


def detailed(kind: NodeType) -> None:
    """One type: what it does, its inputs and its outputs."""
    from rich.table import Table
    from rich.text import Text

    from graphengine.cli.console import results
    from graphengine.types import show

    console = results()
    console.print(Text(f"{kind.id}  {kind.title}", style="bold"))
    for mark in (
        f"deprecated: {kind.deprecated}" if kind.deprecated else "",
        "experimental" if kind.experimental else "",
    ):
        if mark:
            console.print(Text(mark, style="yellow"))
    console.print(Text(kind.doc or "Nothing is written about it."))
    table = Table(box=None, pad_edge=False, header_style="dim")
    for title in ("", "name", "type", "default", "may be", ""):
        table.add_column(title)
    for port in kind.ports.values():
        cells = ("in", port.name, port_type(port), default(port), bounds(port), str(port.ui.get("help", "")))
        table.add_row(*(Text(cell) for cell in cells))
    for name, type in kind.outputs.items():
        table.add_row(*(Text(cell) for cell in ("out", name, show(type))))
    console.print()
    console.print(table)


def port_type(port: Port) -> str:
    """A port's type; a body's as what goes in and what comes out."""
    from graphengine.types import show

    if port.kind == "body":
        return f"body: {', '.join(map(show, port.params)) or 'nothing'} -> {show(port.type)}"
    return f"{show(port.type)}, computed when asked for" if port.kind == "lazy" else show(port.type)


def default(port: Port) -> str:
    """A port's default, or that it has none."""
    import json

    from graphengine.nodetype import EMPTY

    if port.default is EMPTY:
        return "(required)"
    return json.dumps(port.default, ensure_ascii=False)


def bounds(port: Port) -> str:
    """What a literal may be, in words."""
    from graphengine.literals import span

    schema = port.schema
    if "enum" in schema:
        return ", ".join(map(str, schema["enum"]))
    return (
        span(schema) if schema.keys() & {"minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"} else ""
    )
