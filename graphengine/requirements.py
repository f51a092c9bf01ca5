"""Requirements: what a workflow says of the packs that its nodes come from, for machines that lack them.

In the file, `requires` has for the first part of its node types what has these nodes, and in which version,
as pip writes it; a pack that is a file of the user's has the file's name after `./`:

    "requires": {"acme": "acme-nodes==1.2", "blur": "./blur.py", "image": "graphengine==0.1.0"}

It is written whenever a workflow is run or saved, and read where a node type is not known.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from graphengine.packs import Pack
from graphengine.upgrade import everywhere
from graphengine.workflow import Workflow

if TYPE_CHECKING:
    from graphengine.registry import Manifest

INSTALLED = re.compile(
    r"(?P<name>[A-Za-z0-9](?:[\w.-]{0,98}[A-Za-z0-9])?)(==(?P<version>[\w.!+-]{1,50}))?", re.A
)
LOCAL = re.compile(r"\./(?P<name>[\w.-]{1,100})(==(?P<version>[\w.!+-]{1,50}))?", re.A)


def recorded(workflow: Workflow, manifest: Manifest) -> Workflow:
    """The same workflow with today's packs in `requires`; what it said of types that are not known stays."""
    said = workflow.data.get("requires")
    said = said if isinstance(said, dict) else {}
    found: dict[str, list[str]] = {}
    for type in sorted({node.type for _, node in everywhere(workflow)}):
        part, dot, _ = type.partition(".")
        kind = manifest.types.get(type)
        pack = next((p for p in manifest.packs if kind and p.has(kind.module)), None)
        text = requirement(pack) if pack else said.get(part)
        if dot and isinstance(text, str) and text not in found.setdefault(part, []):
            found[part].append(text)
    requires = {part: " ".join(texts) for part, texts in found.items() if texts}
    if requires == said:
        return workflow
    data = {name: value for name, value in workflow.data.items() if name != "requires"}
    return replace(workflow, data=data | ({"requires": requires} if requires else {}))


def requirement(pack: Pack) -> str:
    """What has a pack, and its version."""
    name = f"./{Path(pack.project or pack.place).name}" if pack.place else pack.distribution or pack.module
    return f"{name}=={pack.version}" if pack.version else name


def lacking(type: str, requires: Any, installed: Collection[str]) -> str:
    """What a file says of a node type that is not there: which pack, in which version, and how to get it.

    `installed` are the first parts of the types that are there. Empty if the file says nothing that can be
    told: what a file says is not trusted to be a command.
    """
    part = type.partition(".")[0]
    said = requires.get(part) if isinstance(requires, dict) else None
    texts = said.split() if isinstance(said, str) and len(said) < 500 else []
    if any(LOCAL.fullmatch(text) for text in texts):
        name = texts[0].removeprefix("./").partition("==")[0]
        return (
            f"there is no node type {type!r}; it is from {name}, a file of whoever saved the workflow: put "
            "that into one of your folders of nodes"
        )
    found = [match for text in texts if (match := INSTALLED.fullmatch(text))]
    if not found or len(found) < len(texts):
        return ""
    packs = " and ".join(f"{m['name']} {m['version'] or ''}".strip() for m in found)
    why = "the one that is installed has no such node" if part in installed else "which is not installed"
    return f"there is no node type {type!r}; the file was saved with {packs}, {why}: pip install {said}"
