"""What is asked of a workflow as a graph."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from graphengine.analysis import cycles, digraph, layers, outside, rounds, shown
from graphengine.graph import Link
from graphengine.nodetype import NodeType, Port
from graphengine.workflow import Workflow


def node(**inputs: Any) -> dict[str, Any]:
    """A node; an input that is a text is a link."""
    return {"type": "t.t", "inputs": {n: {"link": v} if isinstance(v, str) else v for n, v in inputs.items()}}


def body(inputs: list[str], outputs: dict[str, str], **nodes: Any) -> dict[str, Any]:
    return {"graph": {"inputs": inputs, "outputs": outputs, "nodes": nodes}}


def workflow(**nodes: Any) -> Workflow:
    return Workflow.of({"format": 1, "nodes": nodes})


NESTED = workflow(
    start=node(),
    around=node(),
    loop=node(
        first="start.v",
        body=body(
            ["x"],
            {"x": "inner.v"},
            inner=node(
                a="x", body=body(["y"], {"y": "deep.v"}, deep=node(a="y", b="x", c="around.v", d="around.w"))
            ),
        ),
    ),
    last=node(a="loop.v"),
)


def test_a_body_depends_on_what_its_owner_is_given_and_the_owner_on_what_it_gives():
    assert set(digraph(NESTED).edges) == {
        ("start", "loop"), ("start", "inner"), ("inner", "loop"), ("deep", "inner"), ("around", "deep"),
        ("loop", "last"),
    }  # fmt: skip


def test_each_cycle_is_named_by_the_nodes_along_it():
    looped = workflow(
        a=node(x="c.v"), b=node(x="a.v"), c=node(x="b.v"), me=node(x="me.v"), free=node(x="a.v")
    )
    assert cycles(looped) == [["a", "b", "c", "a"], ["me", "me"]]
    assert cycles(NESTED) == []


def test_what_a_body_uses_from_outside_is_seen_through_the_bodies_in_it():
    outer, inner = NESTED.bodies
    assert outside(NESTED, outer) == [Link("around", "v"), Link("around", "w")]
    assert outside(NESTED, inner) == [Link("x", ""), Link("around", "v"), Link("around", "w")]


def test_how_a_body_is_called_is_read_off_the_types_of_its_owner():
    graph = NESTED.bodies[0]
    ports = {
        "first": Port("first", "~T"),
        "over": Port("over", ("list", "~S")),
        "body": Port("body", "~T", "body", params=("~T", "~S")),
    }
    fold = NodeType("t.t", "", "", "", "", "", ports, {"v": "~T"}, "")
    assert rounds(graph, fold) == ({"x": "first"}, {"x": "x"})
    ports["body"] = Port("body", "~R", "body", params=("~S",))  # of map: nothing is carried along
    assert rounds(graph, fold) == ({"x": "each of over"}, {})


def test_without_its_owners_type_a_carried_value_is_known_by_its_name():
    assert rounds(NESTED.bodies[0], None) == ({}, {"x": "x"})
    assert rounds(NESTED.bodies[1], None) == ({}, {"y": "y"})


names = st.integers(0, 12).map(str)


@given(st.lists(st.tuples(names, names)))
def test_columns_hold_every_name_once_and_no_edge_runs_backwards_unless_on_a_cycle(edges):
    every = [str(i) for i in range(13)]
    columns = layers(edges, every)
    assert sorted(name for column in columns for name in column) == sorted(every)
    at = {name: i for i, column in enumerate(columns) for name in column}
    if all(a < b for a, b in ((int(a), int(b)) for a, b in edges)):  # no cycle
        assert all(at[a] < at[b] for a, b in edges)
    else:
        assert all(at[a] <= at[b] for a, b in edges)


def test_a_source_is_drawn_beside_what_uses_it():
    assert layers([("a", "b"), ("b", "c"), ("late", "c")], ["a", "b", "c", "late"]) == [
        ["a"],
        ["b", "late"],
        ["c"],
    ]


def test_long_values_are_cut():
    assert shown("a" * 34) == "a" * 34
    assert shown("a" * 35) == "a" * 33 + "…"
    assert [shown(v) for v in ("", None, True, 1.5, [1, "b"])] == ['""', "null", "true", "1.5", '[1, "b"]']
