"""Queue: which job is next, who runs it, and until when.

The next job is the one of the highest priority, and among those the first by position. A worker that claims
it gets a lease; the lease has an epoch, a number that grows with each claim of the job. What comes with an
older epoch (a worker that was too slow, or was taken for dead) is ignored. So a job may begin more than once
and ends once.

The clock may jump. Forward: leases end early, which costs an attempt. Backward: a lease that began in the
future is taken to begin now, so that nothing waits for the clock to catch up. No order depends on time.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Literal

from graphengine.errors import Conflict, OverLimit
from graphengine.store import faults
from graphengine.store.database import Database, Rows
from graphengine.store.jobs import Job, Lease, Request, held, job
from graphengine.store.journal import changed

LEASE = 30.0
"""Seconds that a worker may be silent."""
ATTEMPTS = 3
"""How often a job is begun before it is given up."""
PRIORITIES = range(-1000, 1001)
STEP = 1 << 20
"""Between two positions, so that others fit in."""
LIVING = "state IN ('queued', 'running')"
# Left to itself SQLite takes the index of states here, and sorts all jobs that wait.
NEXT = (
    "FROM jobs INDEXED BY waiting WHERE state = 'queued' "
    "AND NOT EXISTS (SELECT 1 FROM settings WHERE name = 'paused' AND value = 'yes') "
    "ORDER BY priority DESC, position LIMIT 1"
)
"""The job that is next, if there is one and the queue is not paused."""
LISTED = "SELECT value FROM json_each(?)"

Place = Literal["front", "back", "before", "after"]
Choose = Callable[[Request], str | None]
"""Which worker a job is for."""


class Queue:
    """Jobs that wait and jobs that run. Any thread and any process may use it."""

    def __init__(
        self, database: Database, clock: Callable[[], float], lease: float = LEASE, attempts: int = ATTEMPTS
    ) -> None:
        self.database, self.clock, self.lease, self.attempts = database, clock, lease, attempts

    def claim(self, worker: str | Choose) -> Lease | None:
        """The next job for a worker, or None if none waits or the queue is paused.

        `worker` may be a function that says which worker the job is for (None: it stays where it is).
        """
        with self.database.read() as rows:  # asking often costs no turn at writing
            if rows.one(f"SELECT 1 {NEXT}") is None:
                return None
        with self.database.write("claim") as rows:
            row = rows.one(f"SELECT epoch, {Request.COLUMNS}, {Job.COLUMNS} {NEXT}")
            if row is None:
                return None
            epoch, asked, waiting = row[0] + 1, Request.of(row[1:5]), Job.of(row[5:])
            name = worker if isinstance(worker, str) else worker(asked)
            if name is None:
                return None
            faults.fault("claim.lease")
            now, attempts = self.clock(), waiting.attempts + 1
            rows.run(
                "UPDATE jobs SET state = 'running', epoch = ?, attempts = ?, worker = ?, started = ?, "
                "beat = ?, expires = ? WHERE id = ?",
                *(epoch, attempts, name, now, now, now + self.lease, waiting.id),
            )
            changed(rows, waiting.id, now, "running")
            begun = replace(waiting, state="running", attempts=attempts, worker=name, started=now)
            return Lease(begun, asked, name, epoch, now + self.lease)

    def heartbeat(self, lease: Lease) -> Lease | None:
        """The lease, longer, with whether the job is to be cancelled. None if it is not this worker's now."""
        return self.heartbeats([lease])[0]

    def heartbeats(self, leases: Sequence[Lease]) -> list[Lease | None]:
        """The same for any number of leases, in one transaction."""
        if not leases:
            return []
        with self.database.write("heartbeat") as rows:
            ids = json.dumps([lease.job.id for lease in leases])
            sql = f"SELECT id, epoch, cancelling FROM jobs WHERE id IN ({LISTED}) AND +state = 'running'"
            found = {(id, epoch): bool(cancelling) for id, epoch, cancelling in rows.all(sql, ids)}
            now = self.clock()
            expires, kept = now + self.lease, list[Lease | None]()
            for lease in leases:
                cancelling = found.get((lease.job.id, lease.epoch))
                kept.append(None if cancelling is None else longer(lease, expires, cancelling))
            ids = json.dumps([lease.job.id for lease in kept if lease is not None])
            rows.run(f"UPDATE jobs SET beat = ?, expires = ? WHERE id IN ({LISTED})", now, expires, ids)
            return kept

    def release(self, lease: Lease) -> bool:
        """Give a job back unfinished (the worker was told to stop); it costs no attempt. False if late."""
        with self.database.write("release") as rows:
            if not held(rows, lease.job.id, lease.epoch):
                return False
            rows.run("UPDATE jobs SET attempts = attempts - 1 WHERE id = ?", lease.job.id)
            self.give_back(rows, job(rows, lease.job.id), "")
            return True

    def lose(self, lease: Lease, why: str) -> bool:
        """Take a job back because its worker was lost; it waits again, or has been begun too often and fails.

        False if late.
        """
        with self.database.write("expire") as rows:
            if not held(rows, lease.job.id, lease.epoch):
                return False
            faults.fault("expire.lease")
            self.give_back(rows, job(rows, lease.job.id), f"its worker was lost: {why}")
            return True

    def expire(self, worker: str | None = None) -> list[Job]:
        """Take back the jobs whose leases are over, and those of a worker that is known to be gone.

        Each goes back to its place in the queue; one that was begun too often fails, and one that was to be
        cancelled is. Gives these jobs as they are now.
        """
        due = "state = 'running' AND (expires <= ? OR beat > ? OR worker = ?)"
        with self.database.read() as rows:
            now = self.clock()
            if rows.one(f"SELECT 1 FROM jobs WHERE {due}", now, now, worker) is None:
                return []
        with self.database.write("expire") as rows:
            now = self.clock()
            rows.run(
                "UPDATE jobs SET expires = expires - beat + ?, beat = ? WHERE state = 'running' AND beat > ?",
                *(now, now, now),
            )
            sql = f"SELECT {Job.COLUMNS} FROM jobs WHERE {due} ORDER BY number"
            late = [Job.of(row) for row in rows.all(sql, now, now, worker)]
            for each in late:
                faults.fault("expire.lease")
                self.give_back(rows, each, f"its worker {each.worker} was lost")
            return [job(rows, each.id) for each in late]

    def give_back(self, rows: Rows, given: Job, reason: str) -> None:
        """End the lease of a running job: it waits again, or it ends."""
        if given.cancelling:
            end(rows, given.id, self.clock(), "cancelled", "")
        elif reason and given.attempts >= self.attempts:
            times = "once" if given.attempts == 1 else f"{given.attempts} times"
            text = f"{reason}; it was begun {times}, and that is the limit"
            end(rows, given.id, self.clock(), "failed", text)
        else:
            sql = "UPDATE jobs SET state = 'queued', worker = NULL, beat = NULL, expires = NULL WHERE id = ?"
            rows.run(sql, given.id)
            changed(rows, given.id, self.clock(), "queued", reason)

    def cancel(self, id: str) -> Job:
        """Cancel a job: at once if it waits; else its worker learns of it at its next heartbeat.

        A job that has ended stays as it is.
        """
        with self.database.write("cancel") as rows:
            found = job(rows, id)
            if found.state == "queued":
                end(rows, id, self.clock(), "cancelled", "")
            elif found.state == "running" and not found.cancelling:
                rows.run("UPDATE jobs SET cancelling = 1 WHERE id = ?", id)
                changed(rows, id, self.clock(), "cancelling")
            return job(rows, id)

    def move(self, id: str, place: Place, other: str | None = None) -> Job:
        """Put a waiting job to the front or the back, or before or after another waiting job.

        It takes the priority of its new place. Conflict if one of them does not wait.
        """
        with self.database.write("move") as rows:
            self.waiting(rows, id)
            if place in ("before", "after"):
                if other is None:
                    raise Conflict(f"move job {id} {place} which job? name the other one")
                self.waiting(rows, other)
                if other == id:
                    return job(rows, id)
                priority, position = beside(rows, id, other, place == "before")
            else:
                side, step = ("min", -STEP) if place == "front" else ("max", STEP)
                best = "max" if place == "front" else "min"
                found = rows.one(
                    f"SELECT {best}(priority) FROM jobs INDEXED BY waiting WHERE state = 'queued'"
                )
                edge = rows.one(f"SELECT {side}(position) FROM jobs INDEXED BY living WHERE {LIVING}")
                assert found is not None
                assert edge is not None
                priority, position = found[0], edge[0] + step
            rows.run("UPDATE jobs SET priority = ?, position = ? WHERE id = ?", priority, position, id)
            return job(rows, id)

    def waiting(self, rows: Rows, id: str) -> None:
        """Conflict unless a job waits."""
        if (state := job(rows, id).state) != "queued":
            raise Conflict(f"job {id} is {state}; only a job that is queued has a place in the queue")

    def prioritise(self, id: str, priority: int) -> Job:
        """Give a job that has not ended another priority (higher is sooner)."""
        checked(priority)
        with self.database.write("priority") as rows:
            if rows.run(f"UPDATE jobs SET priority = ? WHERE id = ? AND {LIVING}", priority, id) == 0:
                raise Conflict(f"job {id} is {job(rows, id).state}; it has no priority any more")
            return job(rows, id)

    def pause(self, on: bool = True) -> None:
        """Claim no more jobs (those that run go on), or go on claiming. A restart does not change it."""
        with self.database.write("pause") as rows:
            rows.run(
                "INSERT OR REPLACE INTO settings (name, value) VALUES ('paused', ?)", "yes" if on else "no"
            )

    @property
    def paused(self) -> bool:
        """Whether no job is claimed."""
        with self.database.read() as rows:
            return paused(rows)


