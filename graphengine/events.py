"""What happens during a run, as plain values. The executor hands each to its `emit` as it happens."""

from __future__ import annotations

from typing import Any, Literal, NamedTuple


class RunPlanned(NamedTuple):
    """First event. Nodes outside of bodies, by what will become of them; the rest is not wanted at all.

    `steps` will run, in this order; `cached` are in the cache; `skipped` are the others, which nothing needs.
    """

    steps: tuple[str, ...]
    cached: tuple[str, ...]
    skipped: tuple[str, ...]


class NodeStarted(NamedTuple):
    """A node begins to run."""

    node: str


class NodeFinished(NamedTuple):
    """A node gave its outputs after `seconds` of its own."""

    node: str
    seconds: float


class NodeCached(NamedTuple):
    """A node's outputs were found while running: in a body, behind a Lazy, or as the twin of another."""

    node: str


class NodeProgress(NamedTuple):
    """A node is `done` of `total` through."""

    node: str
    done: float
    total: float


class NodePreview(NamedTuple):
    """A picture to look at while a node runs: float32 [batch, height, width, channels], 0 to 1."""

    node: str
    image: Any


class NodeOutput(NamedTuple):
    """A node published a file; `path` is where it is now."""

    node: str
    path: str
    media_type: str


class NodeFailed(NamedTuple):
    """`because` is the node whose own fault it is; equal to `node` there."""

    node: str
    because: str
    error: str


class BodyFinished(NamedTuple):
    """The body of a node was called once more. Bodies of microseconds send no events of their nodes.

    Where a loop resumes, the calls that it did not need are told as one, with the number of the last.
    """

    node: str
    call: int
    cached: bool
    seconds: float = 0.0


class ModelLoaded(NamedTuple):
    """A node needed a model that was not on the device yet."""

    node: str
    model: str
    seconds: float


class RunEnded(NamedTuple):
    """Last event."""

    state: Literal["done", "failed", "cancelled"]
    seconds: float


Event = (
    RunPlanned
    | NodeStarted
    | NodeFinished
    | NodeCached
    | NodeProgress
    | NodePreview
    | NodeOutput
    | NodeFailed
    | BodyFinished
    | ModelLoaded
    | RunEnded
)
