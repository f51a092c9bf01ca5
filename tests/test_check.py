from __future__ import annotations

import json
import time
from typing import Annotated, Any, TypeVar

import pytest
from annotated_types import Ge, Len
from hypothesis import given, settings
from hypothesis import strategies as st
from samples import TYPES, body, call, chain, file, link, loop, shuffled, tree

from graphengine.authoring import Body, Lazy, node
from graphengine.check import check
from graphengine.errors import Problem, WorkflowError
from graphengine.signature import read
from graphengine.types import Image
from graphengine.workflow import Workflow

T = TypeVar("T")


@node
def picture(size: int) -> Image: ...


@node
def decode(latent: int, image: Image) -> float: ...


@node
def half(x: float) -> float: ...


@node
def ratio(x: list[float]) -> float: ...


@node
def equal(a: T, b: T) -> bool: ...


@node
def few(items: Annotated[list[Annotated[int, Ge(1)]], Len(2, 3)]) -> int: ...


@node
def frame(pictures: list[Image]) -> Image: ...


@node
def anything(x: Any = None) -> int: ...


@node
async def later(x: Lazy[float]) -> float: ...


@node
async def collect(over: list[T], body: Body[[T], Image]) -> list[Image]: ...


KINDS = [picture, decode, half, ratio, equal, few, frame, anything, later, collect]
MORE = TYPES | {f"t.{f.__name__}": read(f, "t", "") for f in KINDS}


def told(text: str) -> list[str]:
    return [str(p) for p in check(Workflow.parse(text), MORE)]


def one(**nodes: Any) -> str:
    (text,) = told(file({}, **nodes))
    return text


A = {"a": call("add", a=1, b=1)}
P = {"p": call("picture", size=1)}
X = body(["x"], {"y": "m.value"}, m=call("add", a=link("x"), b=1))


