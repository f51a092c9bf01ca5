"""What is written is on disk, in a file that newer versions read and older ones refuse."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
import threading
from contextlib import closing
from pathlib import Path

import pytest
from storing import REQUEST, ended

from graphengine.errors import StoreError
from graphengine.store import database
from graphengine.store.database import FIRST, MIGRATIONS, Database, Rows
from graphengine.store.store import Store


def test_what_is_written_is_durable_and_checked(store: Store) -> None:
    writer = Rows(store.database.writer)
    wanted = {"journal_mode": ("wal",), "synchronous": (2,), "foreign_keys": (1,), "busy_timeout": (10_000,)}
    assert {name: writer.one(f"PRAGMA {name}") for name in wanted} == wanted
    with pytest.raises(StoreError, match="readonly"), store.database.read() as rows:
        rows.run("DELETE FROM jobs")


def test_a_backup_is_taken_while_others_write_and_opens_as_a_store(store: Store, tmp_path: Path) -> None:
    job = store.submit(REQUEST)
    copy = tmp_path / "backup" / "jobs.sqlite"
    with store.database.write("pin") as rows:
        rows.run("UPDATE jobs SET priority = 9")
        store.backup(copy)
    assert [path.name for path in copy.parent.iterdir()] == ["jobs.sqlite"]
    store.backup(copy)
    with Store(copy.parent) as other:
        assert other.job(job.id) == store.job(job.id)
        assert other.request(job.id) == REQUEST
    with pytest.raises(StoreError, match="no backup could be written"):
        store.backup(copy / "below a file")


def test_an_older_database_is_brought_to_the_newest_version(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = store.submit(REQUEST)
    store.close()

    def second(rows: Rows) -> None:
        rows.run("ALTER TABLE jobs ADD COLUMN colour TEXT NOT NULL DEFAULT 'green'")

    monkeypatch.setattr(database, "MIGRATIONS", (*MIGRATIONS, second))
    with Store(store.folder) as newer, newer.database.read() as rows:
        assert rows.one("SELECT id, colour FROM jobs") == (job.id, "green")
        assert newer.database.version == len(MIGRATIONS) + 1
    monkeypatch.setattr(database, "MIGRATIONS", MIGRATIONS)
    known = len(MIGRATIONS)
    with pytest.raises(StoreError, match=rf"newer GraphEngine \(version {known + 1} .* up to {known}\)"):
        Store(store.folder)


def test_the_jobs_of_an_older_database_are_counted(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    ended(store)
    store.queue.cancel(store.submit(REQUEST).id)
    store.submit(REQUEST)
    with store.database.write("pin") as rows:  # as version 3 was
        for trigger in ("new", "old", "moved"):
            rows.run(f"DROP TRIGGER tally_{trigger}")
        rows.run("DROP TABLE tally")
        rows.run("PRAGMA user_version = 3")
    store.close()
    with Store(store.folder) as newer:
        assert newer.counts() == {"queued": 1, "running": 0, "done": 1, "failed": 0, "cancelled": 1}
        newer.queue.claim("w")
        newer.remove(newer.jobs(states=["done"]).jobs[0].id)
        assert newer.counts() == {"queued": 0, "running": 1, "done": 0, "failed": 0, "cancelled": 1}


def test_a_migration_that_fails_leaves_the_old_version(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    store.close()

    def second(rows: Rows) -> None:
        rows.run("DROP TABLE events")
        rows.run("nonsense")

    monkeypatch.setattr(database, "MIGRATIONS", (*MIGRATIONS, second))
    with pytest.raises(StoreError, match="syntax error"):
        Store(store.folder)
    monkeypatch.setattr(database, "MIGRATIONS", MIGRATIONS)
    with Store(store.folder) as again:
        again.submit(REQUEST)


def test_a_file_that_is_no_store_is_refused_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "jobs.sqlite"
    path.write_bytes(b"these are no tables, and this is long enough to tell" * 100)
    before = path.read_bytes()
    with pytest.raises(StoreError, match="not a database"):
        Store(tmp_path)
    assert path.read_bytes() == before
    path.unlink()
    with closing(sqlite3.connect(path)) as other:
        other.execute("CREATE TABLE recipes (name TEXT)")
    with pytest.raises(StoreError, match="a database of another program"):
        Store(tmp_path)
    with pytest.raises(StoreError, match="cannot be used"):
        Store(path)
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "outputs").write_text("a file")
    with pytest.raises(StoreError, match=r"the folder of outputs .* cannot be made"):
        Store(tmp_path / "other")


def test_a_new_store_is_its_owners_alone(tmp_path: Path) -> None:
    with Store(tmp_path / "new") as store:
        assert store.folder.stat().st_mode & 0o077 == 0


def test_several_may_open_a_new_store_at_once(tmp_path: Path) -> None:
    failures: list[BaseException] = []

    def opened() -> None:
        try:
            with Store(tmp_path) as store:
                store.submit(REQUEST)
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=opened) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    with Store(tmp_path) as store:
        assert store.counts()["queued"] == 6


def test_who_waits_too_long_for_another_process_is_told(tmp_path: Path) -> None:
    with (
        closing(Database(tmp_path / "a", wait=0.05)) as first,
        closing(Database(tmp_path / "a", wait=0.05)) as two,
    ):
        with first.write("pin"), pytest.raises(StoreError, match="locked"), two.write("pin"):
            pass
        with two.write("pin") as rows:
            assert rows.one("SELECT count(*) FROM jobs") == (0,)


def test_each_statement_of_the_first_version_ends_where_it_seems_to() -> None:
    assert all(sqlite3.complete_statement(part + ";") for part in FIRST.split(";"))


def test_importing_the_store_is_light() -> None:
    heavy = {"torch", "numpy", "pydantic", "aiohttp"}
    code = f"import sys, graphengine.store.store; print(sorted({heavy} & sys.modules.keys()))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
