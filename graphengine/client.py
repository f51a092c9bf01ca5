"""Client: a server of workflows as a Python object. It waits for each answer, and needs the standard library.

    from graphengine import Client

    client = Client()                                   # the server of this machine
    job = client.submit("text_to_image", {"prompt": "a blue cat"})
    job = client.wait(job)
    for output in job["outputs"]:
        print(client.download(output, "pictures"))

What it gives is the JSON of the API as plain dicts and lists; a job may be given as its id or as such a dict.
Errors are the engine's own: WorkflowError with every problem, NotFound, Conflict, OverLimit, Unavailable, and
ServerError (Unreachable where nobody answers).
"""

from __future__ import annotations

import filecmp
import http.client
import json
import os
import secrets
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from time import monotonic, sleep
from typing import Any

from graphengine.config import Settings
from graphengine.connection import Connection, part
from graphengine.errors import GraphEngineError, Problem, ServerError, Unreachable, WorkflowError
from graphengine.folders import claim, unseen
from graphengine.store.jobs import ENDS
from graphengine.workflow import Workflow

Given = str | Mapping[str, Any]
"""A job or an output: its id, or the dict that came from the server."""
Source = Workflow | Path | Mapping[str, Any] | str
"""A workflow: read, as a file, as its JSON data, or by the name that the server knows it by."""

PAGE = 100
"""Jobs that are asked for at once."""
CHUNK = 1 << 20
PICTURES = {b"\x89PNG\r\n\x1a\n": "image/png", b"\xff\xd8\xff": "image/jpeg", b"RIFF": "image/webp"}
"""What a server takes as an upload, by how the file begins."""
GONE = "removed"
"""The state that the events of a job that was removed end with."""


