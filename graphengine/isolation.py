"""Isolation: the engine's side of the processes in which isolated packs are run.

A pack has one process for each process of the engine's, started when something is first asked of it, and
again after it has died. What is asked are messages over a channel (see `graphengine.isolated` for the other
side): a head, and values as `Codec` writes them; nothing is ever unpickled. A node may ask back what a
Context offers while it runs.

To all but this module, a node of such a pack is a NodeType like any other (`bound`).
"""

from __future__ import annotations

import asyncio
import builtins
import json
import os
import signal
import socket
import subprocess
import tempfile
import weakref
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import replace
from functools import partial
from itertools import count
from math import inf
from pathlib import Path
from queue import Empty, SimpleQueue
from threading import Event, Lock, Thread
from time import monotonic
from typing import Any

from graphengine import environments, errors
from graphengine.authoring import NO_CONTEXT, Context, Folders
from graphengine.channel import Channel, Message
from graphengine.codec import Codec, NotStorable
from graphengine.errors import Cancelled, PackEnded, PackError
from graphengine.folders import write_atomically
from graphengine.nodetype import NodeType, Port
from graphengine.packs import Pack
from graphengine.parcel import Closing

GLANCE = 0.05
"""Seconds between two looks at whether a call is still wanted."""
GRACE = 2.0
"""Seconds that a node has to end after it was told to, before its process is ended."""
PATIENCE = 60.0
"""Seconds that a pack may take to load."""
ENDS = ("answer", "raised", "cancelled")
"""Messages that end a call."""
LARGEST = 1 << 32
"""Bytes that a message may not have."""


class Line:
    """One process of a pack, and what is asked of it; any thread may ask."""

    def __init__(self, pack: Pack, **streams: Any) -> None:
        self.name, self.over, self.verdict = pack.name, False, ""
        self.numbers, self.lock = count(1), Lock()
        self.calls: dict[int, SimpleQueue[Message | None]] = {}
        ours, theirs = socket.socketpair()
        words = (str(theirs.fileno()), json.dumps(pack))
        with theirs:
            try:
                self.process = subprocess.Popen(
                    environments.command(Path(pack.environment), "graphengine.isolated", *words),
                    pass_fds=[theirs.fileno()],
                    stdin=subprocess.DEVNULL,
                    env={name: text for name, text in os.environ.items() if name != "GRAPHENGINE_TOKEN"},
                    start_new_session=True,  # Ctrl-C is for the engine
                    **streams,
                )
            except OSError as error:
                ours.close()
                raise PackEnded(f"the process of the pack {pack.name} cannot be started: {error}") from error
        self.channel = Channel(ours)
        Thread(target=self.listen, daemon=True, name=f"graphengine-{pack.name}").start()

    def listen(self) -> None:
        """Hand what the process says to those who have asked."""
        with suppress(ValueError, KeyError, TypeError):  # what is no message ends it too
            while (message := self.channel.receive()) is not None:
                if queue := self.calls.get(message.head["call"]):
                    queue.put(message)
        self.channel.close()
        with self.lock:
            self.over = True
            for queue in self.calls.values():
                queue.put(None)

    @contextmanager
    def call(self) -> Iterator[tuple[int, SimpleQueue[Message | None]]]:
        """A number for something to ask, and where its answers come."""
        number, queue = next(self.numbers), SimpleQueue[Message | None]()
        with self.lock:
            self.calls[number] = queue
            if self.over:
                queue.put(None)
        try:
            yield number, queue
        finally:
            del self.calls[number]

    def send(self, message: Message) -> None:
        """Say something; that the process is gone is told by its queues."""
        if len(message.body) >= LARGEST:
            raise PackError(f"more than 4 GiB cannot be given to the isolated pack {self.name} at once")
        with suppress(OSError):
            self.channel.send(message)

    def end(self, why: str = "") -> None:
        """End the process now."""
        self.verdict = self.verdict or why
        self.process.kill()
        self.process.wait()
        with suppress(OSError):  # who listens closes it
            self.channel.connection.shutdown(socket.SHUT_RDWR)

    def ended(self) -> PackEnded:
        """How the process has ended."""
        try:
            code = self.process.wait(GRACE)
        except subprocess.TimeoutExpired:  # it has closed its channel
            self.end()
            code = self.process.wait()
        text = f"the process of the isolated pack {self.name} "
        return PackEnded(text + (self.verdict or in_words(code)) + "; the next call starts it again")


