"""Service: jobs, workers and saved workflows behind one object; what the HTTP API is made of, without HTTP.

Everything here runs on one asyncio loop. What waits for the disk, or reads a large workflow, runs in a few
threads. No torch: what needs the functions of nodes is asked of a worker.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple, ParamSpec, TypeVar

from graphengine.catalogue import Catalogue, size_of
from graphengine.config import Settings
from graphengine.desk import Desk
from graphengine.dispatcher import Dispatcher
from graphengine.errors import NotFound, PackError, Problem, StoreError, Unavailable, WorkflowError
from graphengine.fleets.fleet import Fleet, WorkerState
from graphengine.fleets.local import LocalFleet
from graphengine.hub import Hub
from graphengine.library import Library
from graphengine.loader import Loader
from graphengine.registry import BrokenPack, Manifest, manifest_file
from graphengine.requirements import recorded
from graphengine.resources import workflows
from graphengine.store.jobs import TRACE, Accepted, Job, Output, Page, Request, State
from graphengine.store.queue import LEASE, Place
from graphengine.store.store import PAGE_LIMIT, Store
from graphengine.workflow import Workflow

log = logging.getLogger("graphengine.service")

P = ParamSpec("P")
T = TypeVar("T")

THREADS = 4
GLANCE = 0.2
"""Seconds between two looks at the files of packs."""
TIDY = 60.0
"""Seconds between two rounds of tidying up."""

Source = Mapping[str, Any] | str
"""A workflow as JSON data, or the name of a saved or shipped one."""


class Planned(NamedTuple):
    """Nodes outside of bodies: those that would run, those in the cache, and those that nothing needs."""

    steps: Sequence[str]
    cached: Sequence[str]
    skipped: Sequence[str]


class Detail(NamedTuple):
    """A job whole."""

    job: Job
    request: Request
    outputs: Sequence[Output]
    result: Mapping[str, Any]


class Standing(NamedTuple):
    """How the queue stands: whether it is paused, and how many jobs there are in each state."""

    paused: bool
    counts: Mapping[State, int]


class Line(NamedTuple):
    """The queue: the first of the jobs that wait, in order, and of those that run, and how many there are."""

    paused: bool
    waiting: Sequence[Job]
    running: Sequence[Job]
    counts: Mapping[State, int]


class Health(NamedTuple):
    """Whether jobs can be run now, and by whom."""

    ready: bool
    workers: Sequence[WorkerState]


class Older(Exception):
    """A workflow has nodes of an older form, and to bring them to today's takes their functions."""


class Counter(Desk):
    """The desk of a process that loads no node: it reads and checks workflows."""

    def migrations(self, type: str) -> Any:
        """There are none here."""
        raise Older


