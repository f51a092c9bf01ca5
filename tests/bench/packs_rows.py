"""How long a saved node file takes to the editor, and to the next run; `serve --dev`, a real server."""

from __future__ import annotations

import asyncio
import json
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from statistics import median
from time import perf_counter, sleep

import aiohttp

sys.path.insert(0, str(Path(__file__).parents[1]))

from faults.server import TOKEN, Server, serving

TIMES = 9
NODE = """
import torch
from graphengine import Image, node

@node
def made(first: float = {}) -> Image:
    return torch.full((1, 8, 8, 3), first)
"""
FLOW = {"format": 1, "nodes": {"a": {"type": "glow.made", "inputs": {}}}, "outputs": {"a": "a.image"}}


def rows() -> Iterator[tuple[str, str, str]]:
    """The rows of packs that are being written."""
    with tempfile.TemporaryDirectory() as folder:
        with serving(GRAPHENGINE_DEV="1", GRAPHENGINE_NODES=folder) as server:
            while not server.client.health()["ready"]:
                sleep(0.1)
            seen, ran = asyncio.run(saves(server, Path(folder) / "glow.py"))
    figures = f"{median(seen):.2f} s [{max(seen):.2f} s]"
    yield "a node file is saved: its schema with the editor, median [worst]", figures, "limit 1 s"
    yield "the same, to the end of a run of the new code", f"{median(ran):.2f} s [{max(ran):.2f} s]", ""


async def saves(server: Server, file: Path) -> tuple[list[float], list[float]]:
    """Seconds from saving a file to the node types that have what it says, and to the end of a run of it."""
    seen, ran = list[float](), list[float]()
    url = f"http://127.0.0.1:{server.port}"
    async with aiohttp.ClientSession(headers={"Authorization": f"Bearer {TOKEN}"}) as session:
        async with session.ws_connect(f"{url}/api/events", max_msg_size=0) as socket:
            for number in range(-1, TIMES):  # the first one waits for what loads packs to start
                await asyncio.sleep(0.37)  # so that it meets the watch at any point of its round
                began = perf_counter()
                await asyncio.to_thread(file.write_text, NODE.format(number))
                while (await socket.receive()).data != json.dumps({"nodes": True}):
                    pass
                async with session.get(f"{url}/api/nodes") as answer:
                    types = {kind["id"]: kind for kind in (await answer.json())["types"]}
                until = perf_counter() - began
                (port,) = types["glow.made"]["inputs"]
                assert port["default"] == number
                async with session.post(f"{url}/api/jobs", json={"workflow": FLOW}) as answer:
                    job = (await answer.json())["id"]
                async for message in socket:
                    if any(ended(entry, job) for entry in json.loads(message.data)):
                        break
                if number >= 0:
                    seen.append(until)
                    ran.append(perf_counter() - began)
    return seen, ran


def ended(entry: dict[str, object], job: str) -> bool:
    """Whether an event says that a job is done."""
    return entry["job"] == job and "done" in str(entry["event"])
