"""Events: followed as they happen, and read again afterwards."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import Awaitable, Callable
from typing import Any

import aiohttp
import pytest
from listening import LIMITS, TOKEN, Live, png

BEARER = {"Authorization": f"Bearer {TOKEN}"}


def follow(
    live: Live, scene: Callable[[aiohttp.ClientWebSocketResponse], Awaitable[Any]], query: str = ""
) -> Any:
    """What a scene gives with a WebSocket."""

    async def run() -> Any:
        async with aiohttp.ClientSession(headers=BEARER) as session:
            async with session.ws_connect(f"{live.url}/api/events{query}") as wire:
                return await asyncio.wait_for(scene(wire), 20)

    return asyncio.run(run())


async def until_ended(wire: aiohttp.ClientWebSocketResponse, job: str) -> list[dict[str, Any]]:
    """The entries up to the end of a job."""
    found: list[dict[str, Any]] = []
    while not any(e["job"] == job and e["event"].get("state") in ("done", "cancelled") for e in found):
        message = await wire.receive()
        assert message.type == aiohttp.WSMsgType.TEXT, message
        found += json.loads(message.data)
    return found


def test_a_socket_tells_what_happens_from_now_on(live):
    before = live.service.hub.last

    async def scene(wire):
        job = await asyncio.to_thread(live.submit)
        return job, await until_ended(wire, job)

    job, entries = follow(live, scene)
    assert [e["sequence"] for e in entries] == list(range(before + 1, before + 1 + len(entries)))
    assert {e["job"] for e in entries} == {job}
    assert [e["event"].get("state", e["event"]["event"]) for e in entries] == [
        "queued", "running", "node_started", "node_finished", "done"
    ]  # fmt: skip


def test_a_socket_that_comes_back_is_told_what_it_missed(live):
    job = live.submit()
    live.ended(job)
    every = live.ask("GET", f"/api/jobs/{job}/events").json
    assert every["lost"] is False
    first = every["events"][0]["sequence"]

    async def scene(wire):
        return await until_ended(wire, job)

    entries = follow(live, scene, f"?since={first}")
    assert entries == every["events"][1:]
    assert follow(live, scene, f"?since=0&job={job}") == every["events"]


def test_a_socket_is_told_when_something_is_missing(live):
    async def scene(wire):
        return json.loads((await wire.receive()).data)

    far = live.service.hub.last + 1000
    assert follow(live, scene, f"?since={far}") == {"lost": True, "since": far}


def test_pictures_come_as_binary_frames_to_who_wants_them(live):
    async def scene(wire):
        job = await asyncio.to_thread(live.submit, "slow")
        while (message := await wire.receive()).type != aiohttp.WSMsgType.BINARY or job not in str(
            message.data
        ):
            assert message.type in (aiohttp.WSMsgType.TEXT, aiohttp.WSMsgType.BINARY)
        await asyncio.to_thread(live.ask, "POST", f"/api/jobs/{job}/cancel")
        return job, message.data

    job, data = follow(live, scene, "?previews=1")
    size = int.from_bytes(data[:4])
    assert json.loads(data[4 : 4 + size]) == {
        "job": job, "node": "add", "media": "image/png", "width": 4, "height": 4
    }  # fmt: skip
    assert data[4 + size :] == png(4, 4)


def test_who_wants_no_pictures_gets_none(live):
    async def scene(wire):
        job = await asyncio.to_thread(live.submit)
        return await until_ended(wire, job)

    assert follow(live, scene)


def test_a_batch_is_written_once_for_all_who_read_it(live, monkeypatch):
    written: list[int] = []
    entry = live.running.site.streams.entry
    monkeypatch.setattr(
        live.running.site.streams, "entry", lambda e: (written.append(e.sequence), entry(e))[1]
    )

    async def run() -> None:
        async with aiohttp.ClientSession(headers=BEARER) as session:
            wires = [await session.ws_connect(f"{live.url}/api/events") for _ in range(4)]
            job = await asyncio.to_thread(live.submit)
            told = await asyncio.gather(*(until_ended(wire, job) for wire in wires))
            assert all(entries == told[0] for entries in told)
            for wire in wires:
                await wire.close()

    asyncio.run(run())
    assert len(written) < 2 * len(set(written))  # four readers, and not each event four times


def sse(text: str) -> list[tuple[int, dict[str, Any]]]:
    """The events in server-sent text."""
    blocks = [dict(line.split(": ", 1) for line in block.split("\n") if line and line[0] != ":")
              for block in text.split("\n\n")]  # fmt: skip
    return [(int(block["id"]), json.loads(block["data"])) for block in blocks if "id" in block]


def test_the_events_of_a_job_are_sent_until_it_has_ended(live):
    job = live.submit()
    answer = live.ask("GET", f"/api/jobs/{job}/events", headers={"Accept": "text/event-stream"})
    assert answer.headers["Content-Type"] == "text/event-stream"
    told = sse(answer.body.decode())
    every = live.ask("GET", f"/api/jobs/{job}/events").json["events"]
    assert told == [(entry["sequence"], entry) for entry in every]
    again = live.ask(
        "GET",
        f"/api/jobs/{job}/events",
        headers={"Accept": "text/event-stream", "Last-Event-ID": str(told[1][0])},
    )
    assert sse(again.body.decode()) == told[2:]
    nothing = live.ask(
        "GET", f"/api/jobs/{job}/events?since={told[-1][0]}", headers={"Accept": "text/event-stream"}
    )
    assert sse(nothing.body.decode()) == []


def test_events_of_all_jobs_are_server_sent_to_who_has_no_websocket(live):
    job = live.submit()
    live.ended(job)
    first = live.ask("GET", f"/api/jobs/{job}/events").json["events"][0]["sequence"]
    headers = f"Host: localhost\r\nAuthorization: Bearer {TOKEN}\r\n"
    request = f"GET /api/events?since={first - 1} HTTP/1.1\r\n{headers}\r\n"
    with socket.create_connection(("127.0.0.1", live.port), timeout=10) as wire:
        wire.sendall(request.encode())
        text = b""
        while b'"done"' not in text:
            text += wire.recv(65536)
    assert text.count(f'"job": "{job}"'.encode()) >= 5


def test_events_are_read_a_page_at_a_time(live):
    job = live.submit()
    live.ended(job)
    first = live.ask("GET", f"/api/jobs/{job}/events?limit=2").json
    assert len(first["events"]) == 2
    rest = live.ask("GET", f"/api/jobs/{job}/events?since={first['last']}").json
    assert rest["events"][0]["sequence"] == first["last"] + 1
    assert live.ask("GET", "/api/jobs/abc/events").status == 404


def test_a_client_has_so_many_streams_and_no_more(live):
    async def run() -> None:
        async with aiohttp.ClientSession(headers=BEARER) as session:
            wires = []
            for _ in range(LIMITS.sockets_per_client):
                wires.append(await session.ws_connect(f"{live.url}/api/events"))
            with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
                await session.ws_connect(f"{live.url}/api/events")
            assert refused.value.status == 429
            for wire in wires:
                await wire.close()

    asyncio.run(run())
    live.until(lambda: live.running.site.streams.clients.total() == 0)
    answer = live.ask("GET", "/metrics")
    assert b"graphengine_streams 0" in answer.body


def test_a_server_that_ends_tells_its_readers(tmp_path):
    closed: list[int | None] = []

    async def run(live: Live) -> None:
        async with aiohttp.ClientSession(headers=BEARER) as session:
            wire = await session.ws_connect(f"{live.url}/api/events")
            stream = await session.get(f"{live.url}/api/events")
            await stream.content.readany()
            closing = asyncio.create_task(asyncio.to_thread(live.do, live.stop()))
            while (await wire.receive()).type != aiohttp.WSMsgType.CLOSE:
                pass
            closed.append(wire.close_code)
            async with asyncio.timeout(10):
                while await stream.content.readany():
                    pass
            await wire.close()
            await closing

    with Live(tmp_path) as live:
        stop, asked = live.stop, []

        async def once() -> None:
            if not asked:
                asked.append(True)
                await stop()

        live.stop = once
        asyncio.run(run(live))
    assert closed == [1001]


def test_a_reader_that_does_not_read_is_closed_and_may_come_back(tmp_path):
    limits = LIMITS.model_copy(update={"stall_seconds": 0.5})
    with Live(tmp_path, limits) as live:
        first = live.submit("slow")
        live.until(lambda: live.ask("GET", f"/api/jobs/{first}").json["state"] == "running")
        head = (
            f"GET /api/events HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {TOKEN}\r\n"
            "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
            "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
        )
        wire = socket.socket()
        wire.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        wire.connect(("127.0.0.1", live.port))
        wire.sendall(head.encode())
        live.until(lambda: live.running.site.streams.sockets)

        async def tell() -> None:
            texts = {"event": "node_progress", "node": "x" * 30_000}
            for _ in range(400):
                live.hands.tell(live.hands.order, texts)

        live.do(tell())
        live.until(lambda: not live.running.site.streams.sockets, 30)
        live.until(lambda: live.running.site.streams.clients.total() == 0, 30)
        wire.close()
        assert live.ask("GET", "/api/queue").status == 200
        live.ask("POST", f"/api/jobs/{first}/cancel")
        last = live.ended(first)["id"]
        assert len(live.ask("GET", f"/api/jobs/{last}/events?limit=1000").json["events"]) > 400


def test_a_reader_that_pauses_too_long_is_told_to_come_back(tmp_path):
    limits = LIMITS.model_copy(update={"stall_seconds": 0.3})

    async def run(live: Live, job: str) -> list[aiohttp.WSMessage]:
        async with aiohttp.ClientSession(headers=BEARER) as session:
            wire = await session.ws_connect(f"{live.url}/api/events", max_msg_size=0)
            transport = wire.get_extra_info("socket")
            assert transport is not None
            wire._conn.transport.pause_reading()

            async def tell() -> None:
                for _ in range(1000):
                    live.hands.tell(live.hands.order, {"event": "node_progress", "node": "x" * 30_000})

            await asyncio.to_thread(live.do, tell())
            await asyncio.to_thread(live.until, lambda: not live.running.site.streams.sockets)
            wire._conn.transport.resume_reading()
            found = []
            while (message := await asyncio.wait_for(wire.receive(), 20)).type == aiohttp.WSMsgType.TEXT:
                found.append(message)
            found.append(message)
            return found

    with Live(tmp_path, limits) as live:
        job = live.submit("slow")
        live.until(lambda: live.hands.order is not None)
        last = asyncio.run(run(live, job))[-1]
        assert (last.type, last.data) == (aiohttp.WSMsgType.CLOSE, 1013)
