"""`graphengine new-node`"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from graphengine.cli.opening import settings
from graphengine.errors import PackError


def new_node(
    name: Annotated[str, typer.Argument(metavar="NAME", help="What the pack is called, such as my-nodes.")],
    file: Annotated[
        bool, typer.Option("--file", help="Make a single file in your folder of nodes, and no project.")
    ] = False,
    into: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR", file_okay=False, help="Where it is made; else here, or with --file there."
        ),
    ] = None,
) -> None:
    """Make a pack of nodes to begin with: a project with tests that installs, or one file."""
    from graphengine.packs import in_folders, installed
    from graphengine.template import project, single

    chosen = settings()
    folders = chosen.nodes
    others = installed()
    taken = {pack.name for pack in (*others, *in_folders(folders, others, chosen.environments)[0])}
    try:
        if file:
            if into is None and not folders:
                raise PackError("you have no folder of nodes; name one with --into or GRAPHENGINE_NODES")
            place = into or folders[0]
            made = single(name, place, taken)
        else:
            made = project(name, into or Path(), taken)
    except PackError as error:
        raise typer.BadParameter(str(error)) from None
    typer.echo(made)
    typer.echo(hint(made, into if file else None), err=True)


def hint(made: Path, elsewhere: Path | None) -> str:
    """What to do next."""
    if made.is_dir():
        return f"next: pip install --editable '{made}[test]', and pytest in it"
    option = f" --nodes {elsewhere}" if elsewhere else ""
    return f"next: graphengine nodes {made.stem}.brighten{option}"
