"""What the store gives: jobs, what they ask for, leases, outputs, events; all frozen."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, NamedTuple, get_args

from graphengine.errors import NotFound
from graphengine.store.database import Row, Rows

State = Literal["queued", "running", "done", "failed", "cancelled"]
End = Literal["done", "failed", "cancelled"]
STATES: tuple[State, ...] = get_args(State)
ENDS: tuple[End, ...] = get_args(End)
TRACE = "application/vnd.graphengine.trace+json"
"""The media type of an output that tells what an attempt at the job did when."""


@dataclass(frozen=True, slots=True)
class Request:
    """What a job is to do: a workflow file as text, values for its inputs, and which outputs are wanted.

    `name` is that of the workflow, for people.
    """

    workflow: str
    inputs: Mapping[str, Any] = field(default_factory=dict)
    targets: tuple[str, ...] = ()
    name: str = ""

    COLUMNS = "workflow, inputs, targets, name"

    @classmethod
    def of(cls, row: Row) -> Request:
        """From a row of COLUMNS."""
        return cls(row[0], json.loads(row[1]), tuple(json.loads(row[2])), row[3])


@dataclass(frozen=True, slots=True)
class Job:
    """A job as it was when it was read. Times are in seconds since 1970.

    `attempts` counts how often it was begun; `cancelling` says that its worker is asked to stop; `error` is
    the reason of a failure, else empty; `key` is the idempotency key that the client gave; `name` is that of
    the workflow.
    """

    id: str
    client: str
    key: str | None
    priority: int
    state: State
    attempts: int
    cancelling: bool
    pinned: bool
    created: float
    started: float | None
    ended: float | None
    error: str
    worker: str | None
    name: str

    COLUMNS = (
        "id, client, key, priority, state, attempts, cancelling, pinned, "
        "created, started, ended, error, worker, name"
    )

    @classmethod
    def of(cls, row: Row) -> Job:
        """From a row of COLUMNS."""
        values = [*row[:6], bool(row[6]), bool(row[7]), *row[8:]]
        return cls(*values)


@dataclass(frozen=True, slots=True)
class Lease:
    """A worker's right to run a job and to end it, until `expires` or until its epoch is over."""

    job: Job
    request: Request
    worker: str
    epoch: int
    expires: float

    @property
    def cancelling(self) -> bool:
        """Whether the worker is asked to stop."""
        return self.job.cancelling


@dataclass(frozen=True, slots=True)
class Page:
    """Some jobs, newest first, and the cursor for those after them (None at the end)."""

    jobs: tuple[Job, ...]
    cursor: str | None


class Accepted(NamedTuple):
    """A job that was submitted, and whether it is new: an idempotency key gives the one that there was."""

    job: Job
    new: bool


@dataclass(frozen=True, slots=True)
class Draft:
    """An output to be published: its name for people, its media type, and its bytes or the file of them."""

    name: str
    media: str
    content: bytes | Path


@dataclass(frozen=True, slots=True)
class Output:
    """A published output of a job. Its id says nothing of where it is."""

    id: str
    job: str
    name: str
    media: str
    size: int
    created: float

    COLUMNS = "id, job, name, media, size, created"


class Entry(NamedTuple):
    """An event of a job, as JSON text, with the number that no other event of the database has."""

    sequence: int
    job: str
    time: float
    text: str


@dataclass(frozen=True, slots=True)
class Excerpt:
    """Some events in order. Ask next for those since `last`. `lost`: some in between were trimmed away."""

    entries: tuple[Entry, ...]
    last: int
    lost: bool


def job(rows: Rows, id: str) -> Job:
    """The job of an id. NotFound if there is none."""
    row = rows.one(f"SELECT {Job.COLUMNS} FROM jobs WHERE id = ?", id)
    if row is None:
        raise NotFound(f"there is no job {id!r}; it may have been removed")
    return Job.of(row)


def request(rows: Rows, id: str) -> Request:
    """What a job asks for. NotFound if there is none."""
    row = rows.one(f"SELECT {Request.COLUMNS} FROM jobs WHERE id = ?", id)
    if row is None:
        raise NotFound(f"there is no job {id!r}; it may have been removed")
    return Request.of(row)


def held(rows: Rows, job: str, epoch: int) -> bool:
    """Whether a lease of this epoch is the one that counts."""
    sql = "SELECT 1 FROM jobs WHERE id = ? AND epoch = ? AND state = 'running'"
    return rows.one(sql, job, epoch) is not None
