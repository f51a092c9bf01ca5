"""Service: jobs through real workers: what they give, how they end, and what outlives what."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sqlite3
from pathlib import Path
from time import monotonic

import pytest
from serving import PACKS, ended, local, names, one, run, served, settings, told, until

from graphengine.errors import Conflict, NotFound, OverLimit, WorkflowError
from graphengine.service import Service

MORE = {"format": 1, "nodes": {"seed": {"type": "number.random_integer", "inputs": {"seed": None}}},
        "inputs": {"seed": "seed.seed"}, "outputs": {"value": "seed.value"}}  # fmt: skip


@pytest.fixture(autouse=True)
def packs(monkeypatch: pytest.MonkeyPatch) -> None:
    """The faulty nodes are installed, for this process and for those that it starts."""
    monkeypatch.syspath_prepend(str(PACKS))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(PACKS), os.environ.get("PYTHONPATH", "")]))


def test_a_job_gives_its_values_its_files_its_events_and_its_trace(tmp_path: Path) -> None:
    async def scene() -> None:
        async with served(settings(tmp_path)) as service:
            flow = one("wait", seconds=0.1, value=3)
            flow["nodes"]["write"] = {"type": "faulty.write", "inputs": {"text": "hello"}}
            job, new = await service.submit(flow)
            assert (job.state, new, job.name) == ("queued", True, "wait")
            assert (await ended(service, job.id)).state == "done"
            detail = await service.detail(job.id)
            assert detail.result == {"value": 3}
            (output,) = detail.outputs
            assert (output.name, output.media) == ("result_0001.txt", "text/plain")
            assert (await service.output(output.id))[1].read_text() == "hello"
            said = names(await told(service, job.id))
            assert said[:3] == ["queued", "running", "run_planned"]
            assert said[-2:] == ["run_ended", "done"]
            trace = json.loads((await service.trace(job.id))[1].read_text())
            assert any(event.get("name") == "node" for event in trace["traceEvents"])
            assert list((service.store.folder / "staging").glob("*")) == []

    run(scene())


def test_a_picture_that_no_node_saves_is_an_output_all_the_same(tmp_path: Path) -> None:
    flow = {"format": 1, "nodes": {"a": {"type": "image.solid", "inputs": {"width": 16, "height": 8}}},
            "outputs": {"image": "a.image"}}  # fmt: skip

    async def scene() -> None:
        async with served(settings(tmp_path)) as service:
            job, _ = await service.submit(flow)
            assert (await ended(service, job.id)).error == ""
            (output,) = (await service.detail(job.id)).outputs
            assert (output.name, output.media) == ("image_0001.png", "image/png")

    run(scene())


def test_an_open_seed_is_drawn_once_and_the_job_says_which(tmp_path: Path) -> None:
    async def scene() -> None:
        async with served(settings(tmp_path)) as service:
            first, _ = await service.submit(MORE, key="one")
            again, new = await service.submit(MORE, key="one")
            assert (again.id, new) == (first.id, False)
            request = (await service.detail(first.id)).request
            assert isinstance(request.inputs["seed"], int)
            assert json.loads(request.workflow)["nodes"]["seed"]["inputs"]["seed"] == request.inputs["seed"]
            with pytest.raises(Conflict, match="key"):
                await service.submit(MORE, {"seed": 3}, key="one")

    run(scene())


def test_what_cannot_start_is_refused_with_every_problem_and_leaves_nothing(tmp_path: Path) -> None:
    async def scene() -> None:
        async with served(settings(tmp_path, jobs_per_client=1)) as service:
            with pytest.raises(WorkflowError, match="nowhere"):
                await service.submit({"format": 1, "nodes": {"a": {"type": "nowhere.node", "inputs": {}}}})
            with pytest.raises(WorkflowError, match="choose another target"):
                await service.submit(MORE, targets=["there_is_none"])
            with pytest.raises(WorkflowError, match="there is no such input"):
                await service.submit(MORE, {"other": 1})
            with pytest.raises(NotFound):
                await service.submit("no_such_workflow")
            assert (await service.jobs()).jobs == ()
            await service.pause()
            await service.submit(MORE)
            with pytest.raises(OverLimit):
                await service.submit(MORE)

    run(scene())


def test_a_node_that_fails_fails_its_job_and_the_next_one_runs(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def scene() -> None:
        async with served(settings(tmp_path)) as service:
            bad, _ = await service.submit(one("fail", text="no such /srv/secret/thing"))
            good, _ = await service.submit(one("wait", seconds=0.0, value=1))
            assert (await ended(service, bad.id)).error == "node: ValueError: no such thing"
            assert (await ended(service, good.id)).state == "done"
            assert service.fleet.workers()[0].starts == 1
        (record,) = [record for record in caplog.records if "Traceback" in record.getMessage()]
        assert (vars(record)["job"], vars(record)["node"]) == (bad.id, "node")

    run(scene())


def test_a_worker_that_dies_costs_one_attempt_and_the_job_goes_on(tmp_path: Path) -> None:
    async def scene() -> None:
        async with served(settings(tmp_path)) as service:
            job, _ = await service.submit(one("die", marker=str(tmp_path / "marker"), times=2))
            found = await ended(service, job.id)
            assert (found.state, found.attempts) == ("done", 3)
            said = await told(service, job.id)
            lost = [event["error"] for event in said if event.get("error")]
            assert len(lost) == 2
            assert "SIGKILL" in lost[0]
            hopeless, _ = await service.submit(one("die"))
            found = await ended(service, hopeless.id)
            assert (found.state, found.attempts) == ("failed", 3)
            assert "it was begun 3 times" in found.error

    run(scene())


def test_a_worker_that_stands_still_is_ended(tmp_path: Path) -> None:
    async def scene() -> None:
        where = settings(tmp_path, attempts=1)
        async with served(where, local(where, silence=2.0)) as service:
            job, _ = await service.submit(one("frozen"))
            found = await ended(service, job.id)
            assert found.state == "failed"
            assert "no sign of life" in found.error

    run(scene())


def test_a_job_of_which_nothing_is_heard_is_given_up(tmp_path: Path) -> None:
    async def scene() -> None:
        where = settings(tmp_path, attempts=1, stall=0.5)
        async with served(where, local(where, patience=0.3), lease=1.0) as service:
            job, _ = await service.submit(one("deaf"))
            found = await ended(service, job.id)
            assert found.state == "failed"
            assert "lost" in found.error

    run(scene())


def test_cancel_acts_within_a_step_and_gives_the_memory_back(tmp_path: Path) -> None:
    async def scene() -> None:
        async with served(settings(tmp_path)) as service:
            warm, _ = await service.submit(one("hold", mebibytes=1))
            await until(lambda: service.fleet.workers()[0].job)
            await asyncio.sleep(4.0)  # all is imported that will be
            await service.cancel(warm.id)
            await asyncio.sleep(1.5)  # a sign of life tells the memory
            before = service.fleet.workers()[0].memory
            job, _ = await service.submit(one("hold", mebibytes=512))
            await until(lambda: service.fleet.workers()[0].memory > before + (400 << 20))
            began = monotonic()
            await service.cancel(job.id)
            assert (await ended(service, job.id)).state == "cancelled"
            assert monotonic() - began < 2.0
            await until(lambda: service.fleet.workers()[0].memory < before + (64 << 20), 10)
            assert service.fleet.workers()[0].starts == 1

    run(scene())


def test_cancel_ends_a_worker_that_does_not_stop(tmp_path: Path) -> None:
    async def scene() -> None:
        where = settings(tmp_path)
        async with served(where, local(where, patience=0.5)) as service:
            job, _ = await service.submit(one("deaf"))
            await until(lambda: service.fleet.workers()[0].job)
            await service.cancel(job.id)
            found = await ended(service, job.id, 5)
            assert (found.state, found.error) == ("cancelled", "")
            after, _ = await service.submit(one("wait", seconds=0.0))
            assert (await ended(service, after.id)).state == "done"

    run(scene())


def test_a_stop_lets_a_short_job_end_and_gives_a_long_one_back(tmp_path: Path) -> None:
    async def scene() -> None:
        service = Service(settings(tmp_path))
        await service.start()
        short, _ = await service.submit(one("wait", seconds=0.5))
        await until(lambda: service.fleet.workers()[0].job)
        await service.close(5.0)
        async with served(settings(tmp_path)) as again:
            assert (await again.job(short.id)).state == "done"
        service = Service(settings(tmp_path))
        await service.start()
        long, _ = await service.submit(one("wait", seconds=1.0))
        await until(lambda: service.fleet.workers()[0].job)
        await service.close(0.0)
        async with served(settings(tmp_path)) as again:
            found = await ended(again, long.id)
            assert (found.state, found.attempts) == ("done", 1)

    run(scene())


def test_paused_nothing_begins_and_moved_jobs_run_in_their_new_order(tmp_path: Path) -> None:
    async def scene() -> None:
        async with served(settings(tmp_path)) as service:
            await service.pause()
            marker = tmp_path / "order"
            flows = [one("count", marker=str(marker), value=i) for i in range(4)]
            jobs = [(await service.submit(flow)).job for flow in flows]
            await service.move(jobs[3].id, "front")
            await service.prioritise(jobs[2].id, 5)
            await service.cancel(jobs[0].id)
            line = await service.line()
            assert line.paused
            assert [job.id for job in line.waiting] == [jobs[2].id, jobs[3].id, jobs[1].id]
            await service.pause(False)
            for job in jobs:
                await ended(service, job.id)
        assert marker.read_text().split() == ["2", "3", "1"]

    run(scene())


def test_several_workers_run_several_jobs_at_once(tmp_path: Path) -> None:
    async def scene() -> None:
        where = settings(tmp_path)
        async with served(where, local(where, 2)) as service:
            await until(lambda: all(worker.ready for worker in service.fleet.workers()))
            for _ in range(2):
                await service.submit(one("wait", seconds=2.0))
            await until(lambda: all(worker.job for worker in service.fleet.workers()), 10)

    run(scene())


def test_a_plan_says_what_is_cached_also_while_a_job_runs(tmp_path: Path) -> None:
    async def scene() -> None:
        async with served(settings(tmp_path)) as service:
            flow = one("count", marker=str(tmp_path / "m"), value=7)
            await until(lambda: service.health().ready)
            assert (await service.plan(flow)).steps == ["node"]
            job, _ = await service.submit(flow)
            await ended(service, job.id)
            busy, _ = await service.submit(one("wait", seconds=30.0))
            await until(lambda: service.fleet.workers()[0].job)
            assert (await service.plan(flow)).cached == ["node"]
            await service.cancel(busy.id)
            with pytest.raises(NotFound):
                await service.choices("number.add", "first")
            assert "storybook" in await service.choices("diffusion.load_model", "model")

    run(scene())


def test_a_server_that_is_killed_leaves_a_job_that_its_successor_ends(tmp_path: Path) -> None:
    """The process that is killed is a real one; the successor takes the job back although its lease holds."""
    where = settings(tmp_path)

    async def first() -> None:
        service = Service(where, local(where), lease=3600.0)
        await service.start()
        await service.submit(one("wait", seconds=60.0 if os.environ.get("LONG") else 1.0))
        await until(lambda: service.fleet.workers()[0].job)
        os.kill(os.getpid(), signal.SIGKILL)

    child = os.fork()
    if child == 0:
        try:
            asyncio.run(first())
        finally:
            os._exit(1)
    assert os.WIFSIGNALED(os.waitpid(child, 0)[1])

    async def second() -> None:
        async with served(where, lease=3600.0) as service:
            (job,) = (await service.jobs()).jobs
            found = await ended(service, job.id)
            assert (found.state, found.attempts) == ("done", 2)

    run(second())


def test_a_disk_that_is_full_when_a_job_ends_delays_its_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scene() -> None:
        async with served(settings(tmp_path)) as service:
            real, refusals = service.store.finish, [1, 1]

            def finish(*arguments: object, **named: object) -> bool:
                if refusals:
                    refusals.pop()
                    from graphengine.errors import StoreError

                    raise StoreError("the disk is full")
                return real(*arguments, **named)  # type: ignore[arg-type]

            monkeypatch.setattr(service.store, "finish", finish)
            job, _ = await service.submit(one("write"))
            assert (await ended(service, job.id)).state == "done"
            assert len((await service.detail(job.id)).outputs) == 1
            assert refusals == []

    run(scene())


def test_the_process_of_the_service_imports_no_torch() -> None:
    import subprocess
    import sys

    program = "import graphengine.service, sys; print('torch' in sys.modules, 'numpy' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "False"]


def test_a_backup_is_a_whole_database(tmp_path: Path) -> None:
    async def scene() -> None:
        async with served(settings(tmp_path)) as service:
            job, _ = await service.submit(one("wait", seconds=0.0))
            await service.backup(tmp_path / "copy.sqlite")
            with sqlite3.connect(tmp_path / "copy.sqlite") as copy:
                assert copy.execute("SELECT id FROM jobs").fetchall() == [(job.id,)]
            copy.close()

    run(scene())
