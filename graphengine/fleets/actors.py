"""RayFleet: workers as actors of the Ray cluster that this process is connected to (see `cluster`).

An actor runs the same Worker as a process of this machine does, in a thread of its own. The server hears it
by asking for what comes next, again and again (`next`): the answer comes as soon as there is something. What
a job has made comes the same way, in pieces, before its end is told; so a result is here before anybody hears
of it, and an actor that dies afterwards takes nothing along.

Ray retries nothing and restarts nothing, because the queue does: an actor that dies is Gone, and the fleet
starts another in its place. If the head of the cluster is gone, all are; there are others as soon as there is
a head again.
"""

from __future__ import annotations

import asyncio
import logging
import os
import shutil
import signal
import tempfile
import traceback
from collections import deque
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from queue import SimpleQueue
from threading import Semaphore, Thread
from time import monotonic, sleep
from typing import TYPE_CHECKING, Any

import ray
from ray.exceptions import RayError, RayTaskError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from graphengine import __version__
from graphengine.channel import Message
from graphengine.errors import GraphEngineError, Unavailable
from graphengine.fleets.cluster import Cluster, share
from graphengine.fleets.crew import PATIENCE, SILENCE, Crew, Seat, now
from graphengine.report import discreet
from graphengine.session import Session
from graphengine.worker import serve, settings_of

if TYPE_CHECKING:
    from graphengine.config import Settings

log = logging.getLogger("graphengine.actors")

PIECE = 4 << 20
"""Bytes of a file that are sent at once."""
AHEAD = 4
"""Pieces that may wait to be asked for."""
ANSWER = 8 << 20
"""Bytes after which an answer is long enough."""
GRACE = 2.0
"""Seconds after which a process that was to end is ended by a signal."""
LOOK = 1.0
"""Seconds from one look at the head of the cluster to the next."""


class Post:
    """What an actor is: a worker, and what it says until somebody asks for it."""

    def __init__(self, version: str, settings: str) -> None:
        if version != __version__:
            raise GraphEngineError(
                f"the server is GraphEngine {version}, and this node {__version__}; use one"
            )
        self.settings = settings_of(settings)
        self.staging = Path(tempfile.mkdtemp(prefix="graphengine-"))
        self.inbox: SimpleQueue[bytes] = SimpleQueue()
        self.outbox: deque[tuple[bytes, bool]] = deque()
        self.room = Semaphore(AHEAD)
        self.loop: asyncio.AbstractEventLoop | None = None
        self.filled = asyncio.Event()
        self.over: str | None = None
        """Why the worker is over, if it is; empty if it was told to stop."""

    async def hear(self, data: bytes) -> None:
        """Take what the server says to the worker."""
        self.inbox.put(data)

    async def next(self) -> list[bytes]:
        """What the worker has said since the last time, as soon as there is something; empty at its end."""
        if self.loop is None:
            self.loop = asyncio.get_running_loop()
            Thread(target=self.work, daemon=True, name="graphengine-device").start()
        while not self.outbox and self.over is None:
            await self.filled.wait()
            self.filled.clear()
        said, size = list[bytes](), 0
        while self.outbox and size < ANSWER:
            data, piece = self.outbox.popleft()
            size += len(data)
            said.append(data)
            if piece:
                self.room.release()
        if not said and self.over:
            raise GraphEngineError(self.over)
        return said

    def work(self) -> None:
        """Be the worker, until it is told to stop. By a thread that the device belongs to."""
        why = ""
        try:
            serve(Session(self.settings, (self.settings.data / "inputs",)), self.receive, self.say)
        except Exception as error:
            self.say(Message({"kind": "log", "job": "", "node": "", "text": traceback.format_exc()}))
            why = f"{type(error).__name__}: {error}"
        shutil.rmtree(self.staging, ignore_errors=True)
        self.over = why
        self.wake()

    def receive(self) -> Message:
        """What the worker is told next. Its files go into a folder of this machine."""
        message = Message.of(self.inbox.get())
        if message.kind == "run":
            message.head["staging"] = str(self.staging / f"{message.head['job']}-{message.head['epoch']}")
        return message

    def say(self, message: Message) -> None:
        """Keep what the worker says until it is asked for."""
        if message.kind == "ready":
            message.head["machine"] = ray.get_runtime_context().get_node_id()
        if message.kind == "ended":
            self.hand_over(message.head)
        self.put(message.packed())

    def hand_over(self, head: dict[str, Any]) -> None:
        """Send the files of a job, before its end; there they are numbers."""
        about = {"kind": "file", "job": head["job"], "epoch": head["epoch"]}
        files = [dict(file) for file in head.get("files", ())]
        for number, file in enumerate(files):
            self.send_file(Path(file["path"]), about | {"number": number})
            file["path"] = str(number)
        head["files"] = files
        if trace := head.get("trace"):
            head["trace"] = ""
            with suppress(OSError):
                self.send_file(Path(trace), about | {"number": len(files)})
                head["trace"] = str(len(files))
        shutil.rmtree(self.staging / f"{head['job']}-{head['epoch']}", ignore_errors=True)

    def send_file(self, path: Path, about: dict[str, Any]) -> None:
        """Send a file in pieces; it waits while nobody asks for them."""
        with path.open("rb") as stream:
            while True:
                piece = stream.read(PIECE)
                self.room.acquire()
                self.put(Message(about, piece).packed(), piece=True)
                if len(piece) < PIECE:
                    break

    def put(self, data: bytes, piece: bool = False) -> None:
        """Keep something until it is asked for."""
        self.outbox.append((data, piece))
        self.wake()

    def wake(self) -> None:
        """Answer who waits."""
        assert self.loop is not None
        self.loop.call_soon_threadsafe(self.filled.set)


