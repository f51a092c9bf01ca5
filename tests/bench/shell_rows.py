"""What the commands cost before they do anything: CPU seconds of the whole process; the best of five."""

from __future__ import annotations

import resource
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from time import process_time

import thousand

from graphengine import packs
from graphengine.registry import Registry

WORKFLOW = Path(__file__).parents[2] / "workflows" / "text_to_image.json"


def seconds(*command: str) -> float:
    """CPU seconds of a process, the best of five."""
    found = []
    for _ in range(5):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run([sys.executable, *command], check=True, capture_output=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        found.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    return min(found)


def rows() -> Iterator[tuple[str, str, str]]:
    """Imports and commands against an interpreter that does nothing."""
    nothing = seconds("-c", "pass")
    yield "python -c pass", f"{nothing:.3f} s", ""
    yield "import graphengine", f"{seconds('-c', 'import graphengine'):.3f} s", "limit 0.3 s"
    yield "graphengine --help", f"{seconds('-m', 'graphengine', '--help'):.3f} s", "limit 0.2 s"
    with tempfile.TemporaryDirectory() as cache:
        program = (
            f"import os; os.environ['GRAPHENGINE_CACHE'] = {cache!r}\n"
            "import sys; from graphengine.cli import main; sys.argv = ['graphengine', *sys.argv[1:]]; main()"
        )
        subprocess.run(
            [sys.executable, "-c", program, "validate", str(WORKFLOW)], check=True, capture_output=True
        )
        cost = seconds("-c", program, "validate", str(WORKFLOW))
        yield "graphengine validate text_to_image.json", f"{cost:.3f} s", "limit 0.5 s"
        thousand.write(Path(cache))
        yield (
            "register 1,000 node types of ten files",
            f"{min(loaded(Path(cache)) for _ in range(5)):.3f} s",
            "limit 0.5 s",
        )


def loaded(folder: Path) -> float:
    """CPU seconds that loading all packs of a folder takes, with reading and compiling their files."""
    began = process_time()
    found, problems = packs.in_folders([folder], [])
    for pack in found:
        packs.forget(pack)
    Registry.load(found, problems)
    return process_time() - began
