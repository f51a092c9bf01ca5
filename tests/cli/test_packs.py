"""`graphengine packs`"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

GOOD = """
from graphengine import node

__version__ = "2.5"

@node
def double(x: int) -> int:
    "Twice as much."
    return 2 * x
"""
BAD = "from graphengine import node\n\n@node\ndef half(x) -> float:\n    return x / 2\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with a good pack, one with a wrong node, and one that cannot be imported."""
    for name, text in (("doubling", GOOD), ("halving", BAD), ("failing", "1 / 0")):
        (tmp_path / f"{name}.py").write_text(text)
    return tmp_path


def test_the_list_has_each_pack_with_its_version_and_where_it_is_from(graphengine, folder):
    done = graphengine("packs", "list", "--nodes", str(folder))
    assert done.status == 0
    rows = {line.split()[0]: line.split()[1:] for line in done.out.splitlines()}
    assert rows["doubling"] == ["2.5", str(folder / "doubling.py"), "1"]
    assert rows["halving"] == [str(folder / "halving.py"), "0", "1"]
    assert rows["failing"] == ["0", "1"]
    assert rows["std"][1] == "graphengine"
    assert done.err == "`graphengine packs check` says what is wrong\n"


def test_a_check_tells_everything_and_ends_with_1(process, folder):
    done = process("packs", "check", GRAPHENGINE_NODES=str(folder))
    assert done.status == 1
    assert "doubling: ok, 1 node\n" in done.out
    assert f"halving: {folder}/halving.py:4: halving.half: input 'x' has no type; write `x: int`" in done.out
    assert f"failing: {folder}/failing.py:1: ZeroDivisionError: division by zero\nTraceback" in done.out


def test_one_pack_is_checked_by_its_name(graphengine, folder):
    done = graphengine("packs", "check", "doubling", "--nodes", str(folder), "--json")
    assert done.status == 0
    (row,) = json.loads(done.out)
    assert (row["name"], row["nodes"], row["problems"]) == ("doubling", 1, [])
    done = graphengine("packs", "check", "nothing", "--nodes", str(folder))
    assert done.status == 3
    assert "there is no pack 'nothing'; there are diffusion, doubling, failing, halving, st" in done.err
