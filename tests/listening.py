"""A real server on a free port, in a thread, whose jobs are done by hand instead of by worker processes."""

from __future__ import annotations

import asyncio
import http.client
import io
import json
import socket
import threading
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from PIL import Image
from serving import settings

from graphengine.fleets.fleet import Ended, Ready, Report, Shown, Told, WorkerState
from graphengine.order import Order
from graphengine.server.guard import Access
from graphengine.server.limits import Limits
from graphengine.server.running import Running, listening
from graphengine.service import Service

T = TypeVar("T")
TOKEN = "the-token-of-the-tests-0123456789"
KIB = 1 << 10
FLOW: dict[str, Any] = {
    "format": 1,
    "name": "quick",
    "inputs": {"first": "add.first"},
    "outputs": {"sum": "add.value"},
    "nodes": {"add": {"type": "number.add", "inputs": {"first": 1.0, "second": 2.0}}},
}
"""A workflow that can run. What it is called says how its job goes: `slow` waits until it is cancelled."""
LIMITS = Limits(
    body=256 * KIB,
    upload=128 * KIB,
    nodes=200,
    items=1000,
    string=2000,
    depth=60,
    pixels=100_000,
    sockets=12,
    sockets_per_client=8,
    disk=4 << 20,
    stall_seconds=5,
)


class Hands:
    """A fleet of one worker that is ready at once and computes nothing."""

    def __init__(self) -> None:
        self.reports: asyncio.Queue[Report | None] = asyncio.Queue()
        self.order: Order | None = None
        self.task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        self.reports.put_nowait(Ready("hands"))

    def workers(self) -> list[WorkerState]:
        return [WorkerState("hands", "cpu", True, self.order.job if self.order else "", 1, 1)]

    def idle(self) -> list[WorkerState]:
        return [worker for worker in self.workers() if not worker.job]

    async def submit(self, worker: str, order: Order) -> None:
        self.order = order
        self.task = asyncio.create_task(self.work(order))

    async def work(self, order: Order) -> None:
        name = json.loads(order.workflow).get("name", "")
        state, error = "done", ""
        files: list[dict[str, str]] = []
        try:
            self.tell(order, {"event": "node_started", "node": "add"})
            picture = Shown(order.job, order.epoch, "add", "image/png", 4, 4, png(4, 4))
            self.reports.put_nowait(picture)
            if name == "slow":
                await asyncio.Event().wait()
            if name == "fails":
                state, error = "failed", f"add: ValueError: {Path.home()}/secret.txt is not there"
            files = written(order.staging)
            self.tell(order, {"event": "node_finished", "node": "add", "seconds": 0.1})
        except asyncio.CancelledError:
            state, files = "cancelled", []
        self.order = None
        self.reports.put_nowait(Ended("hands", order.job, order.epoch, state, error, files, {"sum": 3.0}, ""))

    def tell(self, order: Order, *events: Mapping[str, Any]) -> None:
        self.reports.put_nowait(Told(order.job, order.epoch, [json.dumps(event) for event in events]))

    async def events(self) -> AsyncIterator[Report]:
        while (report := await self.reports.get()) is not None:
            yield report

    async def cancel(self, job: str, epoch: int) -> None:
        if self.order is not None and self.order.job == job and self.task is not None:
            self.task.cancel()

    async def call(self, what: str, **arguments: Any) -> Any:
        if what == "plan":
            return {"steps": ["add"], "cached": [], "skipped": []}
        return ["euler", "ddim"] if what == "choices" else None

    async def fetch(self, path: str) -> Path:
        return Path(path)

    async def aclose(self) -> None:
        if self.task is not None:
            self.task.cancel()
            await asyncio.gather(self.task, return_exceptions=True)
        self.reports.put_nowait(None)


def written(staging: str) -> list[dict[str, str]]:
    """Write the files that a job gives."""
    folder, files = Path(staging), []
    folder.mkdir(parents=True, exist_ok=True)
    for number, (file, media, content) in enumerate(OUTPUTS):
        (folder / str(number)).write_bytes(content)
        files.append({"name": file, "media": media, "path": str(folder / str(number))})
    return files


def png(width: int, height: int, mode: str = "RGB") -> bytes:
    """A picture."""
    stream = io.BytesIO()
    Image.new(mode, (width, height)).save(stream, "PNG")
    return stream.getvalue()


OUTPUTS = [
    ("picture_0001.png", "image/png", png(64, 32)),
    ("page.html", "text/html", b"<script>alert(1)</script>"),
    ("drawing.svg", "image/svg+xml", b"<svg xmlns='http://www.w3.org/2000/svg'/>"),
    ("model.safetensors", "application/octet-stream", b"weights"),
    ('a"b\r\nSet-Cookie: x=1\\..é.txt', "text/plain", b"words"),
]
"""What every job gives: name, media type, content."""


