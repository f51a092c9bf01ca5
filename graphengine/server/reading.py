"""Reading: from the bytes of a request to data that is within the limits."""

from __future__ import annotations

import asyncio
from typing import Any, TypeVar

from aiohttp import web
from pydantic import BaseModel, ValidationError

from graphengine.errors import Problem, WorkflowError
from graphengine.reader import parsed
from graphengine.server.guard import single
from graphengine.server.limits import Limits
from graphengine.server.problem import Refused, of_validation, over

M = TypeVar("M", bound=BaseModel)
JSON = "application/json"
QUICK = 32 << 10
"""Bytes of JSON that are read at once; more are read in a thread, so that others need not wait."""
CHARSETS = ("charset=utf-8", 'charset="utf-8"')


def media(request: web.Request) -> str:
    """The media type of a body, in lower case; empty if none is given. Refused if it is not in UTF-8."""
    kind, *parameters = (single(request, "Content-Type") or "").lower().split(";")
    if any(parameter.strip() not in CHARSETS for parameter in parameters):
        raise Refused(415, "the only parameter that a Content-Type may have here is charset=utf-8")
    return kind.strip()


async def body(request: web.Request, wanted: tuple[str, ...], most: tuple[str, int], limits: Limits) -> bytes:
    """The bytes of a body of one of some media types; at most so many, by the name of their limit."""
    found = media(request)
    if found not in wanted:
        raise Refused(415, f"the body is wanted as {' or '.join(wanted)}, by its Content-Type")
    if (single(request, "Content-Encoding") or "identity").lower() != "identity":
        raise Refused(415, "the body is wanted as it is, without a Content-Encoding")
    name, size = most
    told = f"a body of more than {size:,} bytes is not taken"
    if (request.content_length or 0) > size:
        raise over(name, size, told)
    if (single(request, "Expect") or "").lower() == "100-continue" and request.body_exists:
        await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        request.writer.output_size = 0
    parts, loop = bytearray(), asyncio.get_running_loop()
    begun = loop.time()
    try:
        while True:
            async with asyncio.timeout_at(begun + limits.body_seconds + len(parts) / limits.body_rate):
                part = await request.content.readany()
            if not part:
                return bytes(parts)
            parts += part
            if len(parts) > size:
                raise over(name, size, told)
    except TimeoutError:
        raise over("body_seconds", limits.body_seconds, "the body comes too slowly", 408) from None
    except (web.PayloadAccessError, web.RequestPayloadError, ConnectionError, ValueError):
        raise Refused(400, "the body is not what its headers say") from None


async def json(raw: bytes, limits: Limits) -> Any:
    """The data of JSON text, within the limits."""
    return await asyncio.to_thread(data, raw, limits) if len(raw) > QUICK else data(raw, limits)


def data(raw: bytes, limits: Limits) -> Any:
    """The same, at once."""
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise Refused(400, "the body is not UTF-8 text") from None
    try:
        found, blemishes = parsed(text)
    except WorkflowError as error:
        raise Refused(400, "the body is not JSON as it is taken here", problems=error.problems) from None
    if blemishes:
        raise Refused(422, "the body has values that are not clear", name="json", problems=blemishes)
    bounded(found, limits)
    return found


def bounded(found: Any, limits: Limits) -> None:
    """Refused if data has more of something than the limits allow."""
    level, nodes = [found], 0
    for depth in range(limits.depth + 2):
        inner: list[Any] = []
        for value in level:
            kind = type(value)
            if kind is str:
                if len(value) > limits.string:
                    raise over("string", limits.string, f"a text of {len(value):,} characters is too long")
            elif kind is int:
                if not -limits.integer <= value <= limits.integer:
                    raise over("integer", limits.integer, "a whole number is too large", 422)
            elif kind is dict or kind is list:
                if len(value) > limits.items:
                    raise over("items", limits.items, f"a list or object of {len(value):,} items is too long")
                if depth > limits.depth:
                    raise over("depth", limits.depth, "lists and objects are nested too deeply", 422)
                if kind is list:
                    inner += value
                    continue
                if type(own := value.get("nodes")) is dict:
                    nodes += len(own)
                    if nodes > limits.nodes:
                        raise over(
                            "nodes", limits.nodes, f"the workflow has more than {limits.nodes:,} nodes"
                        )
                if any(len(key) > limits.string for key in value):
                    raise over("string", limits.string, "a key is too long")
                inner += value.values()
        if not inner:
            return
        level = inner


def model(kind: type[M], found: Any) -> M:
    """Data as what a route takes. Refused with every field that is wrong."""
    try:
        return kind.model_validate(found)
    except ValidationError as error:
        problems = of_validation(error.errors(include_url=False, include_input=False, include_context=False))
        raise Refused(422, "the body is not what is taken here", name="body", problems=problems) from None


def query(kind: type[M], request: web.Request) -> M:
    """The query of a request. Refused with every parameter that is wrong."""
    found: dict[str, Any] = {}
    problems = []
    for name in request.query:
        values = request.query.getall(name)
        field = kind.model_fields.get(name)
        several = field is not None and "list" in str(field.annotation).lower()
        if len(values) > 1 and not several:
            problems.append(Problem("", name[:200], "is there more than once"))
        found[name] = values if several else values[0]
    try:
        read = kind.model_validate(found)
    except ValidationError as error:
        problems += of_validation(error.errors(include_url=False, include_input=False, include_context=False))
    else:
        if not problems:
            return read
    raise Refused(422, "the query is not what is taken here", name="query", problems=problems)
