"""Cache: what nodes gave, by key. A memory tier and a disk tier, both bounded in bytes.

What to keep is decided by the cost to compute it again per byte, not by age alone. The disk tier is shared by
processes: an entry is written whole or not at all, and a damaged one is a miss and is removed.
"""

from __future__ import annotations

import heapq
import os
from itertools import islice
from pathlib import Path
from threading import Lock
from typing import Any

from graphengine.codec import Codec, NotStorable
from graphengine.folders import write_atomically
from graphengine.keys import Key, digest
from graphengine.types import weight

MISSING: Any = type("Missing", (), {"__repr__": lambda self: "MISSING", "__bool__": lambda self: False})()
ENTRY = 250
"""Bytes that a key, its place in the dict and the tuple weigh."""
READING = 0.5e-3
"""Seconds that reading an entry from disk costs, about, before its bytes."""
QUICK = frozenset([int, float, bool, str, type(None)])
"""Types of values that are not worth a file unless they took longer than that."""
BANDWIDTH = 400e6
"""Bytes a second that an entry is read and checked with."""


class DiskCache:
    """Entries as files, named by key. `limit` in bytes; what was not used for the longest time goes first."""

    MARK = b"GraphEngine 1\n"

    def __init__(self, folder: Path, limit: int, codec: Codec) -> None:
        self.folder, self.limit, self.codec = folder, limit, codec
        self.used, self.unseen = 0, limit
        self.lock = Lock()

    def path(self, key: Key) -> Path:
        """Where the entry of a key is, or would be."""
        name = key.hex()
        return self.folder / name[:2] / name[2:]

    def get(self, key: Key) -> Any:
        """The value, or MISSING. A damaged entry is removed."""
        path = self.path(key)
        try:
            data = path.read_bytes()
        except OSError:
            return MISSING
        head = len(self.MARK)
        body = memoryview(data)[head + 32 :]
        try:
            if data[:head] != self.MARK or digest(bytes(body)) != data[head : head + 32]:
                raise ValueError("damaged")
            value = self.codec.decode(bytes(body))
        except ValueError:
            remove(path)
            return MISSING
        try:
            os.utime(path)  # youngest again
        except OSError:
            pass
        return value

    def put(self, key: Key, value: Any, seconds: float) -> None:
        """Keep a value that took `seconds`, unless computing it again would be as quick as reading it."""
        if self.limit <= 0 or seconds < weight(value) / BANDWIDTH:
            return
        path = self.path(key)
        try:
            data = self.codec.encode(value)
        except NotStorable:
            return
        if len(data) > self.limit or path.exists():
            return
        try:
            write_atomically(path, self.MARK + digest(data) + data)
        except OSError:  # a full or read-only disk costs the entry, not the run
            return
        self.grow(len(data) + len(self.MARK) + 32)

    def grow(self, size: int) -> None:
        """Count what was written; make room once the limit is passed.

        Other processes write here too, so what is there is measured again after each tenth of the limit.
        """
        with self.lock:
            self.used += size
            self.unseen += size
            if self.unseen > self.limit // 10:
                self.used, self.unseen = sum(e[1] for e in self.entries()), 0
            if self.used > self.limit:
                self.used = self.shrink()

    def entries(self) -> list[tuple[float, int, Path]]:
        """Age, size and path of every entry."""
        found = []
        for path in self.folder.glob("??/*"):
            try:
                stat = path.stat()
            except OSError:  # another process has just removed it
                continue
            found.append((stat.st_mtime, stat.st_size, path))
        return found

    def shrink(self) -> int:
        """Remove the entries that were not used for the longest time, to nine tenths of the limit."""
        entries = self.entries()
        used = sum(e[1] for e in entries)
        heapq.heapify(entries)
        while used > self.limit * 0.9 and entries:
            _, size, path = heapq.heappop(entries)
            if remove(path):
                used -= size
        return used


def remove(path: Path) -> bool:
    """Remove a file, if that is possible."""
    try:
        path.unlink(missing_ok=True)
    except OSError:
        return False
    return True


class Cache:
    """Values by key: a memory tier of `limit` bytes, above a disk tier if one is given."""

    def __init__(self, limit: int = 1 << 30, disk: DiskCache | None = None) -> None:
        self.limit, self.disk, self.used = limit, disk, 0
        self._kept: dict[Key, tuple[Any, int, float]] = {}
        self._lock = Lock()

    def get(self, key: Key, deep: bool = True) -> Any:
        """The value, or MISSING; `deep` looks on disk too."""
        with self._lock:
            entry = self._kept.pop(key, None)
            if entry is not None:
                self._kept[key] = entry  # youngest again
                return entry[0]
        if deep and self.disk is not None:
            value = self.disk.get(key)
            if value is not MISSING:
                self.remember(key, value, READING)
            return value
        return MISSING

    def holds(self, key: Key, deep: bool = True) -> bool:
        """Whether a value is there, without reading it."""
        return key in self._kept or (deep and self.disk is not None and self.disk.path(key).exists())

    def put(self, key: Key, value: Any, seconds: float, deep: bool = True) -> None:
        """Keep a finished value that took `seconds`; the first one under a key stays."""
        self.remember(key, value, seconds)
        if deep and self.disk is not None and (seconds > READING or type(value) not in QUICK):
            self.disk.put(key, value, seconds)

    def remember(self, key: Key, value: Any, seconds: float) -> None:
        """Keep a value in memory."""
        if key in self._kept:
            return
        kind = type(value)
        size = ENTRY if kind is int or kind is float else ENTRY + weight(value)
        if size > self.limit:
            return
        with self._lock:
            if key in self._kept:
                return
            self._kept[key] = (value, size, seconds)
            self.used += size
            while self.used > self.limit:
                oldest = islice(self._kept.items(), 8)
                victim = min(oldest, key=lambda e: (e[0] == key, e[1][2] / e[1][1]))[0]
                self.used -= self._kept.pop(victim)[1]
