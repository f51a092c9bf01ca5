"""Environments: the virtual environments of isolated packs, which hold what these need besides the engine.

In such an environment lie a pack's own dependencies, and nothing else: neither the pack, whose source is run
from its folder, nor the engine, torch and all else that the engine's environment has. That is put behind, on
the import path of each process that is started here (`command`); so a pack uses the engine's torch, unless it
depends on one of its own.

Making one runs code of what is installed, so it is done when the user says so, never by itself.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import venv
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

from blake3 import blake3

from graphengine.errors import PackError
from graphengine.folders import write_atomically

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

MADE = "graphengine.json"
"""The file that is in an environment once it is whole."""
BEGIN = """
import json, runpy, sys
behind = json.loads(sys.argv[1])
sys.argv = sys.argv[2:]
sys.path += [place for place in behind if place not in sys.path]
runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
"""


def environment(root: Path, name: str, dependencies: Sequence[str]) -> Path:
    """Where the environment of a pack with these dependencies is, or would be, for this Python."""
    about = [*dependencies, sys.implementation.cache_tag, sys.platform]
    return root / f"{name}-{blake3(json.dumps(about).encode()).hexdigest(length=6)}"


def python(folder: Path) -> Path:
    """The Python of an environment."""
    return folder / "bin" / "python"


def content(folder: Path) -> str:
    """What stands for everything that is installed in an environment; empty if it is not made."""
    try:
        found: str = json.loads((folder / MADE).read_bytes())["content"]
    except (OSError, ValueError, KeyError, TypeError):
        return ""
    return found if python(folder).exists() else ""


def command(folder: Path, module: str, *words: str) -> list[str]:
    """What runs a module with the Python of an environment, the engine's modules behind those in there."""
    engine = str(Path(__file__).parent.parent)
    behind = list(dict.fromkeys([*(os.path.abspath(place) for place in sys.path if place), engine]))
    return [str(python(folder)), "-I", "-B", "-u", "-c", BEGIN, json.dumps(behind), module, *words]


def make(folder: Path, dependencies: Sequence[str], project: Path) -> None:
    """Make an environment, whole or not at all; what pip says goes to the standard error."""
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with alone(folder.with_name(f".{folder.name}.lock")):
            if content(folder):
                return
            shutil.rmtree(folder, ignore_errors=True)
            try:
                fill(folder, dependencies, project)
            finally:
                if not content(folder):
                    shutil.rmtree(folder, ignore_errors=True)
    except (OSError, subprocess.CalledProcessError) as error:
        raise PackError(f"{folder} cannot be made: {error}") from error


def fill(folder: Path, dependencies: Sequence[str], project: Path) -> None:
    """Make an environment where none is. pip takes what the engine's environment has for installed."""
    venv.create(folder, symlinks=True, with_pip=find_spec("pip") is None)
    if dependencies:
        pip = ["install", "--disable-pip-version-check", "--no-input", "--no-warn-conflicts"]
        done = subprocess.run([*command(folder, "pip", *pip), *dependencies], cwd=project, stdout=2)
        if done.returncode:
            raise PackError("pip could not install its dependencies, and says above why; nothing was made")
    about = {"dependencies": [*dependencies], "content": installed(folder)}
    write_atomically(folder / MADE, json.dumps(about).encode())


def installed(folder: Path) -> str:
    """A hash of every file that is installed in an environment; scripts do not count, they name its place."""
    total = blake3()
    for record in sorted(folder.glob("lib/*/site-packages/*.dist-info/RECORD")):
        lines = [line for line in record.read_text("utf-8").splitlines() if not line.startswith("..")]
        kept = [line for line in lines if not re.search(r"/(direct_url.json|RECORD|INSTALLER),", line)]
        total.update("\n".join([record.parent.name, *sorted(kept)]).encode())
    return total.hexdigest(length=8)


def of_pack(root: Path, name: str) -> list[Path]:
    """Every environment of a pack of this name, for other dependencies and other Pythons too."""
    return sorted(place for place in root.glob(f"{name}-*") if (place / "pyvenv.cfg").is_file())


def remove(folder: Path) -> None:
    """Remove an environment. It is none any more before the first of its files is gone."""
    (folder / MADE).unlink(missing_ok=True)
    shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def alone(path: Path) -> Iterator[None]:
    """Wait until no other process is in such a block with this lock file."""
    with path.open("ab") as stream:
        if fcntl is not None:
            fcntl.flock(stream, fcntl.LOCK_EX)
        yield
