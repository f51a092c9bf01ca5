"""Presence: one server for a data folder, and a note of where it is for the programs of its user."""

from __future__ import annotations

import fcntl
import json
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from graphengine.errors import GraphEngineError

NOTE, LOCK = "server.json", "server.lock"


@contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Hold the data folder. GraphEngineError if another server does, or it cannot be used."""
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        held = os.open(folder / LOCK, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise GraphEngineError(f"the data folder {folder} cannot be used: {error.strerror}") from None
    try:
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise GraphEngineError(taken(folder)) from None
        yield
    finally:
        os.close(held)  # which lets the lock go, as the end of the process would


def taken(folder: Path) -> str:
    """That another server has the folder, and where it is."""
    note = read(folder)
    where = f" at {note['url']} (process {note['pid']})" if note else ""
    return (
        f"another server uses the data folder {folder}{where}; end that one, or choose another folder "
        "with `--data`"
    )


def read(folder: Path) -> dict[str, Any] | None:
    """What the note in a folder says; None if there is none."""
    try:
        found = json.loads((folder / NOTE).read_text("utf-8"))
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) and {"url", "pid"} <= found.keys() else None


@contextmanager
def noted(folder: Path, url: str, token: str | None) -> Iterator[None]:
    """Leave a note of where the server is, which only its user can read, while it runs."""
    temporary = folder / f".writing-{secrets.token_hex(8)}"
    note = {"url": url, "token": token, "pid": os.getpid()}
    try:
        with open(os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "w") as stream:
            json.dump(note, stream)
        os.replace(temporary, folder / NOTE)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise GraphEngineError(f"{folder / NOTE} cannot be written: {error.strerror}") from None
    try:
        yield
    finally:
        with suppress(OSError):
            (folder / NOTE).unlink(missing_ok=True)
