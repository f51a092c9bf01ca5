"""Expansion: a workflow with its sub-workflows written out, and without what is muted or bypassed.

What is left has the same meaning and the same keys as if the user had written it so. A node of a sub-workflow
is called after the node that runs it: `upscale/resize` is the node `resize` of what `upscale` runs.

* A muted node gives nothing, and neither does what needs it: an input that may be left out is left out, a
  list loses the item, any other node is muted with it.
* A bypassed node gives, at each output, its first input of the same type; without one it is muted.

Everything works through lists, not through the call stack, so nothing may be nested too deeply for it.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from itertools import islice
from typing import Any, NamedTuple

from graphengine.errors import Problem
from graphengine.graph import Graph, Link, Node, Param
from graphengine.nodetype import EMPTY, NodeType
from graphengine.reader import DEPTH
from graphengine.states import ABSENT, States
from graphengine.types import TypeRef
from graphengine.workflow import Workflow

LARGEST = 1_000_000
"""Nodes that a file may have with its sub-workflows written out."""
PARTS = 10 * LARGEST
"""Inputs that they may have, with the items of lists."""
LETTERS = 100 * LARGEST
"""Letters that their names may have together: each level of sub-workflows makes them longer."""
COMPARISONS = 100_000
"""Names that are compared to find out what was meant; many mistakes in a large file would take too long."""
MANY = 10
"""Names that a sentence lists."""
PREFIX = "graph:"

Place = tuple[str, str]
"""A node's id and the name of an input; with an empty name, the node as a whole."""


@dataclass(frozen=True)
class Expansion:
    """`workflow` has neither sub-workflows nor states. `places` says where in the file something stands."""

    workflow: Workflow
    problems: tuple[Problem, ...] = ()
    places: Mapping[Place, Place] = field(default_factory=dict)
    muted: frozenset[str] = frozenset()
    """The ids of nodes that are left out."""
    words: dict[Place, tuple[dict[str, str], str]] = field(default_factory=dict)
    """By the place of a problem: what links there are called in the file, and what is no part of a name."""

    def place(self, node: str, input: str) -> Place:
        """Where the value of an input is written in the file."""
        home, _ = self.places.get((node, ""), (node, ""))
        return self.places.get((node, input), (home, input))

    def told(self, problem: Problem, file: Workflow) -> Problem:
        """A problem, at the place in the file and with the names that stand there."""
        at, place, text = problem[:2], self.place(problem.node, problem.input), problem.text
        if at not in self.words:
            here, there = links_at(self.workflow, *at), links_at(file, *place)
            pairs = list(zip(here, there, strict=False)) if len(here) == len(there) else []
            names = {link.node: name.node for link, name in pairs if "/" in link.node}
            names |= {str(link): str(name) for link, name in pairs}
            literal = problem.input and not there  # which may say whatever the user wrote
            self.words[at] = names, "" if literal else "".join(problem.node.rpartition("/")[:2])
        names, home = self.words[at]
        text = re.sub(r"[\w/.]+", lambda found: names.get(found[0], found[0]), text) if names else text
        return Problem(*place, text.replace(home, ""))


def links_at(workflow: Workflow, node: str, input: str) -> list[Link]:
    """The links that stand at a place, those that a body gives out too."""
    graph, _, id = node.removeprefix(PREFIX).partition("/")
    if node.startswith(PREFIX) and graph in workflow.graphs:
        workflow, node = workflow.graphs[graph], id
    if node in workflow.nodes:
        value = workflow.nodes[node].inputs.get(input)
    else:
        value = workflow.root.outputs.get(input) if node == "outputs" else None
    if type(value) is Graph:
        return list(value.outputs.values())
    return [v for v in (value if type(value) is tuple else (value,)) if type(v) is Link]


def expansion(workflow: Workflow, types: Mapping[str, NodeType]) -> Expansion:
    """What a workflow means. A file with nothing special is its own expansion."""
    if not workflow.special:
        return Expansion(workflow)
    for known, found in workflow.expansions:
        if known is types:
            return found  # type: ignore[no-any-return]
    found = Expander(workflow, types).found
    workflow.expansions[:] = [(types, found)]
    return found


class Size(NamedTuple):
    """How large a graph is with all written out, or a little larger than any may be."""

    nodes: int = 0
    parts: int = 0
    letters: int = 0


NONE = Size()


class Instance(NamedTuple):
    """A sub-workflow (or the file itself, without a prefix) that is to be written out into a graph."""

    source: Workflow
    name: str
    prefix: str
    into: Graph
    given: dict[Place, Any]
    """Values for inputs of its nodes, as they are to stand in the expansion."""
    places: dict[Place, Place]
    """Where in the file a value for an input would be written that is not given."""
    muted: bool = False

    def at(self, id: str) -> str:
        """What a node is called in the file: `graph:name/id` in a sub-workflow."""
        return f"{PREFIX}{self.name}/{id}" if self.name else id


