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
    isolated: Annotated[
        bool,
        typer.Option(
            "--isolated", help="Make a project in your folder of nodes to run in a process of its own."
        ),
    ] = False,
    into: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR", file_okay=False, help="Where it is made; else here, or in your folder of nodes."
        ),
    ] = None,
) -> None:
    """Make a pack of nodes to begin with: a project with tests that installs or is isolated, or one file."""
    from graphengine.packs import in_folders, installed
    from graphengine.template import module_of, project, single

    chosen = settings()
    folders = chosen.nodes
    others = installed()
    taken = {pack.name for pack in (*others, *in_folders(folders, others, chosen.environments)[0])}
    try:
        if file and isolated:
            raise PackError("a single file cannot be isolated; leave --file out")
        if (file or isolated) and into is None and not folders:
            raise PackError("you have no folder of nodes; name one with --into or GRAPHENGINE_NODES")
        if file:
            made = single(name, into or folders[0], taken)
        elif isolated:
            made = project(name, into or folders[0], taken, isolated=True)
        else:
            made = project(name, into or Path(), taken)
    except PackError as error:
        raise typer.BadParameter(str(error)) from None
    option = f" --nodes {into}" if into else ""
    if isolated:
        hint = f"graphengine packs install {module_of(name)}{option}"
    elif file:
        hint = f"graphengine nodes {made.stem}.brighten{option}"
    else:
        hint = f"pip install --editable '{made}[test]', and pytest in it"
    typer.echo(made)
    typer.echo(f"next: {hint}", err=True)
