"""`graphengine doctor`"""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from graphengine import doctor


@pytest.fixture
def findings(monkeypatch):
    """What the doctor will find."""
    found = []
    monkeypatch.setattr(doctor, "examine", lambda settings: iter(found))
    return found


def test_a_line_a_finding_and_the_remedy_below(graphengine, findings):
    findings.append(doctor.Finding("ok", "python", "3.12"))
    findings.append(doctor.Finding("warning", "editor", "it is not built", "make web"))
    done = graphengine("doctor")
    assert (done.status, done.err) == (0, "")
    assert done.out.splitlines() == [
        "ok       python     3.12",
        "warning  editor     it is not built",
        "                    -> make web",
        "problems: 0, warnings: 1",
    ]


def test_a_problem_ends_with_1(graphengine, findings):
    findings.append(doctor.Finding("problem", "torch", "is missing", "install it"))
    assert graphengine("doctor").status == 1
    done = graphengine("doctor", "--json")
    assert done.status == 1
    row = {"level": "problem", "topic": "torch", "text": "is missing", "remedy": "install it"}
    assert json.loads(done.out) == [row]


def test_it_looks_at_this_machine_without_importing_torch(graphengine, tmp_path, monkeypatch):
    graphengine("nodes")  # the packs are loaded by this process
    monkeypatch.setenv("GRAPHENGINE_DATA", str(tmp_path / "data"))
    program = (
        "import sys; sys.argv = ['graphengine', 'doctor', '--json']\n"
        "from graphengine.cli import main\n"
        "try: main()\n"
        "except SystemExit as end: assert not end.code, end.code\n"
        "loaded = {'torch', 'aiohttp', 'diffusers', 'transformers'} & sys.modules.keys()\n"
        "assert not loaded, loaded\n"
    )
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert {row["topic"] for row in json.loads(done.stdout)} == set(doctor.CHECKS)
