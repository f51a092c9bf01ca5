from __future__ import annotations

import os
import threading
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from graphengine.cache import ENTRY, MISSING, Cache, DiskCache
from graphengine.codec import Codec
from graphengine.keys import digest


def key(name: object) -> bytes:
    return digest(str(name).encode())


def disk(folder: Path, limit: int = 1 << 20) -> DiskCache:
    return DiskCache(folder, limit, Codec())


def size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def block(n: int = 1000) -> bytes:
    return b"x" * n


# -- memory --------------------------------------------------------------------------------------------------


def test_what_is_not_there_is_missing_and_false() -> None:
    assert Cache().get(key(1)) is MISSING
    assert not MISSING


def test_the_first_value_under_a_key_stays() -> None:
    cache = Cache()
    cache.put(key(1), "first", 1.0)
    cache.put(key(1), "second", 1.0)
    assert cache.get(key(1)) == "first"


def test_a_value_larger_than_the_budget_is_not_kept() -> None:
    cache = Cache(1000)
    cache.put(key("small"), 1, 1.0)
    cache.put(key("large"), torch.zeros(1000), 1.0)
    assert cache.get(key("large")) is MISSING
    assert cache.get(key("small")) == 1


def test_a_budget_of_nothing_keeps_nothing() -> None:
    cache = Cache(0)
    cache.put(key(1), 1, 1.0)
    assert cache.get(key(1)) is MISSING
    assert cache.used == 0


def test_what_is_cheap_for_its_bytes_goes_first() -> None:
    cache = Cache(3500 + 4 * ENTRY)
    for name, seconds in [("dear", 5.0), ("cheap", 0.1), ("middling", 1.0)]:
        cache.put(key(name), block(), seconds)
    cache.put(key("new"), block(), 0.01)
    assert [cache.get(key(n)) is not MISSING for n in ("dear", "cheap", "middling", "new")] == [
        True, False, True, True,
    ]  # fmt: skip


def test_of_equals_the_one_not_used_for_the_longest_time_goes() -> None:
    cache = Cache(3500 + 4 * ENTRY)
    for name in "abc":
        cache.put(key(name), block(), 1.0)
    cache.get(key("a"))
    cache.put(key("d"), block(), 1.0)
    assert [cache.get(key(n)) is not MISSING for n in "abcd"] == [True, False, True, True]


def test_a_view_counts_with_all_that_it_holds() -> None:
    cache = Cache(1 << 20)
    cache.put(key(1), torch.zeros(100_000)[:1], 1.0)
    assert cache.used >= 400_000


@settings(max_examples=100)
@given(
    st.lists(st.tuples(st.integers(0, 9), st.integers(0, 2000), st.floats(0, 10)), max_size=40),
    st.integers(0, 5000),
)
def test_the_budget_is_held_and_every_hit_is_what_was_put_first(
    puts: list[tuple[int, int, float]], limit: int
) -> None:
    cache = Cache(limit)
    for name, length, seconds in puts:
        before = cache.get(key(name))
        cache.put(key(name), (name, block(length)), seconds)
        found = cache.get(key(name))
        assert cache.used <= limit
        if before is not MISSING:
            assert found is before or found is MISSING
        elif found is not MISSING:
            assert found == (name, block(length))


def test_an_unused_cache_is_true_to_those_who_ask() -> None:
    assert Cache()  # `cache or Cache()` would lose an empty one


def test_threads_may_share_a_cache() -> None:
    cache = Cache(20_000)
    failures: list[BaseException] = []

    def work(seed: int) -> None:
        try:
            for i in range(2000):
                name = (i * 7 + seed) % 40
                found = cache.get(key(name))
                if found is MISSING:
                    cache.put(key(name), (name, block(800)), 0.1)
                else:
                    assert found[0] == name
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert 0 < cache.used <= 20_000
    assert cache.used == sum(entry[1] for entry in cache._kept.values())


# -- disk ----------------------------------------------------------------------------------------------------


def test_another_cache_on_the_same_folder_finds_it(tmp_path: Path) -> None:
    Cache(disk=disk(tmp_path)).put(key(1), torch.ones(3), 1.0)
    found = Cache(disk=disk(tmp_path)).get(key(1))
    assert torch.equal(found, torch.ones(3))


def test_a_shallow_look_and_a_shallow_put_leave_the_disk_alone(tmp_path: Path) -> None:
    Cache(disk=disk(tmp_path)).put(key(1), "deep", 1.0)
    Cache(disk=disk(tmp_path)).put(key(2), "shallow", 1.0, deep=False)
    other = Cache(disk=disk(tmp_path))
    assert other.get(key(1), deep=False) is MISSING
    assert other.get(key(1)) == "deep"
    assert other.get(key(2)) is MISSING


def test_what_was_read_from_disk_is_kept_in_memory(tmp_path: Path) -> None:
    Cache(disk=disk(tmp_path)).put(key(1), "value", 1.0)
    cache = Cache(disk=disk(tmp_path))
    cache.get(key(1))
    disk(tmp_path).path(key(1)).unlink()
    assert cache.get(key(1)) == "value"


