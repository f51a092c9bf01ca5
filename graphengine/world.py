"""World: the asyncio thread for nodes that await something outside of the graph."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import Future
from typing import Any


class World:
    """The asyncio thread for nodes that await the world; started when the first one comes."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever, daemon=True, name="graphengine-io")
        self.thread.start()

    def submit(self, coroutine: Any) -> Future[Any]:
        """Start a coroutine there."""
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop)

    def close(self) -> None:
        """End what still runs, and the thread."""
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
