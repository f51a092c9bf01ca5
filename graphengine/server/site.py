"""Site: what all requests share. Made once, with the application."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from graphengine.server.guard import Access
from graphengine.server.limits import Limits
from graphengine.server.metrics import Metrics
from graphengine.server.veil import Veil

if TYPE_CHECKING:
    from graphengine.registry import Manifest
    from graphengine.server.disk import Disk
    from graphengine.server.pictures import Pictures
    from graphengine.server.streams import Streams
    from graphengine.service import Service


@dataclass(frozen=True)
class Site:
    """The service, who may ask it, for how much, and what is counted meanwhile."""

    service: Service
    access: Access
    limits: Limits
    veil: Veil
    streams: Streams
    pictures: Pictures
    disk: Disk
    metrics: Metrics = field(default_factory=Metrics)
    nodes: list[tuple[Manifest, bytes, str]] = field(default_factory=list)
    """The node types as they were told last, with their etag: half a megabyte that seldom changes."""
