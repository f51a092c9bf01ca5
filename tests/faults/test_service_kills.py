"""Server and workers are killed while jobs wait and run: none is lost or doubled, no file is partial."""

from __future__ import annotations

import os
import signal
from collections import Counter
from time import sleep

from faults.server import fifty, flow, kills, serving, verdict

BAD = ("lost", "doubled", "partial", "wrong", "ended twice", "failed", "cancelled")


def good(found: Counter[str], jobs: int) -> None:
    assert {name: found[name] for name in BAD} == dict.fromkeys(BAD, 0)
    assert found["done"] == jobs


def test_what_waits_when_server_and_worker_are_killed_is_done_after_a_restart() -> None:
    good(fifty(20), 20)


def test_random_kills_lose_and_double_nothing() -> None:
    good(kills(6, 60, seed=4), 60)


def test_a_server_and_a_worker_that_are_stopped_for_a_while_go_on_where_they_were() -> None:
    with serving() as server:
        client = server.client
        ids = [client.submit(flow(number, 0.3))["id"] for number in range(6)]
        client.wait(ids[0], 60)
        pids = [server.workers()[0], server.process.pid]  # type: ignore[union-attr]
        for pid in pids:
            os.kill(pid, signal.SIGSTOP)
            sleep(1.0)
        for pid in reversed(pids):
            os.kill(pid, signal.SIGCONT)
        for id in ids:
            assert client.wait(id, 60)["attempts"] == 1
        good(verdict(server, ids), 6)