class Wire:
    """The way to a worker that is an actor of a cluster."""

    def __init__(self, actor: Any, cluster: Cluster | None) -> None:
        self.actor, self.cluster = actor, cluster
        self.waiting: deque[bytes] = deque()
        self.cut: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.folder = Path()
        self.order: tuple[str, int] = ("", 0)
        self.machine, self.pid, self.why = "", 0, "it has ended"

    def send(self, message: Message) -> None:
        """Tell it something."""
        if message.kind == "run":
            self.folder = Path(message.head["staging"])
            self.order = message.head["job"], message.head["epoch"]
        with suppress(RayError):  # `receive` tells that it is gone
            self.actor.hear.remote(message.packed())

    async def receive(self) -> Message | None:
        """What it says next, or None when it is over."""
        while True:
            if not self.waiting and not await self.asked():
                return None
            message = Message.of(self.waiting.popleft())
            head = message.head
            if message.kind == "file":
                if (head["job"], head["epoch"]) == self.order:
                    await asyncio.to_thread(self.write, head["number"], message.body)
                continue
            if message.kind == "ready":
                self.machine, self.pid = head["machine"], head["pid"]
            if message.kind == "ended":
                head["files"] = [file | {"path": str(self.place(file["path"]))} for file in head["files"]]
                if head.get("trace"):
                    head["trace"] = str(self.place(head["trace"]))
            return message

    async def asked(self) -> bool:
        """Wait for something new; False if there will be nothing any more."""
        try:
            answer = asyncio.ensure_future(self.actor.next.remote().as_future())
            await asyncio.wait({answer, self.cut}, return_when=asyncio.FIRST_COMPLETED)
            if self.cut.done():
                answer.cancel()
                return False
            self.waiting.extend(await answer)
        except RayError as error:
            log.info("an actor is gone: %s", " ".join(str(error).split()))
            self.why = in_words(error)
            return False
        return bool(self.waiting)

    def place(self, number: int | str) -> Path:
        """Where a file of the job is on this machine."""
        return self.folder / f"fetched-{number}"

    def write(self, number: int, piece: bytes) -> None:
        """Add a piece to a file."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with self.place(number).open("ab") as stream:
            stream.write(piece)

    def kill(self) -> None:
        """Hear it no more; `close` ends it."""
        if not self.cut.done():
            self.cut.set_result(None)
            self.why = "it was ended"

    async def close(self) -> str:
        """End the actor if it has not ended; gives why it is over."""
        await asyncio.to_thread(self.end)
        return self.why

    def end(self) -> None:
        """End the actor, and its process too if that does not listen."""
        if self.cluster is not None and not self.cluster.answers():
            return  # Ray would wait for its head
        with suppress(RayError):
            ray.kill(self.actor)
            if self.cut.done() and self.pid:  # a process that is stopped does not hear of that
                where = NodeAffinitySchedulingStrategy(self.machine, soft=False)
                FINISH.options(scheduling_strategy=where).remote(self.pid)


def finish(pid: int) -> None:
    """End a process of an actor on this machine that is still there after a while."""
    until = monotonic() + GRACE
    try:
        while monotonic() < until:
            if b"ray::Post" not in Path(f"/proc/{pid}/cmdline").read_bytes():
                return  # the number is another's now
            sleep(0.05)
        os.kill(pid, signal.SIGKILL)
    except OSError:
        return  # it is gone


POST = ray.remote(Post)
FINISH = ray.remote(num_cpus=0, max_retries=0)(finish)


class RayFleet(Crew):
    """So many actors; without a number, one for each GPU, or one where there is none.

    `environment` is what they have besides that of their node. Who gives the `cluster` has it joined again
    when it was lost.
    """

    def __init__(
        self,
        settings: Settings,
        workers: int | None = None,
        *,
        cluster: Cluster | None = None,
        silence: float = SILENCE,
        patience: float = PATIENCE,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__((), silence=silence, patience=patience)
        self.settings, self.wanted, self.cluster = settings, workers, cluster
        self.environment = dict(environment or {})
        self.there = asyncio.Event()
        """Whether there is a cluster to start actors at."""

    async def start(self) -> None:
        """Start the actors; gives at once, and they report when they are ready."""
        nodes = [node["Resources"] for node in await asyncio.to_thread(ray.nodes) if node["Alive"]]
        self.share = share(nodes, self.wanted, self.settings.device)
        device = "cuda" if self.share.gpus else self.settings.device
        self.seats = {f"worker-{n}": Seat(f"worker-{n}", device) for n in range(1, self.share.workers + 1)}
        self.there.set()
        await super().start()
        if self.cluster is not None:
            self.tasks.add(asyncio.create_task(self.attend(self.cluster)))

    async def attend(self, cluster: Cluster) -> None:
        """Leave a cluster whose head has ended or been silent, and join it when there is one again."""
        heard = now()
        while not self.closing:
            await asyncio.sleep(LOOK)
            state = await asyncio.to_thread(cluster.state)
            if state == "there":
                heard = now()
            elif state == "gone" or now() - heard > self.silence:
                log.warning("the head of the Ray cluster at %s is gone; jobs wait for another", cluster.head)
                await self.leave(cluster)
                await self.join(cluster)
                heard = now()

    async def leave(self, cluster: Cluster) -> None:
        """Give up all actors, and the cluster."""
        self.there.clear()
        until = now() + GRACE
        while now() < until and (held := [seat for seat in self.seats.values() if seat.line is not None]):
            for seat in held:
                seat.kill("the head of its cluster is gone")
            await asyncio.sleep(0.01)
        await asyncio.to_thread(cluster.leave)

    async def join(self, cluster: Cluster) -> None:
        """Try until there is a cluster, then start actors."""
        why = ""
        while not self.closing:
            try:
                await asyncio.to_thread(cluster.join)
                log.warning("there is a Ray cluster at %s again", cluster.head)
                self.there.set()
                return
            except GraphEngineError as error:
                if why != (why := str(error)):
                    log.info("%s", why)
                await asyncio.to_thread(cluster.leave)  # of what was joined by half
                await asyncio.sleep(LOOK)

    async def open(self, seat: Seat) -> Wire:
        """Start an actor, when there is a cluster."""
        await self.there.wait()
        settings = self.settings.model_copy(update={"device": seat.device})
        text = settings.model_dump_json(exclude={"token"})
        options: dict[str, Any] = {
            "num_cpus": self.share.cpus, "num_gpus": self.share.gpus, "scheduling_strategy": "SPREAD",
            "max_restarts": 0, "max_task_retries": 0,
        }  # fmt: skip
        if self.environment:
            options["runtime_env"] = {"env_vars": self.environment}
        try:
            actor = await asyncio.to_thread(POST.options(**options).remote, __version__, text)
        except RayError as error:
            raise Unavailable(f"the cluster starts no actor: {error}") from error
        return Wire(actor, self.cluster)


def in_words(error: RayError) -> str:
    """Why an actor is gone, without the numbers and places of the cluster."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    if isinstance(error, RayTaskError) or any("creation task" in line for line in lines):
        return f"it ended: {discreet(lines[-1])}"
    for line in lines:
        if line.startswith("The actor is dead because "):
            return discreet(line.removeprefix("The actor is dead because ").partition(". ")[0].rstrip("."))
    return f"its actor cannot be reached ({type(error).__name__})"
