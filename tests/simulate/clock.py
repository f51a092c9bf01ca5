"""A loop whose time is made up: it jumps to the next thing to do instead of waiting for it."""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Coroutine
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
    """An event loop in made-up time. Nothing in it may wait for a thread or for a socket."""

    def __init__(self) -> None:
        self.jumping = Jumping()
        super().__init__(self.jumping)

    def time(self) -> float:
        return self.jumping.passed


def run(scene: Coroutine[Any, Any, Any]) -> Any:
    """Run something in made-up time."""
    with asyncio.Runner(loop_factory=FakeTime) as runner:
        return runner.run(scene)
