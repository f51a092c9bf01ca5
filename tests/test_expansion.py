from __future__ import annotations

import json
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
from samples import REGISTRY, TYPES, body, call, link, ran
from samples import run as run_text

from graphengine.cache import Cache
from graphengine.check import check
from graphengine.config import Settings
from graphengine.expansion import Expansion, expansion
from graphengine.graph import Link
from graphengine.registry import Manifest
from graphengine.session import Session
from graphengine.workflow import Workflow


def file(
    nodes: dict[str, Any], outputs: Any = None, inputs: Any = None, graphs: dict[str, Any] | None = None
) -> dict[str, Any]:
    """A file."""
    return {
        "format": 1, "inputs": inputs or {}, "outputs": outputs or {}, "nodes": nodes, "graphs": graphs or {},
    }  # fmt: skip


def graph(inputs: dict[str, str], outputs: dict[str, str], **nodes: Any) -> dict[str, Any]:
    """A sub-workflow."""
    return {"inputs": inputs, "outputs": outputs, "nodes": nodes}


def runs(name: str, **inputs: Any) -> dict[str, Any]:
    """A node that runs a sub-workflow."""
    return {"type": f"graph:{name}", "inputs": inputs}


def muted(node: dict[str, Any]) -> dict[str, Any]:
    return node | {"state": "muted"}


def bypassed(node: dict[str, Any]) -> dict[str, Any]:
    return node | {"state": "bypassed"}


def expanded(data: dict[str, Any]) -> Expansion:
    return expansion(Workflow.of(data), TYPES)


def run(data: dict[str, Any], cache: Cache | None = None) -> dict[str, Any]:
    return run_text(json.dumps(data), cache)


def told(data: dict[str, Any]) -> list[str]:
    return list(map(str, check(Workflow.of(data), TYPES)))


PLUS = graph({"a": "n.a", "b": "n.b"}, {"value": "n.value"}, n=call("add", a=1, b=2))
BLOBS = graph({"blob": "m.blob", "item": "m.item"}, {"blob": "m.blob"}, m=call("mix", item=5))
"""Adds something to a blob that has to be given."""


# -- what it means -------------------------------------------------------------------------------------------


def test_a_file_with_nothing_special_is_its_own_expansion() -> None:
    workflow = Workflow.of(file({"a": call("add", a=1, b=2)}, graphs={"plus": PLUS}))
    assert expansion(workflow, TYPES).workflow is workflow


def test_an_expansion_is_made_once_for_the_same_types() -> None:
    workflow = Workflow.of(file({"r": runs("plus")}, graphs={"plus": PLUS}))
    assert expansion(workflow, TYPES) is expansion(workflow, TYPES)
    assert expansion(workflow, dict(TYPES)) is not expansion(workflow, TYPES)


def test_each_run_of_a_sub_workflow_has_nodes_of_its_own() -> None:
    nodes = {"x": runs("plus", a=10), "y": runs("plus", a=link("x.value"), b=link("x.value"))}
    data = file(nodes, {"v": "y.value"}, graphs={"plus": PLUS})
    assert run(data) == {"v": 24}
    left = expanded(data).workflow
    assert left.nodes.keys() == {"x/n", "y/n"}
    assert left.nodes["y/n"].inputs == {"a": Link("x/n", "value"), "b": Link("x/n", "value")}
    assert left.root.outputs == {"v": Link("y/n", "value")}


def test_sub_workflows_run_others() -> None:
    twice = graph(
        {"a": "x.a"}, {"value": "y.value"}, x=runs("plus"), y=runs("plus", a=link("x.value"), b=100)
    )
    data = file({"t": runs("twice", a=1)}, {"v": "t.value"}, graphs={"twice": twice, "plus": PLUS})
    assert run(data) == {"v": 103}
    assert expanded(data).workflow.nodes.keys() == {"t/x/n", "t/y/n"}


