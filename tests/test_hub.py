"""Hub: every reader is given every event once and in order, wherever it begins and however slow it is."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from serving import run

from graphengine.hub import Hub, Preview
from graphengine.store.jobs import Lease, Request
from graphengine.store.store import Store


@asynccontextmanager
async def hub(folder: Path) -> AsyncIterator[tuple[Hub, Store, Lease]]:
    async def call(function: Any, *arguments: Any, **named: Any) -> Any:
        return await asyncio.to_thread(function, *arguments, **named)

    with Store(folder / "data") as store:
        store.submit(Request("{}"))
        lease = store.queue.claim("w")
        assert lease is not None
        hub = Hub(store.journal, call)
        await hub.start()
        try:
            yield hub, store, lease
        finally:
            await hub.close()


def write(hub: Hub, store: Store, lease: Lease, *numbers: int) -> None:
    store.journal.append(lease.job.id, lease.epoch, [f'{{"event":"n","n":{n}}}' for n in numbers])
    hub.notice()


async def read(hub: Hub, since: int, last: int, pause: float = 0.0, job: str | None = None) -> list[int]:
    """The numbers of the events up to `last`."""
    found: list[int] = []
    async for entries in hub.follow(since, job):
        found += [entry.sequence for entry in entries]
        if found[-1] >= last:
            return found
        await asyncio.sleep(pause)
    return found


def test_readers_that_begin_anywhere_are_given_the_rest_in_order(tmp_path: Path) -> None:
    async def scene() -> None:
        async with hub(tmp_path) as (h, store, lease):
            assert h.last == 2  # queued, running
            readers = [asyncio.create_task(read(h, since, 302)) for since in (0, 1, 2, 2)]
            for n in range(100):
                write(h, store, lease, n, n, n)
            late = asyncio.create_task(read(h, 150, 302))
            for reader, since in zip([*readers, late], (0, 1, 2, 2, 150), strict=True):
                assert await reader == list(range(since + 1, 303))

    run(scene())


def test_a_reader_that_is_far_behind_goes_on_from_the_journal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("graphengine.hub.PAGE", 7)

    async def scene() -> None:
        async with hub(tmp_path) as (h, store, lease):
            h.newest = type(h.newest)(maxlen=10)
            slow = asyncio.create_task(read(h, 0, 102, 0.001))
            mine = asyncio.create_task(read(h, 0, 102, 0.001, lease.job.id))
            for n in range(100):
                write(h, store, lease, n)
                await asyncio.sleep(0)
            assert await slow == list(range(1, 103))
            assert await mine == list(range(1, 103))
            assert len(h.newest) == 10

    run(scene())


def test_events_of_one_job_are_told_apart(tmp_path: Path) -> None:
    async def scene() -> None:
        async with hub(tmp_path) as (h, store, lease):
            other = store.submit(Request("{}"))
            reader = asyncio.create_task(read(h, 0, 4, job=lease.job.id))
            write(h, store, lease, 1)
            assert await reader == [1, 2, 4]
            assert await read(h, 0, 3, job=other.id) == [3]

    run(scene())


def test_what_was_trimmed_is_told_to_be_lost(tmp_path: Path) -> None:
    async def scene() -> None:
        async with hub(tmp_path) as (h, store, lease):
            write(h, store, lease, *range(10))
            store.journal.trim(keep=5)
            assert await h.lost(0)
            assert not await h.lost(7)
            assert await read(h, 0, 12) == list(range(8, 13))

    run(scene())


def test_readers_end_when_the_hub_is_closed(tmp_path: Path) -> None:
    async def scene() -> None:
        async with hub(tmp_path) as (h, _, _):
            reader = asyncio.create_task(read(h, h.last, 99))
            looker = asyncio.create_task(anext(h.previews(), None))  # type: ignore[arg-type]
            await asyncio.sleep(0.05)
        assert await reader == []
        assert await looker is None

    run(scene())


def test_a_slow_looker_is_given_the_newest_picture_and_none_of_a_job_that_has_ended(tmp_path: Path) -> None:
    async def scene() -> None:
        async with hub(tmp_path) as (h, _, _):
            for n in range(5):
                h.show(Preview("j", "a", "image/jpeg", n, n, b"x"))
            h.show(Preview("other", "a", "image/jpeg", 9, 9, b"x"))
            looker = h.previews("j")
            assert (await anext(looker)).width == 4
            h.forget("j")
            next = asyncio.ensure_future(anext(looker))
            await asyncio.sleep(0.01)
            assert not next.done()
            h.show(Preview("j", "b", "image/jpeg", 7, 7, b"x"))
            assert (await next).node == "b"

    run(scene())
