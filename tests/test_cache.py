from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from graphengine.cache import ENTRY, MISSING, Cache, DiskCache
from graphengine.codec import Codec
from graphengine.keys import digest
from graphengine.types import weight


def key(name: object) -> bytes:
    return digest(str(name).encode())


def disk(folder: Path, limit: int = 1 << 20) -> DiskCache:
    return DiskCache(folder, limit, Codec())


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


def test_what_was_dear_once_and_is_not_used_any_more_goes_in_its_turn() -> None:
    def filled(uses: bool) -> Cache:
        cache = Cache(3500 + 4 * ENTRY)
        cache.put(key("dear"), block(), 2.0)
        for n in range(100):
            cache.put(key(n), block(), 1.0)
            if uses:
                assert cache.get(key("dear")) is not MISSING
        return cache

    assert not filled(uses=False).holds(key("dear"))
    assert filled(uses=True).holds(key("dear"))


def test_asking_whether_a_value_is_there_is_no_use() -> None:
    cache = Cache(3500 + 4 * ENTRY)
    for name in "abc":
        cache.put(key(name), block(), 1.0)
    assert cache.holds(key("a"))
    cache.put(key("d"), block(), 1.0)
    assert not cache.holds(key("a"))


def test_a_large_number_counts_with_its_bytes() -> None:
    cache = Cache()
    cache.put(key(1), 1 << 8_000_000, 1.0)
    assert cache.used > 1_000_000


def test_a_hit_waits_for_nobody() -> None:
    cache = Cache()
    cache.put(key(1), "value", 1.0)
    with cache._lock:
        assert cache.get(key(1)) == "value"


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


Values = st.lists(st.tuples(st.integers(0, 2000), st.floats(0, 10)), min_size=1, max_size=30)
"""The bytes and the seconds of values."""


@given(Values, st.integers(0, 30_000))
def test_at_equal_age_the_cheap_for_their_bytes_go_before_the_dear(
    values: list[tuple[int, float]], large: int
) -> None:
    cache = Cache(sum(ENTRY + weight(block(n)) for n, _ in values))
    for name, (n, seconds) in enumerate(values):
        cache.put(key(name), block(n), seconds)
    assert cache.used == cache.limit
    cache.put(key("last"), block(large), 0.0)
    worth = {True: [0.0], False: [0.0]}
    for name, (n, seconds) in enumerate(values):
        worth[cache.holds(key(name))].append(seconds / (ENTRY + weight(block(n))))
    assert max(worth[False]) <= min(worth[True][1:], default=11)


@settings(max_examples=300)
@given(
    st.lists(
        st.tuples(st.booleans(), st.integers(0, 19), st.integers(0, 2000), st.floats(0, 10)), max_size=120
    ),
    st.integers(ENTRY, 20_000),
)
def test_the_order_is_that_of_greedy_dual_size(calls: list[tuple[bool, int, int, float]], limit: int) -> None:
    cache = Cache(limit)
    level, ranks, costs = 0.0, dict[int, float](), dict[int, tuple[float, int]]()
    uses = 0
    for asks, name, n, seconds in calls:
        uses += 1
        if asks or name in ranks:
            assert (cache.get(key(name)) is not MISSING) == (name in ranks)
            if name in ranks:
                ranks[name] = level + costs[name][0] / costs[name][1]
            continue
        cache.put(key(name), block(n), seconds)
        costs[name] = seconds, ENTRY + weight(block(n))
        if costs[name][1] > limit:
            assert not cache.holds(key(name))
            continue
        gone = {other for other in ranks if not cache.holds(key(other))}
        if gone:
            level = max(ranks[other] for other in gone)
            assert level <= min((ranks[n] for n in ranks.keys() - gone), default=level)
            last = [costs[other][1] for other in gone if ranks[other] == level]
            assert cache.used + max(last) > limit  # and no more went than had to
        for other in gone:
            del ranks[other]
        ranks[name] = level + costs[name][0] / costs[name][1]
        assert cache.used == sum(costs[other][1] for other in ranks) <= limit
    assert cache._ranked <= uses  # making room costs a step in the heap for each use, and no more


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


# -- the disk below ------------------------------------------------------------------------------------------


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
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_written_costs_nothing(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    cache = Cache(disk=disk(tmp_path / "file"))
    cache.put(key(1), "value", 1.0)
    assert cache.get(key(1)) == "value"
    assert cache.get(key(2)) is MISSING
