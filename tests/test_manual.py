"""What nodes/README.md says is so: its files load and run, its commands work, its tests pass."""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import sys
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch
from safetensors.torch import save_file
from suites import passed

from graphengine.authoring import Folders
from graphengine.cli import main
from graphengine.config import Settings
from graphengine.environments import environment, make
from graphengine.packs import in_folders
from graphengine.project import read
from graphengine.registry import Manifest
from graphengine.session import Session
from graphengine.testing import Kit, Recorder
from graphengine.workflow import Workflow

PAGE = Path(__file__).parent.parent / "nodes" / "README.md"
TEXT = PAGE.read_text("utf-8")


class Block(NamedTuple):
    """A fenced block, with the file that the sentence before it names last."""

    language: str
    text: str
    file: str


def blocks() -> list[Block]:
    found = []
    for match in re.finditer(r"^```(\w+)\n(.*?)^```$", TEXT, re.DOTALL | re.MULTILINE):
        before = TEXT[: match.start()].rstrip().rpartition("\n\n")[2]
        names = re.findall(r"`([\w./]+\.(?:py|json|toml))`", before)
        found.append(Block(match[1], match[2], names[-1] if names and match[1] != "sh" else ""))
    return found


BLOCKS = blocks()
FILES = {block.file: block.text for block in BLOCKS if block.file}
NAMES = {Path(file).name for file in FILES}
COMMANDS = [line for block in BLOCKS if block.language == "sh" for line in block.text.splitlines()]
PICTURE = torch.rand(2, 4, 4, 3, generator=torch.Generator().manual_seed(0))

CALLS: dict[str, dict[str, Any]] = {
    "glow.glow": {"image": PICTURE},
    "toning.tone": {
        "image": PICTURE,
        "amount": 2,
        "curve": "soft",
        "channels": "red",
        "mask": PICTURE[..., 0],
    },
    "toning.join": {"words": ["a", "b"]},
    "toning.roll": {"seed": 9},
    "measuring.span": {"image": PICTURE},
    "measuring.first": {"items": [1, 2]},
    "measuring.show": {"text": "hello"},
    "patience.dissolve": {"image": PICTURE},
    "patience.write": {"text": "hello"},
    "patience.noise": {},
    "deciding.either": {"first": True, "one": 1, "other": 2},
    "deciding.fold": {"start": 1, "over": [2], "body": max},
    "reading.read": {"path": str(PAGE)},
    "reading.model_title": {"model": "small_one"},
    "curves.load_curve": {"name": "bent"},
    "curves.apply_curve": {"image": PICTURE},
    "palettes.from_image": {"image": PICTURE},
    "palettes.to_image": {},
    "batches.count": {"text": "every letter"},
    "batches.deepen": {"image": PICTURE},
    "ages.double": {},
    "ages.twice": {},
    "sharpness.sharpness": {"image": PICTURE},
}
"""Every node of the manual, with what it is run with here."""


