"""What changed between two workflows."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from samples import TYPES, body, call, chain, link

from graphengine import resources
from graphengine.difference import KINDS, Change, difference
from graphengine.workflow import Workflow


def of(*, nodes: dict[str, Any], **fields: Any) -> dict[str, Any]:
    return {"format": 1, "nodes": nodes, **fields}


def changes(a: dict[str, Any], b: dict[str, Any], types: Any = None) -> list[Change]:
    return difference(Workflow.of(a), Workflow.of(b), types)


def said(a: dict[str, Any], b: dict[str, Any], types: Any = None) -> list[str]:
    return [change.text for change in changes(a, b, types)]


def between(a: dict[str, Any], b: dict[str, Any]) -> list[str]:
    """What changed between two sets of nodes."""
    return said(of(nodes=a), of(nodes=b))


def edited(**fields: Any) -> list[str]:
    """What it says of a node with a literal when it becomes this."""
    return between({"save": call("show", value=1)}, {"save": call("show", value=1) | fields})


LOOP = {
    "noise": call("blob", n=3),
    "denoise": call(
        "fold",
        start=link("noise.blob"),
        over=[1, 2],
        body=body(
            ["x", "i"],
            {"x": "next.blob"},
            guided=call("cfg", cond=link("x"), scale=5.0),
            next=call("mix", blob=link("guided.blob"), item=link("i")),
        ),
    ),
    "save": call("show", value=link("denoise.result")),
}


def loop(**nodes: Any) -> dict[str, Any]:
    """The loop with other nodes at the top."""
    return of(nodes=json.loads(json.dumps(LOOP)) | nodes)


def inside(data: dict[str, Any]) -> dict[str, Any]:
    """The body of the loop."""
    found: dict[str, Any] = data["nodes"]["denoise"]["inputs"]["body"]["graph"]
    return found


# -- no difference -------------------------------------------------------------------------------------------


def turned_round(value: Any) -> Any:
    """The same data with the keys of every object in the opposite order."""
    if isinstance(value, dict):
        return {name: turned_round(v) for name, v in reversed(value.items())}
    return [turned_round(v) for v in value] if isinstance(value, list) else value


@pytest.mark.parametrize("name", resources.workflow_names())
def test_another_form_of_the_same_file_is_no_difference(name: str) -> None:
    path = resources.workflow(name)
    assert path is not None
    data = json.loads(path.read_text("utf-8"))
    assert changes(data, turned_round(data)) == []


def test_a_literal_that_is_wrapped_without_need_is_no_difference() -> None:
    plain = {"a": call("show", value=5), "b": call("total", items=[1, [2]])}
    wrapped = {
        "a": call("show", value={"value": 5}),
        "b": call("total", items=[{"value": 1}, {"value": [2]}]),
    }
    assert between(plain, wrapped) == between(wrapped, plain) == []


def test_a_literal_that_reads_like_a_link_is_not_that_link() -> None:
    a, b = {"a": call("show", value={"value": link("b.c")})}, {"a": call("show", value=link("b.c"))}
    assert between(a, b) == ["""a.value: now linked to b.c instead of {"value": {"link": "b.c"}}"""]


def test_1_and_1_0_and_true_are_three_values() -> None:
    for before, after in [(1, 1.0), (1, True), (0.0, -0.0), ([1], [1.0])]:
        assert len(between({"a": call("show", value=before)}, {"a": call("show", value=after)})) == 1


def test_a_whole_number_is_the_same_float_where_the_node_type_wants_one() -> None:
    a = of(nodes={"a": call("bounded", scale=5.0, steps=3), "b": call("odd", scale=5.0)})
    b = of(nodes={"a": call("bounded", scale=5, steps=3), "b": call("odd", scale=5)})
    assert said(a, b, TYPES) == ["b.scale: 5.0 -> 5"]
    assert said(a, b) == ["a.scale: 5.0 -> 5", "b.scale: 5.0 -> 5"]
    a["nodes"]["a"]["inputs"]["scale"] = 6.0
    assert said(a, b, TYPES)[0] == "a.scale: 6.0 -> 5"


# -- the file ------------------------------------------------------------------------------------------------


def test_fields_of_the_file_but_not_what_it_was_made_with() -> None:
    a = of(nodes={}, name="A", requires={"std": "1"})
    b = of(nodes={}, name="B", description="What it does.")
    assert said(a, b) == [
        "name: 'A' -> 'B'",
        "description: now 'What it does.', was not given",
    ]


def test_named_inputs_and_outputs() -> None:
    nodes = {"a": call("show", x=1, y=2)}
    a = of(nodes=nodes, inputs={"p": "a.x", "q": "a.y"}, outputs={"o": "a.one", "r": "a.two"})
    b = of(nodes=nodes, inputs={"p": "a.y", "s": "a.x"}, outputs={"o": "a.two", "t": "a.one"})
    assert said(a, b) == [
        "input p: a.x -> a.y",
        "input q (a.y) was removed",
        "input s (a.x) was added",
        "output o: a.one -> a.two",
        "output r (a.two) was removed",
        "output t (a.one) was added",
    ]


def test_the_layout_has_one_line() -> None:
    a = of(nodes={}, layout={"a": {"at": [0, 0]}, "b": {"at": [1, 0]}})
    b = of(nodes={}, layout={"a": {"at": [5, 5]}, "c": {"at": [1, 0]}})
    assert said(a, b) == ["layout changed"]


def test_the_kinds_follow_each_other_in_one_order() -> None:
    a, b = loop(), loop(noise=call("blob", n=4), more=call("show"), save=call("show") | {"title": "S"})
    b |= {"name": "N", "outputs": {"x": "more.y"}, "layout": {"more": {}}}
    del inside(b)["nodes"]["guided"]
    kinds = [change.kind for change in changes(a, b)]
    assert sorted(kinds, key=KINDS.index) == kinds
    assert [*dict.fromkeys(kinds)] == [
        "field", "named_output", "node_added", "node_removed", "node_input", "node_title", "layout",
    ]  # fmt: skip


# -- nodes ---------------------------------------------------------------------------------------------------


def test_nodes_that_came_and_went_are_named_with_their_type_and_place() -> None:
    a, b = loop(old=call("blob", n=1)), loop(new=call("count", n=1))
    inside(b)["nodes"]["late"] = call("cfg", scale=1.0)
    assert said(a, b) == [
        "new (t.count) was added",
        "late (t.cfg) was added, in denoise.body",
        "old (t.blob) was removed",
    ]
    came = changes(a, b)[0]
    assert came == ("node_added", "new", "", None, call("count", n=1), "new (t.count) was added", "")


def test_a_loop_that_came_tells_its_nodes_one_by_one() -> None:
    a, b = of(nodes={"noise": LOOP["noise"]}), of(nodes={n: LOOP[n] for n in ("noise", "denoise")})
    assert said(a, b) == [
        "denoise (t.fold) was added",
        "guided (t.cfg) was added, in denoise.body",
        "next (t.mix) was added, in denoise.body",
    ]
    assert "nodes" not in changes(a, b)[0].after["inputs"]["body"]["graph"]


def test_another_type_is_a_change_of_the_same_node() -> None:
    assert edited(type="t.print") == ["type of save: t.show -> t.print"]


def test_titles_notes_versions_and_what_else_a_node_has() -> None:
    assert edited(title="Save", note="Look.", version=2, colour="red") == [
        "version of save: now 2, was not given",
        "title of save: now 'Save', was not given",
        "note of save: now 'Look.', was not given",
        "colour of save: now 'red', was not given",
    ]


def test_states_are_told_in_words() -> None:
    def states(before: dict[str, str], after: dict[str, str]) -> list[str]:
        return between({"a": call("show") | before}, {"a": call("show") | after})

    assert states({}, {"state": "muted"}) == ["a is muted now"]
    assert states({"state": "muted"}, {}) == ["a is no longer muted"]
    assert states({"state": "muted"}, {"state": "bypassed"}) == ["a is bypassed now instead of muted"]


# -- inputs --------------------------------------------------------------------------------------------------

NOTHING: dict[str, Any] = {}
LOOSE = body(["x"], {"x": "x"})


@pytest.mark.parametrize(
    ("before", "after", "text"),
    [
        ({"x": 5.0}, {"x": 7.5}, "5.0 -> 7.5"),
        ({"x": "a"}, {"x": None}, "'a' -> null"),
        ({"x": [1, "a"]}, {"x": {"a": True}}, """[1, 'a'] -> {"a": true}"""),
        ({"x": 3}, {"x": link("b.c")}, "now linked to b.c instead of 3"),
        ({"x": link("b.c")}, {"x": 3}, "now 3 instead of a link to b.c"),
        ({"x": link("b.c")}, {"x": link("b.d")}, "linked to b.c -> linked to b.d"),
        ({"x": [link("b.c"), 1]}, {"x": [link("b.d"), 1]}, "[b.c, 1] -> [b.d, 1]"),
        (NOTHING, {"x": None}, "now null, was not given"),
        ({"x": None}, NOTHING, "no longer given, was null"),
        (NOTHING, {"x": link("b.c")}, "now linked to b.c, was not given"),
        ({"x": link("b.c")}, NOTHING, "no longer linked to b.c"),
        ({"x": 3}, {"x": LOOSE}, "now a body instead of 3"),
        ({"x": LOOSE}, {"x": link("b.c")}, "now linked to b.c instead of a body"),
        (NOTHING, {"x": LOOSE}, "now a body, was not given"),
        ({"x": LOOSE}, NOTHING, "no longer given, was a body"),
    ],
)
def test_inputs_in_words(before: dict[str, Any], after: dict[str, Any], text: str) -> None:
    found = changes(of(nodes={"a": call("f", **before)}), of(nodes={"a": call("f", **after)}))
    assert [(c.kind, c.node, c.input, c.text) for c in found] == [("node_input", "a", "x", f"a.x: {text}")]
    assert found[0].before == (LOOSE_DATA if before.get("x") is LOOSE else before.get("x"))


LOOSE_DATA = {"graph": {"inputs": ["x"], "outputs": {"x": "x"}}}


def test_long_values_show_what_differs() -> None:
    start = "A picture of a house beside a tree, and of much more that nobody wants to read again, "
    (text,) = between({"a": call("f", x=start + "by day")}, {"a": call("f", x=start + "at night")})
    assert text == "a.x: ...to read again, by day' -> ...to read again, at night'"
    (text,) = between({"a": call("f", x="b" * 1000)}, {"a": call("f", x="a" + "b" * 1000)})
    assert text.startswith("a.x: 'bbb")
    assert len(text) < 200


def test_a_change_in_a_body_is_told_of_the_node() -> None:
    a, b = loop(), loop()
    inside(b)["nodes"]["guided"]["inputs"]["scale"] = 7.5
    assert said(a, b) == ["guided.scale: 5.0 -> 7.5"]


# -- bodies --------------------------------------------------------------------------------------------------


def test_the_inputs_and_outputs_of_a_body() -> None:
    a, b = loop(), loop()
    inside(b).update(inputs=["x", "i", "k"], outputs={"y": "next.blob"})
    assert said(a, b) == [
        "inputs of denoise.body: ['x', 'i'] -> ['x', 'i', 'k']",
        "denoise.body: output x (next.blob) was removed",
        "denoise.body: output y (next.blob) was added",
    ]
    inside(b).update(inputs=["x", "i"], outputs={"x": "guided.blob"})
    (change,) = changes(a, b)
    assert change[:5] == ("body_output", "denoise", "x", "next.blob", "guided.blob")
    assert change.text == "denoise.body: output x: next.blob -> guided.blob"


def test_a_node_that_went_from_one_body_to_another_was_moved() -> None:
    a, b = loop(), loop()
    b["nodes"]["guided"] = inside(b)["nodes"].pop("guided")
    assert said(a, b) == ["guided was moved from denoise.body to the top"]
    assert said(b, a) == ["guided was moved from the top to denoise.body"]


# -- renaming ------------------------------------------------------------------------------------------------


def renamed(data: dict[str, Any], **names: str) -> dict[str, Any]:
    """The same file with other ids everywhere."""
    text = json.dumps(data)
    for old, new in names.items():
        text = text.replace(f'"{old}"', f'"{new}"').replace(f'"{old}.', f'"{new}.')
    found: dict[str, Any] = json.loads(text)
    return found


def test_a_renamed_node_is_one_change_wherever_it_is_used() -> None:
    a = loop() | {"inputs": {"n": "noise.n"}, "layout": {"noise": {"at": [0, 0]}}}
    (change,) = changes(a, renamed(a, noise="start"))
    assert change == ("node_renamed", "start", "", "noise", "start", "noise was renamed to start", "")


def test_a_loop_and_all_its_nodes_may_be_renamed_at_once() -> None:
    a = loop() | {"outputs": {"o": "denoise.result"}}
    b = renamed(a, noise="n", denoise="d", guided="g", next="m", save="s")
    assert said(a, b) == [
        "noise was renamed to n",
        "denoise was renamed to d",
        "save was renamed to s",
        "guided was renamed to g",
        "next was renamed to m",
    ]


def test_a_node_with_another_input_is_another_node_and_its_users_say_so() -> None:
    a = loop()
    b = renamed(a, noise="start")
    b["nodes"]["start"]["inputs"]["n"] = 4
    assert said(a, b) == [
        "start (t.blob) was added",
        "noise (t.blob) was removed",
        "denoise.start: linked to noise.blob -> linked to start.blob",
    ]


def test_a_text_that_reads_like_a_link_is_not_renamed() -> None:
    a = of(nodes={"a": call("f", x=1), "b": call("g", x="a.value", y=link("a.value"))})
    b = of(nodes={"c": call("f", x=1), "b": call("g", x="a.value", y=link("c.value"))})
    assert said(a, b) == ["a was renamed to c"]
    b["nodes"]["b"]["inputs"]["x"] = "c.value"
    assert said(a, b) == ["a was renamed to c", "b.x: 'a.value' -> 'c.value'"]


def test_of_equal_nodes_each_is_renamed_once() -> None:
    a = of(nodes={"a": call("f", x=1), "b": call("f", x=1)})
    assert said(a, renamed(a, a="c", b="d")) == ["a was renamed to c", "b was renamed to d"]
    less = of(nodes={"c": call("f", x=1)})
    assert said(a, less) == ["b (t.f) was removed", "a was renamed to c"]


def test_nodes_on_a_cycle_are_compared_too() -> None:
    a = of(
        nodes={"a": call("f", x=link("b.y")), "b": call("f", x=link("a.y")), "c": call("g", x=link("a.y"))}
    )
    assert changes(a, a) == []
    assert said(a, renamed(a, a="d", b="e", c="h")) == [
        "d (t.f) was added",
        "e (t.f) was added",
        "h (t.g) was added",
        "a (t.f) was removed",
        "b (t.f) was removed",
        "c (t.g) was removed",
    ]


# -- sub-workflows -------------------------------------------------------------------------------------------


def graph(**nodes: Any) -> dict[str, Any]:
    return {"inputs": {"image": "resize.image"}, "outputs": {"image": "resize.image"}, "nodes": nodes}


def test_changes_in_a_graph_say_in_which() -> None:
    a = of(nodes={"resize": call("f")}, graphs={"upscale": graph(resize=call("resize", factor=2))})
    b = of(nodes={"resize": call("f")}, graphs={"upscale": graph(resize=call("resize", factor=4))})
    b["graphs"]["upscale"] |= {"name": "Up", "layout": {"resize": {}}}
    b["graphs"]["upscale"]["inputs"] = {}
    assert said(a, b) == [
        "in graph upscale: name: now 'Up', was not given",
        "in graph upscale: input image (resize.image) was removed",
        "in graph upscale: resize.factor: 2 -> 4",
        "in graph upscale: layout changed",
    ]
    assert {change.graph for change in changes(a, b)} == {"upscale"}


def test_graphs_come_and_go() -> None:
    a = of(nodes={}, graphs={"one": graph(resize=call("f"))})
    b = of(nodes={}, graphs={"two": graph(resize=call("g"))})
    assert said(a, b) == ["graph two was added", "graph one was removed"]


def test_a_renamed_graph_is_one_change_wherever_it_runs() -> None:
    a = of(nodes={"u": {"type": "graph:one"}}, graphs={"one": graph(resize=call("f"))})
    assert said(a, json.loads(json.dumps(a).replace("one", "two"))) == ["graph one was renamed to two"]


# -- any two files -------------------------------------------------------------------------------------------

ids = st.sampled_from("abcdefgh")
literals = st.none() | st.integers(0, 2) | st.sampled_from(["", "a.x", 1.0, True])
values = (
    literals | st.builds(link, st.sampled_from(["a.x", "b.x", "c.y", "x"])) | st.lists(literals, max_size=2)
)


def files(nodes: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    named = st.dictionaries(ids, st.sampled_from(["a.x", "b.y", "e.x"]), max_size=2)
    fields = {"inputs": named, "outputs": named, "name": st.sampled_from("AB"), "layout": named}
    return st.fixed_dictionaries({"nodes": nodes}, optional=fields)


def some_nodes(depth: int) -> st.SearchStrategy[Any]:
    inner = values
    if depth:
        outputs = st.dictionaries(ids, st.sampled_from(["a.x", "x"]), max_size=1)
        whole = {"inputs": st.lists(ids, max_size=2), "outputs": outputs, "nodes": some_nodes(depth - 1)}
        inner = values | st.builds(lambda g: {"graph": g}, st.fixed_dictionaries(whole))
    inputs = st.dictionaries(st.sampled_from("pq"), inner, max_size=2)
    more = {"title": st.sampled_from("ST"), "state": st.sampled_from(["muted", "bypassed"])}
    node = st.fixed_dictionaries({"type": st.sampled_from(["t.f", "t.g"]), "inputs": inputs}, optional=more)
    return st.dictionaries(ids, node, max_size=3)


def told_apart(data: dict[str, Any], seen: set[str]) -> dict[str, Any]:
    """The same file without the nodes whose ids were there before."""
    if "nodes" not in data:
        return data
    kept: dict[str, Any] = {}
    for id, node in data["nodes"].items():
        if id not in seen:
            seen.add(id)
            inputs = {name: body_of(value, seen) for name, value in node["inputs"].items()}
            kept[id] = {**node, "inputs": inputs}
    return {**data, "nodes": kept}


def body_of(value: Any, seen: set[str]) -> Any:
    """The same with a body, and any other value as it is."""
    whole = isinstance(value, dict) and "graph" in value
    return {"graph": told_apart(value["graph"], seen)} if whole else value


whole_files = st.builds(
    lambda data, graphs: {"format": 1, **told_apart(data, set()), "graphs": graphs},
    files(some_nodes(2)),
    st.dictionaries(st.sampled_from("gh"), files(some_nodes(0)), max_size=2),
)


@given(whole_files)
def test_a_file_does_not_differ_from_itself(data: Any) -> None:
    assert changes(data, turned_round(data)) == changes(turned_round(data), data) == []


def leaves(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Where there are values that are neither lists nor objects."""
    if isinstance(value, dict | list):
        inner = value.items() if isinstance(value, dict) else enumerate(value)
        return [leaf for key, v in inner for leaf in leaves(v, (*path, key))]
    return [path]


