"""Connection: what is bounded before there is a request: how many connections, and how slow they may be.

aiohttp bounds the size of a head and how long a connection may be idle. It waits for ever for the rest of a
head that comes byte by byte, and for a client that does not read its answer; both are ended here.
"""

from __future__ import annotations

import asyncio
from typing import Any

from aiohttp import web
from aiohttp.http_exceptions import LineTooLong

from graphengine.server import log
from graphengine.server.limits import Limits
from graphengine.server.problem import Refused, answer, over
from graphengine.server.veil import Veil

BUSY = b"HTTP/1.1 503 Service Unavailable\r\nConnection: close\r\nContent-Length: 0\r\nRetry-After: 2\r\n\r\n"
LARGE = b"HTTP/1.1 431 Request Header Fields Too Large\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
LINGER = 2.0
"""Seconds that are spent on reading the rest of a body that was refused, so that the answer is seen."""


class Door(web.Server):
    """Makes a Connection for each client that comes, and looks after those that are open."""

    def __init__(self, inner: web.Server, limits: Limits) -> None:
        super().__init__(
            inner.request_handler,
            request_factory=inner.request_factory,
            access_log=None,
            logger=log.ERRORS,
            keepalive_timeout=limits.idle_seconds,
            max_line_size=limits.line,
            max_field_size=limits.header,
            max_headers=limits.headers,
            lingering_time=LINGER,
            auto_decompress=False,
        )
        self.limits = limits
        self.open: dict[asyncio.Transport, tuple[int, float]] = {}
        """For each connection how many bytes wait to be read by its client, and since when so many do."""
        self.task: asyncio.Task[None] | None = None

    def __call__(self) -> Connection:
        return Connection(self, loop=asyncio.get_running_loop(), **self._kwargs)

    async def watch(self) -> None:
        """End each connection whose client has read nothing of its answer for too long."""
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(min(self.limits.stall_seconds / 4, 5))
            now = loop.time()
            for transport, (size, since) in list(self.open.items()):
                waiting = transport.get_write_buffer_size()
                if waiting == 0 or waiting != size:
                    self.open[transport] = waiting, now
                elif now - since > 2 * self.limits.stall_seconds:  # a stream ends its own readers sooner
                    transport.abort()


class Connection(web.RequestHandler):
    """One client's connection."""

    _manager: Door | None

    def __init__(self, door: Door, **options: Any) -> None:
        super().__init__(door, **options)
        self.door = door
        self.wire: asyncio.Transport | None = None
        self.timer: asyncio.TimerHandle | None = None
        self.size = 0
        """Bytes of a head that is not whole yet."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A client comes; one too many is sent away."""
        super().connection_made(transport)
        assert isinstance(transport, asyncio.Transport)
        self.wire = transport
        if len(self.door.open) >= self.door.limits.connections:
            transport.write(BUSY)
            self.force_close()
            return
        self.door.open[transport] = 0, self._loop.time()
        self.hurry()

    def connection_lost(self, exc: BaseException | None) -> None:
        """The client is gone."""
        if self.wire is not None:
            self.door.open.pop(self.wire, None)
        self.rest()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Some bytes came: of a head, if no request is being answered."""
        before = self.busy()
        super().data_received(data)
        if before or self.busy():
            self.rest()
            self.size = 0
            return
        self.size += len(data)
        if self.size > self.door.limits.head and self.wire is not None:
            self.wire.write(LARGE)
            self.force_close()
        elif self.timer is None:
            self.hurry()

    def busy(self) -> bool:
        """Whether there is a request, or the rest of one that was refused: else the next is waited for."""
        return bool(self._messages) or self._waiter is None

    def hurry(self) -> None:
        """From now on the head has so many seconds to come."""
        self.timer = self._loop.call_later(self.door.limits.head_seconds, self.late)

    def rest(self) -> None:
        """The head has come."""
        if self.timer is not None:
            self.timer.cancel()
            self.timer = None

    def late(self) -> None:
        """The head has not come."""
        self.timer = None
        if not self.busy():
            self.force_close()

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """What is told of bytes that are no request; what they were is told to nobody."""
        limits = self.door.limits
        if request.writer.output_size > 0:
            raise ConnectionError("an answer has begun, so none can be given of this error")
        if isinstance(exc, LineTooLong):
            most = f"the address has at most {limits.line} bytes, and each header {limits.header}"
            found = over("header", limits.header, most, 431)
        elif exc is not None and "too many headers" in str(exc).lower():
            found = over("headers", limits.headers, f"a request has at most {limits.headers} headers", 431)
        elif status >= 500:
            log.error("a request could not be answered", {}, exc)
            found = Refused(500, "something went wrong in the server; its log says what")
        else:
            found = Refused(400, "this is no HTTP request as it is taken here")
        response = Bare.of(answer(found, "", Veil([])))
        response.force_close()
        return response


class Bare(web.Response):
    """An answer outside of the application, which adds its headers to all others."""

    @classmethod
    def of(cls, response: web.Response) -> Bare:
        """With the body and the status of another."""
        return cls(body=response.body, status=response.status, content_type=response.content_type)

    async def _prepare_headers(self) -> None:
        await super()._prepare_headers()
        self.headers.popall("Server", None)
        self.headers["X-Content-Type-Options"] = "nosniff"
        self.headers["Cache-Control"] = "no-store"
