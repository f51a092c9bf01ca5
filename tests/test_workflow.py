from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from samples import body, call, chain, file, link

from graphengine import migrate
from graphengine.errors import WorkflowError
from graphengine.graph import Graph, Link, Node, Param
from graphengine.workflow import Workflow

LOOP = file(
    {"v": "f.result"},
    {"first": "a.a", "step": "m.b"},
    a=call("add", a=1, b=2),
    f=call("fold", start=link("a.value"), over=[1, 2], body=body(["x", "i"], {"x": "m.value"},
           m=call("add", a=link("x"), b=3))),
    z=call("unheard_of", text="kept", picture=link("a.value"), odd={"value": {"link": "a.value"}}),
)  # fmt: skip


def ids(workflow: Workflow) -> list[str]:
    return [item.id if isinstance(item, Node) else f"body of {item.owner}" for item in workflow.order]


# -- text ----------------------------------------------------------------------------------------------------


def test_saving_keeps_everything_in_the_users_order() -> None:
    data = json.loads(LOOP) | {"layout": {"z": {"at": [0, 1.5]}}, "name": "☃", "requires": {"x": "1"}}
    data["nodes"]["a"] |= {"title": "First", "note": "A note."}
    text = Workflow.parse(json.dumps(data)).text()
    assert json.loads(text) == data
    assert json.dumps(json.loads(text)["nodes"]["z"]) == json.dumps(data["nodes"]["z"])
    assert "☃" in text
    assert text.endswith("}\n")
    assert Workflow.parse(text).text() == text


