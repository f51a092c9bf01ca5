"""What an author reads when a pack does not load: file and line, the function, the input, what to write."""

from __future__ import annotations

import sys
from textwrap import dedent

import pytest

from graphengine import packs
from graphengine.packs import in_folders
from graphengine.registry import BrokenPack, Registry

HEAD = """\
from __future__ import annotations
from collections import namedtuple
from enum import Enum
from typing import Annotated, Any, Literal, NamedTuple, TypeVar
from pydantic import Field
from graphengine import NO_CONTEXT, Body, Choices, Context, Image, Lazy, Seed, Ui, WireType, node
T = TypeVar("T")
"""
FIRST = HEAD.count("\n") + 1
"""The line after it."""

PLAIN = [
    # -- inputs
    ("a type is missing", "def bad(x) -> int: ...", 1, "input 'x' has no type; write `x: int` or similar"),
    (
        "the context has no type",
        "def bad(x: int, ctx=NO_CONTEXT) -> int: ...",
        1,
        "input 'ctx' has no type; write `ctx: Context = NO_CONTEXT` or similar",
    ),
    (
        "the context may be None",
        "def bad(ctx: Context | None = None) -> int: ...",
        1,
        "input 'ctx' is a Context or None; write `ctx: Context = NO_CONTEXT`",
    ),
    (
        "the type is nowhere",
        "def bad(\n    a: int,\n    x: Missing,\n) -> int: ...",
        3,
        "input 'x': the type 'Missing' is not known when the pack is loaded; import it at the top of the "
        "module, outside of `if TYPE_CHECKING:`",
    ),
    (
        "the type is no wire type",
        "def bad(x: bytes) -> int: ...",
        1,
        "input 'x': bytes is no wire type; use int, float, bool, str, a list of one, Image, Mask, or mark "
        'the class with `@WireType("bytes")`',
    ),
    (
        "one of several types",
        "def bad(x: int | str) -> int: ...",
        1,
        "input 'x' is of several types, int | str; choose one, or write `Any`",
    ),
    (
        "a bare list",
        "def bad(x: list) -> int: ...",
        1,
        "input 'x': <class 'list'> says too little or is no list; write what it holds, `list[int]`",
    ),
    (
        "a dict",
        "def bad(x: dict[str, int]) -> int: ...",
        1,
        "input 'x': dict[str, int] says too little or is no list; write what it holds, `list[int]`",
    ),
    (
        "items that may be None",
        "def bad(x: list[int | None]) -> int: ...",
        1,
        "input 'x' is a list whose items may be None; a list holds values only",
    ),
    (
        "choices of two kinds",
        "def bad(x: Literal['a', 1]) -> int: ...",
        1,
        "input 'x': its choices are not all texts, or all numbers; write them as one kind",
    ),
    (
        "star parameters",
        "def bad(*x: int) -> int: ...",
        1,
        "input 'x' is a * parameter; name each input, or take one `list[...]`",
    ),
    (
        "keyword-only parameters",
        "def bad(a: int, *, x: int) -> int: ...",
        1,
        "input 'x' is keyword-only; remove the bare `*` before it",
    ),
    # -- defaults
    (
        "a mutable default",
        "def bad(\n    x: list[int] = [1],\n) -> int: ...",
        2,
        "input 'x' has a mutable default, [1]; write a tuple, such as `()`",
    ),
    (
        "a default of another type",
        "def bad(x: int = 'five') -> int: ...",
        1,
        "input 'x' has a default that it would refuse: 'five' is a text, not a whole number; "
        "write a whole number such as 20",
    ),
    (
        "a default out of bounds",
        "def bad(x: Annotated[int, Field(ge=1, le=9)] = 0) -> int: ...",
        1,
        "input 'x' has a default that it would refuse: 0 is below 1; choose 1 to 9",
    ),
    (
        "a default that is no choice",
        "def bad(x: Literal['near', 'far'] = 'fra') -> int: ...",
        1,
        "input 'x' has a default that it would refuse: 'fra' is none of the choices; choose near, far",
    ),
    (
        "a picture as a default",
        "def bad(x: Image = 'cat.png') -> int: ...",
        1,
        "input 'x' has a default that it would refuse: 'cat.png' is a text, but an Image comes "
        "through a link",
    ),
    (
        "a default that is no number",
        "def bad(x: float = float('nan')) -> int: ...",
        1,
        "input 'x' has a default that it would refuse: nan is no finite number",
    ),
    # -- constraints
    (
        "bounds the wrong way round",
        "def bad(x: Annotated[int, Field(ge=5, le=3)]) -> int: ...",
        1,
        "input 'x' has bounds that no value meets: 5 to 3; correct one of the two",
    ),
    (
        "no whole number between the bounds",
        "def bad(x: Annotated[int, Field(gt=3, lt=4)]) -> int: ...",
        1,
        "input 'x' has bounds that no value meets: more than 3 to less than 4; correct one of the two",
    ),
    (
        "bounds that exclude each other",
        "def bad(x: Annotated[float, Field(gt=1, le=1)]) -> int: ...",
        1,
        "input 'x' has bounds that no value meets: more than 1 to 1; correct one of the two",
    ),
    (
        "no multiple between the bounds",
        "def bad(x: Annotated[int, Field(ge=9, le=15, multiple_of=8)]) -> int: ...",
        1,
        "input 'x' has bounds that no value meets: 9 to 15, and a multiple of 8; correct one of the two",
    ),
    (
        "lengths the wrong way round",
        "def bad(x: Annotated[list[str], Field(min_length=3, max_length=2)]) -> int: ...",
        1,
        "input 'x' has bounds that no value meets: at least 3 and at most 2 of them; correct one of the two",
    ),
    (
        "a bound for another type",
        "def bad(x: Annotated[str, Field(ge=1)]) -> int: ...",
        1,
        "input 'x': Ge(ge=1) does not fit a text; remove it",
    ),
    (
        "a pattern that is none",
        "def bad(x: Annotated[str, Field(pattern='(')]) -> int: ...",
        1,
        "input 'x': '(' is no regular expression: missing ), unterminated subpattern at position 0",
    ),
    (
        "choices that are no texts",
        "def bad(x: Annotated[int, Choices(len)]) -> int: ...",
        1,
        "input 'x': Choices are texts, and it is a whole number; make it a `str`",
    ),
    (
        "a widget that is none",
        "def bad(x: Annotated[int, Ui(widget='slidr')]) -> int: ...",
        1,
        "input 'x': there is no widget 'slidr'; write one of 'slider', 'seed', 'multiline', 'colour', "
        "'model', 'image', 'mask'",
    ),
    (
        "a widget for another type",
        "def bad(x: Annotated[str, Ui(widget='slider')]) -> int: ...",
        1,
        "input 'x': the widget 'slider' is for int or float, and not for a text",
    ),
    # -- outputs
    ("no result", "def bad(x: int): ...", 1, "has no return type; write `-> None` if it only has effects"),
    (
        "outputs without names",
        "def bad(x: int) -> tuple[int, int]: ...",
        1,
        "the result is a tuple without names; return a NamedTuple, its fields name the outputs",
    ),
    (
        "a dict of outputs",
        "def bad(x: int) -> dict[str, int]: ...",
        1,
        "the result is a dict; return a NamedTuple, its fields name the outputs",
    ),
    (
        "a type variable that nothing binds",
        "def bad(x: int) -> T: ...",
        1,
        "output 'result' is of the type T, which no input has; write the type that it gives, or `Any`",
    ),
    (
        "a Lazy as a result",
        "def bad(x: int) -> Lazy[int]: ...",
        1,
        "the result is a Lazy, which only goes in; return the value itself",
    ),
    # -- waiting
    (
        "a body in a plain function",
        "def bad(x: Body[[int], int]) -> int: ...",
        1,
        "takes a Lazy or a Body, which only `async def` can await; write `async def`",
    ),
    (
        "a body that is never awaited",
        "async def bad(start: int, x: Body[[int], int]) -> int:\n    return x(start)",
        1,
        "takes a Lazy or a Body and awaits nothing; write `await` before its use",
    ),
    (
        "a bare Body",
        "async def bad(x: Body) -> int: ...",
        1,
        "input 'x' is a bare Body; write what it gives, such as `Body[[int], int]`",
    ),
    (
        "a body with a default",
        "async def bad(x: Body[[int], int] | None = None) -> int: ...",
        1,
        "input 'x' is a Body, which is always given; remove `| None` and the default",
    ),
    (
        "a generator",
        "def bad(x: int) -> int:\n    yield x",
        1,
        "yields, and a node gives its result once; `return` it, and tell how far it is with "
        "`ctx.progress(done, total)`",
    ),
]


@pytest.fixture
def problem(tmp_path, monkeypatch):
    """What is told of a file `wrong.py` with this code, in which the one thing that is wrong is."""
    monkeypatch.setattr(packs.FINDER, "places", {})

    def of(code: str) -> BrokenPack:
        (tmp_path / "wrong.py").write_text(code)
        monkeypatch.delitem(sys.modules, "wrong", raising=False)
        (found,) = Registry.load(*in_folders([tmp_path], [])).problems
        return found

    yield of
    sys.modules.pop("wrong", None)


@pytest.mark.parametrize(("function", "line", "text"), [c[1:] for c in PLAIN], ids=[c[0] for c in PLAIN])
def test_what_is_wrong_with_a_function_is_told_with_its_line(problem, tmp_path, function, line, text):
    found = problem(f"{HEAD}@node\n{function}\n")
    assert found == BrokenPack("wrong", f"{tmp_path}/wrong.py:{FIRST + line}: wrong.bad: {text}", "")


OPTIONS = [
    ("colour='red'", "`node` has no option 'colour'; its help says which it has"),
    ("cache='ram'", "cache='ram' is no choice; write one of 'disk', 'memory', 'none'"),
    ("version='2'", "version='2' cannot be used; write a whole number, 1 or more"),
    ("batched=5", "batched=5 cannot be used; write a function that takes lists"),
    ("aliases='old.name'", "aliases='old.name' cannot be used; write a list of ids, `[\"old.name\"]`"),
    ("deprecated=True", "deprecated=True cannot be used; write a text that says what to use instead"),
    ("id='Bad Id'", "the id 'Bad Id' is no `pack.name` in lower-case letters, digits and _"),
]


@pytest.mark.parametrize(("option", "text"), OPTIONS, ids=[option for option, _ in OPTIONS])
def test_what_is_wrong_with_an_option_is_told_with_the_line_of_the_function(problem, tmp_path, option, text):
    found = problem(f"{HEAD}@node({option})\ndef bad(x: int) -> int: ...\n")
    assert found.text == f"{tmp_path}/wrong.py:{FIRST + 1}: wrong.bad: {text}"


CONVERTERS = [
    (
        "def bad(image: Image, x: int) -> int: ...",
        "is a converter with 2 required inputs and 1 outputs; leave one of each, and give the other inputs "
        "defaults",
    ),
    (
        "def bad(image: Image) -> None: ...",
        "is a converter with 1 required inputs and 0 outputs; leave one of each, and give the other inputs "
        "defaults",
    ),
    ("def bad(x: Image) -> Image: ...", "converts Image to Image; take one certain type, and give another"),
    ("def bad(x: T) -> list[T]: ...", "converts T to list of T; take one certain type, and give another"),
]


@pytest.mark.parametrize(("function", "text"), CONVERTERS, ids=[text for _, text in CONVERTERS])
def test_a_converter_that_is_none_is_told(problem, tmp_path, function, text):
    found = problem(f"{HEAD}@node(converter=True)\n{function}\n")
    assert found.text == f"{tmp_path}/wrong.py:{FIRST + 1}: wrong.bad: {text}"


def test_only_a_class_is_encoded(problem, tmp_path):
    mark = "Blob = Annotated[int, WireType('Blob', hash=str)]\n"
    found = problem(f"{HEAD}{mark}@node\ndef bad(\n    x: Blob) -> int: ...\n")
    assert found.text == (
        f"{tmp_path}/wrong.py:{FIRST + 3}: wrong.bad: input 'x': Blob is an annotation, and only a class can "
        'be encoded and hashed; write `@WireType("Blob", ...)` above a class of your own'
    )


def test_fields_without_types_are_told(problem, tmp_path):
    found = problem(f"{HEAD}Out = namedtuple('Out', 'width height')\n@node\ndef bad(x: int) -> Out: ...\n")
    assert found.text == (
        f"{tmp_path}/wrong.py:{FIRST + 2}: wrong.bad: output 'width' has no type; write "
        "`class Out(NamedTuple):` with `width: int` or similar"
    )


def test_a_class_is_no_node(problem, tmp_path):
    found = problem(f"{HEAD}@node\nclass Blur:\n    pass\n")
    assert found.text == (
        f"{tmp_path}/wrong.py:{FIRST}: wrong.Blur: is a class, and a node is a function; mark a function "
        "that makes one"
    )


def test_two_nodes_of_one_id_are_told_with_both_lines(problem, tmp_path):
    good = "def twin(x: int) -> int: ..."
    found = problem(f"{HEAD}@node\n{good}\nfirst = twin\n@node\n{good}\n")
    assert found.text == (
        f"{tmp_path}/wrong.py:{FIRST + 1}: wrong.twin: there is another node 'wrong.twin', at "
        f"{tmp_path}/wrong.py:{FIRST + 4}; give one of them `id=`"
    )


FILES = [
    ("x = (", 1, "SyntaxError: '(' was never closed"),
    (
        "\nimport cv3",
        2,
        "No module named 'cv3'; install what has it, and name that in the pack's dependencies",
    ),
    ("def half(x):\n    return x / 0\nhalf(1)", 2, "ZeroDivisionError: division by zero"),
    ("raise SystemExit(3)", 1, "SystemExit: 3"),
    (
        "from graphengine import node\n@node('blur')\ndef f(x: int) -> int: ...",
        2,
        "@node('blur') names no option; write `@node(title=...)` or another one",
    ),
    (
        "from graphengine import WireType\nWireType('palette')",
        2,
        "'palette' is no name of a wire type; write a capitalised word, such as Palette",
    ),
    (
        "from graphengine import WireType\nWireType('Palette', 'red')",
        2,
        "'red' is no colour of a wire type; write it as #rrggbb",
    ),
]


@pytest.mark.parametrize(("code", "line", "text"), FILES, ids=[text[:20] for *_, text in FILES])
def test_a_file_that_cannot_be_imported_is_told_with_the_line_in_it(problem, tmp_path, code, line, text):
    assert problem(code).text == f"{tmp_path}/wrong.py:{line}: {text}"


def test_modules_as_one_text_are_told_with_the_file(problem, tmp_path):
    assert problem("MODULES = ('one')").text == (
        f"{tmp_path}/wrong.py: wrong: MODULES is one text; write a tuple, `MODULES = ('one',)`"
    )


def test_what_is_told_with_a_traceback_has_it(problem):
    assert "half(1)" in problem(dedent("def half(x):\n    return x / 0\nhalf(1)")).trace
