"""What a durable job costs, beside what the disk itself asks for."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import TypeVar

from graphengine.store.jobs import Draft, Lease, Request
from graphengine.store.store import Store

T = TypeVar("T")


def measured(folder: Path, jobs: int) -> dict[str, float]:
    """The median milliseconds of what a job asks of the store, and of one plain write and fsync."""
    times: dict[str, list[float]] = {}

    def timed(name: str, act: Callable[[], T]) -> T:
        began = perf_counter()
        found = act()
        times.setdefault(name, []).append(1000 * (perf_counter() - began))
        return found

    with Store(folder / "store") as store, (folder / "plain").open("wb") as plain:

        def disk() -> None:
            plain.write(b"x" * 4096)
            plain.flush()
            os.fsync(plain.fileno())

        def claim() -> Lease:
            lease = store.queue.claim("w")
            assert lease is not None
            return lease

        request = Request('{"format": 1}' + " " * 4000, {"prompt": "a tree"}, ("image",))
        for _ in range(jobs):
            timed("disk", disk)
            timed("submit", lambda: store.submit(request))
        for _ in range(jobs):
            lease = timed("claim", claim)
            timed("heartbeat", lambda lease=lease: store.queue.heartbeat(lease))  # type: ignore[misc]
            timed("append", lambda lease=lease: store.journal.append(lease.job.id, lease.epoch, ["{}"] * 10))  # type: ignore[misc]
            draft = Draft("a.png", "image/png", b"x" * 100_000)
            assert timed("finish", lambda lease=lease, draft=draft: store.finish(lease, "done", [draft]))  # type: ignore[misc]
    return {name: median(each) for name, each in times.items()}


def test_a_durable_submit_takes_10_ms_beside_a_few_writes_of_the_disk(tmp_path: Path) -> None:
    found = measured(tmp_path, 60)
    assert found["submit"] <= 10 + 4 * found["disk"], found
    assert found["claim"] + found["finish"] <= 20 + 12 * found["disk"], found


def test_what_is_told_of_the_queue_costs_the_same_however_many_wait_or_have_ended(tmp_path: Path) -> None:
    """In steps of SQLite's machine, which no load changes."""

    def steps(jobs: int) -> dict[str, int]:
        with Store(tmp_path / str(jobs)) as store:
            first = store.submit(Request("{}"))
            same = "client, body, priority, created, inputs, targets, workflow"
            with store.database.write("submit") as rows:
                rows.run(
                    "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?) "
                    f"INSERT INTO jobs (id, position, state, {same}) SELECT printf('%032x', i), i << 20, "
                    f"CASE i % 2 WHEN 1 THEN 'queued' ELSE 'done' END, {same} FROM n, jobs WHERE id = ?",
                    *(jobs, first.id),
                )
            assert store.counts()["queued"] == jobs // 2 + 1
            found = {}
            for name, act in {
                "counts": store.counts,
                "waiting": lambda: store.waiting(20),
                "running": lambda: store.jobs(states=["running"]),
                "paused": lambda: store.queue.paused,
            }.items():
                count = [0]

                def step(count: list[int] = count) -> int:
                    count[0] += 1
                    return 0

                store.database.reader.set_progress_handler(step, 1)
                act()
                store.database.reader.set_progress_handler(None, 0)
                found[name] = count[0]
            return found

    few, many = steps(100), steps(100_000)
    assert few["waiting"] > 20  # they are counted at all
    assert many == few


def test_the_next_job_and_one_more_cost_the_same_however_many_wait_or_have_ended(tmp_path: Path) -> None:
    """A copy of a database of many jobs beside one of few; the disk is the same."""

    def cost(jobs: int) -> tuple[float, float]:
        with Store(tmp_path / str(jobs), per_client=1_000_000) as store:
            first = store.submit(Request("{}"), client="c")
            names = "client, body, priority, state, created, inputs, targets, workflow, name"
            with store.database.write("submit") as rows:
                for number in range(jobs):
                    state = "'done'" if number % 2 else "'queued'"
                    rows.run(
                        f"INSERT INTO jobs (id, position, {names}) "
                        f"SELECT ?, ?, {names.replace('state', state)} FROM jobs WHERE id = ?",
                        *(f"{number:032x}", number << 20, first.id),
                    )
            submits, claims = list[float](), list[float]()
            for _ in range(30):
                began = perf_counter()
                store.submit(Request("{}"), client="c")
                submits.append(perf_counter() - began)
                began = perf_counter()
                assert store.queue.claim("w") is not None
                claims.append(perf_counter() - began)
        return min(submits), min(claims)

    few, many = cost(100), cost(20_000)
    assert many[0] < 3 * few[0] + 0.001, (few, many)
    assert many[1] < 3 * few[1] + 0.001, (few, many)