class Process:
    """A pack's process, through all those that it has been. It ends when nobody holds this any more."""

    def __init__(self, pack: Pack, **streams: Any) -> None:
        self.pack, self.streams, self.lock = pack, streams, Lock()
        self.lines: list[Line] = []
        weakref.finalize(self, ended, self.lines)

    def line(self) -> Line:
        """The process as it is now, started if there is none."""
        with self.lock:
            if not self.lines or self.lines[0].over:
                ended(self.lines)
                self.lines[:] = [Line(self.pack, **self.streams)]
            return self.lines[0]

    def ask(
        self,
        head: Mapping[str, Any],
        body: bytes = b"",
        context: Context = NO_CONTEXT,
        unwanted: Callable[[], bool] = bool,
        patience: float = inf,
    ) -> Message:
        """What the process answers, and raises what it has raised. `context` is what the node may ask.

        Cancelled when the run is: the node hears of it at its next progress, and where it does not end soon
        the process does. PackEnded if it ends by itself.
        """
        line = self.line()
        with line.call() as (number, queue):
            line.send(Message({**head, "call": number}, body))
            try:
                message = answer(line, number, queue, context, unwanted, monotonic() + patience)
            except BaseException:
                line.end("was ended because a node of it did not end when it should")
                raise
        if message is None:
            raise line.ended()
        if message.kind == "cancelled":
            raise Cancelled
        if message.kind == "raised":
            raise revived(message.head)
        return message


def answer(
    line: Line,
    number: int,
    queue: SimpleQueue[Message | None],
    context: Context,
    unwanted: Callable[[], bool],
    until: float,
) -> Message | None:
    """How a call has ended, None with its process. What the node asks meanwhile is asked of a context."""
    stopping = False
    while True:
        stop = context.cancelled or unwanted()
        try:
            message = queue.get(timeout=GLANCE)
            if message is None or message.kind in ENDS:
                return message
            if (reply := heard(context, message)) is not None:
                line.send(reply)
        except Empty:
            if monotonic() > until:
                raise (Cancelled if stopping else TimeoutError) from None
        except Cancelled:
            stop = True
        if stop and not stopping:
            stopping, until = True, monotonic() + GRACE
            line.send(Message({"kind": "cancel", "call": number}))


def heard(context: Context, message: Message) -> Message | None:
    """What a context answers to what a node tells or asks; None where nothing is asked."""
    head = message.head
    if head["kind"] == "progress":
        context.progress(head["done"], head["total"])
    elif head["kind"] == "preview":
        context.preview(Codec().decode(message.body))
    elif head["kind"] == "ask":
        said: dict[str, Any] = {"kind": "told", "call": head["call"]}
        try:
            said["value"] = asked(context, head, message.body)
        except Exception as error:
            said |= raised(error)
        return Message(said)
    return None


def asked(context: Context, head: Mapping[str, Any], body: bytes) -> Any:
    """What a node wants to know, or have done."""
    match head["what"]:
        case "device":
            return context.device
        case "folders":
            return folders_data(context.folders)
        case "workflow":
            return context.workflow
        case "temporary":
            return str(context.temporary())
        case "save":
            return str(context.save(head["name"], body, head["media"]))
        case what:
            raise TypeError(f"a Context has no {what}")


def ended(lines: list[Line]) -> None:
    """End processes."""
    for line in lines:
        line.end()


PROCESSES: dict[str, Process] = {}
"""The processes of this one, by what their packs are called."""
STARTING = Lock()


def process_of(pack: Pack) -> Process:
    """The process of a pack as it is now; one of an earlier time goes on for those who still hold it."""
    with STARTING:
        found = PROCESSES.get(pack.name)
        if found is None or found.pack != pack:
            found = PROCESSES[pack.name] = Process(pack)
        return found


class Remote:
    """The functions of one node type, run in the process of its pack."""

    def __init__(self, kind: NodeType, pack: Pack, packages: Collection[str]) -> None:
        self.kind, self.process, self.codec = kind, process_of(pack), Closing(packages, pack.name)
        self.context = len(kind.inputs) if kind.context is None else kind.context
        """Which argument is the Context."""

    def ask(self, what: str, body: bytes = b"", /, **head: Any) -> Message:
        """An answer that needs no Context."""
        return self.process.ask({"kind": what, "id": self.kind.id, "beside": True, **head}, body)

    def run(self, *arguments: Any) -> Any:
        """What the node gives."""
        return self.call(arguments)

    def call(self, arguments: tuple[Any, ...], unwanted: Callable[[], bool] = bool) -> Any:
        """The same; it is stopped when it is not wanted any more."""
        values = list(arguments)
        context = values.pop(self.context)
        head = {"kind": "run", "id": self.kind.id, "beside": self.kind.beside}
        answer = self.process.ask(head, self.encoded(values), context, unwanted)
        return self.codec.decode(answer.body)

    async def awaited(self, *arguments: Any) -> Any:
        """The same for a node that awaits the world; the waiting is done by a thread."""
        over = Event()
        work = asyncio.get_running_loop().run_in_executor(None, partial(self.call, arguments, over.is_set))
        try:
            return await asyncio.shield(work)
        except asyncio.CancelledError:
            over.set()
            while not work.done():  # soon, and another one may use the process only then
                with suppress(asyncio.CancelledError):
                    await asyncio.wait([work])
            raise

    def encoded(self, values: list[Any]) -> bytes:
        """The arguments as bytes. PackError names the one that has no such form."""
        try:
            return self.codec.encode(values)
        except NotStorable:
            for name, value in zip(self.kind.ports, values, strict=True):
                try:
                    self.codec.encode(value)
                except NotStorable as error:
                    raise PackError(
                        f"{self.kind.id} runs in a process of its own, and its input {name!r} cannot be "
                        f"given to it: {error}"
                    ) from None
            raise

    def fingerprint(self, folders: Folders | None = None, **given: Any) -> str:
        """What the node's fingerprint gives."""
        told = None if folders is None else folders_data(folders)
        return str(self.ask("fingerprint", self.codec.encode(given), folders=told).head["value"])

    def choices(self, input: str, folders: Folders) -> list[Any]:
        """What may be chosen at an input."""
        return list(self.ask("choices", input=input, folders=folders_data(folders)).head["value"])

    def preview(self, place: int, value: Any) -> Any:
        """The picture of an output."""
        return self.codec.decode(self.ask("preview", self.codec.encode(value), place=place).body)

    def step(self, number: int) -> Callable[[dict[str, Any]], dict[str, Any]]:
        """A migration."""

        def migration(inputs: dict[str, Any]) -> Any:
            return self.ask("migrate", step=number, inputs=inputs).head["value"]

        return migration