def test_asking_whether_a_value_is_there_reads_nothing(tmp_path: Path) -> None:
    cache = Cache(disk=disk(tmp_path))
    cache.put(key(1), "value", 1.0)
    assert cache.holds(key(1))
    assert Cache(disk=disk(tmp_path)).holds(key(1))
    assert not Cache(disk=disk(tmp_path)).holds(key(1), deep=False)
    assert not cache.holds(key(2))


def test_what_is_computed_as_quickly_as_read_is_not_stored(tmp_path: Path) -> None:
    disk(tmp_path).put(key(1), torch.zeros(1_000_000), 1e-3)
    assert size(tmp_path) == 0


def test_what_cannot_be_stored_is_passed_over(tmp_path: Path) -> None:
    cache = Cache(disk=disk(tmp_path))
    ring: list[Any] = []
    ring.append(ring)
    for name, value in [
        ("object", object()),
        ("ring", ring),
        ("sparse", torch.eye(2).to_sparse()),
        ("complex", 1j),
    ]:
        cache.put(key(name), value, 1.0)
        assert cache.get(key(name)) is value
    assert size(tmp_path) == 0


def entry(folder: Path) -> Path:
    disk(folder).put(key(1), torch.arange(100), 1.0)
    return disk(folder).path(key(1))


@pytest.mark.parametrize(
    "damage",
    [
        lambda data: b"",
        lambda data: data[:20],
        lambda data: data[:-1],
        lambda data: data + b"x",
        lambda data: data.replace(b"GraphEngine 1", b"GraphEngine 0"),
        lambda data: b"something else",
        lambda data: data[:100] + bytes([data[100] ^ 1]) + data[101:],
        lambda data: data[:46][:14] + digest(b"junk") + b"junk",
    ],
)
def test_a_damaged_entry_is_a_miss_and_is_removed(damage: Any, tmp_path: Path) -> None:
    path = entry(tmp_path)
    path.write_bytes(damage(path.read_bytes()))
    assert disk(tmp_path).get(key(1)) is MISSING
    assert not path.exists()
    disk(tmp_path).put(key(1), "again", 1.0)
    assert disk(tmp_path).get(key(1)) == "again"


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 255))
def test_no_changed_byte_gets_through(tmp_path_factory: Any, at: int, by: int) -> None:
    folder = tmp_path_factory.getbasetemp() / "flipped"
    path = entry(folder)
    data = bytearray(path.read_bytes())
    data[at % len(data)] ^= by
    path.write_bytes(data)
    assert disk(folder).get(key(1)) is MISSING


def test_an_entry_of_a_class_that_is_gone_is_a_miss(tmp_path: Path) -> None:
    from graphengine.folders import Folders

    disk(tmp_path).put(key(1), Folders(outputs="x"), 1.0)  # type: ignore[arg-type]
    path = disk(tmp_path).path(key(1))
    body = path.read_bytes()[46:].replace(b"Folders", b"Foldera")
    path.write_bytes(DiskCache.MARK + digest(body) + body)
    assert disk(tmp_path).get(key(1)) is MISSING


def test_the_limit_is_held_and_the_oldest_go(tmp_path: Path) -> None:
    store = disk(tmp_path, 20_000)
    for n in range(30):
        store.put(key(n), block(), 1.0)
        os.utime(store.path(key(n)), (n, n))
        assert size(tmp_path) <= 20_000
    assert store.get(key(29)) == block()
    assert store.get(key(0)) is MISSING


def test_what_was_used_lately_stays(tmp_path: Path) -> None:
    store = disk(tmp_path, 20_000)
    store.put(key("used"), block(), 1.0)
    for n in range(30):
        old = time.time() - 1000 + n
        store.put(key(n), block(), 1.0)
        os.utime(store.path(key(n)), (old, old))
        assert store.get(key("used")) == block()


def test_the_limit_is_held_by_several_processes_together(tmp_path: Path) -> None:
    stores = [disk(tmp_path, 40_000) for _ in range(3)]
    for n in range(90):
        stores[n % 3].put(key(n), block(), 1.0)
        assert size(tmp_path) <= 40_000 * 1.4
    assert size(tmp_path) > 20_000


def test_a_value_larger_than_the_limit_is_not_stored(tmp_path: Path) -> None:
    disk(tmp_path, 500).put(key(1), block(), 1.0)
    disk(tmp_path, 0).put(key(2), 1, 1.0)
    assert size(tmp_path) == 0


def test_a_folder_that_cannot_be_written_costs_nothing(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    cache = Cache(disk=disk(tmp_path / "file"))
    cache.put(key(1), "value", 1.0)
    assert cache.get(key(1)) == "value"
    assert cache.get(key(2)) is MISSING


def test_a_disk_that_lets_nothing_be_removed_costs_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = entry(tmp_path)
    path.write_bytes(b"damaged")

    def refuse(self: Path, missing_ok: bool = False) -> None:
        raise PermissionError

    monkeypatch.setattr(Path, "unlink", refuse)
    assert disk(tmp_path).get(key(1)) is MISSING
    store = disk(tmp_path, 2000)
    for n in range(5):
        store.put(key(("x", n)), block(), 1.0)


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
