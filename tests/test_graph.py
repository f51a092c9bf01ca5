from __future__ import annotations

import gc

import pytest

from graphengine import graph
from graphengine.graph import Graph, Link, links, no_collection


def test_a_link_reads_as_it_is_written() -> None:
    assert str(Link("a", "value")) == "a.value"
    assert str(Link("x", "")) == "x"


def test_links_in_lists_count_and_literals_do_not() -> None:
    inputs = {
        "a": Link("a", "v"),
        "b": (Link("b", "v"), 3, Link("x", "")),
        "c": "a.v",
        "d": [1],
        "e": Graph(),
    }
    assert [*links(inputs)] == [("a", "v"), ("b", "v"), ("x", "")]


def test_a_graph_comes_before_those_around_it() -> None:
    root = Graph()
    outer = Graph(parent=root)
    inner = Graph(parent=outer)
    assert [*inner.chain()] == [inner, outer, root]


def test_graphs_are_told_apart_by_identity() -> None:
    assert Graph() != Graph()
    assert len({Graph(), Graph()}) == 2


def test_the_collector_is_held_and_let_go_after_a_failure_too() -> None:
    assert gc.isenabled()

    def fail() -> None:
        with no_collection():
            assert not gc.isenabled()
            raise ValueError("x")

    with pytest.raises(ValueError, match="x"):
        fail()
    assert gc.isenabled()


def test_a_collector_that_is_off_stays_off() -> None:
    gc.disable()
    try:
        with no_collection():
            pass
        assert not gc.isenabled()
    finally:
        gc.enable()


def test_only_very_many_new_objects_are_taken_for_old_unseen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(graph, "MANY", 500)
    with no_collection():
        many = [[i] for i in range(1_000)]
    old = {*map(id, gc.get_objects(generation=2))}
    assert id(many[0]) in old
    assert gc.get_count()[0] < 500
    with no_collection():
        few = [[i] for i in range(100)]
    assert id(few[0]) not in {*map(id, gc.get_objects(generation=2))}
