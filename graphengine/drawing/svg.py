"""A workflow as an SVG picture: nodes as cards, bodies as frames in them, wires coloured by type.

What a body uses from around it enters at the left edge of its frame; the value that a loop carries along is
the dashed line from the frame's right edge back to its left.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from html import escape
from itertools import pairwise
from typing import NamedTuple

from graphengine.analysis import Round, bodies, inner_first, outside, rounds, shown
from graphengine.check import Checker
from graphengine.drawing.layout import Box, End, Placed, Point, place
from graphengine.graph import Graph, Link, Node, links
from graphengine.nodetype import NodeType
from graphengine.types import TypeRef, WireType
from graphengine.workflow import Workflow

ROW, HEAD, PAD, EDGE, LETTER = 18.0, 40.0, 10.0, 24.0, 6.3
"""Height of a row and of a card's head, inner space, the margin of a frame, and the width of a letter."""
GREY = "#8b949e"
STYLE = """
svg{font:11px system-ui,-apple-system,'Segoe UI',sans-serif;background:#fff;fill:#1f2328}
.card{fill:#f6f8fa;stroke:#d0d7de}.frame{fill:#fff;stroke:#d0d7de}.title{font-weight:600;font-size:12px}
.quiet{fill:#6e7781}.named{fill:#0969da}
.wire{fill:none;stroke-width:1.8}.back{stroke-dasharray:6 4}.end{text-anchor:end}
.muted{opacity:.45}.muted>.card,.bypassed>.card{stroke-dasharray:5 4}
@media(prefers-color-scheme:dark){svg{background:#0d1117;fill:#e6edf3}.card{fill:#161b22;stroke:#30363d}
.frame{fill:#0d1117;stroke:#30363d}.quiet{fill:#8b949e}.named{fill:#58a6ff}}
""".strip()


class Row(NamedTuple):
    """A line of a card: `port` is empty for a literal, `style` a CSS class."""

    port: str
    text: str
    style: str = ""


@dataclass(frozen=True)
class Frame:
    """A body within a card: its own drawing, and how far below the card's top it begins."""

    graph: Graph
    sheet: Sheet
    top: float


@dataclass(frozen=True)
class Card:
    """One node: rows at the left and the right, frames below them."""

    node: Node
    left: list[Row]
    right: list[Row]
    frames: list[Frame]
    box: Box


@dataclass(frozen=True)
class Sheet:
    """One graph, laid out."""

    graph: Graph
    cards: dict[str, Card]
    wires: list[tuple[End, End]]
    placed: Placed
    entry: list[Row]
    exit: list[Row]
    round: Round


def svg(workflow: Workflow, types: Mapping[str, NodeType], wires: Mapping[str, WireType]) -> str:
    """The picture as text. Node types that are not known are drawn from what the file says of them."""
    drawing = Drawing(workflow, types, wires)
    sheet = drawing.sheet(workflow.root)
    width, height = sheet.placed.width + 2 * EDGE, sheet.placed.height + 2 * EDGE
    shapes = "\n".join(drawing.shapes(sheet))
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {height:.0f}" '
        f'width="{width:.0f}" height="{height:.0f}">\n<title>{clean(workflow.name or "Workflow")}</title>\n'
        f"<style>{STYLE}</style>\n{shapes}\n</svg>\n"
    )


