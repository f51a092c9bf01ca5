"""`graphengine serve`: how it begins, who it lets in, what it leaves behind."""

from __future__ import annotations

import json
import os
import re
import signal
import ssl
import stat
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from graphengine.cli.serve import loopback, reached, visit, warn
from graphengine.errors import GraphEngineError

CERTIFICATE = Path(__file__).parent.parent / "server" / "certificate.pem"


class Server:
    """A server in a process of its own."""

    def __init__(self, process: subprocess.Popen[str], link: str) -> None:
        self.process, self.link = process, link
        self.url, _, self.token = link.partition("/?token=")
        self.context = ssl.create_default_context(cafile=str(CERTIFICATE))

    def get(self, path: str) -> Any:
        """What a route gives."""
        request = urllib.request.Request(self.url + path, headers={"Authorization": f"Bearer {self.token}"})
        with urllib.request.urlopen(request, timeout=20, context=self.context) as answer:
            body = answer.read()
            return json.loads(body) if "json" in answer.headers["Content-Type"] else body.decode()

    def end(self, number: int = signal.SIGTERM) -> tuple[int, str]:
        """End it; gives its status, and what it said on the way."""
        self.process.send_signal(number)
        _, err = self.process.communicate(timeout=30)
        return self.process.returncode, err


@pytest.fixture
def start(cache: Path, tmp_path: Path) -> Callable[..., Any]:
    """Start a server with some words; it is ended with the block."""

    @contextmanager
    def started(*words: str, **environment: str) -> Iterator[Server]:
        given = {"GRAPHENGINE_CACHE": str(cache), "OMP_NUM_THREADS": "1"} | environment
        command = [
            sys.executable,
            "-m",
            "graphengine",
            "serve",
            "--port",
            "0",
            "--data",
            str(tmp_path / "data"),
        ]
        process = subprocess.Popen(
            [*command, *words],
            env=os.environ | given,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert process.stdout is not None
        try:
            line = process.stdout.readline()
            found = re.search(r"is at (\S+)", line)
            assert found is not None, line + (process.stderr.read() if process.stderr else "")
            yield Server(process, found[1])
        finally:
            if process.poll() is None:
                process.kill()
            process.communicate()

    return started


def test_a_server_tells_where_it_is_and_leaves_nothing_behind(start, tmp_path):
    note = tmp_path / "data" / "server.json"
    with start() as server:
        assert re.fullmatch(r"http://127\.0\.0\.1:\d+/\?token=[\w-]{43}", server.link)
        assert server.get("/health/live") == {"status": "alive"}
        said = json.loads(note.read_text())
        assert said == {"url": server.url, "token": server.token, "pid": server.process.pid}
        assert stat.S_IMODE(note.stat().st_mode) == 0o600
        assert stat.S_IMODE(note.parent.stat().st_mode) == 0o700
        status, err = server.end()
        assert status == 0
        assert server.token not in err
        assert not note.exists()
        log = (tmp_path / "data" / "logs" / "server.log").read_text()
        assert server.token not in log
        assert '"path": "/health/live"' in log


def test_the_web_process_is_small_and_loads_no_torch(start):
    with start() as server:
        server.get("/api/nodes")
        server.get("/api/workflows")
        maps = Path(f"/proc/{server.process.pid}/maps").read_text()
        assert "libtorch" not in maps
        assert "numpy" not in maps
        assert "_raylet" not in maps
        resident = int(
            re.search(r"VmRSS:\s+(\d+)", Path(f"/proc/{server.process.pid}/status").read_text())[1]
        )
        assert resident < 100 * 1024
        assert server.end(signal.SIGINT)[0] == 0


def test_a_second_server_of_the_same_folder_says_where_the_first_is(start, process, tmp_path):
    with start() as server:
        done = process("serve", "--port", "0", "--data", str(tmp_path / "data"))
        assert done.status == 1
        assert done.err.strip() == (
            f"another server uses the data folder {tmp_path / 'data'} at {server.url} (process "
            f"{server.process.pid}); end that one, or choose another folder with `--data`"
        )
        port = server.url.rpartition(":")[2]
        other = process("serve", "--port", port, "--data", str(tmp_path / "other"))
        assert other.status == 1
        assert f"port {port} of 127.0.0.1 cannot be listened on" in other.err
        server.process.kill()
        server.process.wait()
    with start() as again:  # a lock does not outlive its process, whatever is left in the folder
        assert again.get("/health/live") == {"status": "alive"}


def test_the_token_may_come_from_the_environment_and_is_not_said_twice(start):
    with start(GRAPHENGINE_TOKEN="0123456789abcdef") as server:
        assert server.token == "0123456789abcdef"
        assert server.get("/api/queue")["paused"] is False


def test_a_server_with_a_certificate_speaks_tls(start):
    with start("--certificate", str(CERTIFICATE)) as server:
        assert server.link.startswith("https://127.0.0.1:")
        assert server.get("/api/queue")["paused"] is False
        way = urllib.request.Request(server.link)
        opener = urllib.request.build_opener(NoRedirect, urllib.request.HTTPSHandler(context=server.context))
        with pytest.raises(urllib.error.HTTPError) as redirected:
            opener.open(way, timeout=10)
        assert "Secure" in redirected.value.headers["Set-Cookie"]
        redirected.value.close()


class NoRedirect(urllib.request.HTTPRedirectHandler):
    """Stay where the answer is."""

    def redirect_request(self, *given: Any) -> None:
        return None


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--key", "key.pem"], "--certificate"),
        (["--certificate", "gone.pem"], "cannot be used"),
        (["--allowed-origin", "pictures.example"], "https://pictures.example"),
        (["--allowed-origin", "null"], "is no origin"),
        (["--device", "tpu"], "device"),
        (["--host", "300.1.1.1"], "no address of this machine"),
        (["--host", "0.0.0.0", "--open"], "--allowed-host"),
        (["--data", "/dev/null/data"], "cannot be used"),
        (["--ray-address", "10.0.0.1:6379"], "--executor ray"),
        (["--executor", "ray", "--device", "cpu", "--device", "cpu"], "--workers"),
        (["--executor", "ray", "--ray-address", "127.0.0.1:1"], "no Ray cluster answers at 127.0.0.1:1"),
    ],
)
def test_what_cannot_be_used_is_said_in_a_sentence(graphengine, words, said, tmp_path):
    done = graphengine("serve", "--data", str(tmp_path / "data"), *words)
    assert done.status in (1, 3)
    assert said in done.err
    assert "Traceback" not in done.err


