"""Reading a NodeType off a typed function. What cannot be read is a PackError in the author's words."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from enum import Enum
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from graphengine.authoring import Body, Choices, Context, Lazy, Ui
from graphengine.errors import PackError
from graphengine.literals import article, mismatch
from graphengine.nodetype import NodeType, Port
from graphengine.types import PLAIN, TypeRef, WireType

OPTIONS = {"cache": ("disk", "memory", "none"), "device": ("model", "cpu", "io")}
NUMBERS = {"minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"}
FITTING = {
    "int": NUMBERS,
    "float": NUMBERS,
    "str": {"minLength", "maxLength", "pattern"},
    "list": {"minItems", "maxItems"},
}
"""What can be asked of a literal, by the type of its port."""
ID = re.compile(r"[a-z][a-z0-9_]*(\.[a-z][a-z0-9_]*)+").fullmatch
KEYWORDS = {"ge": "minimum", "gt": "exclusiveMinimum", "le": "maximum", "lt": "exclusiveMaximum",
            "multiple_of": "multipleOf", "min_length": "minLength", "max_length": "maxLength"}  # fmt: skip


def read(function: Callable[..., Any], pack: str, code: str) -> NodeType:
    """The NodeType of a marked function of a pack. PackError says what is wrong, and what to write."""
    options = dict(function.__graph_node__)  # type: ignore[attr-defined]
    where = f"{function.__module__}.{function.__qualname__}"
    id = options.pop("id", None) or f"{pack}.{function.__name__}"
    if not ID(id):
        raise PackError(f"{where}: the id {id!r} is no `pack.name` in lower-case letters, digits and _")
    hints = hints_of(function, where)
    if "return" not in hints:
        raise PackError(f"{where}: has no return type; write `-> None` if it only has effects")
    inputs = {p.name: parameter(where, p, hints) for p in inspect.signature(function).parameters.values()}
    kinds = {p.kind for p in inputs.values()}
    outputs = outputs_of(where, hints["return"])
    wrong = [n for n, p in OPTIONS.items() if n in options and options[n] not in p]
    if wrong:
        allowed = ", ".join(map(repr, OPTIONS[wrong[0]]))
        raise PackError(f"{where}: {wrong[0]}={options[wrong[0]]!r} is no choice; write one of {allowed}")
    awaits = ""
    if inspect.iscoroutinefunction(function):
        awaits = "engine" if kinds & {"lazy", "body"} else "io"
    elif kinds & {"lazy", "body"}:
        raise PackError(
            f"{where}: takes a Lazy or a Body, which only `async def` can await; write `async def`"
        )
    batched = options.pop("batched", None)
    if batched and awaits:
        raise PackError(f"{where}: has a batched companion, which only plain nodes can; write `def`")
    fingerprint = options.pop("fingerprint", None)
    version = options.pop("version", None)
    doc = inspect.cleandoc(function.__doc__ or "")
    steps = tuple(options.pop("migrations", ()))
    frugal = options.pop("frugal", None)
    if frugal and awaits:
        raise PackError(f"{where}: has a frugal companion, which only plain nodes can; write `def`")
    if steps and version is not None and version <= len(steps):
        raise PackError(
            f"{where}: version={version} with {len(steps)} migrations; the first version is 1, and each "
            f"migration leads to the next, so write at least version={len(steps) + 1}"
        )
    title, category = options.pop("title", None), options.pop("category", None)
    aliases = tuple(options.pop("aliases", ()))
    if unknown := options.keys() - {"cache", "device", "exact", "deprecated", "experimental"}:
        raise PackError(f"{where}: `node` has no option {min(unknown)!r}; its help says which it has")
    return NodeType(
        id=id,
        title=title or function.__name__.replace("_", " ").title(),
        category=category or pack,
        doc=doc,
        module=function.__module__,
        name=function.__name__,
        inputs=inputs,
        outputs=outputs,
        code=f"v{version}" if version is not None else code,
        awaits=awaits,
        shared=shared_inputs(where, batched, inputs) if batched else frozenset(),
        fuses=batched is not None,
        prints=printed_inputs(where, fingerprint, inputs) if fingerprint else frozenset(),
        run=function,
        batched=batched,
        fingerprint=fingerprint,
        aliases=aliases,
        version=version if version is not None else len(steps) + 1,
        migrations=len(steps),
        frugal=frugal,
        steps=steps,
        **options,
    )


def hints_of(function: Any, where: str) -> dict[str, Any]:
    """The annotations of a function or a class, resolved."""
    try:
        return get_type_hints(function, include_extras=True)
    except NameError as error:
        raise PackError(
            f"{where}: the type {error.name!r} is not known when the pack is loaded; import it at the top of "
            "the module, outside of `if TYPE_CHECKING:`"
        ) from error
    except Exception as error:  # what is written as text is evaluated, and may raise anything
        raise PackError(f"{where}: a type cannot be read: {error}") from error


def shared_inputs(where: str, batched: Callable[..., Any], inputs: dict[str, Port]) -> frozenset[str]:
    """The plain parameters of a batched companion: equal within a batch."""
    hints = hints_of(batched, where)
    names = set(inspect.signature(batched).parameters)
    if names != set(inputs):
        raise PackError(
            f"{where}: its batched companion {batched.__name__} takes {', '.join(sorted(names))}; "
            f"it must take the same names: {', '.join(inputs)}"
        )
    return frozenset(n for n in inputs if get_origin(hints.get(n)) is not list)


def printed_inputs(where: str, fingerprint: Callable[..., str], inputs: dict[str, Port]) -> frozenset[str]:
    """What a fingerprint function asks for: inputs by name, and `folders`."""
    names = set(inspect.signature(fingerprint).parameters)
    if wrong := names - set(inputs) - {"folders"}:
        raise PackError(f"{where}: its fingerprint asks for {min(wrong)!r}, which is none of its inputs")
    return frozenset(names)


def parameter(where: str, p: inspect.Parameter, hints: dict[str, Any]) -> Port:
    """One parameter as a Port."""
    place = f"{where}: input {p.name!r}"
    if p.kind in (p.VAR_POSITIONAL, p.VAR_KEYWORD):
        raise PackError(f"{place} is a * parameter; name each input, or take one `list[...]`")
    if p.kind is p.KEYWORD_ONLY:
        raise PackError(f"{place} is keyword-only; remove the bare `*` before it")
    if p.name not in hints:
        raise PackError(f"{place} has no type; write `{p.name}: int` or similar")
    hint = hints[p.name]
    if hint is Context:
        return Port(p.name, "context", "context")
    hint, port, marks = unwrap(hint, Port(p.name, "any"), ())
    if hint in (Lazy, Body):
        example = "Lazy[int]" if hint is Lazy else "Body[[int], int]"
        raise PackError(f"{place} is a bare {hint.__name__}; write what it gives, such as `{example}`")
    if get_origin(hint) is Body:
        return marked(place, body(place, hint, port, p.default), marks)
    kind = "value"
    if get_origin(hint) is Lazy:
        hint, port, more = unwrap(get_args(hint)[0], port, ())
        kind, marks = "lazy", (*marks, *more)
    port = marked(place, typed(place, port._replace(kind=kind), hint), marks)
    return finish(place, port, p.default)


def body(place: str, hint: Any, port: Port, default: Any) -> Port:
    """A parameter that takes a sub-graph."""
    params, result = get_args(hint)
    if type(params) is not list and type(params) is not tuple:
        raise PackError(
            f"{place}: the body's inputs are not named; write their types in a list, `Body[[int], int]`"
        )
    if port.optional or default is not inspect.Parameter.empty:
        raise PackError(f"{place} is a Body, which is always given; remove `| None` and the default")
    types = tuple(type_of(place, t) for t in params)
    return Port(port.name, type_of(place, result), "body", params=types)


def typed(place: str, port: Port, hint: Any) -> Port:
    """The port with its wire type, and what follows from that for literals."""
    if get_origin(hint) is Literal:
        options = list(get_args(hint))
        return port._replace(type=plain(place, options), schema={"enum": options})
    if isinstance(hint, type) and issubclass(hint, Enum):
        options = [m.value for m in hint]
        kind = plain(place, options)
        return port._replace(
            type=kind, schema={"enum": options}, convert=dict(zip(options, hint, strict=True)).get
        )
    if get_origin(hint) is list:
        inner, item, marks = unwrap(get_args(hint)[0], Port(port.name, "any"), ())
        if isinstance(inner, type) and issubclass(inner, Enum):
            raise PackError(f"{place} is a list of {inner.__name__}; write `list[Literal[...]]`")
        item = marked(place, typed(place, item, inner), marks)
        if item.optional:
            raise PackError(f"{place} is a list whose items may be None; a list holds values only")
        schema = {"items": item.schema} if item.schema else {}
        convert = floats if item.type == "float" else None
        return port._replace(type=("list", item.type), schema=schema, convert=convert)
    port = port._replace(type=type_of(place, hint))
    return port._replace(convert=float) if port.type == "float" else port


def floats(values: list[float]) -> list[float]:
    """A list of numbers as the function wants it; JavaScript writes 1.0 as 1."""
    return [float(v) for v in values]


def plain(place: str, options: list[Any]) -> str:
    """The one plain type of several choices."""
    kinds = {type(option) for option in options}
    if len(kinds) != 1 or not kinds <= PLAIN.keys():
        raise PackError(f"{place}: its choices are not all texts, or all numbers; write them as one kind")
    return PLAIN[kinds.pop()]


def unwrap(hint: Any, port: Port, marks: tuple[Any, ...]) -> tuple[Any, Port, tuple[Any, ...]]:
    """Take off `Annotated` and `| None`, keeping what they say."""
    while True:
        if get_origin(hint) is Annotated:
            inner, *more = get_args(hint)
            marks = (*marks, *(m for m in more if not isinstance(m, WireType)))
            if len(more) and any(isinstance(m, WireType) for m in more):
                return hint, port, marks
            hint = inner
        elif get_origin(hint) in (Union, UnionType) and NoneType in get_args(hint):
            rest = tuple(t for t in get_args(hint) if t is not NoneType)
            hint, port = Union[rest], port._replace(optional=True)  # noqa: UP007
        else:
            return hint, port, marks


def marked(place: str, port: Port, marks: tuple[Any, ...]) -> Port:
    """The port with everything that its `Annotated` says."""
    for mark in marks:
        port = constrain(place, port, mark)
    return port


def constrain(place: str, port: Port, mark: Any) -> Port:
    """Add what one mark of `Annotated` says."""
    if isinstance(mark, Ui):
        hints = {k: v for k, v in vars(mark).items() if v is not None}
        return port._replace(ui={**port.ui, **hints})
    if isinstance(mark, Choices):
        return port._replace(ui={**port.ui, "choices": True}, choices=mark.read)
    if hasattr(mark, "metadata"):  # pydantic's Field
        for inner in mark.metadata:
            port = constrain(place, port, inner)
        return (
            port._replace(schema={**port.schema, "description": mark.description})
            if mark.description
            else port
        )
    said = {k: v for a, k in KEYWORDS.items() if (v := getattr(mark, a, None)) is not None}
    if isinstance(pattern := getattr(mark, "pattern", None), str):
        said["pattern"] = pattern
    if isinstance(port.type, tuple):
        said = {k.replace("Length", "Items"): v for k, v in said.items()}
    if said.keys() - FITTING.get("list" if isinstance(port.type, tuple) else port.type, set()):
        raise PackError(f"{place}: {mark!r} does not fit {article(port.type)}; remove it")
    if said:
        try:
            re.compile(said.get("pattern", ""))
        except re.error as error:
            raise PackError(f"{place}: {pattern!r} is no regular expression: {error}") from error
        return port._replace(schema={**port.schema, **said})
    raise PackError(
        f"{place}: {mark!r} cannot be checked before the node runs; use Field's ge, gt, le, lt, ..."
    )


def finish(place: str, port: Port, default: Any) -> Port:
    """Add the default, once it is known to be a good one."""
    if default is inspect.Parameter.empty:
        return port
    if isinstance(default, (list, dict, set)):
        raise PackError(f"{place} has a mutable default, {default!r}; write a tuple, such as `()`")
    if isinstance(default, Enum):
        default = default.value
    if isinstance(default, tuple):
        default = list(default)
    if default is None:
        port = port._replace(optional=True)
    elif why := mismatch(default, port):
        raise PackError(f"{place} has a default that it would refuse: {why}")
    return port._replace(default=default)


def type_of(place: str, hint: Any) -> TypeRef:
    """The wire type of an annotation."""
    origin = get_origin(hint)
    if hint in PLAIN:
        return PLAIN[hint]
    if hint is Any:
        return "any"
    if isinstance(hint, TypeVar):
        return f"~{hint.__name__}"
    if isinstance(wire := getattr(hint, "__wire__", None), WireType):
        return wire.name
    if origin is Annotated:
        for mark in get_args(hint)[1:]:
            if isinstance(mark, WireType):
                return mark.name
        return type_of(place, get_args(hint)[0])
    if origin is list:
        return ("list", type_of(place, get_args(hint)[0]))
    if origin is Literal:
        return plain(place, list(get_args(hint)))
    if origin in (Union, UnionType):
        raise PackError(f"{place} is of several types, {hint}; choose one, or write `Any`")
    if hint in (list, tuple, dict, set) or origin in (tuple, dict, set):
        raise PackError(f"{place}: {hint} says too little or is no list; write what it holds, `list[int]`")
    name = getattr(hint, "__name__", str(hint))
    raise PackError(
        f"{place}: {name} is no wire type; use int, float, bool, str, a list of one, Image, Mask, "
        f'or mark the class with `@WireType("{name}")`'
    )


def outputs_of(where: str, hint: Any) -> dict[str, TypeRef]:
    """Outputs by name: the fields of a NamedTuple, or one that is named after its type."""
    place = f"{where}: the result"
    if hint is NoneType:
        return {}
    if isinstance(hint, type) and hasattr(hint, "_fields") and not hasattr(hint, "__wire__"):
        fields = hints_of(hint, where)
        if len(fields) == 1:
            raise PackError(f"{place} is a NamedTuple of one field; return the value itself")
        return {name: type_of(f"{where}: output {name!r}", t) for name, t in fields.items()}
    if get_origin(hint) is tuple:
        raise PackError(f"{place} is a tuple without names; return a NamedTuple, its fields name the outputs")
    kind = inner = type_of(place, hint)
    while isinstance(inner, tuple):
        inner = inner[1]
    return {output_name(inner): kind}


def output_name(kind: str) -> str:
    """`TextEncoder` gives `text_encoder`, a type variable `result`, a plain value `value`."""
    if kind[0] == "~":
        return "result"
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", kind).lower() if kind[0].isupper() else "value"
