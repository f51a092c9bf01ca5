"""Expansion: a workflow with its sub-workflows written out, and without what is muted or bypassed.

What is left has the same meaning and the same keys as if the user had written it so. A node of a sub-workflow
is called after the node that runs it: `upscale/resize` is the node `resize` of what `upscale` runs.

* A muted node gives nothing, and neither does what needs it: an input that may be left out is left out, a
  list loses the item, any other node is muted with it.
* A bypassed node gives, at each output, its first input of the same type; without one it is muted.

Everything works through lists, not through the call stack, so nothing may be nested too deeply for it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Any, NamedTuple

from graphengine.errors import Problem
from graphengine.graph import Graph, Link, Node, Param
from graphengine.nodetype import EMPTY, NodeType
from graphengine.workflow import Workflow

LARGEST = 1_000_000
"""Nodes that a file may have with its sub-workflows written out."""
PREFIX = "graph:"

Place = tuple[str, str]
"""A node's id and the name of an input."""


class Absent:
    """What comes through a link to a node that is muted."""

    def __repr__(self) -> str:
        return "ABSENT"


ABSENT = Absent()


@dataclass(frozen=True)
class Expansion:
    """`workflow` has neither sub-workflows nor states. `places` says where in the file an input stands."""

    workflow: Workflow
    problems: tuple[Problem, ...] = ()
    places: Mapping[Place, Place] = field(default_factory=dict)
    muted: frozenset[str] = frozenset()
    """The ids of nodes that are left out."""

    def place(self, node: str, input: str) -> Place:
        """Where the value of an input is written in the file."""
        return self.places.get((node, input), (node, input))

    def told(self, problem: Problem) -> Problem:
        """A problem, at the place in the file."""
        return Problem(*self.place(problem.node, problem.input), problem.text)


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


