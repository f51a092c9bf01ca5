"""`make bench`: every figure is measured in this run; beside it its limit, or what it is held against."""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Callable, Iterator
from importlib import import_module

Row = tuple[str, str, str]
PARTS = ("engine", "shell", "diffusion", "service", "cluster", "packs", "editor")


def main() -> None:
    """Print the rows of the named parts, or of all."""
    parts = sys.argv[1:] or PARTS
    print(f"Python {platform.python_version()}, {os.cpu_count()} cores, {platform.machine()}")
    print(f"{'what':62s} {'measured':>20s}   against")
    for part in parts:
        rows: Callable[[], Iterator[Row]] = import_module(f"{part}_rows").rows
        for what, measured, against in rows():
            print(f"{what:62s} {measured:>20s}   {against}", flush=True)


main()
