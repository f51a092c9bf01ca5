"""Renewal: what a process has imported of packs, to import anew what has changed.

A module that has not changed stays, with its classes: values of these that are in memory stay good.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterable
from pathlib import Path

from graphengine.config import Settings
from graphengine.packs import Pack, loaded
from graphengine.registry import manifest_file
from graphengine.source import CodeVersions


class Renewal:
    """Watches over the packs of one process."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.file = self.current()
        """What the packs' files were when they were looked at last."""
        self.versions: dict[str, str] = {}
        """The code of each module when it was imported."""

    def current(self) -> Path:
        """What stands for the packs' files as they are now."""
        return manifest_file(self.settings.cache, self.settings.nodes, self.settings.environments)

    def due(self) -> bool:
        """Whether a file of a pack has changed since this was asked last."""
        before, self.file = self.file, self.current()
        return before != self.file

    def note(self, packs: Iterable[Pack]) -> None:
        """Remember the code of what was imported of some packs."""
        versions = CodeVersions()
        for name in loaded(packs):
            if name not in self.versions:
                self.versions[name] = versions.of(name)

    def forget(self) -> None:
        """Let the next import read anew what has changed."""
        sys.dont_write_bytecode = True  # it is known by whole seconds, and a file may change twice in one
        importlib.invalidate_caches()
        versions = CodeVersions()
        for name, version in list(self.versions.items()):
            if versions.of(name) != version:
                del self.versions[name]
                sys.modules.pop(name, None)
