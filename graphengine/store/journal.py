"""Journal: the events of all jobs, in one numbered sequence without gaps.

A reader keeps the number of the last event that it has seen and asks for what came since; so it can leave,
come back, and miss nothing. Old events are trimmed from the beginning only, and an excerpt says where that
has cut into what was asked for. Each change of a job's state is written here in the same transaction as the
state, as `{"event": "job", "state": ...}`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import NamedTuple

from graphengine.errors import OverLimit
from graphengine.store import faults
from graphengine.store.database import Database, Rows
from graphengine.store.jobs import Entry, Excerpt, held

EVENT_LIMIT = 64 * 1024
"""Bytes of one event."""
REMOVED = '{"event": "removed"}'
"""What is left of an event whose job was removed: its number."""


class Words(NamedTuple):
    """Events of a running job, as JSON texts, of the lease of an epoch."""

    job: str
    epoch: int
    texts: Sequence[str]


class Journal:
    """Events are appended by who holds a job's lease, and read by anybody."""

    def __init__(self, database: Database, clock: Callable[[], float]) -> None:
        self.database, self.clock = database, clock

    def append(self, job: str, epoch: int, texts: Sequence[str]) -> bool:
        """Write events of a running job, all or none. False, and nothing written, if the epoch is over."""
        return self.extend([Words(job, epoch, texts)])[0]

    def extend(self, said: Sequence[Words]) -> list[bool]:
        """The same for any number of jobs, in one transaction."""
        for words in said:
            checked(words.texts)
        with self.database.write("append") as rows:
            return [held(rows, *words[:2]) and recorded(rows, self.clock(), words) for words in said]

    def read(self, since: int = 0, *, job: str | None = None, limit: int = 1000) -> Excerpt:
        """The events after number `since`, of one job or of all, `limit` at most."""
        with self.database.read() as rows:
            last = self.last(rows)  # before the events: what comes in between is left for the next excerpt
            found = following(rows, since, job, max(limit, 1))
            oldest = rows.one("SELECT min(sequence) FROM events")
        begin = oldest[0] if oldest and oldest[0] is not None else last + 1
        if found:
            last = found[-1].sequence if len(found) >= max(limit, 1) else max(last, found[-1].sequence)
        return Excerpt(found, last, since + 1 < begin)

    def after(self, since: int, limit: int) -> tuple[Entry, ...]:
        """The same as a mere list, of all jobs, for a reader that is never far behind."""
        with self.database.read() as rows:
            return following(rows, since, None, limit)

    def last(self, rows: Rows) -> int:
        """The number of the newest event that there ever was; 0 before the first."""
        row = rows.one("SELECT seq FROM sqlite_sequence WHERE name = 'events'")
        return int(row[0]) if row else 0

    def trim(self, *, keep: int | None = None, before: float | None = None) -> int:
        """Remove the oldest events: all but the newest `keep`, and those from before a time. Gives how many.

        Only a beginning is removed: an older time further on (a clock that was set back) stays.
        """
        with self.database.write("trim") as rows:
            until = self.last(rows) - keep if keep is not None else 0
            if before is not None:
                young = rows.one(
                    "SELECT sequence FROM events WHERE time >= ? ORDER BY sequence LIMIT 1", before
                )
                until = max(until, young[0] - 1 if young else self.last(rows))
            return rows.run("DELETE FROM events WHERE sequence <= ?", until)


def following(rows: Rows, since: int, job: str | None, limit: int) -> tuple[Entry, ...]:
    """The events after a number, of one job or of all."""
    mine, values = ("job = ? AND ", (job,)) if job is not None else ("", ())
    sql = f"SELECT {', '.join(Entry._fields)} FROM events WHERE {mine}sequence > ? ORDER BY sequence LIMIT ?"
    return tuple(map(Entry._make, rows.all(sql, *values, since, limit)))


def checked(texts: Sequence[str]) -> None:
    """OverLimit if an event is too large."""
    for text in texts:
        if (size := len(text.encode())) > EVENT_LIMIT:
            raise OverLimit(f"an event of {size} bytes is too large; send {EVENT_LIMIT} at most")


def recorded(rows: Rows, now: float, words: Words) -> bool:
    """Write some events of a job in a transaction."""
    for text in words.texts:
        faults.fault("append.event")
        record(rows, words.job, now, text)
    return True


def record(rows: Rows, job: str, now: float, text: str) -> None:
    """Write one event in a transaction. A transaction that is rolled back gives its numbers back."""
    rows.run("INSERT INTO events (job, time, text) VALUES (?, ?, ?)", job, now, text)


def changed(rows: Rows, job: str, now: float, state: str, error: str = "") -> None:
    """Write that a job is in another state now."""
    reason = {"error": error[: EVENT_LIMIT // 16]} if error else {}  # a character may take 12 bytes as JSON
    record(rows, job, now, json.dumps({"event": "job", "state": state, **reason}))
