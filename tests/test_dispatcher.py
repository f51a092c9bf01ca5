"""Dispatcher: every job that a worker is given ends once, whatever the worker, the clock and the disk do."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from faults.scenes import Clock
from scripted import ScriptedFleet
from serving import names, run, until

from graphengine.dispatcher import Dispatcher
from graphengine.errors import StoreError
from graphengine.hub import Hub
from graphengine.order import Order
from graphengine.store.jobs import Job, Request
from graphengine.store.store import Store

REQUEST = Request('{"format": 1}', name="a test")
LEASE = 0.4


class Scene:
    """A store, a fleet that does what it is told, and the dispatcher between them."""

    def __init__(self, store: Store, fleet: ScriptedFleet, dispatcher: Dispatcher, clock: Clock) -> None:
        self.store, self.fleet, self.dispatcher, self.clock = store, fleet, dispatcher, clock

    def submit(self) -> Job:
        job = self.store.submit(REQUEST)
        self.dispatcher.wake()
        return job

    async def order(self, number: int) -> Order:
        """The so-many-th order that a worker was given."""
        await until(lambda: len(self.fleet.seen) > number)
        return self.fleet.seen[number]

    async def state(self, job: Job, state: str) -> Job:
        def found() -> Job | None:
            now = self.store.job(job.id)
            return now if now.state == state else None

        there: Job = await until(found, 10)
        return there

    def told(self, job: Job) -> list[str]:
        import json

        return names([json.loads(e.text) for e in self.store.journal.read(0, job=job.id).entries])


@asynccontextmanager
async def scene(folder: Path, workers: int = 1, **options: Any) -> AsyncIterator[Scene]:
    async def call(function: Any, *arguments: Any, **named: Any) -> Any:
        return await asyncio.to_thread(function, *arguments, **named)

    clock = Clock(1000.0)
    with Store(folder / "data", clock=clock, lease=LEASE) as store:
        hub, fleet = Hub(store.journal, call), ScriptedFleet(workers)
        await hub.start()
        dispatcher = Dispatcher(store, fleet, hub, call, **options)
        await dispatcher.start()
        try:
            yield Scene(store, fleet, dispatcher, clock)
        finally:
            await dispatcher.close(0.0)
            await hub.close()


def test_a_worker_is_given_one_job_at_a_time_in_order(tmp_path: Path) -> None:
    async def play() -> None:
        async with scene(tmp_path) as s:
            first, second = s.submit(), s.submit()
            order = await s.order(0)
            await asyncio.sleep(0.05)
            assert [o.job for o in s.fleet.seen] == [first.id]
            s.fleet.end(order)
            await s.state(first, "done")
            s.fleet.end(await s.order(1))
            await s.state(second, "done")

    run(play())


def test_a_late_word_of_an_attempt_that_was_lost_is_ignored(tmp_path: Path) -> None:
    async def play() -> None:
        async with scene(tmp_path) as s:
            job = s.submit()
            first = await s.order(0)
            s.fleet.die(first)
            second = await s.order(1)
            assert second.epoch > first.epoch
            s.fleet.say(first, '{"event":"late"}')
            s.fleet.end(first, "failed", error="too late")
            s.fleet.say(second, '{"event":"node_started","node":"a"}')
            s.fleet.end(second, result={"value": 2})
            await s.state(job, "done")
            assert s.store.result(job.id) == {"value": 2}
            assert s.told(job) == ["queued", "running", "queued", "running", "node_started", "done"]

    run(play())


def test_a_clock_that_jumps_forward_ends_no_lease_that_is_kept(tmp_path: Path) -> None:
    async def play() -> None:
        async with scene(tmp_path) as s:
            job = s.submit()
            order = await s.order(0)
            s.clock.now += 1e6
            await asyncio.sleep(2 * LEASE)
            s.fleet.end(order)
            assert (await s.state(job, "done")).attempts == 1
            assert s.told(job) == ["queued", "running", "done"]

    run(play())


def test_a_clock_that_jumps_back_ends_no_lease(tmp_path: Path) -> None:
    async def play() -> None:
        async with scene(tmp_path) as s:
            job = s.submit()
            order = await s.order(0)
            s.clock.now -= 1e6
            await asyncio.sleep(2 * LEASE)
            s.fleet.end(order)
            found = await s.state(job, "done")
            assert found.attempts == 1

    run(play())


def test_a_lease_is_kept_as_long_as_the_job_runs(tmp_path: Path) -> None:
    async def play() -> None:
        async with scene(tmp_path) as s:
            job = s.submit()
            order = await s.order(0)
            for _ in range(10):
                s.clock.now += LEASE / 3
                await asyncio.sleep(LEASE / 3)
            s.fleet.end(order)
            assert (await s.state(job, "done")).attempts == 1

    run(play())


def test_a_cancel_reaches_the_worker_also_if_only_the_store_knows_of_it(tmp_path: Path) -> None:
    async def play() -> None:
        async with scene(tmp_path) as s:
            job = s.submit()
            order = await s.order(0)
            s.store.queue.cancel(job.id)
            await until(lambda: (job.id, order.epoch) in s.fleet.cancelled)
            s.fleet.end(order, "cancelled")
            await s.state(job, "cancelled")
            assert s.store.outputs.of(job.id) == []

    run(play())


def test_a_job_that_ended_before_its_cancel_came_is_done(tmp_path: Path) -> None:
    async def play() -> None:
        async with scene(tmp_path) as s:
            job = s.submit()
            order = await s.order(0)
            s.store.queue.cancel(job.id)
            s.fleet.end(order, "done", result={"value": 1})
            await s.state(job, "done")

    run(play())


def test_a_worker_that_stops_by_itself_has_not_cancelled_the_job(tmp_path: Path) -> None:
    async def play() -> None:
        async with scene(tmp_path) as s:
            job = s.submit()
            s.fleet.end(await s.order(0), "cancelled")
            s.fleet.end(await s.order(1))
            assert (await s.state(job, "done")).attempts == 2

    run(play())


def test_a_result_whose_file_is_gone_is_no_result(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("graphengine.dispatcher.AGAIN", 0.01)
    monkeypatch.setattr("graphengine.dispatcher.TIMES", 3)

    async def play() -> None:
        async with scene(tmp_path) as s:
            job = s.submit()
            files = [{"path": str(tmp_path / "nowhere.png"), "name": "a.png", "media": "image/png"}]
            s.fleet.end(await s.order(0), files=files)
            s.fleet.end(await s.order(1))
            await s.state(job, "done")
            assert s.store.outputs.of(job.id) == []

    run(play())


def test_a_disk_that_refuses_to_give_a_job_delays_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("graphengine.dispatcher.AGAIN", 0.01)

    async def play() -> None:
        async with scene(tmp_path) as s:
            real, refusals = s.store.queue.claim, [1, 1, 1]

            def claim(worker: str) -> Any:
                if refusals:
                    refusals.pop()
                    raise StoreError("the disk is full")
                return real(worker)

            monkeypatch.setattr(s.store.queue, "claim", claim)
            job = s.submit()
            s.fleet.end(await s.order(0))
            await s.state(job, "done")

    run(play())


def test_a_job_whose_loss_the_disk_refused_to_note_is_not_forgotten(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def play() -> None:
        async with scene(tmp_path) as s:
            real, refusals = s.store.queue.lose, [1]

            def lose(*arguments: Any) -> Any:
                if refusals:
                    refusals.pop()
                    raise StoreError("the disk is full")
                return real(*arguments)

            monkeypatch.setattr(s.store.queue, "lose", lose)
            job = s.submit()
            s.fleet.die(await s.order(0))
            s.fleet.end(await s.order(1))
            assert (await s.state(job, "done")).attempts == 2

    run(play())


def test_what_many_workers_tell_at_once_is_written_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def play() -> None:
        async with scene(tmp_path, workers=5) as s:
            real, batches = s.store.journal.extend, list[int]()

            def extend(said: Any) -> Any:
                batches.append(len(said))
                return real(said)

            monkeypatch.setattr(s.store.journal, "extend", extend)
            jobs = [s.submit() for _ in range(5)]
            orders = [await s.order(number) for number in range(5)]
            for order in orders:
                s.fleet.say(order, '{"event":"a"}')
                s.fleet.say(order, '{"event":"b"}')
            await until(lambda: sum(batches) == 10)
            assert len(batches) <= 2
            for order in orders:
                s.fleet.say(order, '{"event":"c"}')
                s.fleet.end(order)
            for job in jobs:
                await s.state(job, "done")
                assert s.told(job) == ["queued", "running", "a", "b", "c", "done"]

    run(play())


def test_an_attempt_that_is_lost_twice_is_lost_once(tmp_path: Path) -> None:
    """The worker's end and the silence about its job are noticed at the same time."""

    async def play() -> None:
        async with scene(tmp_path) as s:
            job = s.submit()
            first = await s.order(0)
            running = s.dispatcher.running[job.id]
            both = (
                s.dispatcher.lose(job.id, first.epoch, "it died"),
                s.dispatcher.lose(job.id, first.epoch, "!"),
            )
            s.fleet.orders["w1"] = None
            await asyncio.gather(*both)
            second = await s.order(1)
            await s.dispatcher.settle(running)
            assert s.dispatcher.running[job.id].lease.epoch == second.epoch
            s.fleet.end(second)
            assert (await s.state(job, "done")).attempts == 2

    run(play())


