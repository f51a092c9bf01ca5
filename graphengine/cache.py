"""Cache: what nodes gave, by key. A memory tier above a disk tier, both bounded in bytes.

What to keep is decided by the cost to compute it again per byte, not by age alone. In memory that is
GreedyDual-Size (Cao and Irani 1997, Cost-Aware WWW Proxy Caching Algorithms): a value ranks H = L + seconds /
bytes, the lowest goes first, and L rises to the rank of what went. A use ranks a value anew, with the L of
that time; so what was dear once and is not used any more goes too, in its turn.

A hit costs little more than looking into a dict: it only notes L. A value is ranked when room has to be made,
and again when it comes to be the lowest and was used since; until then its rank is too low, never too high.
"""

from __future__ import annotations

from heapq import heappop, heappush, heapreplace
from itertools import islice
from threading import Lock
from typing import Any

from graphengine.disk import BANDWIDTH, MISSING, READING, DiskCache
from graphengine.keys import Key
from graphengine.types import weight

__all__ = ["ENTRY", "MISSING", "Cache", "DiskCache"]

ENTRY = 460
"""Bytes that a key, its place in the dict and in the order, what is noted of it, and a number weigh."""
WORD = 1 << 63
"""Integers below are numbers of that weight."""
QUICK = frozenset([int, float, bool, str, type(None)])
"""Types of values that are not worth a file unless they took longer than reading one."""


class Cache:
    """Values by key: a memory tier of `limit` bytes, above a disk tier if there is one. For all threads."""

    def __init__(self, limit: int = 1 << 30, disk: DiskCache | None = None) -> None:
        self.limit, self.disk, self.used = limit, disk, 0
        # By key: the value, its bytes and its seconds.
        self._kept: dict[Key, tuple[Any, int, float]] = {}
        # By key: L at the last use, if there was one since it was ranked.
        self._uses: dict[Key, float] = {}
        # A heap of the ranks of everything kept, but for what was put since room was made last.
        self._order: list[tuple[float, int, Key]] = []
        self._level, self._ranked = 0.0, 0
        self._lock = Lock()

    def get(self, key: Key, deep: bool = True) -> Any:
        """The value, or MISSING; `deep` looks on disk too."""
        entry = self._kept.get(key)
        if entry is not None:
            self._uses[key] = self._level  # one store, so that no lock is needed
            return entry[0]
        if deep and self.disk is not None:
            value = self.disk.get(key)
            if value is not MISSING:
                self.put(key, value, READING + weight(value) / BANDWIDTH, False)
            return value
        return MISSING

    def holds(self, key: Key, deep: bool = True) -> bool:
        """Whether a value is there, without reading it."""
        return key in self._kept or (deep and self.disk is not None and self.disk.holds(key))

    def put(self, key: Key, value: Any, seconds: float, deep: bool = True) -> None:
        """Keep a finished value that took `seconds`; the first one under a key stays."""
        kind = type(value)
        if kind is float or (kind is int and -WORD < value < WORD):
            size = ENTRY
        else:
            size = ENTRY + weight(value)
        if size <= self.limit:
            with self._lock:
                if key not in self._kept:
                    if self.used + size > self.limit:
                        self._make_room(size)
                    self._kept[key] = (value, size, seconds)
                    self.used += size
        if deep and self.disk is not None and (seconds > READING or kind not in QUICK):
            self.disk.put(key, value, seconds)

    def _make_room(self, size: int) -> None:
        """Let the lowest ranks go until there is room for that many bytes; `put` holds the lock."""
        kept, order, uses = self._kept, self._order, self._uses
        fresh = islice(reversed(kept), len(kept) - len(order))  # put since L rose last
        for key in reversed([*fresh]):
            heappush(order, self._rank(key, self._level))
        while self.used + size > self.limit:
            rank, _, key = order[0]
            used = uses.pop(key, None)
            if used is not None:
                heapreplace(order, self._rank(key, used))
            else:
                heappop(order)
                self.used -= kept.pop(key)[1]
                self._level = max(self._level, rank)

    def _rank(self, key: Key, level: float) -> tuple[float, int, Key]:
        """H, a number that tells of equals the one that came first, and the key."""
        _, size, seconds = self._kept[key]
        self._ranked += 1
        return level + seconds / size, self._ranked, key
