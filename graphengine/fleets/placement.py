"""Placement: which worker a job goes to. Pure functions of the job's texts and of the workers as they are.

A job goes to an idle worker; while one is idle, no job waits behind another. Among the idle ones it goes to
the one that

1. has most of the job's models loaded;
2. has most memory free for those that it has not (in steps of 1 GiB, so that noise decides nothing);
3. was given the fewest jobs so far, so that none is left out.

What is equal in all of this is decided by the name. Which models a job needs is known by their names: a
worker says what it has loaded, and a workflow holds the names as texts of inputs. A text that only looks like
a name costs nothing.
"""

from __future__ import annotations

import json
from collections.abc import Iterable

from graphengine.fleets.fleet import WorkerState

STEP = 30
"""Bits of free memory that are noise."""


def place(workflow: str, workers: Iterable[WorkerState]) -> str | None:
    """The worker for a job, by its workflow's text; None if all are busy. Linear in the workers."""
    idle = [worker for worker in workers if worker.ready and not worker.job]
    if not idle:
        return None
    loaded = frozenset[str]().union(*(worker.models for worker in idle))
    needed = texts(workflow) & loaded if loaded and len(idle) > 1 else frozenset[str]()
    return min(idle, key=lambda worker: rank(needed, worker)).name


def rank(needed: frozenset[str], worker: WorkerState) -> tuple[int, int, int, str]:
    """How well a worker suits a job that needs these models; the lowest suits best."""
    return -len(needed & worker.models), -(worker.free >> STEP), worker.given, worker.name


def texts(workflow: str) -> frozenset[str]:
    """Every text that stands in a workflow."""
    found, stack = set[str](), [json.loads(workflow)]
    while stack:
        value = stack.pop()
        if isinstance(value, str):
            found.add(value)
        elif isinstance(value, dict):
            stack += value.values()
        elif isinstance(value, list):
            stack += value
    return frozenset(found)
