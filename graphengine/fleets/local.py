"""LocalFleet: workers as processes of this machine."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING

from graphengine.channel import Message, received
from graphengine.fleets.crew import PATIENCE, SILENCE, Crew, Seat

if TYPE_CHECKING:
    from graphengine.config import Settings


class LocalFleet(Crew):
    """One process for each device that is named; a device may be named several times."""

    def __init__(
        self,
        settings: Settings,
        devices: Sequence[str] = (),
        *,
        silence: float = SILENCE,
        patience: float = PATIENCE,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(devices or (settings.device,), silence=silence, patience=patience)
        self.settings, self.environment = settings, environment or {}

    async def open(self, seat: Seat) -> Pipe:
        """Start a process."""
        ours, theirs = socket.socketpair()
        with theirs:
            popen = await asyncio.to_thread(self.spawn, seat.device, theirs.fileno())
        return Pipe(popen, *await asyncio.open_connection(sock=ours, limit=1 << 20))

    def spawn(self, device: str, descriptor: int) -> subprocess.Popen[bytes]:
        """Start a worker process that has an end of a channel."""
        settings = self.settings.model_copy(update={"device": device})
        text = settings.model_dump_json(exclude={"token"})
        environment = {k: v for k, v in os.environ.items() if k != "GRAPHENGINE_TOKEN"}
        return subprocess.Popen(
            [sys.executable, "-m", "graphengine.worker", str(descriptor), text],
            pass_fds=[descriptor],
            stdin=subprocess.DEVNULL,
            env=environment | dict(self.environment),
            start_new_session=True,  # Ctrl-C is for the server
        )


class Pipe:
    """The way to a worker process."""

    def __init__(
        self, popen: subprocess.Popen[bytes], reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self.popen, self.reader, self.writer = popen, reader, writer

    def send(self, message: Message) -> None:
        """Tell it something."""
        if not self.writer.is_closing():
            self.writer.write(message.packed())

    async def receive(self) -> Message | None:
        """What it says next, or None when it has closed its end."""
        return await received(self.reader)

    def kill(self) -> None:
        """End it by SIGKILL."""
        with suppress(ProcessLookupError):
            self.popen.kill()

    async def close(self) -> str:
        """Wait for its end, and see to it; gives how it ended."""
        self.writer.close()
        if self.popen.poll() is None:
            with suppress(subprocess.TimeoutExpired):
                await asyncio.to_thread(self.popen.wait, 1.0)
        if self.popen.poll() is None:
            self.kill()
            await asyncio.to_thread(self.popen.wait)
            return "it closed its channel"
        return in_words(self.popen.returncode)


def in_words(code: int) -> str:
    """The status of a process that has ended, in words."""
    if code >= 0:
        return f"it ended with status {code}"
    names = {number.value: number.name for number in signal.Signals}
    name = names.get(-code, f"signal {-code}")
    more = ", perhaps because the machine has too little memory" if name == "SIGKILL" else ""
    return f"it was ended by {name}{more}"
