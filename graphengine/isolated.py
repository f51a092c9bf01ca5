"""Isolated: the process in which one isolated pack is run, with a Python and an environment of its own.

It is started with one end of a channel and the pack, loads it, and answers, each question by its number:

* `describe`: the manifest of the pack.
* `run`: call a node. Meanwhile it tells `progress` and `preview`, and may `ask` what a Context offers, which
  is answered with `told`. The end is an `answer`, `raised`, or `cancelled` after a `cancel`.
* `fingerprint`, `choices`, `migrate`, `preview`: call another function of a node.

Nodes that compute run one after the other on the process's first thread, all else in a thread of its own.
When the channel closes the engine's process is gone, and this one ends at once.
"""

from __future__ import annotations

import ast
import asyncio
import faulthandler
import inspect
import json
import os
import socket
import sys
import textwrap
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from queue import SimpleQueue
from threading import Event, Thread
from typing import Any

from graphengine.authoring import Context, Folders
from graphengine.channel import Channel, Message
from graphengine.codec import NotStorable
from graphengine.environments import content
from graphengine.errors import Cancelled, PackError
from graphengine.isolation import folders_of, raised, revived
from graphengine.nodetype import NodeType
from graphengine.packs import BrokenPack, Pack, files, imported, installed, source_of
from graphengine.parcel import Opening
from graphengine.pool import short_of_memory
from graphengine.registry import Registry
from graphengine.source import place_of, trace_in
from graphengine.types import show


