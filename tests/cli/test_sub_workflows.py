"""A file with sub-workflows, muted and bypassed nodes, through every command that takes a file."""

from __future__ import annotations

import json
from xml.etree import ElementTree

import pytest


def link(name):
    """A link in the file."""
    return {"link": name}


SCALE = {
    "inputs": {"value": "by.first", "factor": "by.second"},
    "outputs": {"result": "twice.value"},
    "nodes": {
        "by": {"type": "number.multiply", "inputs": {"first": 0, "second": 1.5}},
        "twice": {"type": "number.multiply", "inputs": {"first": link("by.value"), "second": 2}},
    },
}
STEP = {
    "inputs": ["sum", "item"],
    "outputs": {"sum": "next.value"},
    "nodes": {
        "inner": {"type": "graph:scale", "inputs": {"value": link("item")}},
        "next": {"type": "number.add", "inputs": {"first": link("sum"), "second": link("inner.result")}},
    },
}
NODES = {
    "up": {"type": "graph:scale", "inputs": {"value": 3}},
    "loop": {
        "type": "flow.fold",
        "inputs": {"start": link("up.result"), "over": [1, 2], "body": {"graph": STEP}},
    },
    "off": {"type": "number.add", "state": "muted", "inputs": {"first": link("loop.result"), "second": 1}},
    "after": {"type": "number.add", "inputs": {"first": link("off.value"), "second": 1}},
    "by": {"type": "graph:scale", "state": "bypassed", "inputs": {"value": link("loop.result")}},
    "last": {"type": "number.add", "inputs": {"first": link("by.result"), "second": 1}},
}


@pytest.fixture
def file(write):
    """3 and what is in the list, each times three; and one more."""
    return write(
        NODES,
        inputs={"value": "up.value", "factor": "up.factor"},
        outputs={"sum": "loop.result", "last": "last.value", "off": "after.value"},
        graphs={"scale": SCALE},
    )


def test_it_is_valid_runs_and_is_found_again(graphengine, file):
    assert graphengine("validate", file).out == f"{file}: ok\n"
    done = graphengine("run", file, "--set", "value=4", "--set", "factor=0.5")
    assert done.out == "sum: 13.0\nlast: 14.0\n"
    rows = [line.split()[:3] for line in done.err.splitlines() if "number." in line or "graph:" in line]
    assert [row[0] for row in rows] == [
        "up/by", "up/twice", "inner/by", "inner/twice", "next", "off", "after", "by", "last",
    ]  # fmt: skip
    assert rows[0] == ["up/by", "number.multiply", "ran"]
    assert rows[-4:-1] == [
        ["off", "number.add", "muted"], ["after", "number.add", "muted"], ["by", "graph:scale", "bypassed"],
    ]  # fmt: skip
    foretold = graphengine("run", file, "--set", "value=5", "--dry-run").out
    assert "up/twice" in foretold
    assert "would run" in foretold
    explained = graphengine("explain", file, "--set", "value=5")
    assert (explained.status, "up/by" in explained.out) == (0, True)


def test_what_is_wrong_is_told_where_it_stands(graphengine, write):
    wrong = {**SCALE, "nodes": SCALE["nodes"] | {"by": {"type": "number.multiply", "inputs": {"first": "x"}}}}
    file = write(NODES | {"up": {"type": "graph:scale", "inputs": {"valu": 1}}}, graphs={"scale": wrong})
    done = graphengine("validate", file)
    assert done.status == 2
    assert done.out.splitlines() == [
        "up.valu: there is no input of graph:scale named 'valu'; it has value, factor",
        "graph:scale/by.first: 'x' is a text, not a number; write a number such as 7.5",
        "up.factor: is missing; give it a number",
        "inner.factor: is missing; give it a number",
    ]


def test_it_is_drawn(graphengine, file, tmp_path):
    text = graphengine("graph", file).out
    assert 'by["by<br>graph:scale, bypassed"]:::bypassed' in text
    assert 'up -- "result → start" --> loop' in text
    assert graphengine("graph", file, "--out", "file.svg").status == 0
    assert "graph:scale" in ElementTree.tostring(
        ElementTree.parse(tmp_path / "file.svg").getroot(), "unicode"
    )


def test_a_sweep_goes_over_what_a_sub_workflow_is_given(graphengine, file):
    done = graphengine("run", file, "--sweep", "factor=0,1", "--json")
    found = [json.loads(line) for line in done.out.splitlines()]
    assert [row["outputs"]["sum"] for row in found if row["event"] == "sweep"] == [9.0, 15.0]