class Drawing:
    """What the sheets of one workflow share."""

    def __init__(
        self, workflow: Workflow, types: Mapping[str, NodeType], wires: Mapping[str, WireType]
    ) -> None:
        self.workflow, self.colours = workflow, wires
        self.types = types = with_graphs(workflow, types)
        self.checked = Checker(workflow, types)
        self.named = {place: name for name, place in workflow.inputs.items()}
        self.used: dict[str, dict[str, None]] = {}
        for graph in (workflow.root, *workflow.bodies):
            inputs = [link for node in self.workflow.within(graph) for link in links(node.inputs)]
            for link in (*inputs, *graph.outputs.values()):
                self.used.setdefault(link.node, {})[link.output] = None
        self.sheets: dict[Graph, Sheet] = {}
        for graph in reversed(workflow.bodies):  # inner ones first
            self.sheets[graph] = self.sheet(graph)

    # -- laying out ----------------------------------------------------------------------------------------

    def sheet(self, graph: Graph) -> Sheet:
        """Lay out one graph whose bodies are laid out."""
        cards = {node.id: self.card(node) for node in self.workflow.within(graph)}
        boxes = {id: card.box for id, card in cards.items()}
        wires: list[tuple[End, End]] = []
        entry: list[Row] = []
        exit: list[Row] = []
        turn = Round({}, {})
        if graph.parent is not None:
            turn = rounds(graph, self.types.get(self.workflow.nodes[graph.owner].type))
            entry = [Row(n, f"{n}  ({turn.first[n]})" if n in turn.first else n) for n in graph.inputs]
            entry += [Row(str(link), str(link), "quiet") for link in outside(self.workflow, graph)]
            exit = [Row(name, name) for name in graph.outputs]
            boxes[">"] = Box(widest(entry), len(entry) * ROW, {}, middles(entry))
            boxes["<"] = Box(widest(exit), len(exit) * ROW, middles(exit), {})
        for node in self.workflow.within(graph):
            for name, value in node.inputs.items():
                for link in links({name: value}):
                    wires += self.wire(graph, link, (node.id, name))
            for body in bodies(node):
                for link in outside(self.workflow, body):
                    wires += self.wire(graph, link, (node.id, f"{body.port} {link}"))
        if graph.parent is not None:
            for name, link in graph.outputs.items():
                wires += self.wire(graph, link, ("<", name))
        placed = place(boxes, wires, ">", "<") if graph.parent is not None else place(boxes, wires)
        return Sheet(graph, cards, wires, placed, entry, exit, turn)

    def wire(self, graph: Graph, link: Link, target: End) -> Iterator[tuple[End, End]]:
        """The wire of a link, from its node or from the edge of the frame; none if it leads nowhere."""
        source = self.workflow.resolve(link, graph)
        if isinstance(source, Node) and source.scope is graph:
            yield (link.node, link.output), target
        elif source is not None:
            yield (">", str(link)), target

    def card(self, node: Node) -> Card:
        """Measure one node."""
        left = []
        for name, value in node.inputs.items():
            if type(value) is Graph:
                continue
            if any(links({name: value})):
                left.append(Row(name, name))
            else:
                given = self.named.get((node.id, name))
                left.append(Row("", f"{name}: {shown(value)}", "named" if given else "quiet"))
        graph = self.workflow.graphs.get(node.type.removeprefix("graph:"))
        if graph and node.type.startswith("graph:"):
            left += [Row("", name, "quiet") for name in graph.inputs if name not in node.inputs]
        kind = self.types.get(node.type)
        names = dict.fromkeys([*(kind.outputs if kind else ()), *self.used.get(node.id, ())])
        right = [Row(name, name) for name in names]
        rows = max(len(left), len(right))
        top = HEAD + rows * ROW + (PAD if rows else 0)
        ins = {row.port: HEAD + (i + 0.5) * ROW for i, row in enumerate(left) if row.port}
        outs = {row.port: HEAD + (i + 0.5) * ROW for i, row in enumerate(right)}
        both = zip(left + [Row("", "")] * rows, right + [Row("", "")] * rows, strict=False)
        width = max([text_width(f"{a.text}    {b.text}") for a, b in both]
                    + [text_width(node.id) + 8, text_width(subtitle(node))]) + 2 * PAD  # fmt: skip
        frames = []
        for body in bodies(node):
            sheet = self.sheets[body]
            frames.append(Frame(body, sheet, top))
            _, y = sheet.placed.at[">"]
            for i, row in enumerate(sheet.entry):
                ins[f"{body.port} {row.port}"] = top + EDGE + y + (i + 0.5) * ROW
            width = max(width, sheet.placed.width + 2 * EDGE)
            top += sheet.placed.height + EDGE * (3 if sheet.round.again else 2)
        return Card(node, left, right, frames, Box(width, top, ins, outs))

    # -- drawing -------------------------------------------------------------------------------------------

    def shapes(self, sheet: Sheet) -> Iterator[str]:
        """Everything as SVG elements, outer things first."""
        stack: list[tuple[Sheet, Point]] = [(sheet, (EDGE, EDGE))]
        while stack:
            sheet, (x, y) = stack.pop()
            for card_x, card_y, card in self.standing(sheet, x, y):
                yield from self.head(card, card_x, card_y)
                for frame in card.frames:
                    yield from self.border(card, frame, card_x, card_y + frame.top)
                    inset = (card.box.width - frame.sheet.placed.width) / 2
                    stack.append((frame.sheet, (card_x + inset, card_y + frame.top + EDGE)))
            for (source, _), path in zip(sheet.wires, sheet.placed.paths, strict=True):
                colour = self.colour(self.type_of(sheet, source))
                points = [(a + x, b + y) for a, b in path]
                yield f'<path class="wire" stroke="{colour}" d="{curve(points)}"/>'
                yield from (dot(p, colour) for p in (points[0], points[-1]))

    def standing(self, sheet: Sheet, x: float, y: float) -> Iterator[tuple[float, float, Card]]:
        """The cards of a sheet with their places in the picture."""
        for id, card in sheet.cards.items():
            at = sheet.placed.at[id]
            yield x + at[0], y + at[1], card

    def head(self, card: Card, x: float, y: float) -> Iterator[str]:
        """A card's box, title, type and rows."""
        node, box = card.node, card.box
        if node.state:
            yield f'<g class="{node.state}">'
        yield rectangle(x, y, box.width, box.height, "card")
        yield text(x + PAD, y + 17, node.id, "title")
        yield text(x + PAD, y + 32, subtitle(node), "quiet")
        for i, row in enumerate(card.left):
            yield text(x + PAD, y + HEAD + i * ROW + 13, row.text, row.style)
        for i, row in enumerate(card.right):
            yield text(x + box.width - PAD, y + HEAD + i * ROW + 13, row.text, f"end {row.style}")
        if node.state:
            yield "</g>"

    def border(self, card: Card, frame: Frame, x: float, y: float) -> Iterator[str]:
        """A frame with the labels at its edges, and what a loop carries as a line back."""
        sheet, width = frame.sheet, card.box.width
        inset = (width - sheet.placed.width) / 2
        bottom = sheet.placed.height + EDGE * (3 if sheet.round.again else 2)
        yield rectangle(x, y, width, bottom, "frame")
        yield text(x + PAD, y + 14, frame.graph.port, "quiet")
        (ax, ay), (bx, by) = sheet.placed.at[">"], sheet.placed.at["<"]
        end = x + inset + bx + widest(sheet.exit)
        for i, row in enumerate(sheet.entry):
            middle = y + EDGE + ay + (i + 0.5) * ROW
            yield text(x + inset + ax, middle + 4, row.text, row.style)
            if row.style:  # comes from outside
                colour = self.colour(self.type_of(sheet, (">", row.port)))
                across = f"M{x:.1f},{middle:.1f}H{x + inset + ax - 4:.1f}"
                yield f'<path class="wire" stroke="{colour}" d="{across}"/>'
        for i, row in enumerate(sheet.exit):
            yield text(end, y + EDGE + by + (i + 0.5) * ROW + 4, row.text, "end")
        for lane, (name, output) in enumerate(sheet.round.again.items()):
            source = y + EDGE + by + ([r.port for r in sheet.exit].index(output) + 0.5) * ROW
            target = y + EDGE + ay + ([r.port for r in sheet.entry].index(name) + 0.5) * ROW
            colour = self.colour(self.type_of(sheet, (">", name)))
            low, out = y + bottom - EDGE - 4 * lane, PAD / 2 + 4 * lane
            start, left, right = x + inset + ax - 4, x + inset - EDGE + out, end + EDGE - out
            yield (
                f'<path class="wire back" stroke="{colour}" d="M{end + 3:.1f},{source:.1f}'
                f'H{right:.1f}V{low:.1f}H{left:.1f}V{target:.1f}H{start:.1f}"/>'
            )
            yield text(x + width / 2, low + 14, f"{output} becomes the next {name}", "quiet")

    def type_of(self, sheet: Sheet, source: End) -> TypeRef:
        """The wire type at the start of a wire."""
        name, port = source
        if name != ">":
            return self.checked.outputs.get(name, {}).get(port, "any")
        node, _, output = port.partition(".")
        if output:
            return self.checked.outputs.get(node, {}).get(output, "any")
        graph: Graph | None = sheet.graph
        while graph is not None and port not in graph.inputs:
            graph = graph.parent
        types = self.checked.params.get(graph, ()) if graph else ()
        at = graph.inputs.index(port) if graph else 0
        return types[at] if at < len(types) else "any"

    def colour(self, kind: TypeRef) -> str:
        """The colour of a type; a list has that of its items."""
        while isinstance(kind, tuple):
            kind = kind[1]
        wire = self.colours.get(kind)
        return escape(wire.colour) if wire else GREY