# -- one problem each ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("nodes", "text"),
    [
        ({"a": {"type": "t.splt"}}, "a: there is no node type 't.splt'; did you mean t.split?"),
        (
            {"a": {"type": "acme.warp"}},
            "a: there is no node type 'acme.warp'; install the pack that has it "
            "(`graphengine nodes` lists them)",
        ),
        (
            {"a": call("split", a=1, aa=2)},
            "a.aa: there is no input of t.split 'aa'; did you mean a?",
        ),
        (
            {"a": call("split", a=1, zzz=2)},
            "a.zzz: there is no input of t.split named 'zzz'; it has a",
        ),
        (
            {"a": call("patient", n=1, ctx=5)},
            "a.ctx: there is no input of t.patient named 'ctx'; it has n",
        ),
        ({"a": call("split")}, "a.a: is missing; give it a whole number"),
        ({"a": call("frame")}, "a.pictures: is missing; link a list of Image to it"),
        (
            {"a": call("map", over=[1])},
            'a.body: is missing; give it a body, {"graph": {...}}',
        ),
        (
            {"a": call("split", a="x")},
            "a.a: 'x' is a text, not a whole number; write a whole number such as 20",
        ),
        ({"a": call("split", a=None)}, "a.a: null is no value here; give a whole number"),
        ({"a": call("bounded", steps=0)}, "a.steps: 0 is below 1; choose 1 to 150"),
        ({"a": call("bounded", kind="c")}, "a.kind: 'c' is none of the choices; choose a, b"),
        (
            {"a": call("split", a=link("gone.value"))},
            "a.a: links to 'gone.value', but there is no node 'gone' here; link to one that is there",
        ),
        (
            {"apple": call("add", a=1, b=1), "b": call("split", a=link("aple.value"))},
            "b.a: links to 'aple.value', but there is no node 'aple' here; did you mean apple?",
        ),
        (
            A | {"b": call("split", a=link("a"))},
            "b.a: links to 'a' without an output; write \"a.value\"",
        ),
        (
            {"b": call("split", a=link("x"))},
            "b.a: links to 'x', but there is no input of a body 'x' here; link to one that is there",
        ),
        (
            A | {"b": call("split", a=link("a.sum"))},
            "b.a: links to a.sum, but a gives value; link one of these",
        ),
        (
            {"s": call("show", value=1), "b": call("split", a=link("s.value"))},
            "b.a: links to s.value, but s gives nothing",
        ),
        (
            {"m0": call("map", over=[1], body=X), "b": call("split", a=link("m.value"))},
            "b.a: links to m.value, which is inside another body; give it out of that body",
        ),
        (
            P | {"b": call("split", a=link("p.image"))},
            "b.a: wants a whole number, but p.image is an Image; link another output",
        ),
        (
            P | {"b": call("half", x=link("p.image"))},
            "b.x: wants a number, but p.image is an Image; put t.decode between",
        ),
        (
            A | {"b": call("frame", pictures=link("a.value"))},
            "b.pictures: wants a list of Image, but a.value is a whole number; link another output",
        ),
        (
            A | P | {"b": call("frame", pictures=[link("p.image"), link("a.value")])},
            "b.pictures: wants an Image, but an item is a whole number; put t.picture between",
        ),
        (
            A | {"b": call("total", items=[link("a.value"), "x"])},
            "b.items: 'x' is a text, not a whole number; write a whole number such as 20",
        ),
        (
            A | {"b": call("total", items=[link("a.value"), None])},
            "b.items: null is no value here; give a whole number",
        ),
        (
            A | {"b": call("few", items=[link("a.value"), 0])},
            "b.items: 0 is below 1; choose 1 or more",
        ),
        ({"b": call("few", items=[1])}, "b.items: [1] is shorter than 2"),
        ({"b": call("few", items=[1, 0])}, "b.items: item 1: 0 is below 1; choose 1 or more"),
        (A | {"b": call("few", items=[link("a.value")])}, 'b.items: ["a.value"] is shorter than 2'),
        (
            {"a": call("map", over=[1], body=5)},
            'a.body: wants a body; write {"graph": {...}}',
        ),
        ({"a": call("split", a=X)}, "a.a: has a body; give it a whole number"),
        (
            {"a": call("fold", start=1, over=[1], body=X)},
            "a.body: the body takes 1 input, and t.fold gives it 2; change the body's inputs",
        ),
        (
            {"a": call("map", over=[1], body=body(["x"], {}))},
            "a.body: the body has 0 outputs; give it exactly one",
        ),
        (
            {
                "a": call(
                    "map", over=[1], body=body(["x"], {"p": "m.low", "q": "m.high"}, m=call("split", a=1))
                )
            },
            "a.body: the body has 2 outputs; give it exactly one",
        ),
        (
            {"a": call("collect", over=[1], body=X)},
            "a.body: its y must be an Image, but m.value is a whole number",
        ),
        (
            {"a": call("collect", over=[1], body=body(["x"], {"y": "x"}))},
            "a.body: its y must be an Image, but x is a whole number",
        ),
        (
            {"a": call("map", over=[1], body=body(["x"], {"y": "m.value"}, m=call("half", x="a")))},
            "m.x: 'a' is a text, not a number; write a number such as 7.5",
        ),
        (
            P | {"a": call("equal", a=link("p.image"), b="x")},
            "a.b: 'x' is a text, but its other inputs make this an Image; give it an Image",
        ),
        (
            P | A | {"b": call("equal", a=link("p.image"), b=link("a.value"))},
            "b.b: wants an Image, but a.value is a whole number; put t.picture between",
        ),
        (
            {"a": call("equal", a=1, b="x")},
            "a.b: 'x' is a text, but its other inputs make this a whole number; give it a whole number",
        ),
        (
            {"a": call("split", a=link("b.value")), "b": call("add", a=link("a.low"), b=1)},
            "a: is part of a cycle, a -> b -> a; remove one of these links",
        ),
        (
            {"a": call("add", a=link("a.value"), b=1)},
            "a: is part of a cycle, a -> a; remove one of these links",
        ),
    ],
)
def test_each_kind_of_problem_says_where_what_and_what_to_do(nodes: dict[str, Any], text: str) -> None:
    assert one(**nodes) == text


