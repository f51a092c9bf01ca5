"""Nodes: which types there are, what may be chosen, and whether a workflow of them can run."""

from __future__ import annotations

import asyncio
import json

from blake3 import blake3

from graphengine.errors import Problem
from graphengine.registry import Manifest
from graphengine.server import bodies
from graphengine.server.route import Answer, Call, Route
from graphengine.server.veil import Veil

INSIDE = {"module", "name", "code", "shows"}
"""Fields of a node type that are of no use outside of the engine."""


async def listed(call: Call) -> Answer:
    """Every type of nodes with its inputs, outputs and hints for an editor; the wire types and packs."""
    site = call.site
    manifest = await site.service.types()
    if not site.nodes or site.nodes[0][0] is not manifest:
        text = await asyncio.to_thread(written, manifest, site.veil, site.service.settings.dev)
        site.nodes[:] = [(manifest, text, f'"{blake3(text).hexdigest(length=16)}"')]
    _, text, etag = site.nodes[0]
    headers = {"ETag": etag, "Cache-Control": "private, no-cache"}
    known = call.request.headers.get("If-None-Match", "").split(",")
    if etag in [tag.strip().removeprefix("W/") for tag in known]:
        return Answer(None, 304, headers)
    return Answer(text, 200, headers)


def written(manifest: Manifest, veil: Veil, traces: bool) -> bytes:
    """The node types as JSON, with or without the tracebacks of packs that cannot be used."""
    types = [
        {name: value for name, value in kind.to_json().items() if name not in INSIDE}
        for kind in manifest.types.values()
    ]
    found = bodies.Nodes(
        types=types,
        wires=[bodies.Wire(name=w.name, colour=w.colour, doc=w.doc) for w in manifest.wires.values()],
        converters=manifest.converters,
        packs=[bodies.Pack(name=pack.name, version=pack.version) for pack in manifest.packs],
        problems=[
            bodies.PackProblem(pack=p.pack, text=veil(p.text), trace=veil(p.trace) if traces else "")
            for p in manifest.problems
        ],
    )
    return json.dumps(found.model_dump(), separators=(",", ":")).encode()


async def choices(call: Call) -> bodies.Choices:
    """What may be chosen now for an input, such as the models that are there."""
    found = await call.site.service.choices(call.name("type")[:200], call.name("input")[:200])
    return bodies.Choices(choices=list(found))


async def checked(call: Call, body: bodies.Check) -> bodies.Problems:
    """Check a workflow: everything that is wrong with it, at once."""
    found = list(await call.site.service.check(body.workflow))
    most = call.site.limits.problems
    if len(found) > most:
        found = [*found[:most], Problem("", "", f"and {len(found) - most} more problems")]
    veil = call.site.veil
    return bodies.Problems(
        problems=[bodies.Place(node=p.node, input=p.input, text=veil(p.text)) for p in found]
    )


async def planned(call: Call, body: bodies.Plan) -> bodies.Planned:
    """What of a workflow would run, and what is cached."""
    found = await call.site.service.plan(body.workflow, body.inputs, body.targets)
    return bodies.Planned(steps=list(found.steps), cached=list(found.cached), skipped=list(found.skipped))


ROUTES = (
    Route("GET", "/api/nodes", listed, (200, 304), model=bodies.Nodes),
    Route("GET", "/api/nodes/{type}/choices/{input}", choices, errors=(404, 503)),
    Route("POST", "/api/check", checked, errors=(404, 422)),
    Route("POST", "/api/plan", planned, errors=(404, 422, 503)),
)
