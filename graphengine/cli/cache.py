"""`graphengine cache`"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from graphengine.cli.opening import settings
from graphengine.cli.status import Status

if TYPE_CHECKING:
    from graphengine.disk import DiskCache

cache = typer.Typer(
    name="cache",
    help="Look at, check or clear the values that are kept on disk.",
    no_args_is_help=True,
    rich_markup_mode=None,
)


@cache.command()
def stats(
    as_json: Annotated[bool, typer.Option("--json", help="Print the numbers as JSON.")] = False,
) -> None:
    """Say where the values are, how many, and how large."""
    import json
    from datetime import UTC, datetime

    disk = opened()
    entries = disk.entries()
    total = sum(entry.size for entry in entries)
    largest = max((entry.size for entry in entries), default=None)
    used = min((entry.used for entry in entries), default=None)
    oldest = None if used is None else datetime.fromtimestamp(used, UTC).isoformat(timespec="seconds")
    if as_json:
        numbers = {"folder": str(disk.folder), "entries": len(entries), "bytes": total, "limit": disk.limit}
        typer.echo(json.dumps(numbers | {"largest": largest, "oldest": oldest}, indent=2))
        return
    typer.echo(f"folder   {disk.folder}")
    typer.echo(f"entries  {len(entries)}")
    typer.echo(f"size     {sized(total)} of {sized(disk.limit) if disk.limit else '0, which is off'}")
    if largest is not None:
        typer.echo(f"largest  {sized(largest)}")
        typer.echo(f"oldest   used last at {oldest}")


@cache.command()
def verify() -> None:
    """Read every value, and remove those that are damaged."""
    sound, damaged = opened().verify()
    if damaged:
        typer.secho(f"damaged, and removed: {damaged} of {counted(sound + damaged)}", fg="red")
        raise typer.Exit(Status.FAILED)
    typer.echo(f"{counted(sound)}, none damaged")


@cache.command()
def clear() -> None:
    """Remove every value; each is computed again when it is needed."""
    disk = opened()
    freed = disk.clear()
    typer.echo(f"{sized(freed)} freed ({freed:,} bytes)")
    if left := disk.entries():
        typer.secho(f"{counted(len(left))} cannot be removed from {disk.folder}", fg="red", err=True)
        raise typer.Exit(Status.FAILED)


def opened() -> DiskCache:
    """The disk tier of this machine's cache, for what needs no value itself."""
    from graphengine.codec import Codec
    from graphengine.disk import VALUES, DiskCache

    chosen = settings()
    return DiskCache(chosen.cache / VALUES, chosen.disk_cache, Codec())


def sized(bytes: int) -> str:
    """A number of bytes for people: `1.5MiB`."""
    from pydantic import ByteSize

    return ByteSize(bytes).human_readable()


def counted(entries: int) -> str:
    """How many entries, in words."""
    return f"{entries:,} {'entry' if entries == 1 else 'entries'}"