class Host:
    """One pack, loaded by the thread that calls `work`."""

    def __init__(self, pack: Pack, channel: Channel) -> None:
        self.pack, self.channel = pack, channel
        self.queue: SimpleQueue[Message] = SimpleQueue()
        self.calls: dict[int, Calling] = {}
        self.loaded = Event()
        self.codec = Opening({pack.module, *imported(installed())}, pack.name)
        self.registry, self.source = Registry(), ""

    def load(self) -> None:
        """Import the pack, and take out what cannot be run here."""
        self.source = source_of(self.pack)
        self.registry = Registry.load([self.pack._replace(environment="", source="")])
        for id, kind in list(self.registry.types.items()):
            if why := refused(kind):
                self.registry.problems.append(BrokenPack(self.pack.name, why, ""))
                del self.registry.types[id]
            else:
                self.registry.types[id] = self.adapted(kind)
        self.registry.catalogues.clear()  # they are asked in the engine's process
        self.loaded.set()

    def adapted(self, kind: NodeType) -> NodeType:
        """A node type without what needs the engine's process; its code is the environment's too."""
        known = f"{kind.code}-{content(Path(self.pack.environment))}"
        code = kind.code if kind.code.startswith("v") else known
        none: frozenset[str] = frozenset()
        return replace(kind, code=code, batched=None, frugal=None, shared=none, fuses=False, exact=False)

    def listen(self) -> None:
        """Take what comes, until the engine is gone."""
        while (message := self.channel.receive()) is not None:
            head, number = message.head, message.head["call"]
            if message.kind == "cancel":
                if call := self.calls.get(number):
                    call.cancel()
            elif message.kind == "told":
                if call := self.calls.get(number):
                    call.replies.put(message)
            elif head.get("beside"):
                Thread(target=self.answer, args=(message,), daemon=True).start()
            else:
                self.queue.put(message)
        os._exit(0)

    def work(self) -> None:
        """Load the pack, and answer what belongs to this thread."""
        self.load()
        while True:
            self.answer(self.queue.get())

    def answer(self, message: Message) -> None:
        """Answer one question, whatever happens."""
        self.loaded.wait()
        head, number = message.head, message.head["call"]
        try:
            said, body = getattr(self, f"ask_{message.kind}")(message)
            told = {"kind": "answer", **said}
        except Cancelled:
            told, body = {"kind": "cancelled"}, b""
        except BaseException as error:  # a node that wants to end the process is told like any other
            trace = trace_in(error, files(self.pack))
            name = "MemoryError" if short_of_memory(error) else ""
            told, body = {"kind": "raised", **raised(error, name, trace)}, b""
        try:
            self.channel.send(Message({**told, "call": head["call"]}, body))
        except OSError:
            os._exit(0)
        finally:
            self.calls.pop(number, None)

    def kind(self, id: str) -> NodeType:
        """A node type of the pack. PackError if it is not what the engine has read."""
        if self.source != self.pack.source:
            raise PackError(
                f"the files of the pack {self.pack.name} have changed since it was read; start the engine "
                "again, or let `serve --dev` see changes"
            )
        if id not in self.registry.types:
            why = "; ".join(problem.text for problem in self.registry.problems)
            raise PackError(f"the pack {self.pack.name} has no node {id!r} any more: {why or 'it is gone'}")
        return self.registry.types[id]

    # -- questions ----------------------------------------------------------------------------------------

    def ask_describe(self, message: Message) -> tuple[dict[str, Any], bytes]:
        """The manifest."""
        return {}, self.registry.manifest.data()

    def ask_run(self, message: Message) -> tuple[dict[str, Any], bytes]:
        """What a node gives."""
        kind = self.kind(message.head["id"])
        call = self.calls[message.head["call"]] = Calling(self, message.head["call"])
        values = dict(zip(kind.ports, self.codec.decode(message.body), strict=True))
        given = [
            call if port.kind == "context" else converted(port.convert, values[name])
            for name, port in kind.inputs.items()
        ]
        value = kind.run(*given)
        if inspect.iscoroutine(value):
            value = asyncio.run(call.awaited(value))
        return {}, self.encoded(kind, value)

    def encoded(self, kind: NodeType, value: Any) -> bytes:
        """What a node gave as bytes; several outputs are no more than a tuple."""
        if not kind.outputs:
            return self.codec.encode(None)
        if len(kind.outputs) > 1 and isinstance(value, tuple):
            value = tuple(value)
        try:
            return self.codec.encode(value)
        except NotStorable as error:
            promised = ", ".join(map(show, kind.outputs.values()))
            raise PackError(
                f"{kind.id} runs in a process of its own, and the {promised} that it gave cannot leave it: "
                f"{error}"
            ) from None

    def ask_fingerprint(self, message: Message) -> tuple[dict[str, Any], bytes]:
        """What stands for the world outside."""
        kind, given = self.kind(message.head["id"]), self.codec.decode(message.body)
        given = {name: converted(kind.inputs[name].convert, value) for name, value in given.items()}
        if message.head["folders"]:
            given["folders"] = folders_of(message.head["folders"])
        assert kind.fingerprint is not None
        return {"value": kind.fingerprint(**given)}, b""

    def ask_choices(self, message: Message) -> tuple[dict[str, Any], bytes]:
        """What may be chosen."""
        read = self.kind(message.head["id"]).inputs[message.head["input"]].choices
        return {"value": list(read(folders_of(message.head["folders"]))) if read else []}, b""

    def ask_migrate(self, message: Message) -> tuple[dict[str, Any], bytes]:
        """The inputs of an older file, a version further."""
        return {
            "value": self.kind(message.head["id"]).steps[message.head["step"]](message.head["inputs"])
        }, b""

    def ask_preview(self, message: Message) -> tuple[dict[str, Any], bytes]:
        """The picture of a value."""
        shows = dict(self.kind(message.head["id"]).shows)
        return {}, self.codec.encode(shows[message.head["place"]](self.codec.decode(message.body)))


