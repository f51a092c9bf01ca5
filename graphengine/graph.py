"""Link, Node, Graph: the frozen values that a workflow is made of."""

from __future__ import annotations

import gc
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, NamedTuple

MANY = 50_000
"""New objects, or steps of a run, from which on it is worth keeping the garbage collector from old ones."""


class Link(NamedTuple):
    """`node.output`, or the bare name of an input of an enclosing body (`output` is then empty)."""

    node: str
    output: str

    def __str__(self) -> str:
        return f"{self.node}.{self.output}" if self.output else self.node


class Node(NamedTuple):
    """One step as the user wrote it.

    Each input is a literal, a `Link`, a `Graph` (a body), or a tuple (a list in which there are links).
    `state` is empty, `muted` or `bypassed`; `version` says for which version of its type it was written, if
    it says so.
    """

    id: str
    type: str
    inputs: dict[str, Any]
    scope: Graph
    state: str = ""
    version: int = 0


@dataclass(eq=False)
class Graph:
    """The root or a body. Frozen by convention once its `Workflow` exists; compared by identity.

    `owner` and `port` say whose body it is, and at which input; the workflow holds the nodes named by `ids`.
    """

    inputs: tuple[str, ...] = ()
    parent: Graph | None = None
    owner: str = ""
    port: str = ""
    depth: int = 0
    ids: list[str] = field(default_factory=list)
    outputs: dict[str, Link] = field(default_factory=dict)

    def chain(self) -> Iterator[Graph]:
        """This graph and those around it, innermost first."""
        graph: Graph | None = self
        while graph is not None:
            yield graph
            graph = graph.parent


class Param(NamedTuple):
    """The input of a body at a position."""

    graph: Graph
    position: int


def links(inputs: Mapping[str, Any]) -> Iterator[Link]:
    """Every link among a node's inputs, those in lists too."""
    for value in inputs.values():
        if type(value) is Link:
            yield value
        elif type(value) is tuple:
            yield from (v for v in value if type(v) is Link)


@contextmanager
def no_collection() -> Iterator[None]:
    """Hold the garbage collector while many live objects are built: it would walk them all, for nothing.

    Very many are taken for old at once, as they are. None may be part of a cycle: it would stay for long.
    """
    on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if on:
            if gc.get_count()[0] > MANY:
                gc.freeze()
                gc.unfreeze()  # which takes them for the oldest
            gc.enable()


@contextmanager
def set_aside(count: int) -> Iterator[None]:
    """Keep what lives now from the garbage collector where there is very much of it.

    It would walk all of it time and again while little is made.
    """
    if count < MANY or not gc.isenabled():
        yield
        return
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()
