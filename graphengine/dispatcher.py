"""Dispatcher: between the queue and the fleet. It takes jobs, gives them to workers, and ends them.

It is the only one that claims; which worker a job is for, `placement` says. For each job that runs it keeps
the lease alive as long as the fleet watches the worker; it writes the events of the job into the journal, and
what the worker has made is published with the end of the job. A worker that is gone costs the job an attempt;
a late word of an older attempt has an older epoch, and the store ignores it.
"""

from __future__ import annotations

import asyncio
import logging
import shutil
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from graphengine.errors import StoreError, Unavailable
from graphengine.fleets.fleet import Ended, Fleet, Gone, Logged, Report, Shown, Told, WorkerState
from graphengine.fleets.placement import place
from graphengine.hub import Hub, Preview
from graphengine.order import Order
from graphengine.store.jobs import TRACE, Draft, Lease
from graphengine.store.journal import EVENT_LIMIT, Words
from graphengine.store.store import Store

log = logging.getLogger("graphengine.jobs")

Call = Callable[..., Awaitable[Any]]
AGAIN = 1.0
"""Seconds after which something that the disk has refused is tried again."""
TIMES = 60
"""How often it is."""
TOGETHER = 0.05
"""Seconds between two writings of what workers tell: what comes in between is written at once."""
MISSING = 3
"""Rounds after which a job that no worker has is lost."""


@dataclass(slots=True)
class Running:
    """A job at a worker. `heard` is when its last event came, `ending` whether its end is being published.

    `missing` counts the rounds in which the worker knew nothing of it.
    """

    lease: Lease
    worker: str
    staging: Path
    heard: float
    ending: bool = False
    missing: int = 0


