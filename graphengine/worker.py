"""Worker: what runs jobs on one device, and reports: a process, a thread, or an actor of a cluster.

It is given a way to hear and a way to speak, and knows nothing of queues, leases or HTTP. It does what it is
told:

* `run`: a job (see Order). It sends `events`, `preview` and at last `ended`. One at a time.
* `cancel`: the job that runs stops within a step.
* `call`: answer a question (`plan`, `choices`, `upgrade`), also while a job runs.
* `stop`: end, when the job that runs has ended.

Each second it sends `beat`, so that silence means that something is wrong with it. With it and with each end
comes what the placement of jobs goes by: the models that are loaded, and the bytes that are free.

As a process (`main`) it has one end of a channel. When that closes the server is gone: nobody can take a
result any more, and the process ends at once.

The device belongs to one thread, which is the first of the process; another one listens.
"""

from __future__ import annotations

import ctypes
import gc
import json
import os
import resource
import signal
import socket
import sys
import traceback
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from queue import Empty, SimpleQueue
from threading import Event, Lock, Thread
from typing import TYPE_CHECKING, Any

from graphengine.channel import Channel, Message
from graphengine.errors import Cancelled, GraphEngineError, NotFound, WorkflowError
from graphengine.events import Event as RunEvent
from graphengine.events import RunPlanned
from graphengine.order import Order
from graphengine.report import Report, discreet, encoded, failures
from graphengine.session import Session
from graphengine.workflow import Workflow

if TYPE_CHECKING:
    from PIL import Image as Pillow

    from graphengine.config import Settings
    from graphengine.session import Outcome

IDLE = 0.2
"""Seconds without a job after which a new worker makes itself ready for the first."""
BEAT = 1.0
"""Seconds between two signs of life."""
PNG = "image/png"


