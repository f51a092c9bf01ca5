from __future__ import annotations

import json
from typing import Any

from laws.nodes import TYPES
from samples import body, call, link, ran

from graphengine import events
from graphengine.authoring import node
from graphengine.cache import Cache
from graphengine.check import check
from graphengine.executor import Executor
from graphengine.planner import plan
from graphengine.signature import read
from graphengine.workflow import Workflow

drawn: list[int] = []


@node(cache="none")
def draw() -> int:
    """Another number each time."""
    drawn.append(len(drawn))
    return len(drawn)


KNOWN = TYPES | {"law.draw": read(draw, "law", "")}


def law(type: str, **inputs: Any) -> dict[str, Any]:
    """A node of the types for the laws."""
    return {"type": f"law.{type}", "inputs": inputs}


def run(
    nodes: dict[str, Any], cache: Cache | None = None, **outputs: str
) -> tuple[dict[str, Any], list[Any]]:
    """What comes out, and what happened."""
    workflow, told = (
        Workflow.parse(json.dumps({"format": 1, "nodes": nodes, "outputs": outputs})),
        list[Any](),
    )
    assert check(workflow, KNOWN) == []
    ran.clear()
    drawn.clear()
    cache = Cache() if cache is None else cache
    return Executor(cache).run(plan(workflow, KNOWN, cache), told.append), told


def test_of_two_equal_calls_the_one_that_runs_first_is_the_one_that_runs() -> None:
    """A batch waits for all else; its twin, which only a Lazy asks for, does not wait with it."""
    nodes = {
        "a": law("exact", model=1, x=2, cond=3),
        "b": law("exact", model=1, x=2, cond=3),
        "s": call("switch", first=True, a=link("b.value"), b=0),
    }
    assert run(nodes, a="a.value", s="s.result")[0] == {"a": 20, "s": 20}
    assert ran.count("exact") == 1


def test_what_a_loop_may_ask_for_runs_before_it_and_once() -> None:
    """A batch waits for all else, but not for what needs it behind a hoisted step."""
    inner = body(["x", "i"], {"x": "n.value"}, h=call("add", a=link("m.value"), b=1))
    inner["graph"]["nodes"]["n"] = call("total", items=[link("x"), link("i"), link("h.value")])
    nodes = {
        "e": law("exact", model=1, x=2, cond=3),
        "m": call("add", a=link("e.value"), b=0),
        "f": call("fold", start=0, over=[1, 2], body=inner),
        "o": law("odd", a=link("m.value")),
    }
    outputs, told = run(nodes, f="f.result", o="o.value")
    assert outputs == {"f": 3 + 2 * 21, "o": False}
    started = [e.node for e in told if isinstance(e, events.NodeStarted)]
    assert len(started) == len(set(started))
    assert ran.count("exact") == 1


def test_what_gives_something_else_each_time_does_so_in_each_call_of_a_body() -> None:
    """And so does what follows it, in that body and in those within."""
    deeper = body(["y", "j"], {"y": "t.value"}, t=call("total", items=[link("y"), link("d.value")]))
    inner = body(
        ["x", "i"], {"x": "s.value"},
        d=law("draw"), k=call("add", a=link("d.value"), b=0),
        f=call("fold", start=0, over=[1, 1], body=deeper),
        s=call("total", items=[link("x"), link("k.value"), link("f.result")]),
    )  # fmt: skip
    nodes = {"loop": call("fold", start=0, over=[0, 0, 0], body=inner)}
    cache = Cache()
    for _ in range(2):
        assert run(nodes, cache, v="loop.result")[0] == {"v": 3 * (1 + 2 + 3)}
        assert len(drawn) == 3


def test_a_loop_in_a_loop_runs_anew_where_something_in_it_gives_something_else_each_time() -> None:
    deeper = body(["y", "j"], {"y": "t.value"}, e=law("draw"), t=call("add", a=link("y"), b=link("e.value")))
    inner = body(
        ["x", "i"], {"x": "s.value"},
        f=call("fold", start=0, over=[0, 0], body=deeper), s=call("add", a=link("x"), b=link("f.result")),
    )  # fmt: skip
    nodes = {"loop": call("fold", start=0, over=[0, 0], body=inner)}
    assert run(nodes, v="loop.result")[0] == {"v": 1 + 2 + 3 + 4}
