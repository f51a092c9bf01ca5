"""How the memory of server and worker grows with the jobs that they have run: `soak.py JOBS`."""

from __future__ import annotations

import sys
from pathlib import Path

from faults.server import Server, serving


def resident(server: Server) -> tuple[int, int]:
    """Bytes in memory of the server and of its worker."""
    assert server.process is not None
    pids = [server.process.pid, *server.workers()[:1]]
    sizes = [int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * 4096 for pid in pids]
    return sizes[0], sizes[1]


def soak(jobs: int, warm: int = 1500) -> tuple[float, float]:
    """Bytes a job by which server and worker grow, after some jobs that warm them up."""
    with serving() as server:
        client = server.client

        def work(first: int, count: int) -> None:
            ids = []
            for number in range(first, first + count):
                node = {"type": "number.real", "inputs": {"value": float(number)}}
                flow = {"format": 1, "nodes": {"a": node}, "outputs": {"value": "a.value"}}
                ids.append(client.submit(flow)["id"])
            for id in ids:
                client.wait(id, 120)

        work(0, warm)
        before = resident(server)
        work(warm, jobs)
        after = resident(server)
    return (after[0] - before[0]) / jobs, (after[1] - before[1]) / jobs


if __name__ == "__main__":
    count = int(sys.argv[1])
    web, worker = soak(count)
    print(
        f"{count} jobs: memory a job {web:+.0f} bytes in the server, {worker:+.0f} in the worker  limit 1,024"
    )
