"""OpenAPI: the description is that of what is there, and what is there answers as it is described."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, get_args

import jsonschema
import pytest
from listening import FLOW

from graphengine import events
from graphengine.server import bodies, openapi
from graphengine.server.app import live as answered
from graphengine.server.limits import Limits
from graphengine.server.route import BODIES
from graphengine.server.routes import ROUTES

README = (Path(__file__).parent.parent.parent / "README.md").read_text("utf-8")


@pytest.fixture(scope="module")
def document(live) -> dict[str, Any]:
    answer = live.ask("GET", "/api/openapi.json")
    assert answer.status == 200
    return answer.json


def test_the_description_has_every_call_that_is_answered_and_no_other(live, document):
    described = {(m.upper(), path) for path, methods in document["paths"].items() for m in methods}
    calls = {(r.method, r.path) for r in ROUTES if not r.page}
    assert described == calls
    assert {(r.method, re.sub(r":[^}]+", "", r.path)) for r in ROUTES} == {
        (method, path) for method, path in answered(live.running.app)
    }


def test_every_reference_leads_to_a_schema(document):
    schemas = document["components"]["schemas"]
    for name in re.findall(r"#/components/schemas/(\w+)", str(document)):
        assert name in schemas
    for schema in schemas.values():
        jsonschema.Draft202012Validator.check_schema(schema)


def test_every_route_says_what_it_does_and_what_it_gives():
    for route in ROUTES:
        assert route.summary.endswith(".") or ":" in route.summary, route
        assert route.answer is not None or route.media or route.answers == (204,), route
        if route.method in BODIES:
            assert route.body is not None or route.takes or route.path == "/api/workflows/{name}", route
    assert len({openapi.operation(route)["operationId"] for route in ROUTES}) == len(ROUTES)


def test_every_body_is_closed():
    models = [m for m in vars(bodies).values() if isinstance(m, type) and issubclass(m, bodies.BaseModel)]
    assert len(models) > 30
    for model in models:
        if model is not bodies.BaseModel:
            assert model.model_config["extra"] == "forbid", model
            assert model.__doc__, model


def test_answers_are_as_they_are_described(live, document):
    job = live.submit()
    live.ended(job)
    live.ask("PUT", "/api/workflows/described", FLOW, {"If-None-Match": "*"})
    for method, path, body in (
        ("GET", "/api/jobs", None),
        ("GET", "/api/jobs/{id}", None),
        ("GET", "/api/jobs/{id}/events", None),
        ("GET", "/api/queue", None),
        ("GET", "/api/nodes", None),
        ("GET", "/api/workflows", None),
        ("GET", "/api/models", None),
        ("GET", "/health/ready", None),
        ("GET", "/health/live", None),
        ("POST", "/api/check", {"workflow": FLOW}),
        ("POST", "/api/plan", {"workflow": FLOW}),
        ("POST", "/api/jobs", {"workflow": FLOW}),
        ("POST", "/api/jobs", {"workflow": {}, "more": 1}),
        ("POST", "/api/jobs/{id}/retry", None),
    ):
        answer = live.ask(method, path.replace("{id}", job), body)
        described = document["paths"][path][method.lower()]["responses"]
        assert str(answer.status) in described, (method, path, answer)
        content = described[str(answer.status)]["content"]
        kind = answer.headers["Content-Type"].partition(";")[0]
        schema = {"$ref": content[kind]["schema"]["$ref"], "components": document["components"]}
        jsonschema.validate(answer.json, schema)


def test_every_route_and_every_limit_is_in_the_readme():
    for route in ROUTES:
        path = re.sub(r":[^}]+", "", route.path)
        assert re.search(rf"^\| `{route.method} {re.escape(path)}`", README, re.MULTILINE), (
            route.method,
            path,
        )
    rows = re.findall(r"^\| `(?:GET|POST|PUT|PATCH|DELETE) (\S+)`", README, re.MULTILINE)
    assert set(rows) == {re.sub(r":[^}]+", "", route.path) for route in ROUTES}
    for name in Limits.model_fields:
        assert f"`{name}`" in README, name


def test_every_option_of_serve_is_in_the_readme():
    from typer.main import get_command

    from graphengine.cli import app

    for option in get_command(app).commands["serve"].params:
        name = option.opts[0]
        assert f"`{name}" in README or name == "--help", name


def test_every_event_is_in_the_readme():
    kinds = [kind for kind in get_args(events.Event)]
    assert len(kinds) > 8
    for kind in set(kinds) - {events.NodePreview}:
        name = re.sub("(?<=[a-z])(?=[A-Z])", "_", kind.__name__).lower()
        assert f"`{name}`" in README, name
    assert "`job`" in README
