"""check(workflow, manifest) -> all Problems: one pass in topological order, no recursion over the graph."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from difflib import get_close_matches
from functools import cached_property
from typing import Any

from graphengine.errors import Problem
from graphengine.expansion import expansion
from graphengine.graph import Graph, Link, Node, Param
from graphengine.literals import article, mismatch, out_of_bounds, short, wrong_type
from graphengine.nodetype import EMPTY, NodeType, Port
from graphengine.requirements import lacking
from graphengine.types import PLAIN, TypeRef
from graphengine.workflow import Workflow

COMPARISONS = 100_000
"""Names that are compared to find out what was meant; many mistakes in a large file would take too long."""
UNKNOWN: Mapping[str, TypeRef] = {}
"""The outputs of a node whose type is not known: anything may be linked to it, nothing more is told."""


def check(workflow: Workflow, types: Mapping[str, NodeType]) -> list[Problem]:
    """Everything that is wrong, in the order of the file's dependencies; empty if the workflow can start."""
    if workflow.special:
        found = expansion(workflow, types)
        known = dict.fromkeys([*workflow.problems, *found.problems])
        unread = {(p.node, p.input) for p in known}
        told = [found.told(p, workflow) for p in Checker(found.workflow, types).problems]
        return [*known, *dict.fromkeys(p for p in told if (p.node, p.input) not in unread)]
    proof = workflow.proof
    if proof.found and proof.found[0] is types and all(fine(workflow, types, *p) for p in proof.since):
        return []
    problems = list(dict.fromkeys(Checker(workflow, types).problems))
    if not problems:
        proof.found[:] = [types]
    return problems


def fine(workflow: Workflow, types: Mapping[str, NodeType], id: str, name: str) -> bool:
    """Whether a changed literal is surely right, without another look at the rest of the file."""
    node = workflow.nodes[id]
    kind = types[node.type]
    port = kind.ports.get(name)
    return port is not None and not kind.generic and not mismatch(node.inputs[name], port)