def write(place: Path) -> None:
    """Write the files of the manual into a folder."""
    for name, text in FILES.items():
        (place / name).parent.mkdir(exist_ok=True)
        (place / name).write_text(text)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The files of the manual."""
    place = tmp_path_factory.mktemp("manual")
    write(place)
    return place


@pytest.fixture(scope="module")
def settings(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Settings:
    models = tmp_path_factory.mktemp("models")
    save_file({"curve": torch.linspace(0, 1, 256) ** 2}, models / "bent.safetensors")
    found = Settings(
        cache=tmp_path_factory.mktemp("cache"), data=tmp_path_factory.mktemp("data"), nodes=(folder,),
        models=(models,), device="cpu",
    )  # fmt: skip
    for pack in in_folders(found.nodes, [], found.environments)[0]:
        if pack.isolated:
            project = Path(pack.project)
            make(Path(pack.environment), read(project).dependencies, project)
    return found


@pytest.fixture(scope="module")
def manifest(settings: Settings) -> Manifest:
    return Manifest.of(settings.cache, settings.nodes, settings.environments)


def test_every_block_is_a_file_or_a_command() -> None:
    assert {block.language for block in BLOCKS} == {"python", "json", "toml", "sh"}
    assert all(block.file for block in BLOCKS if block.language != "sh")
    assert len(FILES) == sum(block.language != "sh" for block in BLOCKS)


def test_every_file_loads_and_every_node_is_run_below(manifest: Manifest) -> None:
    assert manifest.problems == ()
    files = {id: f"{id.partition('.')[0]}.py" for id in manifest.types}
    assert {id for id, file in files.items() if file in NAMES} == CALLS.keys()
    assert {files[id] for id in CALLS} == NAMES - {"workflow.json", "test_manual.py", "pyproject.toml"}


@pytest.mark.parametrize("id", CALLS)
def test_a_node_of_the_manual_does_what_it_should(
    id: str, settings: Settings, manifest: Manifest, tmp_path: Path
) -> None:
    session = Session(settings)
    session.manifest = manifest
    kit, inputs = Kit(session, tmp_path), dict(CALLS[id])
    ctx = Recorder(tmp_path, folders=Folders(settings.models, outputs=tmp_path / "outputs"))
    if "ctx" in manifest.types[id].inputs:
        inputs["ctx"] = ctx
    if id == "curves.apply_curve":
        inputs["curve"] = kit.run_node("curves.load_curve", name="bent", ctx=ctx)
    if id == "palettes.to_image":
        inputs["colours"] = kit.run_node("palettes.from_image", image=PICTURE)
    value = kit.assert_pure(id, **inputs)
    assert (value is None) == (not manifest.types[id].outputs)
    kind = kit.kind(id)
    if kind.frugal is not None:
        assert torch.allclose(kind.frugal(*CALLS[id].values()), value)
    if kind.batched is not None:
        assert kind.batched(["every letter", "none"], "e") == [value, 1]


def test_an_older_file_is_brought_to_today(settings: Settings, manifest: Manifest) -> None:
    session = Session(settings)
    session.manifest = manifest
    node = {"type": "ages.old_name", "inputs": {"strength": 21.0}}
    outcome = session.run(Workflow.of({"format": 1, "outputs": {"y": "a.value"}, "nodes": {"a": node}}))
    # A workflow that is given as data is upgraded when it is submitted.
    assert outcome.outputs == {"y": 42.0}


def test_from_an_installation_to_a_running_node_are_at_most_ten_lines() -> None:
    section = TEXT.partition("## Ten lines")[2].partition("\n## ")[0]
    found = re.findall(r"^```\w+\n(.*?)^```$", section, re.DOTALL | re.MULTILINE)
    lines = [line for text in found for line in text.splitlines() if line.strip()]
    assert lines[-2:] == ["pip install graphengine", "graphengine run workflow.json --nodes ."]
    assert len(lines) <= 10


@pytest.mark.parametrize("line", COMMANDS)
def test_a_command_of_the_manual_works(
    line: str, folder: Path, settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program, *words = shlex.split(line)
    if program == "pip":
        assert words == ["install", "graphengine"]
        return
    write(tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GRAPHENGINE_CACHE", str(settings.cache))
    monkeypatch.setattr(sys, "argv", [program, *words])
    monkeypatch.setenv("GRAPHENGINE_DATA", str(tmp_path / "data"))
    if "uninstall" in words:
        make(environment(tmp_path / "data" / "environments", words[-1], ()), (), tmp_path)
    monkeypatch.setenv("GRAPHENGINE_PORT", "0")
    # Who serves is at work when the editor opens, and ends when told to.
    monkeypatch.setattr("webbrowser.open", lambda link: os.kill(os.getpid(), signal.SIGTERM))
    with pytest.raises(SystemExit) as end:
        main()
    assert end.value.code in (0, None)
    if words[0] == "run":
        assert len(list((tmp_path / "outputs").glob("*.png"))) == 1


def test_the_tests_of_the_manual_pass(folder: Path, settings: Settings, manifest: Manifest) -> None:
    name = "test_manual.py"
    environment = {name: str(getattr(settings, name.lower())) for name in ("CACHE", "DATA")} | {
        "NODES": str(folder)
    }
    environment = {f"GRAPHENGINE_{name}": text for name, text in environment.items()}
    passed(folder / name, FILES[name].count("def test_"), **environment)


def test_the_workflow_has_no_problems(settings: Settings, manifest: Manifest) -> None:
    session = Session(settings)
    session.manifest = manifest
    assert session.check(Workflow.of(json.loads(FILES["workflow.json"]))) == []


def test_what_is_named_for_reading_on_is_there() -> None:
    section = TEXT.partition("## Reading on")[2]
    named = re.findall(r"`([\w./]+\.py)`", section)
    assert len(named) > 10
    for name in named:
        assert (PAGE.parent / name).is_file(), name
