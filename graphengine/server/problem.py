"""Problems: what a client is told when it does not get what it asked for (RFC 9457).

Only what is raised here as `Refused`, and the errors of the engine that are meant for users, say why. Of
anything else a client learns the number of its request, under which the log has the rest.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

from aiohttp import web

from graphengine.errors import (
    Conflict,
    NotFound,
    OverLimit,
    Problem,
    StoreError,
    Unavailable,
    WorkflowError,
)
from graphengine.server.bodies import Limit, Place, ProblemDocument
from graphengine.server.veil import Veil

MEDIA = "application/problem+json"
LONGEST = 2000
"""Characters of one sentence that a client is told."""


class Refused(Exception):
    """A request that is not answered as it was asked: its status, and why in one sentence.

    `limit` names a field of Limits and how much it allows; `name` a kind of problem that programs tell apart.
    """

    def __init__(
        self,
        status: int,
        detail: str,
        *,
        name: str = "",
        problems: Sequence[Problem] = (),
        limit: tuple[str, float] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(detail)
        self.status, self.detail, self.name, self.problems = status, detail, name, tuple(problems)
        self.limit, self.headers = limit, dict(headers or {})


def over(name: str, most: float, detail: str, status: int = 413) -> Refused:
    """What is told of something beyond a limit."""
    return Refused(status, detail, name="over-limit", limit=(name, most))


def refused(error: BaseException) -> Refused | None:
    """What a client is told of an error; None for one that it is told nothing of."""
    match error:
        case Refused():
            return error
        case WorkflowError():
            return Refused(
                422, "the workflow cannot be used", name="invalid-workflow", problems=error.problems
            )
        case NotFound():
            return Refused(404, str(error), name="not-found")
        case Conflict():
            return Refused(409, str(error), name="conflict")
        case OverLimit():
            return Refused(422, str(error), name="over-limit")
        case Unavailable():
            return Refused(503, str(error), name="no-worker", headers={"Retry-After": "2"})
        case StoreError():
            detail = "the server cannot use its disk now; ask again soon"
            return Refused(503, detail, name="store", headers={"Retry-After": "5"})
        case web.HTTPException() if error.status >= 400:
            return of_http(error)
    return None


def of_http(error: web.HTTPException) -> Refused:
    """What aiohttp itself refuses: a path or a method that is in no route."""
    if error.status == 405:
        allowed = error.headers.get("Allow", "")
        return Refused(405, f"this address is asked with {allowed}", headers={"Allow": allowed})
    if error.status == 404:
        return Refused(404, "there is nothing at this address; GET /api/openapi.json lists what there is")
    return Refused(error.status, HTTPStatus(error.status).phrase)


def document(found: Refused, request: str, veil: Veil, most: int) -> ProblemDocument:
    """The body of the answer. `most` problems are told, and how many more there are."""
    told = [Place(node=p.node, input=p.input, text=veil(p.text)[:LONGEST]) for p in found.problems[:most]]
    if len(found.problems) > most:
        text = f"and {len(found.problems) - most} more problems; the first {most} are told"
        told.append(Place(node="", input="", text=text))
    return ProblemDocument(
        type=f"/problems/{found.name}" if found.name else "about:blank",
        title=HTTPStatus(found.status).phrase,
        status=found.status,
        detail=veil(found.detail)[:LONGEST],
        request=request,
        problems=told or None,
        limit=Limit(name=found.limit[0], most=found.limit[1]) if found.limit else None,
    )


def answer(found: Refused, request: str, veil: Veil, most: int = 1000) -> web.Response:
    """The answer itself."""
    body = document(found, request, veil, most).model_dump_json(exclude_none=True)
    response = web.Response(
        status=found.status, body=body.encode(), content_type=MEDIA, headers=found.headers
    )
    if found.status in (400, 408, 413, 431):
        response.force_close()  # what follows on this connection may be the rest of what was refused
    return response


def unexpected(request: str) -> Refused:
    """What a client is told of an error that nobody foresaw."""
    detail = f"something went wrong in the server; its log says what, under the request {request}"
    return Refused(500, detail)


def of_validation(errors: Sequence[Mapping[str, Any]]) -> list[Problem]:
    """Pydantic's errors as problems: the path of the field, and what is wrong there; never the value."""
    return [
        Problem("", ".".join(map(str, error["loc"]))[:200], str(error["msg"])[:300]) for error in errors[:100]
    ]
