"""Whatever fails at whichever step of the store: nothing is lost, doubled, or seen half-written."""

from __future__ import annotations

import ast
import errno
import json
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace

import pytest
from faults import scenes
from faults.scenes import ACTS, AFTER, DRAFTS, FORKS, ORPHAN, WHOLE, Clock, Scene, check, happened, settle

from graphengine.errors import Conflict, NotFound, StoreError
from graphengine.store import faults as points
from graphengine.store.faults import POINTS
from graphengine.store.jobs import Draft, Request
from graphengine.store.store import Store

ATOMIC = [point for point in POINTS if point.partition(".")[0] not in ("migrate", "sweep", "backup")]
"""The points of acts that happen wholly or not at all, as one sees it in the database."""
DIRECT = [point for point in POINTS if point not in FORKS]
OUTSIDE = ["finish.write", "finish.sync", "finish.begin", "heartbeat.begin", "append.begin", "release.begin"]
"""Points at which a worker holds no transaction, so that the others go on while it stands still."""


@pytest.fixture(autouse=True)
def restored(monkeypatch: pytest.MonkeyPatch) -> None:
    """`fault` does nothing again after each test."""
    monkeypatch.setattr(points, "fault", points.fault)


def act(point: str) -> str:
    return point.partition(".")[0]


def committed(point: str) -> bool:
    """Whether a point comes after the commit."""
    return point.endswith(".committed") or point in AFTER


def test_every_point_is_called_somewhere_under_the_name_it_is_listed_by() -> None:
    found: set[str] = set()
    for path in Path(points.__file__).parent.parent.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.args:
                name = getattr(node.args[0], "value", None)
                if node.func.attr == "fault" and isinstance(name, str):
                    found.add(name)
                if node.func.attr == "write" and getattr(node.func.value, "attr", "") == "database":
                    found |= {f"{name}.{step}" for step in ("begin", "commit", "committed")}
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "unlink":
                found.add(getattr(node.args[1], "value", ""))
    assert found | {f"migrate.{step}" for step in ("begin", "commit", "committed")} == set(POINTS)


def test_acting_reaches_every_point(tmp_path: Path) -> None:
    seen: set[str] = set()
    for name, ask in ACTS.items():
        store = Store(tmp_path / name, clock=Clock())
        scene = Scene(store)
        scenes.replaced(seen.add)
        ask(store, scene)
        scenes.replaced(lambda name: None)
        store.close()
    assert seen == set(DIRECT)


@pytest.fixture(scope="module")
def killed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, int]]:
    """A store for each point, as a process left it that was killed there."""
    folder = tmp_path_factory.mktemp("killed")
    command = [sys.executable, scenes.__file__, "points", str(folder), *POINTS]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return folder, json.loads(done.stdout)


def left(folder: Path) -> SimpleNamespace:
    """The scene that a killed process has told of."""
    told = json.loads((folder / "scene.json").read_text())
    job, epoch, expires = told.pop("lease")
    lease = SimpleNamespace(job=SimpleNamespace(id=job), epoch=epoch, expires=expires)
    return SimpleNamespace(**told, lease=lease)


@pytest.mark.parametrize("point", POINTS)
def test_after_kill_9_nothing_is_lost_or_doubled(killed: tuple[Path, dict[str, int]], point: str) -> None:
    folder, ends = killed
    assert ends[point] == -signal.SIGKILL
    clock = Clock()
    with Store(folder / point, clock=clock) as store:
        if point in ATOMIC and act(point) != "heartbeat":  # that one writes the same time here
            assert happened(store, left(folder / point), act(point)) == committed(point)
        settle(store, clock)
    with Store(folder / point / "new") as other:
        assert other.jobs().jobs == ()


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[tuple[Store, Scene, Clock]]:
    clock = Clock()
    with Store(tmp_path, clock=clock) as store:
        yield store, Scene(store), clock


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EIO], ids=["ENOSPC", "EIO"])
@pytest.mark.parametrize("point", POINTS)
def test_after_an_error_of_the_disk_asking_again_does(
    scene: tuple[Store, Scene, Clock], point: str, code: int
) -> None:
    store, made, clock = scene
    clock.now += 1

    def fault(name: str) -> None:
        if name in (point, FORKS.get(point)):
            raise OSError(code, "the disk fails")

    scenes.replaced(fault)
    if point in AFTER:
        ACTS[act(point)](store, made)
    else:
        with pytest.raises(StoreError, match="the disk fails"):
            ACTS[act(point)](store, made)
    scenes.replaced(lambda name: None)
    check(store)
    assert not list(store.folder.rglob(".writing-*"))
    if point in ATOMIC:
        assert happened(store, made, act(point)) == committed(point)
    with suppress(Conflict, NotFound):
        ACTS[act(point)](store, made)
    if point in ATOMIC:
        assert happened(store, made, act(point)) or (act(point), committed(point)) == ("claim", True)
    settle(store, clock)


