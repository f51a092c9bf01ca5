"""Testing: what the author of nodes tests them with, in pytest or anywhere else.

    from graphengine.testing import Recorder, assert_images_close, assert_pure, run_node, run_workflow

    def test_blur_keeps_the_size():
        image = assert_pure(blur, image=torch.rand(1, 8, 8, 3), radius=2)
        assert image.shape == (1, 8, 8, 3)

`run_node` calls a node as the engine would: literals are checked and converted, defaults filled in, a Lazy
may be given as its value and a Body as a function, and what comes back is what the signature promises.
`assert_pure` does it several times, to find what would spoil the cache. With pytest, these are fixtures too;
see `graphengine.fixtures`.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable, Coroutine, Generator, Mapping
from dataclasses import dataclass
from enum import Enum
from functools import cached_property
from pathlib import Path
from tempfile import mkdtemp
from typing import TYPE_CHECKING, Any, NamedTuple

from graphengine.authoring import Context, Folders, Handle
from graphengine.codec import Codec, NotStorable
from graphengine.errors import Cancelled
from graphengine.keys import canonical, digest
from graphengine.literals import mismatch
from graphengine.nodetype import EMPTY, NodeType, Port
from graphengine.packs import imported
from graphengine.registry import Registry
from graphengine.session import Runnable, Session
from graphengine.signature import read
from graphengine.types import PLAIN, TypeRef
from graphengine.workflow import Workflow

if TYPE_CHECKING:
    from torch import Tensor

    from graphengine.notebook import Result

__all__ = ["Kit", "Recorder", "Saved", "assert_images_close", "assert_pure", "run_node", "run_workflow"]

STEP = 1 / 255
"""What one step of 8 bits makes."""
ROUNDING = 1e-3
"""How far over 0 to 1 a picture may be."""


class Saved(NamedTuple):
    """A file that a node has saved."""

    name: str
    path: Path
    data: bytes
    media_type: str


class Recorder(Context):
    """A Context that notes what a node asks of it, and can stop it.

    `cancel_at` is the call of `progress` that raises `Cancelled`, from 1 on; `models` stand for what handles
    would load.
    """

    def __init__(
        self,
        folder: Path | None = None,
        *,
        cancel_at: int | None = None,
        models: Mapping[Handle[Any], Any] | None = None,
        folders: Folders | None = None,
    ) -> None:
        self.folder = folder or Path(mkdtemp(prefix="graphengine-"))
        self.folders = folders or Folders(outputs=self.folder / "outputs")
        self.cancel_at, self.models = cancel_at, dict(models or {})
        self.progressed: list[tuple[float, float]] = []
        self.previews: list[Any] = []
        self.saved: list[Saved] = []

    def progress(self, done: float, total: float = 1.0) -> None:
        self.progressed.append((done, total))
        if self.cancel_at is not None and len(self.progressed) >= self.cancel_at:
            raise Cancelled

    def preview(self, image: Any) -> None:
        self.previews.append(image)

    def use(self, handle: Handle[Any]) -> Any:
        if handle not in self.models:
            self.models[handle] = super().use(handle)
        return self.models[handle]

    def save(self, name: str, data: bytes, media_type: str) -> Path:
        path = super().save(name, data, media_type)
        self.saved.append(Saved(name, path, data, media_type))
        return path

    def temporary(self) -> Path:
        return Path(mkdtemp(dir=self.folder))


@dataclass(frozen=True)
class Given:
    """A value for a Lazy."""

    value: Any

    def __await__(self) -> Generator[Any, Any, Any]:
        return self.value
        yield


class Kit:
    """The functions of this module for one session: its packs are those that ids and workflows mean."""

    def __init__(self, session: Session | None = None, folder: Path | None = None) -> None:
        self.given, self.folder = session, folder

    @cached_property
    def session(self) -> Session:
        """The session, made when it is first needed."""
        return self.given or Session()

    def kind(self, node: Callable[..., Any] | str) -> NodeType:
        """The type of a node by its function or its id."""
        if isinstance(node, str):
            known = self.session.manifest.types
            hold(node in known, f"there is no node type {node!r}; `graphengine nodes` lists them all")
            return Registry.only(self.session.manifest, [node])[node]
        hold(hasattr(node, "__graph_node__"), f"{node!r} is no node; mark it with @node")
        return read(node, node.__module__.partition(".")[0].lower(), "test")

    def run_node(self, node: Callable[..., Any] | str, /, **inputs: Any) -> Any:
        """What a node gives for these inputs; the Context goes to the parameter that wants one.

        AssertionError says which input is missing, unknown or refused, or what is wrong with the result.
        """
        kind = self.kind(node)
        return self.call(kind, self.arguments(kind, inputs))

    def assert_pure(self, node: Callable[..., Any] | str, /, **inputs: Any) -> Any:
        """The same, once it is known that what the node gives may be kept: the laws of the cache.

        The node leaves its inputs as they are, gives the same each time, and what goes in and comes out of it
        is the same after a way to the disk and back.
        """
        kind = self.kind(node)
        codec = Codec(imported(self.packs()) | {kind.module.partition(".")[0]})
        arguments = self.arguments(kind, inputs)
        before = {name: print_of(codec, value) for name, value in arguments.items()}
        first = self.call(kind, arguments)
        for name, value in arguments.items():
            text = f"{kind.id} changes its input {name!r}; let it work on a copy, such as `{name}.clone()`"
            hold(print_of(codec, value) == before[name], text)
        if not kind.cached:
            return first
        told = print_of(codec, first)
        text = f"{kind.id} gives two results for the same inputs; draw what is random from a Seed"
        hold(print_of(codec, self.call(kind, arguments)) == told, text)
        if kind.cache == "disk":
            try:
                again = codec.decode(codec.encode(first))
            except NotStorable as error:
                raise AssertionError(f'{kind.id}: {error}; or mark the node cache="memory"') from error
            hold(print_of(codec, again) == told, f"{kind.id}: what it gives is another after it was stored")
        stored = {name: through(codec, value) for name, value in arguments.items()}
        text = f"{kind.id} gives another result for inputs that were stored and read again"
        hold(print_of(codec, self.call(kind, stored)) == told, text)
        return first

    def run_workflow(self, source: Workflow | Mapping[str, Any] | str | Path, /, **inputs: Any) -> Result:
        """The outputs of a workflow with these named inputs. WorkflowError or NodeFailed if it has none."""
        if isinstance(source, Mapping):
            source = Workflow.of(dict(source))
        workflow = source if isinstance(source, Workflow) else self.session.load(source)
        return Runnable(workflow, self.session).run(**inputs)

    def packs(self) -> tuple[Any, ...]:
        """The packs of the session, where one was given."""
        return self.given.manifest.packs if self.given else ()

    def arguments(self, kind: NodeType, inputs: Mapping[str, Any]) -> dict[str, Any]:
        """The arguments of a node's function by name."""
        if unknown := inputs.keys() - kind.inputs.keys():
            have = ", ".join(kind.inputs) or "none"
            raise AssertionError(f"{kind.id} has no input {min(unknown)!r}; it has {have}")
        found: dict[str, Any] = {}
        for name, port in kind.inputs.items():
            if port.kind == "context":
                found[name] = inputs.get(name) or Recorder(self.folder)
            elif name in inputs:
                found[name] = argument(kind, port, inputs[name])
            elif port.seed:
                found[name] = 0
            else:
                hold(port.default is not EMPTY, f"{kind.id} needs its input {name!r}; give it by name")
                found[name] = argument(kind, port, port.default)
        return found

    def call(self, kind: NodeType, arguments: Mapping[str, Any]) -> Any:
        """What the function gives, once it is known to be what its signature says."""
        value = kind.run(*arguments.values())
        if inspect.iscoroutine(value):
            value = asyncio.run(value) if kind.awaits == "io" else finished(kind, value)
        if not kind.outputs:
            hold(value is None, f"{kind.id} promises nothing, and gave {value!r:.80}")
            return value
        values = value if len(kind.outputs) > 1 else (value,)
        if not isinstance(values, tuple) or len(values) != len(kind.outputs):
            raise AssertionError(f"{kind.id} promises {', '.join(kind.outputs)}, and gave {value!r:.80}")
        for (name, type), each in zip(kind.outputs.items(), values, strict=True):
            if why := unlike(each, type):
                raise AssertionError(f"{kind.id}: its {name} {why}")
        return value


