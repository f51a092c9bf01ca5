"""What a durable job costs, beside what the disk itself asks for."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import TypeVar

from graphengine.jobs import Draft, Lease, Request
from graphengine.store import Store

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
