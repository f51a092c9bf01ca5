"""Fleet: the workers that jobs are given to. LocalFleet has them as processes of this machine.

A Fleet knows nothing of the queue. It starts workers and watches them, hands orders to them, and gives back
what they say as Reports, one stream for all: that a worker is Ready, what comes from a job (Told, Shown,
Logged, Ended), and that a worker is Gone, with why; then another one takes its place under the same name.
"""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from graphengine import errors
from graphengine.channel import Message, received
from graphengine.errors import GraphEngineError, Problem, Unavailable, WorkflowError

if TYPE_CHECKING:
    from graphengine.config import Settings
    from graphengine.order import Order

PATIENCE = 2.0
"""Seconds that a worker has to stop a job that was cancelled before it is ended."""
SILENCE = 15.0
"""Seconds without a sign of life after which a worker is ended."""
PAUSES = (0.1, 0.5, 2.0, 5.0, 15.0)
"""Seconds before the next start of a worker that has died several times before it was ready."""


class Ready(NamedTuple):
    """A worker can take a job."""

    worker: str


class Told(NamedTuple):
    """Events of an attempt at a job, as JSON texts."""

    job: str
    epoch: int
    texts: Sequence[str]


class Shown(NamedTuple):
    """A picture of an attempt at a job, as the bytes of a file."""

    job: str
    epoch: int
    node: str
    media: str
    width: int
    height: int
    data: bytes


class Ended(NamedTuple):
    """An attempt is over. `files` are its results; `trace` is where it was told what was done when."""

    worker: str
    job: str
    epoch: int
    state: str
    error: str = ""
    files: Sequence[Mapping[str, str]] = ()
    result: Mapping[str, Any] = {}
    trace: str = ""


class Logged(NamedTuple):
    """Something for the log, and for nobody else: the traceback of a node that failed."""

    worker: str
    job: str
    node: str
    text: str


class Gone(NamedTuple):
    """A worker has died, or was ended; `why` says it in words. `job` is what it was at, if anything."""

    worker: str
    why: str
    job: str = ""
    epoch: int = 0


Report = Ready | Told | Shown | Logged | Ended | Gone


class WorkerState(NamedTuple):
    """A worker as it is now. `job` is the one that it is at, or empty; `memory` its bytes in memory."""

    name: str
    device: str
    ready: bool
    job: str
    memory: int
    starts: int


class Fleet(Protocol):
    """Where jobs run."""

    async def start(self) -> None:
        """Start the workers; gives at once, and they report when they are ready."""

    def workers(self) -> list[WorkerState]:
        """The workers as they are now."""

    async def submit(self, worker: str, order: Order) -> None:
        """Give an order to a worker that has none. Unavailable if it is gone."""

    def events(self) -> AsyncIterator[Report]:
        """What the workers say, in order, until the fleet is closed."""

    async def cancel(self, job: str, epoch: int) -> None:
        """Stop an attempt: its end is reported within a step, or its worker is ended."""

    async def call(self, what: str, **arguments: Any) -> Any:
        """Ask a worker. Unavailable if none is ready."""

    async def fetch(self, path: str) -> Path:
        """A file that a worker has made, as one of this machine."""

    async def aclose(self) -> None:
        """End the workers."""


@dataclass(eq=False)
class Process:
    """One worker, through all the processes that it has been."""

    name: str
    device: str
    popen: subprocess.Popen[bytes] | None = None
    writer: asyncio.StreamWriter | None = None
    ready: bool = False
    order: Order | None = None
    heard: float = 0.0
    memory: int = 0
    starts: int = 0
    failed: int = 0
    """Starts in a row that came to nothing."""
    verdict: str = ""
    """Why it was ended, if it was not by itself."""
    calls: dict[int, asyncio.Future[Any]] = field(default_factory=dict)

    def kill(self, why: str) -> None:
        """End the process now."""
        self.verdict = self.verdict or why
        if self.popen is not None:
            with suppress(ProcessLookupError):
                self.popen.kill()

    def send(self, message: Message) -> None:
        """Tell the process something. Unavailable if it is not there."""
        if self.writer is None or self.writer.is_closing():
            raise Unavailable(f"the worker {self.name} is not running; ask again soon")
        self.writer.write(message.packed())


