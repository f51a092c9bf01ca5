"""Fleet: whatever runs the workers, orders, events, files, cancelling, deaths and questions are the same.

One suite for all: threads of this process, processes, actors of a Ray cluster, and made-up workers.
"""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Callable, Coroutine, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from crews import KINDS, Heard, Kind, heard
from serving import PACKS, one, settings, until

from graphengine.errors import NotFound, Unavailable
from graphengine.fleets.fleet import Ended, Gone, Logged, Ready, Shown, Told
from graphengine.fleets.inprocess import InProcessFleet
from graphengine.fleets.placement import texts
from graphengine.order import Order

ROOT = Path(__file__).parent.parent.parent

Play = Callable[[Heard], Coroutine[Any, Any, None]]


@pytest.fixture(scope="module", autouse=True)
def packs() -> Iterator[None]:
    """The faulty nodes are installed, for this process and for those that it starts."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(PACKS))
        patch.setenv("PYTHONPATH", os.pathsep.join([str(PACKS), os.environ.get("PYTHONPATH", "")]))
        yield


@pytest.fixture(scope="module", params=KINDS)
def kind(request: pytest.FixtureRequest) -> Kind:
    """Each kind of fleet."""
    if request.param == "ray":
        request.getfixturevalue("ray_cluster")
    return KINDS[request.param]


@pytest.fixture(scope="module")
def shared(kind: Kind, packs: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shared]:
    """A fleet of one worker that most tests share, because starting one takes seconds."""
    with asyncio.Runner(loop_factory=kind.loop) as runner:
        fleet = kind.make(settings(tmp_path_factory.mktemp("shared")), 1)
        gate = heard(fleet)
        found = runner.run(gate.__aenter__())
        yield Shared(runner, found)
        runner.run(gate.__aexit__(None, None, None))


class Shared(NamedTuple):
    """A fleet, and the loop that it lives in."""

    runner: asyncio.Runner
    heard: Heard


@pytest.fixture
def play(shared: Shared) -> Callable[..., None]:
    """Run a scene with the shared fleet, from when its worker is ready."""
    runner, found = shared

    def played(scene: Play, **given: Any) -> None:
        before = {name: getattr(found.fleet, name) for name in given}

        async def whole() -> None:
            await until(lambda: found.state().ready and not found.state().job)
            found.reports.clear()
            vars(found.fleet).update(given)
            await scene(found)

        try:
            runner.run(asyncio.wait_for(whole(), 120))
        finally:
            vars(found.fleet).update(before)

    return played


@pytest.fixture
def play_alone(kind: Kind, tmp_path: Path) -> Callable[..., None]:
    """Run a scene with a fleet of its own that has just been started."""

    def played(scene: Play, workers: int = 1, **given: Any) -> None:
        async def whole() -> None:
            async with heard(kind.make(settings(tmp_path), workers, **given)) as found:
                await scene(found)

        with asyncio.Runner(loop_factory=kind.loop) as runner:
            runner.run(asyncio.wait_for(whole(), 120))

    return played


@pytest.fixture
def order(tmp_path: Path) -> Callable[..., Order]:
    """An order for a workflow of one node."""

    def made(type: str, job: str = "job", epoch: int = 1, **inputs: Any) -> Order:
        return Order(job, epoch, json.dumps(one(type, **inputs)), (), str(tmp_path / f"{job}-{epoch}"))

    return made


def test_a_worker_says_when_it_is_ready_and_what_it_has(play_alone, order):
    async def scene(fleet: Heard) -> None:
        with pytest.raises(Unavailable):
            await fleet.fleet.submit("worker-1", order("wait"))
        with pytest.raises(Unavailable):
            await fleet.fleet.call("plan", workflow="{}", targets=[])
        assert not fleet.state().ready
        await fleet.first(Ready)
        assert fleet.of(Ready) == [Ready("worker-1")]
        state = fleet.state()
        assert (state.name, state.device, state.ready, state.job) == ("worker-1", "cpu", True, "")
        assert (state.starts, state.given, state.models) == (1, 0, frozenset())
        assert state.free > 0

    play_alone(scene)


def test_a_job_gives_its_events_in_order_and_then_its_end(play, order):
    async def scene(fleet: Heard) -> None:
        await fleet.fleet.submit("worker-1", order("wait", seconds=0.1, value=3))
        assert fleet.state().job == "job"
        end = await fleet.first(Ended)
        assert (end.worker, end.job, end.epoch, end.state, end.error) == ("worker-1", "job", 1, "done", "")
        assert end.result == {"value": 3}
        told = fleet.of(Told, job="job", epoch=1)
        names = [json.loads(text)["event"] for report in told for text in report.texts]
        assert names[0] == "run_planned"
        assert names.index("node_started") < names.index("node_finished")
        assert names[-1] == "run_ended"
        assert fleet.reports.index(told[-1]) < fleet.reports.index(end)
        assert fleet.state().job == ""

    play(scene)


@pytest.mark.parametrize("mebibytes", [0, 10])
def test_a_file_of_a_job_is_fetched_whole(play, order, mebibytes):
    async def scene(fleet: Heard) -> None:
        asked = order("large", mebibytes=mebibytes) if mebibytes else order("write", text="hello")
        await fleet.fleet.submit("worker-1", asked)
        end = await fleet.first(Ended)
        assert end.error == ""
        (file,) = end.files
        path = await fleet.fleet.fetch(file["path"])
        if mebibytes:
            assert (file["name"], file["media"]) == ("large_0001.bin", "application/octet-stream")
            assert path.read_bytes() == bytes(range(256)) * (mebibytes << 12)
        else:
            assert (file["name"], file["media"]) == ("result_0001.txt", "text/plain")
            assert path.read_text() == "hello"
        assert path.is_relative_to(asked.staging)

    play(scene)


def test_a_file_is_here_although_its_worker_has_died_since(play, order, kind):
    async def scene(fleet: Heard) -> None:
        await fleet.fleet.submit("worker-1", order("write", text="hello"))
        end = await fleet.first(Ended)
        assert end.error == ""
        (file,) = end.files
        kind.kill(fleet.fleet, "worker-1")
        await fleet.first(Gone)
        assert (await fleet.fleet.fetch(file["path"])).read_text() == "hello"

    play(scene)


def test_a_picture_is_shown_as_it_comes(play, order):
    async def scene(fleet: Heard) -> None:
        await fleet.fleet.submit("worker-1", order("show"))
        await fleet.first(Ended)
        (shown,) = fleet.of(Shown)
        assert (shown.job, shown.epoch, shown.node, shown.media) == ("job", 1, "node", "image/jpeg")
        assert (shown.width, shown.height, shown.data[:2]) == (8, 8, b"\xff\xd8")

    play(scene)


def test_a_node_that_fails_fails_the_job_and_the_worker_lives_on(play, order):
    async def scene(fleet: Heard) -> None:
        starts = fleet.state().starts
        await fleet.fleet.submit("worker-1", order("fail", text="no such thing"))
        end = await fleet.first(Ended)
        assert (end.state, end.error) == ("failed", "node: ValueError: no such thing")
        (logged,) = fleet.of(Logged)
        assert (logged.worker, logged.job, logged.node) == ("worker-1", "job", "node")
        assert "ValueError" in logged.text
        await fleet.fleet.submit("worker-1", order("wait", "next", seconds=0.0))
        assert (await fleet.first(Ended, job="next")).state == "done"
        assert fleet.state().starts == starts

    play(scene)


def test_a_workflow_that_cannot_start_is_an_end_too(play, order):
    async def scene(fleet: Heard) -> None:
        flow = {"format": 1, "nodes": {"a": {"type": "nowhere.node", "inputs": {}}}}
        await fleet.fleet.submit("worker-1", Order("job", 1, json.dumps(flow), (), order("x").staging))
        end = await fleet.first(Ended)
        assert end.state == "failed"
        assert end.error.startswith("a")

    play(scene)


def test_a_job_that_is_cancelled_stops_within_a_step(play, order):
    async def scene(fleet: Heard) -> None:
        starts = fleet.state().starts
        await fleet.fleet.submit("worker-1", order("wait", seconds=60.0))
        await fleet.first(Told)
        await fleet.fleet.cancel("job", 7)  # another attempt: nothing happens
        await asyncio.sleep(0.1)
        assert fleet.of(Ended) == []
        await fleet.fleet.cancel("job", 1)
        assert (await fleet.first(Ended, 10)).state == "cancelled"
        assert fleet.state().starts == starts
        await fleet.fleet.submit("worker-1", order("wait", "next", seconds=0.0))
        assert (await fleet.first(Ended, job="next")).state == "done"

    play(scene)


def test_a_worker_that_does_not_stop_is_ended_and_another_takes_its_place(play, order):
    async def scene(fleet: Heard) -> None:
        await fleet.fleet.submit("worker-1", order("deaf", seconds=5.0))
        await fleet.first(Told)
        await fleet.fleet.cancel("job", 1)
        gone = await fleet.first(Gone)
        assert (gone.worker, gone.job, gone.epoch) == ("worker-1", "job", 1)
        assert gone.why == "it did not stop when its job was cancelled"
        await until(lambda: fleet.state().ready)
        await fleet.fleet.submit("worker-1", order("wait", "next", seconds=0.0))
        assert (await fleet.first(Ended, job="next")).state == "done"
        assert fleet.of(Ended, job="job") == []

    play(scene, patience=0.5)


def test_a_worker_that_dies_is_gone_with_its_job_and_another_takes_its_place(play, order, kind):
    async def scene(fleet: Heard) -> None:
        await fleet.fleet.submit("worker-1", order("wait", seconds=60.0))
        await fleet.first(Told)
        kind.kill(fleet.fleet, "worker-1")
        gone = await fleet.first(Gone)
        assert (gone.worker, gone.job, gone.epoch) == ("worker-1", "job", 1)
        assert gone.why
        assert "/" not in gone.why
        await until(lambda: fleet.state().ready)
        await fleet.fleet.submit("worker-1", order("wait", epoch=2, seconds=0.0))
        end = await fleet.first(Ended)
        assert (end.job, end.epoch, end.state) == ("job", 2, "done")

    play(scene)


def test_an_idle_worker_that_dies_is_gone_with_no_job(play, kind):
    async def scene(fleet: Heard) -> None:
        kind.kill(fleet.fleet, "worker-1")
        gone = await fleet.first(Gone)
        assert (gone.job, gone.epoch) == ("", 0)
        await until(lambda: fleet.state().ready)

    play(scene)


def test_a_worker_that_stands_still_is_ended(play, order, kind):
    if kind.name == "inprocess":
        pytest.skip("what stops a thread stops the process")

    async def scene(fleet: Heard) -> None:
        pid = fleet.fleet.seats["worker-1"].pid
        await fleet.fleet.submit("worker-1", order("frozen"))
        assert "no sign of life" in (await fleet.first(Gone)).why
        await until(lambda: fleet.state().ready)
        assert fleet.fleet.seats["worker-1"].pid != pid or not kind.processes
        await until(lambda: not (kind.processes and Path(f"/proc/{pid}").exists()), 10)

    play(scene, silence=2.0)


def test_a_worker_has_one_job_at_a_time(play, order):
    async def scene(fleet: Heard) -> None:
        given = fleet.state().given
        await fleet.fleet.submit("worker-1", order("wait", seconds=0.2))
        with pytest.raises(Unavailable):
            await fleet.fleet.submit("worker-1", order("wait", "second"))
        assert (await fleet.first(Ended)).job == "job"
        assert fleet.state().given == given + 1

    play(scene)


def test_a_question_is_answered_also_while_a_job_runs(play, order):
    async def scene(fleet: Heard) -> None:
        await fleet.fleet.submit("worker-1", order("wait", seconds=60.0))
        await fleet.first(Told)
        found = await fleet.fleet.call("plan", workflow=json.dumps(one("wait", seconds=0.0)), targets=[])
        assert found == {"steps": ["node"], "cached": [], "skipped": []}
        with pytest.raises(NotFound):
            await fleet.fleet.call("choices", type="faulty.wait", input="seconds")
        await fleet.fleet.cancel("job", 1)
        await fleet.first(Ended)

    play(scene)


def test_who_asks_a_worker_that_dies_is_told(play, kind):
    async def scene(fleet: Heard) -> None:
        asked = asyncio.create_task(fleet.fleet.call("plan", workflow=json.dumps(one("wait")), targets=[]))
        kind.kill(fleet.fleet, "worker-1")
        with suppress(Unavailable):
            assert (await asked)["steps"] == ["node"]  # it was quicker

    play(scene)


def test_two_workers_run_two_jobs_at_once_and_an_end_tells_what_it_cut_off(play_alone, order):
    async def scene(fleet: Heard) -> None:
        await until(lambda: all(state.ready for state in fleet.fleet.workers()))
        await fleet.fleet.submit("worker-1", order("wait", "one", seconds=60.0))
        await fleet.fleet.submit("worker-2", order("wait", "two", seconds=0.0))
        assert (await fleet.first(Ended)).job == "two"
        assert (fleet.state("worker-1").job, fleet.state("worker-2").job) == ("one", "")
        await fleet.fleet.aclose()
        await until(lambda: fleet.closed, 10)
        (one,) = fleet.of(Gone, worker="worker-1")
        (two,) = fleet.of(Gone, worker="worker-2")
        assert (one.job, two.job) == ("one", "")
        assert {one.why, two.why} == {"the server stops"}
        assert not any(state.ready for state in fleet.fleet.workers())

    play_alone(scene, workers=2, patience=0.5)


def test_a_worker_says_which_models_it_has_loaded(tmp_path):
    async def scene() -> None:
        flow = json.loads((ROOT / "workflows" / "text_to_image.json").read_text())
        flow["nodes"]["schedule"]["inputs"]["steps"] = 1
        flow["nodes"]["noise"]["inputs"]["seed"] = 1
        where = settings(tmp_path)
        async with heard(InProcessFleet(where)) as fleet:
            await fleet.first(Ready)
            staging = str(tmp_path / "staging")
            await fleet.fleet.submit("worker-1", Order("job", 1, json.dumps(flow), (), staging))
            assert (await fleet.first(Ended)).error == ""
            assert fleet.state().models == {"storybook"}
            assert "storybook" in texts(json.dumps(flow))

    asyncio.run(asyncio.wait_for(scene(), 120))
