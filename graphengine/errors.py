"""The whole exception tree.

GraphEngineError
├── WorkflowError        a file that is no workflow, or one that `check` refuses: all `problems` at once
├── PackError            a pack, or a node in it, that cannot be loaded; in its author's words
│   └── PackEnded        the process of an isolated pack has ended while something was asked of it
├── ModelError           a model that is not there, is of the wrong kind, or is not safe to read
├── NodeFailed           a node raised; keeps its id and the cause
├── NodeTooSlow          a node ran longer than it was given
├── NodeImpure           a node changes its inputs, or gives two results for one key (found by `--debug`)
├── StoreError           the database of jobs, or a file beside it, cannot be opened, read or written
│   ├── NotFound         a job or an output that is not there
│   ├── Conflict         what is asked does not fit the state that a job is in
│   └── OverLimit        more than the store takes: too long, too high, or too many
├── Unavailable          what is asked needs a worker, and none is ready now
├── ServerError          a server does not let this client in, or fails to answer what it was asked
│   └── Unreachable      no server answers, or it went away before it had answered
└── OutOfMemory          a device has too little memory left, after everything was tried
Cancelled                the user stopped the run (a BaseException: `except Exception` lets it through)
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple


class Problem(NamedTuple):
    """One mistake in a workflow: where it is, and what was there and what to do, as one sentence.

    `node` is a node id, or empty for the file as a whole; `input` is the input's name, or empty for the
    node as a whole.
    """

    node: str
    input: str
    text: str

    def __str__(self) -> str:
        where = ".".join(part for part in (self.node, self.input) if part)
        return f"{where}: {self.text}" if where else self.text


class GraphEngineError(Exception):
    """Anything that GraphEngine itself raises."""


class WorkflowError(GraphEngineError):
    """A file that is no workflow, or a workflow with problems; `problems` holds every one of them."""

    def __init__(self, problems: Sequence[Problem] | str) -> None:
        if isinstance(problems, str):
            problems = [Problem("", "", problems)]
        super().__init__("\n".join(map(str, problems)))
        self.problems = tuple(problems)


class PackError(GraphEngineError):
    """A pack or a node that cannot be loaded; `input` is the parameter that is wrong, if it is one."""

    def __init__(self, text: str, input: str = "") -> None:
        super().__init__(text)
        self.input = input


class PackEnded(PackError):
    """The process of an isolated pack has ended; `complaints` is what it wrote last, where that is known."""

    def __init__(self, text: str, complaints: str = "") -> None:
        super().__init__(text)
        self.complaints = complaints


class ModelError(GraphEngineError):
    """A model that cannot be used, and what to do about it."""


class NodeFailed(GraphEngineError):
    """A node raised while it ran."""

    def __init__(self, node: str, cause: BaseException) -> None:
        super().__init__(f"{node}: {type(cause).__name__}: {cause}")
        self.node, self.cause = node, cause


class NodeTooSlow(GraphEngineError):
    """A node ran longer than the run allows each."""


class NodeImpure(GraphEngineError):
    """A node changes its inputs, or gives two results for one key: what was cached of it is not sure."""


class StoreError(GraphEngineError):
    """The database of jobs, or a file beside it, cannot be used; what was asked may be asked again."""


class NotFound(StoreError):
    """A job or an output that is not there, or not any more."""


class Conflict(StoreError):
    """What is asked does not fit the state that a job is in."""


class OverLimit(StoreError):
    """More than the store takes."""


class Unavailable(GraphEngineError):
    """What is asked needs a worker, and none is ready now; it may be asked again soon."""


class ServerError(GraphEngineError):
    """A server that refuses this client's token, or whose answer is none."""


class Unreachable(ServerError):
    """No server answers there; what was asked may not have happened, and may be asked again."""


class OutOfMemory(GraphEngineError):
    """A device has too little memory for a step."""


class Cancelled(BaseException):
    """The user stopped the run."""
