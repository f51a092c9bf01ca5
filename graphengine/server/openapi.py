"""OpenAPI: the description of the API, made from the table of routes."""

from __future__ import annotations

import inspect
import re
from collections.abc import Sequence
from http import HTTPStatus
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from graphengine import __version__
from graphengine.server import auth
from graphengine.server.bodies import NoQuery, Nothing, ProblemDocument
from graphengine.server.problem import MEDIA
from graphengine.server.reading import JSON
from graphengine.server.route import BODIES, Route

EVERYWHERE = (400, 403, 421, 500)
"""Statuses of problems that any request may get."""
WITH_BODY = (408, 413, 415, 422)
"""Those that any request with a body may get."""
REFERENCE = "#/components/schemas/{model}"
HEADERS = {
    ("POST", "/api/jobs"): ("Idempotency-Key",),
    ("GET", "/api/events"): ("Last-Event-ID",),
    ("GET", "/api/jobs/{id}/events"): ("Last-Event-ID",),
    ("GET", "/api/nodes"): ("If-None-Match",),
    ("GET", "/api/workflows/{name}"): ("If-None-Match",),
    ("PUT", "/api/workflows/{name}"): ("If-Match", "If-None-Match"),
    ("DELETE", "/api/workflows/{name}"): ("If-Match",),
}
"""Headers that mean something to a route."""


def document(routes: Sequence[Route]) -> dict[str, Any]:
    """The whole description, of the calls; the pages for people are not in it."""
    calls = [route for route in routes if not route.page]
    paths: dict[str, dict[str, Any]] = {}
    for route in calls:
        paths.setdefault(route.path, {})[route.method.lower()] = operation(route)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "GraphEngine",
            "version": __version__,
            "description": "Submit workflows as jobs, follow them, and get what they give.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "security": [{"bearer": []}],
        "paths": paths,
        "components": {
            "securitySchemes": {"bearer": {"type": "http", "scheme": "bearer"}},
            "schemas": schemas(calls),
        },
    }


def operation(route: Route) -> dict[str, Any]:
    """One method of one address."""
    found: dict[str, Any] = {
        "operationId": f"{route.handler.__module__.rpartition('.')[2]}_{route.handler.__name__}",
        "summary": route.summary,
        "description": inspect.getdoc(route.handler) or "",
        "parameters": parameters(route),
        "responses": responses(route),
    }
    if route.path in auth.OPEN:
        found["security"] = []
    if content := taken(route):
        found["requestBody"] = {"required": route.body is not Nothing, "content": content}
    return found


def parameters(route: Route) -> list[dict[str, Any]]:
    """What stands in the address, in the query, and in headers."""
    text = {"type": "string"}
    found = [
        {"name": name, "in": "path", "required": True, "schema": text}
        for name in re.findall(r"\{(\w+)", route.path)
    ]
    if route.query is not NoQuery:
        schema = route.query.model_json_schema()
        found += [
            {"name": name, "in": "query", "required": False, "schema": spec}
            for name, spec in schema.get("properties", {}).items()
        ]
    names = HEADERS.get((route.method, route.path), ())
    return found + [{"name": name, "in": "header", "required": False, "schema": text} for name in names]


def taken(route: Route) -> dict[str, Any]:
    """The bodies that it takes, by media type."""
    if route.method not in BODIES:
        return {}
    if route.takes:
        return {kind: {} for kind in route.takes}
    return {JSON: {"schema": reference(route.body) if route.body else {"type": "object"}}}


def responses(route: Route) -> dict[str, Any]:
    """What it gives, by status."""
    found: dict[str, Any] = {}
    for status in route.answers:
        found[str(status)] = {"description": HTTPStatus(status).phrase}
        content: dict[str, Any] = {kind: {} for kind in route.media}
        if route.answer is not None:
            content[JSON] = {"schema": reference(route.answer)}
        if content and status not in (101, 204, 304):
            found[str(status)]["content"] = content
    problems = {*EVERYWHERE, *route.errors} | ({*WITH_BODY} if route.method in BODIES else set())
    if route.path not in auth.OPEN:
        problems.add(401)
    if route.query is not NoQuery or not route.page:
        problems.add(422)
    for status in sorted(problems - set(route.answers)):
        content = {MEDIA: {"schema": reference(ProblemDocument)}}
        found[str(status)] = {"description": HTTPStatus(status).phrase, "content": content}
    return found


def reference(model: type[BaseModel]) -> dict[str, str]:
    """Where the schema of a body stands."""
    return {"$ref": REFERENCE.format(model=model.__name__)}


def schemas(routes: Sequence[Route]) -> dict[str, Any]:
    """The schemas of all bodies."""
    models: dict[type[BaseModel], Any] = {ProblemDocument: "serialization"}
    for route in routes:
        if route.answer is not None:
            models[route.answer] = "serialization"
        if route.body is not None:
            models[route.body] = "validation"
    _, found = models_json_schema(list(models.items()), ref_template=REFERENCE)
    return dict(found.get("$defs", {}))
