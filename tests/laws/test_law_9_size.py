"""Law 9: no graph is too deep, too wide or too odd: cost is linear, and nothing recurses over the graph.

Chains, trees and fans of 100,000 nodes stand in `test_executor.py`, and what a node may cost in
`test_speed.py`.
"""

from __future__ import annotations

from collections.abc import Callable
from time import process_time
from typing import Any

import pytest
from laws.nodes import TYPES
from laws.running import run
from samples import body, call, link, ran

from graphengine.cache import Cache
from graphengine.check import check
from graphengine.expansion import LARGEST, PARTS
from graphengine.reader import DEPTH
from graphengine.workflow import Workflow


def file(outputs: dict[str, str], nodes: dict[str, Any], **graphs: Any) -> Any:
    """A file."""
    return {"format": 1, "outputs": outputs, "nodes": nodes, "graphs": graphs}


def graph(a: str, value: str, /, **nodes: Any) -> Any:
    """A sub-workflow with one input and one output."""
    return {"inputs": {"a": a}, "outputs": {"value": value}, "nodes": nodes}


def runs(name: str, a: Any, state: str = "") -> Any:
    """A node that runs it."""
    return {"type": f"graph:{name}", "inputs": {"a": a}} | ({"state": state} if state else {})


PLUS = graph("n.a", "n.value", n=call("add", a=0, b=1))


def chain(n: int) -> Any:
    """Each node runs the same sub-workflow on what the one before gave."""
    nodes = {f"r{i}": runs("plus", link(f"r{i - 1}.value") if i else 0) for i in range(n)}
    return file({"o": f"r{n - 1}.value"}, nodes, plus=PLUS)


def nest(n: int) -> Any:
    """Each sub-workflow runs the next, and adds one to what it gives."""
    graphs = {
        f"g{i}": graph("r.a", "s.value", r=runs(f"g{i + 1}", 0), s=call("add", a=link("r.value"), b=1))
        for i in range(n)
    }
    return file({"o": "r.value"}, {"r": runs("g0", 0)}, **graphs, **{f"g{n}": PLUS})


def wide(n: int) -> Any:
    """A list of what that many runs of a sub-workflow give."""
    nodes = {f"r{i}": runs("plus", i) for i in range(n)}
    nodes["t"] = call("total", items=[link(f"r{i}.value") for i in range(n)])
    return file({"o": "t.value"}, nodes, plus=PLUS)


def muted(n: int) -> Any:
    """A list of what needs, one way or another, something muted; but for the last."""
    nodes: dict[str, Any] = {"m": call("add", a=0, b=0) | {"state": "muted"}}
    nodes |= {f"n{i}": call("add", a=link(f"n{i - 1}.value" if i % 2 else "m.value"), b=1) for i in range(n)}
    nodes |= {"last": call("add", a=0, b=1)}
    nodes["t"] = call("total", items=[*(link(f"n{i}.value") for i in range(n)), link("last.value")])
    return file({"o": "t.value"}, nodes)


def bypassed(n: int) -> Any:
    """A chain of nodes and sub-workflows that are all bypassed, with one that is not at each end."""
    nodes: dict[str, Any] = {"n0": call("add", a=0, b=1)}
    for i in range(1, n):
        before = link(f"n{i - 1}.value")
        plain = call("add", a=before, b=1) | {"state": "bypassed"}
        nodes[f"n{i}"] = runs("plus", before, "bypassed") if i % 2 else plain
    nodes["last"] = call("add", a=link(f"n{n - 1}.value"), b=0)
    return file({"o": "last.value"}, nodes, plus=PLUS)


def passed(n: int) -> Any:
    """A bypassed sub-workflow with many inputs of one type and many outputs of another."""
    nodes: dict[str, Any] = {f"n{i}": call("bounded") for i in range(n)}
    many = {
        "inputs": {f"in{i}": f"n{i}.scale" for i in range(n)},
        "outputs": {f"out{i}": f"m{i}.value" for i in range(n)},
        "nodes": nodes | {f"m{i}": call("add", a=0, b=i) for i in range(n)},
    }
    return file({}, {"r": {"type": "graph:many", "inputs": {}, "state": "bypassed"}}, many=many)


def unknown(n: int) -> Any:
    """Mistakes everywhere."""
    nodes = {f"r{i}": runs(f"gone{i}", link(f"r{i}.value")) | {"inputs": {f"b{i}": 1}} for i in range(n)}
    nodes |= {f"s{i}": runs("plus", 0) | {"inputs": {f"b{i}": 1}} for i in range(n)}
    return file({}, nodes, plus=PLUS, **{f"h{i}": PLUS for i in range(n)})


SHAPES = {chain: 5000, wide: 5000, muted: 20_000, bypassed: 10_000, nest: 1000}