def test_a_body_may_not_use_what_it_makes_itself_in_the_end() -> None:
    inner = {"m": call("add", a=link("x"), b=1), "s": call("show", value=link("f.result"))}
    text = told(file({}, f=call("fold", start=1, over=[1], body=body(["x", "i"], {"x": "m.value"}, **inner))))
    assert len(text) == 1
    assert text[0].startswith(("f: ", "s: "))


def test_outputs_of_the_workflow_are_links_too() -> None:
    assert told(file({"o": "gone.value"}, **A)) == [
        "outputs.o: links to 'gone.value', but there is no node 'gone' here; link to one that is there"
    ]
    assert told(file({"o": "a.sum"}, **A)) == [
        "outputs.o: links to a.sum, but a gives value; link one of these"
    ]
    assert told(file({"o": "m.value"}, f=call("map", over=[1], body=X))) == [
        "outputs.o: links to m.value, which is inside another body; give it out of that body"
    ]


def test_named_inputs_lead_to_something_that_can_be_set() -> None:
    assert told(file({}, {"n": "a.sum"}, **A)) == [
        "inputs.n: there is no input of a named 'sum'; it has a, b"
    ]
    assert told(file({}, {"n": "f.body"}, f=call("map", over=[1], body=X))) == [
        "inputs.n: f.body is a body, which cannot be set; name another input"
    ]
    assert told(file({}, {"n": "m.a"}, f=call("map", over=[1], body=X))) == []


def test_what_is_linked_to_an_unknown_type_is_not_told_again() -> None:
    whole = body(["x"], {"y": "m.value"}, m=call("split", a=link("u.anything")))
    text = told(file({"o": "u.image"}, u={"type": "acme.warp", "inputs": {"any": 1}},
                     b=call("split", a=link("u.image")), f=call("map", over=[1], body=whole)))  # fmt: skip
    assert text == [
        "u: there is no node type 'acme.warp'; install the pack that has it (`graphengine nodes` lists them)",
        "f.body: links to m.value, but m gives low, high; link one of these",
    ]


# -- what is fine --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "nodes",
    [
        A | {"b": call("half", x=link("a.value"))},
        A | {"b": call("ratio", x=[link("a.value"), 0.5, 1])},
        A | {"b": call("anything", x=link("a.value")), "c": call("anything", x=[link("a.value"), {"k": 1}])},
        A | {"b": call("later", x=link("a.value"))},
        {"a": call("half", x=0.5), "b": call("equal", a=1, b=link("a.value"))},
        {"a": call("half", x=0.5), "b": call("switch", first=True, a=1, b=link("a.value"))},
        {"s": call("seeded", seed=None)},
        {"b": call("bounded", note=None, scale=1)},
        {"m0": call("map", over=[], body=X)},
        {"c": call("count", n=3), "m0": call("map", over=link("c.value"), body=X)},
        {
            "m0": call(
                "map", over=[[1], [2]], body=body(["x"], {"y": "m.value"}, m=call("total", items=link("x")))
            )
        },
        {"m0": call("map", over=[1], body=body(["x"], {"y": "x"}))},
    ],
)
def test_what_fits_is_accepted(nodes: dict[str, Any]) -> None:
    assert told(file({}, **nodes)) == []


def test_a_loop_of_numbers_may_start_at_0_which_javascript_writes_for_0_0() -> None:
    whole = body(["x", "i"], {"x": "m.value"}, m=call("half", x=link("x")))
    assert told(file({"v": "h.value"}, f=call("fold", start=0, over=[0.5], body=whole),
                     h=call("half", x=link("f.result")))) == []  # fmt: skip
    assert told(file({}, f=call("fold", start="a", over=[0.5], body=whole))) != []


