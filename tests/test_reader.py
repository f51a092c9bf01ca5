from __future__ import annotations

import json
import time
import zlib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from samples import body, call, file, link

from graphengine.errors import Problem, WorkflowError
from graphengine.reader import DEPTH, LARGEST, NESTED, PNG, embedded, inflate
from graphengine.workflow import Workflow


def refused(text: str) -> str:
    """The one problem of text that is no workflow at all."""
    began = time.perf_counter()
    with pytest.raises(WorkflowError) as caught:
        Workflow.parse(text)
    assert time.perf_counter() - began < 1
    (problem,) = caught.value.problems
    return str(problem)


def problems(data: Any) -> list[str]:
    return [str(p) for p in Workflow.parse(data if isinstance(data, str) else json.dumps(data)).problems]


def whole(**fields: Any) -> dict[str, Any]:
    return {"format": 1, "nodes": {}, **fields}


# -- what is no workflow at all ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('{\n  "format": 1,\n  "nodes": {\n', "line 4, column 1 is not JSON: Expecting property name"),
        ('{"format": 1 2}', "line 1, column 14 is not JSON: "),
        ("{\"a\": 'b'}", "line 1, column 7 is not JSON: Expecting value; correct the text there"),
        ("", "line 1, column 1 is not JSON: Expecting value; correct the text there"),
        ('{"format": 1} x', "line 1, column 15 is not JSON: Extra data; correct the text there"),
        ('{"format": 1, "a": "\t"}', "line 1, column 21 is not JSON: Invalid control character at"),
        ("[]", "a workflow is a JSON object with nodes, not a list"),
        ("null", "a workflow is a JSON object with nodes, not null"),
        ("5", "a workflow is a JSON object with nodes, not a number"),
        ('"a"', "a workflow is a JSON object with nodes, not a text"),
        ("NaN", "a workflow is a JSON object with nodes, not a number"),
        ("1" * 5000, "the text is not JSON: "),
        ("{}", 'format: None is no file format; write "format": 1'),
        ('{"format": "1"}', "format: '1' is no file format; write \"format\": 1"),
        ('{"format": true}', 'format: True is no file format; write "format": 1'),
        ('{"format": 0}', 'format: 0 is no file format; write "format": 1'),
        (
            '{"format": 2}',
            "format: 2 is newer than this version of GraphEngine reads (1); upgrade GraphEngine",
        ),
    ],
)
def test_what_is_no_workflow_is_told_with_its_place(text: str, told: str) -> None:
    assert refused(text).startswith(told)


def test_a_text_that_is_too_large_is_refused_before_it_is_read() -> None:
    assert refused("[" * (LARGEST + 1)) == (
        f"the text has {LARGEST + 1:,} characters; a workflow has at most {LARGEST:,}"
    )


@pytest.mark.parametrize(
    "text",
    ["[" * 1_000_000, '{"a":' * 1_000_000, '{"format": 1, "layout": ' + "[" * 600 + "]" * 600 + "}"],
)
def test_brackets_without_end_are_refused(text: str) -> None:
    assert refused(text) == "brackets are nested too deeply to be a workflow"


# -- what is wrong with a file that is JSON ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('{"format": 1, "nodes": {}, "nodes": {}}', "the key 'nodes' is there twice; keep one"),
        (
            '{"format": 1, "nodes": {"a": {"type": "t.add"}, "a": {"type": "t.add"}}}',
            "a: the key 'a' is there twice; keep one",
        ),
        (
            '{"format": 1, "nodes": {"a": {"type": "t.add", "type": "t.add"}}}',
            "a: the key 'type' is there twice, as 't.add' and 't.add'; keep one",
        ),
        (
            '{"format": 1, "nodes": {"a": {"type": "t.add", "inputs": {"x": {"y": 1, "y": 2}}}}}',
            "a.x: the key 'y' is there twice, as 1 and 2; keep one",
        ),
        (
            '{"format": 1, "nodes": {"a": {"type": "t.add", "inputs": {"x": NaN}}}}',
            "a.x: NaN is no JSON number; write a finite number",
        ),
        (
            '{"format": 1, "nodes": {"a": {"type": "t.add", "inputs": {"x": [1, -Infinity]}}}}',
            "a.x: Infinity is no JSON number; write a finite number",
        ),
        (
            '{"format": 1, "nodes": {"a": {"type": "t.add", "inputs": {"x": 1e999}}}}',
            "a.x: Infinity is no JSON number; write a finite number",
        ),
        ('{"format": 1, "layout": {"a": NaN}}', "NaN is no JSON number; write a finite number"),
        (
            '{"format": 1, "nodes": {"a": {"type": "t.add", "inputs": {"x": "\\ud83d"}}}}',
            "a.x: '\\ud83d' has half a character; write it as UTF-8",
        ),
    ],
)
def test_what_json_lets_pass_is_told_with_its_place(text: str, told: str) -> None:
    assert problems(text) == [told]


