"""Cluster: Ray is there only for those who want it, closed to others, and shared fairly among workers."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from time import monotonic, sleep

import pytest
from faults.leftovers import descendants
from hypothesis import given
from hypothesis import strategies as st

from graphengine.errors import GraphEngineError
from graphengine.fleets.cluster import connected, share


def test_without_ray_nothing_asks_for_it_and_the_executor_says_what_to_install(monkeypatch):
    modules = "graphengine.cli.serve, graphengine.service, graphengine.fleets.cluster, sys"
    program = f"import {modules}; print('ray' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(GraphEngineError, match=r'pip install "graphengine\[ray\]"'), connected():
        pass


def listening(pids: set[int]) -> set[str]:
    """The addresses that processes listen on, as the kernel writes them."""
    sockets = set()
    for pid in pids:
        for file in Path(f"/proc/{pid}/fd").glob("*"):
            target = str(file.readlink()) if file.is_symlink() else ""
            if target.startswith("socket:["):
                sockets.add(target[8:-1])
    found = set()
    for name in ("tcp", "tcp6"):
        for line in Path(f"/proc/net/{name}").read_text().splitlines()[1:]:
            words = line.split()
            if words[3] == "0A" and words[9] in sockets:
                found.add(words[1].partition(":")[0])
    return found


LOOPBACK = {"0100007F", "0000000000000000FFFF00000100007F", "00000000000000000000000001000000"}
MINE = """
import sys
from graphengine.fleets.cluster import connected
with connected():
    import os, ray
    print(ray.get_runtime_context().gcs_address, flush=True)
    sys.stdin.read()
"""
STRANGER = """
import os, sys
os.environ.update(RAY_AUTH_MODE="token", RAY_AUTH_TOKEN="f" * 64, RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER="0")
import ray
ray.init(address=sys.argv[1])
print("in")
"""


def test_a_cluster_of_this_machine_is_closed_to_others_and_leaves_nothing_behind():
    mine = subprocess.Popen([sys.executable, "-c", MINE], stdin=-1, stdout=-1, text=True)
    assert mine.stdin is not None
    assert mine.stdout is not None
    try:
        address = mine.stdout.readline().strip()
        pids = {mine.pid, *descendants(mine.pid)}
        assert len(pids) > 3
        found = listening(pids)
        assert found
        assert found <= LOOPBACK
        command = [sys.executable, "-c", STRANGER, address]
        once = os.environ | {"RAY_NUM_REDIS_GET_RETRIES": "1"}
        done = subprocess.run(command, env=once, capture_output=True, text=True, check=False, timeout=60)
        assert "in" not in done.stdout.split()
        assert "token is missing or incorrect" in done.stderr
    finally:
        mine.communicate("", timeout=30)
    until = monotonic() + 20
    while left := [pid for pid in pids if Path(f"/proc/{pid}").exists()]:
        assert monotonic() < until, left
        sleep(0.1)


@pytest.mark.parametrize(
    ("nodes", "wanted", "device", "shares"),
    [
        ([{"CPU": 16.0, "GPU": 2.0}, {"CPU": 8.0, "GPU": 1.0}], None, "auto", (3, 8, 1)),
        ([{"CPU": 16.0, "GPU": 2.0}, {"CPU": 4.0}], None, "auto", (2, 8, 1)),
        ([{"CPU": 4.0}], 8, "cuda", (8, 1, 1)),  # nodes with GPUs are yet to come
        ([{"CPU": 16.0, "GPU": 2.0}], 4, "cpu", (4, 4, 0)),
        ([{"CPU": 2.0}], None, "auto", (1, 2, 0)),
        ([{"CPU": 2.0}], 2, "cpu", (2, 1, 0)),
        ([{"CPU": 2.0}], 4, "cpu", (4, 0.5, 0)),
        ([{"CPU": 4.0}, {"CPU": 4.0}], 3, "cpu", (3, 2, 0)),
        ([], 2, "cpu", (2, 1, 0)),
    ],
)
def test_what_a_worker_has_of_its_node(nodes, wanted, device, shares):
    assert share(nodes, wanted, device) == shares


@given(st.lists(st.integers(1, 64), min_size=1, max_size=5), st.integers(1, 40))
def test_there_is_room_for_all_workers_and_none_for_larger_ones(cpus, workers):
    found = share([{"CPU": float(n)} for n in cpus], workers, "cpu")

    def room(size: float) -> int:
        return sum(int(n / size + 1e-9) for n in cpus)

    assert room(found.cpus) >= workers
    assert found.cpus < 1 or found.cpus == int(found.cpus)
    assert found.cpus < 1 or room(found.cpus + 1) < workers
