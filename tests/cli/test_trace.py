"""`graphengine run` with `--trace`, `--limit` and `--debug`"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

PACK = '''
import itertools, time
from graphengine import Image, node

count = itertools.count()

@node(id="odd.spin")
def spin(seconds: float) -> float:
    """Computes for so long."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        pass
    return seconds

@node(id="odd.darken")
def darken(image: Image) -> Image:
    """Changes its input."""
    return image.mul_(0.5)

@node(id="odd.dice")
def dice(sides: int) -> int:
    """Something else each time."""
    return next(count) % sides
'''
"""A pack with nodes that are not as they should be."""


@pytest.fixture(scope="module")
def packs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which that pack is installed."""
    folder = tmp_path_factory.mktemp("packs")
    (folder / "odd.py").write_text(PACK)
    info = folder / "odd-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: odd\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[graphengine.packs]\nodd = odd\n")
    return folder


@pytest.fixture
def odd(graphengine: Any, packs: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Run the command where that pack is installed."""
    monkeypatch.syspath_prepend(packs)
    monkeypatch.setenv("PYTHONPATH", str(packs))  # for the process that reads the packs
    monkeypatch.setenv("GRAPHENGINE_CACHE", str(packs / "cache"))
    yield graphengine
    sys.modules.pop("odd", None)


def slices(path: Path) -> list[dict[str, Any]]:
    """The slices of a trace."""
    return [event for event in json.loads(path.read_text("utf-8"))["traceEvents"] if event["ph"] == "X"]


# -- trace ---------------------------------------------------------------------------------------------------


def test_a_trace_is_written_beside_the_results(graphengine, sum_file, tmp_path):
    done = graphengine("run", sum_file, "--no-cache", "--trace", "sub/trace.json")
    assert (done.status, done.out) == (0, "result: 30.0\nword: hello\n")
    assert (
        done.err.splitlines()[-1] == "what was done when is in sub/trace.json; open it with ui.perfetto.dev"
    )
    nodes = {
        s["name"]: s["args"]["type"] for s in slices(tmp_path / "sub" / "trace.json") if s["cat"] == "node"
    }
    assert nodes == {"one": "number.add", "two": "number.multiply", "word": "text.value"}


def test_with_json_nothing_is_said_of_it_in_words(graphengine, sum_file, tmp_path):
    done = graphengine("run", sum_file, "--json", "--trace", "trace.json")
    assert (done.status, done.err) == (0, "")
    assert slices(tmp_path / "trace.json")


def test_a_failing_run_is_traced(graphengine, write, tmp_path):
    file = write(
        {"a": {"type": "flow.item", "inputs": {"items": [1], "index": 5}}}, outputs={"v": "a.result"}
    )
    assert graphengine("run", file, "--trace", "trace.json").status == 1
    (node,) = (s for s in slices(tmp_path / "trace.json") if s["cat"] == "node")
    assert "there is no item 5" in node["args"]["error"]


def test_ctrl_c_leaves_a_whole_trace(write, cache, tmp_path):
    add = {"type": "number.add", "inputs": {"first": {"link": "x"}, "second": 1}}
    body = {"graph": {"inputs": ["x"], "outputs": {"x": "next.value"}, "nodes": {"next": add}}}
    loop = {"type": "flow.repeat", "inputs": {"times": 1_000_000, "start": 1.0, "body": body}}
    file = write({"loop": loop}, outputs={"n": "loop.result"})
    command = [sys.executable, "-m", "graphengine", "run", file, "--no-cache", "--trace", "trace.json"]
    with subprocess.Popen(
        command,
        cwd=tmp_path,
        env=os.environ | {"GRAPHENGINE_CACHE": str(cache)},
        stderr=subprocess.PIPE,
        text=True,
    ) as running:
        assert running.stderr is not None
        while (line := running.stderr.readline()) and "call" not in line and " of " not in line:
            pass
        running.send_signal(signal.SIGINT)
        running.communicate(timeout=60)
    assert running.returncode == 130
    found = slices(tmp_path / "trace.json")
    assert next(s for s in found if s["name"] == "loop")["args"]["error"] == "cancelled"
    assert any(s["cat"] == "body" for s in found)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--trace", "."], "'.' is a directory"),
        (["--trace", "t.json", "--dry-run"], "--trace tells of one run; leave out --dry-run"),
        (["--trace", "t.json", "--sweep", "first=1,2"], "--trace tells of one run; leave out --sweep"),
        (["--limit", "0"], "0 is no time that a node can take; give a number above 0"),
        (["--limit", "-1"], "-1 is no time that a node can take"),
        (["--limit", "nan"], "nan is no time that a node can take"),
        (["--limit", "inf"], "inf is no time that a node can take"),
        (["--limit", "soon"], "Invalid value for '--limit'"),
    ],
)
def test_what_makes_no_sense_is_refused(graphengine, sum_file, tmp_path, words, said):
    done = graphengine("run", sum_file, *words)
    assert (done.status, done.out) == (3, "")
    assert said in " ".join(done.err.replace("│", " ").split())
    assert not (tmp_path / "t.json").exists()


def test_a_trace_that_cannot_be_written_is_told_before_anything_runs(graphengine, sum_file, tmp_path):
    (tmp_path / "file").write_text("in the way")
    done = graphengine("run", sum_file, "--trace", "file/trace.json")
    assert (done.status, done.out) == (1, "")
    assert "file/trace.json: no trace can be written there" in done.err


# -- limit and debug -----------------------------------------------------------------------------------------


def test_a_limit_ends_a_node_that_is_too_slow(odd, write):
    spin = {"type": "odd.spin", "inputs": {"seconds": 60}}
    quick = {"type": "odd.spin", "inputs": {"seconds": 0}}
    done = odd(
        "run",
        write({"slow": spin, "quick": quick}, outputs={"a": "slow.value", "b": "quick.value"}),
        "--limit",
        "2",
    )
    assert (done.status, done.out) == (1, "b: 0.0\n")
    assert "slow: failed: NodeTooSlow: ran longer than the 2 s that each node may take" in done.err


ODD = {
    "white": {"type": "image.solid", "inputs": {"width": 4, "height": 4}},
    "dark": {"type": "odd.darken", "inputs": {"image": {"link": "white.image"}}},
    "dice": {"type": "odd.dice", "inputs": {"sides": 1000}},
    "fine": {"type": "number.add", "inputs": {"first": 1, "second": 2}},
}


def test_debug_says_which_nodes_are_impure(odd, write):
    outputs = {"image": "dark.image", "n": "dice.value", "sum": "fine.value"}
    file = write(ODD, outputs=outputs)
    assert odd("run", file).status == 0
    done = odd("run", file, "--debug")
    assert done.status == 1
    first, *found = done.out.splitlines()
    assert first == "sum: 3.0"
    assert [line.partition(": ")[0] for line in found] == ["dark", "dice"]
    assert "odd.darken changes its input 'image', which others share" in found[0]
    assert "odd.dice gives two results for the same inputs" in found[1]
    result = json.loads(odd("run", file, "--debug", "--json").out.splitlines()[-1])
    assert (result["state"], [*result["impure"]]) == ("failed", ["dark", "dice"])


def test_debug_says_so_when_all_is_well(graphengine, sum_file):
    done = graphengine("run", sum_file, "--debug")
    assert (done.status, done.out) == (0, "result: 30.0\nword: hello\n")
    assert done.err.splitlines()[-1] == "no node changed an input or gave two results"
    assert json.loads(graphengine("run", sum_file, "--debug", "--json").out.splitlines()[-1])["impure"] == {}


def test_each_run_of_a_sweep_has_the_limit_and_is_debugged(odd, write):
    spin = {"type": "odd.spin", "inputs": {"seconds": 0}}
    file = write(
        {"spin": spin, "dice": ODD["dice"]},
        inputs={"t": "spin.seconds"},
        outputs={"v": "spin.value", "n": "dice.value"},
    )
    done = odd("run", file, "--sweep", "t=0,60", "--limit", "2", "--debug")
    assert done.status == 1
    assert "NodeTooSlow" in done.err
    assert done.err.count("gives two results") == 2