def argument(kind: NodeType, port: Port, value: Any) -> Any:
    """What a function gets for a value."""
    if port.kind == "body":
        return called(value)
    if port.kind == "lazy":
        return Given(value)
    base = port.type
    while isinstance(base, tuple):
        base = base[1]
    if base not in PLAIN.values():
        return value
    literal = value.value if isinstance(value, Enum) else list(value) if isinstance(value, tuple) else value
    if why := mismatch(literal, port):
        raise AssertionError(f"{kind.id}.{port.name}: {why}")
    return literal if literal is None or port.convert is None else port.convert(literal)


def called(function: Callable[..., Any]) -> Callable[..., Coroutine[Any, Any, Any]]:
    """A function as a Body: a call is awaited."""

    async def body(*arguments: Any) -> Any:
        value = function(*arguments)
        return await value if inspect.isawaitable(value) else value

    return body


def finished(kind: NodeType, coroutine: Coroutine[Any, Any, Any]) -> Any:
    """What a coroutine gives that awaits nothing but what is there."""
    try:
        coroutine.send(None)
    except StopIteration as end:
        return end.value
    coroutine.close()
    raise AssertionError(
        f"{kind.id} awaits something else than its Lazies and Bodies, which the engine cannot"
    )


def unlike(value: Any, kind: TypeRef) -> str:
    """Why a value is not of the type that was promised; empty if it is, or if nobody can say."""
    if isinstance(kind, tuple):
        if not isinstance(value, list):
            return f"is {value!r:.80}, and no list"
        return next((f"has an item that {why}" for item in value if (why := unlike(item, kind[1]))), "")
    if kind in PLAIN.values():
        fine = PLAIN.get(type(value)) == kind or (kind, type(value)) == ("float", int)
        return "" if fine else f"is {value!r:.80}, and no {kind}"
    if kind not in ("Image", "Mask"):
        return ""
    shape = ["batch", "height", "width", "channels"][: 4 if kind == "Image" else 3]
    words = f"float32 [{', '.join(shape)}]"
    if getattr(value, "ndim", None) != len(shape) or str(value.dtype) != "torch.float32":
        what = f"{value.dtype} {list(value.shape)}" if hasattr(value, "dtype") else f"{value!r:.80}"
        return f"is {what}, and {'an' if kind == 'Image' else 'a'} {kind} is {words}"
    low, high = (float(value.min()), float(value.max())) if value.numel() else (0.0, 0.0)
    if not (low >= -ROUNDING and high <= 1 + ROUNDING):
        return f"has values from {low:.3g} to {high:.3g}, and not from 0 to 1"
    return ""


