"""The canonical text of a workflow."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from samples import body, call, chain, file, link

from graphengine import formatting, resources
from graphengine.formatting import NARROW, WIDTH, text
from graphengine.reader import DEPTH, LARGEST
from graphengine.workflow import Workflow


def of_nodes(**nodes: Any) -> dict[str, Any]:
    return {"format": 1, "nodes": nodes}


def lines(data: Any) -> list[str]:
    return text(data).splitlines()


# -- what it looks like --------------------------------------------------------------------------------------


def test_a_file_has_its_known_fields_in_order_and_the_rest_after_them_as_they_were() -> None:
    data = json.loads("""{
        "odd": 1, "layout": {"b": {"at": [0, 1.5]}, "a": {"at": [0, 0]}}, "even": 2,
        "graphs": {"g": {"nodes": {}, "extra": 0, "outputs": {"x": "a.b"}, "inputs": {}, "name": "G"}},
        "nodes": {
            "b": {"inputs": {}, "odd": 0, "state": "muted", "note": "n", "title": "t",
                  "version": 2, "type": "b"},
            "a": {"type": "a"}
        },
        "outputs": {"y": "b.c"}, "inputs": {"q": "b.z", "p": "b.a"}, "requires": {"std": "1"},
        "description": "d", "name": "☃", "format": 1
    }""")
    assert text(data) == (
        "{\n"
        '  "format": 1,\n'
        '  "name": "☃",\n'
        '  "description": "d",\n'
        '  "requires": {"std": "1"},\n'
        '  "inputs": {"q": "b.z", "p": "b.a"},\n'
        '  "outputs": {"y": "b.c"},\n'
        '  "nodes": {\n'
        '    "b": {"type": "b", "version": 2, "title": "t", "note": "n", "state": "muted", '
        '"inputs": {}, "odd": 0},\n'
        '    "a": {"type": "a"}\n'
        "  },\n"
        '  "graphs": {\n'
        '    "g": {\n'
        '      "name": "G",\n'
        '      "inputs": {},\n'
        '      "outputs": {"x": "a.b"},\n'
        '      "nodes": {},\n'
        '      "extra": 0\n'
        "    }\n"
        "  },\n"
        '  "layout": {\n'
        '    "b": {"at": [0, 1.5]},\n'
        '    "a": {"at": [0, 0]}\n'
        "  },\n"
        '  "odd": 1,\n'
        '  "even": 2\n'
        "}\n"
    )


def test_a_node_with_a_body_is_spread_out_however_short_it_is() -> None:
    short = body(["x"], {"y": "m.value"}, m=call("add", a=link("x")))
    assert lines(of_nodes(f=call("map", over=[1, 2], body=short)))[3:-2] == [
        '    "f": {',
        '      "type": "t.map",',
        '      "inputs": {',
        '        "over": [1, 2],',
        '        "body": {"graph": {',
        '          "inputs": ["x"],',
        '          "outputs": {"y": "m.value"},',
        '          "nodes": {',
        '            "m": {"type": "t.add", "inputs": {"a": {"link": "x"}}}',
        "          }",
        "        }}",
        "      }",
        "    }",
    ]


def test_a_node_that_fits_has_one_line_and_one_that_does_not_has_one_for_each_input() -> None:
    def node(letters: int) -> list[str]:
        return lines(of_nodes(a=call("add", a=link("b.value"), text="x" * letters)))[3:-2]

    empty = len(node(0)[0])
    (longest,) = node(WIDTH - 1 - empty)  # a comma may follow
    assert len(longest) == WIDTH - 1
    assert node(WIDTH - empty) == [
        '    "a": {',
        '      "type": "t.add",',
        '      "inputs": {',
        '        "a": {"link": "b.value"},',
        f'        "text": "{"x" * (WIDTH - empty)}"',
        "      }",
        "    }",
    ]


def test_a_node_keeps_its_line_when_another_follows_it() -> None:
    for letters in range(60, 90):
        first = call("add", text="x" * letters)
        alone, followed = text(of_nodes(a=first)), text(of_nodes(a=first, b=call("add")))
        assert alone.splitlines()[3:-2][-1] + "," in followed.splitlines()


def test_an_input_that_fits_on_no_line_is_spread_out_in_turn() -> None:
    found = lines(of_nodes(a=call("total", items=[[n] * 9 for n in range(5)] + list(range(40)))))
    assert '        "items": [' in found
    assert "          [0, 0, 0, 0, 0, 0, 0, 0, 0]," in found
    assert "          39" in found


def test_no_line_is_wider_than_the_width_unless_a_text_is() -> None:
    data = of_nodes(
        **{f"n{i}": call("add", **{f"in{k}": link(f"n{k}.v") for k in range(i)}) for i in range(9)}
    )
    assert max(map(len, lines(data))) <= WIDTH
    long = of_nodes(a=call("add", text="x" * 200))
    assert [row.strip() for row in lines(long) if len(row) > WIDTH] == [f'"text": "{"x" * 200}"']


def nested(depth: int) -> dict[str, Any]:
    """Bodies in each other."""
    nodes: dict[str, Any] = {"m": call("add", a=link("x"))}
    for level in range(depth):
        nodes = {
            f"f{level}": call("map", over=link("far.value"), body=body(["x"], {"x": "m.value"}, **nodes))
        }
    return of_nodes(far=call("count", n=1), **nodes)


def test_a_link_is_never_broken_up_however_deep_it_stands() -> None:
    found = text(nested(DEPTH))
    assert found.count('{"link": "far.value"}') == DEPTH
    assert max(map(len, found.splitlines())) > WIDTH + NARROW
    assert Workflow.parse(found).problems == ()


@pytest.mark.parametrize("name", resources.workflow_names())
def test_every_shipped_workflow_is_in_the_canonical_form(name: str) -> None:
    path = resources.workflow(name)
    assert path is not None
    assert Workflow.load(path).text() == path.read_text("utf-8")


# -- what it keeps -------------------------------------------------------------------------------------------

numbers = st.floats(allow_nan=False, allow_infinity=False)
anything = st.recursive(
    st.none() | st.booleans() | st.integers() | numbers | st.text(),
    lambda inner: (
        st.lists(inner, max_size=6)
        | st.dictionaries(st.sampled_from(["link", "graph", "value", "nodes", "inputs", "é\n"]), inner)
    ),
    max_leaves=20,
)
names = st.text("abc", min_size=1, max_size=3)
links = st.builds(lambda node, output: link(f"{node}.{output}"), names, names)


def graphs(nodes: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    fields = {"inputs": st.lists(names), "outputs": st.dictionaries(names, names), "nodes": nodes}
    return st.fixed_dictionaries({}, optional=fields | {"odd": anything, "name": st.text(max_size=80)})


def some_nodes(bodies: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    inputs = st.dictionaries(names, anything | links | st.builds(lambda b: {"graph": b}, bodies), max_size=4)
    fields = {"version": st.integers(), "title": st.text(), "odd": anything, "state": st.just("muted")}
    node = st.fixed_dictionaries({"inputs": inputs, "type": st.text(max_size=120)}, optional=fields)
    return st.dictionaries(names, node, max_size=3)


nodes = st.recursive(some_nodes(st.just({})), lambda inner: some_nodes(graphs(inner)), max_leaves=6)
workflows = st.fixed_dictionaries(
    {"format": st.just(1)},
    optional={
        "nodes": nodes | anything,
        "graphs": st.dictionaries(names, graphs(nodes), max_size=2) | anything,
        "layout": anything,
        "inputs": st.dictionaries(names, st.text(max_size=60)),
        "odd": anything,
    },
)


def strict(value: Any) -> str:
    """Equal for equal data only: 1, 1.0 and true differ; the order of keys does not count."""
    return json.dumps(value, sort_keys=True)


@given(workflows)
def test_the_text_is_read_as_the_same_data(data: Any) -> None:
    assert strict(json.loads(text(data))) == strict(data)


@given(workflows)
def test_formatting_the_text_again_changes_nothing(data: Any) -> None:
    once = text(data)
    assert text(json.loads(once)) == once


@given(workflows)
def test_the_order_of_known_fields_makes_no_difference(data: Any) -> None:
    assert text(dict(reversed(data.items()))) == text(data)


@given(st.permutations("abcdef"))
def test_nodes_and_inputs_stay_in_the_users_order(order: list[str]) -> None:
    data = json.loads(text(of_nodes(**{id: call("add", **dict.fromkeys(order, id)) for id in order})))
    assert [*data["nodes"]] == order
    assert [[*node["inputs"]] for node in data["nodes"].values()] == [order] * len(order)


@pytest.mark.parametrize("field", ["nodes", "graphs", "layout", "inputs", "outputs", "requires"])
@pytest.mark.parametrize(
    "value", [None, 1, "text", [], [1, {"a": []}], {}, {"a": None}, {"a": "text"}, {"a": [1]}]
)
def test_a_field_of_the_wrong_kind_is_kept_too(field: str, value: Any) -> None:
    data = {"format": 1, field: value}
    assert json.loads(text(data)) == data


def test_a_number_that_is_not_finite_is_refused() -> None:
    for data in (of_nodes(a=call("add", a=float("nan"))), {"layout": [float("inf")] * 50}):
        with pytest.raises(ValueError, match="not JSON compliant"):
            text(data)


# -- how much it takes ---------------------------------------------------------------------------------------


def test_a_long_chain_and_deep_brackets_are_formatted() -> None:
    data = json.loads(chain(20_000))
    assert text(data).count("\n") == 20_000 + 7
    deep: Any = []
    for _ in range(480):
        deep = [deep, "x" * 100]
    assert json.loads(text({"format": 1, "layout": deep})) == {"format": 1, "layout": deep}


def test_each_part_of_deep_brackets_is_looked_at_about_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Trying each of 400 levels on one line would encode the innermost list 400 times."""
    encoded = 0
    encode = formatting.ENCODE

    def counted(value: Any) -> str:
        nonlocal encoded
        found = encode(value)
        encoded += len(found)
        return found

    monkeypatch.setattr(formatting, "ENCODE", counted)
    deep: Any = list(range(1000))
    for _ in range(400):
        deep = [deep]
    text({"format": 1, "layout": deep})
    assert encoded < 100_000


def test_a_file_stays_readable_though_its_indentation_would_make_it_too_large() -> None:
    data = nested(DEPTH)
    inner = data["nodes"]
    while "m" not in inner:
        inner = next(node for id, node in inner.items() if id != "far")["inputs"]["body"]["graph"]["nodes"]
    inner |= {f"z{i}": call("add", **{f"in{k}": link("far.value") for k in range(12)}) for i in range(7000)}
    found = text(data)
    assert len(found) < LARGEST
    assert found.count("\n") == 1
    assert json.loads(found) == data


def test_what_is_saved_is_the_canonical_text() -> None:
    whole = file({}, a=call("add", a=1))
    assert Workflow.parse(whole).text() == text(json.loads(whole))