def with_graphs(workflow: Workflow, types: Mapping[str, NodeType]) -> Mapping[str, NodeType]:
    """The node types, and each sub-workflow as if it were one; of its inputs nothing is known."""
    known = dict(types)
    for name in inner_first(workflow):
        id, graph = f"graph:{name}", workflow.graphs[name]
        given = Checker(graph, known).outputs
        outputs = {out: given.get(link.node, {}).get(link.output, "any")
                   for out, link in graph.root.outputs.items()}  # fmt: skip
        known[id] = NodeType(id, graph.name or name, "", "", "", "", {}, outputs, "")
    return known


def subtitle(node: Node) -> str:
    """What stands under a node's id: its type, and whether it is left out."""
    return f"{node.type}, {node.state}" if node.state else node.type


def text_width(line: str) -> float:
    """About how wide a line is."""
    return len(line) * LETTER


def widest(rows: list[Row]) -> float:
    """The width of a column of labels with their ports."""
    return max((text_width(row.text) for row in rows), default=0.0) + PAD


def middles(rows: list[Row]) -> dict[str, float]:
    """The height of each row's port."""
    return {row.port: (i + 0.5) * ROW for i, row in enumerate(rows)}


def text(x: float, y: float, line: str, style: str) -> str:
    """A line of text."""
    return f'<text class="{style}" x="{x:.1f}" y="{y:.1f}">{clean(line)}</text>'


def rectangle(x: float, y: float, width: float, height: float, style: str) -> str:
    """A box with round corners."""
    size = f'width="{width:.1f}" height="{height:.1f}"'
    return f'<rect class="{style}" x="{x:.1f}" y="{y:.1f}" {size} rx="7"/>'


def dot(at: Point, colour: str) -> str:
    """A port."""
    return f'<circle cx="{at[0]:.1f}" cy="{at[1]:.1f}" r="3.5" fill="{colour}"/>'


def curve(points: list[Point]) -> str:
    """A smooth path that leaves and arrives level."""
    path = f"M{points[0][0]:.1f},{points[0][1]:.1f}"
    for (ax, ay), (bx, by) in pairwise(points):
        bend = max(abs(bx - ax) / 2, 24) if ay != by else 0
        path += f"C{ax + bend:.1f},{ay:.1f} {bx - bend:.1f},{by:.1f} {bx:.1f},{by:.1f}"
    return path


def clean(line: str) -> str:
    """Text that may stand in XML."""
    return escape("".join(c if c.isprintable() else " " for c in line))