def test_the_example_in_the_design_survives(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text(LOOP)
    assert Workflow.load(path).data == json.loads(LOOP)


# -- formats -------------------------------------------------------------------------------------------------


def test_older_formats_are_led_through_every_step(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(migrate, "FORMAT", 3)
    monkeypatch.setattr(migrate, "STEPS", {
        1: lambda data: data | {"format": 2, "name": data["name"] + "!"},
        2: lambda data: data | {"format": 3, "name": data["name"] + "?"},
    })  # fmt: skip
    assert Workflow.of({"format": 1, "name": "a"}).name == "a!?"
    assert Workflow.of({"format": 2, "name": "a"}).name == "a?"
    assert Workflow.of({"format": 3, "name": "a"}).data == {"format": 3, "name": "a"}


def test_there_is_a_step_from_every_format_to_the_next() -> None:
    assert [*migrate.STEPS] == [*range(1, migrate.FORMAT)]


# -- named inputs --------------------------------------------------------------------------------------------


def test_a_named_input_sets_a_literal_in_a_body_too() -> None:
    found = Workflow.parse(LOOP).with_inputs({"first": 10, "step": 30})
    assert found.nodes["a"].inputs["a"] == 10
    assert found.nodes["m"].inputs["b"] == 30
    assert Workflow.parse(found.text()).nodes["m"].inputs["b"] == 30


def test_setting_inputs_changes_neither_the_workflow_nor_what_it_was_read_from() -> None:
    data = json.loads(LOOP)
    workflow = Workflow.of(data)
    workflow.with_inputs({"first": 10, "step": 30})
    assert data == json.loads(LOOP)
    assert workflow.nodes["a"].inputs["a"] == 1


def test_what_does_not_change_is_shared() -> None:
    workflow = Workflow.parse(LOOP)
    found = workflow.with_inputs({"first": 10})
    assert found.data["nodes"]["f"] is workflow.data["nodes"]["f"]
    assert found.data["nodes"]["a"] is not workflow.data["nodes"]["a"]
    assert workflow.with_inputs({}) is workflow


def test_two_literals_of_one_node_are_both_set() -> None:
    found = Workflow.parse(LOOP).with_literals(
        {("a", "a"): 5, ("a", "b"): 6, ("m", "b"): 7, ("f", "over"): []}
    )
    assert found.nodes["a"].inputs == {"a": 5, "b": 6}
    assert found.nodes["m"].inputs["b"] == 7
    assert found.nodes["f"].inputs["over"] == []


def test_unknown_names_are_told_all_at_once_with_those_that_there_are() -> None:
    with pytest.raises(WorkflowError) as caught:
        Workflow.parse(LOOP).with_inputs({"frist": 1, "second": 2})
    assert str(caught.value) == (
        "inputs.frist: there is no such input; the workflow has: first, step\n"
        "inputs.second: there is no such input; the workflow has: first, step"
    )
    with pytest.raises(WorkflowError, match="the workflow has: none"):
        Workflow.parse(chain(1)).with_inputs({"x": 1})


@pytest.mark.parametrize(
    "value",
    [
        {"link": "z.value"},
        {"graph": {}},
        {"value": 5},
        {"value": {"link": "z.value"}},
        [{"link": "z.value"}],
        [1, {"graph": {"nodes": {}}}],
        [{"value": 1}],
        {"a": {"link": "z.value"}},
        {"link": "a", "more": 1},
    ],
)
def test_a_given_value_is_never_read_as_a_link_or_a_body(value: Any) -> None:
    found = Workflow.parse(LOOP).with_inputs({"first": value})
    assert found.problems == ()
    assert found.nodes["a"].inputs["a"] == value
    assert type(found.nodes["a"].inputs["a"]) is type(value)
    again = Workflow.parse(found.text())
    assert again.nodes["a"].inputs["a"] == value
    assert len(again.bodies) == 1


json_values = st.recursive(
    st.one_of(
        st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False, allow_infinity=False), st.text()
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(st.sampled_from(["link", "graph", "value", "a"]), inner, max_size=2),
    ),
    max_leaves=6,
)


@given(json_values)
def test_any_json_value_can_be_given_and_is_read_again_as_it_was(value: Any) -> None:
    found = Workflow.parse(LOOP).with_inputs({"step": value})
    assert found.nodes["m"].inputs["b"] == value
    if not found.problems:
        assert Workflow.parse(found.text()).nodes["m"].inputs["b"] == value


def test_problems_of_a_file_are_told_once_after_setting_inputs_too() -> None:
    text = LOOP.replace('"format": 1', '"format": 1, "odd": 1').replace(
        '"text": "kept"', '"text": 1, "text": 2'
    )
    workflow = Workflow.parse(text)
    assert len(workflow.problems) == 2
    assert sorted(workflow.with_inputs({"first": 1}).problems) == sorted(workflow.problems)
    assert sorted(workflow.with_inputs({"first": 1}).with_inputs({"step": 1}).problems) == sorted(
        workflow.problems
    )


def test_a_number_that_is_none_is_mended_by_another() -> None:
    workflow = Workflow.parse(LOOP.replace('"a": 1', '"a": NaN'))
    assert len(workflow.problems) == 1
    assert len(workflow.with_inputs({"step": 5}).problems) == 1
    assert workflow.with_inputs({"first": 5}).problems == ()


def test_an_input_of_a_broken_node_can_be_set_without_an_end() -> None:
    data = {"format": 1, "inputs": {"p": "a.x"}, "nodes": {"a": {"type": "t.add", "inputs": [1, 2]}}}
    assert Workflow.of(data).with_inputs({"p": 5}).nodes["a"].inputs == {"x": 5}


# -- scope ---------------------------------------------------------------------------------------------------

NESTED = Workflow.parse(
    file(
        {},
        a=call("add", a=1, b=1),
        f=call(
            "map",
            body=body(["x", "y"], {}, b=call("add"), g=call("map", body=body(["x"], {}, c=call("add")))),
        ),
        h=call("map", body=body(["q"], {}, d=call("add"))),
    )
)


def scope(id: str) -> Graph:
    return NESTED.nodes[id].scope


def test_a_body_sees_what_is_around_it_and_nothing_in_it_is_seen_from_outside() -> None:
    for outer, inner in [("a", "c"), ("b", "c"), ("a", "b"), ("c", "c")]:
        assert NESTED.resolve(Link(outer, "value"), scope(inner)) is NESTED.nodes[outer]
    for inner, outer in [("b", "a"), ("c", "b"), ("c", "a"), ("d", "b"), ("b", "d"), ("nowhere", "a")]:
        assert NESTED.resolve(Link(inner, "value"), scope(outer)) is None


def test_a_bare_name_is_the_input_of_the_innermost_body_that_has_it() -> None:
    assert NESTED.resolve(Link("x", ""), scope("c")) == Param(scope("c"), 0)
    assert NESTED.resolve(Link("y", ""), scope("c")) == Param(scope("b"), 1)
    assert NESTED.resolve(Link("x", ""), scope("b")) == Param(scope("b"), 0)
    assert NESTED.resolve(Link("x", ""), scope("a")) is None
    assert NESTED.resolve(Link("a", ""), scope("c")) is None


# -- order ---------------------------------------------------------------------------------------------------


def test_sources_come_first_and_a_body_before_its_nodes_and_they_before_their_owner() -> None:
    workflow = Workflow.parse(
        file(
            {},
            f=call("fold", start=link("a.value"), over=[link("b.value")],
                   body=body(["x", "i"], {"x": "m.value"}, m=call("add", a=link("x"), b=link("c.value")))),
            c=call("add", a=1, b=1), b=call("add", a=link("a.value"), b=1), a=call("add", a=1, b=1),
        )
    )  # fmt: skip
    order = ids(workflow)
    assert sorted(order) == ["a", "b", "body of f", "c", "f", "m"]
    for first, later in [
        ("a", "b"),
        ("a", "body of f"),
        ("b", "body of f"),
        ("body of f", "m"),
        ("c", "m"),
        ("m", "f"),
    ]:
        assert order.index(first) < order.index(later)
    assert workflow.cyclic == set()


def test_a_cycle_is_found_and_everything_is_still_in_the_order() -> None:
    workflow = Workflow.parse(
        file({}, a=call("add", a=link("b.value"), b=1), b=call("add", a=link("a.value"), b=1), c=call("add"))
    )
    assert sorted(ids(workflow)) == ["a", "b", "c"]
    assert workflow.cyclic


def test_a_diamond_is_no_cycle() -> None:
    nodes = {"d": call("add", a=link("b.value"), b=link("c.value")), "c": call("add", a=link("a.value"), b=1),
             "b": call("add", a=link("a.value"), b=link("c.value")), "a": call("add", a=1, b=1)}  # fmt: skip
    workflow = Workflow.parse(file({}, **nodes))
    assert ids(workflow) == ["a", "c", "b", "d"]
    assert workflow.cyclic == set()


def test_an_input_of_a_body_in_a_list_is_no_node_of_the_same_name() -> None:
    whole = body(["m"], {"y": "m.value"}, m=call("total", items=[link("m"), 1]))
    workflow = Workflow.parse(file({}, f=call("map", over=[1], body=whole)))
    assert ids(workflow) == ["body of f", "m", "f"]
    assert workflow.cyclic == set()


def test_a_long_chain_has_an_order() -> None:
    assert ids(Workflow.parse(chain(5000)))[:3] == ["n0", "n1", "n2"]