class Given(NamedTuple):
    """An answer."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class Live:
    """The server. Requests have its token unless they say otherwise."""

    def __init__(self, folder: Path, limits: Limits = LIMITS, **access: Any) -> None:
        self.folder, self.limits = folder, limits
        self.token = access.pop("token", TOKEN)
        self.access, self.loop = access, asyncio.new_event_loop()
        self.settings = settings(folder, jobs_per_client=access.pop("jobs_per_client", 1000))
        self.listener = listening("127.0.0.1", 0)
        self.port: int = self.listener.getsockname()[1]
        self.thread = threading.Thread(target=self.loop.run_forever, daemon=True)

    def __enter__(self) -> Live:
        self.thread.start()
        self.do(self.start(), 300)
        return self

    async def start(self) -> None:
        self.hands = Hands()
        self.service = Service(self.settings, self.hands)
        access = Access(self.token, self.port, **self.access)
        await self.service.start()
        self.running = Running(self.service, self.settings, access, self.listener, limits=self.limits)
        await self.running.start()
        await self.service.known.wait()  # reading all packs takes a while on a busy machine

    def __exit__(self, *error: object) -> None:
        self.do(self.stop())
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join()
        self.loop.run_until_complete(self.loop.shutdown_asyncgens())
        self.loop.run_until_complete(self.loop.shutdown_default_executor())
        self.loop.close()
        self.listener.close()

    async def stop(self) -> None:
        await self.running.close(1)
        await self.service.close(0.1)

    def do(self, work: Coroutine[Any, Any, T], seconds: float = 60) -> T:
        """What something gives that runs in the server's loop."""
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(seconds)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def ask(
        self,
        method: str,
        path: str,
        body: Any = None,
        headers: Mapping[str, str | None] | None = None,
        *,
        token: bool = True,
    ) -> Given:
        """Send a request; a body that is no bytes is sent as JSON, and a header that is None is not sent."""
        given: dict[str, str | None] = {"Authorization": f"Bearer {self.token}"} if token else {}
        given["Host"] = f"127.0.0.1:{self.port}"
        if body is not None and not isinstance(body, bytes):
            body, given["Content-Type"] = json.dumps(body).encode(), "application/json"
        if body is not None or method in ("POST", "PUT", "PATCH"):
            given["Content-Length"] = str(len(body or b""))
        lower = {name.lower(): name for name in given}
        for name, value in (headers or {}).items():
            given[lower.get(name.lower(), name)] = value
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        try:
            connection.putrequest(method, path, skip_host=True, skip_accept_encoding=True)
            for name, text in given.items():
                if text is not None:
                    connection.putheader(name, text.encode("utf-8"))
            connection.endheaders(body)
            answer = connection.getresponse()
            return Given(answer.status, Lower(answer.getheaders()), answer.read())
        finally:
            connection.close()

    def raw(self, data: bytes, seconds: float = 10, *, close: bool = False) -> bytes:
        """Send bytes and read to the end, or until nothing has come for some time."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=seconds) as wire:
            wire.sendall(data)
            if close:
                wire.shutdown(socket.SHUT_WR)
            found = b""
            try:
                while part := wire.recv(1 << 16):
                    found += part
            except (TimeoutError, ConnectionError):
                pass
            return found

    def submit(self, name: str = "quick", **fields: Any) -> str:
        """Submit a job; gives its id."""
        answer = self.ask("POST", "/api/jobs", {"workflow": FLOW | {"name": name}, **fields})
        assert answer.status == 201, answer.body
        return str(answer.json["id"])

    def ended(self, id: str) -> dict[str, Any]:
        """A job when it has ended."""
        return self.until(lambda: (job := self.ask("GET", f"/api/jobs/{id}").json)["state"] in ENDS and job)

    def until(self, true: Callable[[], Any], seconds: float = 20) -> Any:
        """Wait until something is true; gives it."""
        pause = threading.Event()
        for _ in range(int(seconds / 0.02)):
            if found := true():
                return found
            pause.wait(0.02)
        raise TimeoutError


ENDS = ("done", "failed", "cancelled")


class Lower(dict[str, str]):
    """Headers by their names in any case; of several with one name all, between commas."""

    def __init__(self, pairs: list[tuple[str, str]]) -> None:
        super().__init__()
        for name, value in pairs:
            old = self.get(name.lower())
            super().__setitem__(name.lower(), value if old is None else f"{old}, {value}")

    def __getitem__(self, name: str) -> str:
        return super().__getitem__(name.lower())

    def __contains__(self, name: object) -> bool:
        return super().__contains__(str(name).lower())
