"""InProcessFleet: workers as threads of this process, for tests and notebooks.

It starts in milliseconds and shares what is imported already. A thread cannot be ended: one that does not
stop is left alone, unheard, until its node is done. What ends the process ends the workers with it.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from queue import SimpleQueue
from threading import Event, Thread
from typing import TYPE_CHECKING

from graphengine.channel import Message
from graphengine.fleets.crew import PATIENCE, SILENCE, Crew, Seat
from graphengine.session import Session
from graphengine.worker import serve

if TYPE_CHECKING:
    from graphengine.config import Settings


class InProcessFleet(Crew):
    """So many threads, each with a session of its own on the device of the settings."""

    def __init__(
        self, settings: Settings, workers: int = 1, *, silence: float = SILENCE, patience: float = PATIENCE
    ) -> None:
        super().__init__([settings.device] * workers, silence=silence, patience=patience)
        self.settings = settings

    async def open(self, seat: Seat) -> Threaded:
        """Start a thread."""
        line = Threaded(Session(self.settings, (self.settings.data / "inputs",)))
        Thread(target=line.work, daemon=True, name=f"graphengine-{seat.name}").start()
        return line


class Threaded:
    """The way to a worker that is a thread."""

    def __init__(self, session: Session) -> None:
        self.session, self.loop = session, asyncio.get_running_loop()
        self.inbox: SimpleQueue[bytes | None] = SimpleQueue()
        self.outbox: asyncio.Queue[bytes | None] = asyncio.Queue()
        self.over, self.why = Event(), "its thread has ended"

    def work(self) -> None:
        """Be the worker, until it is over. By the thread."""
        try:
            serve(self.session, self.hear, self.say)
        except Exception as error:
            self.why = f"it could not start: {type(error).__name__}: {error}"
        self.put(None)

    def hear(self) -> Message | None:
        """What the worker is told next."""
        data = self.inbox.get()
        return None if data is None else Message.of(data)

    def say(self, message: Message) -> None:
        """Pass on what the worker says, unless it is over."""
        if not self.over.is_set():
            self.put(message.packed())

    def put(self, data: bytes | None) -> None:
        """Hand something to the loop."""
        with suppress(RuntimeError):  # the loop is closed
            self.loop.call_soon_threadsafe(self.outbox.put_nowait, data)

    def send(self, message: Message) -> None:
        """Tell it something."""
        self.inbox.put(message.packed())

    async def receive(self) -> Message | None:
        """What it says next, or None when it is over."""
        data = await self.outbox.get()
        return None if data is None or self.over.is_set() else Message.of(data)

    def kill(self) -> None:
        """Hear it no more; it stops at the next step of what it runs."""
        self.why = "it was ended"
        self.outbox.put_nowait(None)
        self.leave()

    async def close(self) -> str:
        """Let the thread go; gives why it is over."""
        self.leave()
        return self.why

    def leave(self) -> None:
        """Let the thread end as soon as it can."""
        self.over.set()
        self.session.cancel()
        self.inbox.put(None)
