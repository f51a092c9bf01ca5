"""World: the threads for nodes that await something outside of the graph."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

THREADS = 8


class World:
    """An asyncio thread for nodes that await, and some for those that block; started when the first comes."""

    def __init__(self) -> None:
        self.threads = ThreadPoolExecutor(THREADS, "graphengine-io")
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever, daemon=True, name="graphengine-io")
        self.thread.start()

    def submit(self, coroutine: Any, seconds: float | None = None) -> Future[Any]:
        """Start a coroutine there. TimeoutError if it takes longer than that."""
        if seconds is not None:
            coroutine = asyncio.wait_for(coroutine, seconds)
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop)

    def call(self, function: Callable[..., Any], *arguments: Any) -> Future[Any]:
        """Start a function that blocks, in a thread."""
        return self.threads.submit(function, *arguments)

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
