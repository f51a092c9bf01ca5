"""A fleet whose workers do what a test tells them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from graphengine.errors import Unavailable
from graphengine.fleets.fleet import Ended, Gone, Ready, Report, Told, WorkerState
from graphengine.order import Order


class ScriptedFleet:
    """Workers that note their orders, and say what a test says for them."""

    def __init__(self, workers: int = 1) -> None:
        self.orders: dict[str, Order | None] = {f"w{n}": None for n in range(1, workers + 1)}
        self.seen: list[Order] = []
        self.cancelled: list[tuple[str, int]] = []
        self.reports: asyncio.Queue[Report | None] = asyncio.Queue()

    async def start(self) -> None:
        for name in self.orders:
            self.reports.put_nowait(Ready(name))

    def workers(self) -> list[WorkerState]:
        return [WorkerState(n, "cpu", True, o.job if o else "", 0, 1) for n, o in self.orders.items()]

    def idle(self) -> list[WorkerState]:
        return [worker for worker in self.workers() if not worker.job]

    async def submit(self, worker: str, order: Order) -> None:
        self.orders[worker] = order
        self.seen.append(order)

    async def events(self) -> AsyncIterator[Report]:
        while (report := await self.reports.get()) is not None:
            yield report

    async def cancel(self, job: str, epoch: int) -> None:
        self.cancelled.append((job, epoch))

    async def call(self, what: str, **arguments: Any) -> Any:
        raise Unavailable("there is nobody to ask")

    async def fetch(self, path: str) -> Path:
        return Path(path)

    async def aclose(self) -> None:
        self.reports.put_nowait(None)

    # What a test says for a worker

    def say(self, order: Order, *texts: str) -> None:
        """Events of an order."""
        self.reports.put_nowait(Told(order.job, order.epoch, texts))

    def end(self, order: Order, state: str = "done", **rest: Any) -> None:
        """The end of an order."""
        name = next((n for n, o in self.orders.items() if o == order), "w1")
        if self.orders[name] == order:
            self.orders[name] = None
        self.reports.put_nowait(Ended(name, order.job, order.epoch, state, **rest))

    def die(self, order: Order, why: str = "it was ended by SIGKILL") -> None:
        """The death of the worker that has an order."""
        name = next(n for n, o in self.orders.items() if o == order)
        self.orders[name] = None
        self.reports.put_nowait(Gone(name, why, order.job, order.epoch))
        self.reports.put_nowait(Ready(name))
