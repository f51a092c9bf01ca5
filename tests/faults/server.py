"""A real `graphengine serve` of faulty nodes that is killed, and what is left of its jobs then.

As a program it prints rows: `python tests/faults/server.py fifty`, `... kills KILLS JOBS [SEED]`.
"""

from __future__ import annotations

import json
import os
import random
import signal
import sqlite3
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from threading import Event, Thread
from time import monotonic, sleep
from typing import Any

from graphengine.client import Client
from graphengine.errors import GraphEngineError
from graphengine.store.jobs import ENDS

PACKS = Path(__file__).parents[1] / "packs"
TOKEN = "a-token-for-tests-only"
TEXT = "a whole result " * 4000


class Server:
    """A server of one data folder that is started, killed, and started again, always at one port."""

    def __init__(self, folder: Path, cache: Path, **environment: str) -> None:
        self.folder, self.process = folder, None
        self.environment = os.environ | {
            "PYTHONPATH": os.pathsep.join([str(PACKS), os.environ.get("PYTHONPATH", "")]),
            "GRAPHENGINE_DATA": str(folder),
            "GRAPHENGINE_CACHE": str(cache),
            "GRAPHENGINE_TOKEN": TOKEN,
            "GRAPHENGINE_ATTEMPTS": "100",
            "GRAPHENGINE_JOBS_PER_CLIENT": "100000",
            **environment,
        }
        self.process: subprocess.Popen[bytes] | None
        self.port = 0

    def start(self) -> float:
        """Start it, and wait for its first answer; gives the seconds."""
        began = monotonic()
        command = [sys.executable, "-m", "graphengine", "serve", "--device", "cpu", "--port", str(self.port)]
        log = (self.folder.parent / "server.log").open("ab")
        with log:
            self.process = subprocess.Popen(command, env=self.environment, stdout=log, stderr=log)
        while not self.note():
            if self.process.poll() is not None:
                raise RuntimeError((self.folder.parent / "server.log").read_text()[-2000:])
            sleep(0.01)
        with suppress(GraphEngineError):
            while True:
                try:
                    self.client.health()
                    break
                except GraphEngineError:
                    if monotonic() - began > 60:
                        raise
                    sleep(0.01)
        return monotonic() - began

    def note(self) -> bool:
        """Whether the process that runs now says where it is."""
        try:
            said = json.loads((self.folder / "server.json").read_text())
        except (OSError, ValueError):
            return False
        assert self.process is not None
        if said["pid"] != self.process.pid:
            return False
        self.port = int(said["url"].rpartition(":")[2])
        return True

    @property
    def client(self) -> Client:
        """Somebody who asks it."""
        return Client(f"http://127.0.0.1:{self.port}", TOKEN)

    def workers(self) -> list[int]:
        """The processes of its workers."""
        assert self.process is not None
        with suppress(OSError):
            children = Path(f"/proc/{self.process.pid}/task").glob("*/children")
            return [int(pid) for file in children for pid in file.read_text().split()]
        return []

    def kill(self, server: bool, workers: bool) -> None:
        """`kill -9` of the one, the others, or all."""
        pids = self.workers() if workers else []
        assert self.process is not None
        if server:
            self.process.kill()
            self.process.wait()
        for pid in pids:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def stop(self) -> None:
        """End it in order, if it runs."""
        if self.process is not None and self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(20)
            except subprocess.TimeoutExpired:
                self.kill(True, True)


@contextmanager
def serving(**environment: str) -> Iterator[Server]:
    """A server in a folder of its own."""
    with tempfile.TemporaryDirectory(prefix="graphengine-faults-") as folder:
        server = Server(Path(folder, "data"), Path(folder, "cache"), **environment)
        server.folder.mkdir()
        server.start()
        try:
            yield server
        finally:
            server.stop()


def flow(number: int, seconds: float = 0.0) -> dict[str, Any]:
    """A workflow that gives a number and saves a text with it."""
    nodes: dict[str, Any] = {
        "wait": {"type": "faulty.wait", "inputs": {"seconds": seconds, "value": number}},
        "write": {"type": "faulty.write", "inputs": {"text": f"{number} {TEXT}"}},
    }
    return {"format": 1, "nodes": nodes, "outputs": {"value": "wait.value"}}


