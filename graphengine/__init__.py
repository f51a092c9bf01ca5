"""GraphEngine: typed node graphs for diffusion models.

A workflow is a JSON file: nodes with names, types and inputs, and links between them. A node is one typed
Python function. What runs is settled before anything runs: the file is read (`Workflow`), checked against the
signatures of all nodes (every problem is told at once), and planned backwards from what is wanted, against a
cache of what was computed before. The sampling loop is a node like any other; its body is part of the file.

    import graphengine as ge

    image = ge.load("workflows/text_to_image.json").run(prompt="a yellow boat on the sea")["image"]

    @ge.node
    def invert(image: ge.Image) -> ge.Image:
        "Swap dark and light."
        return 1.0 - image

Importing this module imports neither torch nor any node.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from graphengine.authoring import (
    NO_CONTEXT,
    Body,
    Choices,
    Context,
    Folders,
    Handle,
    Lazy,
    Seed,
    Ui,
    node,
)
from graphengine.errors import Cancelled, GraphEngineError, NodeFailed, Problem, WorkflowError
from graphengine.types import Image, Mask, WireType

if TYPE_CHECKING:
    from graphengine.client import Client
    from graphengine.config import Settings
    from graphengine.notebook import Result
    from graphengine.session import Outcome, Session, load
    from graphengine.sweep import Sweep
    from graphengine.workflow import Workflow

__version__ = "0.1.0"

__all__ = [
    "NO_CONTEXT",
    "Body",
    "Cancelled",
    "Choices",
    "Client",
    "Context",
    "Folders",
    "GraphEngineError",
    "Handle",
    "Image",
    "Lazy",
    "Mask",
    "NodeFailed",
    "Outcome",
    "Problem",
    "Result",
    "Seed",
    "Session",
    "Settings",
    "Sweep",
    "Ui",
    "WireType",
    "Workflow",
    "WorkflowError",
    "load",
    "node",
]

LATER = {
    "Client": "graphengine.client",
    "Outcome": "graphengine.session",
    "Result": "graphengine.notebook",
    "Session": "graphengine.session",
    "Settings": "graphengine.config",
    "Sweep": "graphengine.sweep",
    "Workflow": "graphengine.workflow",
    "load": "graphengine.session",
}
"""Names whose modules take long enough to import that only those who use them should wait."""


def __getattr__(name: str) -> Any:
    if name in LATER:
        return getattr(import_module(LATER[name]), name)
    raise AttributeError(f"module 'graphengine' has no attribute {name!r}")