class Calling(Context):
    """The Context of a node that runs here; what it offers is the engine's."""

    def __init__(self, host: Host, number: int) -> None:
        self.host, self.number, self.replies = host, number, SimpleQueue[Message]()
        self.stop: Callable[[], object] = bool

    def cancel(self) -> None:
        """Let the node hear at its next progress that it is to end; what awaits ends now."""
        self.cancelled = True
        self.stop()

    async def awaited(self, coroutine: Coroutine[Any, Any, Any]) -> Any:
        """What a node gives that awaits. Cancelled if it is not wanted any more."""
        task, loop = asyncio.ensure_future(coroutine), asyncio.get_running_loop()
        self.stop = partial(loop.call_soon_threadsafe, task.cancel)
        if self.cancelled:
            task.cancel()
        try:
            return await task
        except asyncio.CancelledError:
            raise Cancelled from None
        finally:
            self.stop = bool

    def send(self, kind: str, body: bytes = b"", **head: Any) -> None:
        """Tell the engine something."""
        self.host.channel.send(Message({"kind": kind, "call": self.number, **head}, body))

    def ask(self, what: str, body: bytes = b"", **head: Any) -> Any:
        """What the engine answers, and raises."""
        self.send("ask", body, what=what, **head)
        told = self.replies.get().head
        if "error" in told:
            raise revived(told)
        return told["value"]

    @property
    def device(self) -> str:  # type: ignore[override]
        return str(self.ask("device"))

    @property
    def folders(self) -> Folders:  # type: ignore[override]
        return folders_of(self.ask("folders"))

    @property
    def workflow(self) -> Mapping[str, Any] | None:  # type: ignore[override]
        found: Mapping[str, Any] | None = self.ask("workflow")
        return found

    def progress(self, done: float, total: float = 1.0) -> None:
        self.send("progress", done=float(done), total=float(total))
        if self.cancelled:
            raise Cancelled

    def preview(self, image: Any) -> None:
        self.send("preview", self.host.codec.encode(image))

    def use(self, handle: Any) -> Any:
        raise PackError(f"{USE}; it was asked for {handle}")

    def save(self, name: str, data: bytes, media_type: str) -> Path:
        return Path(self.ask("save", data, name=name, media=media_type))

    def temporary(self) -> Path:
        return Path(self.ask("temporary"))


USE = (
    "`use` gives a model that the engine holds, which a pack in a process of its own cannot reach; load the "
    "model in the node, or leave `isolated` out of the pack's pyproject.toml"
)


def refused(kind: NodeType) -> str:
    """Why a node cannot be run in a process of its own, in its author's words; empty if it can."""
    where = f"{kind.module}.{kind.name}"
    for name, port in kind.inputs.items():
        if port.kind in ("lazy", "body"):
            word, instead = (
                ("Lazy", "the value itself") if port.kind == "lazy" else ("Body", "a list of values")
            )
            return (
                f"{place_of(kind.run, name)}: {where}: input {name!r} is a {word}, which only the engine can "
                f"compute, and the pack is in a process of its own; take {instead}, or leave `isolated` out "
                "of its pyproject.toml"
            )
        if port.kind == "context" and uses(kind.run, name):
            return f"{place_of(kind.run, name)}: {where}: input {name!r}: {USE}"
    return ""


def uses(function: Callable[..., Any], name: str) -> bool:
    """Whether a function asks its Context of this name for a model."""
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(inspect.unwrap(function))))
    except (OSError, SyntaxError, TypeError):
        return False
    asked = [node.value for node in ast.walk(tree) if isinstance(node, ast.Attribute) and node.attr == "use"]
    return any(isinstance(value, ast.Name) and value.id == name for value in asked)


def converted(convert: Callable[[Any], Any] | None, value: Any) -> Any:
    """A literal as the function wants it, such as the member of an Enum."""
    return value if value is None or convert is None else convert(value)


def main(words: Sequence[str]) -> None:
    """Serve one channel, whose file descriptor and pack are given."""
    faulthandler.enable()
    host = Host(Pack(*json.loads(words[1])), Channel(socket.socket(fileno=int(words[0]))))
    Thread(target=host.listen, daemon=True, name="graphengine-channel").start()
    host.work()


if __name__ == "__main__":
    main(sys.argv[1:])
