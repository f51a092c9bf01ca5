"""The command line as users meet it, in a folder of the test's own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from served import TOKEN, Served

from graphengine.cli import main


class Done(NamedTuple):
    """How a command ended, and the seconds of processor time that it took with its children."""

    status: int
    out: str
    err: str
    cpu: float = 0.0


Command = Callable[..., Done]


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One cache for all, so that packs are loaded once."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def graphengine(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Command:
    """Run `graphengine` in the test's own folder, in this process, which has torch already."""
    monkeypatch.setenv("GRAPHENGINE_CACHE", str(cache))
    monkeypatch.chdir(tmp_path)

    def run(*words: str) -> Done:
        monkeypatch.setattr(sys, "argv", ["graphengine", *words])
        with pytest.raises(SystemExit) as end:
            main()
        out, err = capsys.readouterr()
        return Done(int(end.value.code or 0), out, err)

    return run


@pytest.fixture
def process(cache: Path, tmp_path: Path) -> Command:
    """Run `graphengine` in a process of its own; keyword arguments are environment variables."""

    def run(*words: str, **environment: str) -> Done:
        before = os.times()
        done = subprocess.run(
            [sys.executable, "-m", "graphengine", *words],
            cwd=tmp_path,
            env=os.environ | {"GRAPHENGINE_CACHE": str(cache)} | environment,
            capture_output=True,
            encoding="utf-8",
            timeout=120,
            check=False,
        )
        after = os.times()
        cpu = after.children_user - before.children_user + after.children_system - before.children_system
        return Done(done.returncode, done.stdout, done.stderr, cpu)

    return run


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., str]:
    """Write a workflow file of these nodes; gives its name."""

    def write(nodes: dict[str, Any], name: str = "workflow.json", **fields: Any) -> str:
        (tmp_path / name).write_text(json.dumps({"format": 1, "nodes": nodes, **fields}))
        return name

    return write


def link(name: str) -> dict[str, str]:
    """An input that comes from another node."""
    return {"link": name}


SUM = {
    "one": {"type": "number.add", "inputs": {"first": 1, "second": 2}},
    "two": {"type": "number.multiply", "inputs": {"first": link("one.value"), "second": 10}},
    "word": {"type": "text.value", "inputs": {"text": "hello"}},
}
"""(1 + 2) * 10, and a text beside it."""


@pytest.fixture
def sum_file(write: Callable[..., str]) -> str:
    """The file of `SUM`, with names for its inputs and outputs."""
    return write(
        SUM,
        "sum.json",
        inputs={"first": "one.first", "factor": "two.second", "word": "word.text"},
        outputs={"result": "two.value", "word": "word.value"},
    )


@pytest.fixture
def client(served: Served, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A client of that server, which the environment names for commands too."""
    from graphengine.client import Client

    monkeypatch.setenv("GRAPHENGINE_URL", served.url)
    monkeypatch.setenv("GRAPHENGINE_TOKEN", TOKEN)
    found = Client()
    yield found
    for job in found.queue()["waiting"]:
        found.cancel(job)
    found.resume()
