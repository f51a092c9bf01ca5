"""Outputs: the files that jobs give, each published once, whole, and together with the end of its job.

A file is written under a temporary name in the folder, fsynced, and renamed inside of the transaction that
also ends the job and names the file; the folder is fsynced before the commit. So a row never names a file
that is not wholly on disk. What a crash leaves is a file without a row. `sweep` removes those, in a
transaction of its own: as a rename happens in one too, it never meets a file between its rename and its row.

A temporary name holds the job and the epoch of the lease that it is written for. Once that lease is over
nobody may publish the file, so it can be removed, whatever the clock says. A path is only ever made of an id
that a row holds.
"""

from __future__ import annotations

import os
import re
import secrets
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

from graphengine.errors import NotFound, StoreError
from graphengine.store import faults
from graphengine.store.database import Database, Rows, sync
from graphengine.store.jobs import Draft, Lease, Output, held

PUBLISHED = re.compile("[0-9a-f]{32}")
WRITING = re.compile(r"\.writing-([0-9a-f]{32})-([0-9]{1,18})-[0-9a-f]{16}")
"""A file that is being written: for which job, and under which epoch of its lease."""


class Written(NamedTuple):
    """A file that is whole and on disk, but not published."""

    draft: Draft
    path: Path
    size: int


class Outputs:
    """The folder of published files and their rows."""

    def __init__(self, database: Database, folder: Path, clock: Callable[[], float]) -> None:
        self.database, self.folder, self.clock = database, folder, clock
        try:
            folder.mkdir(parents=True, exist_ok=True)
            sync(folder.parent)
        except OSError as error:
            raise StoreError(f"the folder of outputs {folder} cannot be made: {error}") from error

    def of(self, job: str) -> list[Output]:
        """What a job has published."""
        with self.database.read() as rows:
            sql = f"SELECT {Output.COLUMNS} FROM outputs WHERE job = ? ORDER BY number"
            return [Output(*row) for row in rows.all(sql, job)]

    def find(self, id: str) -> tuple[Output, Path]:
        """An output and its file, by its id. NotFound if there is none."""
        with self.database.read() as rows:
            row = rows.one(f"SELECT {Output.COLUMNS} FROM outputs WHERE id = ?", id)
        if row is None:
            raise NotFound(f"there is no output {id!r}; it may have been removed to free space")
        output = Output(*row)
        return output, self.folder / output.id

    def size(self) -> int:
        """Bytes of all published files."""
        with self.database.read() as rows:
            row = rows.one("SELECT total(size) FROM outputs")
            return int(row[0]) if row else 0

    @contextmanager
    def written(self, lease: Lease, drafts: Sequence[Draft]) -> Iterator[list[Written]]:
        """The drafts as temporary files that are on disk; at the end those not published are removed."""
        files: list[Written] = []
        paths: list[Path] = []
        try:
            try:
                for draft in drafts:
                    token = secrets.token_hex(8)
                    paths.append(self.folder / f".writing-{lease.job.id}-{lease.epoch}-{token}")
                    files.append(Written(draft, paths[-1], write(paths[-1], draft.content)))
            except OSError as error:
                raise StoreError(f"the output {draft.name!r} cannot be written: {error}") from error
            yield files
        finally:
            for path in paths:
                with suppress(OSError):
                    path.unlink(missing_ok=True)

    @contextmanager
    def published(self, rows: Rows, lease: Lease, files: Sequence[Written]) -> Iterator[None]:
        """Rename the files and name them in rows; if the block fails, before the commit, they are removed."""
        done: list[Path] = []
        try:
            for draft, path, size in files:
                id = secrets.token_hex(16)
                faults.fault("finish.rename")
                done.append(self.folder / id)
                os.replace(path, done[-1])
                faults.fault("finish.output")
                rows.run(
                    "INSERT INTO outputs (id, job, name, media, size, created) VALUES (?, ?, ?, ?, ?, ?)",
                    *(id, lease.job.id, draft.name, draft.media, size, self.clock()),
                )
            faults.fault("finish.folder")
            if files:
                sync(self.folder)
            yield
        except BaseException:
            # The transaction is still open: no committed row names these.
            unlink(done, "finish.unlink")
            raise

    def sweep(self) -> int:
        """Remove what crashes have left in the folder. Gives how many files.

        Files that are not named as ours are left alone.
        """
        with self.database.read() as rows:
            orphans = [file for file in self.files() if not self.wanted(rows, file.name)]
        if not orphans:
            return 0
        with self.database.write("sweep") as rows:
            orphans = [file for file in orphans if not self.wanted(rows, file.name)]
            for file in orphans:
                faults.fault("sweep.unlink")
                file.unlink(missing_ok=True)
        return len(orphans)

    def files(self) -> list[Path]:
        """What is in the folder."""
        try:
            return sorted(self.folder.iterdir())
        except OSError as error:
            raise StoreError(f"the folder of outputs cannot be read: {error}") from error

    def wanted(self, rows: Rows, name: str) -> bool:
        """Whether a row names this file, or a lease still writes it, or it is none of ours."""
        if temporary := WRITING.fullmatch(name):
            return held(rows, temporary[1], int(temporary[2]))
        if PUBLISHED.fullmatch(name):
            return rows.one("SELECT 1 FROM outputs WHERE id = ?", name) is not None
        return True

    def prune(self, *, limit: int | None = None, before: float | None = None) -> int:
        """Remove outputs of the jobs that ended first: down to `limit` bytes, and all from before a time.

        Those of pinned jobs stay, and so do the jobs themselves. Gives the bytes that are free again.
        """
        with self.database.write("prune") as rows:
            row = rows.one("SELECT total(size) FROM outputs")
            used, freed, files = (int(row[0]) if row else 0), 0, list[Path]()
            ended = rows.all(
                "SELECT jobs.id, jobs.ended, sum(size) FROM outputs JOIN jobs ON jobs.id = outputs.job "
                "WHERE NOT jobs.pinned GROUP BY jobs.id ORDER BY jobs.ended, jobs.number"
            )
            for job, time, size in ended:
                if (limit is None or used - freed <= limit) and (before is None or time >= before):
                    continue
                files += drop(rows, self.folder, job)
                freed += size
        unlink(files, "prune.unlink")
        return freed


def drop(rows: Rows, folder: Path, job: str) -> list[Path]:
    """Delete the rows of a job's outputs; gives the files, to be removed after the commit."""
    files = [folder / row[0] for row in rows.all("SELECT id FROM outputs WHERE job = ?", job)]
    rows.run("DELETE FROM outputs WHERE job = ?", job)
    return files


def unlink(files: Sequence[Path], point: str) -> None:
    """Remove files that no row names any more; what cannot be removed now is left to `Outputs.sweep`."""
    for file in files:
        with suppress(OSError):
            faults.fault(point)
            file.unlink(missing_ok=True)


def write(path: Path, content: bytes | Path) -> int:
    """Write a new file and wait until it is on disk; gives its size."""
    faults.fault("finish.write")
    with path.open("xb") as stream:
        if isinstance(content, Path):
            with content.open("rb") as source:
                shutil.copyfileobj(source, stream, 1 << 20)
        else:
            stream.write(content)
        stream.flush()
        faults.fault("finish.sync")
        os.fsync(stream.fileno())
        return stream.tell()