def test_the_place_of_a_double_key_in_a_body_is_the_innermost_node() -> None:
    text = file({}, f=call("map", over=[1], body=body(["x"], {}, m=call("add", a=1, b=2))))
    assert problems(text.replace('"a": 1, "b": 2', '"a": 1, "a": 2')) == [
        "m.a: the key 'a' is there twice, as 1 and 2; keep one"
    ]


def test_every_double_key_is_told_once() -> None:
    assert problems('{"format": 1, "nodes": {"a": {"type": "t.x", "title": "", "title": "", "title": "", '
                    '"note": "", "note": ""}}}') == [
        "a: the key 'title' is there twice, as '' and '' and ''; keep one",
        "a: the key 'note' is there twice, as '' and ''; keep one",
    ]  # fmt: skip


def test_a_whole_pair_of_surrogates_is_a_character() -> None:
    workflow = Workflow.parse('{"format": 1, "name": "\\ud83d\\ude00"}')
    assert workflow.problems == ()
    assert workflow.name == "\U0001f600"
    workflow.text().encode()


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (whole(nodes=[]), "nodes: must be an object, {...}, and is a list"),
        (whole(inputs="a.x"), "inputs: must be an object, {...}, and is a text"),
        (whole(outputs=5), "outputs: must be an object, {...}, and is a number"),
        (
            whole(nodes={"a": 5}),
            "a: must be an object with a type and inputs, and is a number",
        ),
        (
            whole(nodes={"A b": call("add")}),
            "A b: 'A b' cannot be a node's id; write lower-case letters, digits and _",
        ),
        (whole(nodes={"": call("add")}), "'' cannot be a node's id; write lower-case letters, digits and _"),
        (
            whole(nodes={"a": {"inputs": {}}}),
            'a.type: null is no node type; write a text such as "image.save"',
        ),
        (whole(nodes={"a": {"type": ""}}), "a.type: '' is no node type; write a text such as \"image.save\""),
        (whole(nodes={"a": {"type": 7}}), 'a.type: 7 is no node type; write a text such as "image.save"'),
        (
            whole(nodes={"a": {"type": "t.add", "inputs": []}}),
            "a.inputs: must be an object, {...}, and is a list",
        ),
        (
            whole(nodes={"a": {"type": "t.add", "color": 1}}),
            "a.color: is no field of a node; it has inputs, note, state, title, type, version",
        ),
        (
            whole(nodes={"a": {"type": "t.add", "inputs": {"x": {"link": 5}}}}),
            'a.x: 5 is no link; write "node.output"',
        ),
        (
            whole(nodes={"a": {"type": "t.add", "inputs": {"x": {"link": ""}}}}),
            "a.x: '' is no link; write \"node.output\"",
        ),
        (
            whole(nodes={"a": {"type": "t.add", "inputs": {"x": [{"link": None}]}}}),
            'a.x: null is no link; write "node.output"',
        ),
        (whole(outputs={"o": 5}), 'outputs.o: 5 is no link; write "node.output"'),
        (
            whole(nodes={"a": {"type": "t.add", "inputs": {"x": {"graph": 5}}}}),
            "a.x: a body is an object with inputs, outputs and nodes, not a number",
        ),
        (
            whole(nodes={"a": {"type": "t.add", "inputs": {"x": [{"graph": {}}]}}}),
            "a.x: a body cannot stand in a list; make it the input's only value",
        ),
        (
            whole(nodes={"a": {"type": "t.add", "inputs": {"x": {"graph": {"color": 1}}}}}),
            "a.x: 'color' is no field of a body; it has inputs, nodes, outputs",
        ),
        (
            whole(nodes={"a": {"type": "t.add", "inputs": {"x": {"graph": {"inputs": ["B"]}}}}}),
            'a.x: the inputs of a body are a list of names, and not ["B"]',
        ),
        (
            whole(nodes={"a": {"type": "t.add", "inputs": {"x": {"graph": {"inputs": ["b", "b"]}}}}}),
            "a.x: the body has two inputs 'b'; rename one of them",
        ),
        (whole(inputs={"p": "a.x"}), "inputs.p: 'a.x' is no input of a node; write \"node.input\""),
        (
            whole(inputs={"p": "a"}, nodes={"a": call("add")}),
            "inputs.p: 'a' is no input of a node; write \"node.input\"",
        ),
        (whole(inputs={"p": 5}), 'inputs.p: 5 is no input of a node; write "node.input"'),
    ],
)
def test_what_is_no_part_of_a_workflow_is_told(data: Any, told: str) -> None:
    assert problems(data) == [told]


