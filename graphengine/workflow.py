"""Workflow: a file, read; with what check and plan share.

A node may own bodies (sub-graphs). Ids are unique in the file, so `Workflow.nodes` is flat; `Graph.parent`
is the lexical scope. Bodies nest at most `reader.DEPTH` deep; the length of a chain is not limited, because
nothing here recurses over links.

What is wrong with a file that is JSON at all stands in `Workflow.problems`; `check` tells it with the rest.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from graphengine.errors import Problem, WorkflowError
from graphengine.graph import Graph, Link, Node, Param, links, no_collection
from graphengine.migrate import migrated
from graphengine.reader import BRACKETS, Reader, kind_of, nested, parsed, text_of


@dataclass(frozen=True, eq=False)
class Workflow:
    """A file, read. `data` is its JSON as it is saved; `cyclic` and `order` are shared by check and plan."""

    data: dict[str, Any]
    root: Graph
    nodes: dict[str, Node]
    bodies: tuple[Graph, ...]
    inputs: dict[str, tuple[str, str]]
    problems: tuple[Problem, ...] = ()
    blemishes: tuple[Problem, ...] = ()
    """Those of the problems that only the text showed, not the data."""

    @property
    def name(self) -> str:
        """The title that the file gives itself."""
        return str(self.data.get("name", ""))

    @classmethod
    def load(cls, path: Path) -> Workflow:
        """Read a `.json` file, or a `.png` that was saved with its workflow inside."""
        return cls.parse(text_of(path))

    @classmethod
    def parse(cls, text: str) -> Workflow:
        """Read JSON text. WorkflowError where it is no JSON, or no workflow at all."""
        with no_collection():
            return cls.of(*parsed(text))

    @classmethod
    def of(cls, data: Any, problems: tuple[Problem, ...] = ()) -> Workflow:
        """Read JSON data. WorkflowError where it is no workflow at all."""
        if not isinstance(data, dict):
            raise WorkflowError(f"a workflow is a JSON object with nodes, not {kind_of(data)}")
        with no_collection():
            if nested(data, BRACKETS):
                raise WorkflowError("brackets are nested too deeply to be a workflow")
            reader = Reader(migrated(data), list(problems))
            reader.read()
            return cls(reader.data, reader.root, reader.nodes, tuple(reader.graphs[1:]), reader.inputs,
                       tuple(reader.problems), problems)  # fmt: skip

    def text(self) -> str:
        """The file as it is saved: two spaces of indent, keys in the user's order."""
        return json.dumps(self.data, indent=2, ensure_ascii=False, allow_nan=False) + "\n"

    def with_inputs(self, values: Mapping[str, Any]) -> Workflow:
        """The same workflow with other values at its named inputs. WorkflowError names those it has not."""
        unknown = [n for n in values if n not in self.inputs]
        if unknown:
            have = ", ".join(self.inputs) or "none"
            raise WorkflowError([Problem("inputs", n, f"there is no such input; the workflow has: {have}")
                                 for n in unknown])  # fmt: skip
        return self.with_literals({self.inputs[name]: value for name, value in values.items()})

    def with_literals(self, values: Mapping[tuple[str, str], Any]) -> Workflow:
        """The same workflow with other literals at (node id, input name); shares what does not change."""
        if not values:
            return self
        data = dict(self.data)
        copied: dict[int, Any] = {}
        for (id, name), value in values.items():
            target = data
            for key in self.path(id):
                inner = target[key]
                if id_of(inner) not in copied:
                    inner = target[key] = dict(inner)
                    copied[id_of(inner)] = inner  # holds it, so that its id stays its own
                target = inner
            inputs = target.get("inputs")
            inputs = target["inputs"] = dict(inputs) if isinstance(inputs, dict) else {}
            inputs[name] = {"value": value} if looks_special(value) else value
        return Workflow.of(data, tuple(p for p in self.blemishes if (p.node, p.input) not in values))

    def path(self, id: str) -> list[str]:
        """The keys that lead through `data` to a node's object."""
        keys: list[str] = []
        while True:
            graph = self.nodes[id].scope
            keys += [id, "nodes"]
            if graph.parent is None:
                return keys[::-1]
            keys += ["graph", graph.port, "inputs"]
            id = graph.owner

    def resolve(self, link: Link, scope: Graph) -> Node | Param | None:
        """What a link written in `scope` means, or None if nothing of that name is visible there."""
        if not link.output:
            for graph in scope.chain():
                if link.node in graph.inputs:
                    return Param(graph, graph.inputs.index(link.node))
            return None
        node = self.nodes.get(link.node)
        if node is None or node.scope is scope or node.scope in scope.chain():
            return node
        return None

    @cached_property
    def order(self) -> list[Node | Graph]:
        """Sources first. A body stands before its nodes, they before their owner; cycles are left open."""
        done, open_, order = set[Any](), set[Any](), list[Node | Graph]()
        for first in self.nodes.values():
            stack: list[Node | Graph] = [first]
            while stack:
                item = stack[-1]
                name: Any = item if type(item) is Graph else item.id  # type: ignore[union-attr]
                if name in done:
                    stack.pop()
                    continue
                todo = []
                for need in self.needs(item):
                    key: Any = need if type(need) is Graph else need.id  # type: ignore[union-attr]
                    if key not in done:
                        if key in open_:
                            self.cyclic.add(item.owner if isinstance(item, Graph) else item.id)
                        else:
                            todo.append(need)
                if todo:
                    open_.add(name)
                    todo.reverse()
                    stack += todo
                else:
                    stack.pop()
                    done.add(name)
                    order.append(item)
        return order

    @cached_property
    def cyclic(self) -> set[str]:
        """Ids at which a cycle was found; filled by `order`."""
        return set()

    def needs(self, item: Node | Graph) -> list[Node | Graph]:
        """What must be known before `item` is."""
        nodes = self.nodes
        if isinstance(item, Graph):
            owner = nodes[item.owner]
            return [nodes[v.node] for v in links(owner.inputs) if v.output and v.node in nodes]
        found: list[Node | Graph] = [item.scope] if item.scope.depth else []
        for value in item.inputs.values():
            kind = type(value)
            if kind is Link:
                if value.output and value.node in nodes:
                    found.append(nodes[value.node])
            elif kind is Graph:
                found.append(value)
                found += value.nodes.values()
                found += [nodes[v.node] for v in value.outputs.values() if v.output and v.node in nodes]
            elif kind is tuple:
                found += [nodes[v.node] for v in value if type(v) is Link and v.output and v.node in nodes]
        return found


def looks_special(value: Any) -> bool:
    """Whether a literal must be wrapped, because it reads like a link, a body or a wrapped literal."""
    if isinstance(value, (list, tuple)):
        return any(isinstance(item, dict) and looks_special(item) for item in value)
    return isinstance(value, dict) and len(value) == 1 and next(iter(value)) in ("link", "graph", "value")


id_of = id  # `id` is a node's name nearly everywhere else in this file
