"""What the user sees of a run while it runs: a bar on a terminal, else a line an event, or JSON."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from time import monotonic
from typing import TYPE_CHECKING, Any, get_args

import typer

from graphengine.events import (
    BodyFinished,
    Event,
    ModelLoaded,
    NodeCached,
    NodeFailed,
    NodeFinished,
    NodeOutput,
    NodePreview,
    NodeProgress,
    NodeStarted,
    RunEnded,
    RunPlanned,
)

if TYPE_CHECKING:
    from rich.progress import Progress

Emit = Callable[[Event], None]


@contextmanager
def display(as_json: bool) -> Iterator[Emit]:
    """Where the events of a run go."""
    from graphengine.cli.console import talk

    console = talk()
    if as_json:
        yield lambda event: typer.echo(json.dumps(as_data(event), ensure_ascii=False))
    elif not console.is_terminal:
        yield Lines()
    else:
        from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

        columns = (
            BarColumn(),
            TextColumn("{task.fields[done]}", markup=False),
            TimeElapsedColumn(),
            TextColumn("{task.description}", markup=False),
        )
        with Progress(*columns, console=console, transient=True) as progress:
            yield Bar(progress)


class Lines:
    """A line an event; of progress, ten lines a second; of nodes in bodies, only files and failures."""

    def __init__(self, clock: Callable[[], float] = monotonic) -> None:
        self.clock, self.next = clock, 0.0
        self.outer: set[str] = set()
        self.telling: set[str] = set()

    def __call__(self, event: Event) -> None:
        match event:
            case RunPlanned(steps, cached, skipped):
                self.outer.update(steps, cached, skipped)
            case BodyFinished(node) if node in self.telling:
                return
            case NodeProgress(node) | BodyFinished(node):
                if isinstance(event, NodeProgress):
                    self.telling.add(node)
                if (now := self.clock()) < self.next:
                    return
                self.next = now + 0.1
            case NodeOutput() | NodeFailed() | RunEnded():
                pass
            case _ if event.node not in self.outer:
                return
        typer.echo(line(event), err=True)


class Bar:
    """One bar for the whole run, and what is happening now beside it.

    A node's own progress counts as a part of its step.
    """

    def __init__(self, progress: Progress) -> None:
        self.progress = progress
        self.task = progress.add_task("starting", total=None, done="")
        self.steps: tuple[str, ...] = ()
        self.done: set[str] = set()
        self.part = 0.0

    def __call__(self, event: Event) -> None:
        match event:
            case RunPlanned():
                self.steps = event.steps
                self.done.clear()  # a job whose worker was lost is begun anew
            case NodeStarted(node) if node in self.steps:
                self.part = 0.0
                self.show(node)
            case NodeProgress(node, done, total):
                if node in self.steps and total:
                    self.part = min(done / total, 1.0)
                    self.show(f"{node} {done:g} of {total:g}")
            case NodeFinished(node) | NodeFailed(node) | NodeCached(node) if node in self.steps:
                self.done.add(node)
                self.part = 0.0
                self.show(node)
            case BodyFinished(node, call, _) if not self.part:
                self.show(f"{node}, round {call}")
            case _:
                pass
        if isinstance(event, NodeFailed) and event.node == event.because:
            self.progress.console.print(line(event), style="red", markup=False, highlight=False)

    def show(self, text: str) -> None:
        """Draw the bar anew."""
        total = len(self.steps)
        self.progress.update(
            self.task, description=text, total=total, completed=len(self.done) + self.part,
            done=f"{len(self.done)} of {total}",
        )  # fmt: skip


def line(event: Event) -> str:
    """An event as a line of text."""
    match event:
        case RunPlanned(steps, cached, skipped):
            parts = ((steps, "to run"), (cached, "cached"), (skipped, "not needed"))
            return "plan: " + ", ".join(
                f"{len(some)} {what}" for some, what in parts if some or what == "to run"
            )
        case NodeStarted(node):
            return f"{node}: started"
        case NodeFinished(node, seconds):
            return f"{node}: done in {duration(seconds)}"
        case NodeCached(node):
            return f"{node}: cached"
        case NodeProgress(node, done, total):
            return f"{node}: {done:g} of {total:g}"
        case NodePreview(node, image):
            return f"{node}: preview {' x '.join(map(str, image.shape))}"
        case NodeOutput(node, path, _):
            return f"{node}: saved {path}"
        case NodeFailed(node, because, error):
            return (
                f"{node}: failed: {error}"
                if node == because
                else f"{node}: not run, because {because} failed"
            )
        case ModelLoaded(node, model, seconds):
            return f"{node}: loaded {model} in {duration(seconds)}"
        case BodyFinished(node, call, cached):
            return f"{node}: call {call} of its body {'cached' if cached else 'done'}"
        case RunEnded(state, seconds):
            return f"{state} in {duration(seconds)}"


def named(kind: type[Event]) -> str:
    """What an event is called in JSON: `node_started`."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", kind.__name__).lower()


KINDS: dict[str, Any] = {named(kind): kind for kind in get_args(Event)}
"""The events of a run by what they are called in JSON."""


def as_data(event: Event) -> dict[str, Any]:
    """An event as JSON data; of a picture, only what it is."""
    return {"event": named(type(event))} | {key: described(value) for key, value in event._asdict().items()}


def from_data(data: Mapping[str, Any]) -> Event | None:
    """The event that a server tells as JSON; None for what is no event of a run, such as a job's new state.

    A file has a name there and no path.
    """
    kind = KINDS.get(str(data.get("event")))
    if kind is None:
        return None
    given = {"path": data.get("name", "")} | dict(data)
    values = {name: given[name] for name in kind._fields if name in given}
    try:
        found: Event = kind(**{k: tuple(v) if isinstance(v, list) else v for k, v in values.items()})
    except TypeError:  # of another version of GraphEngine
        return None
    return found


def described(value: Any) -> Any:
    """Plain values as they are; of a tensor its shape, of anything else its type."""
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, (list, tuple)) and not hasattr(value, "_fields"):
        return [described(item) for item in value]
    if isinstance(value, dict):
        return {str(key): described(item) for key, item in value.items()}
    shape = getattr(value, "shape", None)
    return {"type": type(value).__name__} | ({"shape": list(shape)} if shape is not None else {})


def duration(seconds: float) -> str:
    """A time as people read it: `12 us`, `4.1 ms`, `3.1 s`, `2 min 5 s`."""
    if seconds < 1e-3:
        return f"{seconds * 1e6:.0f} us"
    if seconds < 1:
        return f"{seconds * 1000:.{1 if seconds < 0.01 else 0}f} ms"
    if seconds < 60:
        return f"{seconds:.1f} s"
    return f"{int(seconds) // 60} min {int(seconds) % 60} s"


def tell(data: dict[str, Any]) -> None:
    """One JSON object as a line."""
    typer.echo(json.dumps(data, ensure_ascii=False))
