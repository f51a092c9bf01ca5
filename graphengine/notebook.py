"""What a notebook shows: a workflow as its picture, a result as a table with the pictures in it.

Nothing here needs a notebook; it asks for `_repr_html_` and the like, and these answer with text. Everything
that a file or a node gave is escaped, and bounded in size: a notebook keeps what it shows.
"""

from __future__ import annotations

import io
import math
from binascii import b2a_base64
from collections.abc import Callable, Iterable, Mapping, Sized
from dataclasses import fields, is_dataclass
from functools import cached_property
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

from graphengine.errors import GraphEngineError
from graphengine.graph import Link
from graphengine.types import TypeRef

if TYPE_CHECKING:
    from PIL import Image as Pillow

    from graphengine.nodetype import NodeType
    from graphengine.registry import Manifest
    from graphengine.workflow import Workflow

PICTURES = 16
"""Of a batch or a list, so many are shown."""
SIDE, SMALL = 768, 192
"""The longest side of one picture alone, and up to which a small one is enlarged, in pixels."""
LETTERS = 2000
"""Of a text, so many are shown."""
ITEMS = 20
"""Of a list in a text, so many are shown."""
DRAWN = 400
"""Larger workflows are told in words: laying them out takes seconds, and nobody could read them."""

Kinds = Mapping[str, TypeRef]


class Result(dict[str, Any]):
    """A run's outputs by name: a dict; in a notebook, a table with the pictures in it.

    `kinds` holds the wire type of each.
    """

    def __init__(
        self, values: Mapping[str, Any] | None = None, kinds: Kinds | Callable[[], Kinds] | None = None
    ) -> None:
        super().__init__(values or {})
        self._kinds = kinds or {}

    @cached_property
    def kinds(self) -> Kinds:
        """The wire type of each output, by name; found out when somebody asks."""
        return self._kinds() if callable(self._kinds) else self._kinds

    def __reduce__(self) -> Any:
        return Result, (dict(self), dict(self.kinds))

    def _repr_html_(self) -> str:
        return table((name, shown(value, self.kinds.get(name, "any"))) for name, value in self.items())


def output_types(workflow: Workflow, types: Mapping[str, NodeType], names: Iterable[str]) -> Kinds:
    """The wire types of some outputs: named ones of the workflow, or `node.output`."""
    from graphengine.check import Checker
    from graphengine.expansion import expansion

    whole = expansion(workflow, types).workflow
    given, outputs = Checker(whole, types).outputs, whole.root.outputs
    links = {name: outputs.get(name) or Link(*name.partition(".")[::2]) for name in names}
    return {name: given.get(link.node, {}).get(link.output, "any") for name, link in links.items()}


def in_short(workflow: Workflow) -> str:
    """A workflow in words."""
    count = len(workflow.nodes)
    return f"{workflow.name or 'Workflow'}: {count} {'node' if count == 1 else 'nodes'}"


def drawing(workflow: Workflow, manifest: Manifest) -> str | None:
    """A workflow as an SVG picture; None where it is too large to be one that somebody could read."""
    from graphengine.drawing.svg import svg

    return svg(workflow, manifest.types, manifest.wires) if len(workflow.nodes) <= DRAWN else None


def known() -> Manifest:
    """The node types that are installed; none where they cannot be read."""
    from graphengine.config import Settings
    from graphengine.registry import Manifest

    try:
        return Manifest.of((found := Settings.read()).cache, found.nodes, found.environments)
    except GraphEngineError:
        return Manifest({})


def report(
    state: str, result: Mapping[str, Any], files: Iterable[Path], failures: Mapping[str, BaseException]
) -> str:
    """How a run ended, as HTML."""
    kinds = result.kinds if isinstance(result, Result) else {}
    rows = [("state", escape(state))]
    rows += [(f"{node} failed", shown(f"{type(e).__name__}: {e}", "str")) for node, e in failures.items()]
    rows += [(name, shown(value, kinds.get(name, "any"))) for name, value in result.items()]
    rows += [("file", shown(path, "any")) for path in files]
    return table(rows)