class Checker:
    """One pass over one workflow."""

    def __init__(self, workflow: Workflow, types: Mapping[str, NodeType]) -> None:
        self.workflow, self.types = workflow, types
        self.problems = list(workflow.problems)
        self.unread = {(p.node, p.input) for p in self.problems}
        self.outputs: dict[str, Mapping[str, TypeRef]] = {}
        self.params: dict[Graph, tuple[TypeRef, ...]] = {}
        self.bound: dict[str, dict[str, TypeRef]] = {}
        self.soft: set[tuple[str, TypeRef]] = set()
        self.flat = not workflow.bodies
        self.comparisons = COMPARISONS
        for item in workflow.order:
            if type(item) is Graph:
                self.open(item)
            else:
                self.node(item)  # type: ignore[arg-type]
        if workflow.cyclic:
            self.cycles()
        for name, link in workflow.root.outputs.items():
            self.given(link, workflow.root, "outputs", name)
        for name, (id, port) in workflow.inputs.items():
            self.named(name, workflow.nodes[id], port)

    def tell(self, node: str, input: str, text: str) -> None:
        """Note a problem, unless reading the file has told one about the same place."""
        if not self.unread or (node, input) not in self.unread:
            self.problems.append(Problem(node, input, text))

    def node(self, node: Node) -> None:
        """All inputs of one node; settles the types of its outputs."""
        id, type_, inputs, scope, _, version = node  # quicker than by name, and there are many
        kind, outputs = self.types.get(type_), self.outputs
        if kind is None:
            outputs[id] = UNKNOWN
            if type_:
                self.tell(id, "", self.unheard(type_))
            return
        if version > kind.version:
            text = f"is written for version {version} of {type_}, and {kind.version} is installed"
            self.tell(id, "version", f"{text}; upgrade its pack")
        variables = self.bound.get(id)
        generic = kind.generic or variables is not None
        if generic and variables is None:
            variables = {}
        nodes, ports, free, flat, count = self.workflow.nodes, kind.ports, kind.free, self.flat, 0
        for name, port in literals_last(ports, inputs) if generic else ports.items():
            if name in inputs:
                value = inputs[name]
                count += 1
                shape = type(value)
                if shape is free.get(name):
                    continue
                if shape is Link and port.kind != "body":
                    source, output = value
                    outs = outputs.get(source)
                    if outs and (flat or nodes[source].scope is scope) and outs.get(output) == port.type:
                        continue  # nearly every link: what is wanted is given next to it
                self.take(node, name, port, value, variables)
            elif port.default is EMPTY:
                self.tell(id, name, f"is missing; {wants(port)}")
        if count < len(inputs):
            for name in inputs:
                if name not in ports:
                    self.tell(id, name, self.unknown(f"input of {type_}", name, ports))
        if generic:
            outputs[id] = {n: apply(t, variables or {}) for n, t in kind.outputs.items()}
        else:
            outputs[id] = kind.outputs

    def take(
        self, node: Node, name: str, port: Port, value: Any, variables: dict[str, TypeRef] | None
    ) -> None:
        """One input."""
        kind = type(value)
        if port.kind == "body" or kind is Graph:
            self.body(node, name, port, value, variables)
        elif kind is Link:
            self.fit(node, name, port, port.type, self.given(value, node.scope, node.id, name), variables)
        elif kind is tuple:
            self.items(node, name, port, value, variables)
        else:
            if why := mismatch(value, port):
                self.tell(node.id, name, why)
            elif variables is not None and value is not None:
                given = literal_type(value)
                if not fits(given, port.type, variables):
                    wanted = article(apply(port.type, variables))
                    text = f"{short(value)} is {article(given)}, but its other inputs make this {wanted}"
                    self.tell(node.id, name, f"{text}; give it {wanted}")
                elif why := wrong_type(value, apply(port.type, variables)):
                    self.tell(node.id, name, why)

    def items(
        self, node: Node, name: str, port: Port, values: tuple[Any, ...], variables: dict[str, TypeRef] | None
    ) -> None:
        """An input that is a list in which there are links."""
        if isinstance(port.type, tuple):
            schema = {k: v for k, v in port.schema.items() if k != "items"}
            if why := out_of_bounds([str(v) for v in values], schema):
                self.tell(node.id, name, why)
            item = port._replace(type=port.type[1], schema=port.schema.get("items", {}), optional=False)
            for value in values:
                self.take(node, name, item, value, variables)
            return
        given = self.listed(node, name, values)
        if not fits(given, port.type, variables):
            self.tell(node.id, name, f"is {article(given)}; {wants(port)}")

    def listed(self, node: Node, name: str, values: tuple[Any, ...]) -> TypeRef:
        """The type of a list in which there are links."""
        return list_of(
            self.given(v, node.scope, node.id, name) if type(v) is Link else literal_type(v) for v in values
        )

    def body(
        self, node: Node, name: str, port: Port, value: Any, variables: dict[str, TypeRef] | None
    ) -> None:
        """An input that is a body, or should be, or should not be."""
        if port.kind != "body":
            self.tell(node.id, name, f"has a body; {wants(port)}")
            return
        if type(value) is not Graph:
            self.tell(node.id, name, 'wants a body; write {"graph": {...}}')
            return
        if len(port.params) != len(value.inputs):
            self.tell(
                node.id,
                name,
                f"the body takes {count(len(value.inputs), 'input')}, and {node.type} "
                f"gives it {len(port.params)}; change the body's inputs",
            )
        if len(value.outputs) != 1:
            self.tell(
                node.id, name, f"the body has {count(len(value.outputs), 'output')}; give it exactly one"
            )
        for out, link in value.outputs.items():
            given = self.given(link, value, node.id, name)
            if given == "float" and variables is not None and (node.id, port.type) in self.soft:
                variables[port.type] = given  # JavaScript writes 0.0 as 0
            if not fits(given, port.type, variables):
                wanted = apply(port.type, variables or {})
                self.tell(
                    node.id, name, f"its {out} must be {article(wanted)}, but {link} is {article(given)}"
                )

    def fit(
        self,
        node: Node,
        name: str,
        port: Port,
        wanted: TypeRef,
        given: TypeRef,
        variables: dict[str, TypeRef] | None,
    ) -> None:
        """A link's type against its port's."""
        if given == wanted or fits(given, wanted, variables):
            return
        wanted = apply(wanted, variables or {})
        text = f"wants {article(wanted)}, but {node.inputs[name]} is {article(given)}" if (
            type(node.inputs[name]) is Link
        ) else f"wants {article(wanted)}, but an item is {article(given)}"  # fmt: skip
        between = self.between(given, wanted)
        self.tell(
            node.id, name, f"{text}; " + (f"put {between} between" if between else "link another output")
        )

    def between(self, given: TypeRef, wanted: TypeRef) -> str:
        """The simplest node that makes one type of another; empty if there is none."""
        found = []
        for kind in self.types.values():
            ports = [p for p in kind.ports.values() if p.default is EMPTY]
            required = [p.type for p in ports]
            takes = given in [p.type for p in ports if not p.seed]
            if [*kind.outputs.values()][:1] == [wanted] and takes and wanted not in required:
                found.append((not kind.converter, len(required), kind.id))
        return min(found)[2] if found else ""

    def given(self, link: Link, scope: Graph, node: str, name: str) -> TypeRef:
        """The type that arrives through a link; `any` once a problem was told."""
        source = self.workflow.resolve(link, scope)
        kind = type(source)
        if kind is Param:
            seen = self.params.get(source.graph, ())  # type: ignore[union-attr]
            return seen[source.position] if source.position < len(seen) else "any"  # type: ignore[union-attr]
        if source is None:
            self.tell(node, name, self.nowhere(link, scope))
            return "any"
        outs = self.outputs.get(link.node)
        if outs is None or outs is UNKNOWN:
            return "any"  # in a cycle, or of an unknown type: told elsewhere
        found = outs.get(link.output)
        if found is None:
            text = f"links to {link}, but {link.node} gives {', '.join(outs) or 'nothing'}"
            self.tell(node, name, f"{text}; link one of these" if outs else text)
            return "any"
        return found

    def nowhere(self, link: Link, scope: Graph) -> str:
        """Why a link leads nowhere, and what to do."""
        if link.output and link.node in self.workflow.nodes:
            return f"links to {link}, which is inside another body; give it out of that body"
        if not link.output and link.node in self.workflow.nodes:
            outs = self.types.get(self.workflow.nodes[link.node].type)
            first = next(iter(outs.outputs), "output") if outs else "output"
            return f'links to {link.node!r} without an output; write "{link.node}.{first}"'
        bodies = {name: None for graph in scope.chain() for name in graph.inputs}
        names = self.workflow.nodes if link.output else bodies
        near = self.near(link.node, names)
        hint = f"did you mean {near}?" if near else "link to one that is there"
        what = "node" if link.output else "input of a body"
        return f"links to {str(link)!r}, but there is no {what} {link.node!r} here; {hint}"

    def open(self, graph: Graph) -> None:
        """A body opens: bind the owner's type variables, then give the body's inputs their types."""
        owner = self.workflow.nodes[graph.owner]
        kind = self.types.get(owner.type)
        if kind is None:
            return
        mine = self.bound.setdefault(owner.id, {})
        before = len(self.problems)
        for name, port in literals_last(kind.inputs, owner.inputs):
            value = owner.inputs.get(name)
            if type(value) is Link:
                fits(self.given(value, owner.scope, owner.id, name), port.type, mine)
            elif type(value) is tuple:
                fits(self.listed(owner, name, value), port.type, mine)
            elif value is not None and type(value) is not Graph:
                if type(value) is int and port.type not in mine:
                    self.soft.add((owner.id, port.type))
                fits(literal_type(value), port.type, mine)
        del self.problems[before:]  # told again, at the node itself
        if graph.port in kind.inputs:
            self.params[graph] = tuple(apply(t, mine) for t in kind.inputs[graph.port].params)

    def cycles(self) -> None:
        """Name each cycle by the nodes on it."""
        from graphengine.analysis import cycles  # networkx, only for files that have a cycle

        found = cycles(self.workflow)
        for path in found:
            self.tell(path[0], "", f"is part of a cycle, {' -> '.join(path)}; remove one of these links")
        if not found:
            for id in sorted(self.workflow.cyclic):
                self.tell(id, "", "needs what the node around it gives in the end; remove that link")

    def named(self, name: str, node: Node, input: str) -> None:
        """A named input of the workflow: whether what it stands for is there, and can be written."""
        kind = self.types.get(node.type)
        if kind is None:
            return
        port = kind.ports.get(input)
        if port is None:
            self.tell("inputs", name, self.unknown(f"input of {node.id}", input, kind.ports))
        elif port.kind == "body":
            self.tell("inputs", name, f"{node.id}.{input} is a body, which cannot be set; name another input")

    def unheard(self, type: str) -> str:
        """That a node type is not known, and what to do."""
        said = lacking(type, self.workflow.data.get("requires"), self.parts)
        if said and (type.partition(".")[0] not in self.parts or not self.near(type, self.types)):
            return said
        return self.unknown("node type", type, self.types)

    @cached_property
    def parts(self) -> set[str]:
        """The first parts of the node types that are known."""
        return {type.partition(".")[0] for type in self.types}

    def unknown(self, what: str, name: str, known: Collection[str]) -> str:
        """That a name is not known, and which one may have been meant."""
        if near := self.near(name, known):
            return f"there is no {what} {name!r}; did you mean {near}?"
        if what == "node type":
            advice = "install the pack that has it (`graphengine nodes` lists them)"
            return f"there is no node type {name!r}; {advice}"
        return f"there is no {what} named {name!r}; it has {', '.join(known) or 'none'}"

    def near(self, name: str, known: Collection[str]) -> str:
        """The name that may have been meant, or nothing; nor where looking for it would take long.

        Where sub-workflows are written out, it is one of the same, and given as it stands there.
        """
        self.comparisons -= len(known)
        if self.comparisons < 0 or len(name) > 100:
            return ""
        home, _, own = name.rpartition("/")
        parts = (n.rpartition("/") for n in known)
        near = [other for place, _, other in parts if place == home and len(other) <= 100]
        return next(iter(get_close_matches(own, near, 1)), "")