@given(whole_files, st.data())
def test_no_value_changes_without_being_told(data: Any, drawn: st.DataObject) -> None:
    path = drawn.draw(st.sampled_from([leaf for leaf in leaves(data) if leaf != ("format",)] or [("name",)]))
    other = json.loads(json.dumps(data))
    place = other
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = "other"
    assert changes(data, other)
    assert changes(other, data)


@given(whole_files, whole_files)
def test_a_difference_is_found_in_both_directions(a: Any, b: Any) -> None:
    there, back = changes(a, b), changes(b, a)
    assert bool(there) == bool(back)
    assert all(change.kind in KINDS and "\n" not in change.text for change in there)
    opposite = {"node_added": "node_removed", "node_removed": "node_added", "node_renamed": "node_renamed"}
    assert sorted(opposite[c.kind] for c in there if c.kind in opposite) == sorted(
        c.kind for c in back if c.kind in opposite
    )


@pytest.mark.parametrize("field", ["nodes", "inputs", "outputs", "graphs", "layout", "requires"])
@pytest.mark.parametrize("value", [None, 1, [], {"a": 1}, {"a": {"inputs": 1, "outputs": [], "nodes": "x"}}])
def test_fields_of_the_wrong_kind_do_no_harm(field: str, value: Any) -> None:
    assert changes({"format": 1, field: value}, {"format": 1, field: value}) == []
    assert isinstance(changes({"format": 1, field: value}, of(nodes={})), list)


def test_a_long_chain_that_is_renamed_from_end_to_end() -> None:
    a = json.loads(chain(3000))
    b = json.loads(json.dumps(a).replace('"n', '"m').replace('"modes"', '"nodes"'))
    found = changes(a, b)
    assert len(found) == 3000
    assert {change.kind for change in found} == {"node_renamed"}
