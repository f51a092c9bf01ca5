"""The two rich consoles: results on the standard output, talk on the standard error."""

from __future__ import annotations

from rich.console import Console

WIDE = 400
"""Columns where the output is no terminal, so that nothing is cut for a screen that is not there."""


def results() -> Console:
    """Where results go."""
    return console(stderr=False)


def talk() -> Console:
    """Where everything else goes."""
    return console(stderr=True)


def console(stderr: bool) -> Console:
    """A console that prints text as it is: square brackets and colons in it mean nothing."""
    found = Console(stderr=stderr, markup=False, highlight=False, emoji=False)
    if not found.is_terminal:
        found.width = WIDE
    return found