def bound(kind: NodeType, pack: Pack, packages: Collection[str]) -> NodeType:
    """A node type of an isolated pack with its functions; `packages` are those of the engine's own packs.

    It always takes a Context, through which its calls hear that the run is cancelled.
    """
    remote = Remote(kind, pack, packages)
    inputs = {name: chosen(remote, port) for name, port in kind.inputs.items()}
    if kind.context is None:
        inputs[""] = Port("", "context", "context")
    return replace(
        kind,
        inputs=inputs,
        run=remote.awaited if kind.awaits else remote.run,
        fingerprint=remote.fingerprint if kind.prints else None,
        steps=tuple(map(remote.step, range(kind.migrations))),
        shows=tuple((place, partial(remote.preview, place)) for place, _ in kind.shows),
    )


def chosen(remote: Remote, port: Port) -> Port:
    """A port whose choices are read in the pack's process."""
    return port._replace(choices=partial(remote.choices, port.name)) if port.ui.get("choices") else port


def describe(pack: Pack, engine: str) -> dict[str, Any]:
    """The manifest of an isolated pack as data, told by a process that ends then. PackError if it cannot be.

    It is kept in the environment until the pack or the `engine` is another, if there is nothing wrong in it.
    """
    memo = Path(pack.environment, "nodes.json")
    about = [engine, *pack]
    with suppress(OSError, ValueError, KeyError, TypeError):
        kept = json.loads(memo.read_bytes())
        if kept["about"] == about:
            return dict(kept["found"])
    with tempfile.TemporaryFile() as complaints:
        process = Process(pack, stdout=subprocess.DEVNULL, stderr=complaints)
        try:
            found: dict[str, Any] = json.loads(process.ask({"kind": "describe"}, patience=PATIENCE).body)
        except TimeoutError:
            raise PackError(
                f"importing it takes more than {PATIENCE:g} seconds; look for a loop, or for what waits"
            ) from None
        except PackEnded as error:
            complaints.seek(0)
            raise PackEnded(str(error), complaints.read().decode("utf-8", "replace")) from None
    if not found["problems"]:
        with suppress(OSError):
            write_atomically(memo, json.dumps({"about": about, "found": found}).encode())
    return found


def folders_data(folders: Folders) -> dict[str, Any]:
    """Folders as JSON data."""
    return {
        "models": [str(path.absolute()) for path in folders.models],
        "inputs": [str(path.absolute()) for path in folders.inputs],
        "outputs": str(folders.outputs.absolute()),
        "cache": folders.cache and str(folders.cache.absolute()),
        "confined": folders.confined,
    }


def folders_of(data: Mapping[str, Any]) -> Folders:
    """The inverse of `folders_data`."""
    models, inputs = (tuple(map(Path, data[name])) for name in ("models", "inputs"))
    cache = Path(data["cache"]) if data["cache"] else None
    return Folders(models, inputs, Path(data["outputs"]), cache, data["confined"])


def raised(error: BaseException, name: str = "", trace: str = "") -> dict[str, Any]:
    """An exception as JSON data."""
    plain = all(type(each) in (str, int, float, bool, type(None)) for each in error.args)
    return {
        "error": name or type(error).__name__,
        "arguments": list(error.args) if plain else [],
        "text": str(error),
        "trace": trace,
    }


def revived(data: Mapping[str, Any]) -> Exception:
    """The exception again: of the same class, if it is the engine's or Python's, else of one of its name."""
    name, text = data["error"], data["text"]
    kind = getattr(errors, name, None) or getattr(builtins, name, None)
    found: Exception | None = None
    if isinstance(kind, type) and issubclass(kind, Exception):
        with suppress(Exception):
            found = kind(*data["arguments"])
    if found is None or str(found) != text:
        found = type(name, (Exception,), {})(text)
    if data["trace"]:
        found.add_note(f"\nin the process of its pack:\n{data['trace'].rstrip()}")
    return found


def in_words(code: int) -> str:
    """How a process has ended by itself."""
    if code == -signal.SIGKILL:
        return "was killed from outside, perhaps because the machine had too little memory"
    return f"ended with {signal.Signals(-code).name if code < 0 else f'exit status {code}'}"
