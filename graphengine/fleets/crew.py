"""Crew: what all fleets have in common: workers that are kept running, watched, asked, and told to stop.

A fleet adds one thing: `open`, which starts a worker and gives the Line to it. A line is a worker's one life;
when it is over, the crew says that the worker is Gone, and opens the next one at the same Seat.
"""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from graphengine import errors
from graphengine.channel import Message
from graphengine.errors import GraphEngineError, Problem, Unavailable, WorkflowError
from graphengine.fleets.fleet import Ended, Gone, Logged, Ready, Report, Shown, Told, WorkerState
from graphengine.order import Order

PATIENCE = 2.0
"""Seconds that a worker has to stop a job that was cancelled before it is ended."""
SILENCE = 15.0
"""Seconds without a sign of life after which a worker is ended."""
PAUSES = (0.1, 0.5, 2.0, 5.0, 15.0)
"""Seconds before the next start of a worker that has died several times before it was ready."""


class Line(Protocol):
    """The way to a worker, for as long as it lives."""

    def send(self, message: Message) -> None:
        """Tell it something. What is told to a worker that is gone is lost."""

    async def receive(self) -> Message | None:
        """What it says next, or None when it is over."""

    def kill(self) -> None:
        """End it now; `receive` gives None soon."""

    async def close(self) -> str:
        """Clear away what is over; gives why it is, in words."""


@dataclass(eq=False)
class Seat:
    """One worker, through all its lives."""

    name: str
    device: str
    line: Line | None = None
    ready: bool = False
    order: Order | None = None
    heard: float = 0.0
    memory: int = 0
    free: int = 0
    models: frozenset[str] = frozenset()
    pid: int = 0
    starts: int = 0
    given: int = 0
    """Orders so far."""
    failed: int = 0
    """Starts in a row that came to nothing."""
    verdict: str = ""
    """Why it was ended, if it was not by itself."""
    calls: dict[int, asyncio.Future[Any]] = field(default_factory=dict)

    def kill(self, why: str) -> None:
        """End the worker now."""
        self.verdict = self.verdict or why
        if self.line is not None:
            self.line.kill()

    def send(self, message: Message) -> None:
        """Tell the worker something. Unavailable if it is not there."""
        if self.line is None:
            raise Unavailable(f"the worker {self.name} is not running; ask again soon")
        self.line.send(message)

    def state(self) -> WorkerState:
        """The worker as it is now."""
        job = self.order.job if self.order else ""
        return WorkerState(
            self.name, self.device, self.ready, job, self.memory, self.starts, self.models, self.free,
            self.given,
        )  # fmt: skip


