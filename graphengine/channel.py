"""Channel: messages between the server and a worker, over a socket.

A message is a head (JSON) and a body (bytes, for pictures); in front of both stand their lengths, four bytes
each, the highest first. The worker's side blocks; the server's side awaits.
"""

from __future__ import annotations

import json
import socket
import struct
from asyncio import IncompleteReadError, StreamReader
from contextlib import suppress
from threading import Lock
from typing import Any, NamedTuple

LENGTHS = struct.Struct(">II")
LARGEST = 256 << 20
"""Bytes that a head or a body may have."""


class Message(NamedTuple):
    """What one side said."""

    head: dict[str, Any]
    body: bytes = b""

    @property
    def kind(self) -> str:
        """What it is about."""
        return str(self.head["kind"])

    def packed(self) -> bytes:
        """As it is sent."""
        head = json.dumps(self.head, separators=(",", ":"), default=str).encode()
        return LENGTHS.pack(len(head), len(self.body)) + head + self.body

    @classmethod
    def of(cls, data: bytes) -> Message:
        """The inverse of `packed`."""
        head, _ = LENGTHS.unpack_from(data)
        return unpacked(data[LENGTHS.size :], head)


class Channel:
    """The worker's end. Any thread may send; one receives."""

    def __init__(self, connection: socket.socket) -> None:
        self.connection, self.turn = connection, Lock()
        self.stream = connection.makefile("rb")

    def send(self, message: Message) -> None:
        """Send a message whole. OSError if the other side is gone."""
        data = message.packed()
        with self.turn:
            self.connection.sendall(data)

    def receive(self) -> Message | None:
        """The next message, or None if the other side is gone."""
        try:
            lengths = self.stream.read(LENGTHS.size)
            if len(lengths) < LENGTHS.size:
                return None
            head, body = LENGTHS.unpack(lengths)
            data = self.stream.read(head + body)
        except (OSError, ValueError):  # it is closed
            return None
        return unpacked(data, head) if len(data) == head + body else None

    def close(self) -> None:
        """End the connection, from any thread; what waits for a message is given None."""
        with suppress(OSError):
            self.connection.shutdown(socket.SHUT_RDWR)
        self.stream.close()
        self.connection.close()


async def received(stream: StreamReader) -> Message | None:
    """The next message for the server's end, or None if the worker is gone, or sends what is no message."""
    try:
        head, body = LENGTHS.unpack(await stream.readexactly(LENGTHS.size))
        if max(head, body) > LARGEST:
            return None
        return unpacked(await stream.readexactly(head + body), head)
    except (IncompleteReadError, OSError, ValueError):
        return None


def unpacked(data: bytes, head: int) -> Message:
    """A message from its bytes."""
    return Message(json.loads(data[:head]), data[head:])
