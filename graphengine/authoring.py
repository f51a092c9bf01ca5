"""What the author of a node imports: `node`, `Context`, `Lazy`, `Body`, `Ui`, `Choices`, `Seed`.

`node` only marks a function. `read` turns a marked function into a `NodeType`: its signature is the only
declaration, so what cannot be read off it is told in the author's words (`PackError`).
"""

from __future__ import annotations

import tempfile
from collections.abc import Awaitable, Callable, Generator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import (
    TYPE_CHECKING,
    Annotated,
    Any,
    Literal,
    ParamSpec,
    Protocol,
    TypeVar,
    overload,
)

from annotated_types import Ge, Lt

from graphengine.errors import Cancelled, PackError
from graphengine.folders import Folders

if TYPE_CHECKING:
    from graphengine.types import Image

P = ParamSpec("P")
S = TypeVar("S")
T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)
F = TypeVar("F", bound=Callable[..., Any])

__all__ = [
    "NO_CONTEXT",
    "Body",
    "Cancelled",
    "Choices",
    "Composed",
    "Context",
    "Derived",
    "Folders",
    "Handle",
    "Lazy",
    "Seed",
    "Ui",
    "node",
]


class Lazy(Protocol[T_co]):
    """An input that is computed only if the node awaits it."""

    def __await__(self) -> Generator[Any, Any, T_co]: ...


class Body(Protocol[P, T_co]):
    """A sub-graph handed to a node as a value; awaiting a call runs it once."""

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> Awaitable[T_co]: ...


class Handle(Protocol[T_co]):
    """What stands for a model on a wire: small, frozen, hashable, the same on every machine.

    Its fields say which weights (by content hash), in which precision, with which patches; never where.
    """

    def load(self, folders: Folders, device: str) -> T_co:
        """Read the weights and put them on a device (`cpu`, `cuda:0`)."""
        ...


class Composed(Handle[T_co], Protocol[T_co]):
    """A handle of several models that other handles may have too, such as the text encoders of a model.

    The pool holds each member once, whoever asks for it, and puts them together at each use.
    """

    @property
    def members(self) -> Sequence[Handle[Any]]:
        """The handles whose models it is made of."""
        ...

    def compose(self, models: Sequence[Any]) -> T_co:
        """The models of the members as one; quick, and without weights of its own."""
        ...


class Derived(Handle[T_co], Protocol[T_co]):
    """A handle of a model that is made out of another one, such as a U-Net with a LoRA in it.

    The pool holds the base once for all that is derived from it. What `derive` gives shares every tensor with
    the base that it does not change, and leaves the base as it is.
    """

    @property
    def base(self) -> Handle[Any]:
        """The handle of the model that it is made from."""
        ...

    def derive(self, model: Any, folders: Folders, device: str) -> T_co:
        """The derived model, from the model of the base."""
        ...


@dataclass(frozen=True)
class Ui:
    """How the editor should draw one input; what is left None follows from the type."""

    widget: Literal["slider", "seed", "multiline", "colour", "model", "image", "mask"] | None = None
    label: str | None = None
    scale: Literal["linear", "log"] | None = None
    step: float | None = None
    unit: str | None = None


@dataclass(frozen=True)
class Choices:
    """Options that are read when the editor asks for them, never at import. `read` gets the `Folders`."""

    read: Callable[[Folders], Sequence[str]]


class Context:
    """What a running node may ask of the engine; injected by type, and no port.

    As it stands here it serves a function that is called directly, as in a test: nobody listens, and a model
    is loaded anew by each `use`.
    """

    device: str = "cpu"
    """Where tensors belong: `cpu`, `cuda:0`."""

    folders: Folders = Folders()

    workflow: Mapping[str, Any] | None = None
    """The file that is being run, with every input as it was used, the seed too."""

    cancelled: bool = False
    """Whether the user has pressed stop, for what cannot tell how far it is."""

    def progress(self, done: float, total: float = 1.0) -> None:
        """Tell how far the node is; raises `Cancelled` once the user pressed stop."""

    def preview(self, image: Image) -> None:
        """Show a picture while the node runs: float32 [batch, height, width, channels], 0 to 1."""

    def use(self, handle: Handle[T]) -> T:
        """The loaded model behind a handle, on `device`. Hold it only while the node runs."""
        return handle.load(self.folders, self.device)

    def save(self, name: str, data: bytes, media_type: str) -> Path:
        """Publish a file, whole or not at all; gives where it is. An existing file is never replaced."""
        return self.folders.publish(name, data)

    def resume(self, body: Body[[T, S], T], start: T, over: Sequence[S]) -> tuple[int, T]:
        """How many first rounds of `start = await body(start, item)` are known, and what the last one gave.

        A loop may begin after them. Outside of a run nothing is known: 0 and the start.
        """
        return 0, start

    def temporary(self) -> Path:
        """A new empty folder for this run; removed when the run ends."""
        return Path(tempfile.mkdtemp())


NO_CONTEXT = Context()


Seed = Annotated[int, Ge(0), Lt(2**32), Ui(widget="seed")]
"""A seed (torch's CPU generator reads 32 bits); `null` in the file is drawn when a run is submitted."""


@overload
def node(function: F, /) -> F: ...
@overload
def node(
    *,
    id: str = ...,
    title: str = ...,
    category: str = ...,
    version: int = ...,
    cache: Literal["disk", "memory", "none"] = ...,
    device: Literal["model", "cpu", "io"] = ...,
    fingerprint: Callable[..., str] = ...,
    batched: Callable[..., Sequence[Any]] = ...,
    exact: bool = ...,
    frugal: Callable[..., Any] = ...,
    aliases: Sequence[str] = ...,
    converter: bool = ...,
    migrations: Sequence[Callable[[dict[str, Any]], dict[str, Any]]] = ...,
    deprecated: str = ...,
    experimental: bool = ...,
) -> Callable[[F], F]: ...
def node(function: Any = None, /, **options: Any) -> Any:
    """Mark a function as a node; nothing is registered until its pack is loaded.

    * `version`: the code version that enters cache keys; without it, a hash of the module's syntax tree.
    * `cache`: "disk" keeps what the node gave for later runs and processes, "memory" for this process,
      "none" runs it each time.
    * `fingerprint`: a function of some of the node's inputs (by name; `folders: Folders` too) whose result
      stands in the key for what lives outside the graph, such as a file's content.
    * `device`: "model" runs on the device, "cpu" beside it, "io" waits for the world.
    * `batched`: a companion that runs several calls as one: its `list[X]` parameters vary, its plain ones are
      equal for all; `exact` says that a batch has the same bits as single calls.
    * `frugal`: a companion with the same parameters that needs less memory, such as one that works in tiles;
      it is called where the device has too little for the function itself.
    * `converter`: that it makes one type of another, from one required input to one output: the editor offers
      it where a link does not fit.
    * `aliases`: ids that the node had before; `migrations`: functions that bring the inputs of an older
      version to the next, the oldest first, each from a dict of inputs as the file has them to another.
    """

    def mark(function: F) -> F:
        function.__graph_node__ = options  # type: ignore[attr-defined]
        return function

    if function is not None and not callable(function):
        raise PackError(f"@node({function!r}) names no option; write `@node(title=...)` or another one")
    return mark if function is None else mark(function)