class Crew(ABC):
    """Workers that are each started anew when they die. `devices` has one name for each."""

    def __init__(
        self, devices: Sequence[str], *, silence: float = SILENCE, patience: float = PATIENCE
    ) -> None:
        self.silence, self.patience = silence, patience
        self.seats = {f"worker-{n}": Seat(f"worker-{n}", d) for n, d in enumerate(devices, 1)}
        self.reports: asyncio.Queue[Report | None] = asyncio.Queue()
        self.tasks: set[asyncio.Task[None]] = set()
        self.closing = False
        self.asked = 0

    @abstractmethod
    async def open(self, seat: Seat) -> Line:
        """Start a worker."""

    async def start(self) -> None:
        """Start the workers; gives at once, and they report when they are ready."""
        self.tasks = {asyncio.create_task(self.keep(seat)) for seat in self.seats.values()}
        self.tasks.add(asyncio.create_task(self.watch()))

    def workers(self) -> list[WorkerState]:
        """The workers as they are now."""
        return [seat.state() for seat in self.seats.values()]

    def idle(self) -> list[WorkerState]:
        """Those that can take a job."""
        return [seat.state() for seat in self.seats.values() if seat.ready and seat.order is None]

    async def submit(self, worker: str, order: Order) -> None:
        """Give an order to a worker that has none. Unavailable if it is gone."""
        seat = self.seats[worker]
        if seat.order is not None or not seat.ready:
            raise Unavailable(f"the worker {worker} cannot take a job now")
        seat.send(order.message())
        seat.order = order
        seat.given += 1

    async def events(self) -> AsyncIterator[Report]:
        """What the workers say, in order, until the fleet is closed."""
        while (report := await self.reports.get()) is not None:
            yield report

    async def cancel(self, job: str, epoch: int) -> None:
        """Stop an attempt within a step, else end its worker."""
        for seat in self.seats.values():
            order = seat.order
            if order is not None and (order.job, order.epoch) == (job, epoch):
                with suppress(Unavailable):
                    seat.send(Message({"kind": "cancel", "job": job, "epoch": epoch}))
                task = asyncio.create_task(self.insist(seat, order))
                self.tasks.add(task)
                task.add_done_callback(self.tasks.discard)

    async def insist(self, seat: Seat, order: Order) -> None:
        """End a worker that is still at an order when its time is over."""
        await asyncio.sleep(self.patience)
        if seat.order is order:
            seat.kill("it did not stop when its job was cancelled")

    async def call(self, what: str, **arguments: Any) -> Any:
        """Ask a worker, an idle one if there is one. Unavailable if none is ready."""
        ready = sorted((s for s in self.seats.values() if s.ready), key=lambda s: s.order is not None)
        if not ready:
            raise Unavailable("no worker is ready yet; ask again in some seconds")
        seat, self.asked = ready[0], self.asked + 1
        answer = seat.calls[self.asked] = asyncio.get_running_loop().create_future()
        seat.send(Message({"kind": "call", "call": self.asked, "what": what, "arguments": arguments}))
        return await answer

    async def fetch(self, path: str) -> Path:
        """It is on this machine already."""
        return Path(path)

    async def aclose(self) -> None:
        """End the workers: politely, then not."""
        self.closing = True
        for seat in self.seats.values():
            seat.verdict = seat.verdict or "the server stops"
            with suppress(Unavailable):
                seat.send(Message({"kind": "stop"}))
        keepers = [task for task in self.tasks if not task.done()]
        if keepers:
            await asyncio.wait(keepers, timeout=self.patience)
        for seat in self.seats.values():
            seat.kill("the server stops")
        if keepers:
            await asyncio.wait(keepers, timeout=self.patience)
        for task in list(self.tasks):
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)
        self.reports.put_nowait(None)

    async def keep(self, seat: Seat) -> None:
        """Keep one worker running, one life after another."""
        while not self.closing:
            why = await self.live(seat)
            order, seat.order, seat.ready, seat.models = seat.order, None, False, frozenset()
            for answer in seat.calls.values():
                if not answer.done():
                    answer.set_exception(Unavailable("the worker that was asked is gone; ask again"))
            seat.calls.clear()
            self.reports.put_nowait(
                Gone(seat.name, why, order.job if order else "", order.epoch if order else 0)
            )
            if not self.closing:
                await asyncio.sleep(PAUSES[min(seat.failed, len(PAUSES) - 1)])

    async def live(self, seat: Seat) -> str:
        """One life of a worker; gives why it is over."""
        seat.verdict, seat.heard = "", now()
        seat.starts += 1
        seat.failed += 1  # until it is ready
        try:
            line = await self.open(seat)
        except (OSError, GraphEngineError) as error:
            return f"it could not be started: {error}"
        seat.line, seat.heard = line, now()
        try:
            while (message := await line.receive()) is not None:
                seat.heard = now()
                self.take(seat, message)
        finally:
            seat.line = None
            why = await line.close()
        return seat.verdict or why

    def take(self, seat: Seat, message: Message) -> None:
        """Hear what a worker says."""
        head, order = message.head, seat.order
        seat.memory, seat.free = head.get("memory", seat.memory), head.get("free", seat.free)
        if "models" in head:
            seat.models = frozenset(head["models"])
        match message.kind:
            case "ready":
                seat.ready, seat.failed = True, 0
                seat.device, seat.pid = head["device"], head["pid"]
                self.reports.put_nowait(Ready(seat.name))
            case "events":
                self.reports.put_nowait(Told(head["job"], head["epoch"], head["texts"]))
            case "preview":
                about = {name: head[name] for name in Shown._fields if name != "data"}
                self.reports.put_nowait(Shown(**about, data=message.body))
            case "log":
                self.reports.put_nowait(Logged(seat.name, head["job"], head["node"], head["text"]))
            case "ended":
                if order is not None and (order.job, order.epoch) == (head["job"], head["epoch"]):
                    seat.order = None
                rest = {k: v for k, v in head.items() if k in Ended._fields}
                self.reports.put_nowait(Ended(seat.name, **rest))
            case "answer":
                answer = seat.calls.pop(head["call"], None)
                if answer is not None and not answer.done():
                    if "error" in head:
                        answer.set_exception(raised(head))
                    else:
                        answer.set_result(head["value"])

    async def watch(self) -> None:
        """End the workers that show no sign of life."""
        while not self.closing:
            await asyncio.sleep(min(1.0, self.silence / 4))
            for seat in self.seats.values():
                # While it starts it may be silent longer: the first import of torch takes its time.
                allowed = self.silence if seat.ready else 20 * self.silence
                if seat.line is not None and now() - seat.heard > allowed:
                    seat.kill(f"it gave no sign of life for {allowed:.0f} seconds")


def now() -> float:
    """Seconds of a clock that does not jump."""
    return asyncio.get_running_loop().time()


def raised(head: Mapping[str, Any]) -> GraphEngineError:
    """The error that an answer tells of."""
    if head["error"] == "WorkflowError":
        return WorkflowError([Problem(*problem) for problem in head["problems"]])
    kind = getattr(errors, head["error"], GraphEngineError)
    return kind(head["text"]) if isinstance(kind, type) else GraphEngineError(head["text"])
