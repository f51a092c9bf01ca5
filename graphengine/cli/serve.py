"""`graphengine serve`"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from graphengine.cli.opening import Nodes, settings
from graphengine.errors import GraphEngineError

if TYPE_CHECKING:
    from graphengine.config import Settings
    from graphengine.fleets.fleet import Fleet
    from graphengine.server.guard import Access
    from graphengine.server.running import Running
    from graphengine.service import Service


class Executor(StrEnum):
    """Where jobs run."""

    local = "local"
    ray = "ray"


DEV = frozenset({"http://localhost:5173", "http://127.0.0.1:5173"})
"""Where the editor's own server is while it is being developed."""


def serve(
    host: Annotated[str | None, typer.Option(help="Address to listen on.")] = None,
    port: Annotated[int | None, typer.Option(min=0, max=65535, help="Port to listen on; 0: any.")] = None,
    data: Annotated[Path | None, typer.Option(help="Folder of jobs, results and saved workflows.")] = None,
    device: Annotated[list[str] | None, typer.Option(help="Device of a worker; may be repeated.")] = None,
    workers: Annotated[
        int | None, typer.Option(min=1, max=1024, help="Workers for each device; with Ray, in all.")
    ] = None,
    executor: Annotated[
        Executor | None, typer.Option(help="Where jobs run: processes of this machine, or a Ray cluster.")
    ] = None,
    ray_address: Annotated[
        str | None, typer.Option(help="Address of the Ray cluster; without it, one of this machine is made.")
    ] = None,
    nodes: Nodes = None,
    allowed_host: Annotated[
        list[str] | None, typer.Option(help="Another name of this server, as in a link; may be repeated.")
    ] = None,
    allowed_origin: Annotated[
        list[str] | None, typer.Option(help="Another site whose pages may ask; may be repeated.")
    ] = None,
    trusted_proxy: Annotated[
        list[str] | None, typer.Option(help="Address of a proxy whose X-Forwarded headers are believed.")
    ] = None,
    certificate: Annotated[Path | None, typer.Option(help="PEM file; with it the server speaks TLS.")] = None,
    key: Annotated[Path | None, typer.Option(help="PEM file of the certificate's key.")] = None,
    open: Annotated[bool, typer.Option("--open", help="Want no token from anybody.")] = False,
    browser: Annotated[bool, typer.Option("--browser/--no-browser", help="Open the editor.")] = False,
    dev: Annotated[bool, typer.Option("--dev", help="Read packs anew when their files change.")] = False,
) -> None:
    """Run the server: the queue, its workers, the HTTP API and the editor. Ctrl-C ends it."""
    import asyncio
    import secrets

    from graphengine.server import log, presence
    from graphengine.server.guard import Access, normal, plain
    from graphengine.server.running import Running, context, listening
    from graphengine.server.veil import Veil
    from graphengine.service import Service

    if (certificate is None) != (key is None) and certificate is None:
        raise typer.BadParameter("--key is the key of a certificate; give --certificate too")
    devices = [settings(device=name).device for name in device or ()]
    found = settings(
        nodes, host=host, port=port, data=data, device=devices[0] if devices else None, dev=dev or None,
        executor=executor and executor.value, ray_address=ray_address,
    )  # fmt: skip
    if ray_address and found.executor != "ray":
        raise typer.BadParameter("--ray-address is for jobs on a Ray cluster; give --executor ray too")
    hosts = frozenset(name.lower() for name in allowed_host or ())
    for origin in allowed_origin or ():
        if normal(origin) is None:
            raise typer.BadParameter(f"{origin!r} is no origin; write one such as https://pictures.example")
    warn(found.host, open, bool(hosts))
    token = None if open else found.token.get_secret_value() if found.token else secrets.token_urlsafe(32)
    tls = context(certificate, key) if certificate else None
    with presence.alone(found.data), opened(found, devices, workers) as fleet:
        listener = listening(found.host, found.port)
        origins = {origin.lower() for origin in allowed_origin or ()}
        access = Access(
            token,
            listener.getsockname()[1],
            hosts | ({shown(found.host)} - {"0.0.0.0", "[::]"}),
            frozenset(origins | (DEV if found.dev else set())),
            frozenset(plain(address) for address in trusted_proxy or ()),
            tls is not None,
        )
        handlers = log.start(found.data / "logs", Veil([], [token] if token else []))
        service = Service(found, fleet)
        running = Running(service, found, access, listener, tls=tls)
        try:
            asyncio.run(served(service, running, access, found.host, found.data, browser))
        finally:
            listener.close()
            log.stop(handlers)


@contextmanager
def opened(settings: Settings, devices: Sequence[str], workers: int | None) -> Iterator[Fleet]:
    """The fleet that jobs run on; with Ray, the way to its cluster is open meanwhile."""
    if settings.executor == "local":
        from graphengine.fleets.local import LocalFleet

        yield LocalFleet(settings, [*(devices or [settings.device])] * (workers or 1))
        return
    if len(devices) > 1:
        raise typer.BadParameter("with --executor ray, Ray chooses the devices; give --workers instead")
    from graphengine.fleets.cluster import connected

    with connected(settings.ray_address or "") as cluster:
        from graphengine.fleets.actors import RayFleet

        yield RayFleet(settings, workers, cluster=cluster)


async def served(
    service: Service, running: Running, access: Access, host: str, folder: Path, browser: bool
) -> None:
    """Serve until a signal comes, then end in order."""
    import asyncio
    import signal

    from graphengine import __version__
    from graphengine.server import presence

    ending = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, ending.set)
    await service.start()
    try:
        await running.start()
        url = f"{'https' if access.secure else 'http'}://{reached(host)}:{access.port}"
        link = f"{url}/?token={access.token}" if access.token else f"{url}/"
        with presence.noted(folder, url, access.token):
            typer.echo(f"GraphEngine {__version__} is at {link}")
            if browser:
                await asyncio.to_thread(visit, link)
            await ending.wait()
        typer.echo("ending; what runs has some seconds to finish", err=True)
        await running.close()
    finally:
        await service.close()


def warn(host: str, open: bool, named: bool) -> None:
    """Say what it means to be reached from elsewhere, or without a token."""
    beyond = not loopback(host)
    if beyond and open and not named:
        raise GraphEngineError(
            f"--open on {host} would let everybody who reaches this machine use it; if that is what you "
            "want, name the server with `--allowed-host` too"
        )
    if beyond:
        typer.secho(
            f"WARNING: the server listens on {host}, so other machines can reach it. Whoever has the token "
            "can run workflows, read all results and fill the disk. Use TLS (--certificate, or a proxy in "
            "front): without it the token can be read on the way.",
            fg="yellow",
            err=True,
        )
    if open:
        typer.secho(
            "WARNING: NO TOKEN IS WANTED (--open). Every program and every user of "
            + ("EVERY MACHINE THAT REACHES THIS ONE" if beyond else "this machine")
            + " can run workflows and read all results.",
            fg="red",
            bold=True,
            err=True,
        )


def loopback(host: str) -> bool:
    """Whether an address is reached from this machine only."""
    from ipaddress import ip_address

    try:
        return ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host.lower() == "localhost"


def shown(host: str) -> str:
    """An address as it stands in a link."""
    return f"[{host.lower()}]" if ":" in host and not host.startswith("[") else host.lower()


def reached(host: str) -> str:
    """The address under which this machine reaches the server."""
    return {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(host, shown(host))


def visit(link: str) -> None:
    """Open the editor."""
    import webbrowser

    webbrowser.open(link)