def test_an_input_of_a_node_in_a_body_of_a_sub_workflow_may_be_given() -> None:
    inner = body(["x", "i"], {"x": "s.value"}, s=call("add", a=link("x"), b=0))
    loop = graph({"step": "s.b"}, {"value": "f.result"}, f=call("fold", start=0, over=[1, 2, 3], body=inner))
    nodes = {"one": call("add", a=0, b=1), "r": runs("loop", step=link("one.value"))}
    assert run(file(nodes, {"v": "r.value"}, graphs={"loop": loop})) == {"v": 3}


def test_values_from_around_keep_their_meaning_in_bodies_whose_inputs_have_the_same_names() -> None:
    inner = body(["x", "i"], {"x": "s.value"}, s=call("add", a=link("x"), b=0))
    loop = graph({"step": "s.b"}, {"value": "f.result"}, f=call("fold", start=0, over=[1, 2], body=inner))
    outer = body(["x", "i"], {"x": "r.value"}, r=runs("loop", step=link("x")), i=call("add", a=0, b=0))
    nodes = {
        "f": call("fold", start=1, over=[0, 0], body=outer),
        "s": call("add", a=100, b=0),
        "x": runs("loop", step=link("s.value")),
    }
    data = file(nodes, {"v": "f.result", "w": "x.value"}, graphs={"loop": loop})
    assert run(data) == {"v": 4, "w": 200}


def test_what_runs_with_other_values_is_computed_and_the_rest_is_found() -> None:
    cache = Cache()
    nodes = {"x": runs("plus", a=10), "y": runs("plus", a=link("x.value"))}
    run(file(nodes, {"v": "y.value"}, graphs={"plus": PLUS}), cache)
    nodes["y"] = runs("plus", a=link("x.value"), b=3)
    assert run(file(nodes, {"v": "y.value"}, graphs={"plus": PLUS}), cache) == {"v": 15}
    assert ran == ["add"]


def test_an_output_may_be_given_twice_and_by_a_sub_workflow_within() -> None:
    both = graph({}, {"low": "p.value", "high": "p.value"}, p=runs("plus"))
    nodes = {"b": runs("both"), "t": call("total", items=[link("b.low"), 1, link("b.high")])}
    assert run(file(nodes, {"v": "t.value"}, graphs={"both": both, "plus": PLUS})) == {"v": 7}


# -- named inputs, seeds, files ------------------------------------------------------------------------------


def test_named_inputs_reach_into_sub_workflows() -> None:
    outer = graph({"far": "p.b"}, {"value": "p.value"}, p=runs("plus"))
    data = file(
        {"r": runs("outer"), "q": runs("plus", a=5)},
        {"v": "r.value", "w": "q.value"},
        {"far": "r.far", "near": "q.a"},
        {"outer": outer, "plus": PLUS},
    )
    workflow = Workflow.of(data).with_inputs({"far": 70, "near": 9})
    assert workflow.data["nodes"]["r"]["inputs"] == {"far": 70}
    assert workflow.data["nodes"]["q"]["inputs"] == {"a": 9}
    assert run(workflow.data) == {"v": 71, "w": 11}
    assert expansion(workflow, TYPES).workflow.inputs == {"far": ("r/p/n", "b"), "near": ("q/n", "a")}
    again = workflow.with_inputs({"far": 80})
    assert expansion(again, TYPES).workflow.nodes["r/p/n"].inputs["b"] == 80


def test_loading_and_saving_keep_everything() -> None:
    nodes = {"r": bypassed(runs("plus", a=1)) | {"title": "Sum", "note": "why"}}
    data = file(nodes, graphs={"plus": deepcopy(PLUS)})
    data["graphs"]["plus"] |= {"name": "Plus", "description": "Adds.", "layout": {"n": {"at": [1, 2]}}}
    data["graphs"]["plus"]["nodes"]["n"] |= {"state": "muted", "version": 1}
    data["graphs"]["unused"] = graph({}, {}, x={"type": "no.such", "inputs": {"y": {"link": "x.z"}}})
    workflow = Workflow.parse(json.dumps(data))
    assert check(workflow, TYPES) == []
    assert Workflow.parse(workflow.text()).data == data


