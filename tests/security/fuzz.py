"""Requests that nobody would write, against a live server: `make fuzz`, or
`PYTHONPATH=tests python tests/security/fuzz.py 1000 [SEED]`.

Workflows are broken in many ways, and so are whole requests. No answer may be an error of the server (5xx),
none may take longer than five seconds, every answer must be as the OpenAPI document describes it, and after
each hundred a job must still be run.
"""

from __future__ import annotations

import json
import random
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any
from urllib.parse import quote

import jsonschema
from listening import FLOW, Given, Live, png

from graphengine import resources
from graphengine.server.limits import Limits
from graphengine.server.routes import ROUTES

SLOW = 5.0
ODD: list[Any] = [
    None, True, False, 0, -1, 1, 1.5, -0.0, 1e308, 1 << 31, 1 << 53, 1 << 64, 1 << 65, "", " ", "a", "a.b",
    "\0", "\n", "é", "\U0001f600", "../..", "x" * 300, "x" * 5000, "{{7*7}}", "${jndi:ldap://x}",
    "'; DROP TABLE jobs;--", [], {}, [[]], [{}], [None], {"": ""}, {"link": "add.value"},
    {"link": "gone.value"}, {"link": ""}, {"link": 5},
    {"value": {"link": "x"}}, {"graph": {}}, {"graph": {"nodes": {}, "inputs": ["x"], "outputs": {"x": "x"}}},
    {"graph": None}, [{"link": "add.value"}], "__class__", "constructor", "add", "number.add", "graph:self",
    "flow.fold", "image.load", "/etc/passwd", "file:///etc/passwd", "CON", "nan", "1e999", "0x10",
]  # fmt: skip
RAW = [b"NaN", b"1e999", b"-Infinity", b'"\\ud800"', b"9" * 5000, b"[" * 600 + b"]" * 600, b"", b"\xff",
       b'{"a":1,"a":2}', b"nul", b"01", b"'a'", b'"\x01"', b"\xef\xbb\xbf1"]  # fmt: skip
HEADERS = ["Content-Type", "Accept", "Host", "Origin", "If-Match", "If-None-Match", "Idempotency-Key",
           "Range", "Cookie", "Authorization", "Content-Encoding", "Expect", "Last-Event-ID", "Upgrade",
           "X-Forwarded-For", "Accept-Encoding", "Connection", "Sec-Fetch-Site"]  # fmt: skip


