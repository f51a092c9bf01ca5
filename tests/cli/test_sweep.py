"""`graphengine run --sweep`"""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import typer
from PIL import Image as Pillow

from graphengine.cli.sweep import values_of


def lines(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


def table(folder: Path) -> list[dict[str, str]]:
    """The one CSV file of a folder."""
    (path,) = folder.glob("*.csv")
    with path.open(newline="") as stream:
        return list(csv.DictReader(stream))


# -- values --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "kind", "values"),
    [
        ("1:12:1", "int", list(range(1, 13))),
        ("1:6:2", "int", [1, 3, 5]),
        ("1:3", "int", [1, 2, 3]),
        ("5:1:-2", "int", [5, 3, 1]),
        ("3:3:1", "int", [3]),
        ("-2:2:2", "any", [-2, 0, 2]),
        ("1:7:3", "float", [1.0, 4.0, 7.0]),
        ("0:0.5:0.1", "float", [0.0, 0.1, 0.2, 0.3, 0.4, 0.5]),
        ("0:1:0.333333333333", "float", [0.0, 0.333333333333, 0.666666666666, 0.999999999999]),
        ("0:1:0.5", "int", [0.0, 0.5, 1.0]),
        ("1e-3:3e-3:1e-3", "float", [0.001, 0.002, 0.003]),
        ("1:2:1", "str", ["1:2:1"]),
        ("1,2.5, 3", "float", [1, 2.5, 3]),
        ("7", "int", [7]),
        ("euler,ddim", "str", ["euler", "ddim"]),
        (" euler , ddim", "str", ["euler", "ddim"]),
        ("1,2", "str", ["1", "2"]),
        ("", "str", [""]),
        ("", "int", []),
        ('["a, b","c"]', "str", ["a, b", "c"]),
        ('"a, b","c"', "str", ["a, b", "c"]),
        ("[a, b]", "str", ["[a", "b]"]),
        ("true,false", "bool", [True, False]),
        ("null,3", "int", [None, 3]),
        ("[1,2],[3]", ("list", "int"), [[1, 2], [3]]),
        ("[[1,2],[3]]", ("list", "int"), [[1, 2], [3]]),
        ('{"a":1},{"a":2}', "any", [{"a": 1}, {"a": 2}]),
        ("x,2", "int", ["x", 2]),
        ("NaN,1", "float", ["NaN", 1]),
    ],
)
def test_values_are_read_as_the_input_wants_them(text, kind, values):
    found = values_of(text, kind)
    assert found == values
    assert list(map(type, found)) == list(map(type, values))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("1:5:0", "1:5:0 goes nowhere; give a step that is not 0"),
        ("1:5:-1", "1:5:-1 never reaches its stop; give a step of the other sign"),
        ("0:1:1e-9", "0:1:1e-9 are more than 10,000 values; give a larger step"),
        ("0:9e99:1", "more than 10,000 values"),
    ],
)
def test_a_range_that_makes_no_sense_is_told(text, said):
    with pytest.raises(typer.BadParameter, match=said):
        values_of(text, "float")


# -- running -------------------------------------------------------------------------------------------------


def test_every_combination_is_a_line_and_a_row(graphengine, sum_file, tmp_path):
    done = graphengine("run", sum_file, "--sweep", "first=1:3:2", "--sweep", "word=x,y", "--set", "factor=2")
    assert done.status == 0
    assert done.out.split() == ["outputs/sum-sweep_0001.csv"]
    told = done.err.splitlines()
    assert [line.partition(": ")[0] for line in told] == [
        f"{n} of 4, first={first}, word={word}"
        for n, (first, word) in enumerate([(1, "x"), (1, "y"), (3, "x"), (3, "y")], 1)
    ]
    assert told[-1].endswith(', result: 10.0, word: "y"')
    rows = table(tmp_path / "outputs")
    assert [(r["first"], r["word"], r["result"], r["output.word"], r["state"]) for r in rows] == [
        ("1.0", "x", "6.0", "x", "done"), ("1.0", "y", "6.0", "y", "done"),
        ("3.0", "x", "10.0", "x", "done"), ("3.0", "y", "10.0", "y", "done"),
    ]  # fmt: skip


