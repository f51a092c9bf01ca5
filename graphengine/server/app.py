"""App: the aiohttp application of a Site: its routes, and what stands around each of them."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Awaitable, Callable
from time import perf_counter
from typing import TYPE_CHECKING, Any

from aiohttp import web

from graphengine import resources
from graphengine.config import Settings
from graphengine.server import auth, guard, log, problem
from graphengine.server.disk import Disk
from graphengine.server.guard import Access, Caller
from graphengine.server.limits import Limits
from graphengine.server.pictures import Pictures
from graphengine.server.route import Call, Route
from graphengine.server.routes import ROUTES
from graphengine.server.site import Site
from graphengine.server.streams import Streams
from graphengine.server.veil import veil

if TYPE_CHECKING:
    from graphengine.service import Service

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "X-Frame-Options": "DENY",
    "Content-Security-Policy": "default-src 'self'; img-src 'self' blob: data:; connect-src 'self'; "
    "style-src 'self' 'unsafe-inline'; frame-ancestors 'none'; base-uri 'none'; form-action 'self'",
    "Cache-Control": "no-store",
}
"""What every answer has, unless it says otherwise."""
HERE = web.AppKey("site", Site)
NUMBER = web.RequestKey("number", str)
CALLER = web.RequestKey("caller", Caller)
REFUSED = """<!doctype html>
<html lang="en"><meta charset="utf-8"><title>GraphEngine</title>
<style>body { font: 16px/1.5 system-ui; max-width: 40em; margin: 4em auto; padding: 0 1em }</style>
<h1>GraphEngine</h1>
<p>This server wants its token. Open the link that it printed when it was started; this browser then keeps the
token as long as the server runs.</p>
"""


def site(service: Service, settings: Settings, access: Access, limits: Limits | None = None) -> Site:
    """What all requests to a service share."""
    limits = limits or Limits()
    hidden = veil(settings, (access.token,) if access.token else ())
    return Site(
        service=service,
        access=access,
        limits=limits,
        veil=hidden,
        streams=Streams(limits, hidden),
        pictures=Pictures(service.uploads, resources.workflows(), limits.pixels),
        disk=Disk((settings.data / "outputs", service.uploads, settings.data / "workflows"), limits.disk),
    )


def make(found: Site) -> web.Application:
    """The application."""
    app = web.Application(middlewares=[around], handler_args={})
    app[HERE] = found
    for route in ROUTES:
        app.router.add_route(route.method, route.path, bound(found, route), expect_handler=patient)
    app.on_response_prepare.append(finish)
    app.on_shutdown.append(end)
    return app


def bound(found: Site, route: Route) -> Handler:
    """The handler of a route, for aiohttp."""

    async def handler(request: web.Request) -> web.StreamResponse:
        return await route.respond(Call(found, request, request[CALLER]))

    handler.__dict__["route"] = route
    return handler


async def patient(request: web.Request) -> None:
    """A client that asks before it sends its body is answered when the body is read, if it ever is."""
    if request.headers.get("Expect", "").lower() != "100-continue":
        raise web.HTTPExpectationFailed


@web.middleware
async def around(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Number the request, let it through or not, turn errors into problems, and write all that down."""
    found, begun = request.app[HERE], perf_counter()
    id = request[NUMBER] = secrets.token_hex(8)
    caller: Caller | None = None
    response: web.StreamResponse | None
    try:
        caller = request[CALLER] = guard.check(request, found.access)
        response = auth.entrance(request, found.access, caller)
        if response is None:
            auth.check(request, found.access)
            response = await handler(request)
    except asyncio.CancelledError:
        raise
    except Exception as error:
        response = told(found, request, id, error)
    fields = {
        "request": id,
        "client": caller.client if caller else request.remote,
        "method": request.method[:20],
        "path": request.path[:300],
        "status": response.status,
        "seconds": round(perf_counter() - begun, 4),
    }
    if job := request.match_info.get("id") if "/jobs/" in request.path else None:
        fields["job"] = job[:64]
    log.request(fields)
    resource = request.match_info.route.resource
    path = resource.canonical if resource is not None else "other"
    method = request.method if request.method in METHODS else "other"
    found.metrics.count(method, path, response.status, perf_counter() - begun)
    return response


METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


def told(found: Site, request: web.Request, id: str, error: Exception) -> web.StreamResponse:
    """What a client is told of an error, and what the log is."""
    refused = problem.refused(error)
    if refused is None:
        log.error("a request has failed", {"request": id, "path": request.path[:300]}, error)
        refused = problem.unexpected(id)
    elif refused.status >= 500:
        log.error("a request was not served", {"request": id, "path": request.path[:300]}, error)
    if refused.status == 401 and request.path == "/" and "text/html" in request.headers.get("Accept", ""):
        return web.Response(status=401, text=REFUSED, content_type="text/html")
    return problem.answer(refused, id, found.veil, found.limits.problems)


async def finish(request: web.Request, response: web.StreamResponse) -> None:
    """Add the headers that every answer has."""
    headers = response.headers
    headers.popall("Server", None)
    for name, value in HEADERS.items():
        headers.setdefault(name, value)
    if number := request.get(NUMBER):
        headers["X-Request-Id"] = number
    if response.status >= 400:
        headers["Cache-Control"] = "no-store"


async def end(app: web.Application) -> None:
    """The server ends: so do the streams."""
    await app[HERE].streams.close()


def live(app: web.Application) -> set[tuple[str, str]]:
    """The methods and addresses that the application answers."""
    found: set[tuple[str, str]] = set()
    for route in app.router.routes():
        resource: Any = route.resource
        found.add((route.method, resource.canonical))
    return found