def test_a_type_variable_reaches_what_follows() -> None:
    nodes = P | {"s": call("switch", first=True, a=link("p.image"), b=link("p.image"))}
    assert one(**nodes, b=call("split", a=link("s.result"))).startswith(
        "b.a: wants a whole number, but s.result"
    )
    assert told(file({}, **nodes, b=call("frame", pictures=[link("s.result")]))) == []


def test_the_items_of_a_list_are_what_a_body_is_given() -> None:
    whole = body(["x"], {"y": "h.value"}, h=call("half", x=link("x")))
    assert told(file({}, m=call("map", over=[0.5, 1], body=whole))) == []
    assert told(file({}, **P, m=call("map", over=[link("p.image")], body=whole))) == [
        "h.x: wants a number, but x is an Image; put t.decode between"
    ]


def test_no_problem_is_a_workflow_that_can_start() -> None:
    for text in (chain(50), tree(50), loop(3)):
        assert told(text) == []


# -- all at once ---------------------------------------------------------------------------------------------


def test_all_problems_of_a_file_are_told_at_once_in_one_order() -> None:
    nodes = P | {
        "a": {"type": "t.ad", "inputs": {}},
        "b": call("split", a=link("p.image"), z=1),
        "c": call("add", a=0.5),
        "d": call("add", a=link("e.value"), b=1),
        "e": call("add", a=link("d.value"), b="x"),
        "f": call("map", over=5, body=body(["x", "y"], {}, g=call("split", a=link("nowhere.low")))),
    }
    text = json.dumps(json.loads(file({"o": "a.x", "q": "c.sum"}, {"i": "c.zz"}, **nodes)) | {"odd": 1})
    places = [(p.node, p.input) for p in check(Workflow.parse(text), MORE)]
    assert places == [
        ("", "odd"), ("a", ""), ("b", "a"), ("b", "z"), ("c", "a"), ("c", "b"), ("e", "b"), ("g", "a"),
        ("f", "body"), ("f", "body"), ("f", "over"), ("d", ""), ("outputs", "q"), ("inputs", "i"),
    ]  # fmt: skip
    assert check(Workflow.parse(text), MORE) == check(Workflow.parse(text), MORE)


def test_a_problem_that_reading_has_told_is_not_told_again() -> None:
    text = file({}, a=call("split", a=link("")))
    assert told(text) == ["a.a: '' is no link; write \"node.output\""]


def test_many_mistakes_in_a_large_file_are_told_in_linear_time() -> None:
    nodes = {f"node{i}": call("add", a=link(f"nodes{i}.value"), b=1) for i in range(3000)}
    nodes |= {f"kind{i}": {"type": f"t.addition{i}"} for i in range(3000)}
    nodes |= {"x" * 50_000: call("split", a=link("y" * 50_000 + ".value"))}
    began = time.process_time()
    assert len(told(file({}, **nodes))) == 6001
    assert time.process_time() - began < 5


# -- whatever is in the file ---------------------------------------------------------------------------------

SUM = body(["x", "i"], {"x": "m.value"}, m=call("total", items=[link("x"), link("a.value")]))
GOOD = [
    json.loads(text)
    for text in (
        file({"v": "f.result"}, {"n": "a.a", "s": "g.seed"}, **A, g=call("seeded", seed=None),
             f=call("fold", start=link("a.value"), over=[1, link("g.value")], body=SUM)),
        file({"v": "s.result"}, **P, b=call("bounded", steps=3),
             d=call("decode", latent=1, image=link("p.image")),
             s=call("switch", first=True, a=link("d.value"), b=link("b.value"))),
        loop(2),
    )
]  # fmt: skip
ODD: list[Any] = [
    None, True, 0, -1, 10**400, 1.5, float("nan"), float("inf"), "", "a", "a.value", "x", [], {}, [[]], ["x"],
    {"link": "a.value"}, {"link": "x"}, {"link": 5}, {"link": "a"}, {"graph": {}}, {"value": 1}, {"graph": 5},
    {"graph": {"inputs": ["x"], "outputs": {"x": "x"}, "nodes": {}}}, [{"link": "a.value"}, {"graph": {}}],
    [{"link": "f.result"}], {"link": "m.value"}, {"type": "t.map", "inputs": {"over": [1], "body": X}},
    {"type": "t.add"}, {"type": 5}, "t.fold", "t.show", {"a": {"type": "t.add"}}, ["x", "x"], "\ud800",
]  # fmt: skip


