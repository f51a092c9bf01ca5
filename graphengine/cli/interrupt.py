"""Interrupt: what Ctrl-C does to a run."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import typer

if TYPE_CHECKING:
    from graphengine.session import Session


@contextmanager
def stoppable(session: Session) -> Iterator[None]:
    """The first Ctrl-C ends the run after the current step; the second ends the process."""

    def stop(number: int, frame: Any) -> None:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        typer.echo("stopping after this step; Ctrl-C once more ends at once", err=True)
        session.cancel()

    before = signal.signal(signal.SIGINT, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
