"""Hub: the events of all jobs for any number of readers, from the journal first and then as they happen.

A reader has a number, that of the last event it was given, and nothing else: what it is given next is found
in the newest events, which all readers share, or, if it has fallen behind these, in the journal. So a slow
reader costs no memory, and one that comes back goes on where it was.

Pictures are no part of the journal: of each node only the newest is kept, until its job ends.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Awaitable, Callable
from itertools import islice
from typing import Any, NamedTuple

from graphengine.store.jobs import Entry
from graphengine.store.journal import Journal

KEPT = 4000
"""Newest events in memory."""
PAGE = 500
"""Events that a reader is given at once."""

Call = Callable[..., Awaitable[Any]]


class Preview(NamedTuple):
    """A picture of a node of a running job, as the bytes of a file."""

    job: str
    node: str
    media: str
    width: int
    height: int
    data: bytes


class Hub:
    """Events and previews. `call` runs a function that waits for the disk, in a thread."""

    def __init__(self, journal: Journal, call: Call) -> None:
        self.journal, self.call = journal, call
        self.last = 0
        """The number of the newest event."""
        self.newest: deque[Entry] = deque(maxlen=KEPT)
        self.turn, self.sight, self.dirty = asyncio.Event(), asyncio.Event(), asyncio.Event()
        self.renewal = asyncio.Event()
        self.pictures: dict[tuple[str, str], tuple[int, Preview]] = {}
        self.shown = 0
        self.task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Begin with what is in the journal already."""
        self.last = (await self.call(self.journal.read, 0, limit=1)).last
        self.last = await self.call(self.newest_number)
        self.task = asyncio.create_task(self.reading())

    def newest_number(self) -> int:
        """The number of the last event in the journal."""
        with self.journal.database.read() as rows:
            return self.journal.last(rows)

    async def close(self) -> None:
        """End; readers end too."""
        if self.task is not None:
            self.task.cancel()
            await asyncio.gather(self.task, return_exceptions=True)
            self.task = None
        self.wake()

    def notice(self) -> None:
        """Something was written into the journal."""
        self.dirty.set()

    async def reading(self) -> None:
        """Read what was written, and wake the readers."""
        while True:
            await self.dirty.wait()
            self.dirty.clear()
            full = True
            while full:
                entries = await self.call(self.journal.after, self.last, KEPT)
                full = len(entries) == KEPT
                if entries:
                    self.newest.extend(entries)
                    self.last = entries[-1].sequence
                    self.wake()

    def wake(self) -> None:
        """Let every reader look."""
        turn, self.turn = self.turn, asyncio.Event()
        turn.set()
        sight, self.sight = self.sight, asyncio.Event()
        sight.set()

    def renewed(self) -> None:
        """The node types have changed."""
        renewal, self.renewal = self.renewal, asyncio.Event()
        renewal.set()

    async def lost(self, since: int) -> bool:
        """Whether events after this number are not there any more."""
        return bool((await self.call(self.journal.read, since, limit=1)).lost)

    async def follow(self, since: int, job: str | None = None) -> AsyncGenerator[tuple[Entry, ...], None]:
        """The events after a number, of one job or of all, and then each as it happens, until `close`."""
        while True:
            turn = self.turn
            entries, since = await self.after(since, job)
            if entries:
                yield entries
            elif since >= self.last:
                if self.task is None:
                    return
                await turn.wait()

    async def after(self, since: int, job: str | None) -> tuple[tuple[Entry, ...], int]:
        """Some events after a number, and the number to go on from."""
        if since >= self.last:
            return (), since
        if self.newest and self.newest[0].sequence <= since + 1:
            first = since + 1 - self.newest[0].sequence
            found = tuple(islice(self.newest, first, first + PAGE))
            wanted = found if job is None else tuple(entry for entry in found if entry.job == job)
            return wanted, found[-1].sequence
        excerpt = await self.call(self.journal.read, since, job=job, limit=PAGE)
        return excerpt.entries, excerpt.last

    def show(self, preview: Preview) -> None:
        """There is a new picture."""
        self.shown += 1
        self.pictures[preview.job, preview.node] = self.shown, preview
        sight, self.sight = self.sight, asyncio.Event()
        sight.set()

    def forget(self, job: str) -> None:
        """A job has ended: its pictures are not wanted any more."""
        for key in [key for key in self.pictures if key[0] == job]:
            del self.pictures[key]

    async def previews(self, job: str | None = None) -> AsyncGenerator[Preview, None]:
        """The newest picture of each node, and then each that comes; a slow reader is given the newest."""
        seen = 0
        while True:
            sight = self.sight
            fresh = sorted(
                (number, preview)
                for number, preview in self.pictures.values()
                if number > seen and job in (None, preview.job)
            )
            for number, preview in fresh:
                seen = number
                yield preview
            if not fresh:
                if self.task is None:
                    return
                await sight.wait()
