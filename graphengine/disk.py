"""DiskCache: the tier of the cache that outlives a process; one file an entry, in a folder for all processes.

An entry is written whole or not at all, and no read trusts it: it is sealed with a hash of its key, its cost
and its bytes, and what does not match its seal (damaged, cut off, of another format, put there by another
program) is a miss and is removed. Nothing is unpickled. What stays is decided by the cost to compute it again
per byte and by the time since it was used: worth = seconds / bytes / idle time. (Weighing cost against idle
time instead of keeping a queue is Blankstein, Sen and Freedman 2017, Hyperbolic Caching.)

A full disk, a folder that cannot be written, a file that another process removes: each costs an entry, never
a run.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from math import inf
from pathlib import Path
from struct import Struct
from threading import Lock
from time import time
from typing import Any, NamedTuple

from blake3 import blake3

from graphengine.codec import Codec, NotStorable
from graphengine.folders import write_atomically
from graphengine.keys import Key
from graphengine.types import weight

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

MISSING: Any = type("Missing", (), {"__repr__": lambda self: "MISSING", "__bool__": lambda self: False})()
"""What a cache gives for a key that it has no value of; false."""
READING = 0.5e-3
"""Seconds that reading an entry from disk costs, about, before its bytes."""
BANDWIDTH = 400e6
"""Bytes a second that an entry is read and checked with."""
VALUES = "values"
"""The folder of the entries, in that of everything that can be computed again."""
RECENT = 60.0
"""Seconds within which uses count as equally recent."""
ABANDONED = 3600.0
"""Seconds after which a file that is still being written is one whose writer has crashed."""
FOLDER, NAME = re.compile("[0-9a-f]{2}"), re.compile("[0-9a-f]{62}")
"""A key in hexadecimal, as the folder and the file of its entry."""
WRITING = re.compile(r"\.writing-.*")
"""A file that is being written, or was when its writer crashed; see `folders.write_atomically`."""
SECONDS = Struct(">d")


class File(NamedTuple):
    """A file of the cache: its bytes, and when it was used last, in seconds since 1970."""

    path: str
    size: int
    used: float

    @property
    def key(self) -> Key:
        """What the entry is the value of."""
        folder, name = Path(self.path).parts[-2:]
        return bytes.fromhex(folder + name)


class DiskCache:
    """Entries as files, named by key. `limit` in bytes; what is least worth its bytes goes first."""

    MARK = b"GraphEngine 2\n"
    HEAD = Struct(">14s32sdQ")
    """What an entry starts with: the mark, the seal, the seconds it took, and how many bytes follow."""

    def __init__(self, folder: Path, limit: int, codec: Codec) -> None:
        self.folder, self.limit, self.codec = folder, limit, codec
        self.used, self.unseen = 0, limit
        self.lock = Lock()

    def path(self, key: Key) -> Path:
        """Where the entry of a key is, or would be."""
        name = key.hex()
        return self.folder / name[:2] / name[2:]

    def holds(self, key: Key) -> bool:
        """Whether there is an entry, without reading it."""
        return os.path.exists(self.path(key))

    def get(self, key: Key) -> Any:
        """The value, or MISSING. A damaged entry is removed."""
        try:
            value = self.codec.decode(self.read(key))
        except (OSError, MemoryError):  # none there, most likely; what cannot be read now may be read later
            return MISSING
        except ValueError:
            remove(self.path(key))
            return MISSING
        try:
            os.utime(self.path(key))  # used now
        except OSError:
            pass
        return value

    def read(self, key: Key) -> bytes:
        """What was encoded under a key. OSError if there is nothing to read, ValueError if it is damaged."""
        with self.path(key).open("rb", buffering=0) as stream:
            sealed, seconds, size = self.header(stream.read(self.HEAD.size))
            if os.fstat(stream.fileno()).st_size != self.HEAD.size + size:
                raise ValueError("cut off")  # told before gigabytes are read
            data = stream.readall()
        if seal(key, seconds, data) != sealed:
            raise ValueError("damaged")
        return data

    def header(self, data: bytes) -> tuple[bytes, float, int]:
        """The seal, the seconds and the size that an entry starts with. ValueError if it is no entry."""
        if len(data) != self.HEAD.size:
            raise ValueError("cut off")
        mark, sealed, seconds, size = self.HEAD.unpack(data)
        if mark != self.MARK or not 0 <= seconds < inf:
            raise ValueError("no entry")
        return sealed, seconds, size

    def put(self, key: Key, value: Any, seconds: float) -> None:
        """Keep a value that took `seconds`, unless computing it again would be as quick as reading it."""
        if self.limit <= 0 or seconds < weight(value) / BANDWIDTH or self.holds(key):
            return
        try:
            data = self.codec.encode(value)
        except NotStorable:
            return
        size = self.HEAD.size + len(data)
        if size > self.limit or not self.room():
            return
        try:
            head = self.HEAD.pack(self.MARK, seal(key, seconds, data), seconds, len(data))
            write_atomically(self.path(key), head + data)
        except (OSError, MemoryError):  # a full or read-only disk costs the entry, not the run
            return
        self.grow(size)

    def room(self) -> bool:
        """Whether there is room for more: not if the limit is passed and no room could be made, or another
        process is still making some. What is not kept then is computed again.
        """
        with self.lock:
            if self.used > self.limit:
                self.used = self.shrink()
            return self.used <= self.limit

    def grow(self, size: int) -> None:
        """Count what was written; make room once the limit is passed.

        Other processes write here too, so what is there is measured again after each tenth of the limit.
        """
        with self.lock:
            self.used += size
            self.unseen += size
            if self.unseen > self.limit // 10:
                self.used, self.unseen = sum(e.size for e in self.entries()), 0
            if self.used > self.limit:
                self.used = self.shrink()

    def shrink(self) -> int:
        """Remove what is least worth its bytes until nine tenths of the limit are filled, and what crashed
        writers left. Gives the bytes that are left; does nothing while another process shrinks the folder.
        """
        with alone(self.folder / ".lock") as ours:
            if not ours:
                return self.used
            now = time()
            for file in self.files(WRITING):
                if now - file.used > ABANDONED:
                    remove(file.path)
            entries = self.entries()
            used = sum(e.size for e in entries)
            if used <= self.limit:
                return used
            for _, file in sorted((self.worth(e, now), e) for e in entries):
                if used <= self.limit * 0.9:
                    break
                if remove(file.path):
                    used -= file.size
            return used

    def worth(self, file: File, now: float) -> float:
        """What keeping an entry saves, in seconds per byte and second since its use; 0 if it is no entry."""
        try:
            with open(file.path, "rb", buffering=0) as stream:
                _, seconds, size = self.header(stream.read(self.HEAD.size))
        except (OSError, ValueError):
            return 0.0
        if self.HEAD.size + size != file.size:
            return 0.0
        # A use in the future comes of a clock that was wrong, and says as little as one long ago.
        return seconds / file.size / max(abs(now - file.used), RECENT)

    def entries(self) -> list[File]:
        """Every file that looks like an entry."""
        return list(self.files(NAME))

    def files(self, name: re.Pattern[str]) -> Iterator[File]:
        """The files of such a name where entries are."""
        for folder in listed(self.folder):
            for file in listed(folder.path) if FOLDER.fullmatch(folder.name) else ():
                if not name.fullmatch(file.name):
                    continue
                try:
                    found = file.stat(follow_symlinks=False)
                except OSError:  # another process has just removed it
                    continue
                if stat.S_ISREG(found.st_mode):
                    yield File(file.path, found.st_size, found.st_mtime)

    def verify(self) -> tuple[int, int]:
        """Read every entry and remove those that are damaged: how many were sound, and how many were not."""
        sound = damaged = 0
        for file in self.entries():
            try:
                self.read(file.key)
            except (FileNotFoundError, MemoryError):  # removed meanwhile, or nothing is known about it
                continue
            except (OSError, ValueError):
                damaged += 1
                remove(file.path)
            else:
                sound += 1
        return sound, damaged

    def clear(self) -> int:
        """Remove every entry, and what was being written. Gives the bytes that are free again."""
        freed = sum(file.size for file in [*self.entries(), *self.files(WRITING)] if remove(file.path))
        for folder in listed(self.folder):
            if FOLDER.fullmatch(folder.name):
                try:
                    os.rmdir(folder.path)
                except OSError:  # something else is in it, or has just been written
                    pass
        with self.lock:
            self.used, self.unseen = 0, self.limit
        return freed


def seal(key: Key, seconds: float, data: bytes) -> bytes:
    """The hash that an entry is checked against. It covers the key: an entry counts in its place only."""
    return blake3(key + SECONDS.pack(seconds)).update(data).digest()


def listed(folder: str | Path) -> list[os.DirEntry[str]]:
    """What is in a folder; nothing if it cannot be read or is none."""
    try:
        with os.scandir(folder) as found:
            return list(found)
    except OSError:
        return []


def remove(path: str | Path) -> bool:
    """Remove a file, if that is possible; it is well if another process has."""
    try:
        os.unlink(path)
    except FileNotFoundError:
        return True
    except OSError:
        return False
    return True


@contextmanager
def alone(path: Path) -> Iterator[bool]:
    """Whether no other process is in such a block with this lock file; none will be until this one ends.

    Where files cannot be locked (Windows, some network disks) it is always true: two that shrink at once
    remove the same entries, at worst some too many.
    """
    try:
        stream = path.open("ab")
    except OSError:
        yield True
        return
    with stream:
        ours = True
        try:
            if fcntl is not None:
                fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            ours = False
        except OSError:
            pass
        try:
            yield ours
        finally:
            if ours and fcntl is not None:
                with suppress(OSError):  # closing alone would leave the lock to what was forked meanwhile
                    fcntl.flock(stream, fcntl.LOCK_UN)
