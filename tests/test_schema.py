"""The JSON Schema of workflow files."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Annotated, Any, Literal

import pytest
from annotated_types import Ge, Le, MultipleOf
from hypothesis import assume, given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from pydantic import Field
from samples import TYPES, Blob, body, call, link

from graphengine import formatting, reader, resources
from graphengine.authoring import Ui, node
from graphengine.check import check
from graphengine.migrate import FORMAT
from graphengine.nodetype import NodeType
from graphengine.registry import Registry, installed
from graphengine.schema import BEYOND, schema
from graphengine.signature import read
from graphengine.workflow import Workflow


@node
def rich(
    blob: Blob,
    size: Annotated[int, Field(ge=8, le=64, multiple_of=8, description="a side"), Ui(unit="px")],
    share: Annotated[float, Ge(0), Le(1), MultipleOf(0.1)] = 0.5,
    colour: Annotated[str, Field(pattern=r"^#[0-9a-f]{6}$", description="a colour")] = "#ffffff",
    odd: Annotated[str, Field(pattern=r"(?i)^red\Z")] = "red",
    way: Literal["near", "far"] = "near",
    weights: Annotated[list[float], Field(min_length=1, max_length=3)] = (1.0,),
    blobs: list[Blob] = (),
    label: Annotated[str | None, Ui(label="Name")] = None,
    on: bool = True,
) -> int:
    """A node with every kind of input.

    And a second line.
    """
    return size


KINDS: dict[str, NodeType] = TYPES | {"t.rich": read(rich, "t", "1")}
BARE = Draft202012Validator(schema())
KNOWN = Draft202012Validator(schema(KINDS))
SHIPPED = Draft202012Validator(schema(Registry.load(installed()).types))


def of(**nodes: Any) -> dict[str, Any]:
    return {"format": 1, "nodes": nodes}


def richly(**inputs: Any) -> dict[str, Any]:
    """A file with a node that has what it needs, and these inputs."""
    return of(b=call("blob", n=1), a=call("rich", **({"blob": link("b.blob"), "size": 8} | inputs)))


# -- the format ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("validator", [BARE, KNOWN, SHIPPED], ids=["bare", "known", "shipped"])
def test_it_is_a_schema_and_plain_json(validator: Draft202012Validator) -> None:
    Draft202012Validator.check_schema(validator.schema)
    assert json.loads(json.dumps(validator.schema, allow_nan=False)) == validator.schema
    assert BEYOND in validator.schema["description"]


def test_it_names_the_fields_that_the_reader_knows_and_the_formatter_orders() -> None:
    whole = schema()
    defined = whole["$defs"]
    assert whole["properties"].keys() == reader.FIELDS
    assert defined["node"]["properties"].keys() == reader.NODE_FIELDS
    assert defined["body"]["properties"]["graph"]["properties"].keys() == reader.BODY_FIELDS
    assert [*whole["properties"]] == [*formatting.FIELDS["file"]]
    assert [*defined["node"]["properties"]] == [*formatting.FIELDS["node"]]
    assert [*defined["graph"]["properties"]] == [*formatting.FIELDS["graph"]]
    assert whole["properties"]["format"]["const"] == FORMAT


@pytest.mark.parametrize("name", resources.workflow_names())
def test_every_shipped_workflow_validates(name: str) -> None:
    path = resources.workflow(name)
    assert path is not None
    data = json.loads(path.read_text("utf-8"))
    for validator in (BARE, SHIPPED):
        assert [*validator.iter_errors(data)] == []


WHOLE = {
    "format": 1,
    "name": "☃",
    "description": "",
    "requires": {"std": "1"},
    "inputs": {"Any name": "loop.over"},
    "outputs": {"x": "loop.result"},
    "nodes": {
        "loop": {
            "type": "unheard.of",
            "version": 2,
            "title": "t",
            "note": "n",
            "state": "bypassed",
            "inputs": {
                "over": [1, {"link": "up.x"}, {"value": {"link": "y"}}, {"a": 1}],
                "body": {"graph": {"inputs": ["x"], "outputs": {"y": "x"}, "nodes": {"in": {"type": "a"}}}},
                "odd": {"link": 1, "more": 2},
                "empty": {},
            },
        },
        "up": {"type": "graph:up"},
    },
    "graphs": {
        "up": {
            "name": "U",
            "inputs": {"x": "a.x"},
            "outputs": {},
            "nodes": {"a": {"type": "a"}},
            "layout": {},
        }
    },
    "layout": {"loop": {"at": [0, 0]}},
}


@pytest.mark.parametrize("validator", [BARE, KNOWN], ids=["bare", "known"])
def test_everything_that_the_format_has_is_accepted_with_unknown_types(
    validator: Draft202012Validator,
) -> None:
    assert [*validator.iter_errors(WHOLE)] == []


DEEP: list[tuple[list[str], Any]] = [
    (["format"], 2),
    (["format"], "1"),
    (["nodse"], {}),
    (["nodes"], []),
    (["name"], 1),
    (["inputs", "x"], "loop"),
    (["inputs", "x"], {"link": "loop.over"}),
    (["outputs", "x"], "loop"),
    (["nodes", "Loop"], {"type": "a"}),
    (["nodes", "two words"], {"type": "a"}),
    (["nodes", "loop"], "unheard.of"),
    (["nodes", "loop", "type"], None),
    (["nodes", "loop", "type"], ""),
    (["nodes", "loop", "state"], "sleeping"),
    (["nodes", "loop", "state"], None),
    (["nodes", "loop", "version"], 0),
    (["nodes", "loop", "version"], "2"),
    (["nodes", "loop", "title"], 1),
    (["nodes", "loop", "colour"], "red"),
    (["nodes", "loop", "inputs"], []),
    (["nodes", "loop", "inputs", "over"], {"link": 5}),
    (["nodes", "loop", "inputs", "over"], {"link": "Not an id.x"}),
    (["nodes", "loop", "inputs", "over"], [{"link": 5}]),
    (["nodes", "loop", "inputs", "over"], [WHOLE["nodes"]["loop"]["inputs"]["body"]]),
    (["nodes", "loop", "inputs", "body"], {"graph": []}),
    (["nodes", "loop", "inputs", "body", "graph", "layout"], {}),
    (["nodes", "loop", "inputs", "body", "graph", "inputs"], {"x": 1}),
    (["nodes", "loop", "inputs", "body", "graph", "inputs"], ["x", "x"]),
    (["nodes", "loop", "inputs", "body", "graph", "nodes", "in", "state"], "off"),
    (["nodes", "loop", "inputs", "body", "graph", "nodes", "IN"], {"type": "a"}),
    (["graphs", "Up"], {}),
    (["graphs", "up", "format"], 1),
    (["graphs", "up", "nodes", "a", "inputs"], {"x": {"link": ""}}),
]


@pytest.mark.parametrize(("path", "value"), DEEP, ids=str)
def test_a_mistake_in_the_format_is_found(path: list[str], value: Any) -> None:
    data = json.loads(json.dumps(WHOLE))
    place = data
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    assert not BARE.is_valid(data)
    assert not KNOWN.is_valid(data)


def test_a_file_without_a_format_is_none() -> None:
    assert not BARE.is_valid({"nodes": {}})
    assert BARE.is_valid({"format": 1})


# -- node types ----------------------------------------------------------------------------------------------

BODY = body(["x", "i"], {"y": "x"})
WRONG = {
    "unknown input": richly(sise=8),
    "missing input": of(b=call("blob", n=1), a=call("rich", size=8)),
    "no inputs at all": of(a={"type": "t.rich"}),
    "text for number": richly(size="8"),
    "number for text": richly(colour=5),
    "fraction for whole number": richly(size=8.5),
    "true for number": richly(size=True),
    "number for true": richly(on=1),
    "too small": richly(size=0),
    "too large": richly(size=72),
    "no multiple": richly(size=9),
    "fraction too large": richly(share=1.5),
    "no choice": richly(way="nearby"),
    "pattern": richly(colour="red"),
    "null where none may be": richly(size=None),
    "literal for a wire": richly(blob=3),
    "body for a value": richly(size=BODY),
    "list for a number": richly(size=[8]),
    "number for a list": richly(weights=1.0),
    "text in a list of numbers": richly(weights=["a"]),
    "too few items": richly(weights=[]),
    "too many items": richly(weights=[1, 2, 3, 4]),
    "literal in a list of a wire": richly(blobs=[1]),
    "literal for a body": of(f=call("fold", start=1, over=[], body=3)),
    "link for a body": of(f=call("fold", start=1, over=[], body=link("f.result"))),
    "too few inputs of a body": of(f=call("fold", start=1, over=[], body=body(["x"], {"y": "x"}))),
    "no inputs of a body": of(f=call("fold", start=1, over=[], body={"graph": {"outputs": {"y": "a.b"}}})),
    "no output of a body": of(f=call("fold", start=1, over=[], body=body(["x", "i"], {}))),
    "two outputs of a body": of(
        f=call("fold", start=1, over=[], body=body(["x", "i"], {"y": "x", "z": "x"}))
    ),
    "mistake in a body": of(
        f=call("fold", start=1, over=[], body=body(["x", "i"], {"y": "x"}, n=call("count", n="many")))
    ),
}


@pytest.mark.parametrize("mistake", WRONG)
def test_a_mistake_at_a_known_type_is_found(mistake: str) -> None:
    data = WRONG[mistake]
    assert check(Workflow.of(data), KINDS) != []
    assert not KNOWN.is_valid(data)
    unknown = json.loads(json.dumps(data).replace('"t.', '"unknown.'))
    assert BARE.is_valid(unknown)
    assert KNOWN.is_valid(unknown)


RIGHT = {
    "the least": richly(),
    "bounds": richly(size=64, share=0, weights=[1], way="far"),
    "a tenth, as floats have it": richly(share=0.3),
    "a pattern of Python's": richly(odd="RED"),
    "null": richly(label=None),
    "a list with links": richly(weights=[1, link("n.value"), {"value": 2}], blobs=[link("b.blob")]),
    "links": richly(size=link("n.value"), on=link("n.value"), weights=link("n.value")),
    "wrapped": richly(size={"value": 8}, share={"value": 0.5}, weights={"value": [1.0]}),
    "an empty list of wires": richly(blobs=[]),
    "a seed that is drawn": of(a=call("seeded", seed=None)),
    "a loop": of(f=call("fold", start=1, over=[link("f.x")], body=BODY)),
    "anything": of(f=call("fold", start={"a": [1]}, over=[{"b": 2}, None], body=BODY)),
}


@pytest.mark.parametrize("case", RIGHT)
def test_what_a_known_type_takes_is_accepted(case: str) -> None:
    assert [*KNOWN.iter_errors(RIGHT[case])] == []


def test_a_pattern_that_only_python_reads_is_left_out() -> None:
    ports = schema(KINDS)["$defs"]["t.rich"]["properties"]
    patterns = {name: port["anyOf"][0].get("pattern") for name, port in ports.items()}
    assert (patterns["colour"], patterns["odd"]) == ("^#[0-9a-f]{6}$", None)


def test_a_node_that_does_not_run_may_lack_inputs_but_has_no_others() -> None:
    node = {"type": "t.rich", "inputs": {"size": 8}}
    assert not KNOWN.is_valid(of(a=node))
    assert KNOWN.is_valid(of(a=node | {"state": "muted"}))
    assert not KNOWN.is_valid(of(a=node | {"state": "muted", "inputs": {"sise": 8}}))


def test_inputs_that_were_written_for_another_version_of_a_type_are_not_judged() -> None:
    newer = Draft202012Validator(schema(KINDS | {"t.rich": replace(KINDS["t.rich"], version=3)}))
    data = richly(sise=8)
    assert not newer.is_valid(data)
    data["nodes"]["a"]["version"] = 3
    assert not newer.is_valid(data)
    data["nodes"]["a"]["version"] = 2
    assert newer.is_valid(data)


def test_an_editor_is_told_what_each_type_and_input_is() -> None:
    whole = schema(KINDS | {"t.add": replace(KINDS["t.add"], deprecated="use t.total")})
    offered = {
        option.get("const"): option for option in whole["$defs"]["node"]["properties"]["type"]["anyOf"]
    }
    assert offered["t.rich"] == {
        "const": "t.rich",
        "title": "Rich",
        "description": "A node with every kind of input.",
    }
    assert offered["t.add"]["deprecated"] is True
    assert KINDS.keys() <= offered.keys()
    found = whole["$defs"]["t.rich"]
    assert found["description"] == "A node with every kind of input.\n\nAnd a second line."
    assert {name: port["description"] for name, port in found["properties"].items()} == {
        "blob": "A Blob.",
        "size": "A whole number, 8 to 64 px; a side.",
        "share": "A number, 0 to 1.",
        "colour": "A text; a colour.",
        "odd": "A text.",
        "way": "A text: near, far.",
        "weights": "A list of numbers.",
        "blobs": "A list of Blob.",
        "label": "A text.",
        "on": "True or false.",
    }
    assert found["properties"]["label"]["title"] == "Name"
    assert {name: port["default"] for name, port in found["properties"].items() if "default" in port} == {
        "share": 0.5, "colour": "#ffffff", "odd": "red", "way": "near", "weights": [1.0], "blobs": [],
        "label": None, "on": True,
    }  # fmt: skip
    assert (
        whole["$defs"]["t.fold"]["properties"]["body"]["description"] == "A body that gets T, S, and gives T."
    )


# -- any file ------------------------------------------------------------------------------------------------

INTS = ["a.value", "b.value", "c.low", "d.value"]
whole_numbers = st.integers(-3, 3) | st.builds(link, st.sampled_from(INTS))
whole_numbers |= st.builds(lambda n: {"value": n}, st.integers(0, 3))
lists = st.lists(whole_numbers, max_size=3) | st.just(link("e.value"))


@st.composite
def files(draw: st.DrawFn) -> dict[str, Any]:
    """A file with most kinds of node; now and then with a link that leads nowhere, or in a circle."""
    step = call("add", a=draw(st.sampled_from([link("x"), link("a.value"), 1])), b=draw(whole_numbers))
    bounded = {"steps": whole_numbers, "scale": st.integers(-1, 101) | st.floats(0, 100),
               "kind": st.sampled_from("abc"), "note": st.none() | st.text()}  # fmt: skip
    every = {
        "a": call("add", a=draw(st.integers()), b=draw(st.integers())),
        "b": call("total", items=draw(lists)),
        "c": call("split", a=draw(whole_numbers)),
        "d": call("seeded", seed=draw(st.none() | st.integers(-1, 2**33))),
        "e": call("count", n=draw(whole_numbers)),
        "f": call(
            "fold",
            start=draw(whole_numbers),
            over=draw(lists),
            body=body(["x", "i"], {"x": "m.value"}, m=step),
        ),
        "g": call("bounded", **draw(st.fixed_dictionaries({}, optional=bounded))),
        "h": call("switch", first=draw(st.booleans()), a=draw(whole_numbers), b=draw(whole_numbers)),
        "j": call("mix", blob=draw(st.sampled_from([link("k.blob"), 3])), item=draw(whole_numbers)),
        "k": call("blob", n=draw(whole_numbers)),
    }
    kept = draw(st.sets(st.sampled_from([*every])))
    needed = {"a", "b", "c", "d", "e", "k"} if kept else set()
    return of(**{id: node for id, node in every.items() if id in kept | needed})


@given(files())
def test_what_check_accepts_the_schema_accepts(data: dict[str, Any]) -> None:
    assume(check(Workflow.of(data), KINDS) == [])
    assert [*BARE.iter_errors(data)] == []
    assert [*KNOWN.iter_errors(data)] == []


def test_nested_bodies_are_each_looked_at_once() -> None:
    """Twice would take 2 ** 25 steps."""
    inner = {"m": call("add", a=link("x"), b=1)}
    for level in range(25):
        inner = {f"f{level}": call("map", over=[1], body=body(["x"], {"y": "x"}, **inner))}
    for validator in (BARE, KNOWN):
        assert validator.is_valid(of(**inner))
    inner["f24"]["inputs"]["body"]["graph"]["nodes"]["f23"]["inputs"]["over"] = 3
    assert not KNOWN.is_valid(of(**inner))
