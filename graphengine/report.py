"""Report: the events of a run as a worker sends them: as JSON, in batches, and not more than anybody can see.

A run may have thousands of events a second, most of them about the rounds of loops. Here an event that comes
while an older one about the same is still unsent takes its place; what is outside of loops is never left out.
"""

from __future__ import annotations

import io
import json
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from threading import Condition, Thread
from time import monotonic
from typing import TYPE_CHECKING, Any

from graphengine import events
from graphengine.errors import GraphEngineError

if TYPE_CHECKING:
    from PIL import Image as Pillow

PERIOD = 0.05
"""Seconds between two batches."""
PICTURES = 0.2
"""Seconds between two previews of one node."""
SIDE = 512
"""Pixels of the longer side of a preview."""
IDS = 200
"""Node ids in one event."""
WORDS = 4000
"""Characters of an error."""
PATH = re.compile(r"(?<![\w:/.~<])(?:~|[A-Za-z]:)?[\\/](?:[^\s'\"\\/:,;()<>]+[\\/])+(?=[^\s'\"\\/:,;()<>])")
"""The folders of a path within a text."""

Send = Callable[[list[str]], None]
Show = Callable[[str, "Pillow.Image"], None]


class Report:
    """Takes the events of one run and gives them, as JSON texts, to `send`, and pictures to `show`.

    A thread of its own sends what has gathered; `close` sends the rest.
    """

    def __init__(self, send: Send, show: Show, clock: Callable[[], float] = monotonic) -> None:
        self.send, self.show, self.clock = send, show, clock
        self.outer: set[str] = set()
        self.gathered: dict[object, dict[str, Any]] = {}
        self.shown: dict[str, float] = {}
        self.told = 0
        self.closed = False
        self.change = Condition()
        self.thread = Thread(target=self.sending, daemon=True, name="graphengine-report")
        self.thread.start()

    def __call__(self, event: events.Event) -> None:
        """Take an event of the run."""
        if isinstance(event, events.NodePreview):
            self.preview(event)
            return
        if isinstance(event, events.RunPlanned):
            self.outer.update(event.steps, event.cached, event.skipped)
        with self.change:
            for data in told(event):
                self.gathered.pop(key := self.about(event), None)
                self.gathered[key] = data
            self.change.notify()

    def about(self, event: events.Event) -> object:
        """What only the newest event of is worth sending; for most that is the event itself, by a number."""
        node = getattr(event, "node", "")
        if isinstance(event, events.NodeProgress | events.BodyFinished):
            return type(event), node
        if node and node not in self.outer and not isinstance(event, events.NodeOutput | events.NodeFailed):
            return node  # of a round of a loop, how far it is
        self.told += 1
        return self.told

    def preview(self, event: events.NodePreview) -> None:
        """Show a picture, unless one of this node was shown just now."""
        now = self.clock()
        if now - self.shown.get(event.node, -PICTURES) < PICTURES:
            return
        self.shown[event.node] = now
        picture = small(event.image)
        if picture is not None:
            self.show(event.node, picture)

    def sending(self) -> None:
        """Send what has gathered, a batch a period."""
        while True:
            with self.change:
                while not self.gathered and not self.closed:
                    self.change.wait()
                if self.closed:
                    return
            self.flush()
            with self.change:
                self.change.wait_for(lambda: self.closed, PERIOD)

    def flush(self) -> None:
        """Send what has gathered."""
        with self.change:
            batch, self.gathered = self.gathered, {}
            if batch:
                self.send([json.dumps(data, separators=(",", ":"), default=str) for data in batch.values()])

    def close(self) -> None:
        """Send the rest, and nothing after it."""
        with self.change:
            self.closed = True
            self.change.notify_all()
        self.thread.join()
        self.flush()


def told(event: events.Event) -> list[dict[str, Any]]:
    """An event as JSON data; a plan of many nodes as several. No folder of this machine is in it."""
    name = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", type(event).__name__).lower()
    data = {"event": name} | event._asdict()
    match event:
        case events.RunPlanned():
            parts = max(1, *(-(-len(ids) // IDS) for ids in event))
            return [
                {"event": name} | {key: ids[i * IDS : (i + 1) * IDS] for key, ids in event._asdict().items()}
                for i in range(parts)
            ]
        case events.NodeOutput(node, path, media):
            return [{"event": name, "node": node, "name": Path(path).name, "media_type": media}]
        case events.NodeFailed():
            return [data | {"error": discreet(event.error)}]
        case events.ModelLoaded():
            return [data | {"model": discreet(event.model), "seconds": round(event.seconds, 4)}]
        case events.NodeFinished() | events.BodyFinished() | events.RunEnded():
            return [data | {"seconds": round(event.seconds, 6)}]
    return [data]


def discreet(text: str) -> str:
    """A text in which paths are only names: where things are on this machine is nobody else's business."""
    text = PATH.sub("", text)
    return text if len(text) <= WORDS else f"{text[:WORDS]} ..."


def small(image: Any) -> Pillow.Image | None:
    """The first of some pictures [batch, height, width, channels], made small; None if there is none."""
    from graphengine.notebook import is_picture, pillow

    if not is_picture(image) or not len(image):
        return None
    picture = pillow(image[0])
    picture.thumbnail((SIDE, SIDE))
    return picture


def encoded(picture: Pillow.Image, form: str) -> bytes:
    """A picture as the bytes of a file."""
    stream = io.BytesIO()
    picture.save(stream, form)
    return stream.getvalue()


def failures(failed: Sequence[tuple[str, BaseException]]) -> str:
    """Why a run failed, in a few lines."""
    lines = [f"{node}: {reason(error)}" for node, error in failed[:8]]
    if len(failed) > len(lines):
        lines.append(f"and {len(failed) - len(lines)} more")
    return discreet("\n".join(lines))


def reason(error: BaseException) -> str:
    """What an error says; of one that is not the engine's own, its kind too."""
    kind = "" if isinstance(error, GraphEngineError) else type(error).__name__
    return ": ".join(part for part in (kind, str(error)) if part)
