"""`graphengine` itself: help, versions, usage errors, and what it costs to start."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from yardstick import slowness

from graphengine import __version__

COMMANDS = (
    *("run", "validate", "explain", "format", "diff", "nodes", "graph", "schema", "cache"),
    *("submit", "jobs", "logs", "fetch", "cancel", "retry", "queue", "backup", "doctor"),
)


@pytest.mark.parametrize("word", ["--help", "-h"])
def test_help_lists_every_command(process, word):
    done = process(word)
    assert done.status == 0
    for command in COMMANDS:
        assert f"  {command} " in done.out
    assert "Traceback" not in done.err


@pytest.mark.parametrize("command", [c for c in COMMANDS if c != "cache"])
def test_every_command_and_option_is_explained(graphengine, command):
    done = graphengine(command, "--help")
    assert done.status == 0
    lines = done.out.splitlines()
    assert lines[2].strip()  # what the command does
    options = [line for line in lines if line.startswith("  -")]
    assert len(options) > 1
    bare = [line for i, line in enumerate(lines) if line.startswith("  -") and len(line.split("  ")) < 3
            and not lines[i + 1].startswith("      ")]  # fmt: skip
    assert bare == []


def test_the_version_is_printed(graphengine):
    assert graphengine("--version").out == f"graphengine {__version__}\n"


@pytest.mark.parametrize(
    "words",
    [
        ["rnu"],
        ["run"],
        ["run", "--nope", "x"],
        ["run", "a.json", "--seed", "x"],
        ["graph", "a", "--format", "x"],
        [],
    ],
)
def test_a_usage_error_is_told_in_a_sentence_and_ends_with_3(process, words):
    done = process(*words)
    assert done.status == 3
    assert "Usage: graphengine" in done.err
    assert "Traceback" not in done.err
    assert done.out == ""


def test_a_setting_that_cannot_be_used_is_named(process, sum_file):
    done = process("validate", sum_file, GRAPHENGINE_DISK_CACHE="lots")
    assert done.status == 3
    assert "GRAPHENGINE_DISK_CACHE: 'lots' cannot be used" in done.err


def test_help_takes_less_than_a_fifth_of_a_second(process):
    assert min(process("--help").cpu for _ in range(3)) / slowness() < 0.2


def test_validate_takes_less_than_half_a_second(process, sum_file):
    process("validate", sum_file)  # stores the manifest
    assert min(process("validate", sum_file).cpu for _ in range(3)) / slowness() < 0.5


@pytest.mark.parametrize(
    "words",
    [
        ["--help"],
        ["validate", "FILE"],
        ["nodes"],
        ["nodes", "flow.fold"],
        ["graph", "FILE"],
        ["diff", "FILE", "FILE"],
        ["schema"],
        ["cache", "stats"],
        ["submit", "--help"],
        ["queue", "--help"],
    ],
)
def test_only_run_imports_torch(cache: Path, tmp_path: Path, sum_file: str, words: list[str]):
    words = [sum_file if word == "FILE" else word for word in words]
    program = (
        f"import sys; sys.argv = ['graphengine', *{words!r}]\n"
        "from graphengine.cli import main\n"
        "try: main()\n"
        "except SystemExit as end: assert not end.code, end.code\n"
        "loaded = {'torch', 'aiohttp', 'diffusers', 'transformers'} & sys.modules.keys()\n"
        "assert not loaded, loaded\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=tmp_path,
        env=os.environ | {"GRAPHENGINE_CACHE": str(cache)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