class LocalFleet:
    """One process for each device that is named; a device may be named several times."""

    def __init__(
        self,
        settings: Settings,
        devices: Sequence[str] = (),
        *,
        silence: float = SILENCE,
        patience: float = PATIENCE,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self.settings, self.silence, self.patience = settings, silence, patience
        self.environment = environment or {}
        devices = devices or (settings.device,)
        self.processes = {f"worker-{n}": Process(f"worker-{n}", d) for n, d in enumerate(devices, 1)}
        self.reports: asyncio.Queue[Report | None] = asyncio.Queue()
        self.tasks: set[asyncio.Task[None]] = set()
        self.closing = False
        self.asked = 0

    async def start(self) -> None:
        """Start the processes."""
        self.tasks = {asyncio.create_task(self.keep(process)) for process in self.processes.values()}
        self.tasks.add(asyncio.create_task(self.watch()))

    def workers(self) -> list[WorkerState]:
        """The workers as they are now."""
        return [
            WorkerState(p.name, p.device, p.ready, p.order.job if p.order else "", p.memory, p.starts)
            for p in self.processes.values()
        ]

    async def submit(self, worker: str, order: Order) -> None:
        """Give an order to a worker that has none. Unavailable if it is gone."""
        process = self.processes[worker]
        if process.order is not None or not process.ready:
            raise Unavailable(f"the worker {worker} cannot take a job now")
        process.send(order.message())
        process.order = order

    async def events(self) -> AsyncIterator[Report]:
        """What the workers say, in order, until the fleet is closed."""
        while (report := await self.reports.get()) is not None:
            yield report

    async def cancel(self, job: str, epoch: int) -> None:
        """Stop an attempt within a step, else end its worker."""
        for process in self.processes.values():
            order = process.order
            if order is not None and (order.job, order.epoch) == (job, epoch):
                with suppress(Unavailable):
                    process.send(Message({"kind": "cancel", "job": job, "epoch": epoch}))
                task = asyncio.create_task(self.insist(process, order))
                self.tasks.add(task)
                task.add_done_callback(self.tasks.discard)

    async def insist(self, process: Process, order: Order) -> None:
        """End a worker that is still at an order when its time is over."""
        await asyncio.sleep(self.patience)
        if process.order is order:
            process.kill("it did not stop when its job was cancelled")

    async def call(self, what: str, **arguments: Any) -> Any:
        """Ask a worker, an idle one if there is one. Unavailable if none is ready."""
        ready = sorted((p for p in self.processes.values() if p.ready), key=lambda p: p.order is not None)
        if not ready:
            raise Unavailable("no worker is ready yet; ask again in some seconds")
        process, self.asked = ready[0], self.asked + 1
        answer = process.calls[self.asked] = asyncio.get_running_loop().create_future()
        process.send(Message({"kind": "call", "call": self.asked, "what": what, "arguments": arguments}))
        return await answer

    async def fetch(self, path: str) -> Path:
        """It is on this machine already."""
        return Path(path)

    async def aclose(self) -> None:
        """End the workers: politely, then not."""
        self.closing = True
        for process in self.processes.values():
            process.verdict = process.verdict or "the server stops"
            with suppress(Unavailable):
                process.send(Message({"kind": "stop"}))
        keepers = [task for task in self.tasks if not task.done()]
        if keepers:
            await asyncio.wait(keepers, timeout=self.patience)
        for process in self.processes.values():
            process.kill("the server stops")
        if keepers:
            await asyncio.wait(keepers, timeout=self.patience)
        for task in list(self.tasks):
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)
        self.reports.put_nowait(None)

    async def keep(self, process: Process) -> None:
        """Keep one worker running, one process after another."""
        while not self.closing:
            why = await self.live(process)
            order, process.order, process.ready = process.order, None, False
            for answer in process.calls.values():
                if not answer.done():
                    answer.set_exception(Unavailable("the worker that was asked is gone; ask again"))
            process.calls.clear()
            self.reports.put_nowait(
                Gone(process.name, why, order.job if order else "", order.epoch if order else 0)
            )
            if not self.closing:
                await asyncio.sleep(PAUSES[min(process.failed, len(PAUSES) - 1)])

    async def live(self, process: Process) -> str:
        """The life of one process; gives why it is over."""
        ours, theirs = socket.socketpair()
        process.verdict, process.heard = "", monotonic()
        process.starts += 1
        process.failed += 1  # until it is ready
        with theirs:
            process.popen = await asyncio.to_thread(self.spawn, process, theirs.fileno())
        reader, process.writer = await asyncio.open_connection(sock=ours, limit=1 << 20)
        try:
            while (message := await received(reader)) is not None:
                process.heard = monotonic()
                self.take(process, message)
        finally:
            process.writer.close()
            process.writer = None
            if process.popen.poll() is None:
                with suppress(subprocess.TimeoutExpired):
                    await asyncio.to_thread(process.popen.wait, 1.0)
            if process.popen.poll() is None:
                process.kill("it closed its channel")
            code = await asyncio.to_thread(process.popen.wait)
        return process.verdict if process.verdict and code < 0 else in_words(code)

    def spawn(self, process: Process, descriptor: int) -> subprocess.Popen[bytes]:
        """Start a worker process that has an end of a channel."""
        settings = self.settings.model_copy(update={"device": process.device})
        text = settings.model_dump_json(exclude={"token"})
        environment = {k: v for k, v in os.environ.items() if k != "GRAPHENGINE_TOKEN"}
        return subprocess.Popen(
            [sys.executable, "-m", "graphengine.worker", str(descriptor), text],
            pass_fds=[descriptor],
            stdin=subprocess.DEVNULL,
            env=environment | dict(self.environment),
            start_new_session=True,  # Ctrl-C is for the server
        )

    def take(self, process: Process, message: Message) -> None:
        """Hear what a worker says."""
        head, order = message.head, process.order
        match message.kind:
            case "beat":
                process.memory = head["memory"]
            case "ready":
                process.ready, process.failed = True, 0
                process.device, process.memory = head["device"], head["memory"]
                self.reports.put_nowait(Ready(process.name))
            case "events":
                self.reports.put_nowait(Told(head["job"], head["epoch"], head["texts"]))
            case "preview":
                about = {name: head[name] for name in Shown._fields if name != "data"}
                self.reports.put_nowait(Shown(**about, data=message.body))
            case "log":
                self.reports.put_nowait(Logged(process.name, head["job"], head["node"], head["text"]))
            case "ended":
                if order is not None and (order.job, order.epoch) == (head["job"], head["epoch"]):
                    process.order = None
                rest = {k: v for k, v in head.items() if k in Ended._fields}
                self.reports.put_nowait(Ended(process.name, **rest))
            case "answer":
                answer = process.calls.pop(head["call"], None)
                if answer is not None and not answer.done():
                    if "error" in head:
                        answer.set_exception(raised(head))
                    else:
                        answer.set_result(head["value"])

    async def watch(self) -> None:
        """End the workers that show no sign of life."""
        while not self.closing:
            await asyncio.sleep(min(1.0, self.silence / 4))
            for process in self.processes.values():
                # While it starts it may be silent longer: the first import of torch takes its time.
                allowed = self.silence if process.ready else 20 * self.silence
                if process.writer is not None and monotonic() - process.heard > allowed:
                    process.kill(f"it gave no sign of life for {allowed:.0f} seconds")


def raised(head: Mapping[str, Any]) -> GraphEngineError:
    """The error that an answer tells of."""
    if head["error"] == "WorkflowError":
        return WorkflowError([Problem(*problem) for problem in head["problems"]])
    kind = getattr(errors, head["error"], GraphEngineError)
    return kind(head["text"]) if isinstance(kind, type) else GraphEngineError(head["text"])


def in_words(code: int) -> str:
    """The status of a process that has ended, in words."""
    if code >= 0:
        return f"it ended with status {code}"
    names = {number.value: number.name for number in signal.Signals}
    name = names.get(-code, f"signal {-code}")
    more = ", perhaps because the machine has too little memory" if name == "SIGKILL" else ""
    return f"it was ended by {name}{more}"