class Worker:
    """Runs what comes over a channel, with one session, so that models and values stay in memory."""

    def __init__(self, session: Session, send: Callable[[Message], None]) -> None:
        self.session, self.send = session, send
        self.orders: SimpleQueue[Order | None] = SimpleQueue()
        self.current: Order | None = None
        self.unwanted: set[tuple[str, int]] = set()
        """Orders that were cancelled before they ended."""
        self.over = Event()
        self.turn = Lock()
        """Held while the packs are read anew, or a question is answered that needs them."""

    def hear(self, message: Message) -> None:
        """Do what a message says; a job is only noted. By the thread that listens."""
        head = message.head
        match message.kind:
            case "run":
                self.orders.put(Order.of(head))
            case "cancel":
                self.unwanted.add((head["job"], head["epoch"]))
                self.stop_unwanted()
            case "call":
                self.answer(head)
            case "stop":
                self.orders.put(None)

    def stop_unwanted(self) -> None:
        """Stop the run that is under way if it was cancelled."""
        order = self.current
        if order is not None and (order.job, order.epoch) in self.unwanted:
            self.session.cancel()

    def work(self) -> None:
        """Run orders until told to stop. By the thread that the device belongs to.

        What almost every job needs and what takes seconds to import is imported as soon as none waits.
        """
        try:
            order = self.orders.get(timeout=IDLE)
        except Empty:
            import torch  # noqa: F401

            order = self.orders.get()
        while order is not None:
            self.run(order)
            order = self.orders.get()

    def run(self, order: Order) -> None:
        """Run a job and tell how it ended; never raises for what a job does."""
        head: dict[str, Any] = {"kind": "ended", "job": order.job, "epoch": order.epoch}
        self.current = order
        try:
            self.renew()
            head |= self.attempt(order)
        except Cancelled:
            head |= {"state": "cancelled"}
        except GraphEngineError as error:
            head |= {"state": "failed", "error": discreet(str(error)) or type(error).__name__}
        except Exception as error:  # a job must not end the worker
            text = traceback.format_exc()
            self.send(Message({"kind": "log", "job": order.job, "node": "", "text": text}))
            head |= {"state": "failed", "error": discreet(f"{type(error).__name__}: {error}")}
        finally:
            self.current = None
        self.unwanted.discard((order.job, order.epoch))
        self.send(Message(head | self.room()))
        if head["state"] != "done":
            self.give_back()

    def renew(self) -> None:
        """Where nodes are being written, run them as they are now."""
        if self.session.settings.dev:
            with self.turn:
                self.session.renew()

    def attempt(self, order: Order) -> dict[str, Any]:
        """Run a job: its state, why it failed, its files, and the plain values that it gave."""
        staging = Path(order.staging)
        staging.mkdir(parents=True, exist_ok=True)
        about = {"job": order.job, "epoch": order.epoch}

        def told(texts: list[str]) -> None:
            self.send(Message({"kind": "events", **about, "texts": texts}))

        def shown(node: str, picture: Pillow.Image) -> None:
            size = {"width": picture.width, "height": picture.height}
            head = {"kind": "preview", **about, "node": node, "media": "image/jpeg", **size}
            self.send(Message(head, encoded(picture.convert("RGB"), "jpeg")))

        def heard(event: RunEvent) -> None:
            if isinstance(event, RunPlanned):
                self.stop_unwanted()  # what was cancelled before there was anything to stop
            report(event)

        workflow = Workflow.parse(order.workflow)
        report, trace = Report(told, shown), staging / "trace.json"
        try:
            if (order.job, order.epoch) in self.unwanted:
                raise Cancelled
            outcome = self.session.run(
                workflow, targets=order.targets, emit=heard, limit=order.limit, trace=trace,
                outputs=staging / "files",
            )  # fmt: skip
        finally:
            report.close()
        files = [{"path": str(path), "name": path.name, "media": media_of(path)} for path in outcome.files]
        result = self.results(outcome)
        if not files and outcome.state == "done":
            files = unsaved(outcome, staging)
        for node, error in outcome.failures.items():
            if not isinstance(
                error, GraphEngineError
            ):  # what surprised a node, its author wants to see whole
                text = "".join(traceback.format_exception(error))
                self.send(Message({"kind": "log", "job": order.job, "node": node, "text": text}))
        ended = {"state": outcome.state, "files": files, "result": result, "trace": str(trace)}
        if outcome.state == "failed":
            ended["error"] = failures(list(outcome.failures.items())) or "a node failed"
        return ended

    def results(self, outcome: Outcome) -> dict[str, Any]:
        """The named outputs that are plain values."""
        found = {}
        for name, value in outcome.outputs.items():
            with suppress(TypeError, ValueError):
                found[name] = json.loads(json.dumps(value, allow_nan=False))
        return found

    def answer(self, head: Mapping[str, Any]) -> None:
        """Answer a question; what is wrong with it goes back by the name of its error."""
        said: dict[str, Any] = {"kind": "answer", "call": head["call"]}
        try:
            if self.current is None:
                self.renew()
            with self.turn:
                said["value"] = getattr(self, f"ask_{head['what']}")(**head["arguments"])
        except WorkflowError as error:
            said |= {"error": "WorkflowError", "problems": [list(p) for p in error.problems]}
        except GraphEngineError as error:
            said |= {"error": type(error).__name__, "text": discreet(str(error))}
        except Exception as error:
            traceback.print_exc()
            said |= {"error": "GraphEngineError", "text": discreet(f"{type(error).__name__}: {error}")}
        self.send(Message(said))

    def ask_plan(self, workflow: str, targets: list[str]) -> dict[str, Any]:
        """What would run, and what is cached."""
        plan = self.session.plan(Workflow.parse(workflow), targets)
        return {"steps": list(plan.steps), "cached": list(plan.cached), "skipped": list(plan.skipped)}

    def ask_upgrade(self, workflow: str) -> str:
        """A workflow of an older time in today's form."""
        return self.session.upgraded(Workflow.parse(workflow)).text()

    def ask_choices(self, type: str, input: str) -> list[Any]:
        """What may be chosen at an input."""
        manifest = self.session.manifest
        port = manifest.types[type].ports.get(input) if type in manifest.types else None
        if port is None or not port.ui.get("choices"):
            raise NotFound(f"{type}.{input} has no list of choices")
        from graphengine.registry import Registry

        read = Registry.only(manifest, [type])[type].ports[input].choices
        return list(read(self.session.folders)) if read else []

    def beat(self) -> None:
        """Say that it lives, and what it uses, until the work is over."""
        while not self.over.wait(BEAT):
            with suppress(OSError):
                self.send(Message({"kind": "beat", **self.room()}))

    def room(self) -> dict[str, Any]:
        """What it uses: bytes in memory, bytes that are free, and the models that are loaded."""
        pool = vars(self.session).get("pool")
        models = sorted(pool.names()) if pool else []
        return {"memory": memory(), "free": free(self.session.settings.device), "models": models}

    def give_back(self) -> None:
        """Give memory that nobody uses any more back to the system."""
        gc.collect()
        if "pool" in vars(self.session):
            self.session.pool.give_back()
        with suppress(OSError, AttributeError):
            ctypes.CDLL(None).malloc_trim(0)  # glibc keeps freed memory otherwise