@pytest.mark.parametrize(("shape", "n"), SHAPES.items(), ids=lambda v: getattr(v, "__name__", ""))
def test_a_large_file_runs_and_is_found_again(shape: Callable[[int], Any], n: int) -> None:
    cache, wanted = (
        Cache(),
        {chain: n, wide: n * (n + 1) // 2 % 1_000_003, muted: 1, bypassed: 1, nest: n + 1},
    )
    assert run(shape(n), cache).outputs == {"o": ("int", wanted[shape])}
    assert run(shape(n), cache).outputs == {"o": ("int", wanted[shape])}
    assert ran == []


def cost(text: Any) -> float:
    """CPU seconds from a file's data to all its problems; the best of three."""

    def once() -> float:
        began = process_time()
        check(Workflow.of(text), TYPES)
        return process_time() - began

    return min(once() for _ in range(3))


def lost(n: int) -> Any:
    """A list in a sub-workflow of which no item is there."""
    total = graph("t.items", "t.value", t=call("total", items=[link(f"gone{i}.value") for i in range(n)]))
    return file({}, {"r": {"type": "graph:sum", "inputs": {}}}, sum=total)


@pytest.mark.parametrize("shape", [chain, wide, muted, bypassed, passed, unknown, lost])
def test_cost_grows_with_the_size_of_a_file_and_no_faster(shape: Callable[[int], Any]) -> None:
    assert cost(shape(4000)) < 3 * 8 * cost(shape(500))


def test_a_sub_workflow_that_doubles_again_and_again_is_refused_at_once() -> None:
    n = 5000
    graphs = {
        f"g{i}": graph("a.a", "b.value", a=runs(f"g{i + 1}", 0), b=runs(f"g{i + 1}", link("a.value")))
        for i in range(n)
    }
    problems = check(Workflow.of(file({}, {"r": runs("g0", 0)}, **graphs, **{f"g{n}": PLUS})), TYPES)
    text = f"write out to more than {LARGEST:,} nodes; use fewer of them"
    assert [str(problem) for problem in problems] == [f"graphs: {text}"]


def test_what_each_run_of_a_sub_workflow_is_given_counts_too() -> None:
    n = 4000
    many = PLUS | {"inputs": {f"in{i}": "n.a" for i in range(n)}}
    nodes = {f"r{i}": {"type": "graph:many", "inputs": {}} for i in range(n)}
    (problem,) = check(Workflow.of(file({}, nodes, many=many)), TYPES)
    text = f"write out to nodes with more than {PARTS:,} inputs and items; use fewer of them"
    assert str(problem) == f"graphs: {text}"


def test_sub_workflows_may_nest_in_thousands_but_their_names_stay_in_memory() -> None:
    assert check(Workflow.of(nest(3000)), TYPES) == []
    problems = check(Workflow.of(nest(30_000)), TYPES)
    text = "nest so deeply that the names of the nodes are too long; put one into another less often"
    assert [str(problem) for problem in problems] == [f"graphs: {text}"]


def nested(depth: int, by_graphs: bool) -> Any:
    """Loops in loops, each written out in the one around it, or in a sub-workflow that this runs."""
    if by_graphs:
        graphs: dict[str, Any] = {f"g{depth}": PLUS}
        for k in range(depth):
            inner = body(["x", "i"], {"x": "r.value"}, r=runs(f"g{k + 1}", link("x")))
            loop = {"type": "flow.fold", "inputs": {"start": 0, "over": [1] if k else [1, 2], "body": inner}}
            graphs[f"g{k}"] = graph("f.start", "f.result", f=loop)
        return file({"o": "r.value"}, {"r": runs("g0", 0)}, **graphs)
    nodes: dict[str, Any] = {"y": call("add", a=link(f"x{depth - 1}"), b=1)}
    for k in reversed(range(depth)):
        last = "y.value" if k == depth - 1 else f"f{k + 1}.result"
        inner = body([f"x{k}", f"i{k}"], {"x": last}, **nodes)
        start = link(f"x{k - 1}") if k else 0
        loop = {"start": start, "over": [1] if k else [1, 2], "body": inner}
        nodes = {f"f{k}": {"type": "flow.fold", "inputs": loop}}
    return file({"o": "f0.result"}, nodes)


@pytest.mark.parametrize("by_graphs", [False, True])
def test_bodies_nest_as_deep_as_the_reader_allows(by_graphs: bool) -> None:
    cache = Cache()
    assert run(nested(DEPTH, by_graphs), cache).outputs == {"o": ("int", 2)}
    assert run(nested(DEPTH, by_graphs), cache).outputs == {"o": ("int", 2)}
    assert ran == []
    (problem,) = check(Workflow.of(nested(DEPTH + 1, by_graphs)), TYPES)
    assert problem.text.startswith(f"bodies are nested deeper than {DEPTH}")


def test_a_list_of_100_000_links_goes_through_a_sub_workflow() -> None:
    n = 100_000
    nodes: dict[str, Any] = {"one": call("add", a=0, b=1)}
    nodes["r"] = runs("sum", [link("one.value")] * n)
    total = graph("t.items", "t.value", t=call("total", items=[]))
    assert run(file({"o": "r.value"}, nodes, sum=total)).outputs == {"o": ("int", n)}


def test_odd_names_and_shapes_mean_what_they_say() -> None:
    """A body that only passes on, a node called like a body's input, one value under many names."""
    long = "n" * 10_000
    passing = body([long], {"a": long})
    nodes = {
        long: call("add", a=1, b=1),
        "x": {"type": "flow.map", "inputs": {"over": [link(f"{long}.value")], "body": passing}},
        "y": {
            "type": "flow.fold",
            "inputs": {"start": link("x.result"), "over": [1], "body": body(["x", "y"], {"out": "x"})},
        },
    }
    outputs = {f"o{i}": "y.result" for i in range(100)}
    assert run(file(outputs, nodes)).outputs == dict.fromkeys(outputs, ("list", [("int", 2)]))