def paused(rows: Rows) -> bool:
    """Whether the queue is paused."""
    return rows.one("SELECT value FROM settings WHERE name = 'paused'") == ("yes",)


def longer(lease: Lease, expires: float, cancelling: bool) -> Lease:
    """A lease until later."""
    job = lease.job if lease.job.cancelling == cancelling else replace(lease.job, cancelling=cancelling)
    return Lease(job, lease.request, lease.worker, lease.epoch, expires)


def end(rows: Rows, id: str, now: float, state: str, error: str, result: str = "{}") -> None:
    """End a job, with its lease."""
    rows.run(
        "UPDATE jobs SET state = ?, ended = ?, error = ?, result = ?, cancelling = 0, beat = NULL, "
        "expires = NULL WHERE id = ?",
        *(state, now, error, result, id),
    )
    changed(rows, id, now, state, error)


def checked(priority: int) -> int:
    """A priority that is in range. OverLimit tells the range."""
    if priority not in PRIORITIES:
        raise OverLimit(f"priority: {priority} is out of range; choose {PRIORITIES[0]} to {PRIORITIES[-1]}")
    return priority


def end_of_line(rows: Rows) -> int:
    """A position after every job that waits or runs."""
    found = rows.one(f"SELECT max(position) FROM jobs INDEXED BY living WHERE {LIVING}")
    return 0 if found is None or found[0] is None else int(found[0]) + STEP


def beside(rows: Rows, id: str, other: str, before: bool) -> tuple[int, int]:
    """The priority and a free position just before or after another job."""
    side, sign, step = ("max", "<", -STEP) if before else ("min", ">", STEP)
    while True:
        found = rows.one("SELECT priority, position FROM jobs WHERE id = ?", other)
        assert found is not None
        priority, position = found
        sql = (
            f"SELECT {side}(position) FROM jobs INDEXED BY living WHERE {LIVING} AND id != ? "
            f"AND position {sign} ?"
        )
        beyond = rows.one(sql, id, position)
        next = position + 2 * step if beyond is None or beyond[0] is None else beyond[0]
        middle = (position + next) // 2
        if middle not in (position, next):
            return int(priority), int(middle)
        spread(rows)


def spread(rows: Rows) -> None:
    """Give every job that waits or runs a new position, in the same order, with room in between."""
    for number, (id,) in enumerate(rows.all(f"SELECT id FROM jobs WHERE {LIVING} ORDER BY position")):
        rows.run("UPDATE jobs SET position = ? WHERE id = ?", number * STEP, id)