class Service:
    """The jobs of one data folder and the workers that run them. `start` before use, `close` at the end."""

    manifest: Manifest

    def __init__(self, settings: Settings, fleet: Fleet | None = None, *, lease: float = LEASE) -> None:
        self.settings, self.lease = settings, lease
        self.fleet: Fleet = fleet or LocalFleet(settings)
        self.uploads = settings.data / "inputs"
        self.library = Library(settings.data / "workflows", workflows())
        self.threads = ThreadPoolExecutor(THREADS, "graphengine-service")
        self.known = asyncio.Event()
        self.tasks: set[asyncio.Task[None]] = set()

    async def call(self, function: Callable[P, T], /, *arguments: P.args, **named: P.kwargs) -> T:
        """What a function gives that waits for the disk, or computes for long."""
        return await asyncio.get_running_loop().run_in_executor(
            self.threads, lambda: function(*arguments, **named)
        )

    async def start(self) -> None:
        """Open the store and start the workers; gives before these are ready."""
        data, settings = self.settings.data, self.settings
        self.uploads.mkdir(parents=True, exist_ok=True)
        self.store: Store = await self.call(
            Store, data, lease=self.lease, attempts=settings.attempts, per_client=settings.jobs_per_client
        )
        self.hub = Hub(self.store.journal, self.call)
        await self.hub.start()
        self.dispatcher = Dispatcher(
            self.store, self.fleet, self.hub, self.call, limit=settings.node_limit, stall=settings.stall
        )
        await self.dispatcher.start()
        self.desk = Counter(settings, (self.uploads,))
        loops = [self.learning(), self.tidying(), *([self.watching()] if settings.dev else [])]
        self.tasks = {asyncio.create_task(loop) for loop in loops}

    async def close(self, grace: float = 10.0) -> None:
        """End: no new job begins, those that run may end within `grace` seconds, else they are given back."""
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)
        await self.dispatcher.close(grace)
        await self.hub.close()
        await self.call(self.store.close)
        self.threads.shutdown()

    async def learning(self) -> None:
        """Get to know the node types: from the disk, else from what loads all packs."""
        while not self.known.is_set():
            try:
                self.manifest = await asyncio.to_thread(lambda: self.desk.manifest)
                self.known.set()
            except Exception:
                log.exception("the node types are not known yet")
                await asyncio.sleep(TIDY / 12)

    async def watching(self) -> None:
        """Take the node types as the packs' files are now, whenever these change."""
        settings, loader, seen = self.settings, Loader(self.settings), Path()
        try:
            await self.types()
            while True:
                file = await asyncio.to_thread(
                    manifest_file, settings.cache, settings.nodes, settings.environments
                )
                if file != seen:
                    seen = file
                    await self.renew(loader)
                    await asyncio.to_thread(loader.warm)
                await asyncio.sleep(GLANCE)
        finally:
            loader.close()

    async def renew(self, loader: Loader) -> None:
        """Take the node types as they are now, and tell those who look at them."""
        try:
            manifest = await asyncio.to_thread(loader.load)
        except PackError as error:
            log.error("%s", error)
            manifest = replace(self.manifest, problems=(BrokenPack("all packs", str(error), ""),))
        if manifest.data() != self.manifest.data():
            self.desk = Counter(self.settings, (self.uploads,))
            self.desk.manifest = self.manifest = manifest
            self.hub.renewed()

    async def tidying(self) -> None:
        """Keep outputs and events within their limits."""
        while True:
            try:
                await self.tidy()
            except StoreError as error:
                log.error("could not tidy up: %s", error)
            await asyncio.sleep(TIDY)

    async def tidy(self) -> None:
        """Remove the oldest outputs and events that are over the limits."""
        store, settings = self.store, self.settings
        before = store.clock() - settings.outputs_days * 86400 if settings.outputs_days else None
        freed = await self.call(store.outputs.prune, limit=settings.outputs_limit, before=before)
        if freed:
            log.info("removed outputs of %d bytes", freed)
        await self.call(store.journal.trim, keep=settings.events_kept)

    async def types(self) -> Manifest:
        """The node types, as soon as they are known. Unavailable if that takes long."""
        try:
            async with asyncio.timeout(60):
                await self.known.wait()
        except TimeoutError:
            raise Unavailable("the node types are still being read; ask again in some seconds") from None
        return self.manifest

    async def read(self, source: Source) -> Workflow:
        """The workflow that is meant, with today's node types. NotFound, or WorkflowError for no workflow."""
        await self.types()
        text = (await self.call(self.library.read, source))[0] if isinstance(source, str) else source
        try:
            return await self.call(self.opened, text)
        except Older:
            pass
        whole = text if isinstance(text, str) else json.dumps(text)
        upgraded: str = await self.fleet.call("upgrade", workflow=whole)
        return await self.call(Workflow.parse, upgraded)

    def opened(self, source: Mapping[str, Any] | str) -> Workflow:
        """A workflow from its text or its data."""
        workflow = Workflow.parse(source) if isinstance(source, str) else Workflow.of(source)
        return self.desk.upgraded(workflow)

    async def submit(
        self,
        source: Source,
        inputs: Mapping[str, Any] | None = None,
        targets: Sequence[str] = (),
        *,
        priority: int = 0,
        client: str = "",
        key: str | None = None,
    ) -> Accepted:
        """Put a job into the queue; it is on disk when this returns. Seeds that are left open are drawn.

        Raises WorkflowError with every problem, NotFound for a name that is none, Conflict for a key that
        came with another request, and OverLimit.
        """
        given = dict(inputs or {})
        workflow = await self.read(source)
        request = await self.call(self.drawn, workflow, given, tuple(targets))
        words = await self.call(json.dumps, [source, given, list(targets)], sort_keys=True, default=str)
        accepted: Accepted = await self.call(
            self.store.accept, request, priority=priority, client=client, key=key, words=words
        )
        self.hub.notice()
        self.dispatcher.wake()
        return accepted

    def drawn(self, workflow: Workflow, given: Mapping[str, Any], targets: tuple[str, ...]) -> Request:
        """What is asked, as it will run, with the value of each named input."""
        outside = [id for id in targets if id not in workflow.root.ids]
        if outside:
            text = "is no node of the workflow that stands outside of bodies; choose another target"
            raise WorkflowError([Problem(id, "", text) for id in outside])
        ready = self.desk.submit(workflow, given)
        values = {name: ready.nodes[id].inputs.get(port) for name, (id, port) in ready.inputs.items()
                  if id in ready.nodes}  # fmt: skip
        plain = {name: value for name, value in values.items() if is_plain(value)}
        return Request(ready.text(), plain, targets, ready.name)

    def recorded(self, workflow: Workflow) -> Workflow:
        """A workflow with the packs that it requires, as far as the node types are known yet."""
        return recorded(workflow, self.manifest) if self.known.is_set() else workflow

    async def check(self, source: Source) -> list[Problem]:
        """Everything that is wrong with a workflow."""
        try:
            workflow = await self.read(source)
        except WorkflowError as error:
            return list(error.problems)
        return list(await self.call(self.desk.check, workflow))

    async def plan(
        self, source: Source, inputs: Mapping[str, Any] | None = None, targets: Sequence[str] = ()
    ) -> Planned:
        """What would run, and what is cached. A seed that is left open is drawn anew, so it is not cached."""
        workflow = await self.read(source)
        request: Request = await self.call(self.drawn, workflow, dict(inputs or {}), tuple(targets))
        found = await self.fleet.call("plan", workflow=request.workflow, targets=list(targets))
        return Planned(**found)

    async def choices(self, type: str, input: str) -> list[Any]:
        """What may be chosen at an input that has a list of choices."""
        types = (await self.types()).types
        if type not in types or input not in types[type].ports:
            raise NotFound(f"there is no node type {type!r} with an input {input!r}")
        found: list[Any] = await self.fleet.call("choices", type=type, input=input)
        return found

    async def job(self, id: str) -> Job:
        """A job. NotFound."""
        return await self.call(self.store.job, id)

    async def detail(self, id: str) -> Detail:
        """A job whole. NotFound."""
        return await self.call(self.whole, id)

    def whole(self, id: str) -> Detail:
        """A job whole."""
        store = self.store
        outputs = [output for output in store.outputs.of(id) if output.media != TRACE]
        return Detail(store.job(id), store.request(id), outputs, store.result(id))

    async def jobs(
        self,
        *,
        states: Collection[State] = (),
        client: str | None = None,
        cursor: str | None = None,
        limit: int = 50,
    ) -> Page:
        """Jobs, newest first, a page at a time."""
        return await self.call(self.store.jobs, states=states, client=client, cursor=cursor, limit=limit)

    async def standing(self) -> Standing:
        """How the queue stands; it takes no longer where many wait."""
        return await self.call(lambda: Standing(self.store.queue.paused, self.store.counts()))

    async def line(self, limit: int = PAGE_LIMIT) -> Line:
        """The queue: so many jobs at most of those that wait, and of those that run."""
        return await self.call(self.queue, limit)

    def queue(self, limit: int) -> Line:
        """The queue."""
        store = self.store
        living: tuple[State, ...] = ("running",)
        running = store.jobs(states=living, limit=limit).jobs
        return Line(store.queue.paused, store.waiting(limit), running, store.counts())

    async def cancel(self, id: str) -> Job:
        """Cancel a job: one that runs stops within a step or two seconds; one that has ended stays so."""
        job = await self.changed(self.store.queue.cancel, id)
        await self.dispatcher.cancel(id)
        return job

    async def retry(self, id: str) -> Job:
        """Let a job that failed or was cancelled wait again."""
        return await self.changed(self.store.retry, id)

    async def move(self, id: str, place: Place, other: str | None = None) -> Job:
        """Give a waiting job another place."""
        return await self.changed(self.store.queue.move, id, place, other)

    async def prioritise(self, id: str, priority: int) -> Job:
        """Give a job another priority."""
        return await self.changed(self.store.queue.prioritise, id, priority)

    async def pin(self, id: str, on: bool = True) -> Job:
        """Keep the outputs of a job whatever space is needed, or not."""
        return await self.changed(self.store.pin, id, on)

    async def remove(self, id: str) -> None:
        """Forget a job that has ended."""
        await self.changed(self.store.remove, id)

    async def pause(self, on: bool = True) -> None:
        """Begin no more jobs, or go on."""
        await self.changed(self.store.queue.pause, on)

    async def changed(self, function: Callable[P, T], /, *arguments: P.args, **named: P.kwargs) -> T:
        """What a function gives that changes jobs; those who look at them are told."""
        found = await self.call(function, *arguments, **named)
        self.hub.notice()
        self.dispatcher.wake()
        return found

    async def output(self, id: str) -> tuple[Output, Path]:
        """An output and its file. NotFound."""
        return await self.call(self.store.outputs.find, id)

    async def trace(self, id: str) -> tuple[Output, Path]:
        """What the last attempt at a job did when, as a Chrome trace. NotFound."""
        outputs = await self.call(self.store.outputs.of, id)
        for output in outputs:
            if output.media == TRACE:
                return await self.output(output.id)
        raise NotFound(f"job {id!r} has no trace; one is there when it has ended")

    def models(self) -> list[dict[str, Any]]:
        """The models that workflows may name. To be called in a thread."""
        catalogue = Catalogue(self.desk.folders, self.manifest.catalogues)
        return [
            {
                "name": name, "kind": card.kind, "family": card.family, "size": size_of(path),
                "precision": card.precision, "problem": card.problem, "missing": list(card.missing),
            }
            for name, (path, card) in catalogue.cards().items()
        ]  # fmt: skip

    def health(self) -> Health:
        """Whether jobs can be run now."""
        workers = self.fleet.workers()
        return Health(self.known.is_set() and any(w.ready for w in workers), workers)

    async def backup(self, path: Path) -> None:
        """Copy the database into a file."""
        await self.call(self.store.backup, path)


def is_plain(value: Any) -> bool:
    """Whether a value can be shown as JSON."""
    try:
        json.dumps(value, allow_nan=False)
    except (TypeError, ValueError):
        return False
    return True
