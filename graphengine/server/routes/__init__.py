"""The table of all routes."""

from __future__ import annotations

from graphengine.server.route import Route
from graphengine.server.routes import (
    events,
    health,
    jobs,
    models,
    nodes,
    outputs,
    pages,
    queue,
    uploads,
    workflows,
)

ROUTES: tuple[Route, ...] = (
    *jobs.ROUTES,
    *queue.ROUTES,
    *events.ROUTES,
    *nodes.ROUTES,
    *workflows.ROUTES,
    *uploads.ROUTES,
    *outputs.ROUTES,
    *models.ROUTES,
    *health.ROUTES,
    *pages.ROUTES,
)
