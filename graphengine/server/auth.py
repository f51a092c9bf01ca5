"""Auth: the token. A browser is given it once, in a link, and then keeps it in a cookie.

The cookie is of no use to scripts (HttpOnly) nor to pages of other sites (SameSite=Strict). Programs send
`Authorization: Bearer TOKEN`. Nothing else is looked at, so a token never stands in the address of a call.
"""

from __future__ import annotations

import hmac

from aiohttp import web

from graphengine.server.guard import Access, Caller
from graphengine.server.problem import Refused

OPEN = frozenset({"/health/live"})
"""What anybody may ask."""
CALLS = ("/api/", "/health/", "/metrics")
"""Addresses of calls, where a token in the query counts for nothing."""


def check(request: web.Request, access: Access) -> None:
    """Refused if a request does not show the token."""
    if access.token is None or request.path in OPEN or shown(request, access, access.token):
        return
    raise Refused(
        401,
        "the token of this server is wanted: open the link that it has printed, or send it as "
        "`Authorization: Bearer TOKEN`",
        name="token",
        headers={"WWW-Authenticate": 'Bearer realm="graphengine"'},
    )


def shown(request: web.Request, access: Access, token: str) -> bool:
    """Whether the token is in the header or in the cookie."""
    values = request.headers.getall("Authorization", [])
    if values:
        scheme, _, given = values[0].partition(" ")
        return len(values) == 1 and scheme.lower() == "bearer" and same(given.strip(" "), token)
    kept = request.cookies.get(access.cookie)
    return kept is not None and same(kept, token)


def same(given: str, token: str) -> bool:
    """Whether two texts are equal; how long it takes does not tell where they differ."""
    return hmac.compare_digest(given.encode("utf-8", "surrogateescape"), token.encode())


def entrance(request: web.Request, access: Access, caller: Caller) -> web.Response | None:
    """For the link with the token: its cookie, and the way to the page without it. None for all else."""
    given = request.query.getall("token", [])
    if request.method != "GET" or not given or request.path.startswith(CALLS) or access.token is None:
        return None
    if len(given) > 1 or not same(given[0], access.token):
        raise Refused(
            401, "the token in the link is not this server's; open the link that it has printed", name="token"
        )
    target = request.rel_url.without_query_params("token")
    response = web.Response(status=303, headers={"Location": "/" + str(target).lstrip("/\\")})
    response.set_cookie(
        access.cookie,
        access.token,
        path="/",
        httponly=True,
        samesite="Strict",
        secure=caller.scheme == "https",
    )
    return response