def seeded(folder: Path) -> Session:
    session = Session(Settings(cache=folder, models=(), device="cpu"))
    session.manifest = Manifest(REGISTRY.types, tuple(REGISTRY.packs))
    session.bound = {**session.manifest.types}
    return session


def test_an_open_seed_is_drawn_where_it_would_be_written(tmp_path: Path) -> None:
    """One that is exposed for each node that runs it; one that is not, once in the sub-workflow."""
    noise = graph(
        {"seed": "a.seed"}, {"a": "a.value", "b": "b.value"},
        a=call("seeded", seed=None), b=call("seeded", seed=None),
    )  # fmt: skip
    outer = graph({"seed": "n.seed"}, {"a": "n.a"}, n=runs("noise"))
    closed = graph({}, {"a": "n.a"}, n=runs("noise"))
    nodes = {"x": runs("noise"), "y": runs("noise", seed=7), "z": runs("noise", seed=None)}
    nodes |= {"o": runs("outer"), "c": runs("closed"), "d": runs("closed")}
    outputs = {f"{id}{out}": f"{id}.{out}" for id in "xyz" for out in "ab"} | {id: f"{id}.a" for id in "ocd"}
    data = file(nodes, outputs, graphs={"noise": noise, "outer": outer, "closed": closed})
    session = seeded(tmp_path)
    assert sorted(session.seeds(Workflow.of(data))) == [
        ("graph:closed/n", "seed"), ("graph:noise/b", "seed"), ("o", "seed"), ("x", "seed"), ("z", "seed"),
    ]  # fmt: skip
    outcome = session.run(Workflow.of(data))
    drawn, written = outcome.outputs, outcome.workflow.data
    assert len({drawn[name] for name in ("xa", "za", "xb", "o", "c")}) == 5
    assert drawn["ya"] == 7
    assert drawn["xb"] == drawn["yb"] == written["graphs"]["noise"]["nodes"]["b"]["inputs"]["seed"]
    assert drawn["c"] == drawn["d"] == written["graphs"]["closed"]["nodes"]["n"]["inputs"]["seed"]
    assert [drawn["xa"], drawn["za"], drawn["o"]] == [
        written["nodes"][id]["inputs"]["seed"] for id in ("x", "z", "o")
    ]
    assert dict(session.run(Workflow.of(written)).outputs) == dict(drawn)


# -- muted and bypassed --------------------------------------------------------------------------------------


def test_what_needs_something_muted_is_muted_and_the_rest_runs() -> None:
    nodes = {
        "a": muted(call("add", a=1, b=2)),
        "b": call("add", a=link("a.value"), b=1),
        "c": call("add", a=link("b.value"), b=1),
        "d": call("add", a=1, b=1),
    }
    data = file(nodes, {"c": "c.value", "d": "d.value"})
    assert run(data) == {"d": 2}
    assert expanded(data).muted == {"a", "b", "c"}


def test_an_input_that_may_be_left_out_is_left_out() -> None:
    nodes = {"a": muted(call("add", a=1, b=2)), "b": call("bounded", steps=link("a.value"), scale=2)}
    assert run(file(nodes, {"v": "b.value"})) == {"v": 40.0}


def test_a_list_loses_what_is_muted_however_often_and_indirectly() -> None:
    nodes = {
        "a": muted(call("split", a=12)),
        "b": call("split", a=link("a.low")),
        "c": call("add", a=1, b=1),
        "t": call("total", items=[link("b.low"), 5, link("b.high"), link("a.low"), link("c.value")]),
        "u": call("total", items=[link("b.low"), link("b.low")]),
    }
    assert run(file(nodes, {"t": "t.value", "u": "u.value"})) == {"t": 7, "u": 0}


