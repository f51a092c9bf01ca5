"""What a client says of servers that are not there, refuse it, or are something else."""

from __future__ import annotations

import socket
import threading
from pathlib import Path
from typing import Any

import pytest

from graphengine.client import Client
from graphengine.config import Settings
from graphengine.connection import Connection
from graphengine.errors import (
    Conflict,
    GraphEngineError,
    NotFound,
    OverLimit,
    ServerError,
    StoreError,
    Unavailable,
    Unreachable,
    WorkflowError,
)


def test_nobody_there_is_told_with_the_remedy(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    with pytest.raises(
        Unreachable, match=rf"no server answers at http://127.0.0.1:{port} .*graphengine serve"
    ):
        Client(f"http://127.0.0.1:{port}").queue()
    with pytest.raises(Unreachable, match="no server runs on this machine"):
        Client(settings=Settings(data=tmp_path))


@pytest.mark.parametrize("url", ["ftp://x", "localhost:8420", "http://", "http://a:b"])
def test_an_address_that_is_none_is_told(url: str) -> None:
    with pytest.raises(Unreachable, match="is no address of a server"):
        Client(url)


@pytest.mark.parametrize(
    ("status", "document", "kind", "text"),
    [
        (404, {"detail": "no job"}, NotFound, "no job"),
        (409, {"detail": "is done"}, Conflict, "is done"),
        (412, {"title": "changed"}, Conflict, "changed"),
        (413, {"detail": "8 MiB at most"}, OverLimit, "8 MiB at most"),
        (422, {"detail": "too high"}, OverLimit, "too high"),
        (422, {"problems": [{"node": "a", "input": "b", "text": "c"}]}, WorkflowError, "a.b: c"),
        (422, {"problems": ["odd"]}, WorkflowError, "odd"),
        (
            422,
            {"type": "/problems/invalid-body", "problems": [{"input": "priority", "text": "is too high"}]},
            OverLimit,
            "priority: is too high",
        ),
        (503, {"type": "/problems/store", "detail": "ask again"}, StoreError, "ask again"),
        (429, {"detail": "100 wait"}, OverLimit, "100 wait"),
        (503, {"detail": "no worker"}, Unavailable, "no worker"),
        (403, {"detail": "this Host is not served"}, ServerError, "this Host is not served"),
        (500, {}, ServerError, "answered with 500 and no reason"),
        (302, {}, ServerError, "answered with 302"),
        (404, {}, ServerError, "answered with 404"),
    ],
)
def test_a_refusal_is_raised_as_the_engines_own_error(
    status: int, document: dict[str, Any], kind: type[Exception], text: str
) -> None:
    error = Connection("http://here:1").refusal(status, document)
    assert type(error) is kind
    assert text in str(error)


@pytest.mark.parametrize(
    ("said", "text"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nhttp", "its answer is no JSON"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n[]", "is no GraphEngine server"),
        (
            b"HTTP/1.1 302 Found\r\nLocation: http://elsewhere\r\nContent-Length: 0\r\n\r\n",
            "answered with 302",
        ),
        (b"SSH-2.0-OpenSSH\r\n", "was lost before"),
    ],
)
def test_another_program_that_answers_is_not_taken_for_a_server(
    said: bytes, text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("graphengine.connection.PAUSES", ())
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def answer() -> None:
            connection, _ = listening.accept()
            with connection:
                connection.recv(65536)
                connection.sendall(said)

        thread = threading.Thread(target=answer)
        thread.start()
        with pytest.raises(ServerError, match=text):
            Client(f"http://127.0.0.1:{listening.getsockname()[1]}", timeout=5).queue()
        thread.join()


def test_a_server_below_a_path_is_asked_below_it(monkeypatch: pytest.MonkeyPatch) -> None:
    connection = Connection("https://user:word@paint.example/engine/")
    assert connection.url == "https://paint.example/engine"
    assert connection.secure
    assert connection.connection().host == "paint.example"


def test_errors_of_a_server_are_errors_of_the_engine() -> None:
    assert issubclass(Unreachable, ServerError)
    assert issubclass(ServerError, GraphEngineError)
    assert not issubclass(ServerError, StoreError)
