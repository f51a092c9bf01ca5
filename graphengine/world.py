"""World: the threads for nodes that await something outside of the graph."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from time import perf_counter
from typing import Any

THREADS = 8
Clocked = tuple[Any, float]
"""What a node gave, and the seconds that it took."""


class World:
    """An asyncio thread for nodes that await, and some for those that block; started when the first comes."""

    def __init__(self) -> None:
        self.threads = ThreadPoolExecutor(THREADS, "graphengine-io")
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever, daemon=True, name="graphengine-io")
        self.thread.start()

    def submit(self, function: Callable[..., Any], *arguments: Any) -> Future[Clocked]:
        """Start a function that awaits."""
        return asyncio.run_coroutine_threadsafe(awaited(function, arguments), self.loop)

    def call(self, function: Callable[..., Any], *arguments: Any) -> Future[Clocked]:
        """Start a function that blocks, in a thread."""
        return self.threads.submit(called, function, arguments)

    def close(self) -> None:
        """End what still runs, and the threads; what blocks in one comes to its end first."""
        self.threads.shutdown(cancel_futures=True)
        asyncio.run_coroutine_threadsafe(self.end(), self.loop).result()
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join()
        self.loop.close()

    async def end(self) -> None:
        """Cancel every other task and wait until each has ended."""
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def awaited(function: Callable[..., Any], arguments: Sequence[Any]) -> Clocked:
    """What awaiting a call gives, and how long it took."""
    began = perf_counter()
    try:
        value = await function(*arguments)
    except (SystemExit, KeyboardInterrupt) as error:  # asyncio would end the thread, and all else in it
        raise RuntimeError(f"tried to end the process: {error!r}") from error
    return value, perf_counter() - began


def called(function: Callable[..., Any], arguments: Sequence[Any]) -> Clocked:
    """What a call gives, and how long it took."""
    began = perf_counter()
    return function(*arguments), perf_counter() - began
