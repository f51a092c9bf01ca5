"""`graphengine backup`, and restoring as the README says."""

from __future__ import annotations

import shutil
import threading

import pytest

from graphengine.store.database import MIGRATIONS
from graphengine.store.jobs import Draft, Request
from graphengine.store.store import Store


@pytest.fixture
def store(tmp_path, monkeypatch):
    """The store of a server that runs, with one job that is done and one that waits."""
    monkeypatch.setenv("GRAPHENGINE_DATA", str(tmp_path / "data"))
    with Store(tmp_path / "data") as store:
        store.submit(Request("{}", {"seed": 1}))
        store.finish(store.queue.claim("w"), "done", [Draft("a.txt", "text/plain", b"a result")])
        store.submit(Request("{}", {"seed": 2}))
        yield store


def test_a_backup_restores_the_jobs_and_their_outputs(graphengine, store, tmp_path):
    jobs = store.jobs().jobs
    (output,) = store.outputs.of(jobs[1].id)
    done = graphengine("backup", "jobs.backup", "--outputs", "outputs.backup")
    assert done.status == 0
    first, second = done.out.splitlines()
    assert first.startswith("jobs.backup: 2 jobs, ")
    assert second == "outputs.backup: 1 new file, 8B; 0 were there"

    store.remove(jobs[1].id)  # and then all is lost
    store.close()
    data = tmp_path / "data"
    shutil.copyfile(tmp_path / "jobs.backup", data / "jobs.sqlite")
    for name in ("jobs.sqlite-wal", "jobs.sqlite-shm"):
        (data / name).unlink(missing_ok=True)
    shutil.copytree(tmp_path / "outputs.backup", data / "outputs", dirs_exist_ok=True)
    with Store(data) as again:
        again.sweep()
        assert again.jobs().jobs == jobs
        assert again.request(jobs[0].id).inputs == {"seed": 2}
        assert again.outputs.find(output.id)[1].read_bytes() == b"a result"
        assert again.queue.claim("w").job.id == jobs[0].id


def test_a_backup_while_jobs_come_in_is_whole(graphengine, store, tmp_path):
    stop = threading.Event()

    def busy():
        while not stop.is_set():
            store.submit(Request("{}"))

    thread = threading.Thread(target=busy)
    thread.start()
    try:
        assert graphengine("backup", "jobs.backup").status == 0
    finally:
        stop.set()
        thread.join()
    (tmp_path / "other").mkdir()
    shutil.copyfile(tmp_path / "jobs.backup", tmp_path / "other" / "jobs.sqlite")
    with Store(tmp_path / "other") as other, other.database.read() as rows:
        assert rows.one("PRAGMA integrity_check") == ("ok",)
        (copied,) = rows.one("SELECT count(*) FROM jobs")
    assert 2 <= copied <= sum(store.counts().values())


def test_no_file_is_replaced(graphengine, store, tmp_path):
    (tmp_path / "jobs.backup").write_text("precious")
    done = graphengine("backup", "jobs.backup")
    assert (done.status, done.err) == (1, "there is jobs.backup already; nothing was changed\n")
    assert (tmp_path / "jobs.backup").read_text() == "precious"


def test_an_output_is_copied_once_and_one_that_is_gone_is_told(graphengine, store, tmp_path):
    for name in ("one", "two"):
        done = graphengine("backup", name, "--outputs", "kept")
    assert "0 new files, 0B; 1 were there" in done.out
    store.outputs.prune(limit=0)
    (tmp_path / "kept" / "half").write_text("another's")
    assert "0 new files, 0B; 0 were there" in graphengine("backup", "three", "--outputs", "kept").out
    job = store.jobs().jobs[0]
    store.finish(store.queue.claim("w"), "done", [Draft("b.txt", "text/plain", b"b")])
    store.outputs.find(store.outputs.of(job.id)[0].id)[1].unlink()
    done = graphengine("backup", "four", "--outputs", "kept")
    assert done.status == 0
    assert "1 outputs are not there any more" in done.err
    assert sorted(path.name for path in (tmp_path / "kept").iterdir() if path.name.startswith(".")) == []


def test_a_backup_leaves_the_version_as_it_is(graphengine, store, tmp_path):
    """So that one can be made before an update brings the database to a newer one."""
    store.database.writer.execute("PRAGMA user_version = 0")
    try:
        assert graphengine("backup", "jobs.backup").status == 0
        assert store.database.version == 0
    finally:
        store.database.writer.execute(f"PRAGMA user_version = {len(MIGRATIONS)}")


def test_without_a_database_there_is_nothing_to_copy(graphengine, tmp_path, monkeypatch):
    monkeypatch.setenv("GRAPHENGINE_DATA", str(tmp_path / "nowhere"))
    done = graphengine("backup", "jobs.backup")
    assert done.status == 1
    assert "there is no database" in done.err
    assert not (tmp_path / "nowhere").exists()
    (tmp_path / "nowhere").mkdir()
    (tmp_path / "nowhere" / "jobs.sqlite").write_bytes(b"SQLite format 4" * 100)
    done = graphengine("backup", "jobs.backup")
    assert done.status == 1
    assert "Traceback" not in done.err
    assert not (tmp_path / "jobs.backup").exists()
