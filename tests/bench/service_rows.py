"""What the service costs: its start, its memory, a submit, its events, a cancel; one real server for all."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from statistics import median, quantiles
from time import perf_counter, sleep, time
from typing import Any

import aiohttp

sys.path.insert(0, str(Path(__file__).parents[1]))

from faults.server import TOKEN, Server, serving

from graphengine.client import Client

SOCKETS, RATE, SECONDS = 300, 10, 6


def rows() -> Iterator[tuple[str, str, str]]:
    """The rows of the service."""
    with serving(GRAPHENGINE_LIMIT_SOCKETS_PER_CLIENT=str(SOCKETS)) as server:
        server.stop()  # the first start has read the node types
        wall, cpu = starts(server)
        yield "serve: start to first answer, CPU [wall]", f"{cpu:.2f} s [{wall:.2f} s]", "limit 1 s"
        sleep(3.0)
        yield "serve: memory of the web process at rest", f"{memory(server) / 2**20:.0f} MiB", "limit 100 MiB"
        client = server.client
        client.wait(client.submit(chain(1)), 60)
        times = submits(client)
        p99 = quantiles(times, n=100)[98]
        yield (
            "submit, durable, p50 [p99]",
            f"{median(times) * 1e3:.1f} ms [{p99 * 1e3:.1f}]",
            "limit 10 ms",
        )
        for job in client.jobs(["queued", "running"]):
            client.wait(job, 120)
        size, count = asyncio.run(heard(server, chain(1000)))
        yield "events of a run of 1,000 nodes", f"{size / 1e3:.0f} kB, {count} events", "limit 1,000 kB"
        late = asyncio.run(fanned(server))
        yield (
            f"{SOCKETS} sockets, {RATE} events/s each, p50 [p99]",
            f"{median(late) * 1e3:.0f} ms [{quantiles(late, n=100)[98] * 1e3:.0f} ms]",
            f"limit 200 ms; {len(late):,} messages",
        )
    yield from cancels()


def starts(server: Server) -> tuple[float, float]:
    """Seconds from start to first answer, and those of them on the CPU; the best of five."""
    walls, costs = [], []
    for _ in range(5):
        walls.append(server.start())
        assert server.process is not None
        fields = Path(f"/proc/{server.process.pid}/stat").read_text().rpartition(")")[2].split()
        costs.append((int(fields[11]) + int(fields[12])) / 100)
        if len(walls) < 5:
            server.stop()
    return min(walls), min(costs)


def memory(server: Server) -> int:
    """Bytes of the web process in memory."""
    assert server.process is not None
    return int(Path(f"/proc/{server.process.pid}/statm").read_text().split()[1]) * 4096


def chain(length: int) -> dict[str, Any]:
    """A workflow of so many nodes, each after the other; never the same twice."""
    nodes: dict[str, Any] = {"n0": {"type": "number.real", "inputs": {"value": time()}}}
    for i in range(1, length):
        link = {"link": f"n{i - 1}.value"}
        nodes[f"n{i}"] = {"type": "number.add", "inputs": {"first": link, "second": 1.0}}
    return {"format": 1, "nodes": nodes, "outputs": {"value": f"n{length - 1}.value"}}


def submits(client: Client) -> list[float]:
    """Seconds of each of 200 submits, one after the other, of a workflow that is paused."""
    client.pause()
    found = []
    for _ in range(200):
        began = perf_counter()
        client.submit({"format": 1, "nodes": {"a": {"type": "number.real", "inputs": {"value": 1.0}}}})
        found.append(perf_counter() - began)
    client.resume()
    return found


async def heard(server: Server, flow: dict[str, Any]) -> tuple[int, int]:
    """Bytes and number of the events that a socket is sent while a workflow runs."""
    size = count = 0
    async with aiohttp.ClientSession(headers={"Authorization": f"Bearer {TOKEN}"}) as session:
        url = f"http://127.0.0.1:{server.port}"
        async with session.ws_connect(f"{url}/api/events", max_msg_size=0) as socket:
            async with session.post(f"{url}/api/jobs", json={"workflow": flow}) as answer:
                id = (await answer.json())["id"]
            async for message in socket:
                size += len(message.data)
                for entry in json.loads(message.data) if isinstance(message.data, str) else ():
                    count += 1
                    if entry["job"] == id and entry["event"].get("state") == "done":
                        return size, count
    raise AssertionError("the socket was closed")


async def fanned(server: Server) -> list[float]:
    """Seconds between the writing of an event and its arrival, for each event at each of many sockets.

    The events are those of a job that tells its progress, ten times a second.
    """
    url, late = f"http://127.0.0.1:{server.port}", list[float]()
    headers = {"Authorization": f"Bearer {TOKEN}"}
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(headers=headers, connector=connector) as session:
        sockets = [await session.ws_connect(f"{url}/api/events") for _ in range(SOCKETS)]

        async def listen(socket: aiohttp.ClientWebSocketResponse) -> None:
            async for message in socket:
                now = time()
                late.extend(now - entry["time"] for entry in json.loads(message.data))

        readers = [asyncio.create_task(listen(socket)) for socket in sockets]
        node = {"type": "faulty.tick", "inputs": {"seconds": SECONDS, "rate": RATE}}
        flow = {"format": 1, "nodes": {"node": node}, "outputs": {"value": "node.value"}}
        async with session.post(f"{url}/api/jobs", json={"workflow": flow}) as answer:
            assert answer.status == 201, await answer.text()
        await asyncio.sleep(SECONDS + 3)
        for socket in sockets:
            await socket.close()
        await asyncio.gather(*readers)
    assert len(late) >= SOCKETS * RATE * SECONDS * 0.9, f"{len(late)} events came"
    return late


def cancels() -> Iterator[tuple[str, str, str]]:
    """How long a cancel takes while the storybook model samples, and the memory of the worker after it."""
    with serving() as server:
        client, walls = server.client, []
        client.wait(client.submit("text_to_image", {"steps": 2, "seed": 1}), 120)
        sleep(1.5)
        before = client.health()["workers"][0]["memory"]
        for seed in range(3):
            job = client.submit("text_to_image", {"steps": 100, "seed": seed})
            for event in client.events(job):
                if event["event"]["event"] == "body_finished":
                    break
            began = perf_counter()
            client.cancel(job)
            assert client.wait(job, 30)["state"] == "cancelled"
            walls.append(perf_counter() - began)
        sleep(1.5)
        more = client.health()["workers"][0]["memory"] - before
        yield "cancel while sampling, worst of 3", f"{max(walls):.2f} s", "limit 2 s"
        yield "memory of the worker after that, against before", f"{more / 2**20:+.0f} MiB", "given back"
