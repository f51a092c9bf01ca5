"""A workflow as a Mermaid flowchart, for pages that draw one from text (a README, an issue, a wiki).

A body is a subgraph; its inputs and outputs are rounded. What a loop carries along is the dotted arrow back.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from graphengine.analysis import bodies, rounds, shown
from graphengine.graph import Graph, Link, Node, links
from graphengine.nodetype import NodeType
from graphengine.workflow import Workflow

RESERVED = {
    "end",
    "graph",
    "flowchart",
    "subgraph",
    "default",
    "style",
    "class",
    "click",
    "call",
    "href",
    "direction",
}
"""Words that Mermaid takes for its own; such an id is written in capitals, which no other id has."""
STYLES = {"muted": "opacity:0.45,stroke-dasharray:5 4", "bypassed": "stroke-dasharray:5 4"}
"""How nodes look that are left out."""


def mermaid(workflow: Workflow, types: Mapping[str, NodeType]) -> str:
    """The flowchart as text. Node types that are not known are drawn from what the file says of them."""
    styles = [f"  classDef {state} {STYLES[state]}" for state in STYLES
              if any(node.state == state for node in workflow.nodes.values())]  # fmt: skip
    return "\n".join(["flowchart LR", *cards(workflow), *arrows(workflow, types), *styles]) + "\n"


def cards(workflow: Workflow) -> Iterator[str]:
    """Nodes, with a subgraph around the body of each node that has one."""
    stack: list[Node | Graph | str] = list(reversed(workflow.within(workflow.root)))
    while stack:
        item = stack.pop()
        if isinstance(item, str):
            yield item
            continue
        indent = "  " * (item.depth if isinstance(item, Graph) else item.scope.depth + 1)
        if isinstance(item, Graph):
            yield f"{indent}subgraph {frame(item)}[{quoted(item.port)}]"
            yield from (f"{indent}  {edge(item, name)}([{quoted(name)}])" for name in item.inputs)
            outs = [f"{indent}  {edge(item, name, 'OUT')}([{quoted(name)}])" for name in item.outputs]
            stack += [f"{indent}end", *outs[::-1], *reversed(workflow.within(item))]
            continue
        inner = list(bodies(item))
        kind, style = (f"{item.type}, {item.state}", f":::{item.state}") if item.state else (item.type, "")
        yield f"{indent}{name_of(item.id)}[{quoted(item.id, kind, *literals(item))}]{style}"
        stack += inner[::-1]


def arrows(workflow: Workflow, types: Mapping[str, NodeType]) -> Iterator[str]:
    """Links; how a node calls its bodies, and what it carries from one call to the next."""

    def source(link: Link, scope: Graph) -> str | None:
        found = workflow.resolve(link, scope)
        if isinstance(found, Node):
            return name_of(link.node)
        return edge(found.graph, link.node) if found else None

    for node in workflow.nodes.values():
        for name, value in node.inputs.items():
            for link in links({name: value}):
                if start := source(link, node.scope):
                    label = name if link.output in ("", name) else f"{link.output} → {name}"
                    yield f"  {start} -- {quoted(label)} --> {name_of(node.id)}"
        for body in bodies(node):
            turn = rounds(body, types.get(node.type))
            for name in body.inputs:
                label = quoted(turn.first[name]) if name in turn.first else quoted("gives")
                yield f"  {name_of(node.id)} -- {label} --> {edge(body, name)}"
            for name, link in body.outputs.items():
                if start := source(link, body):
                    yield f"  {start} -- {quoted(link.output or link.node)} --> {edge(body, name, 'OUT')}"
            for name, output in turn.again.items():
                yield f"  {edge(body, output, 'OUT')} -. {quoted('next round')} .-> {edge(body, name)}"


def literals(node: Node) -> list[str]:
    """The values that stand in the node itself."""
    return [f"{name}: {shown(value)}" for name, value in node.inputs.items()
            if type(value) is not Graph and not any(links({name: value}))]  # fmt: skip


def name_of(id: str) -> str:
    """A node's id as Mermaid takes it."""
    return id.upper() if id in RESERVED else id


def frame(graph: Graph) -> str:
    """The id of a body; two underscores and capitals keep it apart from nodes."""
    return f"{graph.owner}__{graph.port}__BODY"


def edge(graph: Graph, name: str, side: str = "IN") -> str:
    """The id of an input or an output of a body."""
    return f"{graph.owner}__{graph.port}__{side}_{name}"


def quoted(*lines: str) -> str:
    """A label; what Mermaid or HTML could read as syntax is written as a character code."""
    safe = ("".join(c if c.isalnum() or c in " _.,:-()→…" else f"#{ord(c)};" for c in line) for line in lines)
    return '"' + "<br>".join(safe) + '"'
