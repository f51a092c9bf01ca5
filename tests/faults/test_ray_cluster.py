"""A Ray cluster whose head or server is killed, whose cable is pulled, whose store is full: jobs end once."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from faults.leftovers import killed
from faults.network import obstacle

HERE = Path(__file__).parent
GOOD = "0 lost, 0 doubled, 0 partial, 0 wrong, 0 ended twice"


def told(script: str, *arguments: str) -> str:
    """The row that a program prints: it connects to a cluster, which a process does once."""
    path = os.pathsep.join([str(HERE.parent), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(
        [sys.executable, str(HERE / script), *arguments],
        env=os.environ | {"PYTHONPATH": path}, capture_output=True, text=True, check=False, timeout=240,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout.splitlines()[-1]


def test_jobs_end_once_when_the_cable_between_two_hosts_is_pulled() -> None:
    if why := obstacle():
        pytest.skip(f"a second host takes a network namespace, and that takes root: {why}")
    row = told("network.py", "16", "once")
    assert f"16 of 16 done   {GOOD}" in row
    assert "(0 at a job)" not in row


def test_jobs_wait_for_another_head_when_that_of_the_cluster_is_killed() -> None:
    row = told("head.py", "8")
    assert f"8 of 8 done   {GOOD}" in row
    assert "(0 at a job)" not in row


def test_results_larger_than_the_object_store_and_beside_a_full_one_arrive_whole() -> None:
    assert f"5 of 5 done   {GOOD}" in told("full.py", "5")


def test_a_killed_server_leaves_nothing_of_its_cluster_and_the_next_one_goes_on() -> None:
    found = killed(6, patient=False)
    assert found["done"] == 6
    bad = ("lost", "doubled", "partial", "wrong", "ended twice", "left")
    assert {name: found[name] for name in bad} == dict.fromkeys(bad, 0)