PAINT = {
    "paint": {"type": "image.solid", "inputs": {"width": 32, "height": 32, "colour": "#ff0000"}},
    "save": {"type": "image.save", "inputs": {"image": {"link": "paint.image"}, "name": "tile"}},
}


def test_pictures_are_saved_each_and_as_a_grid_that_replaces_nothing(graphengine, write, tmp_path):
    file = write(
        PAINT, inputs={"colour": "paint.colour", "width": "paint.width"}, outputs={"image": "paint.image"}
    )
    words = ["run", file, "--sweep", "width=32,64", "--sweep", "colour=#ff0000,#00ff00", "--out", "out"]
    first, second = graphengine(*words), graphengine(*words)
    assert (first.status, second.status) == (0, 0)
    for number, done in enumerate((first, second), 1):
        *tiles, rows, grid = done.out.split()
        assert tiles == [f"out/tile_{4 * (number - 1) + i:04}.png" for i in range(1, 5)]
        assert (rows, grid) == (f"out/workflow-sweep_000{number}.csv", f"out/workflow-sweep_000{number}.png")
        with Pillow.open(tmp_path / grid) as picture:
            pixels = np.asarray(picture).astype(int)
        assert (pixels == (255, 0, 0)).all(-1).sum() == (pixels == (0, 255, 0)).all(-1).sum() > 100 * 100


def test_a_combination_that_fails_costs_only_itself(graphengine, write, tmp_path):
    nodes = {
        "item": {"type": "flow.item", "inputs": {"items": [16, 32], "index": 0}},
        "paint": {"type": "image.solid", "inputs": {"width": {"link": "item.result"}, "height": 16}},
    }
    file = write(nodes, inputs={"index": "item.index"}, outputs={"image": "paint.image"})
    done = graphengine("run", file, "--sweep", "index=0,5,1")
    assert done.status == 1
    rows = table(tmp_path / "outputs")
    assert [row["state"] for row in rows] == ["done", "failed", "done"]
    assert rows[1]["error"].startswith("item: ValueError: there is no item 5")
    assert "2 of 3, index=5: failed in " in done.err
    assert rows[1]["error"] in done.err
    assert done.out.split()[-1] == "outputs/workflow-sweep_0001.png"


LOOP = {
    "one": {"type": "number.real", "inputs": {"value": 1}},
    "loop": {"type": "flow.repeat", "inputs": {"times": 2000, "start": 1.0, "body": {"graph": {
        "inputs": ["x"], "outputs": {"x": "next.value"}, "nodes": {"next": {
            "type": "number.add", "inputs": {"first": {"link": "x"}, "second": {"link": "one.value"}}}}}}}},
    "after": {"type": "number.add", "inputs": {"first": {"link": "loop.result"}, "second": 1}},
}  # fmt: skip


def test_what_is_shared_runs_once_also_without_a_cache(graphengine, write):
    file = write(LOOP, inputs={"last": "after.second"}, outputs={"n": "after.value"})
    done = graphengine("run", file, "--sweep", "last=1,2,3", "--no-cache", "--json")
    started = [e["node"] for e in lines(done.out) if e["event"] == "node_started" and e["node"] != "next"]
    assert sorted(started) == ["after", "after", "after", "loop", "one"]


def test_json_has_a_line_for_each_combination_and_a_result(graphengine, sum_file):
    done = graphengine("run", sum_file, "--sweep", "first=1,2", "--json")
    assert done.err == ""
    told = lines(done.out)
    swept = [event for event in told if event["event"] == "sweep"]
    assert [(e["number"], e["of"], e["values"], e["state"], e["outputs"]["result"]) for e in swept] == [
        (1, 2, {"first": 1}, "done", 30.0), (2, 2, {"first": 2}, "done", 40.0),
    ]  # fmt: skip
    assert all(event["seconds"] > 0 for event in swept)
    assert [event["event"] for event in told].count("run_ended") == 2
    files = ["outputs/sum-sweep_0001.csv"]
    assert told[-1] == {"event": "result", "state": "done", "runs": 2, "failed": 0, "files": files}


