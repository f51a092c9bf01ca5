"""Reading a NodeType off a typed function. What cannot be read is a PackError in the author's words."""

from __future__ import annotations

import dis
import inspect
import re
from collections.abc import Callable, Iterator
from enum import Enum
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from graphengine.authoring import Body, Context, Lazy
from graphengine.constraints import marked
from graphengine.errors import PackError
from graphengine.literals import mismatch
from graphengine.nodetype import EMPTY, NodeType, Port
from graphengine.source import place_of
from graphengine.types import PLAIN, TypeRef, WireType, show

OPTIONS = {"cache": ("disk", "memory", "none"), "device": ("model", "cpu", "io")}
KINDS: dict[str, tuple[Any, str]] = {
    "id": (str, 'a text such as "my_pack.blur"'),
    "title": (str, "a text"),
    "category": (str, "a text"),
    "version": (int, "a whole number, 1 or more"),
    "fingerprint": (Callable, "a function of some of the inputs"),
    "batched": (Callable, "a function that takes lists"),
    "frugal": (Callable, "a function with the same parameters"),
    "exact": (bool, "True or False"),
    "converter": (bool, "True or False"),
    "aliases": ((list, tuple), 'a list of ids, `["old.name"]`'),
    "migrations": ((list, tuple), "a list of functions, the oldest first"),
    "deprecated": (str, "a text that says what to use instead"),
    "experimental": (bool, "True or False"),
}
"""The other options: what each must be, as a class and in words."""
ID = re.compile(r"[a-z][a-z0-9_]*(\.[a-z][a-z0-9_]*)+").fullmatch


def read(function: Callable[..., Any], pack: str, code: str) -> NodeType:
    """The NodeType of a marked function of a pack. PackError says where what is wrong, and what to write."""
    try:
        return described(function, pack, code)
    except PackError as error:
        raise PackError(f"{place_of(function, error.input)}: {error}", error.input) from error.__cause__


def described(function: Callable[..., Any], pack: str, code: str) -> NodeType:
    """The same; its PackErrors name no file."""
    where = f"{function.__module__}.{function.__qualname__}"
    if isinstance(function, type):
        raise PackError(f"{where}: is a class, and a node is a function; mark a function that makes one")
    options = options_of(function, where)
    id = options.pop("id", None) or f"{pack}.{function.__name__}"
    if not ID(id):
        raise PackError(f"{where}: the id {id!r} is no `pack.name` in lower-case letters, digits and _")
    hints = hints_of(function, where)
    if "return" not in hints:
        raise PackError(f"{where}: has no return type; write `-> None` if it only has effects")
    inputs = {p.name: parameter(where, p, hints) for p in inspect.signature(function).parameters.values()}
    outputs = outputs_of(where, hints["return"])
    free(where, inputs, outputs)
    if options.get("converter"):
        converting(where, inputs, outputs)
    awaits = awaited(function, where, {n for n, p in inputs.items() if p.kind in ("lazy", "body")})
    batched, fingerprint = options.pop("batched", None), options.pop("fingerprint", None)
    frugal, version = options.pop("frugal", None), options.pop("version", None)
    for name, companion in (("batched", batched), ("frugal", frugal)):
        if companion and awaits:
            raise PackError(f"{where}: has a {name} companion, which only plain nodes can; write `def`")
    steps = tuple(options.pop("migrations", ()))
    if steps and version is not None and version <= len(steps):
        raise PackError(
            f"{where}: version={version} with {len(steps)} migrations; the first version is 1, and each "
            f"migration leads to the next, so write at least version={len(steps) + 1}"
        )
    return NodeType(
        id=id,
        title=options.pop("title", None) or function.__name__.replace("_", " ").title(),
        category=options.pop("category", None) or pack,
        doc=inspect.cleandoc(function.__doc__ or ""),
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
        aliases=tuple(options.pop("aliases", ())),
        version=version if version is not None else len(steps) + 1,
        migrations=len(steps),
        frugal=frugal,
        steps=steps,
        shows=shows(hints["return"]),
        **options,
    )


def options_of(function: Callable[..., Any], where: str) -> dict[str, Any]:
    """What the decorator says, once each option is known to be one."""
    options = dict(function.__graph_node__)  # type: ignore[attr-defined]
    for name, said in options.items():
        if name in OPTIONS:
            if said not in OPTIONS[name]:
                allowed = ", ".join(map(repr, OPTIONS[name]))
                raise PackError(f"{where}: {name}={said!r} is no choice; write one of {allowed}")
        elif name not in KINDS:
            raise PackError(f"{where}: `node` has no option {name!r}; its help says which it has")
        else:
            kind, word = KINDS[name]
            fine = callable(said) if kind is Callable else isinstance(said, kind)
            if not fine or (kind is int and (isinstance(said, bool) or said < 0)):
                raise PackError(f"{where}: {name}={said!r} cannot be used; write {word}")
    return options


def awaited(function: Callable[..., Any], where: str, engine: set[str]) -> str:
    """What a node awaits: nothing, the engine (these are its Lazies and Bodies), or the world."""
    if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
        raise PackError(
            f"{where}: yields, and a node gives its result once; `return` it, and tell how far it is with "
            "`ctx.progress(done, total)`"
        )
    if not inspect.iscoroutinefunction(function):
        if engine:
            raise PackError(
                f"{where}: takes a Lazy or a Body, which only `async def` can await; write `async def`"
            )
        return ""
    if engine:
        steps = list(dis.get_instructions(inspect.unwrap(function).__code__))
        used = {n for s in steps for n in (s.argval if isinstance(s.argval, tuple) else (s.argval,))} & engine
        if used and not any(step.opname == "GET_AWAITABLE" for step in steps):
            raise PackError(
                f"{where}: takes a Lazy or a Body and awaits nothing; write `await` before its use", min(used)
            )
    return "engine" if engine else "io"


