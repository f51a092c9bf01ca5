"""`graphengine new-node`"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from graphengine.session import Session
from graphengine.template import FILES
from graphengine.workflow import Workflow


def test_a_new_pack_installs_is_listed_and_passes_its_own_tests(graphengine, process, tmp_path, cache):
    done = graphengine("new-node", "soft-light")
    assert (done.status, done.out) == (0, "soft-light\n")
    assert done.err == "next: pip install --editable 'soft-light[test]', and pytest in it\n"
    made = tmp_path / "soft-light"
    found = sorted(str(path.relative_to(made)) for path in made.rglob("*") if path.is_file())
    assert found == sorted(name.replace("$module", "soft_light") for name in FILES)
    assert not any("$" in (made / name).read_text() for name in found)
    site = tmp_path / "site"
    pip = [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--no-index", "--no-build-isolation",
           "--disable-pip-version-check", "--target", str(site), str(made)]  # fmt: skip
    subprocess.run(pip, check=True, capture_output=True, timeout=300)
    path = os.pathsep.join([str(site), *sys.path])
    environment = {"PYTHONPATH": path, "GRAPHENGINE_CACHE": str(cache)}
    listed = process("packs", "list", "--json", **environment)
    row = next(row for row in json.loads(listed.out) if row["name"] == "soft_light")
    assert row == {
        "name": "soft_light",
        "version": "0.1.0",
        "from": "soft-light",
        "isolated": False,
        "nodes": 1,
        "problems": [],
    }
    command = [sys.executable, "-m", "pytest", "-q", "-p", "graphengine.fixtures", "-p", "no:cacheprovider"]
    tested = subprocess.run(
        command,
        cwd=made,
        env=os.environ | environment,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert tested.returncode == 0, tested.stdout + tested.stderr
    assert "2 passed" in tested.stdout
    ran = process("run", "soft-light/workflows/soft_light.json", "--set", "amount=2", **environment)
    assert ran.status == 0, ran.err
    workflow = Session().load(tmp_path / ran.out.strip())
    assert workflow.data["requires"]["soft_light"] == "soft-light==0.1.0"
    again = graphengine("validate", ran.out.strip())
    assert "saved with soft-light 0.1.0, which is not installed: pip install soft-light==0.1.0" in again.out


def test_its_files_have_their_canonical_form(graphengine, tmp_path):
    graphengine("new-node", "pretty")
    file = tmp_path / "pretty" / "workflows" / "pretty.json"
    assert Workflow.load(file).text() == file.read_text()
    for command in (["check"], ["format", "--check"]):
        ruff = [sys.executable, "-m", "ruff", *command, "--isolated", "--line-length", "110", "."]
        subprocess.run(ruff, cwd=tmp_path / "pretty", check=True, capture_output=True)


def test_a_new_file_is_a_node_at_once(graphengine, tmp_path, monkeypatch):
    monkeypatch.setenv("GRAPHENGINE_NODES", str(tmp_path / "mine"))
    done = graphengine("new-node", "glow", "--file")
    assert (done.status, done.out) == (0, f"{tmp_path}/mine/glow.py\n")
    assert done.err == "next: graphengine nodes glow.brighten\n"
    assert "Make a picture brighter" in graphengine("nodes", "glow.brighten").out
    assert graphengine("packs", "check", "glow").out == "glow: ok, 1 node\n"
    done = graphengine("new-node", "shine", "--file", "--into", "other")
    assert done.err == "next: graphengine nodes shine.brighten --nodes other\n"
    assert (tmp_path / "other" / "shine.py").is_file()


def test_a_new_isolated_pack_runs_in_a_process_of_its_own(graphengine, tmp_path, monkeypatch):
    monkeypatch.setenv("GRAPHENGINE_NODES", str(tmp_path / "mine"))
    monkeypatch.setenv("GRAPHENGINE_DATA", str(tmp_path / "data"))
    done = graphengine("new-node", "soft-glow", "--isolated")
    assert (done.status, done.out) == (0, f"{tmp_path}/mine/soft-glow\n")
    assert done.err == "next: graphengine packs install soft_glow\n"
    assert graphengine("packs", "install", "soft_glow").status == 0
    row = next(
        row for row in json.loads(graphengine("packs", "list", "--json").out) if row["name"] == "soft_glow"
    )
    assert (row["isolated"], row["nodes"], row["problems"]) == (True, 1, [])
    ran = graphengine("run", f"{tmp_path}/mine/soft-glow/workflows/soft_glow.json", "--set", "amount=2")
    assert ran.status == 0, ran.err
    done = graphengine("new-node", "other", "--isolated", "--file")
    assert done.status == 3
    assert "a single file cannot be isolated" in " ".join(done.err.split())


def test_nothing_is_overwritten(graphengine, tmp_path):
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "mine.txt").write_text("precious")
    (tmp_path / "nodes").mkdir()
    (tmp_path / "nodes" / "own.py").write_text("precious")
    done = graphengine("new-node", "taken")
    assert done.status == 3
    assert "there is taken already; nothing was changed" in done.err
    done = graphengine("new-node", "own", "--file", "--into", "nodes")
    assert done.status == 3
    assert "there is nodes/own.py already; nothing was changed" in done.err
    files = sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file())
    assert files == ["nodes/own.py", "taken/mine.txt"]
    assert {path.read_text() for path in (tmp_path / "nodes/own.py", tmp_path / "taken/mine.txt")} == {
        "precious"
    }


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("My Nodes", "'My Nodes' cannot be a pack's name; write lower-case letters, digits, - and _"),
        ("9lives", "'9lives' cannot be a pack's name"),
        ("../out", "'../out' cannot be a pack's name"),
        ("class", "'class' is a word of Python's; choose another name"),
        ("std", "there is a pack 'std' already; choose another name"),
        ("json", "'json' is the name of a module of Python's"),
        ("graphengine-nodes", "'graphengine-nodes' is the name of a module of Python's"),
    ],
)
def test_a_name_that_cannot_be_is_told_and_nothing_is_made(graphengine, tmp_path, name, text):
    for option in ((), ("--file", "--into", "nodes")):
        done = graphengine("new-node", name, *option)
        assert done.status == 3
        assert text in " ".join(done.err.split())
    assert list(tmp_path.iterdir()) == []


def test_a_folder_of_nodes_is_needed_for_a_file(graphengine):
    done = graphengine("new-node", "glow", "--file")
    assert done.status == 3
    assert "you have no folder of nodes; name one with --into or GRAPHENGINE_NODES" in " ".join(
        done.err.split()
    )


def test_a_folder_that_cannot_be_made_is_told(graphengine, tmp_path):
    Path(tmp_path, "file").write_text("in the way")
    done = graphengine("new-node", "glow", "--into", "file/deep")
    assert done.status == 3
    assert "cannot be made" in done.err
