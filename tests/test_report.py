"""Report: what a worker says of a run is little, in order, whole where it matters, and says no paths."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from graphengine import events
from graphengine.report import IDS, PICTURES, Report, discreet, failures, told


class Heard:
    """What a Report sends, with a clock that stands still."""

    def __init__(self) -> None:
        self.texts: list[str] = []
        self.pictures: list[tuple[str, tuple[int, int]]] = []
        self.now = 0.0
        self.report = Report(self.texts.extend, self.shown, lambda: self.now)

    def shown(self, node: str, picture: Any) -> None:
        self.pictures.append((node, picture.size))

    def close(self) -> list[dict[str, Any]]:
        self.report.close()
        return [json.loads(text) for text in self.texts]


def test_everything_outside_of_loops_is_told_in_order() -> None:
    heard = Heard()
    heard.report(events.RunPlanned(("a", "b"), ("c",), ()))
    for node in "ab":
        heard.report(events.NodeStarted(node))
        heard.report(events.NodeFinished(node, 0.5))
    heard.report(events.RunEnded("done", 1.0))
    told = [(data["event"], data.get("node")) for data in heard.close()]
    assert told == [
        ("run_planned", None), ("node_started", "a"), ("node_finished", "a"), ("node_started", "b"),
        ("node_finished", "b"), ("run_ended", None),
    ]  # fmt: skip


def test_of_rounds_that_come_faster_than_they_are_sent_the_last_is_told() -> None:
    heard = Heard()
    with heard.report.change:  # nothing is sent meanwhile
        heard.report(events.RunPlanned(("loop",), (), ()))
        for number in range(1, 1001):
            heard.report(events.NodeStarted("inner"))
            heard.report(events.NodeFinished("inner", 0.001))
            heard.report(events.BodyFinished("loop", number, False, 0.002))
            heard.report(events.NodeProgress("loop", number, 1000))
    told = heard.close()
    assert [data["event"] for data in told] == [
        "run_planned",
        "node_finished",
        "body_finished",
        "node_progress",
    ]
    assert (told[2]["call"], told[3]["done"]) == (1000, 1000)


def test_a_failure_in_a_loop_is_never_replaced() -> None:
    heard = Heard()
    with heard.report.change:
        heard.report(events.RunPlanned((), (), ()))
        heard.report(events.NodeFailed("inner", "inner", "first"))
        heard.report(events.NodeFailed("inner", "inner", "second"))
    assert [data["error"] for data in heard.close()[1:]] == ["first", "second"]


def test_a_plan_of_many_nodes_is_told_in_parts_that_fit_an_event() -> None:
    parts = told(events.RunPlanned(tuple(f"n{i}" for i in range(2 * IDS + 1)), ("c",), ()))
    assert [len(part["steps"]) for part in parts] == [IDS, IDS, 1]
    assert [len(part["cached"]) for part in parts] == [1, 0, 0]
    assert len(told(events.RunPlanned((), (), ()))) == 1


def test_pictures_are_small_and_not_more_than_can_be_seen() -> None:
    heard = Heard()
    for _ in range(10):
        heard.report(events.NodePreview("a", torch.rand(2, 1024, 256, 3)))
    heard.now += PICTURES
    heard.report(events.NodePreview("a", torch.rand(1, 8, 8, 1)))
    heard.report(events.NodePreview("b", torch.rand(3, 4)))  # no picture
    heard.close()
    assert heard.pictures == [("a", (128, 512)), ("a", (8, 8))]


def test_a_saved_file_is_told_by_its_name_alone() -> None:
    (data,) = told(events.NodeOutput("save", "/home/anna/data/staging/x/picture_0001.png", "image/png"))
    assert data == {
        "event": "node_output",
        "node": "save",
        "name": "picture_0001.png",
        "media_type": "image/png",
    }


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("there is no file '/home/anna/secret/a.png'; check it", "there is no file 'a.png'; check it"),
        ("Put it into one of: /srv/models, ~/models/x", "Put it into one of: models, x"),
        (r"C:\Users\anna\a.bin is damaged", "a.bin is damaged"),
        ("a ratio of 1/2, and/or more; image/png", "a ratio of 1/2, and/or more; image/png"),
        ("see https://example.org/a/b", "see https://example.org/a/b"),
        ("/etc/passwd", "passwd"),
        ("nothing here", "nothing here"),
    ],
)
def test_no_folder_of_this_machine_is_told(text: str, said: str) -> None:
    assert discreet(text) == said


def test_why_a_run_failed_is_short() -> None:
    text = failures([(f"n{i}", ValueError(f"in {Path.home()}/x/y.py")) for i in range(20)])
    assert text.splitlines()[0] == "n0: ValueError: in y.py"
    assert text.splitlines()[-1] == "and 12 more"
    assert failures([("a", KeyError())]) == "a: KeyError"
    assert len(discreet("x" * 10_000)) < 5000
