"""A server in a process of its own, with a worker, and a door in front of it that a test can slam.

`Served.fail(route, how)` lets the next request of a route fail once: "deaf" closes the connection before
anything was done, "mute" after it, "cut" in the middle of the answer.
"""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from time import monotonic, sleep
from typing import Any
from urllib.parse import urlsplit

from graphengine.client import Client

TOKEN = "the-token-of-these-tests"
HOP = {"host", "connection", "transfer-encoding", "keep-alive"}
"""Headers that are about one connection."""


class Served:
    """The server's address through the door, its data folder, and what it was asked."""

    def __init__(self, url: str, data: Path) -> None:
        self.behind, self.data = url, data
        self.failures: list[tuple[str, str]] = []
        self.asked: list[str] = []
        """Each request: its method and its path."""
        self.open()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def open(self, port: int = 0) -> None:
        """Let clients in."""
        self.http = ThreadingHTTPServer(("127.0.0.1", port), type("D", (Door,), {"served": self}))
        self.http.daemon_threads = True
        self.port = self.http.server_address[1]
        self.closing = False
        self.thread = threading.Thread(target=self.http.serve_forever, args=(0.01,))
        self.thread.start()

    def close(self) -> None:
        """Let nobody in, and end the streams."""
        self.closing = True
        self.http.shutdown()
        self.http.server_close()
        self.thread.join()

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


class Door(BaseHTTPRequestHandler):
    """One request of a client, handed on to the server."""

    served: Served

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""

    def do_GET(self) -> None:
        served = self.served
        route = f"{self.command} {urlsplit(self.path).path}"
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        served.asked.append(route)
        how = served.failing(route)
        if how == "deaf":
            return self.hang_up()
        there = urlsplit(served.behind)
        connection = http.client.HTTPConnection(str(there.hostname), there.port, timeout=60)
        headers = {name: value for name, value in self.headers.items() if name.lower() not in HOP}
        try:
            connection.request(self.command, self.path, body or None, headers)
            with connection.getresponse() as answer, suppress(ConnectionError):
                if how == "mute":
                    answer.read()
                    return self.hang_up()
                self.hand_over(answer, how)
        finally:
            connection.close()

    do_POST = do_PATCH = do_DELETE = do_GET

    def hand_over(self, answer: http.client.HTTPResponse, how: str) -> None:
        """The answer, or half of it; of a stream two events."""
        self.send_response(answer.status)
        for name, value in answer.getheaders():
            if name.lower() not in HOP:
                self.send_header(name, value)
        self.end_headers()
        if not str(answer.headers["Content-Type"]).startswith("text/event-stream"):
            content = answer.read()
            self.wfile.write(content[: len(content) // 2] if how == "cut" else content)
            return self.hang_up() if how == "cut" else None
        told = 0
        threading.Thread(target=self.watch, args=(answer,), daemon=True).start()
        with suppress(OSError, http.client.HTTPException, ValueError, AttributeError):  # closed by `watch`
            for line in answer:
                self.wfile.write(line)
                told += line.startswith(b"data:")
                if how == "cut" and told == 2 and line == b"\n":
                    break
        self.hang_up()

    def watch(self, answer: http.client.HTTPResponse) -> None:
        """End a stream when the door closes."""
        while not self.served.closing and not answer.isclosed():
            sleep(0.02)
        with suppress(OSError):
            self.connection.shutdown(socket.SHUT_RDWR)

    def hang_up(self) -> None:
        """Close the connection at once."""
        self.close_connection = True
        with suppress(OSError):
            self.connection.shutdown(socket.SHUT_RDWR)


@contextmanager
def serving(folder: Path, cache: Path) -> Iterator[Served]:
    """`graphengine serve` on a free port, ready for jobs, and its door."""
    data = folder / "data"
    environment = {name: value for name, value in os.environ.items() if not name.startswith("GRAPHENGINE_")}
    environment |= {"GRAPHENGINE_CACHE": str(cache), "GRAPHENGINE_TOKEN": TOKEN, "OMP_NUM_THREADS": "1"}
    environment |= {"GRAPHENGINE_JOBS_PER_CLIENT": "1000"}
    command = [sys.executable, "-m", "graphengine", "serve", "--port", "0", "--data", str(data)]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen([*command, "--device", "cpu"], env=environment, stdout=log, stderr=log)
    try:
        note = data / "server.json"
        wait(note.is_file, process, folder / "log")
        url = json.loads(note.read_text())["url"]
        client = Client(url, TOKEN)
        wait(lambda: client.health()["ready"], process, folder / "log")
        served = Served(url, data)
        try:
            yield served
        finally:
            served.close()
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(60)


def wait(true: Any, process: subprocess.Popen[bytes], log: Path) -> None:
    """Wait until something is true of a server that is starting."""
    until = monotonic() + 120
    while not true():
        assert process.poll() is None, log.read_text()
        assert monotonic() < until, log.read_text()
        sleep(0.05)
