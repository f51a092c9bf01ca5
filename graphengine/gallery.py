"""Gallery: a folder of workflows as one page, with the picture, the inputs and the graph of each."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from graphengine.drawing.mermaid import mermaid
from graphengine.nodetype import EMPTY, NodeType, Port
from graphengine.types import show
from graphengine.workflow import Workflow

PAGE = "README.md"
PICTURES = "pictures"
"""The folder of the pictures, beside the workflows."""
LONGEST = 60
"""Characters of a default that are shown."""

INTRODUCTION = """# Workflows

Each of these runs as it is: `graphengine run NAME`, with `--set input=value` for what stands in its table.
This page is made by `graphengine gallery`, and the pictures by `graphengine gallery --pictures`.
"""


def files(folder: Path) -> list[Path]:
    """The workflows of a folder, sorted by name."""
    return sorted(folder.glob("*.json"))


def page(folder: Path, workflows: Mapping[str, Workflow], types: Mapping[str, NodeType]) -> str:
    """The page as Markdown: a table of contents, then a section for each workflow."""
    contents = [
        f"| [`{name}`](#{name}) | {cell(w.data.get('description', ''))} |" for name, w in workflows.items()
    ]
    sections = ["\n".join(section(name, workflow, types, folder)) for name, workflow in workflows.items()]
    table = "\n".join(["| name | what it shows |", "|---|---|", *contents])
    return "\n".join([INTRODUCTION, table, "", *sections])


def section(name: str, workflow: Workflow, types: Mapping[str, NodeType], folder: Path) -> Iterator[str]:
    """One workflow: what it shows, its picture, its inputs, its graph."""
    yield from (f"## {name}", "", about(workflow), "")
    if (folder / PICTURES / f"{name}.png").is_file():
        yield from (f"![What {name} gives]({PICTURES}/{name}.png)", "")
    if workflow.inputs:
        yield from ("| input | type | default |", "|---|---|---|")
        yield from (row(each, workflow, types, *place) for each, place in workflow.inputs.items())
        yield ""
    outputs = ", ".join(f"`{each}`" for each in workflow.root.outputs)
    yield from (f"It gives {outputs or 'what it saves'}.", "")
    yield from (
        "<details><summary>The graph</summary>",
        "",
        "```mermaid",
        mermaid(workflow, types).rstrip(),
        "```",
        "",
    )
    yield from ("</details>", "")


def about(workflow: Workflow) -> str:
    """What the file says of itself."""
    return str(workflow.data.get("description", ""))


def row(name: str, workflow: Workflow, types: Mapping[str, NodeType], id: str, port_name: str) -> str:
    """One input as a row of a table."""
    node = workflow.nodes[id]
    port = kind.ports.get(port_name) if (kind := types.get(node.type)) else None
    value = node.inputs.get(port_name, port.default if port else None)
    return f"| `{name}` | {cell(told(port))} | {cell(default(value))} |"


def told(port: Port | None) -> str:
    """What may be given, in words: the type, and its choices or bounds."""
    if port is None:
        return ""
    schema = port.schema.get("items", port.schema) if isinstance(port.type, tuple) else port.schema
    if choices := schema.get("enum"):
        return ", ".join(map(str, choices))
    low, high = schema.get("minimum"), schema.get("maximum")
    bounds = f"{low:g} to {high:g}" if low is not None and high is not None else ""
    return f"{show(port.type)}, {bounds}" if bounds else show(port.type)


def default(value: Any) -> str:
    """A literal as the file writes it; long ones shortened."""
    if value is EMPTY:
        return "must be given"
    if value is None:
        return "the node's own"
    text = json.dumps(list(value) if isinstance(value, Sequence) and not isinstance(value, str) else value,
                      ensure_ascii=False, default=str)  # fmt: skip
    return f"`{text[:LONGEST]}...`" if len(text) > LONGEST else f"`{text}`"


def cell(text: str) -> str:
    """Text inside a table's cell."""
    return text.replace("|", "\\|").replace("\n", " ")
