"""A server that a test can break: it answers as the real one does, and fails where it is told to.

Its jobs are in a real Store, and a thread runs them in a real Session. `fail(route, how)` makes the next
request of a route fail once: "deaf" closes the connection before anything was done, "mute" after it, "cut" in
the middle of the answer.
"""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from graphengine import resources
from graphengine.cli.display import as_data, described
from graphengine.config import Settings
from graphengine.errors import Conflict, NotFound, OverLimit, StoreError, WorkflowError
from graphengine.events import NodeOutput
from graphengine.jobs import ENDS, Draft, Job, Request
from graphengine.session import Session
from graphengine.store import Store
from graphengine.workflow import Workflow

TOKEN = "a token of the stand-in"
STATUS = {NotFound: 404, Conflict: 409, OverLimit: 429, WorkflowError: 422, StoreError: 503}


class StandIn:
    """The jobs of a folder behind HTTP, on a port of its own."""

    def __init__(self, folder: Path, cache: Path) -> None:
        self.store = Store(folder / "data")
        self.session = Session(Settings(cache=cache, outputs=folder / "made", data=folder / "data"))
        self.session.manifest  # noqa: B018 - read now, not while somebody waits for an answer
        self.failures: list[tuple[str, str]] = []
        self.asked: list[str] = []
        """Each request: its method and its path."""
        self.results: dict[str, Any] = {}
        self.uploads: dict[str, bytes] = {}
        self.stopped = threading.Event()
        self.begin()

    def begin(self, port: int = 0) -> None:
        """Listen."""
        self.http = ThreadingHTTPServer(("127.0.0.1", port), type("H", (Handler,), {"standin": self}))
        self.http.daemon_threads = True
        self.thread = threading.Thread(target=self.http.serve_forever, args=(0.01,))
        self.thread.start()
        self.port = self.http.server_address[1]

    def end(self) -> None:
        """Listen no more."""
        self.http.shutdown()
        self.http.server_close()
        self.thread.join()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def fail(self, route: str, *how: str) -> None:
        """Let the next requests of a route fail, such as `POST /api/jobs`."""
        self.failures += [(route, each) for each in how]

    def failing(self, route: str) -> str:
        """How this request fails."""
        for number, (wanted, how) in enumerate(self.failures):
            if route == wanted:
                del self.failures[number]
                return how
        return ""

    def name(self, workflow: str) -> str:
        return str(json.loads(workflow).get("name", ""))

    def work(self) -> None:
        """Run jobs until the end."""
        while not self.stopped.is_set():
            lease = self.store.queue.claim("worker")
            if lease is None:
                self.stopped.wait(0.01)
                continue
            job, drafts = lease.job.id, list[Draft]()

            def emit(event: Any, job: str = job, epoch: int = lease.epoch, drafts: Any = drafts) -> None:
                data = as_data(event)
                if isinstance(event, NodeOutput):
                    path = Path(event.path)
                    drafts.append(Draft(path.name, event.media_type, path))
                    data = {"event": "node_output", "node": event.node, "name": path.name,
                            "media_type": event.media_type}  # fmt: skip
                self.store.journal.append(job, epoch, [json.dumps(data)])

            workflow = Workflow.parse(lease.request.workflow)
            outcome = self.session.run(workflow, lease.request.inputs, emit=emit)
            self.results[job] = {k: v for k, v in outcome.outputs.items() if described(v) == v}
            error = "; ".join(f"{node}: {why}" for node, why in outcome.failures.items())
            self.store.finish(lease, outcome.state, drafts, error)  # type: ignore[arg-type]

    def shown(self, job: Job) -> dict[str, Any]:
        """A job as JSON."""
        names = ("id", "state", "priority", "attempts", "cancelling", "pinned", "created", "started",
                 "ended", "error", "worker", "client")  # fmt: skip
        return {n: getattr(job, n) for n in names} | {"name": self.name(self.store.request(job.id).workflow)}

    def line(self) -> dict[str, Any]:
        """The queue as JSON."""
        running = self.store.jobs(states=["running"]).jobs
        return {
            "paused": self.store.queue.paused,
            "waiting": [self.shown(job) for job in self.store.waiting()],
            "running": [self.shown(job) for job in running],
            "counts": self.store.counts(),
        }


