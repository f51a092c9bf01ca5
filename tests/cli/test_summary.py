"""What became of each node."""

from __future__ import annotations

import io

from rich.console import Console
from samples import TYPES

from graphengine import events
from graphengine.cli.summary import Summary
from graphengine.workflow import Workflow

NODE = {"type": "t.t"}
BODY = {"graph": {"inputs": ["x"], "outputs": {"x": "step.v"}, "nodes": {"step": NODE, "quiet": NODE}}}
LOOP = {"type": "t.t", "inputs": {"body": BODY}}
NODES = {"a": NODE, "loop": LOOP, "b": NODE, "c": NODE, "unwanted": NODE}
WHOLE = Workflow.of({"format": 1, "nodes": NODES})


def rows(summary: Summary, workflow: Workflow = WHOLE) -> list[str]:
    out = io.StringIO()
    Console(file=out, width=200).print(summary.table(workflow, TYPES))
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


def test_the_nodes_of_a_sub_workflow_stand_where_it_is_run_and_what_is_left_out_says_so():
    def linked(type, to, **fields):
        return {"type": type, "inputs": {"a": {"link": to}}} | fields

    plus = {"inputs": {"a": "n.a"}, "outputs": {"v": "m.value"}}
    plus["nodes"] = {"n": {"type": "t.add", "inputs": {"b": 1}}, "m": linked("t.add", "n.value")}
    plus["nodes"]["m"]["inputs"]["b"] = 2
    body = {
        "graph": {"inputs": ["x", "i"], "outputs": {"x": "q.v"}, "nodes": {"q": linked("graph:plus", "x")}}
    }
    body["graph"]["nodes"]["o"] = linked("t.show", "q.v", state="muted")
    nodes = {
        "p": {"type": "graph:plus", "inputs": {"a": 1}},
        "f": {"type": "t.fold", "inputs": {"start": {"link": "p.v"}, "over": [1], "body": body}},
        "off": linked("t.split", "f.result", state="muted"),
        "by": linked("graph:plus", "f.result", state="bypassed"),
        "after": linked("t.split", "off.low"),
        "end": linked("t.split", "by.v"),
    }
    data = {"format": 1, "nodes": nodes, "graphs": {"plus": plus}}
    summary = Summary()
    summary(events.RunPlanned(("p/n", "p/m", "f"), (), ("end",)))
    for id in ("p/n", "p/m", "q/n", "q/m", "f"):
        summary(events.NodeFinished(id, 1.0))
    assert rows(summary, Workflow.of(data)) == [
        "p/n t.add ran 1.0 s",
        "p/m t.add ran 1.0 s",
        "f t.fold ran 1.0 s",
        "q/n t.add ran 1.0 s",
        "q/m t.add ran 1.0 s",
        "o t.show muted",
        "off t.split muted",
        "by graph:plus bypassed",
        "after t.split muted",
        "end t.split not needed",
    ]
