"""Workflow: a file, read; with what check and plan share.

A node may own bodies (sub-graphs). Ids are unique in the file, so `Workflow.nodes` is flat; `Graph.parent`
is the lexical scope. Bodies nest at most `reader.DEPTH` deep; the length of a chain is not limited, because
nothing here recurses over links.

What is wrong with a file that is JSON at all stands in `Workflow.problems`; `check` tells it with the rest.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from graphengine import formatting
from graphengine.errors import Problem, WorkflowError
from graphengine.graph import Graph, Link, Node, Param, links, no_collection
from graphengine.migrate import migrated
from graphengine.reader import ID, Reader, bounded, kind_of, parsed, text_of

if TYPE_CHECKING:
    from graphengine.builder import WorkflowBuilder
    from graphengine.nodetype import NodeType

SIMPLE = frozenset([int, float, bool, str, type(None)])
WIRED = frozenset([Link, Graph, tuple])


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
    graphs: Mapping[str, Workflow] = field(default_factory=dict)
    """The sub-workflows that a node of type `graph:name` runs."""
    special: bool = False
    """Whether some nodes are sub-workflows, muted or bypassed: it is `expanded` before it is checked."""
    expansions: list[Any] = field(default_factory=list)
    """What `expansion` found last, with the node types that it was found for."""
    plans: list[Any] = field(default_factory=list)
    """What `planned` made last, with what it was made for."""
    proof: Proof = field(default_factory=lambda: Proof())
    """What `check` found out, so that a changed literal does not cost a check of everything."""

    @property
    def name(self) -> str:
        """The title that the file gives itself."""
        return str(self.data.get("name", ""))

    @staticmethod
    def build(
        name: str = "", description: str = "", *, types: Mapping[str, NodeType] | None = None
    ) -> WorkflowBuilder:
        """Begin a workflow in Python: its `add` takes nodes of the installed packs, or of `types`."""
        from graphengine.builder import WorkflowBuilder  # which is made of what is in this module

        return WorkflowBuilder(name, description, types)

    @classmethod
    def load(cls, path: Path) -> Workflow:
        """Read a `.json` file, or a `.png` that was saved with its workflow inside."""
        return cls.parse(text_of(path))

    @classmethod
    def parse(cls, text: str) -> Workflow:
        """Read JSON text. WorkflowError where it is no JSON, or no workflow at all."""
        with no_collection():
            return cls.read(*parsed(text))

    @classmethod
    def of(cls, data: Any, problems: tuple[Problem, ...] = ()) -> Workflow:
        """Read JSON data. WorkflowError where it is no workflow at all."""
        with no_collection():
            bounded(data)
            return cls.read(data, problems)

    @classmethod
    def read(cls, data: Any, problems: tuple[Problem, ...]) -> Workflow:
        """Read data that is not nested too deeply."""
        if not isinstance(data, dict):
            raise WorkflowError(f"a workflow is a JSON object with nodes, not {kind_of(data)}")
        reader = Reader(migrated(data), list(problems))
        reader.read()
        graphs: dict[str, Workflow] = {}
        if data.get("graphs") is not None:
            for name, spec in reader.object(data, "graphs", "").items():
                if not ID(name):
                    text = f"{name!r} cannot be a sub-workflow's name; write lower-case letters, digits and _"
                    reader.tell("graphs", name, text)
                elif not isinstance(spec, dict):
                    reader.tell("graphs", name, f"must be an object with nodes, and is {kind_of(spec)}")
                else:
                    inner = Reader(spec, reader.problems, name)
                    inner.read()
                    graphs[name] = cls(
                        spec, inner.root, inner.nodes, tuple(inner.graphs[1:]), inner.inputs,
                        special=inner.special,
                    )  # fmt: skip
        return cls(
            reader.data, reader.root, reader.nodes, tuple(reader.graphs[1:]), reader.inputs,
            tuple(reader.problems), problems, graphs, reader.special,
        )  # fmt: skip

    def text(self) -> str:
        """The file as it is saved, in the canonical form of `formatting`."""
        return formatting.text(self.data)

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
        data = self.with_data(values)
        if not self.problems and all(self.simple(*place, value) for place, value in values.items()):
            return self.relabelled(data, values)
        return Workflow.of(data, tuple(p for p in self.blemishes if (p.node, p.input) not in values))

    def simple(self, id: str, name: str, value: Any) -> bool:
        """Whether a plain value takes the place of a literal, so that no link changes."""
        node = self.nodes.get(id)
        return node is not None and type(value) in SIMPLE and type(node.inputs.get(name)) not in WIRED

    def relabelled(self, data: dict[str, Any], values: Mapping[tuple[str, str], Any]) -> Workflow:
        """The same graphs, with other literals; what was found out about them stays known."""
        nodes = dict(self.nodes)
        for (id, name), value in values.items():
            nodes[id] = nodes[id]._replace(inputs={**nodes[id].inputs, name: value})
        found = replace(self, data=data, nodes=nodes, expansions=[], plans=[], proof=self.proof.but(values))
        if "order" in self.__dict__:
            found.__dict__["order"] = [i if type(i) is Graph else nodes[i.id] for i in self.order]  # type: ignore[union-attr]
            found.__dict__["cyclic"] = self.cyclic
        return found

    def with_data(self, values: Mapping[tuple[str, str], Any]) -> dict[str, Any]:
        """The file's data with other literals; shares what does not change."""
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
        return data

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, str | None]:
        from graphengine.notebook import drawing, in_short, known  # which show what is in this module

        return {"text/plain": in_short(self), "image/svg+xml": drawing(self, known())}

    def path(self, id: str) -> list[str]:
        """The keys that lead through `data` to a node's object; `graph:name/id` is one of a sub-workflow."""
        if id.startswith("graph:"):
            name, _, inner = id.removeprefix("graph:").partition("/")
            return ["graphs", name, *self.graphs[name].path(inner)]
        keys: list[str] = []
        while True:
            graph = self.nodes[id].scope
            keys += [id, "nodes"]
            if graph.parent is None:
                return keys[::-1]
            keys += ["graph", graph.port, "inputs"]
            id = graph.owner

    def within(self, graph: Graph) -> list[Node]:
        """The nodes of one graph, in the file's order."""
        return [self.nodes[id] for id in graph.ids]

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
        if not self.bodies and self.sorted():
            return list(self.nodes.values())
        done, open_, order = set[Any](), set[Any](), list[Node | Graph]()
        for first in self.nodes.values():
            stack: list[Node | Graph] = [first]
            while stack:
                item = stack[-1]
                name: Any = item if type(item) is Graph else item.id  # type: ignore[union-attr]
                if name in done or name in open_:  # seen again, with all that it needs
                    stack.pop()
                    if name not in done:
                        done.add(name)
                        order.append(item)
                    continue
                open_.add(name)
                todo = []
                for need in self.needs(item):
                    key: Any = need if type(need) is Graph else need.id  # type: ignore[union-attr]
                    if key not in done:
                        if key in open_:
                            self.cyclic.add(item.owner if isinstance(item, Graph) else item.id)
                        else:
                            todo.append(need)
                if todo:
                    stack += reversed(todo)
                else:
                    stack.pop()
                    done.add(name)
                    order.append(item)
        return order

    def sorted(self) -> bool:
        """Whether the nodes of a file without bodies stand in order already, as they mostly do."""
        nodes, seen = self.nodes, set[str]()
        for node in nodes.values():
            for value in node.inputs.values():
                kind = type(value)
                if kind is Link:
                    source, _ = value
                    if source not in seen and source in nodes:
                        return False
                elif kind is tuple:
                    for item in value:
                        if type(item) is Link and item.node not in seen and item.node in nodes:
                            return False
            seen.add(node.id)
        return True

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
                source, output = value
                if output and source in nodes:
                    found.append(nodes[source])
            elif kind is Graph:
                found.append(value)
                found += self.within(value)
                found += [nodes[v.node] for v in value.outputs.values() if v.output and v.node in nodes]
            elif kind is tuple:
                found += [nodes[v.node] for v in value if type(v) is Link and v.output and v.node in nodes]
        return found


@dataclass(frozen=True)
class Proof:
    """That `check` found nothing wrong against some node types, but for the literals changed `since`.

    Belongs to one Workflow, and is filled by `check`.
    """

    found: list[Any] = field(default_factory=list)
    """Nothing, or the types."""
    since: tuple[tuple[str, str], ...] = ()

    def but(self, places: Iterable[tuple[str, str]]) -> Proof:
        """What is still proven once these literals have changed."""
        return (
            Proof(list(self.found), tuple(dict.fromkeys((*self.since, *places)))) if self.found else Proof()
        )


def looks_special(value: Any) -> bool:
    """Whether a literal must be wrapped, because it reads like a link, a body or a wrapped literal."""
    if isinstance(value, (list, tuple)):
        return any(isinstance(item, dict) and looks_special(item) for item in value)
    return isinstance(value, dict) and len(value) == 1 and next(iter(value)) in ("link", "graph", "value")


id_of = id  # `id` is a node's name nearly everywhere else in this file
