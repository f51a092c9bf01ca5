"""Backup: the outputs that a copy of the database names, copied too.

A published file never changes and has a name of its own. So what was copied before is not copied again, and
one folder serves any number of backups.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import NamedTuple

from graphengine.errors import StoreError
from graphengine.folders import unseen
from graphengine.store.database import looking


class Copied(NamedTuple):
    """How many files were copied, with their bytes; how many were there before; how many are gone."""

    files: int
    bytes: int
    known: int
    missing: int


def saved_outputs(database: Path, outputs: Path, target: Path) -> Copied:
    """Copy the outputs that a database names from their folder into another. StoreError if that fails."""
    with looking(database) as rows:
        named = rows.all("SELECT id, size FROM outputs")
    files = total = known = missing = 0
    try:
        target.mkdir(mode=0o700, parents=True, exist_ok=True)
        for id, size in named:
            if (target / id).is_file() and (target / id).stat().st_size == size:
                known += 1
                continue
            temporary = unseen(target)
            try:
                shutil.copyfile(outputs / id, temporary)
                temporary.replace(target / id)
            except FileNotFoundError:
                missing += 1
            else:
                files, total = files + 1, total + size
            finally:
                temporary.unlink(missing_ok=True)
    except OSError as error:
        raise StoreError(f"the outputs cannot be copied to {target}: {error}") from error
    return Copied(files, total, known, missing)
