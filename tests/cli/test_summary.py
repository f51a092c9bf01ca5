"""What became of each node."""

from __future__ import annotations

import io

from rich.console import Console

from graphengine import events
from graphengine.cli.summary import Summary
from graphengine.workflow import Workflow

NODE = {"type": "t.t"}
BODY = {"graph": {"inputs": ["x"], "outputs": {"x": "step.v"}, "nodes": {"step": NODE, "quiet": NODE}}}
LOOP = {"type": "t.t", "inputs": {"body": BODY}}
NODES = {"a": NODE, "loop": LOOP, "b": NODE, "c": NODE, "unwanted": NODE}
WORKFLOW = Workflow.of({"format": 1, "nodes": NODES})


def rows(summary: Summary) -> list[str]:
    out = io.StringIO()
    Console(file=out, width=200).print(summary.table(WORKFLOW))
    return [" ".join(line.split()) for line in out.getvalue().splitlines()[1:]]


def told(*some: events.Event) -> list[str]:
    summary = Summary()
    for event in some:
        summary(event)
    return rows(summary)


def test_each_node_has_a_row_with_its_state_and_its_time():
    assert told(
        events.RunPlanned(("loop", "b"), ("a",), ("c",)),
        events.NodeStarted("loop"),
        *[events.NodeStarted("step"), events.NodeFinished("step", 0.25)] * 2,
        events.NodeCached("step"),
        events.NodeFinished("loop", 0.75),
        events.NodeStarted("b"),
        events.NodeFailed("b", "b", "no"),
    ) == [
        "a t.t cached",
        "loop t.t ran 750 ms",
        "step t.t ran x 2 500 ms",
        "b t.t failed",
        "c t.t not needed",
        "unwanted t.t not needed",
    ]


def test_after_a_cancel_it_says_where_the_run_stopped():
    shown = told(
        events.RunPlanned(("a", "b"), (), ()), events.NodeStarted("a"), events.RunEnded("cancelled", 1.0)
    )
    assert shown[0] == "a t.t stopped"
    assert "b t.t not run" in shown


def test_what_a_failure_holds_back_names_its_cause():
    shown = told(events.RunPlanned(("a", "b"), (), ()), events.NodeFailed("b", "a", "no"))
    assert "b t.t not run: a failed" in shown


def test_a_plan_says_what_would_run():
    shown = rows(Summary.of_plan(events.RunPlanned(("b",), ("a",), ("c",))))
    assert shown[0] == "a t.t cached"
    assert "b t.t would run" in shown
