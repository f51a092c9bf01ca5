"""`graphengine run`"""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest


def loop(times: int) -> dict[str, Any]:
    """A loop that adds 1, a million times if that is wanted."""
    add = {"type": "number.add", "inputs": {"first": {"link": "x"}, "second": {"link": "one.value"}}}
    body = {"graph": {"inputs": ["x"], "outputs": {"x": "next.value"}, "nodes": {"next": add}}}
    return {
        "one": {"type": "number.real", "inputs": {"value": 1}},
        "loop": {"type": "flow.repeat", "inputs": {"times": times, "start": 1.0, "body": body}},
    }


SLOW = loop(1000) | {
    "after": {"type": "number.add", "inputs": {"first": {"link": "loop.result"}, "second": 1}}
}
"""A loop that takes long enough to be worth a file in the cache, and a node behind it."""


def events(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


def states(text: str) -> dict[str, str]:
    """What the table at the end says of each node."""
    lines = [line.split() for line in text.splitlines()]
    start = next(i for i, words in enumerate(lines) if words[:2] == ["node", "type"])
    return {words[0]: " ".join(words[2:]) for words in lines[start + 1 :] if words}


def test_plain_results_are_printed_by_name(graphengine, sum_file):
    done = graphengine("run", sum_file)
    assert done.status == 0
    assert done.out == "result: 30.0\nword: hello\n"


def test_a_long_value_is_shortened_but_in_json_it_is_whole(graphengine, write):
    file = write({"many": {"type": "flow.range", "inputs": {"stop": 500}}}, outputs={"n": "many.value"})
    line = graphengine("run", file).out
    assert line.startswith("n: [0, 1, 2,")
    assert line.endswith(" ... (2,390 characters; --json prints all)\n")
    assert len(line) < 600
    result = json.loads(graphengine("run", file, "--json").out.splitlines()[-1])
    assert result["outputs"]["n"] == list(range(500))


def test_what_was_computed_before_is_cached(graphengine, write):
    file = write(SLOW, outputs={"n": "after.value"}, inputs={"start": "loop.start", "last": "after.second"})
    first = graphengine("run", file)
    again = graphengine("run", file)
    assert first.out == again.out == "n: 1002.0\n"
    assert states(again.err)["loop"] == "cached"
    assert states(graphengine("run", file, "--no-cache").err)["loop"].startswith("ran ")


def test_events_are_told_one_a_line_where_there_is_no_terminal(graphengine, sum_file):
    lines = graphengine("run", sum_file, "--no-cache").err.splitlines()
    assert lines[0] == "plan: 3 to run"
    assert "one: started" in lines
    assert any(line.startswith("two: done in ") for line in lines)


@pytest.mark.parametrize(
    ("pair", "result"),
    [
        ("first=4", "result: 60.0"),
        ("first=0.5", "result: 25.0"),
        ("word=7", "word: 7"),
        ('word="a"', 'word: "a"'),
        ("word=a = b", "word: a = b"),
        ("word=", "word: "),
        ("word=null", "word: null"),
    ],
)
def test_a_value_is_read_as_what_the_input_wants(graphengine, sum_file, pair, result):
    done = graphengine("run", sum_file, "--set", pair)
    assert done.status == 0
    assert result in done.out.splitlines()


def test_the_last_of_two_values_counts(graphengine, sum_file):
    assert "result: 40.0" in graphengine("run", sum_file, "--set", "first=1", "--set", "first=2").out


def test_the_seed_has_an_option_of_its_own(graphengine, write):
    dice = {"type": "number.random_integer", "inputs": {"seed": None, "low": 0, "high": 10**9}}
    file = write({"dice": dice}, inputs={"seed": "dice.seed"}, outputs={"number": "dice.value"})
    first, same = graphengine("run", file, "--seed", "1").out, graphengine("run", file, "--set", "seed=1").out
    assert first == same
    drawn = {graphengine("run", file).out for _ in range(2)}
    assert len(drawn | {first}) == 3


@pytest.mark.parametrize(
    ("words", "status", "said"),
    [
        (["--set", "nope=1"], 2, "inputs.nope: there is no such input; the workflow has: first"),
        (["--set", "first=x"], 2, "one.first: 'x' is a text"),
        (["--set", "first=NaN"], 2, "one.first: 'NaN' is a text"),
        (["--set", "first"], 3, "write --set name=value"),
        (["--seed", "3"], 2, "inputs.seed: there is no such input"),
        (["--device", "abacus"], 3, "device: 'abacus' cannot be used"),
    ],
)  # fmt: skip
def test_a_mistake_is_told_in_a_sentence(graphengine, sum_file, words, status, said):
    done = graphengine("run", sum_file, *words)
    assert done.status == status
    assert said in done.err
    assert "Traceback" not in done.err
    assert done.out == ""


def test_a_file_with_problems_does_not_run(graphengine, write):
    file = write({"a": {"type": "number.add", "inputs": {"first": 1}}, "b": {"type": "flow.nope"}})
    done = graphengine("run", file)
    assert done.status == 2
    assert [line.partition(":")[0] for line in done.err.splitlines()] == ["a.second", "b"]


FAILING = {
    "broken": {"type": "flow.item", "inputs": {"items": [1, 2], "index": 5}},
    "after": {"type": "number.add", "inputs": {"first": {"link": "broken.result"}, "second": 1}},
    "fine": {"type": "number.add", "inputs": {"first": 1, "second": 1}},
}


def test_a_failing_node_spoils_only_what_depends_on_it(graphengine, write):
    file = write(FAILING, outputs={"bad": "after.value", "good": "fine.value"})
    done = graphengine("run", file)
    assert (done.status, done.out) == (1, "good: 2.0\n")
    assert "broken: failed: ValueError: there is no item 5 in this list" in done.err
    assert "Traceback" not in done.err
    told = states(done.err)
    assert (told["broken"], told["after"]) == ("failed", "not run: broken failed")
    assert told["fine"].startswith("ran ")


def test_json_gives_one_object_an_event_and_the_result_last(graphengine, sum_file):
    done = graphengine("run", sum_file, "--json", "--no-cache")
    told = events(done.out)
    assert told[0] == {"event": "run_planned", "steps": ["one", "two", "word"], "cached": [], "skipped": []}
    assert {"event": "node_started", "node": "two"} in told
    assert told[-1] == {
        "event": "result",
        "state": "done",
        "outputs": {"result": 30.0, "word": "hello"},
        "files": [],
    }
    assert done.err == ""


def test_json_of_a_failure(graphengine, write):
    done = graphengine("run", write(FAILING, outputs={"bad": "after.value"}), "--json")
    assert done.status == 1
    failed = [event for event in events(done.out) if event["event"] == "node_failed"]
    assert [(event["node"], event["because"]) for event in failed] == [
        ("broken", "broken"),
        ("after", "broken"),
    ]
    assert events(done.out)[-1]["state"] == "failed"


def test_json_of_a_refusal(graphengine, sum_file):
    done = graphengine("run", sum_file, "--json", "--set", "nope=1")
    assert done.status == 2
    (refused,) = events(done.out)
    assert refused["event"] == "refused"
    assert [problem["input"] for problem in refused["problems"]] == ["nope"]


def test_a_dry_run_says_what_would_run_and_runs_nothing(graphengine, write):
    file = write(SLOW, outputs={"n": "after.value"}, inputs={"start": "loop.start", "last": "after.second"})
    graphengine("run", file, "--set", "start=70.5")
    for _ in range(2):
        done = graphengine("run", file, "--set", "start=70.5", "--set", "last=5", "--dry-run")
        assert done.status == 0
        assert states(done.out) == {"one": "not needed", "loop": "cached", "after": "would run"}
    as_json = graphengine("run", file, "--set", "start=70.5", "--set", "last=5", "--dry-run", "--json")
    assert json.loads(as_json.out) == {"steps": ["after"], "cached": ["loop"], "skipped": ["one"]}


def test_a_dry_run_refuses_a_file_with_problems(graphengine, write):
    assert graphengine("run", write({"a": {"type": "flow.nope"}}), "--dry-run").status == 2


def test_ctrl_c_stops_the_run_and_ends_with_130(write, cache: Path, tmp_path: Path):
    file = write(loop(1_000_000), outputs={"n": "loop.result"})
    with subprocess.Popen(
        [sys.executable, "-m", "graphengine", "run", file, "--no-cache"],
        cwd=tmp_path,
        env=os.environ | {"GRAPHENGINE_CACHE": str(cache)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as running:
        assert running.stderr is not None
        while (line := running.stderr.readline()) and "call" not in line and " of " not in line:
            pass
        began = time.monotonic()
        running.send_signal(signal.SIGINT)
        out, err = running.communicate(timeout=60)
    assert time.monotonic() - began < 10
    assert (running.returncode, out) == (130, "")
    assert "stopping" in err
    assert "cancelled in" in err
    assert "Traceback" not in err


def test_a_terminal_gets_a_bar_and_the_results(sum_file: str, cache: Path, tmp_path: Path):
    main, side = pty.openpty()
    running = subprocess.Popen(
        [sys.executable, "-m", "graphengine", "run", sum_file, "--no-cache"],
        cwd=tmp_path,
        env=os.environ | {"GRAPHENGINE_CACHE": str(cache), "TERM": "xterm", "COLUMNS": "100"},
        stdin=side,
        stdout=side,
        stderr=side,
    )
    os.close(side)
    shown = b""
    while True:
        try:
            part = os.read(main, 65536)
        except OSError:  # Linux says so when the other side is closed
            break
        if not part:
            break
        shown += part
    os.close(main)
    assert running.wait(timeout=60) == 0
    text = shown.decode()
    assert "3 of 3" in text
    assert "result: 30" in text
    assert "one: started" not in text
