"""Where the boxes of a drawing stand, and how its wires run: layers from left to right.

Pure geometry: boxes with ports and the wires between them go in, coordinates come out. The steps are those
of Sugiyama, Tagawa and Toda 1981: columns, lanes for long wires, order within a column, coordinates.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from graphengine.analysis import layers

GAP_X, GAP_Y, LANE = 64.0, 26.0, 12.0
"""Space between columns, between boxes in a column, and what a passing wire takes."""
SWEEPS = 8

End = tuple[str, str]
"""A box and one of its ports."""
Point = tuple[float, float]


class Box(NamedTuple):
    """A rectangle; ports by name with their height below its top edge."""

    width: float
    height: float
    ins: Mapping[str, float]
    outs: Mapping[str, float]


class Placed(NamedTuple):
    """Top left corners by box, the points through which each wire runs, and the size of it all."""

    at: dict[str, Point]
    paths: list[list[Point]]
    width: float
    height: float


def place(
    boxes: Mapping[str, Box],
    wires: Sequence[tuple[End, End]],
    entry: str = "",
    exit: str = "",
    room: float = GAP_X,
) -> Placed:
    """Lay out boxes; `entry` and `exit` stand alone at the left and at the right."""
    inner = [name for name in boxes if name not in (entry, exit)]
    edges = [(a[0], b[0]) for a, b in wires if {a[0], b[0]}.isdisjoint((entry, exit)) and a[0] != b[0]]
    columns = [*([[entry]] if entry else []), *layers(edges, inner), *([[exit]] if exit else [])]
    grid = Grid(boxes, columns, wires)
    grid.untangle()
    grid.settle()
    return grid.drawn(room)


class Grid:
    """Boxes in columns, with a lane in each column that a wire passes.

    Wires from one port share their lanes.
    """

    def __init__(
        self, boxes: Mapping[str, Box], columns: list[list[str]], wires: Sequence[tuple[End, End]]
    ) -> None:
        self.boxes, self.columns = dict(boxes), columns
        self.column = {name: i for i, names in enumerate(columns) for name in names}
        self.routes: list[list[tuple[End, End]]] = []
        hops: dict[tuple[End, End], None] = {}
        for source, target in wires:
            route, last = [], source
            for i in range(self.column[source[0]] + 1, self.column[target[0]]):
                lane = f"{source[0]}.{source[1]} at {i}"
                if lane not in self.boxes:
                    self.boxes[lane] = Box(0, LANE, {"": LANE / 2}, {"": LANE / 2})
                    columns[i].append(lane)
                    self.column[lane] = i
                route.append((last, (lane, "")))
                last = lane, ""
            route.append((last, target))
            self.routes.append(route)
            hops |= dict.fromkeys(hop for hop in route if self.column[hop[0][0]] < self.column[hop[1][0]])
        self.before: dict[str, list[tuple[End, str]]] = defaultdict(list)
        self.after: dict[str, list[tuple[End, str]]] = defaultdict(list)
        for a, b in hops:
            self.before[b[0]].append((a, b[1]))
            self.after[a[0]].append((b, a[1]))
        self.y: dict[str, float] = {}
        for names in columns:
            self.stack(names, {})

    def wish(self, name: str, forwards: bool) -> float | None:
        """Where a box would like its top, so that the wires on one side run straight; None without wires."""
        box, own = self.boxes[name], self.before if forwards else self.after
        mine, theirs = (box.ins, "outs") if forwards else (box.outs, "ins")
        wishes = [self.y[other] + getattr(self.boxes[other], theirs)[port] - mine[here]
                  for (other, port), here in own[name]]  # fmt: skip
        return sum(wishes) / len(wishes) if wishes else None

    def untangle(self) -> None:
        """Order each column by where its neighbours stand, to and fro (the barycentre method)."""
        for sweep in range(SWEEPS):
            forwards = sweep % 2 == 0
            for names in self.columns if forwards else self.columns[::-1]:
                wishes = {n: w for n in names if (w := self.wish(n, forwards)) is not None}
                names.sort(key=lambda n: wishes.get(n, self.y[n]) + self.boxes[n].height / 2)
                self.stack(names, wishes)

    def settle(self) -> None:
        """Move boxes up and down within the order, so that wires become straight."""
        for sweep in range(SWEEPS):
            for names in self.columns if sweep % 2 else self.columns[::-1]:
                both = {n: [w for f in (True, False) if (w := self.wish(n, f)) is not None] for n in names}
                self.stack(names, {n: sum(w) / len(w) for n, w in both.items() if w})

    def stack(self, names: Sequence[str], wishes: Mapping[str, float]) -> None:
        """Put a column as near to its wishes as the order and the gaps allow: least squares.

        Taking off what stands above makes it an isotonic regression (pool adjacent violators).
        """
        offset, offsets = 0.0, []
        pools: list[tuple[float, int]] = []  # mean, how many
        for name in names:
            offsets.append(offset)
            mean, count = wishes.get(name, self.y.get(name, offset)) - offset, 1
            while pools and pools[-1][0] > mean:
                above, more = pools.pop()
                mean, count = (mean * count + above * more) / (count + more), count + more
            pools.append((mean, count))
            offset += self.boxes[name].height + (GAP_Y if self.boxes[name].width else 4)
        tops = (mean for mean, count in pools for _ in range(count))
        self.y |= {name: top + offset for name, top, offset in zip(names, tops, offsets, strict=True)}

    def drawn(self, room: float) -> Placed:
        """The coordinates, from 0 on."""
        top = min(self.y.values(), default=0.0)
        bottom = max((y + self.boxes[n].height for n, y in self.y.items()), default=0.0)
        left, x = {}, 0.0
        widths = [max((self.boxes[n].width for n in names), default=0.0) for names in self.columns]
        for names, width in zip(self.columns, widths, strict=True):
            for name in names:
                left[name] = x
            x += width + room

        def at(end: End, ports: Mapping[str, float], outgoing: bool) -> Point:
            name, port = end
            width = self.boxes[name].width or widths[self.column[name]]
            return left[name] + (width if outgoing else 0), self.y[name] - top + ports[port]

        paths: list[list[Point]] = []
        for route in self.routes:
            hops = (
                (at(a, self.boxes[a[0]].outs, True), at(b, self.boxes[b[0]].ins, False)) for a, b in route
            )
            paths.append([point for hop in hops for point in hop])
        places = {n: (left[n], self.y[n] - top) for n in self.boxes if self.boxes[n].width}
        return Placed(places, paths, max(x - room, 0.0), bottom - top)