class Client:
    """A server: the one at `url`, else of `GRAPHENGINE_URL`, else the one that runs on this machine.

    `url` may be the link that the server prints, token and all. `timeout` is how long it may be silent, in
    seconds; `patience` how long `events` and `wait` try to find it again after it went away.
    """

    def __init__(
        self,
        url: str | None = None,
        token: str | None = None,
        *,
        timeout: float = 60.0,
        patience: float = 60.0,
        settings: Settings | None = None,
    ) -> None:
        settings = settings or Settings.read()
        known = running(settings)
        url = url or settings.url or (known["url"] if known else None)
        if url is None:
            raise Unreachable(
                "no server runs on this machine; `graphengine serve` starts one, and GRAPHENGINE_URL names "
                "one on another"
            )
        self.connection = Connection(url, token, timeout)
        if self.connection.token is None and known and Connection(known["url"]).url == self.connection.url:
            self.connection.token = known["token"] or None
        if self.connection.token is None and settings.token is not None:
            self.connection.token = settings.token.get_secret_value()
        self.patience = patience

    @property
    def url(self) -> str:
        """The address, without the token."""
        return self.connection.url

    def __repr__(self) -> str:
        return f"<Client of {self.url}>"

    # Jobs

    def submit(
        self,
        workflow: Source,
        inputs: Mapping[str, Any] | None = None,
        targets: Sequence[str] = (),
        *,
        priority: int = 0,
        key: str | None = None,
    ) -> dict[str, Any]:
        """Put a job into the queue; when this returns, the job is on the server's disk.

        A submit whose connection is lost is sent again with the same `key`, and the server makes one job of
        both; whoever gives a key of his own may also ask again later. WorkflowError tells every problem.
        """
        body = {
            "workflow": data_of(workflow),
            "inputs": dict(inputs or {}),
            "targets": list(targets),
            "priority": priority,
        }
        headers = {"Idempotency-Key": key or secrets.token_hex(16)}
        return self.asked("POST", "/api/jobs", data=body, headers=headers, again=True)

    def job(self, job: Given) -> dict[str, Any]:
        """A job as it is now: its state, what it was asked, its outputs and its plain results."""
        return self.asked("GET", f"/api/jobs/{part(id_of(job))}", again=True)

    def jobs(self, states: Iterable[str] = ()) -> Iterator[dict[str, Any]]:
        """Every job, newest first, or those in some states; asked for page by page."""
        query: dict[str, Any] = {"limit": PAGE, "state": list(states)}
        while True:
            page = self.asked("GET", "/api/jobs", query=query, again=True)
            yield from page["jobs"]
            if page.get("cursor") is None:
                return
            query["cursor"] = page["cursor"]

    def cancel(self, job: Given) -> dict[str, Any]:
        """Cancel a job: at once if it waits, else within a step. One that has ended stays as it is."""
        return self.asked("POST", f"/api/jobs/{part(id_of(job))}/cancel", again=True)

    def retry(self, job: Given) -> dict[str, Any]:
        """Let a job that failed or was cancelled wait again. Conflict for one in another state."""
        return self.asked("POST", f"/api/jobs/{part(id_of(job))}/retry")

    def move(self, job: Given, place: str, other: Given | None = None) -> dict[str, Any]:
        """Move a waiting job to the `front` or the `back`, or `before` or `after` another one."""
        body = {"place": place, "other": None if other is None else id_of(other)}
        return self.asked("POST", f"/api/jobs/{part(id_of(job))}/move", data=body, again=True)

    def prioritise(self, job: Given, priority: int) -> dict[str, Any]:
        """Give a job that has not ended another priority; higher is sooner."""
        path = f"/api/jobs/{part(id_of(job))}"
        return self.asked("PATCH", path, data={"priority": priority}, again=True)

    def pin(self, job: Given, on: bool = True) -> dict[str, Any]:
        """Keep the outputs of a job whatever space is needed, or let them go with the others."""
        return self.asked("PATCH", f"/api/jobs/{part(id_of(job))}", data={"pinned": on}, again=True)

    def remove(self, job: Given) -> None:
        """Forget a job that has ended, with its outputs. Conflict if it has not."""
        self.connection.ask("DELETE", f"/api/jobs/{part(id_of(job))}")

    def wait(self, job: Given, timeout: float | None = None) -> dict[str, Any]:
        """The job when it has ended, however it ended. TimeoutError if it has not after so many seconds."""
        until = None if timeout is None else monotonic() + timeout
        lost, pause = None, 0.02
        while True:
            try:
                found = self.job(job)
            except Unreachable:
                lost = lost or monotonic()
                if monotonic() - lost > self.patience:
                    raise
            else:
                lost = None
                if found["state"] in ENDS:
                    return found
                if until is not None and monotonic() >= until:
                    raise TimeoutError(f"job {id_of(job)} is {found['state']} after {timeout:g} seconds")
            left = pause if until is None else min(pause, max(until - monotonic(), 0.0))
            sleep(left)
            pause = min(pause * 1.5, 1.0)

    def events(self, job: Given, since: int = 0) -> Iterator[dict[str, Any]]:
        """What happens to a job, each event once, until it has ended.

        Each is `{"sequence", "job", "time", "event"}`. After a lost connection it goes on where it was.
        `since` is the number of the last event that is known already.
        """
        lost, state = None, ""
        while True:
            news = False
            try:
                for entry in self.stream(job, since):
                    lost = None
                    if entry is None or entry["sequence"] <= since:
                        continue
                    since, news = entry["sequence"], True
                    if entry["event"].get("event") == "job":
                        state = entry["event"].get("state", "")
                    yield entry
                # A stream ends with its job, or with the server; and old events may have been trimmed.
                if state == GONE or ((state in ENDS or not news) and self.job(job)["state"] in ENDS):
                    return
            except Unreachable:
                lost = lost or monotonic()
                if monotonic() - lost > self.patience:
                    raise
            sleep(min(0.2, self.patience))

    def past(self, job: Given, since: int = 0) -> Iterator[dict[str, Any]]:
        """What has happened to a job up to now."""
        while True:
            query = {"since": since, "limit": 1000}
            page = self.asked("GET", f"/api/jobs/{part(id_of(job))}/events", query=query, again=True)
            yield from page["events"]
            if not page["events"]:
                return
            since = page["events"][-1]["sequence"]

    def stream(self, job: Given, since: int) -> Iterator[dict[str, Any] | None]:
        """The events of one connection, read as they come (server-sent events); first None, once it is open.

        One on which nothing is said for too long is Unreachable, as if it were lost: the other end may be.
        """
        path, headers = f"/api/jobs/{part(id_of(job))}/events", {"Accept": "text/event-stream"}
        headers["Last-Event-ID"] = str(since)
        with self.connection.opened("GET", path, query={"since": since}, headers=headers) as answer:
            yield None
            for text in messages(answer):
                try:
                    entry = json.loads(text)
                except ValueError:
                    raise ServerError(f"an event of the server at {self.url} is no JSON") from None
                if isinstance(entry, dict) and "sequence" in entry:  # else it says that events were trimmed
                    yield entry

    # Files

    def outputs(self, job: Given) -> list[dict[str, Any]]:
        """What a job has published: `id`, `name`, `media`, `size` and `url` of each."""
        found: list[dict[str, Any]] = self.job(job)["outputs"]
        return found

    def download(self, output: Given, target: str | Path = ".") -> Path:
        """Save an output as a file, whole or not at all; gives where it is.

        Into a folder it goes under its own name, or one with a number where another file has that name. A
        file that is named is replaced.
        """
        target = Path(target)
        folder = target if target.is_dir() else target.parent
        temporary = unseen(folder)
        try:
            name = self.fetched(output, temporary)
            if target.is_dir():
                return placed(temporary, folder, name)
            os.replace(temporary, target)
            return target
        except OSError as error:
            raise GraphEngineError(f"nothing can be written to {target}: {error.strerror}") from error
        finally:
            temporary.unlink(missing_ok=True)

    def fetched(self, output: Given, path: Path) -> str:
        """Write the bytes of an output into a new file; gives the name that it goes by."""
        id, size = id_of(output), 0
        asked = "GET", f"/api/outputs/{part(id)}"
        with path.open("xb") as stream, self.connection.opened(*asked, query={"download": 1}) as answer:
            length = answer.length
            while chunk := answer.read(CHUNK):
                try:
                    size += stream.write(chunk)
                except OSError as error:  # of the disk, not of the connection
                    raise GraphEngineError(f"{path.parent} cannot be written to: {error.strerror}") from error
            if length is not None and size != length:
                raise http.client.IncompleteRead(b"", length - size)
            given = None if isinstance(output, str) else output.get("name")
            return plain(given or answer.headers.get_filename()) or id

    def upload(self, path: str | Path) -> dict[str, Any]:
        """Send a picture (PNG, JPEG or WebP); `name` in what it gives is the value for an input."""
        path = Path(path)
        try:
            data = path.read_bytes()
        except OSError as error:
            raise GraphEngineError(f"{path} cannot be read: {error.strerror}") from None
        media = next((kind for start, kind in PICTURES.items() if data.startswith(start)), None)
        if media is None:
            raise GraphEngineError(f"{path} is no PNG, JPEG or WebP picture; only these can be sent")
        headers = {"Content-Type": media}
        return self.asked("POST", "/api/uploads", query={"name": path.name}, body=data, headers=headers)

    # The queue, and the rest

    def queue(self) -> dict[str, Any]:
        """The queue: `paused`, the first 500 jobs `waiting` and `running`, and `counts` by state."""
        return self.asked("GET", "/api/queue", again=True)

    def pause(self) -> dict[str, Any]:
        """Begin no more jobs; those that run go on."""
        return self.asked("POST", "/api/queue/pause", again=True)

    def resume(self) -> dict[str, Any]:
        """Begin jobs again."""
        return self.asked("POST", "/api/queue/resume", again=True)

    def check(self, workflow: Source) -> list[Problem]:
        """Everything that is wrong with a workflow."""
        told = list(workflow.problems) if isinstance(workflow, Workflow) else []
        if told:
            return told
        try:
            body = {"workflow": data_of(workflow)}
        except WorkflowError as error:
            return list(error.problems)
        found = self.asked("POST", "/api/check", data=body, again=True)
        return [Problem(each["node"], each["input"], each["text"]) for each in found["problems"]]

    def plan(
        self, workflow: Source, inputs: Mapping[str, Any] | None = None, targets: Sequence[str] = ()
    ) -> dict[str, Any]:
        """What would run: the nodes in `steps`, `cached` and `skipped`. Unavailable without a worker."""
        body = {"workflow": data_of(workflow), "inputs": dict(inputs or {}), "targets": list(targets)}
        return self.asked("POST", "/api/plan", data=body, again=True)

    def workflows(self) -> list[dict[str, Any]]:
        """The workflows that the server knows by name: those that are shipped, and those that were saved."""
        found: list[dict[str, Any]] = self.asked("GET", "/api/workflows", again=True)["workflows"]
        return found

    def workflow(self, name: str) -> dict[str, Any]:
        """The JSON data of one of them."""
        return self.asked("GET", f"/api/workflows/{part(name)}", again=True)

    def nodes(self) -> dict[str, Any]:
        """The node types that the server has, with its packs and what is wrong with them."""
        return self.asked("GET", "/api/nodes", again=True)

    def health(self) -> dict[str, Any]:
        """How the server is: `ready` says whether a worker takes jobs."""
        with self.connection.opened("GET", "/health/ready", refused=False) as answer:
            text = answer.read()
            if answer.status not in (200, 503):
                raise self.connection.refusal(answer.status, {})
            try:
                found = json.loads(text)
            except ValueError:
                found = {}
            return {"ready": answer.status == 200} | (found if isinstance(found, dict) else {})

    def asked(self, method: str, path: str, **how: Any) -> dict[str, Any]:
        """An answer that is a JSON object. ServerError where it is none."""
        found = self.connection.ask(method, path, **how)
        if not isinstance(found, dict):
            raise ServerError(f"what answers at {self.url} is no GraphEngine server; check the address")
        return found


