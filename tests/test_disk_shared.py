"""One disk tier, several processes and threads: no wrong value, no exception, and a bounded size."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from graphengine.codec import Codec
from graphengine.disk import MISSING, DiskCache, alone
from graphengine.keys import digest


def key(name: object) -> bytes:
    return digest(str(name).encode())


def disk(folder: Path, limit: int = 1 << 20) -> DiskCache:
    return DiskCache(folder, limit, Codec())


def size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def block(n: int = 1000) -> bytes:
    return b"x" * n


def test_the_limit_is_held_by_several_processes_together(tmp_path: Path) -> None:
    stores = [disk(tmp_path, 40_000) for _ in range(3)]
    for n in range(90):
        stores[n % 3].put(key(n), block(), 1.0)
        assert size(tmp_path) <= 40_000 * 1.4
    assert size(tmp_path) > 20_000


def test_threads_may_share_a_disk(tmp_path: Path) -> None:
    failures: list[BaseException] = []

    def work(seed: int) -> None:
        store = disk(tmp_path, 20_000)
        try:
            for i in range(60):
                name = (i * 7 + seed) % 30
                store.put(key(name), (name, block()), 1.0)
                found = store.get(key(name))
                assert found is MISSING or found == (name, block())
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert not list(tmp_path.rglob(".writing-*"))


def test_while_one_shrinks_the_others_write_no_more_than_the_limit_and_what_they_had_not_seen(
    tmp_path: Path,
) -> None:
    stores = [disk(tmp_path, 40_000) for _ in range(3)]
    with alone(tmp_path / ".lock") as first:
        assert first
        for n in range(300):
            stores[n % 3].put(key(n), block(), 1.0)
        assert size(tmp_path) <= 40_000 * (1 + 3 * 0.1) + 3 * 1_100
    stores[0].put(key("after"), block(), 1.0)
    assert size(tmp_path) <= 40_000


def test_while_one_shrinks_the_others_do_not(tmp_path: Path) -> None:
    store = disk(tmp_path)
    for n in range(10):
        store.put(key(n), block(), 1.0)
    store.limit = size(tmp_path) // 2
    with alone(tmp_path / ".lock") as first:
        assert first
        store.shrink()
        assert len(store.entries()) == 10
    store.shrink()
    assert len(store.entries()) < 6


LOCKING = """
import sys, time
from pathlib import Path
from graphengine.disk import alone

with alone(Path(sys.argv[1])) as ours:
    print(ours, flush=True)
    time.sleep(120)
"""


def test_one_that_crashes_while_it_shrinks_stops_nobody(tmp_path: Path) -> None:
    command = [sys.executable, "-c", LOCKING, str(tmp_path / ".lock")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "True\n"
        with alone(tmp_path / ".lock") as ours:
            assert not ours
        process.kill()
    with alone(tmp_path / ".lock") as ours:
        assert ours


@pytest.mark.parametrize("missing", [True, False])
def test_where_files_cannot_be_locked_two_may_shrink_at_once(
    missing: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if missing:
        monkeypatch.setattr("graphengine.disk.fcntl", None)
    else:

        def refuse(*arguments: object) -> None:
            raise OSError("no locks here")

        monkeypatch.setattr("fcntl.flock", refuse)
    store = disk(tmp_path)
    for n in range(100):
        store.put(key(n), block(), 1.0)
    store.limit = size(tmp_path) // 2
    failures: list[BaseException] = []

    def shrink() -> None:
        try:
            disk(tmp_path, store.limit).shrink()
        except BaseException as error:
            failures.append(error)

    with alone(tmp_path / ".lock"):
        threads = [threading.Thread(target=shrink) for _ in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert failures == []
    assert store.limit * 0.8 < size(tmp_path) <= store.limit * 0.9


HAMMERING = """
import random, sys, time
from hashlib import sha256
from pathlib import Path
from graphengine.codec import Codec
from graphengine.disk import MISSING, DiskCache

folder, limit, seed, seconds = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), float(sys.argv[4])
chance = random.Random(seed)
store = DiskCache(folder, limit, Codec())
key = lambda n: sha256(b"%d" % n).digest()
value = lambda n: (n, key(n) * (20 + n % 50))
Codec().encode(b"")  # imports what it needs
print("ready", flush=True)
sys.stdin.readline()
hits = puts = 0
end = time.monotonic() + seconds
while time.monotonic() < end:
    n = chance.randrange(400)
    found = store.get(key(n))
    if found is MISSING:
        if seed:
            store.put(key(n), value(n), 0.01 + n / 100)
            puts += 1
    else:
        assert found == value(n), n
        hits += 1
    if chance.random() < 0.02:
        if seed:
            store.shrink()
        else:
            assert store.verify()[1] == 0
print(hits, puts, flush=True)
"""
"""Three processes with a seed write and shrink; the one without only reads, and verifies every entry."""


def test_processes_that_share_a_small_tier_never_see_a_wrong_value(tmp_path: Path) -> None:
    limit, crashes = 200_000, 4

    def started(seed: int) -> subprocess.Popen[str]:
        command = [sys.executable, "-c", HAMMERING, str(tmp_path), str(limit), str(seed), "3"]
        pipe = subprocess.PIPE
        return subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, text=True)

    processes = [started(seed) for seed in range(crashes + 1)]
    for process in processes:
        assert process.stdout is not None
        assert process.stdin is not None
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        process.stdin.write("go\n")  # type: ignore[union-attr]
        process.stdin.flush()  # type: ignore[union-attr]
    watching, largest = disk(tmp_path), 0
    while any(process.poll() is None for process in processes):
        largest = max(largest, sum(file.size for file in watching.entries()))
        time.sleep(0.05)
        if processes[-1].poll() is None and largest > limit / 2:
            processes[-1].send_signal(signal.SIGKILL)  # in the middle of whatever it does
    told = [process.communicate(timeout=60) for process in processes]
    assert [process.returncode for process in processes] == [0, 0, 0, 0, -signal.SIGKILL], told
    hits, puts = (sum(int(out.split()[n]) for out, _ in told[:-1]) for n in (0, 1))
    assert hits > 0
    assert puts * 1500 > limit * 2  # so that there was no room for all that was written
    assert limit / 2 < largest < limit * 1.6
    assert watching.verify()[1] == 0
    store = disk(tmp_path, limit)
    store.put(key("last"), block(), 1.0)
    assert sum(file.size for file in store.entries()) <= limit
