from __future__ import annotations

import json
import weakref
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from samples import TYPES, body, call, chain, file, link, run, shuffled, tree

from graphengine.authoring import node
from graphengine.cache import Cache
from graphengine.check import check
from graphengine.executor import Executor
from graphengine.graph import no_collection
from graphengine.plan import GATHER, Order, Plan, Section
from graphengine.planner import plan
from graphengine.signature import read
from graphengine.workflow import Workflow


def planned(text: str, cache: Cache | None = None, targets: Any = ()) -> Plan:
    return plan(Workflow.parse(text), TYPES, cache or Cache(), targets)


def names(order: Order) -> list[Any]:
    """The order with batches as tuples; the silent steps that make lists have stars."""
    return [
        tuple(s.node for s in step)
        if isinstance(step, tuple)
        else f"*{step.node}"
        if step.type is GATHER
        else step.node
        for step in order
    ]


def sections(section: Section) -> dict[str, Section]:
    """Every body in a section, by its owner."""
    found = {}
    for step in section.steps:
        for _, inner in step.bodies:
            found |= {step.node: inner} | sections(inner)
    return found


PREDICTIONS = {
    "cond": call("predict", model=link("w.value"), x=link("x"), cond=1),
    "uncond": call("predict", model=link("w.value"), x=link("x"), cond=0),
    "other": call("predict", model=2, x=link("x"), cond=0),
    "guided": call("add", a=link("cond.value"), b=link("uncond.value")),
    "next": call("add", a=link("guided.value"), b=link("other.value")),
}
SAMPLER = file(
    {"v": "f.result"},
    w=call("add", a=3, b=4),
    c=call("count", n=3),
    f=call("fold", start=0, over=link("c.value"), body=body(["x", "i"], {"x": "next.value"}, **PREDICTIONS)),
    p=call("show", value=link("f.result")),
    unused=call("broken", a=1),
)


def test_sources_run_first_and_what_nothing_needs_is_skipped() -> None:
    found = planned(SAMPLER)
    assert sorted(found.steps) == ["c", "f", "p", "w"]
    assert found.steps.index("w") < found.steps.index("f") < found.steps.index("p")
    assert found.skipped == ("unused",)
    assert found.cached == ()


def test_independent_calls_of_one_kind_on_equal_shared_inputs_are_one_batch() -> None:
    inner = sections(planned(SAMPLER).root)["f"]
    assert names(inner.order) == [("cond", "uncond"), "guided", "other", "next"]


def test_calls_outside_of_bodies_are_no_batch_unless_exact() -> None:
    nodes = {name: call("predict", model=1, x=2, cond=i) for i, name in enumerate("ab")}
    text = file({"v": "t.value"}, **nodes, t=call("total", items=[link("a.value"), link("b.value")]))
    assert names(planned(text).order) == ["a", "b", "*t", "t"]


def test_calls_that_depend_on_each_other_are_no_batch() -> None:
    inner = {
        "one": call("predict", model=1, x=link("x"), cond=1),
        "two": call("predict", model=1, x=link("one.value"), cond=1),
        "three": call("predict", model=1, x=link("x"), cond=2),
        "end": call("total", items=[link("two.value"), link("three.value")]),
    }
    text = file(
        {"v": "f.result"},
        f=call("fold", start=0, over=[1], body=body(["x", "i"], {"x": "end.value"}, **inner)),
    )
    assert names(sections(planned(text).root)["f"].order) == [("one", "three"), "two", "*end", "end"]


def test_what_is_the_same_in_each_round_stands_outside_of_the_body() -> None:
    inner = {
        "fixed": call("add", a=link("w.value"), b=1),
        "also": call("add", a=link("fixed.value"), b=2),
        "step": call("add", a=link("x"), b=link("also.value")),
    }
    loop = call("fold", start=0, over=[1, 2], body=body(["x", "i"], {"x": "step.value"}, **inner))
    text = file({"v": "f.result"}, w=call("add", a=1, b=1), f=loop)
    found = planned(text)
    inside = sections(found.root)["f"]
    assert names(inside.order) == ["step"]
    assert sorted(s.node for s in found.root.steps) == ["also", "f", "fixed", "w"]
    assert len(inside.captures) == 1
    assert len(inside.deferred) == 1
    assert found.steps == ("f",)  # what is hoisted runs when the body is first called


def test_a_link_into_a_body_is_needed_before_its_owner_starts() -> None:
    inside = sections(planned(SAMPLER).root)["f"]
    assert len(inside.eager) == 1
    assert inside.deferred == ()


def test_a_step_of_an_inner_loop_that_depends_on_the_outer_one_lives_there() -> None:
    inner = {"deep": call("add", a=link("y"), b=link("mid.value")), "mid": call("add", a=link("x"), b=1)}
    whole = body(
        ["x"],
        {"r": "g.result"},
        g=call("fold", start=link("x"), over=[1, 2], body=body(["y", "j"], {"y": "deep.value"}, **inner)),
    )
    found = planned(file({"v": "m0.result"}, m0=call("map", over=[1, 2], body=whole)))
    assert names(sections(found.root)["g"].order) == ["deep"]
    assert "mid" in [s.node for s in sections(found.root)["m0"].steps]


