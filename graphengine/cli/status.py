"""Exit statuses."""

from __future__ import annotations

from enum import IntEnum


class Status(IntEnum):
    """How a command ended, as the shell sees it."""

    DONE = 0
    FAILED = 1
    DIFFERENT = 1
    """For `diff`, as the shell's own has it."""
    INVALID = 2
    USAGE = 3
    CANCELLED = 130


ENDS = {"done": Status.DONE, "failed": Status.FAILED, "cancelled": Status.CANCELLED}
"""How a command ends, by the state that a run ended in."""