class Instance(NamedTuple):
    """A sub-workflow (or the file itself, without a prefix) that is to be written out into a graph."""

    source: Workflow
    name: str
    prefix: str
    into: Graph
    given: dict[Place, Any]
    """Values for inputs of its nodes, as they are to stand in the expansion."""
    places: dict[Place, Place]
    """Where those values stand in the file."""
    state: str


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
        """An input of a sub-workflow's node, and what it stands for."""
        self.means: dict[Link, Any] = {}
        """What stands for an output that no node gives: another link, a literal, a list, or ABSENT."""
        self.outs: dict[str, list[str]] = {}
        """What each node that runs a sub-workflow gives."""
        self.kinds: dict[str, str] = {}
        """Which sub-workflow that is."""
        self.bypassed: list[tuple[str, Workflow]] = []
        self.taken: set[str] = set()
        self.muted: set[str] = set()
        self.sound = self.bounded()
        waiting = [Instance(workflow, "", "", self.root, {}, {}, "")]
        while waiting:
            waiting += self.write(waiting.pop())
        self.states()
        self.relink()
        self.spread()
        self.found = self.result()

    # -- sub-workflows --------------------------------------------------------------------------------------

    def bounded(self) -> bool:
        """Whether no sub-workflow runs itself, and all of it is not too large; tells what is wrong."""
        graphs = self.workflow.graphs
        size: dict[str, int] = {}
        path: dict[str, None] = {}
        stack = list(graphs)
        while stack:
            name = stack[-1]
            used = [n for n in uses(graphs[name]) if n in graphs]
            if name in size:
                stack.pop()
            elif name in path:  # seen again, with all that it uses
                stack.pop()
                del path[name]
                size[name] = len(graphs[name].nodes) + sum(size[n] for n in used)
            else:
                path[name] = None
                if ring := [n for n in used if n in path]:
                    way = [*list(path)[list(path).index(ring[0]) :], ring[0]]
                    text = f"runs itself, {' -> '.join(way)}; take one of these out"
                    self.problems.append(Problem(PREFIX + ring[0], "", text))
                    return False
                stack += [n for n in used if n not in size]
        whole = len(self.workflow.nodes) + sum(size.get(n, 0) for n in uses(self.workflow))
        if whole > LARGEST:
            text = (
                f"with its sub-workflows written out the file has {whole:,} nodes; at most {LARGEST:,} can be"
            )
            self.problems.append(Problem("", "graphs", text))
            return False
        return True

    def write(self, instance: Instance) -> Iterator[Instance]:
        """Write the nodes of one graph and its bodies; gives those that run sub-workflows."""
        source, prefix = instance.source, instance.prefix
        homes = {source.root: instance.into}
        inner = {id for id, node in source.nodes.items() if node.type.startswith(PREFIX)}
        for graph in source.bodies:
            if graph.owner in inner:
                self.tell(instance, graph.owner, graph.port, "a sub-workflow takes no body; put it in there")
                continue
            if graph.parent not in homes:  # in a body that is not there
                continue
            parent = homes[graph.parent]
            names = tuple(self.unique(f"{prefix}{graph.owner}/{name}", name) for name in graph.inputs)
            body = homes[graph] = Graph(names, parent, prefix + graph.owner, graph.port, parent.depth + 1)
            self.bodies.append(body)

        def link(link: Link, scope: Graph) -> Link:
            if not link.output and type(param := source.resolve(link, scope)) is Param:
                return Link(homes[param.graph].inputs[param.position], "")
            return Link(prefix + link.node, link.output)

        def value(value: Any, scope: Graph) -> Any:
            kind = type(value)
            if kind is Link:
                return link(value, scope)
            if kind is tuple:
                return tuple(link(v, scope) if type(v) is Link else v for v in value)
            return homes.get(value) if kind is Graph else value

        passed: dict[str, dict[str, Any]] = {}
        for (id, name), found in instance.given.items():
            passed.setdefault(id, {})[name] = found
        for node in source.nodes.values():
            if node.scope not in homes:
                continue
            given = {name: value(v, node.scope) for name, v in node.inputs.items()}
            given |= passed.get(node.id, {})
            for name in given:
                here = (node.id, name)
                written = instance.places.get(here, (at(instance, node.id), name))
                if written != (prefix + node.id, name):
                    self.places[prefix + node.id, name] = written
            state = instance.state or node.state
            if node.type.startswith(PREFIX):
                yield from self.instance(instance, node, given, homes[node.scope], state)
            else:
                own = Node(prefix + node.id, node.type, given, homes[node.scope], state, node.version)
                self.nodes[own.id] = own
                own.scope.ids.append(own.id)
        for graph, home in homes.items():
            if graph is not source.root or not prefix:
                home.outputs |= {name: link(out, graph) for name, out in graph.outputs.items()}
        for name, (id, port) in source.inputs.items():
            if prefix:
                self.exposed[prefix.removesuffix("/"), name] = prefix + id, port
                missing = (id, port) not in instance.given and port not in source.nodes[id].inputs
                if missing:
                    self.places[prefix + id, port] = at_instance(instance), name
        if prefix:
            owner = prefix.removesuffix("/")
            self.outs[owner], self.kinds[owner] = list(source.root.outputs), instance.name
            for name, out in source.root.outputs.items():
                self.means[Link(owner, name)] = link(out, source.root)
            if instance.state == "bypassed":
                self.bypassed.append((owner, source))

    def instance(
        self, around: Instance, node: Node, given: dict[str, Any], into: Graph, state: str
    ) -> Iterator[Instance]:
        """A node that runs a sub-workflow."""
        name, id = node.type.removeprefix(PREFIX), around.prefix + node.id
        source = self.workflow.graphs.get(name)
        if source is None or not self.sound:
            if source is None:
                near = get_close_matches(name, self.workflow.graphs, 1)
                have = ", ".join(self.workflow.graphs) or "none"
                hint = f"did you mean {near[0]}?" if near else f"it has {have}"
                self.tell(around, node.id, "type", f"there is no sub-workflow {name!r} in the file; {hint}")
            self.nodes[id] = Node(id, "", {}, into)  # nothing more is told of it
            into.ids.append(id)
            return
        values, places = {}, {}
        for input, value in given.items():
            if input not in source.inputs:
                have = ", ".join(source.inputs) or "none"
                text = f"there is no input of {node.type} named {input!r}; it has {have}"
                self.tell(around, node.id, input, text)
            elif type(value) is not Graph:
                values[source.inputs[input]] = value
                places[source.inputs[input]] = self.places.get((id, input), (at(around, node.id), input))
        yield Instance(source, name, f"{id}/", into, values, places, state)

    def tell(self, instance: Instance, id: str, input: str, text: str) -> None:
        """Note a problem at a node of the file."""
        problem = Problem(at(instance, id), input, text)
        if problem not in self.problems:
            self.problems.append(problem)

    def unique(self, long: str, short: str) -> str:
        """A name for a body's input that no other body has, so that a value may stand in any scope."""
        name = long if short in self.taken else short
        self.taken.add(name)
        return name

    # -- states ---------------------------------------------------------------------------------------------

    def states(self) -> None:
        """Say what stands for the outputs of nodes that are muted or bypassed."""
        for owner, source in self.bypassed:
            self.pass_by(owner, source)
        for node in self.nodes.values():
            kind = self.types.get(node.type)
            if not node.state or (kind is None and node.state == "bypassed"):
                continue
            self.muted.add(node.id)
            for name, type in kind.outputs.items() if kind else ():
                found: Any = ABSENT
                if node.state == "bypassed" and kind and not self.inside(node.id):
                    for port in kind.ports.values():
                        value = node.inputs.get(port.name, port.default)
                        if port.type == type and port.kind != "body" and value is not EMPTY:
                            found = value
                            break
                self.means.setdefault(Link(node.id, name), found)

    def inside(self, id: str) -> bool:
        """Whether a node belongs to a sub-workflow that is bypassed as a whole."""
        return any(id.startswith(f"{owner}/") for owner, _ in self.bypassed)

    def pass_by(self, owner: str, source: Workflow) -> None:
        """A bypassed sub-workflow gives its first input of the same type."""
        for name in source.root.outputs:
            link = Link(owner, name)
            made = self.followed(link)
            kind = self.types.get(self.nodes[made.node].type) if made.node in self.nodes else None
            wanted = kind.outputs.get(made.output) if kind else None
            self.means[link] = ABSENT
            for input in source.inputs:
                node, port = self.target((owner, input))
                entry = self.types[self.nodes[node].type].ports.get(port) if self.known(node) else None
                if entry is not None and entry.type == wanted and port in self.nodes[node].inputs:
                    self.means[link] = self.nodes[node].inputs[port]
                    break

    def known(self, id: str) -> bool:
        """Whether a node is there and its type known."""
        return id in self.nodes and self.nodes[id].type in self.types

    def followed(self, link: Link) -> Link:
        """The link that a link to a sub-workflow's output stands for."""
        while type(found := self.means.get(link)) is Link:
            link = found
        return link

    def target(self, place: Place) -> Place:
        """The input that a sub-workflow's input stands for in the end."""
        while place in self.exposed:
            place = self.exposed[place]
        return place

    # -- what is left ---------------------------------------------------------------------------------------

    def meaning(self, link: Link) -> Any:
        """What a link stands for: a link to a node that is there, a literal, a list with links, or ABSENT."""
        seen = set[Link]()
        found: Any = link
        while type(found) is Link and found in self.means:
            if found in seen:  # bypassed nodes in a ring
                return ABSENT
            seen.add(found)
            found = self.means[found]
        return found

    def relink(self) -> None:
        """Write what each link stands for."""
        for node in self.nodes.values():
            for name, value in node.inputs.items():
                if type(value) is Link:
                    node.inputs[name] = self.checked(node.id, name, self.meaning(value))
                elif type(value) is tuple:
                    items = [self.meaning(v) if type(v) is Link else v for v in value]
                    items = [self.checked(node.id, name, v) for v in items if v is not ABSENT]
                    if any(type(v) is tuple for v in items):
                        text = "a bypassed node gives a list here, which cannot stand in a list; mute it"
                        self.problems.append(Problem(node.id, name, text))
                        items = [v for v in items if type(v) is not tuple]
                    node.inputs[name] = tuple(items) if any(type(v) is Link for v in items) else items
        for graph in (self.root, *self.bodies):
            for name, link in list(graph.outputs.items()):
                found = self.checked(graph.owner or "outputs", name, self.meaning(link))
                if type(found) is Link:
                    graph.outputs[name] = found
                elif found is ABSENT:
                    del graph.outputs[name]
                    if graph.owner in self.nodes:
                        self.mute(graph.owner)
                else:
                    text = (
                        f"{link} is bypassed and gives a literal, which cannot be an output; mute it instead"
                    )
                    self.problems.append(Problem(graph.owner or "outputs", name, text))
                    del graph.outputs[name]

    def checked(self, node: str, input: str, value: Any) -> Any:
        """A value, once a link to what a sub-workflow does not give was told."""
        if type(value) is Link and value.node in self.outs:
            outs = ", ".join(self.outs[value.node]) or "nothing"
            text = f"links to {value}, but {value.node} gives {outs}; link one of these"
            self.problems.append(Problem(*self.places.get((node, input), (node, input)), text))
            return ABSENT
        return value

    def mute(self, id: str) -> None:
        """Leave a node out."""
        self.muted.add(id)
        kind = self.types.get(self.nodes[id].type)
        for name in kind.outputs if kind else ():
            self.means[Link(id, name)] = ABSENT

    def spread(self) -> None:
        """Mute what needs something muted, and what stands in a body of it."""
        users: dict[str, list[tuple[str, str]]] = {}
        owners: dict[str, list[Graph]] = {}
        outputs: dict[str, list[tuple[Graph, str]]] = {}
        for node in self.nodes.values():
            for name, value in node.inputs.items():
                for item in value if type(value) is tuple else (value,):
                    if type(item) is Link and item.output:
                        users.setdefault(item.node, []).append((node.id, name))
        for graph in (self.root, *self.bodies):
            owners.setdefault(graph.owner, []).append(graph)
            for name, link in graph.outputs.items():
                outputs.setdefault(link.node, []).append((graph, name))
        waiting = list(self.muted)
        for node in self.nodes.values():
            for name in [n for n, v in node.inputs.items() if v is ABSENT]:
                if node.id not in self.muted and self.without(node, name):
                    waiting.append(node.id)
        while waiting:
            id = waiting.pop()
            self.muted.add(id)
            for graph in owners.get(id, ()):
                waiting += [inner for inner in graph.ids if inner not in self.muted]
            for user, name in users.get(id, ()):
                node = self.nodes[user]
                value = node.inputs.get(name)
                if user in self.muted or value is None:
                    continue
                if type(value) is tuple:
                    left = [v for v in value if type(v) is not Link or v.node != id]
                    node.inputs[name] = tuple(left) if any(type(v) is Link for v in left) else left
                elif self.without(node, name):
                    waiting.append(user)
            for graph, name in outputs.get(id, ()):
                if graph.outputs.pop(name, None) and graph.owner and graph.owner not in self.muted:
                    waiting.append(graph.owner)

    def without(self, node: Node, name: str) -> bool:
        """Take an input away from a node; whether the node cannot do without it."""
        node.inputs.pop(name, None)
        kind = self.types.get(node.type)
        port = kind.ports.get(name) if kind else None
        return port is not None and port.default is EMPTY

    def result(self) -> Expansion:
        """The workflow that is left."""
        gone = self.muted
        nodes = {id: node._replace(state="") for id, node in self.nodes.items() if id not in gone}
        bodies = tuple(g for g in self.bodies if g.owner in nodes)
        for graph in (self.root, *bodies):
            graph.ids = [id for id in graph.ids if id in nodes]
        inputs: dict[str, Place] = {}
        for name, (id, port) in self.workflow.inputs.items():
            node, input = self.target((id, port))
            if node in nodes:
                inputs[name] = node, input
            elif node in self.outs:
                have = ", ".join(self.workflow.graphs[self.kinds[node]].inputs) or "none"
                text = f"there is no input of {node} named {input!r}; it has {have}"
                self.problems.append(Problem("inputs", name, text))
        left = Workflow(
            self.workflow.data, self.root, nodes, bodies, inputs,
            self.workflow.problems, self.workflow.blemishes,
        )  # fmt: skip
        return Expansion(left, tuple(self.problems), self.places, frozenset(gone))


def uses(workflow: Workflow) -> list[str]:
    """The names of the sub-workflows that a graph runs, each as often as it does."""
    return [n.type.removeprefix(PREFIX) for n in workflow.nodes.values() if n.type.startswith(PREFIX)]


def at(instance: Instance, id: str) -> str:
    """What a node is called in the file: `graph:name/id` in a sub-workflow."""
    return f"{PREFIX}{instance.name}/{id}" if instance.name else id


def at_instance(instance: Instance) -> str:
    """The node that runs a sub-workflow, as the expansion calls it."""
    return instance.prefix.removesuffix("/")