def test_a_lazy_input_is_not_planned_until_it_is_asked_for() -> None:
    nodes = {"a": call("add", a=1, b=1), "b": call("add", a=2, b=2)}
    found = planned(
        file({"v": "s.result"}, **nodes, s=call("switch", first=True, a=link("a.value"), b=link("b.value")))
    )
    assert found.steps == ("s",)
    assert found.skipped == ("a", "b")


def test_nodes_with_one_key_are_twins_in_one_section() -> None:
    found = planned(file({"x": "a.value", "y": "b.value"}, a=call("add", a=1, b=2), b=call("add", a=1, b=2)))
    first, second = found.root.steps
    assert first.key == second.key
    assert second.twin is first


def test_targets_are_planned_alone() -> None:
    found = planned(SAMPLER, targets=["w"])
    assert found.steps == ("w",)
    assert [*found.outputs] == ["w.value"]


def test_an_effect_can_be_a_target() -> None:
    assert planned(SAMPLER, targets=["p"]).steps[-1] == "p"
    assert planned(SAMPLER, targets=["p"]).outputs == {}


def test_a_hit_needs_none_of_its_sources() -> None:
    cache = Cache()
    text = file({"v": "c.value"}, a=call("add", a=1, b=2), b=call("add", a=link("a.value"), b=1),
                c=call("add", a=link("b.value"), b=1))  # fmt: skip
    run(text, cache)
    found = planned(text, cache)
    assert found.steps == ()
    assert set(found.cached) == {"a", "b", "c"}


def test_what_may_not_be_cached_is_planned_each_time() -> None:
    cache = Cache()
    text = file({"v": "b.value"}, a=call("clock"), b=call("add", a=link("a.value"), b=1))
    run(text, cache)
    assert planned(text, cache).steps == ("a", "b")


def test_a_body_that_is_not_run_is_no_step() -> None:
    nodes = {"m0": call("map", over=[1], body=body(["x"], {"y": "m.value"}, m=call("broken", a=link("x"))))}
    found = planned(file({"v": "a.value"}, **nodes, a=call("add", a=1, b=1)))
    assert found.steps == ("a",)
    assert found.skipped == ("m0",)


def keys(found: Plan) -> dict[str, bytes]:
    every = [found.root, *sections(found.root).values()]
    return {s.node: s.key for section in every for s in section.steps if s.type is not GATHER}


@pytest.mark.parametrize("text", [SAMPLER, chain(30), tree(31)])
@given(st.integers(0, 1000))
def test_keys_do_not_depend_on_the_order_of_the_file(text: str, seed: int) -> None:
    assert keys(planned(shuffled(text, seed))) == keys(planned(text))


@given(st.integers(0, 1000))
def test_batches_do_not_depend_on_the_order_of_the_file(seed: int) -> None:
    inner = json.loads(shuffled(json.dumps({"nodes": PREDICTIONS}), seed))["nodes"]
    data = json.loads(SAMPLER)
    data["nodes"]["f"]["inputs"]["body"]["graph"]["nodes"] = inner
    order = names(sections(planned(json.dumps(data)).root)["f"].order)
    assert [sorted(s) for s in order if isinstance(s, tuple)] == [["cond", "uncond"]]


def test_planning_twice_gives_the_same() -> None:
    assert names(planned(SAMPLER).order) == names(planned(SAMPLER).order)


# -- what check accepts can start ----------------------------------------------------------------------------


def test_whole_numbers_in_a_list_of_numbers_are_the_same_as_floats() -> None:
    @node
    def mean(x: list[float]) -> float:
        return sum(x) / len(x)

    types = {"t.mean": read(mean, "t", "")}
    first, second = (
        plan(Workflow.parse(file({"v": "a.value"}, a=call("mean", x=x))), types, Cache()).root.steps[0].key
        for x in ([1, 0.5], [1.0, 0.5])
    )
    assert first == second


def test_an_effect_in_a_body_that_reads_an_argument_of_an_outer_body_is_planned() -> None:
    whole = body(
        ["x"],
        {"r": "g.result"},
        g=call("map", over=[1], body=body(["y"], {"y": "y"}, s=call("show", value=link("x")))),
    )
    assert planned(file({"v": "m0.result"}, m0=call("map", over=[1], body=whole))).steps == ("m0",)


PLUS = json.loads(file({"value": "n.value"}, n=call("add", a=1, b=2)))
SUB_WORKFLOWS = json.dumps(
    json.loads(file({"v": "b.value"}, a=call("add", a=1, b=2), b={"type": "graph:plus"}))
    | {"graphs": {"plus": PLUS}}
)


@pytest.mark.parametrize("text", [chain(3), SAMPLER, SUB_WORKFLOWS], ids=["chain", "bodies", "sub-workflows"])
def test_a_workflow_and_its_plan_go_with_the_last_who_holds_them(text: str) -> None:
    """They are no part of a cycle, so a large one gives its memory back at once."""
    with no_collection():
        workflow, cache = Workflow.parse(text), Cache()
        check(workflow, TYPES)
        found = plan(workflow, TYPES, cache)
        assert Executor(cache).run(found)
        held = weakref.ref(workflow), weakref.ref(found.root)
        del workflow, found
        assert [each() for each in held] == [None, None]