def test_a_loop_whose_body_gives_nothing_is_muted_with_all_in_it() -> None:
    inner = body(
        ["x", "i"], {"x": "s.value"}, s=muted(call("add", a=link("x"), b=1)), e=call("show", value=1)
    )
    data = file(
        {"f": call("fold", start=0, over=[1], body=inner), "d": call("add", a=0, b=1)}, {"d": "d.value"}
    )
    assert run(data) == {"d": 1}
    assert expanded(data).muted == {"f", "s", "e"}
    assert expanded(data).workflow.bodies == ()


def test_a_node_called_like_the_input_of_a_body_is_muted_alone() -> None:
    inner = body(["x", "i"], {"x": "s.value"}, s=call("add", a=link("x"), b=1))
    nodes = {"x": muted(call("add", a=1, b=1)), "f": call("fold", start=0, over=[1], body=inner)}
    assert run(file(nodes, {"v": "f.result"})) == {"v": 1}


def test_a_muted_effect_does_not_happen() -> None:
    nodes = {"a": call("add", a=1, b=2), "s": muted(call("show", value=1))}
    run(file(nodes, {"v": "a.value"}))
    assert ran == ["add"]


@pytest.mark.parametrize("state", ["muted", "bypassed"])
def test_a_node_of_a_type_that_is_not_installed_may_be_muted_but_not_bypassed(state: str) -> None:
    nodes = {
        "a": {"type": "no.such", "inputs": {"x": {"link": "b.value"}}, "state": state},
        "b": call("add", a=1, b=2),
        "c": call("total", items=[link("a.anything"), link("b.value")]),
    }
    if state == "muted":
        assert run(file(nodes, {"v": "c.value"})) == {"v": 3}
    else:
        advice = "install the pack that has it (`graphengine nodes` lists them)"
        assert told(file(nodes)) == [f"a: there is no node type 'no.such'; {advice}"]


def test_a_bypassed_node_gives_its_first_input_of_the_same_type() -> None:
    nodes = {
        "a": call("add", a=20, b=1),
        "b": bypassed(call("add", a=link("a.value"), b=9)),
        "c": bypassed(call("split", a=link("b.value"))),
        "d": call("total", items=[link("c.low"), link("c.high"), link("b.value")]),
    }
    assert run(file(nodes, {"v": "d.value", "w": "c.high"})) == {"v": 63, "w": 21}
    assert ran == ["add", "total"]


def test_a_bypassed_node_without_such_an_input_is_muted() -> None:
    nodes = {"a": bypassed(call("blob", n=1)), "b": call("number", blob=link("a.blob"))}
    assert run(file(nodes, {"v": "b.value"})) == {}


def test_a_bypassed_node_may_give_a_literal_a_list_or_a_default() -> None:
    nodes = {
        "a": bypassed(call("add", a=20, b=1)),
        "b": call("add", a=link("a.value"), b=0),
        "c": bypassed(call("bounded", steps=3)),
        "d": call("bounded", scale=link("c.value")),
        "e": call("add", a=1, b=0),
        "f": bypassed(call("fold", start=[link("e.value"), 2], over=[1], body=body(["x", "i"], {"x": "x"}))),
        "g": call("total", items=link("f.result")),
    }
    assert run(file(nodes, {"b": "b.value", "d": "d.value", "g": "g.value"})) == {"b": 20, "d": 20.0, "g": 3}


def test_a_bypassed_loop_or_switch_gives_its_first_generic_input() -> None:
    inner = body(["x", "i"], {"x": "m.blob"}, m=call("mix", blob=link("x"), item=1))
    nodes = {
        "a": call("blob", n=4),
        "f": bypassed(call("fold", start=link("a.blob"), over=[1], body=inner)),
        "s": bypassed(call("switch", first=False, a=link("f.result"), b=link("a.blob"))),
        "n": call("number", blob=link("s.result")),
    }
    assert run(file(nodes, {"v": "n.value"})) == {"v": 4}


