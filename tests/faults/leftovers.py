"""A server with a Ray cluster of its own that is killed: what is left of its jobs, and of its processes.

As a program it prints a row: `python tests/faults/leftovers.py JOBS`.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from time import monotonic, sleep

from faults.server import flow, row, serving, verdict

AGENTS = ("DashboardAgent", "RuntimeEnvAgent")
"""Processes of Ray that try for a minute to tell a cluster that is gone of its end, and end then."""
SOON, LATER = 15.0, 90.0
"""Seconds in which the others have ended, and these."""


def descendants(pid: int) -> Iterator[int]:
    """The processes that a process has started, and those that these have."""
    for file in Path(f"/proc/{pid}/task").glob("*/children"):
        for child in map(int, file.read_text().split()):
            yield child
            yield from descendants(child)


def running(pids: set[int]) -> set[int]:
    """Those of some processes that have not ended."""
    found = set()
    for pid in pids:
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        except OSError:
            continue
        if state != "Z":  # what init has not collected yet has ended
            found.add(pid)
    return found


def left(pids: set[int], seconds: float) -> set[int]:
    """The processes that have not ended after so many seconds."""
    until = monotonic() + seconds
    while (found := running(pids)) and monotonic() < until:
        sleep(0.1)
    return found


def killed(jobs: int, patient: bool = True) -> Counter[str]:
    """The server is killed while jobs run on its cluster, and started again at once.

    `left` is how many processes of the first cluster are still there; a `patient` caller waits for Ray's
    agents too.
    """
    with serving(GRAPHENGINE_EXECUTOR="ray", GRAPHENGINE_WORKERS="2") as server:
        ids = [server.client.submit(flow(number, 0.5))["id"] for number in range(jobs)]
        server.client.wait(ids[0], 120)
        assert server.process is not None
        pids = set(descendants(server.process.pid))
        agents = {pid for pid in pids if is_agent(pid)}
        assert len(pids) > len(agents) + 3, "there is no cluster"
        server.kill(server=True, workers=False)
        server.start()
        others = left(pids - agents, SOON)
        for id in ids:
            server.client.wait(id, 120)
        found = verdict(server, ids)
        found["left"] = len(others) + (len(left(agents, LATER)) if patient else 0)
        return found


def is_agent(pid: int) -> bool:
    """Whether a process is one of AGENTS."""
    words = Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace")
    return any(name in words for name in AGENTS)


def main() -> None:
    """Print the row."""
    jobs = int(sys.argv[1])
    found = killed(jobs)
    print(row("kill -9 of a server that has a Ray cluster, restart", jobs, found), f"  {found['left']} left")


if __name__ == "__main__":
    main()