def unsaved(outcome: Outcome, staging: Path) -> list[dict[str, str]]:
    """Pictures at the workflow's outputs, as files: a workflow without a node that saves shows them too."""
    from graphengine.notebook import is_picture, pillow

    made = []
    for name, value in outcome.outputs.items():
        if outcome.outputs.kinds.get(name) != "Image" or not is_picture(value):
            continue
        for number, picture in enumerate(value):
            path = staging / f"{name}_{number + 1:04}.png"
            path.write_bytes(encoded(pillow(picture), "png"))
            made.append({"path": str(path), "name": path.name, "media": PNG})
    return made


def media_of(path: Path) -> str:
    """The media type of a file by its name."""
    import mimetypes

    return mimetypes.guess_type(path.name)[0] or "application/octet-stream"


def memory() -> int:
    """Bytes of this process in memory."""
    try:
        with open("/proc/self/statm") as stream:
            return int(stream.read().split()[1]) * resource.getpagesize()
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10


def free(device: str) -> int:
    """Bytes that are free on a device, or in the machine where that is no GPU in use; 0 if unknown."""
    torch = sys.modules.get("torch")
    if device != "cpu" and torch is not None and torch.cuda.is_initialized():
        return int(torch.cuda.mem_get_info()[0])
    with suppress(OSError, ValueError), open("/proc/meminfo") as stream:
        for line in stream:
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) << 10
    return 0


def settings_of(text: str) -> Settings:
    """The settings that the server gave, as JSON."""
    from graphengine.config import Settings

    return Settings.model_validate_json(text)


def serve(session: Session, receive: Callable[[], Message | None], send: Callable[[Message], None]) -> None:
    """Be a worker that hears by one function and speaks by the other, until told to stop, or None is heard.

    The device belongs to the thread that calls it.
    """
    worker, settings = Worker(session, send), session.settings

    def listen() -> None:
        while (message := receive()) is not None:
            worker.hear(message)
        worker.orders.put(None)

    Thread(target=listen, daemon=True, name="graphengine-channel").start()
    Thread(target=worker.beat, daemon=True, name="graphengine-beat").start()
    # Which device `auto` is, torch knows; one that is named is ready before torch is.
    device = "cpu" if settings.device == "cpu" else session.pool.device.name
    if settings.dev:
        session.renewal  # noqa: B018 - from here on, changes of the packs are seen
    session.manifest  # noqa: B018 - so that the first job need not wait for it
    send(Message({"kind": "ready", "device": device, "pid": os.getpid(), **worker.room()}))
    try:
        worker.work()
    finally:
        worker.over.set()


def main() -> None:
    """Serve one channel, whose file descriptor and settings are given, until told to stop."""
    channel = Channel(socket.socket(fileno=int(sys.argv[1])))
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the server's business
    settings = settings_of(sys.argv[2])

    def receive() -> Message:
        message = channel.receive()
        if message is None:
            os._exit(0)  # the server is gone
        return message

    serve(Session(settings, (settings.data / "inputs",)), receive, channel.send)


if __name__ == "__main__":
    main()
