"""Streams: the events of jobs as they happen, for a WebSocket or as server-sent events.

What a batch of events looks like is written once for all who read it. A reader that takes too long to read
is closed; it loses nothing, because it may come back with the number of the last event that it has seen.
"""

from __future__ import annotations

import asyncio
import json
from collections import Counter, OrderedDict
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import aclosing, contextmanager
from typing import TYPE_CHECKING, Any

from aiohttp import WSCloseCode, WSMsgType, web

from graphengine.errors import NotFound
from graphengine.server import log
from graphengine.server.limits import Limits
from graphengine.server.problem import over
from graphengine.server.veil import Veil
from graphengine.store.jobs import ENDS, Entry, Excerpt

if TYPE_CHECKING:
    from graphengine.hub import Hub, Preview
    from graphengine.service import Service

Texts = asyncio.Queue[str | None]

REMEMBERED = 2 << 20
"""Characters of texts that are kept for further readers."""
FRAME = 256 << 10
"""Characters of events that are sent at once, or one event that is longer."""
GRACE = 2.0
"""Seconds for the last words to a reader."""
ASIDE = 4096
"""Bytes of a message that a reader may send; nothing in it counts."""
SSE = {"Content-Type": "text/event-stream", "Cache-Control": "no-store", "X-Accel-Buffering": "no"}
ENDED = tuple(f'"state": "{state}"' for state in (*ENDS, "removed"))


class Streams:
    """The readers that are connected now."""

    def __init__(self, limits: Limits, veil: Veil) -> None:
        self.limits, self.veil = limits, veil
        self.clients: Counter[str] = Counter()
        self.sockets: set[web.WebSocketResponse] = set()
        self.queues: set[Texts] = set()
        """What is about to be sent to each reader of server-sent events."""
        self.texts: OrderedDict[tuple[int, int, int, bool], str] = OrderedDict()
        self.size = 0
        """Characters of these."""

    @contextmanager
    def place(self, client: str) -> Iterator[None]:
        """A place for one more reader of a client. Refused if there is none."""
        limits = self.limits
        if self.clients.total() >= limits.sockets:
            text = f"{limits.sockets} streams of events are open, and no more may be"
            raise over("sockets", limits.sockets, text, 429)
        if self.clients[client] >= limits.sockets_per_client:
            text = f"you have {limits.sockets_per_client} streams of events open, and no more may be"
            raise over("sockets_per_client", limits.sockets_per_client, text, 429)
        self.clients[client] += 1
        try:
            yield
        finally:
            self.clients[client] -= 1
            if not self.clients[client]:
                del self.clients[client]

    def entry(self, entry: Entry) -> str:
        """An event as JSON."""
        text = self.veil(entry.text) if '"error"' in entry.text else entry.text
        return (
            f'{{"sequence": {entry.sequence}, "job": {json.dumps(entry.job)}, '
            f'"time": {entry.time!r}, "event": {text}}}'
        )

    def text(self, entries: Sequence[Entry], sse: bool) -> str:
        """A batch of events as they are sent."""
        key = entries[0].sequence, entries[-1].sequence, len(entries), sse
        found = self.texts.get(key)
        if found is None:
            rows = [self.entry(entry) for entry in entries]
            if sse:
                found = "".join(
                    f"id: {e.sequence}\ndata: {row}\n\n" for e, row in zip(entries, rows, strict=True)
                )
            else:
                found = f"[{', '.join(rows)}]"
            self.texts[key] = found
            self.size += len(found)
            while self.size > REMEMBERED:
                self.size -= len(self.texts.popitem(last=False)[1])
        return found

    async def close(self) -> None:
        """Tell every reader that the server ends, and let each go."""
        for queue in self.queues:
            while not queue.empty():
                queue.get_nowait()
            queue.put_nowait(None)
        away = WSCloseCode.GOING_AWAY
        await asyncio.gather(*(ended(socket, away, b"the server ends") for socket in self.sockets))

    async def socket(
        self, request: web.Request, hub: Hub, since: int | None, job: str | None, previews: bool
    ) -> web.WebSocketResponse:
        """Send events, and pictures if they are wanted, until one of the two ends."""
        socket = web.WebSocketResponse(
            heartbeat=self.limits.ping_seconds, max_msg_size=ASIDE, compress=False, timeout=GRACE
        )
        await socket.prepare(request)
        self.sockets.add(socket)
        loops = (self.told(socket, hub, since, job), self.renewals(socket, hub), heard(socket))
        tasks = [asyncio.create_task(loop) for loop in loops]
        if previews:
            tasks.append(asyncio.create_task(self.shown(socket, hub, job)))
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            self.sockets.discard(socket)
        errors = [error for task in done if (error := task.exception()) is not None]
        if not errors:
            await ended(socket, WSCloseCode.GOING_AWAY, b"the events end")
        elif any(isinstance(error, TimeoutError) for error in errors):
            await ended(socket, WSCloseCode.TRY_AGAIN_LATER, b"read faster, or come back with ?since=")
        elif not isinstance(errors[0], ConnectionError):
            log.error("a stream of events has failed", {}, errors[0])
            await ended(socket, WSCloseCode.INTERNAL_ERROR, b"something went wrong; come back with ?since=")
        return socket

    async def told(self, socket: web.WebSocketResponse, hub: Hub, since: int | None, job: str | None) -> None:
        """Send the events. TimeoutError if they are not read."""
        since, lost = await begun(hub, since)
        if lost is not None:
            await self.send(socket, json.dumps({"lost": True, "since": lost}))
        async with aclosing(hub.follow(since, job)) as batches:
            async for entries in batches:
                for some in portions(entries):
                    await self.send(socket, self.text(some, sse=False))

    async def shown(self, socket: web.WebSocketResponse, hub: Hub, job: str | None) -> None:
        """Send the pictures. TimeoutError if they are not read."""
        async with aclosing(hub.previews(job)) as pictures:
            async for preview in pictures:
                await self.send(socket, framed(preview))

    async def renewals(self, socket: web.WebSocketResponse, hub: Hub) -> None:
        """Say whenever the node types have changed. TimeoutError if it is not read."""
        while await hub.renewal.wait():
            await self.send(socket, json.dumps({"nodes": True}))

    async def send(self, socket: web.WebSocketResponse, message: str | bytes) -> None:
        """Send a message, and wait until most of it is on its way."""
        async with asyncio.timeout(self.limits.stall_seconds):
            if isinstance(message, str):
                await socket.send_str(message)
            else:
                await socket.send_bytes(message)

    async def events(
        self, request: web.Request, service: Service, since: int | None, job: str | None, ends: bool
    ) -> web.StreamResponse:
        """Send events as server-sent events; `ends`: until the job has ended."""
        response = web.StreamResponse(headers=SSE)
        response.force_close()
        await response.prepare(request)
        queue: Texts = asyncio.Queue(1)
        self.queues.add(queue)
        task = asyncio.create_task(self.fill(queue, service, since, job, ends))
        try:
            while (text := await self.next(queue)) is not None:
                async with asyncio.timeout(self.limits.stall_seconds):
                    await response.write(text.encode())
        except (TimeoutError, ConnectionError):
            if request.transport is not None:
                request.transport.abort()
        finally:
            self.queues.discard(queue)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        return response

    async def next(self, queue: Texts) -> str | None:
        """The next text, or a sign of life where none comes for a while."""
        try:
            async with asyncio.timeout(self.limits.ping_seconds):
                return await queue.get()
        except TimeoutError:
            return ": ping\n\n"

    async def fill(
        self,
        queue: Texts,
        service: Service,
        since: int | None,
        job: str | None,
        ends: bool,
    ) -> None:
        """Put the texts of server-sent events into a queue, and None at the end."""
        try:
            async for text in self.told_as_text(service, since, job, ends):
                await queue.put(text)
        except Exception as error:
            log.error("a stream of events has failed", {}, error)
        await queue.put(None)

    async def told_as_text(
        self, service: Service, since: int | None, job: str | None, ends: bool
    ) -> AsyncIterator[str]:
        """The texts of server-sent events."""
        since, lost = await begun(service.hub, since)
        missing = json.dumps({"lost": True, "since": lost})
        yield ": here\n\n" if lost is None else f"event: lost\ndata: {missing}\n\n"
        if ends and job is not None and await over_with(service, job, since):
            return
        async with aclosing(service.hub.follow(since, job)) as batches:
            async for entries in batches:
                for some in portions(entries):
                    yield self.text(some, sse=True)
                if not ends or job is None or not any(end in e.text for e in entries for end in ENDED):
                    continue
                if await over_with(service, job, entries[-1].sequence):
                    return