def test_the_step_of_a_loop_may_be_bypassed() -> None:
    inner = {"s": bypassed(call("add", a=link("x"), b=1)), "t": call("add", a=link("s.value"), b=10)}
    loop = call("fold", start=0, over=[1, 2], body=body(["x", "i"], {"x": "t.value"}, **inner))
    assert run(file({"f": loop}, {"v": "f.result"})) == {"v": 20}
    loop["inputs"]["body"]["graph"]["outputs"] = {"x": "s.value"}
    assert run(file({"f": loop}, {"v": "f.result"})) == {"v": 0}


def test_bypassed_nodes_in_a_ring_give_nothing() -> None:
    nodes = {
        "a": bypassed(call("add", a=link("b.value"), b=1)),
        "b": bypassed(call("add", a=link("a.value"), b=1)),
        "c": call("total", items=[link("a.value"), 3]),
    }
    assert run(file(nodes, {"v": "c.value", "w": "b.value"})) == {"v": 3}


def test_states_hold_inside_of_a_sub_workflow_too() -> None:
    inner = graph(
        {"a": "x.a"}, {"value": "t.value"},
        x=bypassed(call("add", a=1, b=50)), y=muted(call("add", a=1, b=1)),
        t=call("total", items=[link("x.value"), link("y.value"), 100]),
    )  # fmt: skip
    nodes = {"r": runs("inner", a=7), "q": runs("inner")}
    assert run(file(nodes, {"v": "r.value", "w": "q.value"}, graphs={"inner": inner})) == {"v": 107, "w": 101}


def test_a_sub_workflow_is_muted_as_a_whole() -> None:
    nodes = {"r": muted(runs("plus")), "t": call("total", items=[link("r.value"), 3])}
    data = file(nodes, {"v": "t.value", "w": "r.value"}, graphs={"plus": PLUS})
    assert run(data) == {"v": 3}
    assert expanded(data).muted == {"r/n"}


def test_a_muted_sub_workflow_may_be_one_that_is_not_there_or_has_unknown_nodes() -> None:
    strange = graph({}, {"x": "n.x"}, n={"type": "no.such", "inputs": {}})
    nodes = {"r": muted(runs("gone", a=1)), "s": muted(runs("strange")), "a": call("add", a=1, b=1)}
    assert run(file(nodes, {"v": "a.value", "w": "s.x"}, graphs={"strange": strange})) == {"v": 2}


def test_a_bypassed_sub_workflow_gives_its_first_input_of_the_same_type() -> None:
    nodes = {
        "b": call("blob", n=4),
        "r": bypassed(runs("blobs", item=2, blob=link("b.blob"))),
        "n": call("number", blob=link("r.blob")),
        "p": bypassed(runs("plus", b=9)),
        "q": call("add", a=link("p.value"), b=0),
    }
    data = file(nodes, {"n": "n.value", "q": "q.value"}, graphs={"blobs": BLOBS, "plus": PLUS})
    assert run(data) == {"n": 4, "q": 1}


def test_what_a_bypassed_sub_workflow_has_inside_or_by_default_is_no_way_out_of_it() -> None:
    inner = body(["x", "i"], {"x": "s.value"}, s=call("add", a=link("x"), b=link("y.value")))
    loop = graph(
        {"step": "s.a", "more": "s.b", "steps": "d.steps"}, {"value": "f.result", "other": "y.value"},
        f=call("fold", start=0, over=[1], body=inner), y=call("add", a=0, b=0), d=call("bounded"),
    )  # fmt: skip
    nodes = {"r": bypassed(runs("loop")), "t": call("total", items=[link("r.other"), 3])}
    assert run(file(nodes, {"t": "t.value"}, graphs={"loop": loop})) == {"t": 3}
    first = graph({"steps": "d.steps"}, {"value": "y.value"}, y=call("add", a=0, b=0), d=call("bounded"))
    assert run(file({**nodes, "r": bypassed(runs("loop"))}
                    | {"t": call("total", items=[link("r.value"), 3])},
                    {"t": "t.value"}, graphs={"loop": first})) == {"t": 23}  # fmt: skip


