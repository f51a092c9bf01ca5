"""Database: one SQLite file in WAL mode, with one writer, migrations, and a backup while it is in use.

One writer, by a lock and not by a thread of its own. A caller has to wait for its own fsync anyway, and what
it asked is told to it alone: so the transaction runs where it was asked for, an error is raised where it was
made, and no thread can die, fall behind, or hold what a caller believes to be on disk. Other processes (the
workers) take the same turn through SQLite: each transaction begins as IMMEDIATE and waits for the others.
Readers use a second connection and wait for nobody: WAL shows them the last commit.

`synchronous=FULL` makes a commit wait until the log is on disk, so what `write` has left is there after a
power cut. A transaction that raises is rolled back as a whole. An error that comes at COMMIT itself says no
more than that the caller cannot know; whoever asks again finds out.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from threading import Lock
from time import monotonic, sleep
from typing import Any

from graphengine.errors import StoreError
from graphengine.store import faults

Row = tuple[Any, ...]
APPLICATION = 0x47456A62
"""What marks a SQLite file as ours (`PRAGMA application_id`)."""
WAIT = 10.0
"""Seconds that a transaction waits for those of other processes."""

FIRST = """
CREATE TABLE jobs (
  number INTEGER PRIMARY KEY AUTOINCREMENT,
  id TEXT NOT NULL UNIQUE,
  client TEXT NOT NULL,
  key TEXT,
  body BLOB NOT NULL,
  priority INTEGER NOT NULL,
  position INTEGER NOT NULL,
  state TEXT NOT NULL CHECK (state IN ('queued', 'running', 'done', 'failed', 'cancelled')),
  attempts INTEGER NOT NULL DEFAULT 0,
  cancelling INTEGER NOT NULL DEFAULT 0,
  pinned INTEGER NOT NULL DEFAULT 0,
  created REAL NOT NULL,
  started REAL,
  ended REAL,
  error TEXT NOT NULL DEFAULT '',
  worker TEXT,
  epoch INTEGER NOT NULL DEFAULT 0,
  beat REAL,
  expires REAL,
  inputs TEXT NOT NULL,
  targets TEXT NOT NULL,
  workflow TEXT NOT NULL,
  UNIQUE (client, key)
);
CREATE INDEX waiting ON jobs (priority DESC, position) WHERE state = 'queued';
CREATE INDEX living ON jobs (position) WHERE state IN ('queued', 'running');
CREATE INDEX leased ON jobs (worker) WHERE state = 'running';
CREATE INDEX by_state ON jobs (state, number);
CREATE INDEX by_client ON jobs (client, number);
CREATE TABLE events (
  sequence INTEGER PRIMARY KEY AUTOINCREMENT,
  job TEXT NOT NULL,
  time REAL NOT NULL,
  text TEXT NOT NULL
);
CREATE INDEX events_of ON events (job, sequence);
CREATE TABLE outputs (
  number INTEGER PRIMARY KEY AUTOINCREMENT,
  id TEXT NOT NULL UNIQUE,
  job TEXT NOT NULL REFERENCES jobs (id),
  name TEXT NOT NULL,
  media TEXT NOT NULL,
  size INTEGER NOT NULL,
  created REAL NOT NULL
);
CREATE INDEX outputs_of ON outputs (job);
CREATE TABLE settings (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
"""


class Rows:
    """Statements on one connection. `all` and `one` give rows, `run` how many rows it has changed."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self.connection = connection

    def all(self, sql: str, *values: object) -> list[Row]:
        """Every row that a query finds."""
        return self.connection.execute(sql, values).fetchall()

    def one(self, sql: str, *values: object) -> Row | None:
        """The first row that a query finds, or None."""
        found = self.connection.execute(sql, values)
        row: Row | None = found.fetchone()
        found.close()
        return row

    def run(self, sql: str, *values: object) -> int:
        """Change something; gives how many rows."""
        return self.connection.execute(sql, values).rowcount


def first(rows: Rows) -> None:
    """An empty file becomes version 1."""
    for statement in FIRST.split(";"):
        rows.run(statement)
    rows.run(f"PRAGMA application_id = {APPLICATION}")


def named(rows: Rows) -> None:
    """Version 2: jobs have the name of their workflow, and the plain values that they gave."""
    rows.run("ALTER TABLE jobs ADD COLUMN name TEXT NOT NULL DEFAULT ''")
    rows.run("ALTER TABLE jobs ADD COLUMN result TEXT NOT NULL DEFAULT '{}'")


def counted(rows: Rows) -> None:
    """Version 3: the jobs of a client that have not ended are found without those that have."""
    rows.run("CREATE INDEX living_of ON jobs (client) WHERE state IN ('queued', 'running')")


def tallied(rows: Rows) -> None:
    """Version 4: how many jobs are in each state is known without counting them."""
    rows.run("CREATE TABLE tally (state TEXT PRIMARY KEY, number INTEGER NOT NULL) WITHOUT ROWID")
    for state in ("queued", "running", "done", "failed", "cancelled"):
        rows.run("INSERT INTO tally SELECT ?, count(*) FROM jobs WHERE state = ?", state, state)
    one_more = "UPDATE tally SET number = number + 1 WHERE state = new.state"
    one_less = "UPDATE tally SET number = number - 1 WHERE state = old.state"
    rows.run(f"CREATE TRIGGER tally_new AFTER INSERT ON jobs BEGIN {one_more}; END")
    rows.run(f"CREATE TRIGGER tally_old AFTER DELETE ON jobs BEGIN {one_less}; END")
    rows.run(
        "CREATE TRIGGER tally_moved AFTER UPDATE OF state ON jobs WHEN new.state != old.state "
        f"BEGIN {one_less}; {one_more}; END"
    )


MIGRATIONS: tuple[Callable[[Rows], None], ...] = (first, named, counted, tallied)
"""One function a version: number N makes N out of N - 1. They are only ever added to."""


class Database:
    """The file and its two connections. Any thread may use it; StoreError says what went wrong.

    A process that is forked opens its own: SQLite's locks do not survive a fork.
    """

    def __init__(self, path: Path, wait: float = WAIT) -> None:
        self.path, self.wait = path, wait
        self.turn, self.look = Lock(), Lock()
        try:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)  # prompts are their owner's
            self.writer = connect(path, wait)
        except (sqlite3.Error, OSError) as error:
            raise self.unusable(error) from error
        try:
            self.migrate()
            sync(path.parent)  # the name of a new file
            self.reader = connect(path, wait)
            self.reader.execute("PRAGMA query_only = ON")
        except BaseException as error:
            self.writer.close()
            if isinstance(error, sqlite3.Error | OSError):
                raise self.unusable(error) from error
            raise

    def unusable(self, error: Exception) -> StoreError:
        """The sentence for an error of SQLite or of the disk."""
        return StoreError(f"the store of jobs {self.path} cannot be used now: {error}")

    @property
    def version(self) -> int:
        """The number of migrations that the file has seen."""
        return int(self.writer.execute("PRAGMA user_version").fetchone()[0])

    def migrate(self) -> None:
        """Bring the file to today's version. StoreError for one that is newer, or that is not ours."""
        if self.version == len(MIGRATIONS):
            self.recognise()
            return
        with self.write("migrate") as rows:  # another process may have been quicker: look again inside
            self.recognise()
            for number in range(self.version, len(MIGRATIONS)):
                faults.fault("migrate.step")
                MIGRATIONS[number](rows)
                rows.run(f"PRAGMA user_version = {number + 1}")

    def recognise(self) -> None:
        """StoreError unless the file is empty or a database of ours that this version can read."""
        (mark,) = self.writer.execute("PRAGMA application_id").fetchone()
        (tables,) = self.writer.execute("SELECT count(*) FROM sqlite_schema").fetchone()
        if mark != APPLICATION and (mark or tables or self.version):
            raise StoreError(f"{self.path} is a database of another program; choose another folder")
        if self.version > len(MIGRATIONS):
            raise StoreError(
                f"{self.path} was written by a newer GraphEngine (version {self.version} of the database, "
                f"and this one reads up to {len(MIGRATIONS)}); update GraphEngine or choose another folder"
            )

    @contextmanager
    def write(self, name: str) -> Iterator[Rows]:
        """A transaction: everything in the block is on disk after it, or nothing is. Not to be nested."""
        with self.turn:
            try:
                faults.fault(f"{name}.begin")
                self.writer.execute("BEGIN IMMEDIATE")
                yield Rows(self.writer)
                faults.fault(f"{name}.commit")
                self.writer.execute("COMMIT")
                faults.fault(f"{name}.committed")
            except (sqlite3.Error, OSError, UnicodeError, OverflowError) as error:
                raise self.unusable(error) from error
            finally:
                with suppress(sqlite3.Error):  # SQLite has rolled back by itself
                    if self.writer.in_transaction:
                        self.writer.execute("ROLLBACK")

    @contextmanager
    def read(self) -> Iterator[Rows]:
        """What was committed last; each statement sees one moment."""
        with self.look:
            try:
                yield Rows(self.reader)
            except (sqlite3.Error, UnicodeError, OverflowError) as error:
                raise self.unusable(error) from error

    def backup(self, path: Path) -> None:
        """Copy the database into one file, as it is at one moment, while others go on writing.

        The copy appears whole or not at all, and replaces what was there. Files of outputs are not in it.
        """
        copy(self.path, path, self.wait)

    def close(self) -> None:
        """Close both connections; nothing can be asked afterwards."""
        with self.turn, self.look:
            self.reader.close()
            self.writer.close()


