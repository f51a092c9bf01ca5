"""Nodes that hang, die and fill the memory: for tests of what survives them."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from time import sleep
from typing import Annotated, Any

from pydantic import Field

from graphengine.authoring import NO_CONTEXT, Context, node

PACK = "faulty"


@node(cache="none")
def wait(seconds: float = 1.0, value: int = 0, ctx: Context = NO_CONTEXT) -> int:
    """Take a while, and tell how far it is."""
    for step in range(max(1, int(seconds / 0.02))):
        ctx.progress(step, seconds / 0.02)
        sleep(0.02)
    return value


@node(cache="none")
def tick(seconds: float = 1.0, rate: float = 10.0, ctx: Context = NO_CONTEXT) -> int:
    """Tell how far it is, so many times a second."""
    for step in range(int(seconds * rate)):
        ctx.progress(step, seconds * rate)
        sleep(1 / rate)
    return 0


@node(cache="none")
def deaf(seconds: float = 60.0) -> int:
    """Take a while in one call, which nothing can stop."""
    sleep(seconds)
    return 0


@node(cache="none")
def frozen() -> int:
    """Stop the whole process, so that not even its other threads go on."""
    os.kill(os.getpid(), signal.SIGSTOP)
    return 0


@node(cache="none")
def die(marker: str = "", times: int = 1000) -> int:
    """End the process like `kill -9`, as often as told; a file counts."""
    path = Path(marker)
    count = len(path.read_bytes()) if marker and path.exists() else 0
    if count < times:
        if marker:
            path.write_bytes(b"x" * (count + 1))
        os.kill(os.getpid(), signal.SIGKILL)
    return count


@node(cache="none")
def fail(text: str = "no") -> int:
    """Raise an error."""
    raise ValueError(text)


@node(cache="none")
def write(text: str = "a result", name: str = "result.txt", ctx: Context = NO_CONTEXT) -> None:
    """Save a text."""
    ctx.save(name, text.encode(), "text/plain")


@node(cache="none")
def large(mebibytes: int = 10, ctx: Context = NO_CONTEXT) -> None:
    """Save a large file."""
    ctx.save("large.bin", bytes(range(256)) * (mebibytes << 12), "application/octet-stream")


@node(cache="none")
def show(ctx: Context = NO_CONTEXT) -> int:
    """Show a picture."""
    import torch

    ctx.preview(torch.zeros(1, 8, 8, 3))
    return 0


@node(cache="none")
def hold(
    mebibytes: Annotated[int, Field(ge=1, le=4096)] = 256, seconds: float = 30.0, ctx: Context = NO_CONTEXT
) -> int:
    """Hold memory for a while."""
    held: Any = bytearray(os.urandom(1 << 20)) * mebibytes
    for step in range(int(seconds / 0.02)):
        ctx.progress(step, seconds / 0.02)
        sleep(0.02)
    return len(held)


@node
def count(marker: str, value: int = 0, seconds: float = 0.0, ctx: Context = NO_CONTEXT) -> int:
    """Add a line to a file each time that it runs."""
    with open(marker, "a") as stream:
        stream.write(f"{value}\n")
    for step in range(int(seconds / 0.02)):
        ctx.progress(step, seconds / 0.02)
        sleep(0.02)
    return value
