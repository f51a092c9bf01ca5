"""From what the user wrote on the command line to settings, a file and named inputs."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from graphengine.errors import GraphEngineError, WorkflowError

if TYPE_CHECKING:
    from graphengine.config import Settings
    from graphengine.nodetype import NodeType
    from graphengine.workflow import Workflow

FILE = "FILE"
FILE_HELP = "A workflow: a .json file, a picture saved with its workflow, or the name of a shipped one."

Nodes = Annotated[
    list[Path] | None,
    typer.Option(
        "--nodes", metavar="DIR", exists=True, file_okay=False,
        help="Another folder of packs, before those of the settings; may be repeated.",
    ),
]  # fmt: skip


def settings(nodes: Sequence[Path] | None = None, **given: Any) -> Settings:
    """The settings of this machine and of this command; `nodes` are folders of packs that come first.

    What cannot be used is a usage error.
    """
    from graphengine.config import Settings

    try:
        if nodes:
            given["nodes"] = (*nodes, *Settings.read().nodes)
        return Settings.read(**given)
    except GraphEngineError as error:
        raise typer.BadParameter(str(error)) from None


def located(name: str) -> Path:
    """The file that is meant. WorkflowError names the workflows that are shipped."""
    from difflib import get_close_matches

    from graphengine import resources

    path = Path(name).expanduser()
    if path.is_file():
        return path
    if shipped := resources.workflow(name):
        return shipped
    if path.is_dir():
        raise WorkflowError(f"{name} is a folder; name a workflow in it")
    names = resources.workflow_names()
    near = get_close_matches(path.stem, names, 1)
    hint = f"did you mean {near[0]}?" if near else f"shipped are: {', '.join(names)}"
    raise WorkflowError(f"there is no file {name!r}, and no shipped workflow of that name; {hint}")


def named_inputs(
    workflow: Workflow, types: Mapping[str, NodeType], pairs: Sequence[str], seed: int | None
) -> dict[str, Any]:
    """The values of `--set name=value` and `--seed`, each read as what the named input wants."""
    found: dict[str, Any] = {}
    for pair in pairs:
        name, sign, text = pair.partition("=")
        if not sign or not name:
            raise typer.BadParameter(f"{pair!r} gives no input a value; write --set name=value")
        found[name] = value_of(text, wanted(workflow, types, name))
    if seed is not None:
        found["seed"] = seed
    return found


def wanted(workflow: Workflow, types: Mapping[str, NodeType], name: str) -> Any:
    """The type of a named input; `any` where it is not known, and `check` has to say why."""
    from graphengine.expansion import expansion

    workflow = expansion(workflow, types).workflow
    id, input = workflow.inputs.get(name, ("", ""))
    kind = types.get(workflow.nodes[id].type) if id in workflow.nodes else None
    port = kind.inputs.get(input) if kind else None
    return port.type if port else "any"


def value_of(text: str, kind: Any) -> Any:
    """A text port takes the text as it stands; any other the JSON value, or the text where it is none."""
    if kind == "str":
        return text
    try:
        return json.loads(text, parse_constant=refused)
    except (ValueError, RecursionError):
        return text


def refused(constant: str) -> Any:
    """NaN and Infinity are no JSON."""
    raise ValueError(constant)
