"""`graphengine cache`"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from graphengine.codec import Codec
from graphengine.disk import DiskCache
from graphengine.keys import digest

SLOW = {
    "one": {"type": "number.real", "inputs": {"value": 1}},
    "loop": {
        "type": "flow.repeat",
        "inputs": {
            "times": 1000,
            "start": 1.0,
            "body": {
                "graph": {
                    "inputs": ["x"],
                    "outputs": {"x": "next.value"},
                    "nodes": {
                        "next": {
                            "type": "number.add",
                            "inputs": {"first": {"link": "x"}, "second": {"link": "one.value"}},
                        }
                    },
                }
            },
        },
    },
}
"""A loop that takes long enough to be worth a file in the cache."""


def key(n: int) -> bytes:
    return digest(str(n).encode())


@pytest.fixture
def store(graphengine: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> DiskCache:
    """The disk tier that the commands find, still empty."""
    monkeypatch.setenv("GRAPHENGINE_CACHE", str(tmp_path / "cache"))
    return DiskCache(tmp_path / "cache" / "values", 1 << 20, Codec())


@pytest.fixture
def filled(store: DiskCache) -> DiskCache:
    """Three entries, used at 1000, 2000 and 3000 seconds; the second is the largest."""
    for n, size in enumerate((100, 5000, 200), 1):
        store.put(key(n), b"x" * size, 1.0)
        os.utime(store.path(key(n)), (n * 1000, n * 1000))
    return store


def test_stats_tells_where_how_many_and_how_large(graphengine, filled):
    sizes = sorted(file.size for file in filled.entries())
    assert json.loads(graphengine("cache", "stats", "--json").out) == {
        "folder": str(filled.folder),
        "entries": 3,
        "bytes": sum(sizes),
        "limit": 10 << 30,
        "largest": sizes[-1],
        "oldest": datetime.fromtimestamp(1000, UTC).isoformat(),
    }
    done = graphengine("cache", "stats")
    assert done.status == 0
    lines = [line.split(maxsplit=1) for line in done.out.splitlines()]
    assert [line[0] for line in lines] == ["folder", "entries", "size", "largest", "oldest"]
    told = dict(lines)
    assert told["folder"] == str(filled.folder)
    assert told["entries"] == "3"
    assert told["size"].endswith("KiB of 10.0GiB")
    assert told["oldest"] == "used last at 1970-01-01T00:16:40+00:00"


def test_stats_of_no_cache_at_all(graphengine, store, monkeypatch):
    told = json.loads(graphengine("cache", "stats", "--json").out)
    assert (told["entries"], told["bytes"], told["largest"], told["oldest"]) == (0, 0, None, None)
    monkeypatch.setenv("GRAPHENGINE_DISK_CACHE", "0")
    assert "size     0B of 0, which is off" in graphengine("cache", "stats").out
    assert not store.folder.exists()


def test_verify_of_a_sound_cache_ends_with_0(graphengine, filled):
    done = graphengine("cache", "verify")
    assert (done.status, done.out) == (0, "3 entries, none damaged\n")
    assert len(filled.entries()) == 3


def test_verify_removes_what_is_damaged_and_ends_with_1(graphengine, filled):
    path = filled.path(key(2))
    path.write_bytes(path.read_bytes()[:-1])
    done = graphengine("cache", "verify")
    assert (done.status, done.out) == (1, "damaged, and removed: 1 of 3 entries\n")
    assert not path.exists()
    assert graphengine("cache", "verify").out == "2 entries, none damaged\n"


def test_clear_removes_every_value_and_nothing_else(graphengine, filled, tmp_path):
    other = tmp_path / "cache" / "hashes" / "ab"
    other.parent.mkdir()
    other.write_text("kept")
    total = sum(file.size for file in filled.entries())
    done = graphengine("cache", "clear")
    assert done.status == 0
    assert done.out.endswith(f"freed ({total:,} bytes)\n")
    assert filled.entries() == []
    assert other.read_text() == "kept"
    assert graphengine("cache", "clear").out == "0B freed (0 bytes)\n"


def test_clear_tells_what_it_cannot_remove(graphengine, filled, monkeypatch):
    def refuse(path: object) -> None:
        raise PermissionError

    monkeypatch.setattr(os, "unlink", refuse)
    done = graphengine("cache", "clear")
    assert done.status == 1
    assert done.out == "0B freed (0 bytes)\n"
    assert done.err == f"3 entries cannot be removed from {filled.folder}\n"


@pytest.mark.usefixtures("store")
def test_the_values_of_a_run_are_what_is_counted_and_cleared(graphengine, write):
    file = write(SLOW, outputs={"n": "loop.result"})

    def steps() -> list[str]:
        done = graphengine("run", file, "--dry-run", "--json")
        return list(json.loads(done.out)["steps"])

    graphengine("run", file)
    assert json.loads(graphengine("cache", "stats", "--json").out)["entries"] >= 1
    # the loop, and states of it if it was slow
    assert steps() == []
    graphengine("cache", "clear")
    assert json.loads(graphengine("cache", "stats", "--json").out)["entries"] == 0
    assert "loop" in steps()


@pytest.mark.parametrize("words", [[], ["stats", "--nope"], ["nope"]])
def test_a_usage_error_ends_with_3(graphengine, words):
    done = graphengine("cache", *words)
    assert done.status == 3
    assert "Usage: graphengine cache" in done.err


def test_a_setting_that_cannot_be_used_is_named(graphengine, monkeypatch):
    monkeypatch.setenv("GRAPHENGINE_DISK_CACHE", "lots")
    done = graphengine("cache", "stats")
    assert done.status == 3
    assert "GRAPHENGINE_DISK_CACHE: 'lots' cannot be used" in done.err


@pytest.mark.parametrize("command", ["stats", "verify", "clear"])
def test_no_command_imports_torch(command, filled):
    program = (
        f"import sys; sys.argv = ['graphengine', 'cache', {command!r}]\n"
        "from graphengine.cli import main\n"
        "try: main()\n"
        "except SystemExit as end: assert not end.code, end.code\n"
        "loaded = {'torch', 'safetensors', 'aiohttp'} & sys.modules.keys()\n"
        "assert not loaded, loaded\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout
