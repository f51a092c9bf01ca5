from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, IntEnum, StrEnum
from typing import Annotated, Any, Literal, NamedTuple, TypeVar

import pytest
from annotated_types import Ge, Gt, Interval, Le, Len, Lt, MultipleOf, Predicate
from pydantic import Field

from graphengine.authoring import NO_CONTEXT, Body, Choices, Context, Folders, Lazy, Seed, Ui, node
from graphengine.errors import PackError
from graphengine.nodetype import EMPTY, NodeType, Port
from graphengine.signature import output_name, read
from graphengine.types import Image, Mask, WireType

S = TypeVar("S")
T = TypeVar("T")


class Colour(Enum):
    RED = "red"
    BLUE = "blue"


class Level(IntEnum):
    LOW = 1
    HIGH = 2


class Word(StrEnum):
    YES = "yes"


class Odd(Enum):
    NUMBER = 1
    TEXT = "a"


class Nothing(Enum):
    pass


class Parts(NamedTuple):
    """Several outputs."""

    first: Image
    rest: list[int]
    third: T  # type: ignore[valid-type]


class Lone(NamedTuple):
    """One output only."""

    image: Image


class Vague(NamedTuple):
    """An output whose type is nowhere."""

    image: Unheard  # type: ignore[name-defined]  # noqa: F821
    mask: Mask


@WireType("Noise", "#ffffff", "A seed, drawn.")
@dataclass(frozen=True)
class Noise:
    seed: int


class Unmarked:
    pass


def names(folders: Folders) -> list[str]:
    return ["x"]


def kind(function: Callable[..., Any], **options: Any) -> NodeType:
    return read(node(**options)(function), "pack", "c0de")


def port(hint: Any, default: Any = EMPTY) -> Port:
    """The port of one parameter with a type and a default."""

    def probe(x: Any) -> None: ...

    probe.__annotations__ = {"x": hint, "return": None}
    if default is not EMPTY:
        probe.__defaults__ = (default,)
    return kind(probe).inputs["x"]


def said(error: PackError, function: str) -> str:
    """What is told after the place in this file and the function's name."""
    place, _, text = str(error).partition(f": {function}: ")
    assert place.startswith(f"{__file__}:")
    assert place.rpartition(":")[2].isdecimal()
    return text


def refusal(hint: Any, default: Any = EMPTY) -> str:
    with pytest.raises(PackError) as caught:
        port(hint, default)
    return said(caught.value, f"{__name__}.port.<locals>.probe")


def wrong(function: Callable[..., Any], **options: Any) -> str:
    with pytest.raises(PackError) as caught:
        kind(function, **options)
    return said(caught.value, f"{__name__}.{function.__qualname__}")


# -- what a parameter may say --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("hint", "type"),
    [
        (int, "int"),
        (float, "float"),
        (bool, "bool"),
        (str, "str"),
        (Any, "any"),
        (T, "~T"),
        (Image, "Image"),
        (Mask, "Mask"),
        (Noise, "Noise"),
        (list[int], ("list", "int")),
        (list[list[Image]], ("list", ("list", "Image"))),
        (list[T], ("list", "~T")),
        (Lazy[Image], "Image"),
    ],
)
def test_a_parameter_has_the_wire_type_of_its_annotation(hint: Any, type: Any) -> None:
    if hint == Lazy[Image]:

        async def lazily(x: Lazy[Image]) -> None: ...

        found = kind(lazily).inputs["x"]
        assert found.kind == "lazy"
    else:
        found = port(hint)
        assert found.kind == "value"
    assert (found.type, found.optional, found.default) == (type, False, EMPTY)


@pytest.mark.parametrize("hint", [Image | None, Annotated[int, Ge(1)] | None, Annotated[Noise | None, Ui()]])
def test_or_none_makes_an_input_optional(hint: Any) -> None:
    assert port(hint).optional


def test_none_as_default_makes_an_input_optional() -> None:
    found = port(int, None)
    assert (found.optional, found.default) == (True, None)


def test_a_default_stays_as_it_is_written() -> None:
    assert port(float, 1).default == 1
    assert port(bool, False).default is False
    assert port(list[int], (1, 2)).default == [1, 2]
    assert port(Colour, Colour.BLUE).default == "blue"


def test_a_float_port_makes_floats_of_whole_numbers() -> None:
    convert = port(float).convert
    assert convert is not None
    assert type(convert(1)) is float
    each = port(list[float]).convert
    assert each is not None
    assert [type(v) for v in each([1, 0.5])] == [float, float]


@pytest.mark.parametrize(("hint", "type"), [(Literal["a", "b"], "str"), (Literal[1, 2], "int")])
def test_a_literal_is_a_choice(hint: Any, type: str) -> None:
    found = port(hint)
    assert found.type == type
    assert found.schema["enum"] == list(hint.__args__)


@pytest.mark.parametrize(
    ("hint", "type", "value"), [(Colour, "str", "red"), (Level, "int", 1), (Word, "str", "yes")]
)
def test_an_enum_is_a_choice_of_its_values_and_the_function_gets_the_member(
    hint: Any, type: str, value: Any
) -> None:
    found = port(hint)
    assert (found.type, found.schema["enum"]) == (type, [m.value for m in hint])
    assert found.convert is not None
    assert found.convert(value) is hint(value)


@pytest.mark.parametrize(
    ("mark", "schema"),
    [
        (Ge(1), {"minimum": 1}),
        (Gt(0), {"exclusiveMinimum": 0}),
        (Le(3), {"maximum": 3}),
        (Lt(4), {"exclusiveMaximum": 4}),
        (MultipleOf(8), {"multipleOf": 8}),
        (Interval(ge=0, lt=9), {"minimum": 0, "exclusiveMaximum": 9}),
        (Field(ge=8, le=64, multiple_of=8), {"minimum": 8, "maximum": 64, "multipleOf": 8}),
    ],
)
def test_bounds_of_numbers_are_json_schema(mark: Any, schema: dict[str, Any]) -> None:
    assert port(Annotated[int, mark]).schema == schema


def test_bounds_of_texts_and_lists_are_json_schema() -> None:
    assert port(Annotated[str, Field(min_length=1, max_length=5)]).schema == {"minLength": 1, "maxLength": 5}
    assert port(Annotated[str, Field(pattern="^a")]).schema["pattern"] == "^a"
    assert port(Annotated[list[int], Len(1, 2)]).schema == {"minItems": 1, "maxItems": 2}


def test_what_the_items_of_a_list_may_be_is_kept() -> None:
    assert port(list[Annotated[int, Ge(1)]]).schema == {"items": {"minimum": 1}}
    assert port(list[Literal["a", "b"]]).schema == {"items": {"enum": ["a", "b"]}}


def test_hints_for_the_editor_are_kept_for_links_too() -> None:
    assert port(Annotated[int, Ui(widget="slider"), Ui(unit="px")]).ui == {"widget": "slider", "unit": "px"}
    assert port(Annotated[Image, Ui(label="Picture")]).ui == {"label": "Picture"}
    assert port(Annotated[Image, Ui(label="Picture")]).type == "Image"
    assert port(Annotated[int, Field(description="How many.")]).schema == {"description": "How many."}


def test_hints_around_a_lazy_and_bounds_within_are_kept() -> None:
    async def later(x: Annotated[Lazy[Annotated[int, Ge(1)]], Ui(label="Later")]) -> None: ...

    found = kind(later).inputs["x"]
    assert (found.kind, found.type, found.schema, found.ui) == (
        "lazy",
        "int",
        {"minimum": 1},
        {"label": "Later"},
    )


def test_choices_are_not_read_when_a_pack_is_loaded() -> None:
    def never(folders: Folders) -> list[str]:
        raise AssertionError

    found = port(Annotated[str, Choices(never)])
    assert found.choices is never
    assert found.ui == {"choices": True}


def test_a_seed_may_be_left_open() -> None:
    assert port(Seed).seed
    assert not port(int).seed


def test_a_context_is_no_port_to_the_user() -> None:
    def reports(x: int, ctx: Context = NO_CONTEXT) -> None: ...

    found = kind(reports)
    assert found.context == 1
    assert [*found.ports] == ["x"]


def test_a_body_has_the_types_of_its_inputs_and_of_what_it_gives() -> None:
    async def loop(start: T, body: Body[[T, list[S]], T], test: Body[[], bool]) -> T: ...

    found = kind(loop)
    assert found.inputs["body"] == Port("body", "~T", "body", params=("~T", ("list", "~S")))
    assert found.inputs["test"] == Port("test", "bool", "body")
    assert found.awaits == "engine"


def test_an_async_node_without_lazy_or_body_awaits_the_world() -> None:
    async def fetch(x: int) -> int: ...

    def add(x: int) -> int: ...

    assert kind(fetch).awaits == "io"
    assert kind(add).awaits == ""


# -- what a parameter may not say ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("hint", "default", "text"),
    [
        (
            Unmarked,
            EMPTY,
            "input 'x': Unmarked is no wire type; use int, float, bool, str, a list of one, Image, Mask, or "
            'mark the class with `@WireType("Unmarked")`',
        ),
        (int | str, EMPTY, "input 'x' is of several types, int | str; choose one, or write `Any`"),
        (
            list,
            EMPTY,
            "input 'x': <class 'list'> says too little or is no list; write what it holds, `list[int]`",
        ),
        (int, [], "input 'x' has a mutable default, []; write a tuple, such as `()`"),
        (
            Annotated[int, Ge(1)],
            0,
            "input 'x' has a default that it would refuse: 0 is below 1; choose 1 or more",
        ),
        (
            Annotated[int, Predicate(bool)],
            EMPTY,
            f"input 'x': {Predicate(bool)!r} cannot be checked before the node runs; "
            "use Field's ge, gt, le, lt, ...",
        ),
        (Annotated[str, Ge(1)], EMPTY, "input 'x': Ge(ge=1) does not fit a text; remove it"),
        (Annotated[Image, Ge(1)], EMPTY, "input 'x': Ge(ge=1) does not fit an Image; remove it"),
        (Annotated[int, Len(1)], EMPTY, f"input 'x': {Len(1)!r} does not fit a whole number; remove it"),
        (Lazy, EMPTY, "input 'x' is a bare Lazy; write what it gives, such as `Lazy[int]`"),
        (Body, EMPTY, "input 'x' is a bare Body; write what it gives, such as `Body[[int], int]`"),
        (
            Body[..., int],
            EMPTY,
            "input 'x': the body's inputs are not named; write their types in a list, `Body[[int], int]`",
        ),
        (
            Body[[int], int] | None,
            None,
            "input 'x' is a Body, which is always given; remove `| None` and the default",
        ),
        (Odd, EMPTY, "input 'x': its choices are not all texts, or all numbers; write them as one kind"),
        (Nothing, EMPTY, "input 'x': its choices are not all texts, or all numbers; write them as one kind"),
        (
            Literal["a", 1],
            EMPTY,
            "input 'x': its choices are not all texts, or all numbers; write them as one kind",
        ),
        (
            Literal["a", None],
            EMPTY,
            "input 'x': its choices are not all texts, or all numbers; write them as one kind",
        ),
        (list[Colour], EMPTY, "input 'x' is a list of Colour; write `list[Literal[...]]`"),
        (list[int | None], EMPTY, "input 'x' is a list whose items may be None; a list holds values only"),
        (
            Image,
            1,
            "input 'x' has a default that it would refuse: 1 is a whole number, but an Image comes through a "
            "link",
        ),
    ],
)
def test_what_a_parameter_may_not_say(hint: Any, default: Any, text: str) -> None:
    assert refusal(hint, default) == text


def test_a_pattern_that_is_no_regular_expression_is_told_when_the_pack_is_loaded() -> None:
    assert refusal(Annotated[str, Field(pattern="(")]).startswith("input 'x': '(' is no regular expression: ")


def test_a_parameter_without_a_type_is_told() -> None:
    def bare(x) -> int: ...  # type: ignore[no-untyped-def]

    assert wrong(bare) == "input 'x' has no type; write `x: int` or similar"


def test_star_and_keyword_only_parameters_are_told() -> None:
    def many(*x: int) -> int: ...
    def options(**x: int) -> int: ...
    def strict(*, x: int) -> int: ...

    assert wrong(many) == "input 'x' is a * parameter; name each input, or take one `list[...]`"
    assert wrong(options) == "input 'x' is a * parameter; name each input, or take one `list[...]`"
    assert wrong(strict) == "input 'x' is keyword-only; remove the bare `*` before it"


def test_a_type_that_is_not_there_when_the_pack_is_loaded_is_told() -> None:
    def unknown(x: Missing) -> int: ...  # type: ignore[name-defined]  # noqa: F821
    def typo(x: sys.verzion) -> int: ...  # type: ignore[name-defined]

    assert wrong(unknown) == (
        "input 'x': the type 'Missing' is not known when the pack is loaded; import it at the top of the "
        "module, outside of `if TYPE_CHECKING:`"
    )
    assert wrong(typo).startswith("a type cannot be read: module 'sys' has no attribute 'verzion'")


def test_a_plain_function_cannot_await() -> None:
    def lazily(x: Lazy[int]) -> int: ...
    def loop(x: Body[[int], int]) -> int: ...

    text = "takes a Lazy or a Body, which only `async def` can await; write `async def`"
    assert wrong(lazily) == text
    assert wrong(loop) == text


# -- what a node gives ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("hint", "outputs"),
    [
        (None, {}),
        (int, {"value": "int"}),
        (list[str], {"value": ("list", "str")}),
        (Image, {"image": "Image"}),
        (list[Image], {"image": ("list", "Image")}),
        (T, {"result": "~T"}),
        (list[T], {"result": ("list", "~T")}),
        (Any, {"value": "any"}),
        (Noise, {"noise": "Noise"}),
        (Literal["a", "b"], {"value": "str"}),
        (Parts, {"first": "Image", "rest": ("list", "int"), "third": "~T"}),
    ],
)
def test_outputs_are_named_after_their_types_or_by_a_namedtuple(hint: Any, outputs: dict[str, Any]) -> None:
    def gives(x: Any) -> None: ...

    gives.__annotations__ = {"x": T, "return": hint}
    assert kind(gives).outputs == outputs


def test_capitals_become_words() -> None:
    assert output_name("TextEncoder") == "text_encoder"
    assert output_name("VAE") == "vae"


def test_results_that_cannot_be_linked_are_told() -> None:
    def nothing(x: int): ...  # type: ignore[no-untyped-def]
    def pair(x: int) -> tuple[int, int]: ...
    def maybe(x: int) -> Image | None: ...
    def lone(x: int) -> Lone: ...
    def vague(x: int) -> Vague: ...

    assert wrong(nothing) == "has no return type; write `-> None` if it only has effects"
    assert wrong(pair) == (
        "the result is a tuple without names; return a NamedTuple, its fields name the outputs"
    )
    assert wrong(maybe).startswith("the result is of several types")
    assert wrong(lone) == "the result is a NamedTuple of one field; return the value itself"
    assert wrong(vague).startswith("the type 'Unheard' is not known when the pack is loaded")


# -- what the decorator may say ------------------------------------------------------------------------------


def invert_colours(image: Image) -> Image:
    """Swap dark and light.

    More of it.
    """
    return image


def test_without_options_the_function_says_everything() -> None:
    found = kind(invert_colours)
    assert (found.id, found.title, found.category) == ("pack.invert_colours", "Invert Colours", "pack")
    assert (found.doc, found.code) == ("Swap dark and light.\n\nMore of it.", "c0de")
    assert (found.cache, found.device, found.exact) == ("disk", "model", False)
    assert found.run(3) == 3


def test_options_go_before() -> None:
    found = kind(
        invert_colours, id="other.name", title="T", category="c", version=3, cache="none", device="io",
        aliases=["negative"], deprecated="use another", experimental=True,
    )  # fmt: skip
    assert (found.id, found.title, found.category, found.code) == ("other.name", "T", "c", "v3")
    assert (found.cache, found.device, found.aliases) == ("none", "io", ("negative",))
    assert (found.deprecated, found.experimental) == ("use another", True)


def test_version_0_is_a_version() -> None:
    assert kind(invert_colours, version=0).code == "v0"


def test_marking_leaves_the_function_alone() -> None:
    @node
    def twice(x: int) -> int:
        return 2 * x

    assert twice(4) == 8


def test_wrong_options_are_told() -> None:
    assert wrong(invert_colours, cache="ram") == (
        "cache='ram' is no choice; write one of 'disk', 'memory', 'none'"
    )
    assert (
        wrong(invert_colours, device="gpu") == "device='gpu' is no choice; write one of 'model', 'cpu', 'io'"
    )
    assert wrong(invert_colours, colour="red") == "`node` has no option 'colour'; its help says which it has"
    assert wrong(invert_colours, id="Bad Id") == (
        "the id 'Bad Id' is no `pack.name` in lower-case letters, digits and _"
    )


def test_a_batched_companion_says_what_varies() -> None:
    def many(model: int, x: list[int], ctx: Context) -> list[int]: ...
    def one(model: int, x: int, ctx: Context = NO_CONTEXT) -> int: ...

    found = kind(one, batched=many, exact=True)
    assert (found.fuses, found.exact, found.shared) == (True, True, {"model", "ctx"})


def test_a_batched_companion_takes_the_same_names_and_is_plain() -> None:
    def many(x: list[int], z: int) -> list[int]: ...
    def one(x: int, y: int) -> int: ...
    async def later(x: int, z: int) -> int: ...

    assert wrong(one, batched=many) == (
        "its batched companion many takes x, z; it must take the same names: x, y"
    )
    assert wrong(later, batched=many) == "has a batched companion, which only plain nodes can; write `def`"


def test_a_fingerprint_asks_for_inputs_and_folders_only() -> None:
    def stamp(path: str, folders: Folders) -> str: ...
    def other(name: str) -> str: ...
    def load(path: str, scale: float = 1.0) -> Image: ...

    assert kind(load, fingerprint=stamp).prints == {"path", "folders"}
    assert wrong(load, fingerprint=other) == "its fingerprint asks for 'name', which is none of its inputs"
