"""Models: what is under the model roots."""

from __future__ import annotations

import asyncio

from graphengine.server import bodies
from graphengine.server.route import Call, Route

FIELDS = tuple(bodies.Model.model_fields)


async def listed(call: Call) -> bodies.Models:
    """List everything under the model roots; weights are not read."""
    veil = call.site.veil
    await call.site.service.types()
    rows = await asyncio.to_thread(call.site.service.models)
    return bodies.Models(
        models=[
            bodies.Model(
                **{name: row[name] for name in FIELDS if name not in ("problem", "missing")},
                problem=veil(row["problem"] or ""),
                missing=[veil(text) for text in row["missing"]],
            )
            for row in rows
        ]
    )


ROUTES = (Route("GET", "/api/models", listed),)
