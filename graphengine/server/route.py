"""Route: one row of the table of routes. What it takes and gives is read off its handler's signature.

A handler takes a Call, and by the names `body` and `query` the models that it wants. It gives a model of
`bodies`, or an Answer with headers beside it, or a response of its own (a file, a stream of events).
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple, get_type_hints

from aiohttp import web
from pydantic import BaseModel

from graphengine.server import reading
from graphengine.server.bodies import NoQuery, Nothing
from graphengine.server.guard import Caller
from graphengine.server.problem import Refused
from graphengine.server.site import Site

BODIES = ("POST", "PUT", "PATCH")
"""Methods that may have a body."""


class Call(NamedTuple):
    """A request that has passed the guard, with the site that it came to."""

    site: Site
    request: web.Request
    caller: Caller

    def name(self, part: str) -> str:
        """A part of the address, such as the `id` of a job."""
        return self.request.match_info[part]


class Answer(NamedTuple):
    """A body with a status and headers of its own; no body is an empty answer, a text one that is ready."""

    body: BaseModel | bytes | None = None
    status: int | None = None
    headers: Mapping[str, str] = {}


@dataclass(frozen=True)
class Route:
    """One method of one address. `answers` are its statuses, `errors` those of its problems.

    `media` are the types of what it gives, where that is no JSON; `takes` those of a body that is no JSON;
    `raw` says that a JSON body reaches the handler as bytes too.
    """

    method: str
    path: str
    handler: Callable[..., Any]
    answers: tuple[int, ...] = (200,)
    errors: tuple[int, ...] = ()
    media: tuple[str, ...] = ()
    takes: tuple[str, ...] = ()
    model: type[BaseModel] | None = None
    """What the JSON answer is, where the handler's signature does not say it."""

    @cached_property
    def hints(self) -> dict[str, Any]:
        """The types in the handler's signature."""
        return get_type_hints(self.handler)

    @cached_property
    def body(self) -> type[BaseModel] | None:
        """The model of the body, if it is JSON that has one."""
        hint = self.hints.get("body")
        if hint is None and self.method in BODIES:
            return Nothing
        return hint if inspect.isclass(hint) and issubclass(hint, BaseModel) else None

    @cached_property
    def query(self) -> type[BaseModel]:
        """The model of the query."""
        found: type[BaseModel] = self.hints.get("query", NoQuery)
        return found

    @cached_property
    def answer(self) -> type[BaseModel] | None:
        """The model of the JSON answer, if it has one."""
        hint = self.model or self.hints.get("return")
        return hint if inspect.isclass(hint) and issubclass(hint, BaseModel) else None

    @property
    def page(self) -> bool:
        """Whether it is for people: its query may hold anything."""
        return not self.path.startswith(("/api/", "/health/", "/metrics"))

    @property
    def summary(self) -> str:
        """What it does, in a sentence."""
        return (inspect.getdoc(self.handler) or "").partition("\n")[0]

    async def respond(self, call: Call) -> web.StreamResponse:
        """Read what it takes, call the handler, and write what it gives."""
        taken: dict[str, Any] = {}
        if not self.page:
            query = reading.query(self.query, call.request)
            if "query" in self.hints:
                taken["query"] = query
        body = await self.read(call)
        if "body" in self.hints:
            taken["body"] = body
        given = await self.handler(call, **taken)
        return given if isinstance(given, web.StreamResponse) else await self.written(given)

    async def read(self, call: Call) -> Any:
        """The body: a model, or the bytes of one that is no JSON or is a workflow."""
        request, limits = call.request, call.site.limits
        if self.method not in BODIES:
            if request.body_exists:
                raise Refused(400, f"{self.method} takes no body")
            return None
        if self.takes:
            return await reading.body(request, self.takes, ("upload", limits.upload), limits)
        if self.body is Nothing and not request.body_exists and not reading.media(request):
            return Nothing()
        raw = await reading.body(request, (reading.JSON,), ("body", limits.body), limits)
        if self.body is Nothing and not raw:
            return Nothing()
        data = await reading.json(raw, limits)
        return raw if self.body is None else reading.model(self.body, data)

    async def written(self, given: BaseModel | Answer) -> web.Response:
        """The response to what a handler gave."""
        body, status, headers = given if isinstance(given, Answer) else (given, None, {})
        status = status or self.answers[0]
        if body is None:
            return web.Response(status=status, headers=headers)
        if isinstance(body, BaseModel):
            # What may be large is written in a thread: pydantic lets other threads run too seldom.
            text = await asyncio.to_thread(body.model_dump_json) if large(body) else body.model_dump_json()
            body = text.encode()
        return web.Response(status=status, body=body, content_type=reading.JSON, headers=headers)


def large(body: BaseModel) -> bool:
    """Whether a body holds a workflow, or many rows."""
    values = [getattr(body, name) for name in type(body).model_fields]
    return any(isinstance(value, dict) or (isinstance(value, list) and len(value) > 100) for value in values)
