"""Running: a server that listens, from its start to its end."""

from __future__ import annotations

import asyncio
import socket
import ssl
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from aiohttp import web

from graphengine.config import Settings
from graphengine.errors import GraphEngineError
from graphengine.server import app
from graphengine.server.connection import Door
from graphengine.server.guard import Access
from graphengine.server.limits import Limits

if TYPE_CHECKING:
    from graphengine.service import Service

BACKLOG = 128
HANDSHAKE = 10.0
"""Seconds until a TLS connection must be there."""


class Running:
    """A service behind an address. `certificate` and `key` are PEM files; with them it speaks TLS."""

    def __init__(
        self,
        service: Service,
        settings: Settings,
        access: Access,
        listener: socket.socket,
        *,
        limits: Limits | None = None,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self.site = app.site(service, settings, access, limits)
        self.app = app.make(self.site)
        self.listener, self.tls = listener, tls
        self.runner = web.AppRunner(self.app, access_log=None)
        self.server: asyncio.Server | None = None
        self.door: Door | None = None

    async def start(self) -> None:
        """Listen."""
        await self.runner.setup()
        assert self.runner.server is not None
        self.door = Door(self.runner.server, self.site.limits)
        self.server = await asyncio.get_running_loop().create_server(
            self.door,
            sock=self.listener,
            backlog=BACKLOG,
            ssl=self.tls,
            ssl_handshake_timeout=HANDSHAKE if self.tls else None,
        )
        self.door.task = asyncio.create_task(self.door.watch())

    async def close(self, grace: float = 5.0) -> None:
        """Take no more requests, end the streams, and let what is being answered finish within `grace`."""
        assert self.server is not None
        assert self.door is not None
        self.server.close()
        await asyncio.sleep(0)
        self.door.pre_shutdown()
        await self.app.shutdown()
        await self.door.shutdown(grace)
        if self.door.task is not None:
            self.door.task.cancel()
            with suppress(asyncio.CancelledError):
                await self.door.task
        await self.runner.cleanup()


def listening(host: str, port: int) -> socket.socket:
    """A socket that is bound. GraphEngineError says why it cannot be."""
    try:
        family, kind, proto, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        found = socket.socket(family, kind, proto)
    except OSError as error:
        raise GraphEngineError(f"{host} is no address of this machine: {error}") from None
    try:
        found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        found.bind(address)
        found.listen(BACKLOG)
    except OSError as error:
        found.close()
        reason = f"port {port} of {host} cannot be listened on: {error.strerror or error}"
        raise GraphEngineError(f"{reason}; choose another with `--port`") from None
    found.setblocking(False)
    return found


def context(certificate: Path, key: Path | None) -> ssl.SSLContext:
    """What TLS needs. GraphEngineError for files that cannot be used."""
    found = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    try:
        found.load_cert_chain(certificate, key)
    except (OSError, ssl.SSLError) as error:
        raise GraphEngineError(f"the certificate {certificate} cannot be used: {error}") from None
    return found