def running(settings: Settings) -> dict[str, str] | None:
    """The address and the token that the server of this machine has left in its folder."""
    try:
        found = json.loads((settings.data / "server.json").read_text("utf-8"))
        return {"url": str(found["url"]), "token": str(found.get("token") or "")}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def id_of(given: Given) -> str:
    """The id of a job or an output."""
    return given if isinstance(given, str) else str(given["id"])


def data_of(workflow: Source) -> Any:
    """What is sent as a workflow: its data, or its name. WorkflowError for a file that is none."""
    if isinstance(workflow, str):
        path = Path(workflow)
        if not path.is_file() and "/" not in workflow and "." not in workflow:
            return workflow
        workflow = path
    if isinstance(workflow, Path):
        workflow = Workflow.load(workflow)
    if isinstance(workflow, Workflow):
        if workflow.problems:
            raise WorkflowError(workflow.problems)
        return workflow.data
    return dict(workflow)


def messages(answer: Iterable[bytes]) -> Iterator[str]:
    """The data of each message in a stream of server-sent events (WHATWG HTML, section 9.2.6)."""
    data: list[str] = []
    for line in answer:
        text = line.decode("utf-8", "replace").rstrip("\r\n")
        if not text:
            if data:
                yield "\n".join(data)
            data = []
        elif text.startswith("data:"):
            data.append(text[5:].removeprefix(" "))


def plain(name: str | None) -> str:
    """The name of a file without its folders, and without what a file system may take amiss."""
    last = (name or "").replace("\\", "/").rpartition("/")[2]
    kept = "".join(c for c in last if c.isprintable() and c not in '<>:"|?*')
    return kept.lstrip(".").strip()[-200:]


def placed(temporary: Path, folder: Path, name: str) -> Path:
    """Give a whole file its name in a folder, with a number if another file has it."""
    path, number = folder / name, 1
    while not claim(temporary, path):
        if path.is_file() and filecmp.cmp(temporary, path, shallow=False):
            return path  # saved before
        number += 1
        path = folder / f"{Path(name).stem}_{number}{Path(name).suffix}"
    return path
