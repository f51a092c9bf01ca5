"""The disk tier: what is stored, what is believed, and what stays."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from graphengine.codec import Codec
from graphengine.disk import ABANDONED, MISSING, DiskCache, seal
from graphengine.keys import digest

HEAD = DiskCache.HEAD.size


def key(name: object) -> bytes:
    return digest(str(name).encode())


def disk(folder: Path, limit: int = 1 << 20) -> DiskCache:
    return DiskCache(folder, limit, Codec())


def size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def block(n: int = 1000) -> bytes:
    return b"x" * n


def entry(folder: Path) -> Path:
    disk(folder).put(key(1), torch.arange(100), 1.0)
    return disk(folder).path(key(1))


def aged(path: Path, seconds: float) -> Path:
    """The file, as if it had been used that long ago."""
    then = time.time() - seconds
    os.utime(path, (then, then))
    return path


def kept(store: DiskCache, *names: object) -> list[object]:
    return [name for name in names if store.holds(key(name))]


# -- what is stored ------------------------------------------------------------------------------------------


def test_what_is_computed_as_quickly_as_read_is_not_stored(tmp_path: Path) -> None:
    disk(tmp_path).put(key(1), torch.zeros(1_000_000), 1e-3)
    assert size(tmp_path) == 0


def test_a_value_larger_than_the_limit_is_not_stored(tmp_path: Path) -> None:
    disk(tmp_path, 500).put(key(1), block(), 1.0)
    disk(tmp_path, 0).put(key(2), 1, 1.0)
    assert size(tmp_path) == 0


# -- what is believed ----------------------------------------------------------------------------------------


def sealed(body: bytes, mark: bytes = DiskCache.MARK, seconds: float = 1.0) -> bytes:
    """An entry for key 1 whose seal is right."""
    return DiskCache.HEAD.pack(mark, seal(key(1), seconds, body), seconds, len(body)) + body


@pytest.mark.parametrize(
    "damage",
    [
        lambda data: b"",
        lambda data: data[:20],
        lambda data: data[:HEAD],
        lambda data: data[:-1],
        lambda data: data + b"x",
        lambda data: b"something else",
        lambda data: b"something else, and more of it" * 100,
        lambda data: data[:100] + bytes([data[100] ^ 1]) + data[101:],
        lambda data: sealed(data[HEAD:], mark=b"GraphEngine 3\n"),
        lambda data: sealed(data[HEAD:], seconds=float("nan")),
        lambda data: b"GraphEngine 1\n" + digest(data[HEAD:]) + data[HEAD:],  # as it was once
        lambda data: sealed(b"junk"),
        lambda data: sealed(b""),
        lambda data: sealed(b"\xff" * 100),
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


@settings(max_examples=60, deadline=None)
@given(st.binary(max_size=300), st.booleans())
def test_whatever_is_in_the_place_of_an_entry_is_a_miss(
    tmp_path_factory: Any, data: bytes, marked: bool
) -> None:
    folder = tmp_path_factory.getbasetemp() / "foreign"
    path = entry(folder)
    path.write_bytes(DiskCache.MARK + data if marked else data)
    assert disk(folder).get(key(1)) is MISSING
    assert not path.exists()


def test_an_entry_counts_in_its_own_place_only(tmp_path: Path) -> None:
    other = disk(tmp_path).path(key(2))
    other.parent.mkdir()
    shutil.copy(entry(tmp_path), other)
    assert disk(tmp_path).get(key(2)) is MISSING
    assert not other.exists()
    assert disk(tmp_path).get(key(1)) is not MISSING


def test_an_entry_that_says_it_is_huge_is_not_read(tmp_path: Path) -> None:
    path = entry(tmp_path)
    path.write_bytes(DiskCache.HEAD.pack(DiskCache.MARK, b"x" * 32, 1.0, 1 << 62))
    assert disk(tmp_path).get(key(1)) is MISSING
    assert not path.exists()


def test_an_entry_of_a_class_that_is_gone_is_a_miss(tmp_path: Path) -> None:
    from graphengine.folders import Folders

    disk(tmp_path).put(key(1), Folders(outputs="x"), 1.0)  # type: ignore[arg-type]
    path = disk(tmp_path).path(key(1))
    body = path.read_bytes()[HEAD:].replace(b"Folders", b"Foldera")
    path.write_bytes(sealed(body))
    assert disk(tmp_path).get(key(1)) is MISSING


def test_an_entry_that_vanishes_while_it_is_read_costs_nothing(tmp_path: Path) -> None:
    class Vanishing(DiskCache):
        def read(self, key: bytes) -> bytes:
            data = super().read(key)
            self.path(key).unlink()
            return data

    entry(tmp_path)
    store = Vanishing(tmp_path, 1 << 20, Codec())
    assert torch.equal(store.get(key(1)), torch.arange(100))
    assert store.get(key(1)) is MISSING


def test_a_folder_in_the_place_of_an_entry_is_a_miss_and_stays(tmp_path: Path) -> None:
    store = disk(tmp_path, 2000)
    (store.path(key(1)) / "inside").mkdir(parents=True)
    assert store.get(key(1)) is MISSING
    store.put(key(1), "value", 1.0)
    assert store.entries() == []
    store.shrink()
    store.clear()
    assert (store.path(key(1)) / "inside").is_dir()


# -- what stays ----------------------------------------------------------------------------------------------


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


@pytest.mark.parametrize(("bytes", "goes"), [(1000, "cheap"), (20_000, "large")])
def test_what_is_cheap_for_its_bytes_goes_first(bytes: int, goes: str, tmp_path: Path) -> None:
    store = disk(tmp_path)
    for name, n, seconds in [("dear", 1000, 5.0), ("cheap", 1000, 0.5), ("large", bytes, 2.0)]:
        store.put(key(name), block(n), seconds)
    store.limit = size(tmp_path) - 1
    store.shrink()
    assert {"dear", "cheap", "large"} - {*kept(store, "dear", "cheap", "large")} == {goes}


@pytest.mark.parametrize(("idle", "stays"), [(100.0, "dear"), (3600.0, "cheap")])
def test_cost_is_weighed_against_the_time_since_the_last_use(idle: float, stays: str, tmp_path: Path) -> None:
    store = disk(tmp_path)
    store.put(key("dear"), block(), 10.0)
    store.put(key("cheap"), block(), 1.0)
    aged(store.path(key("dear")), idle)
    store.limit = size(tmp_path) - 1
    store.shrink()
    assert kept(store, "dear", "cheap") == [stays]


def test_a_hit_is_a_use(tmp_path: Path) -> None:
    store = disk(tmp_path)
    for name, idle in (("asked for", 900), ("read", 1000)):
        store.put(key(name), block(), 1.0)
        aged(store.path(key(name)), idle)
    store.get(key("read"))
    assert store.holds(key("asked for"))
    store.limit = size(tmp_path) - 1
    store.shrink()
    assert kept(store, "asked for", "read") == ["read"]


def test_a_use_in_the_future_holds_nothing(tmp_path: Path) -> None:
    store = disk(tmp_path)
    store.put(key("odd"), block(), 1.0)
    aged(store.path(key("odd")), -1e6)
    store.put(key("now"), block(), 1.0)
    store.limit = size(tmp_path) - 1
    store.shrink()
    assert kept(store, "odd", "now") == ["now"]


def test_what_is_no_entry_goes_before_any_that_is(tmp_path: Path) -> None:
    store = disk(tmp_path)
    store.put(key("entry"), block(), 0.01)
    aged(store.path(key("entry")), 1e6)
    others = [
        b"GraphEngine 1\n" + block(),
        DiskCache.MARK + block(),
        store.path(key("entry")).read_bytes()[:-9],
    ]
    for n, data in enumerate(others):
        store.path(key(n)).parent.mkdir(exist_ok=True)
        store.path(key(n)).write_bytes(data)
    store.limit = store.path(key("entry")).stat().st_size * 10 // 9 + 1
    store.shrink()
    assert kept(store, "entry", 0, 1, 2) == ["entry"]


def test_room_is_made_down_to_nine_tenths(tmp_path: Path) -> None:
    store = disk(tmp_path)
    for n in range(50):
        store.put(key(n), block(), 1.0)
    each = size(tmp_path) // 50
    store.limit = each * 40
    assert store.shrink() == each * 36
    assert len(store.entries()) == 36
    assert store.shrink() == each * 36


def test_files_that_are_no_entries_are_left_alone(tmp_path: Path) -> None:
    store = disk(tmp_path, 10_000)
    name = key("other").hex()
    others = [
        Path("README"),
        Path("ab/notes.txt"),
        Path(f"ab/{name[2:-1]}"),
        Path(f"ab/{name[2:]}0"),
        Path(f"ab/{name[2:].upper()}"),
        Path(f"abc/{name[2:]}"),
        Path(f"zz/{name[2:]}"),
        Path(f"hashes/{name[2:]}"),
        Path(f"deep/ab/{name[2:]}"),
        Path(name),
        Path(".writing-mine"),
    ]
    for path in others:
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_bytes(block(9000))
        aged(tmp_path / path, ABANDONED * 2)
    for n in range(30):
        store.put(key(n), block(), 1.0)
    assert 0 < len(store.entries()) < 10
    assert store.verify() == (len(store.entries()), 0)
    store.clear()
    assert store.entries() == []
    assert all((tmp_path / path).stat().st_size == 9000 for path in others)


def test_what_crashed_writers_left_is_removed_after_an_hour(tmp_path: Path) -> None:
    path = entry(tmp_path)
    old = path.parent / ".writing-0123456789abcdef"
    new = path.parent / ".writing-fedcba9876543210"
    for leftover in (old, new):
        leftover.write_bytes(b"half of an ent")
    aged(old, ABANDONED + 60)
    aged(new, ABANDONED - 60)
    disk(tmp_path).shrink()
    assert (old.exists(), new.exists(), path.exists()) == (False, True, True)


# -- verify and clear ----------------------------------------------------------------------------------------


def test_verify_removes_what_is_damaged_and_counts_as_no_use(tmp_path: Path) -> None:
    store = disk(tmp_path)
    for n in range(10):
        store.put(key(n), (n, block()), 1.0)
        aged(store.path(key(n)), 1000)
    for n in (3, 4):
        data = store.path(key(n)).read_bytes()
        store.path(key(n)).write_bytes(data[:-1] + b"y")
    times = [file.used for file in store.entries() if file.key not in (key(3), key(4))]
    assert store.verify() == (8, 2)
    assert kept(store, *range(10)) == [0, 1, 2, 5, 6, 7, 8, 9]
    assert [file.used for file in store.entries()] == times
    assert store.verify() == (8, 0)


def test_clear_removes_everything_and_tells_how_much(tmp_path: Path) -> None:
    store = disk(tmp_path / "values")
    for n in range(10):
        store.put(key(n), block(), 1.0)
    (store.path(key(1)).parent / ".writing-0123456789abcdef").write_bytes(b"half of an ent")
    before = size(tmp_path)
    assert store.clear() == before > 10_000
    assert size(tmp_path) == 0
    assert [path.name for path in (tmp_path / "values").iterdir()] in ([], [".lock"])
    assert store.clear() == 0
    store.put(key(1), "again", 1.0)
    assert store.get(key(1)) == "again"


def test_a_folder_that_is_not_there_is_empty(tmp_path: Path) -> None:
    store = disk(tmp_path / "none")
    assert (store.entries(), store.verify(), store.clear(), store.shrink()) == ([], (0, 0), 0, 0)
    assert not (tmp_path / "none").exists()


# -- disks that refuse ---------------------------------------------------------------------------------------


def test_a_disk_that_lets_nothing_be_removed_costs_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = entry(tmp_path)
    path.write_bytes(b"damaged")

    def refuse(path: object) -> None:
        raise PermissionError

    monkeypatch.setattr(os, "unlink", refuse)
    assert disk(tmp_path).get(key(1)) is MISSING
    store = disk(tmp_path, 2000)
    for n in range(5):
        store.put(key(("x", n)), block(), 1.0)
    assert store.clear() == 0
    assert len(store.entries()) == 3  # where nothing makes room, nothing more is written


FULL = """
import resource, sys
from pathlib import Path
from graphengine.codec import Codec
from graphengine.disk import MISSING, DiskCache

store = DiskCache(Path(sys.argv[1]), 1 << 20, Codec())
store.put(b"a" * 32, bytes(1000), 1.0)
resource.setrlimit(resource.RLIMIT_FSIZE, (800, 800))  # a write stops after so many bytes, with an OSError
store.put(b"b" * 32, bytes(1000), 1.0)
assert store.get(b"a" * 32) == bytes(1000)
assert store.get(b"b" * 32) is MISSING
"""


def test_a_full_disk_costs_the_entry_only(tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-c", FULL, str(tmp_path)], check=True, timeout=120)
    assert len(disk(tmp_path).entries()) == 1
    assert list(tmp_path.rglob(".writing-*")) == []
