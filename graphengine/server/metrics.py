"""Metrics: what has happened and how things stand, as text for Prometheus (exposition format 0.0.4)."""

from __future__ import annotations

import os
from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

MEDIA = "text/plain; version=0.0.4; charset=utf-8"
BUCKETS = (0.005, 0.02, 0.1, 0.5, 2.0, 10.0)
"""Seconds."""

Labels = tuple[tuple[str, str], ...]


class Row(NamedTuple):
    """A number with its labels."""

    value: float
    labels: Mapping[str, str] = {}
    suffix: str = ""


class Metrics:
    """Requests by method, route and status, and how long they took."""

    def __init__(self) -> None:
        self.requests: Counter[tuple[str, str, int]] = Counter()
        self.durations: defaultdict[str, list[int]] = defaultdict(lambda: [0] * (len(BUCKETS) + 1))
        self.seconds: Counter[str] = Counter()

    def count(self, method: str, route: str, status: int, seconds: float) -> None:
        """A request was answered. `route` is its row in the table, not its address: that has no end."""
        self.requests[method, route, status] += 1
        self.durations[route][bisect_left(BUCKETS, seconds)] += 1
        self.seconds[route] += seconds  # type: ignore[assignment]

    def text(self, now: Iterable[tuple[str, str, str, Iterable[Row]]]) -> str:
        """All of it, with what is told of how things stand: name, kind, meaning, rows."""
        requests = [
            Row(n, {"method": m, "route": r, "status": str(s)}) for (m, r, s), n in self.requests.items()
        ]
        families = [
            ("graphengine_requests_total", "counter", "Requests that were answered.", requests),
            ("graphengine_request_seconds", "histogram", "How long answers took.", self.histogram()),
            *now,
        ]
        return "".join(line for family in families for line in written(*family))

    def histogram(self) -> Iterator[Row]:
        """The rows of the durations."""
        for route, counts in self.durations.items():
            total = 0
            for bound, number in zip((*map(str, BUCKETS), "+Inf"), counts, strict=True):
                total += number
                yield Row(total, {"route": route, "le": bound}, "_bucket")
            yield Row(self.seconds[route], {"route": route}, "_sum")
            yield Row(total, {"route": route}, "_count")


def written(name: str, kind: str, about: str, rows: Iterable[Row]) -> Iterator[str]:
    """The lines of one family."""
    yield f"# HELP {name} {about}\n# TYPE {name} {kind}\n"
    for value, labels, suffix in rows:
        inside = ",".join(f'{key}="{escaped(text)}"' for key, text in labels.items())
        yield f"{name}{suffix}{{{inside}}} {value!r}\n" if inside else f"{name}{suffix} {value!r}\n"


def escaped(text: str) -> str:
    """The value of a label."""
    return text.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")


def resident() -> int:
    """Bytes of this process in memory; 0 where the system does not say."""
    try:
        pages = Path("/proc/self/statm").read_text().split()[1]
    except OSError:
        return 0
    return int(pages) * os.sysconf("SC_PAGE_SIZE")