def print_of(codec: Codec, value: Any) -> bytes | None:
    """What stands for a value; None for one of which nothing is known."""
    try:
        return digest(codec.encode(value))
    except NotStorable:
        data = canonical(value)
        return None if data is None else digest(data)


def through(codec: Codec, value: Any) -> Any:
    """A value after a way to the disk and back; itself where it has none."""
    if isinstance(value, Context):
        return value
    if isinstance(value, Given):
        return Given(through(codec, value.value))
    try:
        return codec.decode(codec.encode(value))
    except NotStorable:
        return value


def hold(true: bool, text: str) -> None:
    """AssertionError with this text and no other, whatever Python or pytest makes of `assert`."""
    if not true:
        raise AssertionError(text)


def assert_images_close(actual: Tensor, expected: Tensor | str | Path, tolerance: float = STEP) -> None:
    """Two pictures are the same, up to a tolerance; the second may be a file.

    A file that is not there is written, and the test fails once, for somebody to look at it.
    """
    if isinstance(expected, str | Path):
        path = Path(expected)
        if not path.is_file():
            path.parent.mkdir(parents=True, exist_ok=True)
            drawn(actual).save(path)
            raise AssertionError(f"there was no picture {path}; it is there now: look at it, and test again")
        expected = loaded(path)
    hold(actual.shape == expected.shape, f"the pictures are {list(actual.shape)} and {list(expected.shape)}")
    distance = (actual.detach().float().cpu() - expected.detach().float().cpu()).abs()
    wrong = ~(distance <= tolerance)
    if not wrong.any():
        return
    worst = int(distance.nan_to_num(nan=float("inf")).argmax())
    place = []
    for size in reversed(distance.shape):
        worst, index = divmod(worst, size)
        place.append(index)
    batch, row, column, channel = place[::-1]
    raise AssertionError(
        f"{int(wrong.sum())} of {wrong.numel()} values differ by more than {tolerance:.4g}; the most, by "
        f"{float(distance[batch, row, column, channel]):.4g}, is in picture {batch}, row {row}, column "
        f"{column}, channel {channel}"
    )


def drawn(image: Tensor) -> Any:
    """The first of some pictures, as a picture of Pillow's."""
    from graphengine.notebook import pillow

    return pillow(image[0])


def loaded(path: Path) -> Tensor:
    """A picture of a file."""
    import numpy
    import torch
    from PIL import Image

    with Image.open(path) as picture:
        data = numpy.asarray(picture.convert("RGBA" if "A" in picture.getbands() else "RGB"))
    return torch.from_numpy(data.copy())[None].float() / 255


def run_node(node: Callable[..., Any], /, **inputs: Any) -> Any:
    """What a node gives for these inputs; see `Kit.run_node`."""
    return Kit().run_node(node, **inputs)


def assert_pure(node: Callable[..., Any], /, **inputs: Any) -> Any:
    """What a node gives, once it is known that it may be kept; see `Kit.assert_pure`."""
    return Kit().assert_pure(node, **inputs)


def run_workflow(source: Workflow | Mapping[str, Any] | str | Path, /, **inputs: Any) -> Result:
    """The outputs of a workflow with these named inputs; see `Kit.run_workflow`."""
    return Kit().run_workflow(source, **inputs)
