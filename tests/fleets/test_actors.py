"""RayFleet behind the queue: jobs through real actors, which share one cache and are killed."""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
from contextlib import suppress
from pathlib import Path

import pytest
from crews import Heard, heard
from crews import ray as fleet_of
from serving import PACKS, ended, names, one, run, served, settings, told, until

from graphengine.fleets.fleet import Gone
from graphengine.store.jobs import ENDS

pytestmark = pytest.mark.usefixtures("ray_cluster")


@pytest.fixture(autouse=True)
def packs(monkeypatch: pytest.MonkeyPatch) -> None:
    """The faulty nodes are installed, for this process and for those that it starts."""
    monkeypatch.syspath_prepend(str(PACKS))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(PACKS), os.environ.get("PYTHONPATH", "")]))


def test_a_job_goes_on_with_another_worker_where_the_first_one_was(tmp_path: Path) -> None:
    """The first node is slow and cached; the worker dies after it; the other one does not run it again."""
    counted, marker = tmp_path / "counted", tmp_path / "marker"
    flow = one("die", marker=str(marker), times=1)
    given = {"marker": str(counted), "value": 1, "seconds": 0.3}  # long enough to be kept on disk
    flow["nodes"]["count"] = {"type": "faulty.count", "inputs": given}
    flow["nodes"]["node"]["inputs"]["times"] = {"link": "count.value"}

    async def scene() -> None:
        where = settings(tmp_path, cache=tmp_path / "cache")
        async with served(where, fleet_of(where, 2)) as service:
            await until(lambda: all(worker.ready for worker in service.fleet.workers()))
            job, _ = await service.submit(flow)
            found = await ended(service, job.id)
            assert (found.state, found.attempts, found.error) == ("done", 2, "")
            assert counted.read_text() == "1\n"
            assert all(worker.given == 1 for worker in service.fleet.workers())

    run(scene())


def test_actors_that_are_killed_lose_and_double_no_job(tmp_path: Path) -> None:
    import ray

    chance = random.Random(3)

    async def scene() -> None:
        where = settings(tmp_path, attempts=100)
        fleet = fleet_of(where, 2)
        async with served(where, fleet) as service:
            flows = [one("wait", seconds=0.05, value=n) for n in range(24)]
            for flow in flows:
                flow["nodes"]["write"] = {"type": "faulty.write", "inputs": {"text": "whole " * 1000}}
            jobs = [(await service.submit(flow)).job.id for flow in flows]
            for number in range(3):
                seat = await until(
                    lambda: next((s for s in fleet.seats.values() if s.ready and s.order), None)
                )
                await asyncio.sleep(chance.uniform(0.0, 0.1))
                if number % 2 and seat.line is not None:
                    ray.kill(seat.line.actor)
                else:
                    with suppress(ProcessLookupError):  # it is being started
                        os.kill(seat.pid, signal.SIGKILL)
            for number, id in enumerate(jobs):
                assert (await ended(service, id)).state == "done"
                detail = await service.detail(id)
                assert detail.result == {"value": number}
                assert [(await service.output(o.id))[1].read_text() for o in detail.outputs] == [
                    "whole " * 1000
                ]
                assert len([e for e in names(await told(service, id)) if e in ENDS]) == 1

    run(scene())


def test_a_node_with_another_version_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("graphengine.fleets.actors.__version__", "9.9")

    async def scene() -> None:
        async with heard(fleet_of(settings(tmp_path))) as fleet:
            gone = await fleet.first(Gone)
            assert "the server is GraphEngine 9.9" in gone.why

    run(scene())


def test_a_word_takes_no_longer_than_twenty_milliseconds(tmp_path: Path) -> None:
    """There and back: the median of fifty calls, in the quietest of up to five rounds."""

    async def scene() -> None:
        async with heard(fleet_of(settings(tmp_path))) as fleet:
            await until(lambda: fleet.state().ready)
            medians: list[float] = []
            while len(medians) < 5 and min(medians, default=1.0) >= 0.020:
                await asyncio.sleep(1.0)
                medians.append(await measure(fleet))
        assert min(medians) < 0.020, medians

    async def measure(fleet: Heard) -> float:
        late: list[float] = []
        for _ in range(50):
            began = asyncio.get_running_loop().time()
            await fleet.fleet.call("upgrade", workflow=json.dumps({"format": 1, "nodes": {}}))
            late.append(asyncio.get_running_loop().time() - began)
        return sorted(late)[len(late) // 2]

    run(scene())
