"""Named points at which a test makes the store fail.

Every step of the store that changes something outside of the process calls `fault` with its name just before
it does so; `X.committed` comes just after. In production the call does nothing. A test puts another function
in its place (`faults.fault = ...`) that kills the process, or raises OSError, at the name that it wants.
"""

from __future__ import annotations

TRANSACTIONS = (
    *("migrate", "submit", "claim", "heartbeat", "release", "expire", "cancel", "retry", "move", "priority"),
    *("pause", "append", "trim", "finish", "pin", "prune", "sweep", "remove"),
)
"""Each write of the store, by name. Its points are NAME.begin, NAME.commit and NAME.committed."""

STEPS = (
    *("migrate.step", "submit.job", "claim.lease", "expire.lease", "append.event"),
    *("finish.write", "finish.sync", "finish.rename", "finish.folder", "finish.output", "finish.job"),
    *("finish.unlink", "retry.unlink", "remove.unlink", "prune.unlink", "sweep.unlink"),
    *("backup.copy", "backup.rename"),
)
"""The points beside those."""

POINTS = (*STEPS, *(f"{name}.{step}" for name in TRANSACTIONS for step in ("begin", "commit", "committed")))
"""Every name that `fault` is called with."""


def fault(name: str) -> None:
    """Called before the step `name`; does nothing unless a test has replaced it."""
