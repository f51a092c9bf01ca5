"""`graphengine packs`"""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from graphengine.cli.opening import Nodes, settings
from graphengine.cli.status import Status

if TYPE_CHECKING:
    from graphengine.registry import Manifest

packs = typer.Typer(
    name="packs",
    help="List the packs of nodes that there are, or load all and say what is wrong with them.",
    no_args_is_help=True,
    rich_markup_mode=None,
)


@packs.command("list")
def listed(
    nodes: Nodes = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the data as JSON.")] = False,
) -> None:
    """List the packs: their versions, where they are from, how many nodes they have, and their problems."""
    import json

    from rich.table import Table
    from rich.text import Text

    from graphengine.cli.console import results
    from graphengine.session import Session

    found = rows(Session(settings(nodes)).manifest)
    if as_json:
        typer.echo(json.dumps(found, indent=2, ensure_ascii=False))
        return
    table = Table(box=None, pad_edge=False, header_style="dim")
    for title in ("pack", "version", "from", "nodes", "problems"):
        table.add_column(title, justify="right" if title in ("nodes", "problems") else "left")
    for row in found:
        bad = len(row["problems"])
        mark = Text(str(bad or ""), style="red")
        table.add_row(*(Text(str(row[name])) for name in ("name", "version", "from", "nodes")), mark)
    results().print(table)
    if any(row["problems"] for row in found):
        typer.secho("`graphengine packs check` says what is wrong", fg="red", err=True)


@packs.command()
def check(
    name: Annotated[str | None, typer.Argument(metavar="NAME", help="Tell of this pack only.")] = None,
    nodes: Nodes = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the data as JSON.")] = False,
) -> None:
    """Load every pack anew and say what is wrong, with the traceback; ends with 1 if something is."""
    import json
    from tempfile import TemporaryDirectory

    from graphengine.registry import Manifest

    chosen = settings(nodes)
    with TemporaryDirectory(prefix="graphengine-") as folder:
        found = rows(Manifest.of(Path(folder), chosen.nodes))
    if name is not None:
        have = [row["name"] for row in found]
        if name not in have:
            raise typer.BadParameter(f"there is no pack {name!r}; there are {', '.join(have)}")
        found = [row for row in found if row["name"] == name]
    if as_json:
        typer.echo(json.dumps(found, indent=2, ensure_ascii=False))
    for row in found if not as_json else ():
        if not row["problems"]:
            typer.echo(f"{row['name']}: ok, {row['nodes']} node{'' if row['nodes'] == 1 else 's'}")
        for problem in row["problems"]:
            typer.secho(f"{row['name']}: {problem['text']}", fg="red")
            if problem["trace"]:
                typer.echo(problem["trace"].rstrip())
    raise typer.Exit(Status.FAILED if any(row["problems"] for row in found) else Status.DONE)


def rows(manifest: Manifest) -> list[dict[str, Any]]:
    """Every pack, by name; one of which nothing could be loaded too."""
    problems: dict[str, list[dict[str, str]]] = {}
    for problem in manifest.problems:
        problems.setdefault(problem.pack, []).append({"text": problem.text, "trace": problem.trace})
    counts = Counter(p.name for kind in manifest.types.values() for p in manifest.packs if p.has(kind.module))
    known = {pack.name: pack for pack in manifest.packs}
    return [
        {
            "name": name,
            "version": known[name].version if name in known else "",
            "from": (known[name].place or known[name].distribution) if name in known else "",
            "nodes": counts[name],
            "problems": problems.get(name, []),
        }
        for name in sorted({*known, *problems})
    ]
