"""Runs the tests of a pack author, in a process of its own, with the plug-in and with warnings as errors."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path


def passed(file: Path, number: int, **environment: str) -> None:
    """Assert that so many tests of a file pass."""
    command = [sys.executable, "-m", "pytest", "-q", "-W", "error", "-p", "graphengine.fixtures", file.name]
    done = subprocess.run(
        command, cwd=file.parent, env=os.environ | environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{number} passed" in done.stdout