def literals_last(ports: Mapping[str, Port], given: Mapping[str, Any]) -> list[tuple[str, Port]]:
    """The ports, links and bodies first: they say what a type variable is, and 1 may be a 1.0."""
    return sorted(ports.items(), key=lambda p: type(given.get(p[0])) not in (Link, Graph, tuple))


def wants(port: Port) -> str:
    """What a port wants, and how to give it."""
    if port.kind == "body":
        return 'give it a body, {"graph": {...}}'
    kind = port.type
    plain = kind in PLAIN.values() if isinstance(kind, str) else False
    return f"give it {article(kind)}" if plain else f"link {article(kind)} to it"


def count(number: int, noun: str) -> str:
    """`1 input`, `2 inputs`."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def literal_type(value: Any) -> TypeRef:
    """The type of a JSON value, as far as it says it."""
    if type(value) is list:
        return list_of(map(literal_type, value))
    return PLAIN.get(type(value), "any")


def list_of(items: Iterable[TypeRef]) -> TypeRef:
    """The type of a list with items of these types; JavaScript writes 1.0 as 1."""
    kinds = set(items)
    if kinds == {"int", "float"}:
        return ("list", "float")
    return ("list", kinds.pop() if len(kinds) == 1 else "any")


def fits(given: TypeRef, wanted: TypeRef, variables: dict[str, TypeRef] | None) -> bool:
    """Whether a value of one type may go where the other is wanted; binds type variables."""
    while isinstance(wanted, tuple) and isinstance(given, tuple):
        given, wanted = given[1], wanted[1]
    if given == wanted or given == "any" or wanted == "any":
        return True
    if isinstance(wanted, tuple):
        return False
    if wanted[0] == "~":
        if variables is None:
            return True
        known = variables.setdefault(wanted, given)
        if known == "any":
            variables[wanted] = given
        return known is given or fits(given, known, None)
    return (given, wanted) == ("int", "float")


def apply(kind: TypeRef, variables: Mapping[str, TypeRef]) -> TypeRef:
    """A type with its variables filled in, `any` where nothing is known."""
    if isinstance(kind, tuple):
        return ("list", apply(kind[1], variables))
    return variables.get(kind, "any") if kind[0] == "~" else kind
