"""A real server for the browser: `graphengine serve` in a process of its own, which a test may kill."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from typing import Any

TOKEN = "a-token-of-these-tests"
ROOT = Path(__file__).parent.parent.parent


class Server:
    """One server on a port of its own, with its data in a folder; `options` are those of the command."""

    def __init__(self, folder: Path, cache: Path, *options: str) -> None:
        self.folder, self.cache, self.options = folder, cache, options
        self.port = 0
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Where it is."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def link(self) -> str:
        """What a person opens first."""
        return f"{self.url}/?token={TOKEN}"

    def start(self, seconds: float = 120) -> None:
        """Start it, on the port that it had before; returns when a worker is ready."""
        environment = {
            **os.environ,
            "GRAPHENGINE_TOKEN": TOKEN,
            "GRAPHENGINE_DATA": str(self.folder / "data"),
            "GRAPHENGINE_CACHE": str(self.cache),
            "GRAPHENGINE_OUTPUTS": str(self.folder / "out"),
            "GRAPHENGINE_DEVICE": "cpu",
        }
        command = [sys.executable, "-m", "graphengine", "serve", "--port", str(self.port), *self.options]
        with (self.folder / "server.log").open("ab") as log:
            self.process = subprocess.Popen(
                command, env=environment, stdout=log, stderr=log, cwd=ROOT, start_new_session=True
            )
        end = time.monotonic() + seconds
        note = self.folder / "data/server.json"
        while time.monotonic() < end:
            if self.process.poll() is not None:
                break
            try:
                told = json.loads(note.read_text())
                self.port = int(told["url"].rpartition(":")[2])
                if told["pid"] == self.process.pid and self.get("/health/ready")["ready"]:
                    return
            except (OSError, ValueError, KeyError):
                pass
            time.sleep(0.05)
        raise AssertionError(f"the server did not start:\n{(self.folder / 'server.log').read_text()[-4000:]}")

    def get(self, path: str) -> Any:
        """The JSON at an address."""
        return self.ask("GET", path)

    def ask(self, method: str, path: str, body: Any = None, **headers: str) -> Any:
        """One request of the API."""
        text, _ = self.answer(method, path, body, **headers)
        return json.loads(text) if text else None

    def etag(self, name: str) -> str:
        """The version of a saved workflow."""
        return self.answer("GET", f"/api/workflows/{name}")[1]

    def answer(self, method: str, path: str, body: Any = None, **headers: str) -> tuple[bytes, str]:
        """The text of an answer, and its ETag."""
        data = None if body is None else json.dumps(body).encode()
        headers = {"Authorization": f"Bearer {TOKEN}", "Content-Type": "application/json", **headers}
        request = urllib.request.Request(f"{self.url}{path}", data, headers, method=method)
        with urllib.request.urlopen(request, timeout=60) as answer:
            return answer.read(), answer.headers.get("ETag", "")

    def jobs(self, *states: str) -> list[dict[str, Any]]:
        """Its jobs, newest first."""
        query = "".join(f"&state={state}" for state in states)
        found: list[dict[str, Any]] = self.get(f"/api/jobs?limit=100{query}")["jobs"]
        return found

    def idle(self, seconds: float = 120) -> None:
        """Wait until nothing runs and nothing waits."""
        end = time.monotonic() + seconds
        while self.jobs("queued", "running"):
            assert time.monotonic() < end, (
                f"after {seconds} s there is still {self.jobs('queued', 'running')}"
            )
            time.sleep(0.1)

    def kill(self) -> None:
        """As the kernel would when memory is short: the server and its workers, at once."""
        if self.process is not None and self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()

    def stop(self) -> None:
        """End it in order."""
        if self.process is not None and self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(30)
            except subprocess.TimeoutExpired:
                self.kill()
