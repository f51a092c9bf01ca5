"""What the README says is so: its commands, programs, files and names."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from served import TOKEN

from graphengine import resources
from graphengine.cli import app, main
from graphengine.client import Client
from graphengine.config import Settings
from graphengine.drawing.svg import svg
from graphengine.server.limits import Limits
from graphengine.session import Session
from graphengine.workflow import Workflow

ROOT = Path(__file__).parent.parent
PAGES = {name: (ROOT / name).read_text("utf-8") for name in ("README.md", "workflows/README.md")}
README = PAGES["README.md"]


def blocks(language: str, page: str = README) -> list[str]:
    """The fenced blocks of a page that are in a language."""
    return re.findall(rf"^```{language}\n(.*?)^```$", page, re.DOTALL | re.MULTILINE)


COMMANDS = [line for page in PAGES.values() for block in blocks("sh", page) for line in block.splitlines()]


JOB = "4f1c09ae"
"""The id that stands for any job."""
SPOKEN = ("submit", "jobs", "queue", "logs", "fetch", "cancel", "retry")
"""The commands that speak to a server."""


@pytest.fixture
def any_job(served, monkeypatch):
    """The id of a job that a command can do something with, on a server that commands find."""
    monkeypatch.setenv("GRAPHENGINE_URL", served.url)
    monkeypatch.setenv("GRAPHENGINE_TOKEN", TOKEN)
    monkeypatch.setenv("GRAPHENGINE_DATA", str(served.data))
    client = Client()

    def made(command):
        client.pause() if command in ("queue", "cancel", "retry") else client.resume()
        nodes = {"red": {"type": "image.solid", "inputs": {"width": 8, "height": 8}},
                 "save": {"type": "image.save", "inputs": {"image": {"link": "red.image"}}}}  # fmt: skip
        job = client.submit({"format": 1, "nodes": nodes})
        if command == "retry":
            client.cancel(job)
        elif command != "cancel" and command != "queue":
            client.wait(job)
        return job["id"]

    yield made
    client.resume()


@pytest.mark.parametrize("line", COMMANDS)
def test_a_command_is_understood_and_the_workflow_is_there(line, tmp_path, monkeypatch, request):
    program, *words = shlex.split(line)
    if program == "make":
        subprocess.run(["make", "-n", *words], cwd=ROOT, check=True, capture_output=True)
        return
    assert program == "graphengine"
    if words[0] == "serve":
        words.append("--help")  # tests/cli/test_serve.py runs it
    if words[0] == "run" and "--dry-run" not in words:
        words.append("--dry-run")
    if words[0] in (*SPOKEN, "backup"):
        job = request.getfixturevalue("any_job")(words[0])
        words = [job if word == JOB else word for word in words]
    if words[0] == "serve":  # for ever
        words.append("--help")
    if words[0] == "submit":
        words += ["--set", "steps=1"]
    (tmp_path / "workflows").symlink_to(ROOT / "workflows")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GRAPHENGINE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(sys, "argv", [program, *words])
    with pytest.raises(SystemExit) as end:
        main()
    assert end.value.code in ((1,) if words[0] == "diff" else (0, None))


def test_every_command_and_setting_is_in_the_readme():
    shown = {shlex.split(line)[1] for line in COMMANDS if line.startswith("graphengine ")}
    commands = {
        command.callback.__name__.replace("_", "-") for command in app.registered_commands if command.callback
    }
    assert shown == commands | {group.typer_instance.info.name for group in app.registered_groups}
    told = set(re.findall(r"GRAPHENGINE_\w+", README))
    limits = told & {f"GRAPHENGINE_LIMIT_{name.upper()}" for name in Limits.model_fields}
    assert limits
    assert told - limits == {f"GRAPHENGINE_{name.upper()}" for name in Settings.model_fields}


def test_the_library_example_prints_what_it_says(tmp_path):
    program = blocks("python")[0]
    environment = os.environ | {"GRAPHENGINE_CACHE": str(tmp_path / "cache"), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=True)
    said = re.search(r"# (torch\.Size\(.*?\))", program)
    assert said is not None
    assert done.stdout.strip() == said[1]
    assert len(list((tmp_path / "outputs").glob("*.png"))) == 1


def test_the_node_example_is_a_pack_with_that_node(tmp_path):
    package = tmp_path / "my_pack"
    package.mkdir()
    (package / "__init__.py").write_text(blocks("python")[1])
    info = tmp_path / "my_pack-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: my_pack\nVersion: 1.0\n")
    entry = blocks("toml")[0].replace('[project.entry-points."graphengine.packs"]', "[graphengine.packs]")
    (info / "entry_points.txt").write_text(entry.replace('"', ""))
    environment = os.environ | {"GRAPHENGINE_CACHE": str(tmp_path / "cache"), "PYTHONPATH": str(tmp_path)}
    command = [sys.executable, "-m", "graphengine", "nodes", "my_pack.negative"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert "Swap dark and light." in done.stdout


def test_the_file_example_runs(tmp_path):
    workflow = Workflow.parse(blocks("json")[0])
    outcome = Session(Settings(cache=tmp_path)).run(workflow)
    assert outcome.outputs == {"result": 1024.0}


@pytest.mark.parametrize("name", PAGES)
def test_a_link_leads_to_a_file(name):
    for target in re.findall(r"\]\(([^)]+)\)", PAGES[name]):
        if target.startswith("#"):
            assert f"## {target.removeprefix('#')}\n" in PAGES[name], target
            continue
        assert target.startswith("https://") or (ROOT / name).parent.joinpath(target).exists(), target


def test_the_map_names_folders_that_are_there():
    named = re.findall(r"^\| `([\w/]+)/` \|", README, re.MULTILINE)
    assert named
    for folder in named:
        assert (ROOT / folder).is_dir(), folder


def test_every_shipped_workflow_is_in_both_galleries():
    assert sorted(re.findall(r"^\| `(\w+)` \|", README, re.MULTILINE)) == resources.workflow_names()
    assert (
        sorted(re.findall(r"^## (\w+)$", PAGES["workflows/README.md"], re.MULTILINE))
        == resources.workflow_names()
    )


@pytest.mark.parametrize("picture", sorted((ROOT / "workflows").glob("*.svg")), ids=lambda path: path.stem)
def test_a_drawn_workflow_is_the_one_that_is_shipped(picture, tmp_path):
    """`graphengine graph NAME --out workflows/NAME.svg` draws it anew."""
    manifest = Session(Settings(cache=tmp_path)).manifest
    drawn = svg(Workflow.load(picture.with_suffix(".json")), manifest.types, manifest.wires)
    assert drawn.strip() == picture.read_text("utf-8").strip()
