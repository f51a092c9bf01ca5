"""Another process: runs the files it is given over a folder, and prints what they gave, under which keys."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

HERE = Path(__file__)


def started(folder: Path, files: list[Any], **environment: str) -> subprocess.Popen[str]:
    """One that is under way; to be used in a `with`."""
    process = subprocess.Popen(
        [sys.executable, HERE, folder],
        env={"PYTHONPATH": str(HERE.parent.parent), **environment},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdin is not None
    process.stdin.write(json.dumps(files))
    process.stdin.close()
    process.stdin = None
    return process


def told(folder: Path, files: list[Any], **environment: str) -> list[tuple[str, list[str], list[str]]]:
    """What it says of each file: the outputs, the keys of what was kept or found, and which nodes ran."""
    with started(folder, files, **environment) as process:
        return [tuple(one) for one in json.loads(process.communicate()[0])]


def main() -> None:
    """Run what stands in the standard input."""
    from laws.running import Tiers
    from samples import ran

    found: list[Any] = []
    for file in json.load(sys.stdin):
        with Tiers(disk=1 << 30, every=1).store(Path(sys.argv[1])) as store:
            outputs = store.run(file).outputs
            found.append([repr(outputs), keys(store), list(ran)])
    print(json.dumps(found))


def keys(store: Any) -> list[str]:
    """The keys of what was kept or found."""
    return sorted(key.hex() for key in store.values)


if __name__ == "__main__":
    main()