def places(data: Any) -> list[tuple[Any, Any]]:
    """Every place in JSON data that can be changed."""
    found: list[tuple[Any, Any]] = []
    waiting = [data]
    while waiting:
        inner = waiting.pop()
        keys = list(inner) if isinstance(inner, dict) else list(range(len(inner)))
        found += [(inner, key) for key in keys]
        waiting += [inner[key] for key in keys if isinstance(inner[key], (dict, list))]
    return found


@st.composite
def mutants(draw: Any) -> Any:
    """A valid file with some things changed, removed, renamed or moved."""
    data = json.loads(json.dumps(draw(st.sampled_from(GOOD))))
    for _ in range(draw(st.integers(1, 3))):
        spots = places(data)
        if not spots:
            break
        where, key = draw(st.sampled_from(spots))
        action = draw(st.sampled_from(["set", "set", "drop", "rename", "copy"]))
        if action == "set":
            where[key] = json.loads(json.dumps(draw(st.sampled_from(ODD))))
        elif action == "drop":
            del where[key]
        elif action == "rename" and isinstance(where, dict):
            where[draw(st.sampled_from(["a", "x", "link", "graph", "Odd", ""]))] = where.pop(key)
        else:
            other, place = draw(st.sampled_from(spots))
            where[key] = json.loads(json.dumps(other.get(place) if isinstance(other, dict) else None))
    return data


@settings(max_examples=400, deadline=None)
@given(mutants(), st.sampled_from([5, "x", None, {"link": "a.value"}]))
def test_no_file_makes_reading_or_checking_fail_in_another_way(data: Any, value: Any) -> None:
    text = json.dumps(data)
    try:
        workflow = Workflow.parse(text)
    except WorkflowError:
        return
    problems = check(workflow, MORE)
    assert all(isinstance(p, Problem) and p.text and "\n" not in p.text for p in problems)
    assert check(Workflow.parse(text), MORE) == problems
    for name in workflow.inputs:
        check(workflow.with_inputs({name: value}), MORE)
    if not problems:
        workflow.text()


@settings(max_examples=100, deadline=None)
@given(mutants(), st.integers(0, 9))
def test_the_order_of_the_nodes_in_the_file_decides_nothing(data: Any, seed: int) -> None:
    if not isinstance(data.get("nodes"), dict):
        return
    text = json.dumps(data)
    try:
        found = {str(p) for p in check(Workflow.parse(text), MORE)}
        again = {str(p) for p in check(Workflow.parse(shuffled(text, seed)), MORE)}
    except WorkflowError:
        return
    ids = ("is part of a cycle", "used twice", "around it gives")
    if not any(word in text for text in found | again for word in ids):
        assert found == again


def test_an_object_can_stand_for_nothing_that_comes_through_a_link() -> None:
    """Not even where its type follows from another input."""
    text = "is an object, but a Blob comes through a link"
    nodes = {"b": call("blob", n=1), "s": call("switch", first=True, a=link("b.blob"), b={})}
    assert told(file({}, **nodes)) == [f"s.b: {{}} {text}"]
    whole = body(["x", "i"], {"x": "m.blob"}, m=call("mix", blob=link("x"), item=link("i")))
    assert told(file({}, f=call("fold", start={}, over=[1], body=whole))) == [f"f.start: {{}} {text}"]


def test_one_mistake_in_a_list_is_told_once() -> None:
    nodes = {"t": call("total", items=[link("gone.value"), 1, link("gone.value")])}
    assert len(told(file({}, **nodes))) == 1
