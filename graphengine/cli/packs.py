"""`graphengine packs`"""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from graphengine.cli.opening import Nodes, settings
from graphengine.cli.status import Status

if TYPE_CHECKING:
    from graphengine.packs import Pack
    from graphengine.registry import Manifest

packs = typer.Typer(
    name="packs",
    help="List the packs of nodes that there are, load all and say what is wrong, or install what one needs.",
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
    titles = ("pack", "version", "from", "isolated", "nodes", "problems")
    for title in titles:
        table.add_column(title, justify="right" if title in ("nodes", "problems") else "left")
    for row in found:
        bad = len(row["problems"])
        mark = Text(str(bad or ""), style="red")
        told = row | {"isolated": "yes" if row["isolated"] else ""}
        table.add_row(*(Text(str(told[name])) for name in ("name", *titles[1:-1])), mark)
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
        found = rows(Manifest.of(Path(folder), chosen.nodes, chosen.environments))
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


@packs.command()
def install(
    name: Annotated[str, typer.Argument(metavar="NAME", help="An isolated pack.")], nodes: Nodes = None
) -> None:
    """Make the environment of an isolated pack, with what it depends on, in your data folder.

    pip fetches its dependencies and runs code of theirs; nothing but this command does so.
    """
    from graphengine.environments import make, of_pack
    from graphengine.errors import PackError
    from graphengine.packs import in_folders, installed
    from graphengine.project import read

    chosen = settings(nodes)
    found = in_folders(chosen.nodes, installed(), chosen.environments)[0]
    isolated = {pack.name: pack for pack in found if pack.isolated}
    if name not in isolated:
        known = any(pack.name == name for pack in found)
        remedy = "it is not isolated, and needs no environment" if known else "name its folder with --nodes"
        have = f"; isolated {'is' if len(isolated) == 1 else 'are'} {', '.join(isolated)}" if isolated else ""
        raise typer.BadParameter(
            f"there is no isolated pack {name!r} in your folders of nodes: {remedy}{have}"
        )
    place, project = Path(isolated[name].environment), Path(isolated[name].project)
    try:
        make(place, read(project).dependencies, project)
    except PackError as error:
        typer.secho(f"{name}: {error}", fg="red", err=True)
        raise typer.Exit(Status.FAILED) from None
    typer.echo(place)
    if len(of_pack(chosen.environments, name)) > 1:
        text = f"there are older ones too; `graphengine packs uninstall {name}` removes all"
        typer.echo(text, err=True)


@packs.command()
def uninstall(
    name: Annotated[str, typer.Argument(metavar="NAME", help="A pack that is or was isolated.")],
) -> None:
    """Remove the environments of an isolated pack, for all that it has depended on; its files stay."""
    from graphengine.environments import of_pack, remove

    found = of_pack(settings().environments, name)
    if not found:
        raise typer.BadParameter(f"there is no environment of a pack {name!r}")
    for place in found:
        remove(place)
        typer.echo(place)


def origin(pack: Pack) -> str:
    """Where a pack is from."""
    return pack.project or pack.place or pack.distribution


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
            "from": origin(known[name]) if name in known else "",
            "isolated": name in known and known[name].isolated,
            "nodes": counts[name],
            "problems": problems.get(name, []),
        }
        for name in sorted({*known, *problems})
    ]