class Dispatcher:
    """Gives the jobs of a store to the workers of a fleet.

    `limit` is how many seconds each node may take, `stall` how many may pass without any event of a job
    before its worker is ended (None: any).
    """

    def __init__(
        self,
        store: Store,
        fleet: Fleet,
        hub: Hub,
        call: Call,
        *,
        limit: float | None = None,
        stall: float | None = None,
    ) -> None:
        self.store, self.fleet, self.hub, self.call = store, fleet, hub, call
        self.limit, self.stall = limit, stall
        self.running: dict[str, Running] = {}
        self.told: list[Words] = []
        """What workers have told of their jobs and the journal does not have yet."""
        self.work, self.quiet, self.telling = asyncio.Event(), asyncio.Event(), asyncio.Event()
        self.pen = asyncio.Lock()
        self.quiet.set()
        self.tasks: set[asyncio.Task[None]] = set()
        self.closing = False

    async def start(self) -> None:
        """Begin: what an earlier process left is cleared, and its jobs are taken back."""
        staging = self.store.folder / "staging"
        await asyncio.to_thread(shutil.rmtree, staging, ignore_errors=True)
        for job in (await self.call(self.store.jobs, states=("running",), limit=500)).jobs:
            await self.call(self.store.queue.expire, job.worker)
        await self.call(self.store.sweep)  # when no lease holds the files that were being written
        await self.fleet.start()
        self.tasks = {
            asyncio.create_task(loop)
            for loop in (self.claiming(), self.listening(), self.writing(), self.beating())
        }

    async def close(self, grace: float) -> None:
        """End: jobs that run have `grace` seconds to end; those that do not are given back."""
        self.closing = True
        with suppress(TimeoutError):
            async with asyncio.timeout(grace):
                await self.quiet.wait()
        await self.write()
        for running in list(self.running.values()):
            with suppress(StoreError):
                await self.call(self.store.queue.release, running.lease)
        self.hub.notice()
        await self.fleet.aclose()
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)
        await asyncio.to_thread(shutil.rmtree, self.store.folder / "staging", ignore_errors=True)

    def wake(self) -> None:
        """There may be a job to claim."""
        self.work.set()

    async def claiming(self) -> None:
        """Give jobs to idle workers, until closed."""
        while True:
            await self.work.wait()
            self.work.clear()
            while not self.closing and (idle := self.idle()):
                try:
                    lease = await self.call(
                        self.store.queue.claim, lambda job, idle=idle: place(job.workflow, idle)
                    )
                except StoreError as error:
                    log.error("no job can be claimed: %s", error)
                    await asyncio.sleep(AGAIN)
                    self.work.set()
                    break
                if lease is None:
                    break
                self.hub.notice()
                await self.give(lease)

    def idle(self) -> list[WorkerState]:
        """The workers that can take a job."""
        if not (idle := self.fleet.idle()):
            return []
        taken = {running.worker for running in self.running.values()}  # the ends of some are being published
        return [worker for worker in idle if worker.name not in taken]

    async def give(self, lease: Lease) -> None:
        """Give a claimed job to the worker that it was claimed for."""
        job, request, worker = lease.job, lease.request, lease.worker
        staging = self.store.folder / "staging" / f"{job.id}-{lease.epoch}"
        order = Order(job.id, lease.epoch, request.workflow, request.targets, str(staging), self.limit)
        self.running[job.id] = Running(lease, worker, staging, now())
        self.quiet.clear()
        log.info("begins", extra={"job": job.id, "worker": worker, "attempt": job.attempts})
        try:
            await self.fleet.submit(worker, order)
        except Unavailable:
            await self.lose(job.id, lease.epoch, "", back=True)

    async def listening(self) -> None:
        """Hear what the workers say, until the fleet is closed."""
        async for report in self.fleet.events():
            try:
                await self.hear(report)
            except StoreError as error:
                log.error("what a worker said is lost: %s", error)
            except Exception:
                log.exception("what a worker said cannot be used")

    async def hear(self, report: Report) -> None:
        """Do what a report asks for."""
        match report:
            case Told(job, epoch, texts):
                if (running := self.of(job, epoch)) is not None:
                    running.heard = now()
                    fit = [text for text in texts if len(text.encode()) <= EVENT_LIMIT]
                    self.told.append(Words(job, epoch, fit))
                    self.telling.set()
            case Shown(job, epoch):
                if self.of(job, epoch) is not None:
                    self.hub.show(
                        Preview(job, report.node, report.media, report.width, report.height, report.data)
                    )
            case Logged(worker, job, node, text):
                log.error(text, extra={"worker": worker, "job": job, "node": node})
            case Ended():
                if self.of(report.job, report.epoch) is not None:
                    await self.end(report)
                self.wake()
            case Gone(worker, why, job, epoch):
                log.warning("a worker is gone: %s", why, extra={"worker": worker, "job": job})
                if job and self.of(job, epoch) is not None:
                    await self.lose(job, epoch, why, back=self.closing)
                self.wake()
            case _:
                self.wake()

    async def writing(self) -> None:
        """Write what the workers tell, until closed: at once, or with what else comes in a little while."""
        while True:
            await self.telling.wait()
            self.telling.clear()
            await self.write()
            await asyncio.sleep(TOGETHER)

    async def write(self) -> None:
        """Write what the workers have told into the journal."""
        async with self.pen:
            told, self.told = self.told, []
            if not told:
                return
            try:
                await self.call(self.store.journal.extend, told)
            except StoreError as error:
                log.error("what workers said is lost: %s", error)
            self.hub.notice()

    async def last_words(self, job: str, epoch: int) -> list[str]:
        """What an attempt has told that is not in the journal yet; it comes there with the end of the job."""
        async with self.pen:  # what is being written comes before
            mine = [words for words in self.told if words[:2] == (job, epoch)]
            self.told = [words for words in self.told if words[:2] != (job, epoch)]
        return [text for words in mine for text in words.texts]

    def of(self, job: str, epoch: int) -> Running | None:
        """The attempt that runs, if it is this one."""
        running = self.running.get(job)
        return running if running is not None and running.lease.epoch == epoch else None

    async def end(self, ended: Ended) -> None:
        """Publish what a job gave, and end it. While the disk refuses, it is tried again."""
        running = self.running[ended.job]
        running.ending = True
        try:
            await self.publish(running, ended)
        finally:
            running.ending = False

    async def publish(self, running: Running, ended: Ended) -> None:
        """Publish what a job gave, and end it."""
        state, error = ended.state, ended.error
        drafts = []
        if state == "done":
            drafts = [
                Draft(file["name"], file["media"], await self.fleet.fetch(file["path"]))
                for file in ended.files
            ]
        if ended.trace and state != "cancelled":
            with suppress(OSError):
                trace = await self.fleet.fetch(ended.trace)
                if trace.is_file():
                    drafts.append(Draft("trace.json", TRACE, trace))
        if state == "cancelled" and not self.closing:
            found = await self.call(self.store.job, ended.job)
            if not found.cancelling:  # the worker stopped by itself: that is no wish of the user's
                await self.lose(ended.job, ended.epoch, "its worker stopped it")
                return
        words = await self.last_words(ended.job, ended.epoch)
        for _ in range(TIMES):
            try:
                await self.call(
                    self.store.finish, running.lease, state, drafts, error if state == "failed" else "",
                    dict(ended.result) if state == "done" else {}, words,
                )  # fmt: skip
                break
            except StoreError as problem:
                log.error("a result cannot be published: %s", problem, extra={"job": ended.job})
                await asyncio.sleep(AGAIN)
        else:
            await self.lose(ended.job, ended.epoch, "its result could not be published")
            return
        log.info(state, extra={"job": ended.job, "worker": running.worker})
        await self.settle(running)

    async def lose(self, job: str, epoch: int, why: str, *, back: bool = False) -> None:
        """An attempt has come to nothing. `back`: that was no fault of the job, and costs no attempt."""
        running = self.running[job]
        await self.write()
        if back:
            await self.call(self.store.queue.release, running.lease)
        else:
            await self.call(self.store.queue.lose, running.lease, why)
        await self.settle(running)

    async def settle(self, running: Running) -> None:
        """A job is not at its worker any more."""
        job = running.lease.job.id
        if self.running.get(job) is not running:
            return  # somebody else has seen it too, and it may have begun again
        del self.running[job]
        self.hub.notice()
        self.hub.forget(job)
        await asyncio.to_thread(shutil.rmtree, running.staging, ignore_errors=True)
        if not self.running:
            self.quiet.set()
        self.wake()

    async def cancel(self, job: str) -> None:
        """Stop a job that runs; the store knows already that it is to be cancelled."""
        if (running := self.running.get(job)) is not None:
            await self.fleet.cancel(job, running.lease.epoch)

    async def beating(self) -> None:
        """Keep the leases of the jobs that run, and take back those of others, until closed."""
        pause = min(5.0, self.store.queue.lease / 4)
        while True:
            await asyncio.sleep(pause)
            try:
                at = {(worker.name, worker.job) for worker in self.fleet.workers()}
                those = list(self.running.values())
                kept = await self.call(self.store.queue.heartbeats, [each.lease for each in those])
                for running, lease in zip(those, kept, strict=True):
                    await self.beat(running, lease, (running.worker, running.lease.job.id) in at)
                if await self.call(self.store.queue.expire):
                    self.hub.notice()
            except StoreError as error:
                log.error("leases cannot be kept: %s", error)
            self.wake()

    async def beat(self, running: Running, lease: Lease | None, there: bool) -> None:
        """Stop an attempt that is not wanted any more, or that does nothing.

        `lease` is what was kept of its lease, and `there` whether its worker is at it.
        """
        job, epoch = running.lease.job.id, running.lease.epoch
        if self.of(job, epoch) is None or running.ending:
            return  # it ended meanwhile, or is about to
        if lease is None:  # taken for dead, by a clock that jumped
            await self.fleet.cancel(job, epoch)
            await self.settle(running)
        elif not there:
            running.missing += 1  # its end may be on the way; or the disk refused when it came
            if running.missing >= MISSING:
                await self.lose(job, epoch, "nothing more came from it")
        elif lease.cancelling:
            await self.fleet.cancel(job, epoch)
        elif self.stall is not None and now() - running.heard > self.stall:
            log.error("nothing has come from the job for %.0f s", self.stall, extra={"job": job})
            await self.fleet.cancel(job, epoch)


def now() -> float:
    """Seconds of a clock that does not jump."""
    return asyncio.get_running_loop().time()