def test_a_bypassed_sub_workflow_with_another_in_it_is_bypassed_with_that() -> None:
    outer = graph(
        {"a": "p.a"}, {"value": "q.value"}, p=runs("plus"), q=bypassed(runs("plus", a=link("p.value")))
    )
    nodes = {"s": call("add", a=40, b=2), "r": bypassed(runs("outer", a=link("s.value")))}
    data = file(nodes, {"v": "r.value"}, graphs={"outer": outer, "plus": PLUS})
    assert run(data) == {"v": 42}
    assert ran == ["add"]


def test_bypassed_sub_workflows_in_a_row() -> None:
    nodes: dict[str, Any] = {"n0": call("blob", n=4)}
    nodes |= {f"n{i}": bypassed(runs("blobs", blob=link(f"n{i - 1}.blob"))) for i in range(1, 5)}
    nodes["o"] = call("number", blob=link("n4.blob"))
    assert run(file(nodes, {"v": "o.value"}, graphs={"blobs": BLOBS})) == {"v": 4}


# -- problems ------------------------------------------------------------------------------------------------


def test_a_sub_workflow_that_is_not_there_is_told_once_at_its_node() -> None:
    nodes = {"r": runs("pluss", a=link("gone.value")), "a": call("add", a=link("r.x"), b=link("r.y"))}
    assert told(file(nodes, {"v": "r.value"}, graphs={"plus": PLUS})) == [
        "r.type: there is no sub-workflow 'pluss' in the file; did you mean plus?"
    ]
    many = {f"g{i}": PLUS for i in range(12)}
    names = ", ".join(f"g{i}" for i in range(10))
    text = "r.type: there is no sub-workflow 'unheard_of' in the file; it has"
    assert told(file({"r": runs("unheard_of")}, graphs=many)) == [f"{text} {names} and 2 more"]
    assert told(file({"r": runs("unheard_of")})) == [f"{text} none"]


def test_inputs_and_outputs_that_a_sub_workflow_has_not_are_told() -> None:
    nodes = {
        "r": runs("plus", c=1),
        "a": call("add", a=link("r.sum"), b=0),
        "t": call("total", items=[link("r.value"), link("r.sum")]),
        "f": call("fold", start=0, over=[1], body=body(["x", "i"], {"x": "r.sum"})),
        "q": runs("plus", a=link("r.low")),
    }
    assert told(file(nodes, {"v": "r.high"}, {"name": "r.d"}, {"plus": PLUS})) == [
        "r.c: there is no input of graph:plus named 'c'; it has a, b",
        "a.a: links to r.sum, but r gives value; link one of these",
        "t.items: links to r.sum, but r gives value; link one of these",
        "q.a: links to r.low, but r gives value; link one of these",
        "outputs.v: links to r.high, but r gives value; link one of these",
        "f.body: links to r.sum, but r gives value; link one of these",
        "inputs.name: there is no input of r named 'd'; it has a, b",
    ]


def test_the_ends_of_a_sub_workflow_that_lead_nowhere_are_told_once() -> None:
    wrong = graph(
        {"a": "n.nope", "b": "p.nope", "c": "n.b"},
        {"x": "gone.value", "y": "n.nope", "z": "p.nope", "w": "n.value"},
        n=call("add", a=1, b=1), p=runs("plus"),
    )  # fmt: skip
    nodes = {f"r{i}": runs("wrong", a=1, b=2, c=3) for i in range(3)}
    nodes["t"] = call("total", items=[link("r0.x"), link("r1.y"), link("r2.z"), link("r0.w")])
    assert told(file(nodes, {"v": "t.value"}, graphs={"wrong": wrong, "plus": PLUS})) == [
        "graph:wrong/inputs.a: there is no input of n named 'nope'; it has a, b",
        "graph:wrong/inputs.b: there is no input of p named 'nope'; it has a, b",
        "graph:wrong/outputs.x: links to 'gone.value', but there is no node 'gone' here; "
        "link to one that is there",
        "graph:wrong/outputs.y: links to n.nope, but n gives value; link one of these",
        "graph:wrong/outputs.z: links to p.nope, but p gives value; link one of these",
    ]


