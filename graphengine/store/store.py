"""Store: jobs that outlive the process, in one folder: a SQLite database and the files of the outputs.

What it promises:

1. A job that was submitted is on disk. It ends exactly once: done, failed with a reason, or cancelled.
2. A job may be begun more than once; what it gives is published once, with its end, in one transaction.
3. What comes from a lease that is over is ignored. It is never an error.
4. `kill -9` at any instruction, a full disk, a failing disk and a clock that jumps lose nothing, double
   nothing, and show no half-written file.

An error (StoreError) means that what was asked may not have happened, and never that half of it has. The
caller asks again: a submit with the same idempotency key gives the same job, a second `finish` is ignored.

Every call here waits for the disk. A server calls it from a thread.
"""

from __future__ import annotations

import hashlib
import json
import secrets
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from time import time
from types import TracebackType
from typing import Any

from graphengine.errors import Conflict, NotFound, OverLimit, StoreError
from graphengine.store import faults
from graphengine.store.database import Database
from graphengine.store.jobs import (
    ENDS,
    STATES,
    Accepted,
    Draft,
    End,
    Job,
    Lease,
    Page,
    Request,
    State,
    held,
    job,
    request,
)
from graphengine.store.journal import REMOVED, Journal, Words, changed, recorded
from graphengine.store.journal import checked as checked_events
from graphengine.store.outputs import Outputs, drop, unlink
from graphengine.store.queue import ATTEMPTS, LEASE, LIVING, Queue, checked, end, end_of_line

KEY_LIMIT = 200
"""Characters of an idempotency key, and of a client's name."""
PAGE_LIMIT = 500
"""Jobs on one page."""