def connect(path: Path, wait: float) -> sqlite3.Connection:
    """A connection with our settings, in which every transaction is written out."""
    connection = sqlite3.connect(path, timeout=wait, isolation_level=None, check_same_thread=False)
    try:
        connection.execute("PRAGMA foreign_keys = ON")
        connection.execute("PRAGMA synchronous = FULL")
        until = monotonic() + wait
        while True:
            try:
                connection.execute("PRAGMA journal_mode = WAL")
                return connection
            except sqlite3.OperationalError as error:
                # Two processes that open a new file at once: SQLite does not wait by itself here.
                if "locked" not in str(error) or monotonic() > until:
                    raise
                sleep(0.01)
    except BaseException:
        connection.close()
        raise


def copy(path: Path, target: Path, wait: float = WAIT) -> None:
    """Copy a database into one file, as it is at one moment, in whichever version; see `Database.backup`."""
    temporary = target.with_name(f".writing-{target.name}")  # what a crash has left is replaced the next time
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        temporary.unlink(missing_ok=True)
        faults.fault("backup.copy")
        with closing(connect(path, wait)) as source, closing(sqlite3.connect(temporary)) as found:
            source.backup(found)
            found.execute("PRAGMA journal_mode = DELETE")  # the copy is one file
        sync(temporary)
        faults.fault("backup.rename")
        os.replace(temporary, target)
        sync(target.parent)
    except (sqlite3.Error, OSError) as error:
        raise StoreError(f"no backup could be written to {target}: {error}") from error
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


@contextmanager
def looking(path: Path) -> Iterator[Rows]:
    """A database as it is, to be read only: nothing is made, brought to a newer version, or waited for long.

    StoreError if it cannot be read, or is another program's.
    """
    try:
        where = f"{path.absolute().as_uri()}?mode=ro"
        with closing(sqlite3.connect(where, timeout=WAIT, uri=True, isolation_level=None)) as connection:
            (mark,) = connection.execute("PRAGMA application_id").fetchone()
            if mark != APPLICATION:
                raise StoreError(f"{path} is no database of GraphEngine")
            yield Rows(connection)
    except (sqlite3.Error, OSError, UnicodeError) as error:
        raise StoreError(f"the database {path} cannot be read: {error}") from error


def sync(path: Path) -> None:
    """Wait until a file, or the names in a folder, are on disk."""
    if path.is_dir() and not hasattr(os, "O_DIRECTORY"):  # Windows opens no folders
        return
    # Windows wants a file that is open for writing.
    number = os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDWR)
    try:
        os.fsync(number)
    finally:
        os.close(number)
