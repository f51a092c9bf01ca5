"""What a Ray cluster costs and gives: trivial jobs beside local ones, and two workers beside one."""

from __future__ import annotations

import asyncio
import json
import logging
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from time import perf_counter
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

from crews import ray
from serving import ended, local, served, settings, until

from graphengine.fleets.cluster import connected
from graphengine.fleets.crew import Crew

TRIVIAL, PICTURES, STEPS = 200, 200, 4


def rows() -> Iterator[tuple[str, str, str]]:
    """One cluster of this machine for all."""
    logging.getLogger("graphengine").setLevel(logging.ERROR)
    alone = seconds(local, 1, trivial, TRIVIAL)
    with connected():
        there = seconds(ray, 1, trivial, TRIVIAL)
        yield (
            "Ray: a trivial job, more than with a local worker",
            f"{(there - alone) / TRIVIAL * 1e3:.1f} ms [{there / TRIVIAL * 1e3:.1f} ms]",
            f"limit 20 ms; a local worker {alone / TRIVIAL * 1e3:.1f} ms",
        )
        one, two = (seconds(ray, workers, picture, PICTURES) for workers in (1, 2))
        yield (
            f"Ray: {PICTURES} storybook jobs, 2 workers against 1",
            f"{one / two:.2f} times",
            "at most 2; one machine, whose cores a single worker uses too",
        )


def trivial(number: int) -> dict[str, Any]:
    """A workflow that does nothing."""
    nodes = {"a": {"type": "number.real", "inputs": {"value": float(number)}}}
    return {"format": 1, "nodes": nodes, "outputs": {"value": "a.value"}}


def picture(number: int) -> dict[str, Any]:
    """A picture of few steps."""
    path = Path(__file__).parents[2] / "workflows" / "text_to_image.json"
    flow: dict[str, Any] = json.loads(path.read_text())
    for name, value in (("seed", number), ("steps", STEPS)):
        node, _, port = flow["inputs"][name].partition(".")
        flow["nodes"][node]["inputs"][port] = value
    return flow


def seconds(
    make: Callable[..., Crew], workers: int, flow: Callable[[int], dict[str, Any]], jobs: int
) -> float:
    """From the first submit to the last end, once every worker has run one."""

    async def scene(folder: Path) -> float:
        where = settings(folder, jobs_per_client=100_000, cache=folder / "cache")
        async with served(where, make(where, workers)) as service:
            await until(lambda: all(worker.ready for worker in service.fleet.workers()))
            for number in range(4 * workers):
                await service.submit(flow(-number - 1 if flow is trivial else 100_000 + number))
            for job in (await service.jobs(limit=500)).jobs:
                await ended(service, job.id, 300)
            began = perf_counter()
            ids = [(await service.submit(flow(number))).job.id for number in range(jobs)]
            for id in ids:
                assert (await ended(service, id, 600)).state == "done"
            return perf_counter() - began

    with tempfile.TemporaryDirectory(prefix="graphengine-bench-") as folder:
        return asyncio.run(scene(Path(folder)))