def test_a_sub_workflow_that_runs_itself_is_told_with_the_way() -> None:
    assert told(file({"r": runs("a")}, graphs={"a": graph({}, {}, n=runs("a"))})) == [
        "graph:a: runs itself, a -> a; take one of these out"
    ]
    ring = {"a": graph({}, {}, n=runs("b")), "b": graph({}, {}, n=runs("c"), m=runs("plus"))}
    ring |= {"c": graph({}, {}, n=runs("b")), "plus": PLUS}
    assert told(file({"r": runs("a", x=1)}, {"v": "r.value"}, graphs=ring)) == [
        "graph:b: runs itself, b -> c -> b; take one of these out",
        "outputs.v: links to r.value, but r gives nothing; link one of these",
    ]


def test_a_body_given_to_a_sub_workflow_is_told() -> None:
    inner = body(["x"], {"y": "n.value"}, n=call("no_such", a=link("x")))
    other = body(["x"], {"y": "x"})
    assert told(file({"r": runs("plus", a=inner, z=other)}, graphs={"plus": PLUS})) == [
        "r.a: a sub-workflow takes no body; put it in there",
        "r.z: a sub-workflow takes no body; put it in there",
        "r.z: there is no input of graph:plus named 'z'; it has a, b",
    ]


def test_what_is_missing_is_told_at_the_node_that_should_give_it() -> None:
    outer = graph({}, {}, b=runs("blobs"))
    through = graph({"blob": "b.blob"}, {}, b=runs("blobs"))
    nodes = {"r": runs("blobs"), "s": runs("outer"), "t": runs("outer"), "u": runs("through")}
    graphs = {"blobs": BLOBS, "outer": outer, "through": through}
    assert told(file(nodes, graphs=graphs)) == [
        "r.blob: is missing; link a Blob to it",
        "graph:outer/b.blob: is missing; link a Blob to it",
        "u.blob: is missing; link a Blob to it",
    ]


def test_a_wrong_value_is_told_where_it_is_written() -> None:
    wrong = graph({"a": "n.a"}, {"value": "n.value"}, n=call("add", a="x", b="y"))
    text = "is a text, not a whole number; write a whole number such as 20"
    assert told(file({"r": runs("wrong"), "s": runs("wrong", a="z")}, graphs={"wrong": wrong})) == [
        f"graph:wrong/n.a: 'x' {text}",
        f"graph:wrong/n.b: 'y' {text}",
        f"s.a: 'z' {text}",
    ]


def test_problems_speak_of_links_as_they_stand_in_the_file() -> None:
    wrong = graph(
        {"in": "m.a"}, {"blob": "b.blob"},
        b=call("blob", n=1), m=call("add", a=0, b=link("b.blob")), o=call("add", a=link("gone.value"), b=0),
        p=runs("wrong2"), q=call("total", items=[1, link("p.blob"), link("b.blob")]),
        near=call("add", a=link("nearr.value"), b=0),
    )  # fmt: skip
    inner = graph({}, {"blob": "b.blob"}, b=call("blob", n=1))
    nodes = {"r": runs("wrong"), "s": runs("wrong", **{"in": link("r.blob")})}
    nodes |= {
        "p": bypassed(call("mix", blob=link("r.blob"), item=1)),
        "a": call("add", a=link("p.blob"), b=0),
    }
    assert told(file(nodes, graphs={"wrong": wrong, "wrong2": inner})) == [
        "a.a: wants a whole number, but p.blob is a Blob; put t.number between",
        "graph:wrong/m.b: wants a whole number, but b.blob is a Blob; put t.number between",
        "graph:wrong/o.a: links to 'gone.value', but there is no node 'gone' here; link to one that is there",
        "graph:wrong/q.items: wants a whole number, but an item is a Blob; put t.number between",
        "graph:wrong/near.a: links to 'nearr.value', but there is no node 'nearr' here; did you mean near?",
        "s.in: wants a whole number, but r.blob is a Blob; put t.number between",
    ]


