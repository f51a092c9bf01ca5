"""What is shown of a run while it runs."""

from __future__ import annotations

import io
import json
from collections import namedtuple
from typing import get_args

import pytest
from rich.console import Console
from rich.progress import Progress

from graphengine import events
from graphengine.cli.display import Bar, Lines, as_data, described, duration, from_data, line

Picture = namedtuple("Picture", "shape")

EXAMPLES = [
    (events.RunPlanned(("a", "b"), ("c",), ()), "plan: 2 to run, 1 cached"),
    (events.RunPlanned((), (), ()), "plan: 0 to run"),
    (events.NodeStarted("a"), "a: started"),
    (events.NodeFinished("a", 0.25), "a: done in 250 ms"),
    (events.NodeCached("a"), "a: cached"),
    (events.NodeProgress("a", 1.0, 4.0), "a: 1 of 4"),
    (events.NodePreview("a", Picture((1, 8, 8, 3))), "a: preview 1 x 8 x 8 x 3"),
    (events.NodeOutput("a", "out/x.png", "image/png"), "a: saved out/x.png"),
    (events.NodeFailed("a", "a", "ValueError: no"), "a: failed: ValueError: no"),
    (events.NodeFailed("b", "a", "ValueError: no"), "b: not run, because a failed"),
    (events.BodyFinished("a", 3, True), "a: call 3 of its body cached"),
    (events.ModelLoaded("a", "Denoiser", 0.25), "a: loaded Denoiser in 250 ms"),
    (events.RunEnded("done", 75.0), "done in 1 min 15 s"),
]


def test_every_kind_of_event_has_an_example():
    assert {type(event) for event, _ in EXAMPLES} == set(get_args(events.Event))


@pytest.mark.parametrize(("event", "text"), EXAMPLES)
def test_an_event_is_a_line(event, text):
    assert line(event) == text


@pytest.mark.parametrize("event", [event for event, _ in EXAMPLES])
def test_an_event_is_json_data_with_its_name(event):
    data = json.loads(json.dumps(as_data(event)))
    assert data.keys() == {"event", *event._fields}


def test_names_of_events_are_in_snake_case():
    assert as_data(events.NodeStarted("a")) == {"event": "node_started", "node": "a"}


@pytest.mark.parametrize(("event", "text"), EXAMPLES)
def test_an_event_from_a_server_has_the_same_line(event, text):
    if isinstance(event, events.NodePreview):  # never told as JSON
        return
    data = json.loads(json.dumps(as_data(event)))
    assert line(from_data(data)) == text
    assert from_data(data) == event


def test_a_file_of_a_server_goes_by_its_name():
    data = {"event": "node_output", "node": "save", "name": "a.png", "media_type": "image/png"}
    assert line(from_data(data)) == "save: saved a.png"


@pytest.mark.parametrize(
    "data", [{}, {"event": "job", "state": "done"}, {"event": "node_started"}, {"event": 1}]
)
def test_what_is_no_event_of_a_run_is_none(data):
    assert from_data(data) is None


def test_only_plain_values_are_printed_whole():
    assert described([1, 2.5, "a", None, {"b": (True,)}]) == [1, 2.5, "a", None, {"b": [True]}]
    assert described(Picture((1, 2))) == {"type": "Picture", "shape": [1, 2]}
    assert described(object()) == {"type": "object"}


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 us"),
        (12e-6, "12 us"),
        (0.0041, "4.1 ms"),
        (0.25, "250 ms"),
        (3.14, "3.1 s"),
        (125, "2 min 5 s"),
    ],
)
def test_times_are_written_as_people_read_them(seconds, text):
    assert duration(seconds) == text


def test_of_a_flood_of_progress_ten_lines_a_second_are_shown(capsys):
    ticks = iter(range(1000))
    lines = Lines(lambda: next(ticks) / 100)
    for call in range(200):
        lines(events.BodyFinished("a", call, False))
    lines(events.RunEnded("done", 2.0))
    told = capsys.readouterr().err.splitlines()
    assert 18 <= len(told) <= 22
    assert told[-1] == "done in 2.0 s"


def test_of_what_happens_in_bodies_only_files_and_failures_have_lines(capsys):
    lines = Lines(lambda: 0.0)
    lines(events.RunPlanned(("loop",), (), ()))
    for event in (events.NodeStarted, events.NodeCached):
        lines(event("loop"))
        lines(event("inner"))
    lines(events.NodeFinished("inner", 1.0))
    lines(events.NodeOutput("inner", "a.png", "image/png"))
    lines(events.NodeFailed("inner", "inner", "no"))
    told = capsys.readouterr().err.splitlines()
    assert told[1:] == ["loop: started", "loop: cached", "inner: saved a.png", "inner: failed: no"]


def test_a_loop_that_tells_its_progress_is_not_told_twice(capsys):
    ticks = iter(range(100))
    lines = Lines(lambda: next(ticks))
    for call in range(1, 4):
        lines(events.NodeProgress("loop", call, 3))
        lines(events.BodyFinished("loop", call, False))
    assert capsys.readouterr().err.splitlines() == ["loop: 1 of 3", "loop: 2 of 3", "loop: 3 of 3"]


def test_the_bar_counts_nodes_and_parts_of_nodes():
    out = io.StringIO()
    progress = Progress(console=Console(file=out, force_terminal=True))
    bar = Bar(progress)
    (task,) = progress.tasks
    bar(events.RunPlanned(("a", "b", "c", "d"), (), ()))
    bar(events.NodeStarted("a"))
    assert (task.total, task.completed, task.description) == (4, 0, "a")
    bar(events.BodyFinished("a", 7, False))
    assert task.description == "a, round 7"
    bar(events.NodeProgress("a", 5, 10))
    bar(events.BodyFinished("a", 8, False))
    assert (task.completed, task.description) == (0.5, "a 5 of 10")
    bar(events.NodeStarted("inner"))  # in a body: no step of the plan
    bar(events.NodeFinished("inner", 1.0))
    assert task.completed == 0.5
    bar(events.NodeFinished("a", 1.0))
    bar(events.NodeFailed("b", "b", "ValueError: [no] markup"))
    assert task.completed == 2
    assert "b: failed: ValueError: [no] markup" in out.getvalue()
    bar(events.RunPlanned(("a", "b"), ("c",), ()))  # begun anew
    bar(events.NodeStarted("a"))
    assert (task.total, task.completed) == (2, 0)