def free(where: str, inputs: dict[str, Port], outputs: dict[str, TypeRef]) -> None:
    """PackError for an output whose type follows from no input."""
    bound = {v for p in inputs.values() for kind in (p.type, *p.params) for v in variables(kind)}
    for name, kind in outputs.items():
        if lost := [v for v in variables(kind) if v not in bound]:
            raise PackError(
                f"{where}: output {name!r} is of the type {lost[0][1:]}, which no input has; "
                "write the type that it gives, or `Any`"
            )


def converting(where: str, inputs: dict[str, Port], outputs: dict[str, TypeRef]) -> None:
    """PackError for a converter that is none."""
    needed = [p for p in inputs.values() if p.kind != "context" and p.default is EMPTY]
    if len(needed) != 1 or len(outputs) != 1 or needed[0].kind != "value":
        raise PackError(
            f"{where}: is a converter with {len(needed)} required inputs and {len(outputs)} outputs; leave "
            "one of each, and give the other inputs defaults"
        )
    kinds = [needed[0].type, *outputs.values()]
    if kinds[0] == kinds[1] or "any" in kinds or any(v for kind in kinds for v in variables(kind)):
        raise PackError(
            f"{where}: converts {show(kinds[0])} to {show(kinds[1])}; take one certain type, and give another"
        )


def shows(hint: Any) -> tuple[tuple[int, Callable[[Any], Any]], ...]:
    """The outputs whose wire types have previews, by position."""
    several = isinstance(hint, type) and hasattr(hint, "_fields") and not hasattr(hint, "__wire__")
    found = []
    for place, each in enumerate(get_type_hints(hint, include_extras=True).values() if several else [hint]):
        marks = (getattr(each, "__wire__", None), *getattr(each, "__metadata__", ()))
        found += [(place, m.preview) for m in marks if isinstance(m, WireType) and m.preview]
    return tuple(found)


def variables(kind: TypeRef) -> Iterator[str]:
    """The type variable in a type, if there is one."""
    while isinstance(kind, tuple):
        kind = kind[1]
    if kind[0] == "~":
        yield kind


def hints_of(function: Any, where: str) -> dict[str, Any]:
    """The annotations of a function or a class, resolved."""
    try:
        return get_type_hints(function, include_extras=True)
    except NameError as error:
        says = re.compile(rf"\b{error.name}\b").search
        known = function.__annotations__.items() if inspect.isfunction(function) else ()
        place, name = where, ""
        for name in [n for n, hint in known if isinstance(hint, str) and says(hint)][:1]:
            place = f"{where}: the result" if name == "return" else f"{where}: input {name!r}"
        raise PackError(
            f"{place}: the type {error.name!r} is not known when the pack is loaded; import it at the top of "
            "the module, outside of `if TYPE_CHECKING:`",
            name,
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
    """One parameter as a Port; a PackError names it."""
    try:
        return taken(f"{where}: input {p.name!r}", p, hints)
    except PackError as error:
        error.input = p.name
        raise


def taken(place: str, p: inspect.Parameter, hints: dict[str, Any]) -> Port:
    """One parameter as a Port."""
    if p.kind in (p.VAR_POSITIONAL, p.VAR_KEYWORD):
        raise PackError(f"{place} is a * parameter; name each input, or take one `list[...]`")
    if p.kind is p.KEYWORD_ONLY:
        raise PackError(f"{place} is keyword-only; remove the bare `*` before it")
    if p.name not in hints:
        example = "Context = NO_CONTEXT" if p.name in ("ctx", "context") else "int"
        raise PackError(f"{place} has no type; write `{p.name}: {example}` or similar")
    hint = hints[p.name]
    if hint is Context:
        return Port(p.name, "context", "context")
    hint, port, marks = unwrap(hint, Port(p.name, "any"), ())
    if hint is Context:
        raise PackError(f"{place} is a Context or None; write `{p.name}: Context = NO_CONTEXT`")
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
                if mark.encode or mark.hash:
                    raise PackError(
                        f"{place}: {mark.name} is an annotation, and only a class can be encoded and hashed; "
                        f'write `@WireType("{mark.name}", ...)` above a class of your own'
                    )
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
        if untyped := [name for name in hint._fields if name not in fields]:
            raise PackError(
                f"{where}: output {untyped[0]!r} has no type; write `class {hint.__name__}(NamedTuple):` "
                f"with `{untyped[0]}: int` or similar"
            )
        if len(fields) == 1:
            raise PackError(f"{place} is a NamedTuple of one field; return the value itself")
        return {name: type_of(f"{where}: output {name!r}", t) for name, t in fields.items()}
    base = get_origin(hint) or hint
    if base in (tuple, dict) or getattr(hint, "__total__", None) is not None:
        kind = "tuple without names" if base is tuple else "dict"
        raise PackError(f"{place} is a {kind}; return a NamedTuple, its fields name the outputs")
    if base in (Lazy, Body, Context):
        raise PackError(f"{place} is a {base.__name__}, which only goes in; return the value itself")
    kind = inner = type_of(place, hint)
    while isinstance(inner, tuple):
        inner = inner[1]
    return {output_name(inner): kind}


def output_name(kind: str) -> str:
    """`TextEncoder` gives `text_encoder`, a type variable `result`, a plain value `value`."""
    if kind[0] == "~":
        return "result"
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", kind).lower() if kind[0].isupper() else "value"