def test_what_it_means_to_be_reached_from_elsewhere_is_said_loudly(capsys):
    warn("127.0.0.1", False, False)
    assert capsys.readouterr().err == ""
    warn("0.0.0.0", False, False)
    assert "other machines can reach it" in capsys.readouterr().err
    warn("localhost", True, False)
    assert "NO TOKEN IS WANTED" in capsys.readouterr().err
    warn("192.168.1.2", True, True)
    assert "EVERY MACHINE" in capsys.readouterr().err
    with pytest.raises(GraphEngineError, match="--allowed-host"):
        warn("::", True, False)


def test_addresses_of_this_machine_are_known():
    assert [loopback(name) for name in ("localhost", "127.0.0.1", "127.9.9.9", "::1", "[::1]")] == [True] * 5
    assert [loopback(name) for name in ("0.0.0.0", "::", "192.168.1.2", "a.example")] == [False] * 4
    assert [reached(name) for name in ("0.0.0.0", "::", "::1", "a.example")] == [
        "127.0.0.1", "[::1]", "[::1]", "a.example"
    ]  # fmt: skip


def test_the_browser_is_opened_if_that_is_wanted(monkeypatch):
    opened: list[str] = []
    monkeypatch.setattr("webbrowser.open", opened.append)
    visit("http://localhost/")
    assert opened == ["http://localhost/"]
