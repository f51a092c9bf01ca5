"""Bodies: what requests hold and what answers hold, as pydantic models. A field that is not named is refused.

Times are in seconds since 1970.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from graphengine.store.jobs import State
from graphengine.store.queue import PRIORITIES
from graphengine.store.store import PAGE_LIMIT

Priority = Annotated[int, Field(ge=PRIORITIES.start, le=PRIORITIES.stop - 1)]
JobId = Annotated[str, Field(min_length=1, max_length=64, pattern="^[0-9a-f]+$")]
Name = Annotated[str, Field(max_length=200)]
Named = dict[str, Any]
Sequence = Annotated[int, Field(ge=0, lt=1 << 63)]


class Asked(BaseModel):
    """What all bodies of requests have in common: no other fields, and no text is taken for a number."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, defer_build=True)


class Query(BaseModel):
    """What all queries have in common: no other parameters; numbers are written as texts."""

    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)


class Given(BaseModel):
    """What all answers have in common."""

    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)


class Nothing(Asked):
    """A body without anything in it; it may be left out."""


class NoQuery(Query):
    """No parameters."""


class Submit(Asked):
    """A workflow, as JSON or by its name, with values for its inputs; `targets` are the outputs wanted."""

    workflow: dict[str, Any] | Annotated[str, Field(min_length=1, max_length=80)]
    inputs: Named = {}
    targets: Annotated[list[Name], Field(max_length=1000)] = []
    priority: Priority = 0


class Check(Asked):
    """A workflow, as JSON or by its name."""

    workflow: dict[str, Any] | Annotated[str, Field(min_length=1, max_length=80)]


class Plan(Asked):
    """A workflow as it would be submitted."""

    workflow: dict[str, Any] | Annotated[str, Field(min_length=1, max_length=80)]
    inputs: Named = {}
    targets: Annotated[list[Name], Field(max_length=1000)] = []


class Change(Asked):
    """What of a job is changed."""

    priority: Priority | None = None
    pinned: bool | None = None


class Move(Asked):
    """Where in the queue a job goes; `other` is the job that it goes before or after."""

    place: Literal["front", "back", "before", "after"]
    other: JobId | None = None


class JobsQuery(Query):
    """Which jobs: of some states, a page at a time."""

    state: Annotated[list[State], Field(max_length=5)] = []
    limit: Annotated[int, Field(ge=1, le=PAGE_LIMIT)] = 50
    cursor: Annotated[str, Field(pattern="^[0-9]{1,18}$")] | None = None


class QueueQuery(Query):
    """How many jobs at most of those that wait, and of those that run."""

    limit: Annotated[int, Field(ge=1, le=PAGE_LIMIT)] = PAGE_LIMIT


class JobEventsQuery(Query):
    """Which events of a job: those after a number, so many at most."""

    since: Sequence = 0
    limit: Annotated[int, Field(ge=1, le=10_000)] = 1000


class EventsQuery(Query):
    """Which events: those after a number (only new ones if it is not given), of one job, with previews."""

    since: Sequence | None = None
    job: JobId | None = None
    previews: bool = False


class OutputQuery(Query):
    """An output as it is, or as a small picture of at most `size` pixels a side; to look at, or to keep."""

    size: Annotated[int, Field(ge=16, le=1024)] | None = None
    download: bool = False


class UploadQuery(Query):
    """What the file was called; the name that it gets begins so."""

    name: Annotated[str, Field(max_length=200)] = ""


class Place(Given):
    """A problem of a workflow: which node, which input, and what is wrong there. Empty: the whole."""

    node: str
    input: str
    text: str


class Limit(Given):
    """A limit that was gone over, and how much it allows."""

    name: str
    most: float


class ProblemDocument(Given):
    """Why a request is not answered as it was asked (RFC 9457)."""

    type: str
    title: str
    status: int
    detail: str
    request: str
    problems: list[Place] | None = None
    limit: Limit | None = None


class Job(Given):
    """A job. `name` is the title of its workflow; `error` the reason of a failure."""

    id: str
    state: State
    priority: int
    attempts: int
    cancelling: bool
    pinned: bool
    created: float
    started: float | None
    ended: float | None
    error: str
    worker: str | None
    client: str
    name: str


class Output(Given):
    """A file that a job gave, and where to get it."""

    id: str
    name: str
    media: str
    size: int
    url: str


class JobDetail(Job):
    """A job with its workflow as it was run, what it was given, and what it gave."""

    workflow: dict[str, Any]
    inputs: Named
    targets: list[str]
    outputs: list[Output]
    result: Named


class Jobs(Given):
    """A page of jobs, newest first; `cursor` asks for the next one, and is null on the last."""

    jobs: list[Job]
    cursor: str | None


class Queue(Given):
    """The queue: the first jobs that wait, in their order, and that run, and how many there are by state."""

    paused: bool
    waiting: list[Job]
    running: list[Job]
    counts: dict[State, int]


class Entry(Given):
    """A numbered event of a job."""

    sequence: int
    job: str
    time: float
    event: dict[str, Any]


class Events(Given):
    """Some events. Ask next for those since `last`. `lost`: some in between are not kept any more."""

    events: list[Entry]
    last: int
    lost: bool


class Wire(Given):
    """A type of values, and its colour."""

    name: str
    colour: str
    doc: str


class Pack(Given):
    """A pack of nodes that is installed."""

    name: str
    version: str


class PackProblem(Given):
    """A pack, or a node in it, that cannot be used; `trace` is told to who writes packs (`serve --dev`)."""

    pack: str
    text: str
    trace: str = ""


class Nodes(Given):
    """Every type of nodes, with all that an editor needs to know."""

    types: list[dict[str, Any]]
    wires: list[Wire]
    converters: list[dict[str, Any]]
    packs: list[Pack]
    problems: list[PackProblem]


class Choices(Given):
    """What may be chosen for an input now."""

    choices: list[Any]


class Problems(Given):
    """All that is wrong with a workflow; nothing if it can be run."""

    problems: list[Place]


class Planned(Given):
    """The nodes outside of bodies: those that would run, those that are cached, those that nothing needs."""

    steps: list[str]
    cached: list[str]
    skipped: list[str]


class Saved(Given):
    """A workflow of the library."""

    name: str
    title: str
    description: str
    shipped: bool
    modified: float
    etag: str
    picture: str | None


class Workflows(Given):
    """The library."""

    workflows: list[Saved]


class Written(Given):
    """A workflow that was saved, and the etag that it has now."""

    name: str
    etag: str


class Uploaded(Given):
    """A picture that was uploaded; `name` is the value for an input that takes a picture's file."""

    name: str
    width: int
    height: int


class Model(Given):
    """A model under the model roots. `problem` says why it cannot be used, `missing` what it lacks."""

    name: str
    kind: str
    family: str
    size: int
    precision: str
    problem: str
    missing: list[str]


class Models(Given):
    """Everything under the model roots."""

    models: list[Model]


class Alive(Given):
    """The process answers."""

    status: Literal["alive"] = "alive"


class Worker(Given):
    """A worker process; `job` is the one that it is at, or empty, `memory` its bytes, `starts` how many."""

    name: str
    device: str
    ready: bool
    job: str
    memory: int
    starts: int


class Ready(Given):
    """Whether jobs are run: `ready` if a worker is; `paused` if the queue is."""

    ready: bool
    paused: bool
    workers: list[Worker]