class Expander:
    """One workflow, written out."""

    def __init__(self, workflow: Workflow, types: Mapping[str, NodeType]) -> None:
        self.workflow, self.types = workflow, types
        self.problems: list[Problem] = []
        self.root = Graph()
        self.nodes: dict[str, Node] = {}
        self.bodies: list[Graph] = []
        self.places: dict[Place, Place] = {}
        self.exposed: dict[Place, Place] = {}
        """An input of a node that runs a sub-workflow, and the one that it stands for."""
        self.means: dict[Link, Any] = {}
        """What stands for an output of such a node."""
        self.bypassed: list[Instance] = []
        self.wrong: dict[str, set[Place]] = {}
        self.taken: set[str] = set()
        self.sound = self.bounded()
        waiting = [Instance(workflow, "", "", self.root, {}, {})]
        while waiting:
            waiting += reversed(list(self.write(waiting.pop())))
        for instance in self.bypassed:
            self.pass_by(instance)
        self.found = self.result()

    def bounded(self) -> bool:
        """Whether no sub-workflow runs itself, and all of it is not too large; tells what is wrong."""
        graphs = self.workflow.graphs
        size: dict[str, Size] = {}
        path: dict[str, None] = {}
        stack = list(graphs)[::-1]
        while stack:
            name = stack[-1]
            if name in size:
                stack.pop()
            elif name in path:  # seen again, with all that it uses
                stack.pop()
                del path[name]
                size[name] = self.whole(graphs[name], size)
            else:
                path[name] = None
                used = [n for n in dict.fromkeys(uses(graphs[name]).values()) if n in graphs]
                if ring := [n for n in used if n in path]:
                    way = [*list(path)[list(path).index(ring[0]) :], ring[0]]
                    text = f"runs itself, {' -> '.join(way)}; take one of these out"
                    self.tell(PREFIX + ring[0], "", text)
                    return False
                stack += [n for n in used if n not in size]
        whole = self.whole(self.workflow, size)
        text = ""
        if whole.nodes > LARGEST:
            text = f"write out to more than {LARGEST:,} nodes; use fewer of them"
        elif whole.parts > PARTS:
            text = f"write out to nodes with more than {PARTS:,} inputs and items; use fewer of them"
        elif whole.letters > LETTERS:
            text = "nest so deeply that the names of the nodes are too long; put one into another less often"
        if text:
            self.tell("", "graphs", text)
        return not text

    def whole(self, graph: Workflow, size: Mapping[str, Size]) -> Size:
        """How large a graph is with its sub-workflows written out."""
        nodes, parts, letters = 0, len(graph.inputs) + len(graph.root.outputs), 0
        for id, name in uses(graph).items():
            inner, inputs = size.get(name, NONE), graph.nodes[id].inputs.values()
            nodes += inner.nodes + 1
            parts += inner.parts + len(inputs) + sum(len(v) for v in inputs if type(v) is tuple)
            letters += inner.letters + (inner.nodes + 1) * len(id)
        return Size(min(nodes, LARGEST + 1), min(parts, PARTS + 1), min(letters, LETTERS + 1))

    def homes(self, instance: Instance) -> dict[Graph, Graph]:
        """By a graph and its bodies: where their nodes are to be written."""
        source, found = instance.source, {instance.source.root: instance.into}
        for graph in source.bodies:
            text, parent = "", found.get(graph.parent) if graph.parent else None
            if source.nodes[graph.owner].type.startswith(PREFIX):
                text = "a sub-workflow takes no body; put it in there"
            elif parent and parent.depth == DEPTH:
                text = f"bodies are nested deeper than {DEPTH} with sub-workflows written out; take one out"
            if text:
                self.tell(instance.at(graph.owner), graph.port, text)
            elif parent:  # else it is in a body that is not there
                owner = instance.prefix + graph.owner
                names = tuple(self.unique(f"{owner}/{name}", name) for name in graph.inputs)
                found[graph] = Graph(names, parent, owner, graph.port, parent.depth + 1)
                self.bodies.append(found[graph])
        return found

    def write(self, instance: Instance) -> Iterator[Instance]:
        """Write the nodes of one graph and its bodies; gives those that run sub-workflows."""
        source, prefix, homes = instance.source, instance.prefix, self.homes(instance)

        def link(link: Link, scope: Graph, node: str, input: str) -> Any:
            if not link.output:
                param = source.resolve(link, scope)
                return Link(homes[param.graph].inputs[param.position], "") if type(param) is Param else link
            if self.runs(source, link.node) and (why := self.astray(source, link, scope)):
                self.tell(instance.at(node), input, why)
                return ABSENT
            return Link(prefix + link.node, link.output)

        def value(value: Any, scope: Graph, node: str, input: str) -> Any:
            kind = type(value)
            if kind is Link:
                return link(value, scope, node, input)
            if kind is tuple:
                return tuple(link(v, scope, node, input) if type(v) is Link else v for v in value)
            return homes.get(value) if kind is Graph else value

        exposed: dict[str, dict[str, Place]] = {}
        for (id, input), place in instance.places.items():
            exposed.setdefault(id, {})[input] = place
        for node in source.nodes.values():
            if node.scope not in homes:
                continue
            id = prefix + node.id
            inputs = {name: value(v, node.scope, node.id, name) for name, v in node.inputs.items()}
            if prefix:
                self.places[id, ""] = instance.at(node.id), ""
            for input, place in exposed.get(node.id, {}).items():
                if (node.id, input) in instance.given:
                    inputs[input] = instance.given[node.id, input]
                    self.places[id, input] = place
                elif inputs.get(input) is None:
                    self.places[id, input] = place
            into, state = homes[node.scope], "muted" if instance.muted else node.state
            if node.type.startswith(PREFIX):
                yield from self.instance(instance, node, inputs, into, state)
            else:
                self.add(Node(id, node.type, inputs, into, state, node.version))
        for graph, home in homes.items():
            if graph is not source.root or not prefix:
                for name, out in graph.outputs.items():
                    at = (graph.owner, graph.port) if graph.owner else ("outputs", name)
                    home.outputs[name] = link(out, graph, *at)
        wrong = self.ends(source, instance.name)
        if prefix:
            for name, (id, port) in source.inputs.items():
                self.exposed[prefix[:-1], name] = prefix + id, port
            for name, out in source.root.outputs.items():
                found = ABSENT if ("outputs", name) in wrong else Link(prefix + out.node, out.output)
                self.means[Link(prefix[:-1], name)] = found

    def instance(
        self, around: Instance, node: Node, inputs: dict[str, Any], into: Graph, state: str
    ) -> Iterator[Instance]:
        """A node that runs a sub-workflow."""
        id, source = around.prefix + node.id, self.runs(around.source, node.id)
        if source is None or not self.sound:
            if source is None and state != "muted":
                name = node.type.removeprefix(PREFIX)
                text = f"there is no sub-workflow {name!r} in the file; {self.meant(name)}"
                self.tell(around.at(node.id), "type", text)
            self.add(Node(id, "", {}, into, state))  # nothing more is told of it
            return
        name = node.type.removeprefix(PREFIX)
        given, places, wrong = {}, {}, self.ends(source, name)
        for input, value in inputs.items():
            if ("inputs", input) in wrong:
                continue
            if input in source.inputs:
                if type(node.inputs.get(input)) is not Graph or (node.id, input) in around.given:
                    given[source.inputs[input]] = value
            elif (node.id, input) not in around.given:
                text = f"there is no input of {node.type} named {input!r}; it has {some(source.inputs)}"
                self.tell(around.at(node.id), input, text)
        for input, target in source.inputs.items():
            places[target] = self.places.get((id, input), (around.at(node.id), input))
        inner = Instance(source, name, f"{id}/", into, given, places, bool(state))
        if state == "bypassed":
            self.bypassed.append(inner)
        yield inner

    def add(self, node: Node) -> None:
        """A node that is there once all is written out."""
        self.nodes[node.id] = node
        node.scope.ids.append(node.id)

    def runs(self, source: Workflow, id: str) -> Workflow | None:
        """The sub-workflow that a node of a graph runs, if it runs one and that is there."""
        node = source.nodes.get(id)
        if node is None or not node.type.startswith(PREFIX):
            return None
        return self.workflow.graphs.get(node.type.removeprefix(PREFIX))

    def unique(self, long: str, short: str) -> str:
        """A name for a body's input that no other body has, so that a value may stand in any scope."""
        name = long if short in self.taken else short
        self.taken.add(name)
        return name

    def ends(self, source: Workflow, graph: str) -> set[Place]:
        """The named inputs and outputs of a sub-workflow, or the file, that lead nowhere; tells them once."""
        wrong = self.wrong.get(graph)
        if wrong is None:
            wrong, home = self.wrong.setdefault(graph, set()), f"{PREFIX}{graph}/" if graph else ""
            for name, (id, port) in source.inputs.items():
                if (graph or self.runs(source, id)) and (why := self.misnamed(source, id, port)):
                    wrong.add(("inputs", name))
                    self.tell(f"{home}inputs", name, why)
            for name, link in source.root.outputs.items() if graph else ():
                if why := self.astray(source, link, source.root):
                    wrong.add(("outputs", name))
                    self.tell(f"{home}outputs", name, why)
        return wrong

    # -- mistakes ---------------------------------------------------------------------------------------

    def tell(self, node: str, input: str, text: str) -> None:
        """Note a problem, at a place in the file."""
        self.problems.append(Problem(node, input, text))

    def astray(self, source: Workflow, link: Link, scope: Graph) -> str:
        """Why a link that stands somewhere leads nowhere; empty if it does not, as far as that is known."""
        if link.node not in source.nodes or source.resolve(link, scope) is None:
            why = f"there is no node {link.node!r} here; link to one that is there"
            return f"links to {str(link)!r}, but {why}"
        inner, kind = self.runs(source, link.node), self.types.get(source.nodes[link.node].type)
        outs = inner.root.outputs if inner else kind.outputs if kind else None
        if outs is None or link.output in outs:
            return ""
        return f"links to {link}, but {link.node} gives {some(outs, 'nothing')}; link one of these"

    def misnamed(self, source: Workflow, id: str, port: str) -> str:
        """Why a named input of a graph stands for nothing; empty if it stands for something."""
        inner, kind = self.runs(source, id), self.types.get(source.nodes[id].type)
        have = inner.inputs if inner else kind.ports if kind else None
        if have is None or port in have:
            return ""
        return f"there is no input of {id} named {port!r}; it has {some(have)}"

    def meant(self, name: str) -> str:
        """Which sub-workflow may have been meant."""
        graphs = self.workflow.graphs
        few = len(graphs) * len(self.problems) < COMPARISONS and len(name) <= 100
        near = get_close_matches(name, graphs, 1) if few else []
        return f"did you mean {near[0]}?" if near else f"it has {some(graphs)}"

    # -- what is left -----------------------------------------------------------------------------------

    def pass_by(self, instance: Instance) -> None:
        """A bypassed sub-workflow gives its first input of the same type."""
        owner, source = instance.prefix[:-1], instance.source
        first: dict[TypeRef, Any] = {}
        for input, place in source.inputs.items():
            node, port = self.target((owner, input))
            entry = kind.ports.get(port) if (kind := self.kind(node)) else None
            if entry is None or entry.kind == "body" or entry.type in first:
                continue
            if place in instance.given:
                value = instance.given[place]
            else:  # its own, and what that links to is bypassed with it
                value = self.nodes[node].inputs.get(port, entry.default)
                value = ABSENT if type(value) in (Link, tuple, Graph) else value
            if value is not EMPTY and value is not None:
                first[entry.type] = value
        for name in source.root.outputs:
            made = link = Link(owner, name)
            while type(made) is Link and made in self.means:
                made = self.means[made]
            kind = self.kind(made.node) if type(made) is Link else None
            self.means[link] = first.get(kind.outputs.get(made.output), ABSENT) if kind else ABSENT

    def kind(self, id: str) -> NodeType | None:
        """The type of a node that is there."""
        return self.types.get(self.nodes[id].type) if id in self.nodes else None

    def target(self, place: Place) -> Place:
        """The input that a sub-workflow's input stands for in the end."""
        while place in self.exposed:
            place = self.exposed[place]
        return place

    def result(self) -> Expansion:
        """The workflow that is left."""
        states = States(self.nodes, [self.root, *self.bodies], self.means, self.types)
        gone = states.muted
        nodes = {id: node._replace(state="") for id, node in self.nodes.items() if id not in gone}
        bodies = tuple(g for g in self.bodies if g.owner in nodes)
        for graph in (self.root, *bodies):
            graph.ids = [id for id in graph.ids if id in nodes]
        targets = {name: self.target(place) for name, place in self.workflow.inputs.items()}
        left = Workflow(
            self.workflow.data, self.root, nodes, bodies, {n: p for n, p in targets.items() if p[0] in nodes},
            self.workflow.problems, self.workflow.blemishes,
        )  # fmt: skip
        found = Expansion(left, (), self.places, frozenset(gone))
        told = [found.told(problem, self.workflow) for problem in states.problems]
        return replace(found, problems=(*self.problems, *told))


def some(names: Collection[str], none: str = "none") -> str:
    """Names, as many as anybody would read."""
    more = f" and {len(names) - MANY} more" if len(names) > MANY else ""
    return ", ".join(islice(names, MANY)) + more if names else none


def uses(graph: Workflow) -> dict[str, str]:
    """The sub-workflow that each node of a graph runs, by id; empty for a node that runs none."""
    types = {id: node.type for id, node in graph.nodes.items()}
    return {id: t.removeprefix(PREFIX) if t.startswith(PREFIX) else "" for id, t in types.items()}