def patiently(ask: Any, *arguments: Any, **named: Any) -> Any:
    """An answer, however often the server is killed meanwhile."""
    until = monotonic() + 120
    while True:
        try:
            return ask(*arguments, **named)
        except GraphEngineError:
            if monotonic() > until:
                raise
            sleep(0.05)


def verdict(server: Server, ids: list[str]) -> Counter[str]:
    """What became of the jobs that were accepted, as the server and its folder tell it."""
    client, found = server.client, Counter[str]()
    every = [job["id"] for job in client.jobs()]
    found["doubled"] += len(every) - len(set(every)) + len(every) - len(ids)
    known = set(every)
    for number, id in enumerate(ids):
        if id not in known:
            found["lost"] += 1
            continue
        job = client.job(id)
        found[job["state"]] += 1
        events = [event["event"] for event in client.past(id)]
        ends = [e for e in events if e["event"] == "job" and e["state"] in ENDS]
        found["ended twice"] += len(ends) != 1
        found["wrong"] += job["state"] == "done" and job["result"] != {"value": number}
        found["doubled"] += len(job["outputs"]) > 1
        for output in job["outputs"]:
            text = (server.folder / "outputs" / output["id"]).read_text()
            found["partial"] += text != f"{number} {TEXT}"
    with closing(sqlite3.connect(server.folder / "jobs.sqlite")) as database:
        sizes = dict(database.execute("SELECT id, size FROM outputs"))
    left = {file.name: file.stat().st_size for file in (server.folder / "outputs").iterdir()}
    found["partial"] += len(left.items() ^ sizes.items())
    return found


def fifty(jobs: int = 50) -> Counter[str]:
    """Jobs that wait when server and worker are killed, and what became of them after a restart."""
    with serving() as server:
        ids = [server.client.submit(flow(number, 0.02))["id"] for number in range(jobs)]
        while not any(True for _ in server.client.jobs(["done"])):
            sleep(0.02)
        server.kill(True, True)
        server.start()
        for id in ids:
            server.client.wait(id, 120)
        return verdict(server, ids)


def kills(times: int, jobs: int, seed: int = 1) -> Counter[str]:
    """Server, worker or both are killed at random moments while jobs are submitted and run."""
    chance, over = random.Random(seed), Event()
    ids: list[str] = []
    with serving() as server:

        def submit() -> None:
            for number in range(jobs):
                seconds = 0.02 if number % 10 == 0 else 0.0
                job = patiently(server.client.submit, flow(number, seconds), key=f"job-{number}")
                ids.append(job["id"])
            over.set()

        thread = Thread(target=submit)
        thread.start()
        done = 0
        for count in range(times):
            # So that the jobs last as long as the kills do, whatever the speed of the machine.
            due = jobs * (count + 1) / (times + 1)
            until = monotonic() + 20
            while done < due and monotonic() < until and (not over.is_set() or done < jobs):
                sleep(chance.uniform(0.0, 0.15))
                with suppress(GraphEngineError):
                    done = server.client.queue()["counts"]["done"]
            which = chance.choice([(True, False), (False, True), (True, True)])
            server.kill(*which)
            if which[0]:
                server.start()
            if count % 20 == 19:
                print(f"  {count + 1} kills, {done} jobs done", file=sys.stderr, flush=True)
        thread.join()
        for id in ids:
            patiently(server.client.wait, id, 300)
        return verdict(server, ids)


def row(what: str, jobs: int, found: Counter[str]) -> str:
    """A line of the table of faults."""
    bad = ", ".join(
        f"{found[name]} {name}" for name in ("lost", "doubled", "partial", "wrong", "ended twice")
    )
    return f"{what:62s} {found['done']:>9} of {jobs} done   {bad}"


def main() -> None:
    """Print the row that is named."""
    which, *numbers = sys.argv[1:]
    if which == "fifty":
        print(row("50 queued jobs, kill -9 of server and worker, restart", 50, fifty()))
    else:
        times, jobs, *seed = map(int, numbers)
        found = kills(times, jobs, *seed)
        print(row(f"{times} random kill -9 over {jobs} jobs", jobs, found))


if __name__ == "__main__":
    main()
