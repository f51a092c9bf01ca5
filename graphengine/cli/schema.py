"""`graphengine schema`"""

from __future__ import annotations

from typing import Annotated

import typer

from graphengine.cli.opening import Nodes, settings


def schema(
    bare: Annotated[
        bool, typer.Option("--bare", help="Describe the format alone, and no node types.")
    ] = False,
    nodes: Nodes = None,
) -> None:
    """Print the JSON Schema of workflow files.

    A text editor that is given it completes and checks a workflow while it is written, with the inputs of the
    node types that are installed.
    """
    import json

    from graphengine import schema
    from graphengine.session import Session

    types = None if bare else Session(settings(nodes)).manifest.types
    typer.echo(json.dumps(schema.schema(types), indent=2, ensure_ascii=False))
