"""Disk: how much of it users have filled, and whether more may be."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence
from pathlib import Path
from time import monotonic

from graphengine.server.problem import over

FRESH = 5.0
"""Seconds that a count stays good."""


class Disk:
    """The bytes in some folders. `most` are so many as there may be."""

    def __init__(self, folders: Sequence[Path], most: int) -> None:
        self.folders, self.most = tuple(folders), most
        self.counted, self.used = -FRESH, 0
        self.lock = asyncio.Lock()

    async def use(self) -> int:
        """How many bytes there are, as of a few seconds ago."""
        async with self.lock:
            if monotonic() - self.counted >= FRESH:
                self.used = await asyncio.to_thread(self.count)
                self.counted = monotonic()
        return self.used

    async def room(self, size: int = 0) -> None:
        """Refused if there is no room for so many bytes more."""
        if await self.use() + size > self.most:
            text = f"outputs and uploads fill the {self.most:,} bytes that they may; remove some jobs"
            raise over("disk", self.most, text)
        self.used += size

    def count(self) -> int:
        """The bytes in the folders now."""
        total, waiting = 0, [str(folder) for folder in self.folders]
        while waiting:
            try:
                with os.scandir(waiting.pop()) as entries:
                    for entry in entries:
                        if entry.is_dir(follow_symlinks=False):
                            waiting.append(entry.path)
                        else:
                            total += entry.stat(follow_symlinks=False).st_size
            except OSError:  # not there yet, or removed meanwhile
                continue
        return total
