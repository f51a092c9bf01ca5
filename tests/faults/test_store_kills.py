"""`kill -9` at random instructions of a process that submits and works."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from faults import scenes


def test_random_kills_lose_nothing_and_double_nothing(tmp_path: Path) -> None:
    command = [sys.executable, scenes.__file__, "random", str(tmp_path), "100", "10", "0.02"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    found = json.loads(done.stdout)
    assert found | {"seconds": 0} == {"kills": 10, "jobs": 100, "lost": 0, "doubled": 0, "seconds": 0}
