"""Loader: a process that reads all packs whenever it is asked, each time in a fork of itself.

It has imported once what takes seconds. A fork has that too; it reads anew what has changed since, tells what
it found, and ends: nothing stays of the time before, and a pack that crashes or hangs takes nobody with it.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, Any

from graphengine.channel import Channel, Message
from graphengine.errors import PackError
from graphengine.packs import files, forget, installed
from graphengine.registry import Manifest, Registry, manifest_file

if TYPE_CHECKING:
    from graphengine.config import Settings

PATIENCE = 30
"""Seconds that all packs together may take to load."""
OURS = "graphengine"
"""The distribution whose packs are imported once."""


class Loader:
    """What asks such a process. It starts with the first question; `close` ends it."""

    def __init__(self, settings: Settings) -> None:
        self.cache, self.nodes = settings.cache, settings.nodes
        self.environments = settings.environments
        self.process: subprocess.Popen[bytes] | None = None
        self.channel: Channel | None = None

    def load(self) -> Manifest:
        """The packs as their files are now. PackError if they cannot be loaded."""
        file = manifest_file(self.cache, self.nodes, self.environments)
        found = Manifest.stored(self.cache, self.nodes, self.environments)
        if found is None:
            found = Manifest.parse(self.ask())
            found.store(file, self.cache, self.nodes, self.environments)
        return found

    def warm(self) -> None:
        """Start the process, so that the first question need not wait for it."""
        if self.process is None or self.process.poll() is not None:
            self.close()
            ours, theirs = socket.socketpair()
            with theirs:
                command = [sys.executable, "-m", "graphengine.loader", str(theirs.fileno())]
                self.process = subprocess.Popen(
                    [*command, str(self.environments), *map(str, self.nodes)],
                    pass_fds=[theirs.fileno()],
                    stdin=subprocess.DEVNULL,
                    start_new_session=True,
                )
            self.channel = Channel(ours)

    def ask(self) -> bytes:
        """The manifest as JSON, from a fork of the process."""
        self.warm()
        assert self.channel is not None
        try:
            self.channel.send(Message({"kind": "load"}))
            answer = self.channel.receive()
        except OSError:
            answer = None
        if answer is None or answer.kind != "loaded":
            why = answer.head["why"] if answer else "what loads them has ended"
            raise PackError(f"the packs could not be loaded: {why}")
        return answer.body

    def close(self) -> None:
        """End the process. From any thread: who waits for an answer is given an error."""
        process, self.process = self.process, None
        if process is not None:
            process.kill()
            process.wait()
        if self.channel is not None:
            self.channel.close()


def served(channel: Channel, environments: Path, nodes: list[Path]) -> None:
    """Answer every question of a channel."""
    import torch  # noqa: F401 - what almost every pack imports

    sys.dont_write_bytecode = True  # it is known by whole seconds, and a file may change twice in one
    Registry.load(pack for pack in installed() if pack.distribution == OURS)
    before = states()
    while (message := channel.receive()) is not None:
        if message.kind != "load":
            continue
        child = os.fork()
        if child == 0:
            signal.alarm(PATIENCE)
            try:
                told(channel, environments, nodes, before)
                os._exit(0)
            except BaseException:
                traceback.print_exc()
                os._exit(1)
        _, status = os.waitpid(child, 0)
        if status:
            channel.send(Message({"kind": "failed", "why": in_words(os.waitstatus_to_exitcode(status))}))


def told(channel: Channel, environments: Path, nodes: list[Path], before: dict[str, Any]) -> None:
    """Load the packs and tell what they are; those whose files have changed are read anew."""
    now = states()
    for pack in installed():
        if now[pack.name] != before.get(pack.name):
            forget(pack)
    channel.send(Message({"kind": "loaded"}, Registry.every(nodes, environments).manifest.data()))


def states() -> dict[str, list[tuple[str, int, int]]]:
    """Of each installed pack, its files with their sizes and times of change."""
    return {
        pack.name: [(str(file), (at := file.stat()).st_size, at.st_mtime_ns) for file in files(pack)]
        for pack in installed()
    }


def in_words(code: int) -> str:
    """How a fork has ended."""
    if code == -signal.SIGALRM:
        return f"importing them takes more than {PATIENCE} seconds; look for a loop, or for what waits"
    return f"importing them ended the process, with {signal.Signals(-code).name if code < 0 else code}"


if __name__ == "__main__":
    end, *places = sys.argv[1:]
    environments, *nodes = map(Path, places)
    served(Channel(socket.socket(fileno=int(end))), environments, nodes)