class Fuzz:
    """One run of so many requests; the same seed gives the same requests."""

    def __init__(self, live: Live, seed: int) -> None:
        self.live, self.random = live, random.Random(seed)
        self.flows = [
            json.loads(path.read_text("utf-8")) for path in sorted(resources.workflows().glob("*.json"))
        ]
        self.flows = [FLOW, *(flow for flow in self.flows if len(json.dumps(flow)) < 20_000)]
        self.document = live.ask("GET", "/api/openapi.json").json
        self.validators: dict[str, Any] = {}
        self.statuses: Counter[int] = Counter()
        self.slowest = 0.0
        self.ids = [live.submit(), "0" * 32]

    def run(self, number: int) -> None:
        """Send so many requests. AssertionError says which was not answered as it must be."""
        for turn in range(1, number + 1):
            method, path, body, headers = self.random.choice((self.workflow, self.workflow, self.request))()
            begun = time.monotonic()
            try:
                answer = self.live.ask(method, path, body, headers)
            except (TimeoutError, ConnectionError, OSError) as error:
                raise AssertionError(
                    f"no answer to {self.shown(method, path, body, headers)}: {error}"
                ) from error
            seconds = time.monotonic() - begun
            self.slowest = max(self.slowest, seconds)
            self.statuses[answer.status] += 1
            told = self.shown(method, path, body, headers)
            assert answer.status < 500, f"{answer.status} {answer.body[:500]!r} to {told}"
            assert seconds < SLOW, f"{seconds:.1f} s for {told}"
            self.described(method, path, answer, told)
            if answer.status == 201 and path == "/api/jobs":
                self.ids.append(answer.json["id"])
                del self.ids[1:-5]
            if turn % 100 == 0:
                self.probe()

    def shown(self, method: str, path: str, body: Any, headers: Any) -> str:
        """A request in an error's text."""
        return f"{method} {path[:300]} {headers} {body[:1500] if body else body!r}"

    def probe(self) -> None:
        """A job is still run."""
        self.live.ask("POST", "/api/queue/resume")
        job = self.live.submit(priority=1000)
        assert self.live.ended(job)["state"] == "done"

    def described(self, method: str, path: str, answer: Given, told: str) -> None:
        """An answer of JSON is one that the document describes for its route."""
        kind = answer.headers.get("content-type", "").partition(";")[0]
        if method == "HEAD":
            assert not answer.body, told
        elif kind == "application/problem+json":
            self.validator("ProblemDocument").validate(answer.json)
            assert answer.json["status"] == answer.status, told
        elif kind == "application/json" and (route := self.route(method, path)) is not None:
            if route.answer is not None:
                self.validator(route.answer.__name__).validate(answer.json)
            assert answer.status in route.answers, f"{answer.status} to {told}"

    def validator(self, name: str) -> Any:
        """What checks a body against its schema."""
        if name not in self.validators:
            schema = {"$ref": f"#/components/schemas/{name}", "components": self.document["components"]}
            self.validators[name] = jsonschema.Draft202012Validator(schema)
        return self.validators[name]

    def route(self, method: str, path: str) -> Any:
        """The route of a request, by its parts."""
        parts = path.partition("?")[0].split("/")
        for route in ROUTES:
            wanted = route.path.split("/")
            if route.method == method and len(wanted) == len(parts):
                if all(w[:1] == "{" or w == p for w, p in zip(wanted, parts, strict=True)):
                    return route
        return None

    def workflow(self) -> tuple[str, str, bytes, dict[str, str]]:
        """A broken workflow, to be checked, planned, saved or run."""
        flow = json.loads(json.dumps(self.random.choice(self.flows)))
        for _ in range(self.random.choice((0, 1, 1, 2, 3, 8))):
            try:
                flow = self.broken(flow)
                json.dumps(flow)
            except RecursionError:  # too deep for the program that writes it
                flow = json.loads(json.dumps(FLOW))
        path = self.random.choice(
            ("/api/check", "/api/jobs", "/api/jobs", "/api/plan", "/api/workflows/fuzzed")
        )
        headers = {"Content-Type": "application/json"}
        body: Any = flow
        if path.startswith("/api/workflows"):
            headers |= self.random.choice(({"If-None-Match": "*"}, {"If-Match": '"x"'}, {}))
        else:
            body = {"workflow": flow}
            if path != "/api/check" and self.random.random() < 0.3:
                body |= {
                    "inputs": self.random.choice([{"first": self.odd()}, {"seed": self.odd()}, self.odd()])
                }
                body |= {"targets": self.random.choice([["add"], [self.odd()], self.odd()])}
        return ("PUT" if path.startswith("/api/workflows") else "POST"), path, self.bytes(body), headers

    def broken(self, flow: Any) -> Any:
        """The same with one thing in it changed, removed, added or doubled."""
        places = []
        stack = [flow]
        while stack:
            value = stack.pop()
            if isinstance(value, dict | list):
                keys = list(value) if isinstance(value, dict) else range(len(value))
                places += [(value, key) for key in keys]
                stack += [value[key] for key in keys]
        if not places:
            return self.odd()
        where, key = self.random.choice(places)
        match self.random.randrange(6):
            case 0 | 1:
                where[key] = self.odd()
            case 2:
                del where[key]
            case 3:
                if isinstance(where, dict):
                    where[str(self.odd())[:50]] = where[key]
                else:
                    where += where[:50]
            case 4:
                other, place = self.random.choice(places)
                try:
                    where[key] = json.loads(json.dumps(other[place]))
                except (KeyError, IndexError):
                    where[key] = {}
            case 5:
                depth = self.random.choice((2, 40, 70, 200, 450))
                where[key] = json.loads("[" * depth + "]" * depth)
        return flow

    def odd(self) -> Any:
        """Something odd."""
        return json.loads(json.dumps(self.random.choice(ODD)))

    def bytes(self, body: Any) -> bytes:
        """JSON, now and then with something in it that is none."""
        data = json.dumps(body, ensure_ascii=self.random.random() < 0.5).encode("utf-8", "surrogatepass")
        match self.random.randrange(30):
            case 0:
                at = self.random.randrange(len(data) + 1)
                return data[:at] + self.random.choice(RAW) + data[at:]
            case 1:
                return data[: self.random.randrange(len(data) + 1)]
            case 2:
                return data.replace(b"1", self.random.choice(RAW), 1)
            case 3:
                at = self.random.randrange(len(data) + 1)
                return data[:at] + bytes([self.random.randrange(256)]) + data[at + 1 :]
        return data

    def request(self) -> tuple[str, str, bytes | None, dict[str, str]]:
        """A broken request to any route."""
        route = self.random.choice(ROUTES)
        path = route.path.replace(":.+", "")
        for part in ("id", "name", "type", "input", "path", "file"):
            known = [*self.ids, "text_to_image", "number.add", "first", "app.js"]
            value = self.random.choice((self.random.choice(known), str(self.odd())[:200]))
            path = path.replace(f"{{{part}}}", quote(value, safe=self.random.choice(("", "/."))) or "x")
        if self.random.random() < 0.3:
            names = (
                "limit",
                "since",
                "state",
                "cursor",
                "size",
                "download",
                "job",
                "previews",
                "name",
                "token",
            )
            path += "?" + "&".join(
                f"{self.random.choice(names)}={quote(str(self.odd())[:100])}"
                for _ in range(self.random.randrange(4))
            )
        method = route.method if self.random.random() < 0.9 else self.random.choice(
            ("GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "HEAD"))  # fmt: skip
        body: bytes | None = None
        headers: dict[str, str] = {}
        if method in ("POST", "PUT", "PATCH"):
            picture = self.random.choice((png(3, 3), png(3, 3)[:30], b"", b"<svg/>"))
            body = picture if route.takes else self.bytes(self.random.choice((
                self.odd(), {"priority": self.odd()}, {"place": self.odd(), "other": self.odd()},
                {"pinned": self.odd()}, {"workflow": self.odd(), "inputs": self.odd()},
                {"place": "front"}, {})))  # fmt: skip
            headers["Content-Type"] = "image/png" if route.takes else "application/json"
        for _ in range(self.random.choice((0, 0, 1, 2))):
            text = str(self.odd()).replace("\0", "").replace("\n", "")[:100]
            headers[self.random.choice(HEADERS)] = text.encode("ascii", "ignore").decode()
        if headers.get("Accept") == "text/event-stream" or path.startswith("/api/events"):
            path = "/api/queue"  # a stream has no end
        if method == "HEAD" or headers.get("Expect"):
            headers.pop("Expect", None)
        return method, path, body, headers


def main(number: int, seed: int) -> None:
    """Run it, and say what was answered."""
    with tempfile.TemporaryDirectory() as folder, Live(Path(folder), Limits()) as live:
        fuzz = Fuzz(live, seed)
        begun = time.monotonic()
        fuzz.run(number)
        counts = ", ".join(f"{status}: {n}" for status, n in sorted(fuzz.statuses.items()))
        seconds = time.monotonic() - begun
        print(f"{number} requests in {seconds:.0f} s, the slowest {fuzz.slowest:.2f} s; {counts}")


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 0)
