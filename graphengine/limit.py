"""TimeLimit: ends a node that runs too long, from a thread that watches the clock."""

from __future__ import annotations

import asyncio
import ctypes
from collections.abc import Callable, Generator, Sequence
from threading import Event, Lock, Thread, get_ident
from time import monotonic, sleep
from types import coroutine
from typing import Any

from graphengine.errors import NodeTooSlow

PATIENCE = 1.0
"""Seconds in which Python surely raises what was sent to a thread that runs Python code."""


class Expired(BaseException):
    """Raised in the thread of a node that is too slow; no `except Exception` of the node holds it back."""


class TimeLimit:
    """How many seconds each call of a node may take; to be closed when the run ends.

    Python looks for what another thread has sent between two of its instructions. So a call into C that does
    not come back, such as one long operation of torch, ends only when it does.
    """

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.lock = Lock()
        self.running: dict[int, float] = {}
        """Until when, by thread."""
        self.sent: set[int] = set()
        self.over = Event()
        self.watch: Thread | None = None

    def call(self, function: Callable[..., Any], arguments: Sequence[Any]) -> Any:
        """What the function gives. NodeTooSlow if it takes longer."""
        me = get_ident()
        try:
            with self.lock:
                if self.watch is None:
                    self.watch = Thread(target=self.look, daemon=True, name="graphengine-limit")
                    self.watch.start()
                self.running[me] = monotonic() + self.seconds
            try:
                value = function(*arguments)
            except Expired:
                raise
            except BaseException:  # Cancelled and the like too: once it is over, nothing may be sent
                self.settle(me)
                raise
            self.settle(me)
            return value
        except Expired:
            with self.lock:
                self.running.pop(me, None)
                self.sent.discard(me)
            raise NodeTooSlow(self.told()) from None

    def around(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """The function, with each call of it limited."""
        return lambda *arguments: self.call(function, arguments)

    async def wait(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """What awaiting the function gives. NodeTooSlow if it takes longer, computing or waiting."""
        clock = asyncio.timeout(self.seconds)
        try:
            async with clock:
                return await self.stepwise(function(*arguments))
        except TimeoutError:
            if clock.expired():
                raise NodeTooSlow(self.told()) from None
            raise  # the node's own

    @coroutine
    def stepwise(self, awaiting: Any) -> Generator[Any, Any, Any]:
        """Drive a coroutine; from one thing that it awaits to the next it has the limit, like any call."""
        step, argument = awaiting.send, None
        while True:
            try:
                asked = self.call(step, (argument,))
            except StopIteration as stop:
                return stop.value
            try:
                step, argument = awaiting.send, (yield asked)
            except BaseException as error:  # the coroutine decides what becomes of it
                step, argument = awaiting.throw, error

    def told(self) -> str:
        """The sentence for a node that was too slow."""
        return (
            f"ran longer than the {self.seconds:g} s that each node may take; make it smaller or allow more"
        )

    def settle(self, me: int) -> None:
        """The call is over. Where it was sent for at the same moment, wait until that has come."""
        with self.lock:
            self.running.pop(me, None)
            late = me in self.sent
        if late:
            until = monotonic() + PATIENCE
            while monotonic() < until:
                sleep(0.001)
            raise Expired

    def look(self) -> None:
        """The watching thread: whose time is up?"""
        while not self.over.wait(min(self.seconds / 10, 0.1)):
            with self.lock:
                now = monotonic()
                for thread in [t for t, until in self.running.items() if until < now]:
                    del self.running[thread]
                    self.sent.add(thread)
                    ctypes.pythonapi.PyThreadState_SetAsyncExc(
                        ctypes.c_ulong(thread), ctypes.py_object(Expired)
                    )

    def close(self) -> None:
        """End the watching thread."""
        self.over.set()
        if self.watch is not None:
            self.watch.join()
