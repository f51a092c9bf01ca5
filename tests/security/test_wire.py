"""The wire: requests that two programs would read differently, slow clients, and what answers hold."""

from __future__ import annotations

import json
import logging
import socket
import time

import pytest
from listening import FLOW, LIMITS, TOKEN, Live

AUTH = f"Host: localhost\r\nAuthorization: Bearer {TOKEN}\r\n"
GET = f"GET /api/queue HTTP/1.1\r\n{AUTH}\r\n"
BODY = json.dumps({"workflow": FLOW})


def post(headers: str, body: str = "") -> bytes:
    return f"POST /api/check HTTP/1.1\r\n{AUTH}Content-Type: application/json\r\n{headers}\r\n{body}".encode()


SMUGGLED = [
    ("a length and chunks", post("Content-Length: 4\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n" + GET)),
    ("chunks and a length", post("Transfer-Encoding: chunked\r\nContent-Length: 4\r\n", "0\r\n\r\n" + GET)),
    ("two lengths", post("Content-Length: 2\r\nContent-Length: 3\r\n", "{}" + GET)),
    ("two lengths in one", post("Content-Length: 2, 3\r\n", "{}" + GET)),
    ("a length with a sign", post("Content-Length: +2\r\n", "{}" + GET)),
    ("a length below nothing", post("Content-Length: -1\r\n", "{}" + GET)),
    ("a length in hexadecimal", post("Content-Length: 0x2\r\n", "{}" + GET)),
    ("a length with an underscore", post("Content-Length: 0_2\r\n", "{}" + GET)),
    ("a length in other digits", post("Content-Length: ²\r\n", "{}" + GET)),
    ("chunks of another kind", post("Transfer-Encoding: xchunked\r\n", "0\r\n\r\n" + GET)),
    ("chunks twice", post("Transfer-Encoding: chunked, chunked\r\n", "0\r\n\r\n" + GET)),
    ("chunks and nothing", post("Transfer-Encoding: chunked, identity\r\n", "0\r\n\r\n" + GET)),
    ("chunks behind a tab", post("Transfer-Encoding:\x0bchunked\r\n", "0\r\n\r\n" + GET)),
    ("a space before the colon", post("Transfer-Encoding : chunked\r\n", "0\r\n\r\n" + GET)),
    ("a header that goes on", post("Transfer-Encoding:\r\n chunked\r\n", "0\r\n\r\n" + GET)),
    ("chunk sizes that are none", post("Transfer-Encoding: chunked\r\n", "zz\r\n{}\r\n0\r\n\r\n" + GET)),
    ("chunk sizes with a sign", post("Transfer-Encoding: chunked\r\n", "-2\r\n{}\r\n0\r\n\r\n" + GET)),
    ("chunk sizes with a prefix", post("Transfer-Encoding: chunked\r\n", "0x2\r\n{}\r\n0\r\n\r\n" + GET)),
    ("a chunk that is longer", post("Transfer-Encoding: chunked\r\n", "2\r\n{}{}\r\n0\r\n\r\n" + GET)),
    ("a NUL in a header", post("X: a\0b\r\nContent-Length: 2\r\n", "{}")),
    ("a return in a header", post("X: a\rb\r\nContent-Length: 2\r\n", "{}")),
    ("a name with a space", post("X Y: a\r\nContent-Length: 2\r\n", "{}")),
    ("a line without a colon", post("nonsense\r\nContent-Length: 2\r\n", "{}")),
    ("two names of a host", f"GET /api/queue HTTP/1.1\r\nHost: evil.example\r\n{AUTH}\r\n".encode()),
    ("two types", post("Content-Type: text/plain\r\nContent-Length: 2\r\n", "{}")),
    ("two origins", f"GET / HTTP/1.1\r\n{AUTH}Origin: http://localhost\r\nOrigin: null\r\n\r\n".encode()),
    ("a version that is none", f"GET /api/queue HTTP/9.9\r\n{AUTH}\r\n".encode()),
    ("no version", f"GET /api/queue\r\n{AUTH}\r\n".encode()),
    ("another protocol", b"SSH-2.0-OpenSSH_9.0\r\n\r\n"),
    ("TLS", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\0" * 200 + b"\r\n\r\n"),
    ("a preface of HTTP/2", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
    ("bytes", bytes(range(256)) + b"\r\n\r\n"),
]  # fmt: skip


@pytest.mark.parametrize("data", [row[1] for row in SMUGGLED], ids=[row[0] for row in SMUGGLED])
def test_what_may_be_read_in_two_ways_is_not_read(live, data):
    answer = live.raw(data, 4)
    assert answer[:13] in (b"HTTP/0.9 400 ", b"HTTP/1.0 400 ", b"HTTP/1.1 400 "), answer[:400]
    assert answer.count(b"\r\nContent-Type: ") == 1  # what was hidden behind it was not answered
    assert b"paused" not in answer
    assert b"Traceback" not in answer
    assert live.raw(post(f"Content-Length: {len(BODY)}\r\n", BODY), 0.5).startswith(b"HTTP/1.1 200 ")


def test_requests_one_after_the_other_are_answered_in_their_order(live):
    answer = live.raw((GET + GET.replace("/api/queue", "/health/live")).encode(), 0.7)
    assert answer.count(b"HTTP/1.1 200 OK") == 2
    assert answer.index(b'"paused"') < answer.index(b'"alive"')


def test_every_answer_has_the_headers_that_keep_a_browser_safe(live):
    for path, token in (("/", True), ("/api/queue", True), ("/api/queue", False), ("/nothing", True),
                        ("/api/openapi.json", True), ("/health/live", False), ("/metrics", True),
                        (f"/?token={TOKEN}", False), ("/?token=wrong", False)):  # fmt: skip
        headers = live.ask("GET", path, token=token).headers
        assert headers["X-Content-Type-Options"] == "nosniff", path
        assert headers["Referrer-Policy"] == "no-referrer"
        assert headers["Cross-Origin-Opener-Policy"] == "same-origin"
        assert headers["Cross-Origin-Resource-Policy"] == "same-origin"
        assert headers["Cache-Control"] in ("no-store", "no-cache")  # the editor's page is asked for anew
        policy = headers["Content-Security-Policy"]
        for rule in ("default-src 'self'", "frame-ancestors 'none'", "base-uri 'none'", "form-action 'self'"):
            assert rule in policy, path
        assert "unsafe-eval" not in policy
        assert "script-src" not in policy
        assert not {"server", "x-powered-by", "access-control-allow-origin"} & set(headers)
    for data in (b"\0\0\r\n\r\n", GET.replace("localhost", "evil.example").encode()):
        answer = live.raw(data, 1).lower()
        assert b"server:" not in answer
        assert b"python" not in answer
        assert b"nosniff" in answer


@pytest.fixture(scope="module")
def quick(tmp_path_factory):
    """A server with little patience."""
    few = {"head_seconds": 0.6, "body_seconds": 0.6, "body_rate": 1e6, "idle_seconds": 1.0,
           "stall_seconds": 0.6, "connections": 8}  # fmt: skip
    with Live(tmp_path_factory.mktemp("quick"), LIMITS.model_copy(update=few)) as live:
        yield live


def trickle(live: Live, first: bytes, each: bytes, seconds: float = 8) -> tuple[bytes, float]:
    """Send byte by byte until the server ends it; gives what it said, and after how long."""
    with socket.create_connection(("127.0.0.1", live.port), timeout=0.05) as wire:
        wire.sendall(first)
        found, begun = b"", time.monotonic()
        while time.monotonic() - begun < seconds:
            try:
                wire.sendall(each)
                if not (part := wire.recv(65536)):
                    return found, time.monotonic() - begun
                found += part
            except TimeoutError:
                continue
            except ConnectionError:
                return found, time.monotonic() - begun
    raise AssertionError("the server waits for ever")


@pytest.mark.parametrize(
    ("first", "each"),
    [
        (b"G", b"E"),
        (b"GET /api/queue HTTP/1.1\r\n", b"a"),
        (b"GET /api/queue HTTP/1.1\r\n", b"X: y\r\n"),
        (b"", b""),
        (b"\r\n", b"\r\n"),
    ],
)
def test_a_head_that_comes_byte_by_byte_is_not_waited_for(quick, first, each):
    said, seconds = trickle(quick, first, each)
    assert seconds < 5
    assert b"200" not in said
    assert quick.ask("GET", "/api/queue").status == 200


def test_a_second_head_on_the_same_connection_is_not_waited_for(quick):
    said, seconds = trickle(quick, GET.encode() + b"GET /", b"a")
    assert said.count(b"HTTP/1.1 200 OK") == 1
    assert seconds < 5


def test_a_body_that_comes_byte_by_byte_is_told_so(quick):
    for head in (post("Content-Length: 1000\r\n"), post("Transfer-Encoding: chunked\r\n")):
        each = b" " if b"Length" in head else b"1\r\n \r\n"
        said, seconds = trickle(quick, head, each)
        assert said.startswith(b"HTTP/1.1 408 "), said
        assert b'"body_seconds"' in said
        assert seconds < 6
    assert quick.ask("POST", "/api/check", {"workflow": FLOW}).status == 200


def test_a_connection_that_is_idle_ends(quick):
    with socket.create_connection(("127.0.0.1", quick.port), timeout=5) as wire:
        wire.sendall(GET.encode())
        assert wire.recv(65536).startswith(b"HTTP/1.1 200 ")
        assert wire.recv(65536) == b""


def test_a_client_that_reads_nothing_of_its_answer_is_given_up(quick):
    wire = socket.socket()
    wire.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    wire.connect(("127.0.0.1", quick.port))
    ask = GET.replace("/api/queue", "/api/nodes").encode()
    wire.sendall(ask * 100)
    quick.until(lambda: any(size for size, _ in quick.running.door.open.values()))
    quick.until(lambda: not any(size for size, _ in quick.running.door.open.values()), 15)
    wire.close()
    assert quick.ask("GET", "/api/queue").status == 200


def test_so_many_connections_are_open_and_no_more(quick):
    quick.until(lambda: not quick.running.door.open)
    wires = [socket.create_connection(("127.0.0.1", quick.port), timeout=5) for _ in range(8)]
    quick.until(lambda: len(quick.running.door.open) == 8, 0.5)
    with socket.create_connection(("127.0.0.1", quick.port), timeout=5) as late:
        assert late.recv(65536).startswith(b"HTTP/1.1 503 ")
    for wire in wires:
        wire.close()
    quick.until(lambda: not quick.running.door.open)
    assert quick.ask("GET", "/api/queue").status == 200


def test_a_client_that_goes_away_in_the_middle_harms_nothing(live, caplog):
    caplog.set_level(logging.WARNING)
    for data in (post("Content-Length: 1000\r\n", "{"), GET.encode()[:20], GET.encode(),
                 post("Transfer-Encoding: chunked\r\n", "5\r\n{")):  # fmt: skip
        for reset in (False, True):
            wire = socket.create_connection(("127.0.0.1", live.port))
            wire.sendall(data)
            if reset:
                wire.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            wire.close()
    assert live.ask("POST", "/api/check", {"workflow": FLOW}).status == 200
    assert [r.getMessage() for r in caplog.records if "has failed" in r.getMessage()] == []


def test_the_log_holds_no_token(tmp_path):
    from graphengine.server import log
    from graphengine.server.veil import Veil

    handlers = log.start(tmp_path, Veil([], [TOKEN]))
    try:
        with Live(tmp_path / "live") as live:
            live.ask("GET", f"/?token={TOKEN}", token=False)
            live.ask("GET", f"/{TOKEN}")
            live.ask("GET", "/api/queue", headers={"Cookie": f"graphengine-{live.port}={TOKEN}"})
            live.raw(f"GET /?token={TOKEN} HTTP/1.1\r\nHost: {'x' * 9999}\r\n\r\n".encode(), 1)
    finally:
        log.stop(handlers)
    text = (tmp_path / "server.log").read_text()
    rows = [json.loads(line) for line in text.splitlines()]
    assert len([row for row in rows if row["message"] == "request"]) == 3
    assert TOKEN not in text
    assert "[hidden]" in text