def portions(entries: Sequence[Entry]) -> Iterator[Sequence[Entry]]:
    """Events in groups that are not too long to be sent at once; the same events give the same groups."""
    first = size = 0
    for place, entry in enumerate(entries):
        size += len(entry.text)
        if size > FRAME and place > first:
            yield entries[first:place]
            first, size = place, len(entry.text)
    yield entries[first:]


async def begun(hub: Hub, since: int | None) -> tuple[int, int | None]:
    """The number to go on from, and the one after which events are missing, if some are."""
    if since is None:
        return hub.last, None
    if since > hub.last:  # of another database
        return hub.last, since
    return since, since if await hub.lost(since) else None


async def over_with(service: Service, job: str, since: int) -> bool:
    """Whether a job has ended, or is gone, and nothing more is told of it after a number."""
    try:
        if (await service.job(job)).state not in ENDS:
            return False
    except NotFound:
        return True
    return not (await excerpt(service, job, since, 1)).entries


async def excerpt(service: Service, job: str, since: int, limit: int) -> Excerpt:
    """Events of a job after a number, `limit` at most."""
    return await service.call(service.store.journal.read, since, job=job, limit=limit)


async def heard(socket: web.WebSocketResponse) -> None:
    """Read what a reader sends, until it closes; nothing that it says counts."""
    while True:
        message = await socket.receive()
        if message.type in (WSMsgType.CLOSE, WSMsgType.CLOSING, WSMsgType.CLOSED, WSMsgType.ERROR):
            return


async def ended(socket: web.WebSocketResponse, code: int, why: bytes) -> None:
    """Close a socket with a code, though its client may not be reading."""
    transport = socket._req.transport if socket._req is not None else None
    try:
        async with asyncio.timeout(2 * GRACE):
            await socket.close(code=code, message=why)
    except (TimeoutError, ConnectionError):
        if transport is not None:
            transport.abort()


def framed(preview: Preview) -> bytes:
    """A picture with what is known of it in front: the length of that, and then JSON."""
    head: dict[str, Any] = {"job": preview.job, "node": preview.node, "media": preview.media}
    text = json.dumps(head | {"width": preview.width, "height": preview.height}).encode()
    return len(text).to_bytes(4) + text + preview.data
