"""`make faults`: each row is the long form of a test; `python tests/faults ROW ...` prints some."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from faults import scenes, server, soak

HERE = Path(__file__).parent


def queued() -> str:
    """Jobs that wait when everything is killed."""
    return server.row("50 queued jobs, kill -9 of server and worker, restart", 50, server.fifty())


def kills() -> str:
    """Random kills of a whole server."""
    return server.row("300 random kill -9 over 3,000 jobs", 3000, server.kills(300, 3000))


def store() -> str:
    """Random kills of a process that does nothing but use the store."""
    with tempfile.TemporaryDirectory() as folder:
        found = scenes.killed_at_random(Path(folder), 3000, 300, 0.04)
    return f"{'the store alone, 300 random kill -9 over 3,000 jobs':62s} {found}"


def actors() -> str:
    """Random kills of the actors of a Ray cluster."""
    return told("faults/actors.py", "50", "500").splitlines()[-1]  # Ray speaks on the same stream


def node() -> str:
    """A node of a Ray cluster is killed."""
    return told("faults/actors.py", "node", "60").splitlines()[-1]


def head() -> str:
    """The head of a Ray cluster is killed, and another started."""
    return told("faults/head.py", "60", "late").splitlines()[-1]


def network() -> str:
    """The cable between two hosts of a Ray cluster is pulled."""
    return told("faults/network.py", "120").splitlines()[-1]


def full() -> str:
    """Results for which Ray's object store has no room."""
    return told("faults/full.py", "20").splitlines()[-1]


def leftovers() -> str:
    """What a killed server leaves of its Ray cluster."""
    return told("faults/leftovers.py", "20").splitlines()[-1]


def memory() -> str:
    """What a job leaves behind."""
    web, worker = soak.soak(1000)
    text = f"{web:+.0f} bytes a job in the server, {worker:+.0f} in the worker   limit 1,024"
    return f"{'memory over 1,000 jobs':62s} {text}"


def fuzz() -> str:
    """Broken workflows and requests."""
    return f"{'5,000 mutated workflows and requests':62s} {told('security/fuzz.py', '5000')}"


def security() -> str:
    """The cases of the security tests."""
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(HERE.parent / "security")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return f"{'security cases':62s} {done.stdout.strip().splitlines()[-1]}"


def told(script: str, *arguments: str) -> str:
    """What a script of the tests prints."""
    command = [sys.executable, str(HERE.parent / script), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.stdout.strip() or f"FAILED: {done.stderr.strip()[-500:]}"


ROWS: tuple[Callable[[], str], ...] = (
    queued,
    security,
    fuzz,
    store,
    memory,
    kills,
    actors,
    node,
    head,
    network,
    full,
    leftovers,
)


def main() -> None:
    """Print the rows that are named, or all."""
    named = sys.argv[1:]
    for row in ROWS:
        if not named or row.__name__ in named:
            print(row(), flush=True)


main()
