"""Order: a job as it is given to a worker."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from graphengine.channel import Message


@dataclass(frozen=True, slots=True)
class Order:
    """A job for a worker: what to run, where to put its files, and which attempt of which job it is.

    `limit` is the number of seconds that each node may take (None: any).
    """

    job: str
    epoch: int
    workflow: str
    targets: tuple[str, ...]
    staging: str
    limit: float | None = None

    def message(self) -> Message:
        """As it is sent."""
        return Message({"kind": "run", **asdict(self)})

    @classmethod
    def of(cls, head: Mapping[str, Any]) -> Order:
        """The inverse of `message`."""
        return cls(
            head["job"],
            head["epoch"],
            head["workflow"],
            tuple(head["targets"]),
            head["staging"],
            head["limit"],
        )
