"""Old file formats to the current one: one function a step, kept for ever."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from graphengine.errors import Problem, WorkflowError

FORMAT = 1
"""The format that is written."""

STEPS: dict[int, Callable[[dict[str, Any]], dict[str, Any]]] = {}
"""From the format of the key to the next one."""


def migrated(data: dict[str, Any]) -> dict[str, Any]:
    """The same workflow in the current format; the data itself where it is current already."""
    found = data.get("format")
    if type(found) is not int or found < 1:
        raise WorkflowError([Problem("", "format", f'{found!r} is no file format; write "format": {FORMAT}')])
    if found > FORMAT:
        text = f"{found} is newer than this version of GraphEngine reads ({FORMAT}); upgrade GraphEngine"
        raise WorkflowError([Problem("", "format", text)])
    for step in range(found, FORMAT):
        data = STEPS[step](data)
    return data