def test_a_dry_run_says_how_much_of_each_would_run_after_those_before(graphengine, write, tmp_path):
    file = write(LOOP, inputs={"last": "after.second", "start": "loop.start"}, outputs={"n": "after.value"})
    words = ["run", file, "--sweep", "start=3.5,4.5", "--sweep", "last=1,2", "--dry-run"]
    done = graphengine(*words)
    assert done.status == 0
    assert [line.split() for line in done.out.splitlines()] == [
        ["start", "last", "nodes", "to", "run", "cached"],
        ["3.5", "1", "3", "0"],
        ["3.5", "2", "1", "2"],
        ["4.5", "1", "2", "1"],
        ["4.5", "2", "1", "2"],
    ]
    assert [(e["values"], e["steps"]) for e in lines(graphengine(*words, "--json").out)][1:3] == [
        ({"start": 3.5, "last": 2}, ["after"]),
        ({"start": 4.5, "last": 1}, ["loop", "after"]),
    ]
    assert not (tmp_path / "outputs").exists()


# -- mistakes ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "status", "said"),
    [
        (["nope=1"], 2, "inputs.nope: there is no such input; the workflow has: first, factor, word"),
        (["first"], 3, "write --sweep name=1,2,3"),
        (["first=1:5:0"], 3, "give a step that is not 0"),
        (["first="], 2, "inputs.first: has no value to run"),
        (["first=1", "--sweep", "first=2"], 3, "first is swept twice"),
        (["first=1", "--set", "first=2"], 3, "first is both swept and set"),
        (["first=0:999", "--sweep", "factor=0:99"], 2, "there are 100,000 combinations"),
    ],
)  # fmt: skip
def test_a_mistake_is_told_and_nothing_runs(graphengine, sum_file, tmp_path, words, status, said):
    done = graphengine("run", sum_file, "--sweep", *words)
    assert done.status == status
    assert said in done.err
    assert "Traceback" not in done.err
    assert done.out == ""
    assert not (tmp_path / "outputs").exists()


def test_all_problems_of_all_combinations_are_told_at_once(graphengine, sum_file):
    done = graphengine("run", sum_file, "--sweep", "first=1,x,2", "--sweep", "factor=1,y")
    assert done.status == 2
    assert done.err.splitlines() == [
        "two.second: 'y' is a text, not a number; write a number such as 7.5 (factor=y; 3 of 6 combinations)",
        "one.first: 'x' is a text, not a number; write a number such as 7.5 (first=x; 2 of 6 combinations)",
    ]


def test_a_grid_that_cannot_be_drawn_is_told_before_and_the_table_is_saved(graphengine, write, tmp_path):
    nodes = {"paint": {"type": "image.solid", "inputs": {"width": 4, "height": 4}}}
    inputs = {"count": "paint.count", "height": "paint.height"}
    file = write(nodes, inputs=inputs, outputs={"image": "paint.image"})
    done = graphengine("run", file, "--sweep", "height=1", "--sweep", "count=1:250")
    assert done.status == 0
    assert done.err.splitlines()[0].startswith("there will be no grid: 250 columns and 1 rows are too many")
    assert done.out.split() == ["outputs/workflow-sweep_0001.csv"]
    assert len(table(tmp_path / "outputs")) == 250


def test_ctrl_c_ends_the_sweep_and_what_is_done_is_saved(write, cache: Path, tmp_path: Path):
    nodes = LOOP | {"loop": LOOP["loop"] | {"inputs": LOOP["loop"]["inputs"] | {"times": 10}}}
    file = write(nodes, inputs={"times": "loop.times"}, outputs={"n": "loop.result"})
    with subprocess.Popen(
        [sys.executable, "-m", "graphengine", "run", file, "--no-cache", "--json",
         "--sweep", "times=10,1000000,20"],
        cwd=tmp_path,
        env=os.environ | {"GRAPHENGINE_CACHE": str(cache)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as running:  # fmt: skip
        assert running.stdout is not None
        plans = 0
        while plans < 2 and (line := running.stdout.readline()):
            plans += '"run_planned"' in line
        running.send_signal(signal.SIGINT)
        out, err = running.communicate(timeout=60)
    assert running.returncode == 130
    assert "stopping" in err
    assert json.loads(out.splitlines()[-1])["state"] == "cancelled"
    assert [(row["times"], row["state"]) for row in table(tmp_path / "outputs")] == [
        ("10", "done"), ("1000000", "cancelled"),
    ]  # fmt: skip
