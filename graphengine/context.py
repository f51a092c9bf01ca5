"""RunContext: what a node asks of the engine while it runs, answered by the run that it is part of."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from time import perf_counter
from typing import Any, Protocol

from graphengine import events
from graphengine.authoring import Context, Folders, Handle
from graphengine.body import BodyInput
from graphengine.errors import Cancelled
from graphengine.plan import Step
from graphengine.pool import ModelPool

log = logging.getLogger("graphengine.nodes")


class Run(Protocol):
    """What a run offers to its nodes; the executor is one."""

    emit: Callable[[events.Event], object]
    cancelled: bool
    pool: ModelPool | None
    folders: Folders
    workflow: Mapping[str, Any] | None
    temporary: tempfile.TemporaryDirectory[str] | None


def finished(
    emit: Callable[[events.Event], object], step: Step, value: Any, seconds: float, inside: bool
) -> None:
    """Tell that a step gave its value, and show the pictures of those outputs that have some; none in bodies.

    One that cannot be made is told in the log: what was given is good without it.
    """
    emit(events.NodeFinished(step.node, seconds))
    if inside or not step.type.shows:
        return
    values = value if len(step.type.outputs) > 1 else (value,)
    for place, preview in step.type.shows:
        try:
            image = preview(values[place])
        except Exception:
            log.exception("%s: there is no preview of what %s gave", step.node, step.type.id)
        else:
            emit(events.NodePreview(step.node, image))


class RunContext(Context):
    """The Context of one running node."""

    def __init__(self, run: Run, node: str) -> None:
        self.run, self.node = run, node
        self.folders, self.workflow = run.folders, run.workflow

    @property
    def device(self) -> str:  # type: ignore[override]
        return self.run.pool.device.name if self.run.pool else "cpu"

    @property
    def cancelled(self) -> bool:  # type: ignore[override]
        return self.run.cancelled

    def progress(self, done: float, total: float = 1.0) -> None:
        self.run.emit(events.NodeProgress(self.node, done, total))
        if self.run.cancelled:
            raise Cancelled

    def preview(self, image: Any) -> None:
        self.run.emit(events.NodePreview(self.node, image))

    def use(self, handle: Handle[Any]) -> Any:
        pool, began = self.run.pool, perf_counter()
        model, fresh = pool.lend(handle) if pool is not None else (super().use(handle), True)
        if fresh:
            self.run.emit(events.ModelLoaded(self.node, str(handle), perf_counter() - began))
        return model

    def resume(self, body: Any, start: Any, over: Sequence[Any]) -> tuple[int, Any]:
        return body.resume(start, over) if isinstance(body, BodyInput) else (0, start)

    def save(self, name: str, data: bytes, media_type: str) -> Path:
        path = super().save(name, data, media_type)
        self.run.emit(events.NodeOutput(self.node, str(path), media_type))
        return path

    def temporary(self) -> Path:
        run = self.run
        if run.temporary is None:
            run.temporary = tempfile.TemporaryDirectory(prefix="graphengine-")
        return Path(tempfile.mkdtemp(dir=run.temporary.name))
