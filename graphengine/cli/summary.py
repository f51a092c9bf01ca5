"""Summary: what became of each node of a run."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from graphengine.cli.display import duration
from graphengine.events import Event, NodeCached, NodeFailed, NodeFinished, NodeStarted, RunPlanned

if TYPE_CHECKING:
    from rich.table import Table

    from graphengine.graph import Graph, Node
    from graphengine.nodetype import NodeType
    from graphengine.workflow import Workflow

STYLES = {"ran": "green", "cached": "cyan", "failed": "red", "would run": "green"}


@dataclass
class Fate:
    """What became of a node: its state in a word or two, its own time, how often it ran."""

    state: str
    seconds: float = 0.0
    runs: int = 0


@dataclass
class Summary:
    """Gathers the events of a run; call it with each."""

    fates: dict[str, Fate] = field(default_factory=dict)

    @classmethod
    def of_plan(cls, plan: RunPlanned) -> Summary:
        """What would become of each node."""
        summary = cls()
        summary(plan)
        for fate in summary.fates.values():
            fate.state = fate.state.replace("not run", "would run")
        return summary

    def __call__(self, event: Event) -> None:
        match event:
            case RunPlanned(steps, cached, skipped):
                for nodes, state in ((steps, "not run"), (cached, "cached"), (skipped, "not needed")):
                    self.fates |= {node: Fate(state) for node in nodes}
            case NodeStarted(node):
                self.fates.setdefault(node, Fate("stopped")).state = "stopped"
            case NodeFinished(node, seconds):
                fate = self.fates.setdefault(node, Fate("ran"))
                fate.state, fate.seconds, fate.runs = "ran", fate.seconds + seconds, fate.runs + 1
            case NodeCached(node):
                fate = self.fates.setdefault(node, Fate("cached"))
                if not fate.runs:
                    fate.state = "cached"
            case NodeFailed(node, because, _):
                fate = self.fates.setdefault(node, Fate("failed"))
                fate.state = "failed" if node == because else f"not run: {because} failed"
            case _:
                pass

    def table(self, workflow: Workflow, types: Mapping[str, NodeType]) -> Table:
        """A row a node in the order of the file; under an owner, the nodes of its body that were heard of.

        What is muted or bypassed has a row too, and a sub-workflow one for each of its nodes.
        """
        from rich.table import Table
        from rich.text import Text

        from graphengine.expansion import expansion

        left = expansion(workflow, types).workflow
        table = Table(box=None, pad_edge=False, header_style="dim")
        for title in ("node", "type", "", "time"):
            table.add_column(title, justify="right" if title == "time" else "left")
        for depth, node in in_order(workflow, left):
            out = node.id not in left.nodes
            if depth and not out and node.id not in self.fates:
                continue
            fate = self.fates.get(node.id, Fate((node.state or "muted") if out else "not needed"))
            time = duration(fate.seconds) if fate.runs else ""
            times = f" x {fate.runs}" if fate.runs > 1 else ""
            table.add_row(
                Text("  " * depth + node.id), Text(node.type, style="dim"),
                Text(fate.state + times, style=STYLES.get(fate.state, "dim")), time,
            )  # fmt: skip
        return table


def in_order(file: Workflow, left: Workflow) -> Iterator[tuple[int, Node]]:
    """Every node as it stands in the file, the nodes of a body after their owner, and how deep it stands.

    `left` is its expansion. A sub-workflow's nodes stand where it is run; a node that is left out stands for
    itself.
    """
    from graphengine.graph import Graph

    parts: dict[tuple[str, Graph], list[Node]] = {}
    for node in left.nodes.values():
        parts.setdefault((node.id.partition("/")[0], node.scope), []).append(node)
    stack: list[Node | Graph] = [left.root]
    while stack:
        item = stack.pop()
        if not isinstance(item, Graph):
            yield item.scope.depth, item
            if item.id in left.nodes:
                stack += [value for value in reversed(item.inputs.values()) if isinstance(value, Graph)]
        elif "/" in item.owner:
            stack += reversed(left.within(item))
        else:
            home = file.nodes[item.owner].inputs[item.port] if item.owner else file.root
            for node in reversed(file.within(home)):
                stack += reversed(parts.get((node.id, item), [node]))