def test_an_event_that_is_too_large_is_left_out_and_the_others_are_not(tmp_path: Path) -> None:
    async def play() -> None:
        async with scene(tmp_path) as s:
            job = s.submit()
            order = await s.order(0)
            s.fleet.say(order, '{"event":"a"}', '"' + "x" * 100_000 + '"', '{"event":"b"}')
            s.fleet.end(order)
            await s.state(job, "done")
            assert s.told(job) == ["queued", "running", "a", "b", "done"]

    run(play())


def test_what_an_earlier_process_left_is_taken_back_and_its_files_are_cleared(tmp_path: Path) -> None:
    with Store(tmp_path / "data") as store:
        job = store.submit(REQUEST)
        lease = store.queue.claim("w1")
        assert lease is not None
        left = store.outputs.folder / f".writing-{job.id}-{lease.epoch}-{'0' * 16}"
        left.write_bytes(b"half of a pict")
    (tmp_path / "data" / "staging" / "x-1").mkdir(parents=True)

    async def play() -> None:
        async with scene(tmp_path) as s:
            order = await s.order(0)
            assert not (tmp_path / "data" / "staging" / "x-1").exists()
            assert not left.exists()
            s.fleet.end(order)
            assert (await s.state(job, "done")).attempts == 2

    run(play())