def test_nodes_of_unknown_types_and_cycles_in_a_sub_workflow_are_told_once() -> None:
    wrong = graph(
        {}, {}, n={"type": "no.such", "inputs": {}},
        a=call("add", a=link("b.value"), b=0), b=call("add", a=link("a.value"), b=0),
    )  # fmt: skip
    nodes = {"r": runs("wrong"), "s": runs("wrong")}
    advice = "install the pack that has it (`graphengine nodes` lists them)"
    assert told(file(nodes, graphs={"wrong": wrong})) == [
        f"graph:wrong/n: there is no node type 'no.such'; {advice}",
        "graph:wrong/a: is part of a cycle, a -> b -> a; remove one of these links",
    ]


def test_a_cycle_through_a_sub_workflow_is_told() -> None:
    nodes = {"a": call("add", a=link("r.value"), b=0), "r": runs("plus", a=link("a.value"))}
    assert told(file(nodes, graphs={"plus": PLUS})) == [
        "a: is part of a cycle, a -> r/n -> a; remove one of these links"
    ]


def test_what_reading_has_told_is_not_told_again() -> None:
    wrong = graph({"a": "n.a"}, {}, n=call("add", a=1, b={"link": 3}) | {"state": "asleep", "colour": 1})
    assert told(file({"r": runs("wrong"), "s": runs("wrong")}, graphs={"wrong": wrong})) == [
        "graph:wrong/n.colour: is no field of a node; it has inputs, note, state, title, type, version",
        "graph:wrong/n.state: 'asleep' is no state; write muted or bypassed, or remove it",
        'graph:wrong/n.b: 3 is no link; write "node.output"',
    ]


def test_a_literal_cannot_be_an_output_unless_what_gives_it_is_muted() -> None:
    text = "is bypassed and gives a literal, which cannot be an output; mute it instead"
    nodes = {"a": bypassed(call("add", a=1, b=2))}
    assert told(file(nodes, {"v": "a.value"})) == [f"outputs.v: a.value {text}"]
    inner = body(["x", "i"], {"out": "s.value"}, s=bypassed(call("add", a=1, b=2)))
    fold = call("fold", start=0, over=[1], body=inner)
    assert told(file({"f": fold})) == [f"f.body: s.value {text}"]
    assert told(file({"f": muted(fold)})) == []
    within = graph({}, {"value": "f.result"}, f=fold)
    data = file({"r": runs("within"), "q": runs("within")}, graphs={"within": within})
    assert told(data) == [f"graph:within/f.body: s.value {text}"]


def test_a_list_cannot_stand_in_a_list() -> None:
    nodes = {
        "a": call("add", a=1, b=2),
        "c": bypassed(call("fold", start=[link("a.value")], over=[1], body=body(["x", "i"], {"x": "x"}))),
        "t": call("map", over=[link("c.result")], body=body(["x"], {"x": "x"})),
    }
    text = "a bypassed node gives a list here, which cannot stand in a list; mute it"
    assert told(file(nodes)) == [f"t.over: {text}"]


def test_problems_of_muted_nodes_are_not_told_but_those_of_the_file_are() -> None:
    nodes = {
        "a": muted(call("add", a="x", nope=1)),
        "b": muted({"type": "no.such", "inputs": {"a": {"link": 3}}}),
        "c": call("add", a=link("a.value"), b="also muted"),
        "d": call("add", a=1, b=1, nope=link("a.value")),
    }
    assert told(file(nodes)) == [
        'b.a: 3 is no link; write "node.output"',
        "d: there is no input of t.add named 'nope'; it has a, b".replace("d:", "d.nope:"),
    ]