def test_an_unknown_field_is_told_with_those_that_there_are() -> None:
    (told,) = problems(whole(colour=1))
    assert told.startswith("colour: is no field of a workflow; it has description, format, graphs, inputs, ")


def test_a_state_is_muted_or_bypassed() -> None:
    (told,) = problems(whole(nodes={"a": call("add") | {"state": "mute"}}))
    assert told == "a.state: 'mute' is no state; write muted or bypassed, or remove it"


def test_a_version_is_a_number_from_1_on() -> None:
    (told,) = problems(whole(nodes={"a": call("add") | {"version": 0}}))
    assert told == "a.version: 0 is no version; write a whole number from 1 on"


def test_an_id_is_used_once_in_a_file_bodies_too() -> None:
    text = file({}, a=call("add"), f=call("map", body=body(["x"], {}, a=call("add"))))
    assert problems(text) == ["a: the id is used twice in the file; rename one of the two nodes"]


def test_every_problem_of_a_file_is_told_at_once_and_in_the_same_order() -> None:
    data = whole(
        zebra=1,
        apple=2,
        nodes={"a": {"type": 5, "z": 1, "b": 1, "inputs": {"x": {"link": 0}}}, "B": call("add"), "c": 0},
        outputs={"o": None},
        inputs={"i": "nowhere.x"},
    )
    told = problems(data)
    assert [text.partition(":")[0] for text in told] == [
        "apple", "zebra", "a.b", "a.z", "a.type", "a.x", "B", "c", "outputs.o", "inputs.i",
    ]  # fmt: skip


def nest(depth: int) -> str:
    inner: dict[str, Any] = {"n": call("add", a=1, b=1)}
    for k in range(depth):
        inner = {f"f{k}": call("map", over=[1], body=body([f"x{k}"], {}, **inner))}
    return file({}, **inner)


def test_bodies_nest_64_deep_and_no_deeper() -> None:
    assert problems(nest(DEPTH)) == []
    assert problems(nest(DEPTH + 1)) == [f"f0.body: bodies are nested deeper than {DEPTH}; take a level out"]
    assert "f0.body" in problems(nest(DEPTH + 20))[0] or "nested deeper" in problems(nest(DEPTH + 20))[0]


def test_a_literal_nests_64_deep_and_no_deeper() -> None:
    deep: Any = 1
    for _ in range(NESTED):
        deep = [deep]
    assert problems(whole(nodes={"a": call("any", x=deep)})) == []
    assert problems(whole(nodes={"a": call("any", x=[deep])})) == [
        f"a.x: lists and objects nest deeper than {NESTED} here; make it flatter"
    ]


# -- values, links and bodies --------------------------------------------------------------------------------


def test_an_input_is_a_literal_a_link_a_list_or_a_body() -> None:
    given = {
        "literal": 5, "text": "a", "links": [link("a.value"), 2], "plain": [1, 2], "link": link("a.value"),
        "bare": link("x"), "wrapped": {"value": {"link": "a.value"}}, "object": {"a": 1, "link": "b.c"},
        "item": [{"value": {"link": "q"}}], "null": None,
    }  # fmt: skip
    node = Workflow.parse(file({}, n={"type": "t.n", "inputs": given})).nodes["n"]
    assert node.inputs == {
        "literal": 5, "text": "a", "links": (("a", "value"), 2), "plain": [1, 2], "link": ("a", "value"),
        "bare": ("x", ""), "wrapped": {"link": "a.value"}, "object": {"a": 1, "link": "b.c"},
        "item": [{"link": "q"}], "null": None,
    }  # fmt: skip