@contextmanager
def standing_in(folder: Path, cache: Path) -> Iterator[StandIn]:
    """A stand-in with a worker."""
    found = StandIn(folder, cache)
    worker = threading.Thread(target=found.work)
    worker.start()
    try:
        yield found
    finally:
        found.stopped.set()
        worker.join()
        found.end()
        found.store.close()


class Handler(BaseHTTPRequestHandler):
    """One connection."""

    standin: StandIn
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""

    def do_GET(self) -> None:
        url = urlsplit(self.path)
        self.query = {name: values for name, values in parse_qs(url.query).items()}
        self.parts = [unquote(each) for each in url.path.split("/")[1:]]
        self.route = f"{self.command} {url.path}"
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.standin.asked.append(self.route)
        self.how = self.standin.failing(self.route)
        if self.how == "deaf":
            return self.hang_up()
        if self.headers.get("Authorization") != f"Bearer {TOKEN}" and self.parts[0] != "health":
            return self.refuse(401, "Unauthorized", "")
        try:
            self.answer(body)
        except tuple(STATUS) as error:
            status = next(code for kind, code in STATUS.items() if isinstance(error, kind))
            problems = [p._asdict() for p in getattr(error, "problems", ())]
            self.refuse(status, type(error).__name__, str(error), problems)

    do_POST = do_PATCH = do_DELETE = do_GET

    def hang_up(self) -> None:
        """Close the connection at once."""
        self.close_connection = True
        self.connection.shutdown(socket.SHUT_RDWR)

    def refuse(self, status: int, title: str, detail: str, problems: Any = ()) -> None:
        document = {"type": "about:blank", "title": title, "status": status, "detail": detail}
        self.send(document | ({"problems": problems} if problems else {}), status)

    def send(self, data: Any, status: int = 200, media: str = "application/json", **headers: str) -> None:
        """The whole answer."""
        if self.how == "mute":
            return self.hang_up()
        content = data if isinstance(data, bytes) else json.dumps(data).encode()
        self.send_response(status)
        self.send_header("Content-Type", media)
        self.send_header("Content-Length", str(len(content)))
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(content[: len(content) // 2] if self.how == "cut" else content)
        if self.how == "cut":
            self.hang_up()

    def answer(self, body: bytes) -> None:
        """What the route gives."""
        store, session = self.standin.store, self.standin.session
        data = json.loads(body) if body.startswith(b"{") else {}
        match [self.command, *self.parts]:
            case ["GET", "health", "ready"]:
                self.send({"ready": True, "workers": []})
            case ["POST", "api", "jobs"]:
                asked = self.workflow(data)
                session.submit(asked, data["inputs"])
                request = Request(json.dumps(asked.data), data["inputs"], tuple(data["targets"]))
                key = self.headers["Idempotency-Key"]
                self.send(self.standin.shown(store.submit(request, priority=data["priority"], key=key)), 201)
            case ["GET", "api", "jobs"]:
                cursor = self.query.get("cursor", [None])[0]
                page = store.jobs(states=self.query.get("state", []), cursor=cursor, limit=int(self.query["limit"][0]))  # type: ignore[arg-type] # fmt: skip # noqa: E501
                jobs = [self.standin.shown(job) for job in page.jobs]
                self.send({"jobs": jobs, "cursor": page.cursor})
            case ["GET", "api", "jobs", id]:
                self.send(self.detail(id))
            case ["PATCH", "api", "jobs", id]:
                if "priority" in data:
                    store.queue.prioritise(id, data["priority"])
                if "pinned" in data:
                    store.pin(id, data["pinned"])
                self.send(self.standin.shown(store.job(id)))
            case ["DELETE", "api", "jobs", id]:
                store.remove(id)
                self.send(b"", 204)
            case ["POST", "api", "jobs", id, "cancel"]:
                self.send(self.standin.shown(store.queue.cancel(id)))
            case ["POST", "api", "jobs", id, "retry"]:
                self.send(self.standin.shown(store.retry(id)))
            case ["POST", "api", "jobs", id, "move"]:
                self.send(self.standin.shown(store.queue.move(id, data["place"], data["other"])))
            case ["GET", "api", "jobs", id, "events"] if "event-stream" in self.headers["Accept"]:
                self.stream(id)
            case ["GET", "api", "jobs", id, "events"]:
                since, limit = int(self.query["since"][0]), int(self.query["limit"][0])
                page = store.journal.read(since, job=store.job(id).id, limit=limit)  # type: ignore[assignment]
                events = [entry(each) for each in page.entries]  # type: ignore[attr-defined]
                self.send({"events": events, "last": page.last, "lost": page.lost})  # type: ignore[attr-defined]
            case ["GET", "api", "queue"]:
                self.send(self.standin.line())
            case ["POST", "api", "queue", ("pause" | "resume") as which]:
                store.queue.pause(which == "pause")
                self.send(self.standin.line())
            case ["GET", "api", "nodes"]:
                hidden = ("module", "name", "code")
                types = [kind.to_json() for kind in session.manifest.types.values()]
                self.send({"types": [{k: v for k, v in t.items() if k not in hidden} for t in types]})
            case ["POST", "api", "check"]:
                self.send({"problems": [p._asdict() for p in session.check(self.workflow(data))]})
            case ["POST", "api", "plan"]:
                planned = session.plan(session.submit(self.workflow(data), data["inputs"]), data["targets"])
                self.send({n: list(getattr(planned, n)) for n in ("steps", "cached", "skipped")})
            case ["GET", "api", "workflows"]:
                self.send({"workflows": [{"name": name} for name in resources.workflow_names()]})
            case ["GET", "api", "workflows", name]:
                self.send(self.workflow({"workflow": name}).data)
            case ["POST", "api", "uploads"]:
                name = f"{len(self.standin.uploads)}.png"
                self.standin.uploads[name] = body
                self.send({"name": name, "width": 1, "height": 1}, 201)
            case ["GET", "api", "outputs", id]:
                output, path = store.outputs.find(id)
                disposition = f'attachment; filename="{output.name}"'
                self.send(path.read_bytes(), media=output.media, Content_Disposition=disposition)
            case _:
                raise NotFound("there is nothing here")

    def workflow(self, data: dict[str, Any]) -> Workflow:
        """The workflow of a body, or the shipped one of a name."""
        asked = data["workflow"]
        if isinstance(asked, dict):
            return Workflow.of(asked)
        path = resources.workflow(asked)
        if path is None:
            raise NotFound(f"there is no workflow {asked!r}")
        return Workflow.load(path)

    def detail(self, id: str) -> dict[str, Any]:
        """A job with what belongs to it."""
        store = self.standin.store
        job, request = store.job(id), store.request(id)
        outputs = [
            {"id": o.id, "name": o.name, "media": o.media, "size": o.size, "url": f"/api/outputs/{o.id}"}
            for o in store.outputs.of(id)
        ]
        return self.standin.shown(job) | {
            "workflow": json.loads(request.workflow), "inputs": dict(request.inputs),
            "targets": list(request.targets), "outputs": outputs, "result": self.standin.results.get(id, {}),
        }  # fmt: skip

    def stream(self, id: str) -> None:
        """Server-sent events until the job has ended; "cut" ends it after two."""
        store, since, told = self.standin.store, int(self.headers["Last-Event-ID"]), 0
        store.job(id)
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        self.chunk(b": hello\n\n")
        while not self.standin.stopped.is_set():
            ended = store.job(id).state in ENDS
            page = store.journal.read(since, job=id)
            for each in page.entries:
                if self.how == "cut" and told == 2:
                    return self.hang_up()
                self.chunk(f"id: {each.sequence}\ndata: {json.dumps(entry(each))}\n\n".encode())
                since, told = each.sequence, told + 1
            if ended:
                self.chunk(b"")
                return
            self.standin.stopped.wait(0.01)
        self.hang_up()

    def chunk(self, data: bytes) -> None:
        self.wfile.write(f"{len(data):x}\r\n".encode() + data + b"\r\n")


def entry(found: Any) -> dict[str, Any]:
    """An event of the journal as JSON."""
    event = json.loads(found.text)
    return {"sequence": found.sequence, "job": found.job, "time": found.time, "event": event}
