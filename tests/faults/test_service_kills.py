"""Server and workers are killed while jobs wait and run: none is lost or doubled, no file is partial."""

from __future__ import annotations

from collections import Counter

from faults.server import fifty, kills

BAD = ("lost", "doubled", "partial", "wrong", "ended twice", "failed", "cancelled")


def good(found: Counter[str], jobs: int) -> None:
    assert {name: found[name] for name in BAD} == dict.fromkeys(BAD, 0)
    assert found["done"] == jobs


def test_what_waits_when_server_and_worker_are_killed_is_done_after_a_restart() -> None:
    good(fifty(20), 20)


def test_random_kills_lose_and_double_nothing() -> None:
    good(kills(6, 60, seed=4), 60)
