"""Guard: who asks, under which name, and from which page. It comes before the token.

A browser sends requests to this machine on behalf of any page that is open in it. What tells them apart are
the name that the page used (Host: a name that somebody has pointed at this address is refused) and the page
itself (Origin, Sec-Fetch-Site). None of them is ever trusted to let somebody in; that is what the token is
for.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from ipaddress import ip_address
from typing import NamedTuple

from aiohttp import HttpVersion10, web

from graphengine.server.problem import Refused

LOOPBACK = frozenset({"localhost", "127.0.0.1", "[::1]"})
NAME = r"[a-z0-9][a-z0-9-]{0,62}(?:\.[a-z0-9][a-z0-9-]{0,62}){0,20}"
HOST = re.compile(rf"(\[[0-9a-f:.]{{2,45}}\]|{NAME})(?::([0-9]{{1,5}}))?")
PORTS = {"http": "80", "https": "443"}


@dataclass(frozen=True)
class Access:
    """Who may ask. `token` is what a client must show (None: nothing); `port` the one that is listened on.

    `hosts` are the names that the server goes by beside those of this machine; `origins` the pages of other
    servers that may ask, such as `https://pictures.example`; `proxies` the addresses whose X-Forwarded-*
    headers are believed; `secure` says that the server itself speaks TLS.
    """

    token: str | None = field(repr=False)
    port: int
    hosts: frozenset[str] = frozenset()
    origins: frozenset[str] = frozenset()
    proxies: frozenset[str] = frozenset()
    secure: bool = False

    @property
    def cookie(self) -> str:
        """The name of the cookie that holds the token: browsers do not keep those of two ports apart."""
        return f"graphengine-{self.port}"


class Caller(NamedTuple):
    """Who asks: the address of the client, and the scheme and host under which it knows this server."""

    client: str
    scheme: str
    host: str


def check(request: web.Request, access: Access) -> Caller:
    """Who asks. Refused if it may not."""
    found = caller(request, access)
    origin = single(request, "Origin")
    known = origin is not None and origin.lower() in access.origins
    if origin is not None and not known and normal(origin) != normal(f"{found.scheme}://{found.host}"):
        raise Refused(
            403,
            "the request comes from a page of another origin; see --allowed-origin",
            name="origin",
        )
    site = (single(request, "Sec-Fetch-Site") or "none").lower()
    if site not in ("none", "same-origin") and not known and not (site == "same-site" and visit(request)):
        raise Refused(403, "the request comes from a page of another site", name="origin")
    return found


def visit(request: web.Request) -> bool:
    """Whether somebody follows a link to a page, which the page with the link learns nothing from."""
    mode, aim = request.headers.get("Sec-Fetch-Mode"), request.headers.get("Sec-Fetch-Dest")
    return request.method == "GET" and mode == "navigate" and aim == "document"


def caller(request: web.Request, access: Access) -> Caller:
    """The client, the scheme and the host of a request. Refused for a host that is not this server's."""
    if request.version < HttpVersion10:
        raise Refused(400, "the version of HTTP is 1.0 or 1.1 here")
    if not request.raw_path.startswith("/"):
        raise Refused(400, "the address in a request begins with a slash; this is no proxy")
    client, host = plain(request.remote or ""), single(request, "Host")
    scheme = "https" if access.secure else "http"
    if client in access.proxies:
        scheme = single(request, "X-Forwarded-Proto") or scheme
        host = single(request, "X-Forwarded-Host") or host
        client = forwarded(request.headers.getall("X-Forwarded-For", []), access.proxies) or client
    if scheme not in PORTS:
        raise Refused(400, "X-Forwarded-Proto is http or https")
    if host is None:
        raise Refused(400, "the request has no Host header")
    found = HOST.fullmatch(host.lower())
    if found is None or int(found[2] or 0) > 65535:
        raise Refused(400, "the Host header is not a name or an address, with or without a port")
    if found[1] not in LOOPBACK | access.hosts and found[1] != bound(request):
        raise Refused(
            421,
            "this server does not go by the name in the Host header; see --allowed-host",
            name="host",
        )
    return Caller(client, scheme, host.lower())


def bound(request: web.Request) -> str:
    """The address of this machine that a connection has come in at, as a Host header has it."""
    name = request.transport.get_extra_info("sockname") if request.transport is not None else None
    address = plain(str(name[0])) if isinstance(name, tuple) else ""
    return f"[{address}]" if ":" in address else address


def forwarded(values: list[str], proxies: frozenset[str]) -> str | None:
    """The client that a chain of proxies names: the last that is not one of ours. None if that is none."""
    for text in reversed([part.strip() for value in values for part in value.split(",")]):
        try:
            address = plain(str(ip_address(text)))
        except ValueError:
            return None
        if address not in proxies:
            return address
    return None


def plain(address: str) -> str:
    """An address in its usual form: one of IPv4 as such, not inside one of IPv6."""
    try:
        found = ip_address(address.partition("%")[0])
    except ValueError:
        return address
    inner = getattr(found, "ipv4_mapped", None)
    return str(inner or found)


def normal(origin: str) -> str | None:
    """An origin with its port, in lower case; None for what is no origin, such as `null`."""
    scheme, mark, rest = origin.lower().partition("://")
    found = HOST.fullmatch(rest)
    if not mark or scheme not in PORTS or found is None:
        return None
    return f"{scheme}://{found[1]}:{found[2] or PORTS[scheme]}"


def single(request: web.Request, name: str) -> str | None:
    """A header that may be there once. Refused if it is there more often."""
    values = request.headers.getall(name, [])
    if len(values) > 1:
        raise Refused(400, f"the header {name} is there more than once")
    return values[0] if values else None