@pytest.mark.parametrize("jump", [86_400.0, -86_400.0], ids=["forward", "backward"])
@pytest.mark.parametrize("point", DIRECT)
def test_a_clock_that_jumps_changes_nothing(
    scene: tuple[Store, Scene, Clock], point: str, jump: float
) -> None:
    store, made, clock = scene
    clock.now += 1

    def fault(name: str) -> None:
        if name == point:
            clock.now += jump

    scenes.replaced(fault)
    ACTS[act(point)](store, made)
    if point in ATOMIC:
        assert happened(store, made, act(point))
    settle(store, clock)


@pytest.mark.parametrize("point", OUTSIDE)
def test_a_worker_that_stands_still_for_longer_than_its_lease_is_ignored(
    scene: tuple[Store, Scene, Clock], point: str
) -> None:
    store, made, clock = scene
    expected: list[str] = []

    def fault(name: str) -> None:
        if name == point and not expected:
            expected.append("once")
            with Store(store.folder, clock=clock) as other:
                settle(other, clock)

    scenes.replaced(fault)
    assert not ACTS[act(point)](store, made)
    assert expected == ["once"]
    assert store.job(made.lease.job.id).worker == "last"
    check(store, swept=True)


def test_what_is_being_written_is_not_swept_away(scene: tuple[Store, Scene, Clock]) -> None:
    store, made, _ = scene
    swept: list[int] = []

    def fault(name: str) -> None:
        if name == "finish.begin":
            with Store(store.folder) as other:
                swept.append(other.sweep())

    scenes.replaced(fault)
    assert store.finish(made.lease, "done", DRAFTS)
    assert swept == [1]  # the orphan of the scene, and neither of the two that were being written
    assert not (store.outputs.folder / ORPHAN).exists()
    assert len(store.outputs.of(made.lease.job.id)) == 2


def test_what_is_just_being_published_is_not_swept_away(scene: tuple[Store, Scene, Clock]) -> None:
    store, made, _ = scene
    begun = threading.Event()
    failures: list[BaseException] = []

    def sweep() -> None:
        try:
            with Store(store.folder) as other:
                other.sweep()
        except BaseException as error:
            failures.append(error)

    sweeping = threading.Thread(target=sweep)

    def fault(name: str) -> None:
        if name == "finish.commit":  # the files have their names, and no row that others see
            sweeping.start()
            assert begun.wait(10)
        if name == "sweep.begin":
            begun.set()

    scenes.replaced(fault)
    assert store.finish(made.lease, "done", DRAFTS)
    sweeping.join()
    assert failures == []
    assert len(store.outputs.of(made.lease.job.id)) == 2
    check(store, swept=True)


def test_a_database_that_is_full_refuses_and_goes_on_later(scene: tuple[Store, Scene, Clock]) -> None:
    store, made, clock = scene
    (pages,) = store.database.writer.execute("PRAGMA page_count").fetchone()
    store.database.writer.execute(f"PRAGMA max_page_count = {pages}")
    with pytest.raises(StoreError, match="full"):
        store.submit(Request("x" * 50_000))
    check(store)
    store.database.writer.execute("PRAGMA max_page_count = 1000000")
    assert store.finish(made.lease, "done", DRAFTS)
    settle(store, clock)


def test_an_output_that_cannot_be_read_leaves_the_job_running(scene: tuple[Store, Scene, Clock]) -> None:
    store, made, clock = scene
    missing = Draft("film", "video/mp4", store.folder / "missing")
    with pytest.raises(StoreError, match="the output 'film' cannot be written"):
        store.finish(made.lease, "done", [DRAFTS[0], missing])
    assert store.job(made.lease.job.id).state == "running"
    (store.folder / "there").write_bytes(WHOLE)
    assert store.finish(made.lease, "done", [Draft("film", "video/mp4", store.folder / "there")])
    settle(store, clock)