class Store:
    """The jobs of one folder, with their queue, their events (`journal`) and their outputs.

    `lease` is how long a worker may be silent, in seconds; `attempts` how often a job is begun; `per_client`
    how many jobs of one client may wait and run at once (None: any number).
    """

    def __init__(
        self,
        folder: Path,
        *,
        clock: Callable[[], float] = time,
        lease: float = LEASE,
        attempts: int = ATTEMPTS,
        per_client: int | None = None,
    ) -> None:
        self.folder, self.clock, self.per_client = folder, clock, per_client
        self.database = Database(folder / "jobs.sqlite")
        self.queue = Queue(self.database, clock, lease, attempts)
        self.journal = Journal(self.database, clock)
        try:
            self.outputs = Outputs(self.database, folder / "outputs", clock)
        except BaseException:
            self.database.close()
            raise

    def __enter__(self) -> Store:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the database."""
        self.database.close()

    def submit(self, asked: Request, *, priority: int = 0, client: str = "", key: str | None = None) -> Job:
        """Put a job at the end of the queue; it is on disk when this returns. See `accept`."""
        return self.accept(asked, priority=priority, client=client, key=key).job

    def accept(
        self,
        asked: Request,
        *,
        priority: int = 0,
        client: str = "",
        key: str | None = None,
        words: str | None = None,
    ) -> Accepted:
        """Put a job at the end of the queue; it is on disk when this returns.

        A client that gives an idempotency key may ask again and gets the same job. Conflict if the key came
        with another request before; OverLimit if the client has too many jobs that have not ended. `words`
        is what the client said, where `asked` is more than that (its seeds are drawn).
        """
        checked(priority)
        if max(len(client), len(key or "")) > KEY_LIMIT:
            raise OverLimit(f"a client's name and an idempotency key have {KEY_LIMIT} characters at most")
        try:
            inputs = json.dumps(dict(asked.inputs), sort_keys=True, allow_nan=False)
        except (TypeError, ValueError) as error:
            raise StoreError(f"the inputs of a job are plain JSON values: {error}") from error
        targets = json.dumps(list(asked.targets))
        body = digest(*((asked.workflow, inputs, targets) if words is None else (words,)), str(priority))
        with self.database.write("submit") as rows:
            if key is not None:
                same = rows.one("SELECT id, body FROM jobs WHERE client = ? AND key = ?", client, key)
                if same and same[1] != body:
                    raise Conflict(f"the key {key!r} was used for another request; use a new one for this")
                if same:
                    return Accepted(job(rows, same[0]), False)
            if self.per_client is not None:
                sql = f"SELECT count(*) FROM jobs INDEXED BY living_of WHERE client = ? AND {LIVING}"
                found = rows.one(sql, client)
                if found and found[0] >= self.per_client:
                    raise OverLimit(f"{found[0]} jobs wait or run, and no more may; wait, or cancel one")
            now = self.clock()
            id = f"{max(int(now * 1000), 0) % (1 << 48):012x}{secrets.token_hex(10)}"  # sorts by time, about
            faults.fault("submit.job")
            rows.run(
                "INSERT INTO jobs (id, client, key, body, priority, position, state, created, "
                "inputs, targets, workflow, name) VALUES (?, ?, ?, ?, ?, ?, 'queued', ?, ?, ?, ?, ?)",
                *(id, client, key, body, priority, end_of_line(rows), now),
                *(inputs, targets, asked.workflow, asked.name),
            )
            changed(rows, id, now, "queued")
        return Accepted(
            Job(id, client, key, priority, "queued", 0, False, False, now, None, None, "", None, asked.name),
            True,
        )

    def job(self, id: str) -> Job:
        """A job as it is now. NotFound if there is none."""
        with self.database.read() as rows:
            return job(rows, id)

    def request(self, id: str) -> Request:
        """What a job was asked to do. NotFound if there is none."""
        with self.database.read() as rows:
            return request(rows, id)

    def result(self, id: str) -> dict[str, Any]:
        """The plain values that a job gave at its named outputs. NotFound if there is no such job."""
        with self.database.read() as rows:
            row = rows.one("SELECT result FROM jobs WHERE id = ?", id)
        if row is None:
            raise NotFound(f"there is no job {id!r}; it may have been removed")
        found: dict[str, Any] = json.loads(row[0])
        return found

    def jobs(
        self,
        *,
        states: Collection[State] = (),
        client: str | None = None,
        cursor: str | None = None,
        limit: int = 50,
    ) -> Page:
        """Jobs, newest first, of some states and of one client (all of them if not given), a page at a time.

        `cursor` is that of the page before. What is submitted meanwhile moves nothing on later pages.
        """
        if cursor is not None and not (cursor.isascii() and cursor.isdecimal() and len(cursor) < 19):
            raise StoreError(f"{cursor!r} is no cursor; give the one that came with the page before")
        before = int(cursor) if cursor is not None else (1 << 63) - 1
        asked, values = ["number < ?"], list[object]([before, *states])
        if states:
            asked.append(f"state IN ({', '.join('?' * len(states))})")
        if client is not None:
            asked.append("client = ?")
            values.append(client)
        limit = min(max(limit, 1), PAGE_LIMIT)
        sql = (
            f"SELECT number, {Job.COLUMNS} FROM jobs WHERE {' AND '.join(asked)} ORDER BY number DESC LIMIT ?"
        )
        with self.database.read() as rows:
            found = rows.all(sql, *values, limit + 1)
        more = str(found[limit - 1][0]) if len(found) > limit else None
        return Page(tuple(Job.of(row[1:]) for row in found[:limit]), more)

    def waiting(self, limit: int = PAGE_LIMIT) -> list[Job]:
        """The first jobs of those that wait, in the order in which they will be claimed."""
        sql = (
            f"SELECT {Job.COLUMNS} FROM jobs INDEXED BY waiting WHERE state = 'queued' "
            "ORDER BY priority DESC, position LIMIT ?"
        )
        with self.database.read() as rows:
            return [Job.of(row) for row in rows.all(sql, limit)]

    def counts(self) -> dict[State, int]:
        """How many jobs there are in each state; it takes no longer where there are many."""
        with self.database.read() as rows:
            found = {state: number for state, number in rows.all("SELECT state, number FROM tally")}
        return {state: found[state] for state in STATES}

    def finish(
        self,
        lease: Lease,
        state: End,
        outputs: Sequence[Draft] = (),
        error: str = "",
        result: Mapping[str, Any] | None = None,
        events: Sequence[str] = (),
    ) -> bool:
        """End a job and publish what it gives, both or neither. False, and nothing done, if it is too late.

        `result` are plain JSON values by the names of the workflow's outputs; `events` the last of the job,
        which come before its end.

        After a StoreError the worker may call it again: if the job had ended after all, that gives False.
        """
        if state not in ENDS:
            raise StoreError(f"a job cannot end as {state!r}; it ends as one of {', '.join(ENDS)}")
        if state == "failed" and not error:
            raise StoreError("a job that fails has a reason; give it as `error`")
        try:
            plain = json.dumps(dict(result or {}), allow_nan=False)
        except (TypeError, ValueError) as wrong:
            raise StoreError(f"the result of a job is plain JSON values: {wrong}") from wrong
        checked_events(events)
        if outputs:  # they are not written in vain
            with self.database.read() as rows:
                if not held(rows, lease.job.id, lease.epoch):
                    return False
        with self.outputs.written(lease, outputs) as files, self.database.write("finish") as rows:
            if not held(rows, lease.job.id, lease.epoch):
                return False
            with self.outputs.published(rows, lease, files):
                faults.fault("finish.job")
                now = self.clock()
                recorded(rows, now, Words(lease.job.id, lease.epoch, events))
                end(rows, lease.job.id, now, state, error if state == "failed" else "", plain)
        return True

    def retry(self, id: str) -> Job:
        """Let a job that failed or was cancelled wait again, behind the others of its priority.

        What it published before is removed. Conflict for a job in another state.
        """
        with self.database.write("retry") as rows:
            found = job(rows, id)
            if found.state not in ("failed", "cancelled"):
                raise Conflict(f"job {id} is {found.state}; only one that failed or was cancelled is retried")
            files = drop(rows, self.outputs.folder, id)
            rows.run(
                "UPDATE jobs SET state = 'queued', attempts = 0, cancelling = 0, started = NULL, "
                "ended = NULL, error = '', result = '{}', worker = NULL, position = ? WHERE id = ?",
                *(end_of_line(rows), id),
            )
            changed(rows, id, self.clock(), "queued")
            again = job(rows, id)
        unlink(files, "retry.unlink")
        return again

    def pin(self, id: str, on: bool = True) -> Job:
        """Keep the outputs of a job whatever space is needed, or let them go with the others."""
        with self.database.write("pin") as rows:
            rows.run("UPDATE jobs SET pinned = ? WHERE id = ?", int(on), id)
            return job(rows, id)

    def remove(self, id: str) -> None:
        """Forget a job that has ended, with its outputs and what its events said. Conflict if it has not."""
        with self.database.write("remove") as rows:
            if (found := job(rows, id)).state not in ENDS:
                raise Conflict(f"job {id} is {found.state}; cancel it first")
            files = drop(rows, self.outputs.folder, id)
            rows.run("DELETE FROM jobs WHERE id = ?", id)
            rows.run("UPDATE events SET text = ? WHERE job = ?", REMOVED, id)  # their numbers stay
            changed(rows, id, self.clock(), "removed")
        unlink(files, "remove.unlink")

    def sweep(self) -> int:
        """Remove what crashes have left among the outputs; gives how many files. Call it at every start."""
        return self.outputs.sweep()

    def backup(self, path: Path) -> None:
        """Copy the database (not the outputs) into one file while it is in use."""
        self.database.backup(path)


def digest(*parts: str) -> bytes:
    """What tells two requests apart."""
    total = hashlib.sha256()
    for part in parts:
        data = part.encode("utf-8", "surrogatepass")
        total.update(len(data).to_bytes(8) + data)
    return total.digest()