# -- files ---------------------------------------------------------------------------------------------------


def unreadable(path: Path) -> str:
    with pytest.raises(WorkflowError) as caught:
        Workflow.load(path)
    return str(caught.value)


def test_files_that_cannot_be_read_are_told(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    assert unreadable(path) == f"{path} cannot be read: No such file or directory"
    assert unreadable(tmp_path) == f"{tmp_path} cannot be read: Is a directory"
    assert "cannot be read" in unreadable(Path("a\0b"))
    path.write_bytes(b'{"name": "\xff"}')
    assert unreadable(path) == f"{path} is not UTF-8 text (byte 10); save it as UTF-8"
    with path.open("wb") as stream:
        stream.truncate(LARGEST + 1)
    assert unreadable(path) == f"{path} has {LARGEST + 1:,} bytes; a workflow has at most {LARGEST:,}"


def test_a_byte_order_mark_is_no_mistake(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text('{"format": 1, "name": "a"}', "utf-8-sig")
    assert Workflow.load(path).name == "a"


def chunk(kind: bytes, data: bytes) -> bytes:
    return len(data).to_bytes(4, "big") + kind + data + zlib.crc32(kind + data).to_bytes(4, "big")


TEXT = '{"format": 1, "name": "%s"}'
CHUNKS = [
    (chunk(b"tEXt", b"workflow\0" + (TEXT % "a\xe9").encode("latin-1")), "a\xe9"),
    (chunk(b"zTXt", b"workflow\0\0" + zlib.compress((TEXT % "a\xe9").encode("latin-1"))), "a\xe9"),
    (chunk(b"iTXt", b"workflow\0\0\0en\0Ablauf\0" + (TEXT % "☃").encode()), "☃"),
    (chunk(b"iTXt", b"workflow\0\1\0\0\0" + zlib.compress((TEXT % "☃").encode())), "☃"),
]


@pytest.mark.parametrize(("part", "name"), CHUNKS)
def test_a_picture_with_a_workflow_inside_is_one(part: bytes, name: str, tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(PNG + chunk(b"IHDR", b"x" * 13) + chunk(b"tEXt", b"other\0{}") + part)
    assert Workflow.load(path).name == name


@pytest.mark.parametrize(
    "part",
    [
        b"",
        chunk(b"IDAT", b"workflow\0{}"),
        chunk(b"zTXt", b"workflow\0\0nonsense"),
        chunk(b"zTXt", b"workflow\0"),
        chunk(b"iTXt", b"workflow\0"),
        chunk(b"iTXt", b"workflow\0\0\0\0"),
        chunk(b"iTXt", b"workflow\0\0\0\0\0\xff"),
    ],
)
def test_a_picture_without_a_workflow_is_told(part: bytes, tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(PNG + part)
    assert unreadable(path) == (
        f"{path} is a picture without a workflow in it; use one that image.save wrote"
    )


def test_a_small_picture_does_not_become_a_huge_text() -> None:
    assert inflate(zlib.compress(b" " * 1000)) == b" " * 1000
    with pytest.raises(zlib.error):
        inflate(zlib.compress(b" " * (LARGEST + 1)))


@settings(max_examples=200)
@given(st.binary(max_size=60))
def test_no_picture_raises(data: bytes) -> None:
    embedded(PNG + data)


@settings(max_examples=300, deadline=None)
@given(st.text(alphabet='{}[]":,01 \nnulltrefa', max_size=40))
def test_no_text_raises_anything_else(text: str) -> None:
    try:
        found = Workflow.parse(text).problems
    except WorkflowError as error:
        found = error.problems
    assert all(isinstance(p, Problem) for p in found)


def test_what_only_the_text_of_a_sub_workflow_shows_is_told_at_its_place() -> None:
    text = """{"format": 1, "nodes": {}, "graphs": {"g": {"name": "", "name": "", "inputs": {}, "nodes": {
        "a": {"type": "t.t", "inputs": {"x": NaN, "y": 1, "y": 2}}}}}}"""
    assert list(map(str, Workflow.parse(text).problems)) == [
        "graph:g: the key 'name' is there twice, as '' and ''; keep one",
        "graph:g/a.y: the key 'y' is there twice, as 1 and 2; keep one",
        "graph:g/a.x: NaN is no JSON number; write a finite number",
    ]