def table(rows: Iterable[tuple[str, str]]) -> str:
    """Names, and beside each some HTML."""
    left = ' style="text-align:left;vertical-align:top"'
    lines = [f"<tr><th{left}>{escape(name)}</th><td{left}>{cell}</td></tr>" for name, cell in rows]
    return f"<table>{''.join(lines)}</table>" if lines else "<p>no outputs</p>"


def shown(value: Any, kind: TypeRef) -> str:
    """A value of a wire type as HTML."""
    if kind == "Image" and is_picture(value):
        return pictures([value])
    if (
        kind == ("list", "Image")
        and isinstance(value, (list, tuple))
        and value
        and all(map(is_picture, value))
    ):
        return pictures(value)
    text = cut(value if isinstance(value, str) else in_words(value))
    return f'<div style="white-space:pre-wrap">{escape(text)}</div>'


def is_picture(value: Any) -> bool:
    """Whether a value has the shape of a batch of pictures."""
    shape = tuple(getattr(value, "shape", ()))
    return len(shape) == 4 and shape[3] in (1, 3, 4) and all(shape)


def pictures(batches: Iterable[Any]) -> str:
    """Pictures side by side, and how many more there are."""
    every = [picture for batch in batches for picture in batch]
    some = every[:PICTURES]
    side = max(128, int(SIDE / math.sqrt(len(some))))
    rest = f"<div>and {len(every) - len(some)} more</div>" if len(every) > len(some) else ""
    return "".join(image(pillow(picture), side) for picture in some) + rest


def pillow(picture: Any) -> Pillow.Image:
    """A picture [height, width, channels] of values from 0 to 1."""
    from PIL import Image

    data = (picture.detach().float().nan_to_num().clamp(0, 1) * 255).round().byte().cpu().numpy()
    return Image.fromarray(data[..., 0] if data.shape[2] == 1 else data)


def image(picture: Pillow.Image, side: int) -> str:
    """An `img` with its data inside, at most so large; small ones are enlarged pixel by pixel."""
    words = f"{picture.width} x {picture.height}"
    small = picture.copy()
    small.thumbnail((side, side))
    longest = max(small.size)
    style = "display:inline-block;margin:2px;max-width:100%"
    if longest < SMALL and (times := min(SMALL, side) // longest) > 1:
        style += f";width:{small.width * times}px;image-rendering:pixelated"
    stream = io.BytesIO()
    small.save(stream, "png")
    data = b2a_base64(stream.getvalue(), newline=False).decode()
    return f'<img alt="{words}" title="{words}" style="{style}" src="data:image/png;base64,{data}">'


def cut(text: str, letters: int = LETTERS) -> str:
    """A text, or its beginning."""
    return text if len(text) <= letters else text[: letters - 1] + "…"


def in_words(value: Any, depth: int = 3) -> str:
    """Any value as text: of a tensor its shape and dtype, of a long list its beginning."""
    if isinstance(value, (str, int, float)) or value is None:
        return cut(repr(value))
    if isinstance(value, Path):
        return str(value)
    name = type(value).__name__
    if (shape := getattr(value, "shape", None)) is not None:
        dtype = str(getattr(value, "dtype", "")).removeprefix("torch.")
        return f"{name} {list(shape)} {dtype}".rstrip()
    if depth == 0:
        return name
    if isinstance(value, (list, tuple)):
        items = [in_words(item, depth - 1) for item in value[:ITEMS]]
        return f"[{', '.join(items + more(value))}]"
    if isinstance(value, dict):
        some = list(value.items())[:ITEMS]
        pairs = [f"{cut(repr(key), 80)}: {in_words(item, depth - 1)}" for key, item in some]
        return f"{{{', '.join(pairs + more(value))}}}"
    if is_dataclass(value) and not isinstance(value, type):
        parts = [f"{f.name}={in_words(getattr(value, f.name), depth - 1)}" for f in fields(value)]
        return f"{name}({', '.join(parts)})"
    return name


def more(values: Sized) -> list[str]:
    """How many items are left out, if any are."""
    return [f"and {len(values) - ITEMS} more"] if len(values) > ITEMS else []
