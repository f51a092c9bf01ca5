"""A loop whose time is made up: it jumps to the next thing to do instead of waiting for it."""

from __future__ import annotations

import asyncio
import selectors
from typing import Any


class Jumping(selectors.SelectSelector):
    """Waits for nothing: the time that was to pass has passed."""

    passed = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(0)
        if ready or timeout == 0:
            return ready
        if timeout is None:  # nothing will happen by itself: a thread or a signal must come
            return super().select(0.05)
        self.passed += timeout
        return ready


class FakeTime(asyncio.SelectorEventLoop):
    """An event loop in made-up time. Nothing in it may wait for a socket."""

    def __init__(self) -> None:
        self.jumping = Jumping()
        super().__init__(self.jumping)

    def time(self) -> float:
        return self.jumping.passed

    def run_in_executor(self, executor: Any, func: Any, *args: Any) -> Any:
        """What would take a thread is done at once: it takes no time here."""
        done = self.create_future()
        try:
            done.set_result(func(*args))
        except Exception as error:
            done.set_exception(error)
        return done
