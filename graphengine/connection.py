"""Connection: how a client speaks to a server: one address, one token, one request at a time.

Every answer is JSON, a file or a stream of events; what the server refuses is raised as the engine's own
error, as it would have been in the server's process. Each request has a connection of its own, so that one
object serves any number of threads. Redirections are not followed: the token goes to one address.

A connection that is lost may have been lost before or after the server did what it was asked. So a request
is sent again only where asking twice does what asking once does (`again`).
"""

from __future__ import annotations

import http.client
import json
import ssl
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from time import sleep
from typing import Any
from urllib.parse import parse_qs, quote, urlencode, urlsplit

from graphengine.errors import (
    Conflict,
    GraphEngineError,
    NotFound,
    OverLimit,
    Problem,
    ServerError,
    StoreError,
    Unavailable,
    Unreachable,
    WorkflowError,
)

PAUSES = (0.1, 0.5, 2.0)
"""Seconds before a request is sent again after its connection was lost."""


class Connection:
    """A server's address and what it wants to be shown. `url` may be the link that the server prints."""

    def __init__(self, url: str, token: str | None = None, timeout: float = 60.0) -> None:
        try:
            parts = urlsplit(url)
            self.host, self.port = parts.hostname or "", parts.port
        except ValueError as error:
            raise Unreachable(f"{url!r} is no address of a server: {error}") from None
        if parts.scheme not in ("http", "https") or not self.host:
            raise Unreachable(f"{url!r} is no address of a server; write one such as http://127.0.0.1:8420")
        self.secure, self.base = parts.scheme == "https", parts.path.rstrip("/")
        self.url = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{self.base}"
        self.token = token or next(iter(parse_qs(parts.query).get("token", ())), None)
        self.timeout = timeout
        if self.token and not (self.token.isascii() and self.token.isprintable()):
            raise ServerError("the token holds a character that no token has; copy it again")

    def ask(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, Any] | None = None,
        data: Any = None,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        again: bool = False,
    ) -> Any:
        """The JSON that the server answers, or None where it answers with nothing.

        `data` is sent as JSON, `body` as it is. `again` says that asking twice does no harm.
        """
        headers = dict(headers or {})
        if data is not None:
            body, headers["Content-Type"] = as_json(data), "application/json"
        pauses = PAUSES if again else ()
        for number in range(len(pauses) + 1):
            try:
                with self.opened(method, path, query=query, body=body, headers=headers) as answer:
                    return read(answer)
            except NoConnection:
                if number in (0, len(pauses)):  # nobody is there; a server that restarts was there before
                    raise
            except Unreachable:
                if number == len(pauses):
                    raise
            sleep(pauses[number])
        raise AssertionError  # the last round returns or raises

    @contextmanager
    def opened(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, Any] | None = None,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        refused: bool = True,
    ) -> Iterator[http.client.HTTPResponse]:
        """The answer, to be read in the block; with `refused`, what is no success is raised.

        A connection that is lost, in the block too, is Unreachable.
        """
        to = self.base + path + (f"?{urlencode(query, doseq=True)}" if query else "")
        sent = {"Accept": "application/json", "User-Agent": "graphengine"} | dict(headers or {})
        if self.token:
            sent["Authorization"] = f"Bearer {self.token}"
        connection = self.connection()
        try:
            try:
                connection.connect()
            except OSError as error:
                raise NoConnection(
                    f"no server answers at {self.url} ({error}); `graphengine serve` starts one"
                ) from error
            try:
                connection.request(method, to, body, sent)
                answer = connection.getresponse()
                with answer:
                    if refused and not 200 <= answer.status < 300:
                        raise self.refusal(answer.status, problem_document(answer))
                    yield answer
            except (OSError, http.client.HTTPException) as error:
                raise Unreachable(
                    f"the connection to {self.url} was lost before the server had answered: "
                    f"{error or type(error).__name__}"
                ) from error
        finally:
            connection.close()

    def connection(self) -> http.client.HTTPConnection:
        """A connection that is not open yet."""
        if not self.secure:
            return http.client.HTTPConnection(self.host, self.port, timeout=self.timeout)
        context = ssl.create_default_context()
        return http.client.HTTPSConnection(self.host, self.port, timeout=self.timeout, context=context)

    def refusal(self, status: int, document: Mapping[str, Any]) -> GraphEngineError:
        """The error that the server means."""
        text = str(document.get("detail") or document.get("title") or "")
        kind, problems = str(document.get("type") or "about:blank"), document.get("problems")
        if status == 401:
            shown = "takes another token than this one" if self.token else "wants a token"
            return ServerError(
                f"the server at {self.url} {shown}; it prints a link with the right one when it starts: give "
                "that link as the address, or set GRAPHENGINE_TOKEN"
            )
        if isinstance(problems, list) and problems:
            found = [problem_of(each) for each in problems]
            workflow = kind in ("about:blank", "/problems/invalid-workflow")
            return WorkflowError(found) if workflow else OverLimit("; ".join(map(str, found)))
        if kind == "/problems/store":
            return StoreError(text)
        if status in KINDS and text:
            return KINDS[status](text)
        return ServerError(text or f"the server at {self.url} answered with {status} and no reason")


class NoConnection(Unreachable):
    """Nothing was sent, because nobody is there."""


KINDS: dict[int, type[GraphEngineError]] = {
    404: NotFound,
    409: Conflict,
    412: Conflict,
    413: OverLimit,
    422: OverLimit,
    429: OverLimit,
    503: Unavailable,
}
"""What a status means; 422 without problems of a workflow is a value that is out of range."""


def problem_of(data: Any) -> Problem:
    """One of the problems in an answer."""
    if not isinstance(data, Mapping):
        return Problem("", "", str(data))
    return Problem(*(str(data.get(name) or "") for name in Problem._fields))


def problem_document(answer: http.client.HTTPResponse) -> Mapping[str, Any]:
    """What a refusal says of itself; nothing where that is no JSON, as from a proxy in between."""
    try:
        found = json.loads(answer.read(1 << 20))
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def read(answer: http.client.HTTPResponse) -> Any:
    """The JSON of an answer. ServerError where it is none: something else listens there."""
    data = answer.read()
    if not data:
        return None
    try:
        return json.loads(data)
    except ValueError:
        raise ServerError("what answered is no GraphEngine server: its answer is no JSON") from None


def as_json(data: Any) -> bytes:
    """What is sent. GraphEngineError for values that JSON has not."""
    try:
        return json.dumps(data, allow_nan=False).encode()
    except (TypeError, ValueError) as error:
        raise GraphEngineError(f"only plain JSON values can be sent to a server: {error}") from None


def part(text: str) -> str:
    """An id or a name as one part of a path."""
    return quote(text, safe="") or "-"
