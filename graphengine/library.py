"""Library: the workflows that users save, in one folder, and beside them those that are shipped.

A name is short and plain, so it is never a path. A file is written whole or not at all, in its canonical
form, and has an etag that is made of its content: who writes says which content he has seen, and what
somebody else has saved meanwhile is not lost. What is shipped is read only.

Every call here waits for the disk. A server calls it from a thread.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from threading import Lock
from typing import NamedTuple

from blake3 import blake3

from graphengine.errors import Conflict, NotFound, OverLimit, StoreError, WorkflowError
from graphengine.folders import inside, write_atomically
from graphengine.reader import LARGEST
from graphengine.workflow import Workflow

NAME = re.compile("[a-z0-9][a-z0-9_-]{0,79}").fullmatch
RULE = "write 1 to 80 of a-z, 0-9, _ and -, and begin with a letter or a digit"
SAVED = 10_000
"""How many workflows may be saved."""


class Listed(NamedTuple):
    """A workflow of the library. `modified` is in seconds since 1970."""

    name: str
    title: str
    description: str
    shipped: bool
    modified: float
    etag: str


class Library:
    """The workflows in `folder`, which users save, and in `shipped`, which nobody changes.

    Where both have a name, the user's goes before.
    """

    def __init__(self, folder: Path, shipped: Path) -> None:
        self.folder, self.shipped = folder, shipped
        self.lock = Lock()
        """Held between looking at a file and replacing it."""
        self.known: dict[tuple[Path, int, int], Listed] = {}
        """What was found in a file, by its size and its time of change."""

    def names(self) -> list[Listed]:
        """Everything in the library, by name. A file that is no workflow has no title."""
        found: dict[str, Listed] = {}
        seen: dict[tuple[Path, int, int], Listed] = {}
        for root in (self.shipped, self.folder):
            for path in sorted(root.glob("*.json")) if root.is_dir() else ():
                try:
                    if self.file(root, path.stem) is None:
                        continue
                    stat = path.stat()
                    key = path, stat.st_size, stat.st_mtime_ns
                    seen[key] = self.known.get(key) or self.listed(root, path.stem, stat.st_mtime)
                except (OSError, StoreError):  # removed meanwhile, or not to be read
                    continue
                found[path.stem] = seen[key]
        self.known = seen
        return [found[name] for name in sorted(found)]

    def listed(self, root: Path, name: str, modified: float) -> Listed:
        """One row of the list."""
        text = self.text(root / f"{name}.json")
        try:
            data = Workflow.parse(text).data
        except WorkflowError:
            data = {}
        title, about = data.get("name"), data.get("description")
        return Listed(
            name,
            title if isinstance(title, str) else "",
            about if isinstance(about, str) else "",
            root == self.shipped,
            modified,
            etag(text),
        )

    def read(self, name: str) -> tuple[str, str]:
        """The text of a workflow and its etag. NotFound if there is none."""
        path = self.file(self.folder, name) or self.file(self.shipped, name)
        if path is None:
            raise NotFound(f"there is no workflow {name[:80]!r}; the list has all that are there")
        try:
            text = self.text(path)
        except FileNotFoundError:
            raise NotFound(f"there is no workflow {name!r} any more") from None
        return text, etag(text)

    def write(
        self,
        name: str,
        text: str,
        *,
        match: str | None = None,
        create: bool = False,
        record: Callable[[Workflow], Workflow] = lambda workflow: workflow,
    ) -> str:
        """Save a workflow under a name, and give its etag.

        `record` adds what is to be known of it. `match` is the etag that the file must have; `create` says
        that there must be none. Conflict if it is otherwise, or if the name is that of a shipped one;
        WorkflowError if the text is no workflow.
        """
        if not NAME(name):
            raise WorkflowError(f"{name[:100]!r} is no name for a workflow; {RULE}")
        workflow = Workflow.parse(text)
        if workflow.blemishes:
            raise WorkflowError(workflow.blemishes)
        text = record(workflow).text()
        with self.lock:
            self.expect(name, match, create)
            if not (self.folder / f"{name}.json").exists() and self.count() >= SAVED:
                raise OverLimit(f"{SAVED} workflows are saved, and no more may be; remove one")
            try:
                write_atomically(self.folder / f"{name}.json", text.encode())
            except OSError as error:
                raise StoreError(f"the workflow {name!r} cannot be saved: {error}") from error
        return etag(text)

    def remove(self, name: str, match: str | None = None) -> None:
        """Remove a workflow that was saved. Conflict if it is shipped, or its etag is not `match`."""
        with self.lock:
            self.expect(name, match, False)
            path = self.file(self.folder, name)
            if path is None:
                raise NotFound(f"there is no workflow {name[:80]!r}; it may have been removed already")
            try:
                path.unlink()
            except OSError as error:
                raise StoreError(f"the workflow {name!r} cannot be removed: {error}") from error

    def picture(self, name: str) -> Path | None:
        """The picture of a shipped workflow, a PNG; None where there is none."""
        path = inside(self.shipped / "pictures", f"{name}.png") if NAME(name) else None
        return path if path is not None and path.is_file() and self.only_shipped(name) else None

    def only_shipped(self, name: str) -> bool:
        """Whether a name is that of a shipped workflow and of no saved one."""
        return self.file(self.folder, name) is None and self.file(self.shipped, name) is not None

    def expect(self, name: str, match: str | None, create: bool) -> None:
        """Conflict if a file is not what who changes it takes it for."""
        if self.only_shipped(name):
            raise Conflict(f"{name!r} is shipped, and stays as it is; save it under another name")
        path = self.file(self.folder, name)
        if create and path is not None:
            raise Conflict(f"there is a workflow {name!r} already; give its etag to replace it")
        if match is not None and (path is None or etag(self.text(path)) != match):
            raise Conflict(f"{name!r} is not what you have read any more; read it again before you change it")

    def file(self, root: Path, name: str) -> Path | None:
        """The file of a name under a root; None if there is none, or a link leads out of the root."""
        path = inside(root, f"{name}.json") if NAME(name) else None
        return path if path is not None and path.is_file() else None

    def text(self, path: Path) -> str:
        """What a file holds. FileNotFoundError if it is gone; StoreError if it cannot be read."""
        try:
            if path.stat().st_size > LARGEST:
                raise StoreError(f"{path.name} is larger than a workflow may be")
            return path.read_text("utf-8-sig")
        except FileNotFoundError:
            raise
        except (OSError, UnicodeDecodeError) as error:
            raise StoreError(f"the workflow {path.stem!r} cannot be read: {error}") from error

    def count(self) -> int:
        """How many files there are in the folder."""
        return sum(1 for _ in self.folder.glob("*.json"))


def etag(text: str) -> str:
    """What stands for the content of a file."""
    return blake3(text.encode("utf-8", "surrogatepass")).hexdigest(length=16)
