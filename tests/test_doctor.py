"""The doctor finds what a test has broken, says what to do, and changes nothing."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from served import serving

from graphengine import doctor, resources
from graphengine.config import Settings
from graphengine.doctor import CHECKS, Finding, examine, usable
from graphengine.registry import BrokenPack, Manifest
from graphengine.session import Session
from graphengine.store.database import MIGRATIONS
from graphengine.store.jobs import Draft, Request
from graphengine.store.store import Store


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def settings(cache: Path, tmp_path: Path) -> Settings:
    """A machine on which nothing was done yet."""
    return Settings(
        models=(tmp_path / "models",),
        cache=cache,
        outputs=tmp_path / "outputs",
        data=tmp_path / "data",
        port=0,
    )


def look(topic: str, settings: Settings, **changed: Any) -> list[Finding]:
    """What one check finds."""
    session = Session(settings.model_copy(update=changed))
    return [Finding(level, topic, text, remedy) for level, text, remedy in CHECKS[topic](session)]


def worst(found: list[Finding]) -> Finding:
    """The gravest finding."""
    return max(found, key=lambda each: ("ok", "warning", "problem").index(each.level))


def snapshot(folder: Path) -> dict[str, tuple[int, int]]:
    return {
        str(p): ((s := p.stat()).st_size, s.st_mtime_ns) for p in sorted(folder.rglob("*")) if p.is_file()
    }


def test_a_sound_machine_has_no_problem_and_every_check_is_made(settings: Settings, tmp_path: Path) -> None:
    before = snapshot(tmp_path)
    found = list(examine(settings))
    assert list(dict.fromkeys(each.topic for each in found)) == list(CHECKS)
    assert [each for each in found if each.level == "problem"] == []
    assert all(each.text and (each.level == "ok") == (each.remedy == "") for each in found)
    assert snapshot(tmp_path) == before


def test_every_check_says_what_it_is() -> None:
    assert all(check.__doc__ for check in CHECKS.values())


def test_a_check_that_fails_leaves_the_others(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(session: Session) -> Iterator[Any]:
        raise OSError("the disk is gone")

    monkeypatch.setattr(doctor, "CHECKS", {"disk": broken, "python": CHECKS["python"]})
    disk, python = examine(settings)
    assert disk == Finding("problem", "disk", "the disk is gone", "")
    assert python.level == "ok"


# torch and threads


@pytest.mark.parametrize(
    ("probe", "text"),
    [
        ("raise ImportError('no torch here')", "cannot be imported: ImportError: no torch here"),
        ("import os; os._exit(9)", "its process ended with 9"),
        ("import time; time.sleep(60)", "took more than 0.5 seconds"),
    ],
)
def test_a_torch_that_cannot_be_imported_is_a_problem(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, probe: str, text: str
) -> None:
    monkeypatch.setattr(doctor, "PROBE", probe)
    monkeypatch.setattr(doctor, "PATIENCE", 0.5 if "sleep" in probe else 60)
    (found,) = look("torch", settings)
    assert found.level == "problem"
    assert text in found.text
    assert found.remedy


def told(names: list[str], built: str = "", threads: int = 1) -> str:
    """A probe of another machine."""
    values = ["2.9", names, [8 << 30] * len(names), False, built, threads]
    return f"import json; print(json.dumps({values!r}))"


def test_devices_are_named_and_one_that_is_not_there_is_a_problem(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(doctor, "PROBE", told(["Big GPU"], "12.8"))
    assert look("torch", settings)[0].text == "2.9; devices: cuda:0 (Big GPU, 8.0GiB), cpu"
    assert worst(look("torch", settings, device="cuda:0")).level == "ok"
    for device in ("cuda:1", "mps"):
        found = worst(look("torch", settings, device=device))
        assert (found.level, found.remedy) == ("problem", "set it to auto")
        assert f"GRAPHENGINE_DEVICE is {device}" in found.text


def test_a_gpu_that_torch_was_not_built_for_is_told(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "nvidia-smi").write_text("#!/bin/sh\n")
    (tmp_path / "nvidia-smi").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    monkeypatch.setattr(doctor, "PROBE", told([]))
    assert "built for processors only" in worst(look("torch", settings)).text


def test_more_threads_than_cores_and_threads_that_spin_are_told(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(doctor, "PROBE", told([], threads=usable() + 1))
    assert worst(look("torch", settings)).remedy == f"set OMP_NUM_THREADS={usable()}"
    monkeypatch.setattr(doctor, "PROBE", told([], threads=usable()))
    assert worst(look("torch", settings)).level == "ok"
    monkeypatch.setenv("OMP_WAIT_POLICY", "ACTIVE")
    assert worst(look("torch", settings)).remedy == "unset OMP_WAIT_POLICY"
    monkeypatch.delenv("OMP_WAIT_POLICY")
    monkeypatch.setenv("GOMP_SPINCOUNT", "300000000000")
    assert worst(look("torch", settings)).remedy == "unset GOMP_SPINCOUNT"


# Packs, models, workflows, the editor


def test_a_broken_pack_is_told_with_its_first_line(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = Manifest({}, problems=(BrokenPack("mine", "ImportError: no such thing\nmore", "trace"),))
    monkeypatch.setattr(Session, "manifest", broken)
    found = look("packs", settings)
    assert found[0].text == "mine: ImportError: no such thing"
    assert "`graphengine nodes`" in found[0].remedy
    assert [each.level for each in found] == ["problem", "problem"]
    assert found[1].text == "none is installed"


def test_a_damaged_model_is_told_and_where_to_look(settings: Settings, tmp_path: Path) -> None:
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "bad.safetensors").write_bytes(b"\xff" * 100)
    found = worst(look("models", settings))
    assert found.level == "warning"
    assert "bad: " in found.text
    assert found.remedy == "`graphengine models verify bad` looks closer"


def test_a_shipped_workflow_that_cannot_run_is_a_problem(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert look("workflows", settings)[0].text.startswith("21 of 21 ")
    (tmp_path / "bad.json").write_text("{")
    (tmp_path / "odd.json").write_text('{"format": 1, "nodes": {"a": {"type": "no.such"}}}')
    monkeypatch.setattr(resources, "workflows", lambda: tmp_path)
    found = look("workflows", settings)
    assert [each.level for each in found] == ["problem", "problem", "ok"]
    assert found[2].text == "0 of 2 shipped ones can run"
    monkeypatch.setattr(resources, "workflows", lambda: tmp_path / "nowhere")
    assert worst(look("workflows", settings)).level == "problem"


def test_the_editor_is_built_or_it_is_told_how(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(resources, "web", lambda: tmp_path)
    assert worst(look("editor", settings)).level == "warning"
    (tmp_path / "index.html").write_text("<!doctype html>")
    assert worst(look("editor", settings)).level == "ok"


# Folders and the cache


def test_a_folder_that_can_be_none_is_a_problem(settings: Settings, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    found = worst(look("folders", settings, data=tmp_path / "file" / "data"))
    assert (found.level, "GRAPHENGINE_DATA" in found.remedy) == ("problem", True)
    assert f"{tmp_path / 'file'} is a file" in found.text


def test_a_folder_that_cannot_be_written_is_a_problem(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def refuse(*args: Any, **kwargs: Any) -> Any:
        raise PermissionError(13, "Permission denied")

    (tmp_path / "outputs").mkdir()
    monkeypatch.setattr(doctor.tempfile, "TemporaryFile", refuse)
    found = worst(look("folders", settings))
    assert "cannot be written to: Permission denied" in found.text


@pytest.mark.parametrize(("free", "level"), [(10 << 30, "ok"), (500 << 20, "warning"), (1 << 20, "problem")])
def test_little_room_is_told_once_a_disk(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, free: int, level: str
) -> None:
    usage = type("Usage", (), {"free": free})
    monkeypatch.setattr(doctor.shutil, "disk_usage", lambda path: usage)
    found = look("folders", settings)
    assert worst(found).level == level
    assert len(found) == (3 if level == "ok" else 1)


def test_a_data_folder_that_others_can_read_is_told(settings: Settings) -> None:
    settings.data.mkdir(mode=0o755)
    assert worst(look("folders", settings)).remedy == f"chmod 700 {settings.data}"
    settings.data.chmod(0o700)
    assert worst(look("folders", settings)).level == "ok"


def test_a_cache_over_its_limit_and_what_crashes_left_are_told(settings: Settings, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    folder = cache / "values" / "ab"
    folder.mkdir(parents=True)
    (folder / ("0" * 62)).write_bytes(bytes(5000))
    assert worst(look("cache", settings, cache=cache)).level == "ok"
    assert "is more than the limit" in worst(look("cache", settings, cache=cache, disk_cache=100)).text
    assert "is off" in worst(look("cache", settings, cache=cache, disk_cache=0)).text
    (folder / ".writing-0").write_bytes(bytes(100))
    assert worst(look("cache", settings, cache=cache)).level == "ok"  # somebody may be writing it now
    old = time.time() - 2 * 86400
    os.utime(folder / ".writing-0", (old, old))
    found = worst(look("cache", settings, cache=cache))
    assert (found.level, found.text) == ("warning", "1 file of 100B left by crashes")


# The database


@pytest.fixture
def store(settings: Settings) -> Iterator[Store]:
    with Store(settings.data) as store:
        yield store


def test_a_sound_database_is_told_with_its_jobs_while_it_is_open(settings: Settings, store: Store) -> None:
    store.submit(Request("{}"))
    (found,) = look("database", settings)
    assert found.level == "ok"
    assert found.text.endswith(": 1 queued")


def test_a_damaged_database_is_a_problem(settings: Settings, store: Store) -> None:
    for _ in range(200):
        store.submit(Request("{}" + " " * 500))
    store.close()
    file = settings.data / "jobs.sqlite"
    data = bytearray(file.read_bytes())
    data[8192:40960] = b"\xaa" * (40960 - 8192)
    file.write_bytes(data)
    found = worst(look("database", settings))
    assert found.level == "problem"
    assert "`graphengine backup`" in found.remedy
    file.write_bytes(b"not a database at all" * 100)
    assert worst(look("database", settings)).level == "problem"


def test_a_newer_database_and_one_of_another_program_are_problems(settings: Settings, store: Store) -> None:
    store.database.writer.execute(f"PRAGMA user_version = {len(MIGRATIONS) + 1}")
    assert worst(look("database", settings)).remedy == "update GraphEngine"
    store.database.writer.execute("PRAGMA application_id = 7")
    assert "is no database of GraphEngine" in worst(look("database", settings)).text


def test_a_job_from_the_future_is_a_warning(settings: Settings) -> None:
    with Store(settings.data, clock=lambda: time.time() + 7200) as store:
        store.submit(Request("{}"))
    found = worst(look("database", settings))
    assert found.level == "warning"
    assert "the newest job is 120 minutes ahead" in found.text


def test_an_output_whose_file_is_gone_is_a_problem(settings: Settings, store: Store) -> None:
    job = store.submit(Request("{}"))
    lease = store.queue.claim("w")
    assert lease is not None
    store.finish(lease, "done", [Draft("a", "text/plain", b"a")])
    assert worst(look("database", settings)).level == "ok"
    store.outputs.find(store.outputs.of(job.id)[0].id)[1].unlink()
    assert worst(look("database", settings)).text == "1 output of jobs have no file any more"


def test_what_a_crash_left_is_told_until_a_server_looks_after_it(settings: Settings, store: Store) -> None:
    assert worst(look("leftovers", settings)).level == "ok"
    (settings.data / "staging" / "job-1").mkdir(parents=True)
    (store.outputs.folder / f".writing-{'0' * 32}-1-{'0' * 16}").write_text("x")
    found = worst(look("leftovers", settings))
    assert (found.level, found.text.partition(" of ")[0]) == ("warning", "2 pieces")
    (store.outputs.folder / "holiday.png").write_text("x")
    assert "that GraphEngine did not put there" in look("leftovers", settings)[1].text
    (settings.data / "server.json").write_text('{"url": "http://127.0.0.1:9", "token": ""}')
    assert [each.level for each in look("leftovers", settings)] == ["ok"]


# The server


def test_the_port_is_free_or_it_is_told(settings: Settings) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        found = look("server", settings, port=port)
        assert found[0].text == "none runs on this machine"
        assert (found[1].level, found[1].remedy) == ("warning", "choose another with GRAPHENGINE_PORT")
    assert worst(look("server", settings, port=port)).level == "ok"


def test_a_server_is_asked_how_it_is(
    settings: Settings, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with serving(tmp_path, cache) as server:
        note = settings.data / "server.json"
        assert [(each.level, each.text) for each in look("server", settings)] == [
            ("ok", f"{server.behind} is ready")
        ]
        assert worst(list(examine(settings))).level != "problem"
        note.chmod(0o644)
        assert worst(look("server", settings)).remedy.startswith("chmod 600")
        note.chmod(0o600)
        monkeypatch.setattr("graphengine.doctor.Client.health", lambda client: {"ready": False})
        assert "no worker is ready" in worst(look("server", settings)).text
        monkeypatch.undo()
        left = note.read_text()
    assert look("server", settings)[0].text == "none runs on this machine"
    note.write_text(left)  # as `kill -9` leaves it
    note.chmod(0o600)
    found = worst(look("server", settings))
    assert (found.level, "does not answer" in found.text) == ("warning", True)


def test_a_container_may_grant_fewer_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(8)), raising=False)
    for granted, cores in (("150000 100000", 2), ("max 100000", 8), ("nonsense", 8), ("1000 100000", 1)):
        monkeypatch.setattr(Path, "read_text", lambda path, text=granted: text)
        assert usable() == cores
