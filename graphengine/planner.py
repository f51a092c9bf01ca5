"""Planner: turns a checked workflow into sections of steps, with their homes, keys, twins and batches."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence, Set
from typing import Any

from blake3 import blake3

from graphengine.authoring import Folders
from graphengine.cache import Cache
from graphengine.expansion import expansion
from graphengine.fusion import group
from graphengine.graph import Graph, Link, Node, Param, no_collection
from graphengine.keys import Key, digest, literal_key, symbol
from graphengine.literals import widened
from graphengine.nodetype import EMPTY, NodeType, Port
from graphengine.plan import GATHER, UNSET, Plan, Section, Step, by_rank, flat, needed, strictly
from graphengine.workflow import Workflow

ALL_AT_ONCE: Mapping[str, int] = {}
CALL = -1
"""Stands for the call itself where a position stands for an argument: what depends on it has no key."""


def plan(
    workflow: Workflow,
    types: Mapping[str, NodeType],
    cache: Cache,
    targets: Sequence[str] = (),
    folders: Folders | None = None,
    widest: Mapping[str, int] = ALL_AT_ONCE,
) -> Plan:
    """Plan the target nodes (default: the outputs, and every node with an effect).

    `types` have their functions, the workflow has passed `check`, and its seeds are drawn. `widest` says of
    some node types how many calls may be one batch, where memory has turned out not to suffice for more.
    """
    with no_collection():
        workflow = expansion(workflow, types).workflow
        root, made = planned(workflow, types, folders or Folders(), widest)
        outputs: dict[str, int] = {}
        if targets:
            for id in targets:
                step = made[id]
                outputs |= {f"{id}.{name}": step.out + i for i, name in enumerate(step.type.outputs or ("",))}
            wanted = tuple(outputs.values())
        else:
            outputs = {name: root.outputs[i] for i, name in enumerate(workflow.root.outputs)}
            wanted = root.wanted
        slots = root.template.copy()
        order, found = needed(root, slots, wanted, cache)
        running = {step.node for step in flat(order)}
        cached = held(root.steps, running, cache) if found else []
        outputs = {name: slot for name, slot in outputs.items() if not name.endswith(".")}
        return Plan(root, slots, order, tuple(cached), outputs)


def planned(
    workflow: Workflow, types: Mapping[str, NodeType], folders: Folders, widest: Mapping[str, int]
) -> tuple[Section, dict[str, Step]]:
    """The root of a workflow's sections, and the step of each node.

    Those of last time, unless something outside of the workflow stands in the keys.
    """
    known = (types, folders, dict(widest))
    for memory, root, made in workflow.plans:
        if memory[0] is types and memory == known:
            return root, made
    planner = Planner(workflow, types, folders, widest)
    root, made = planner.root, planner.made
    if not any(kind.prints or (kind.cache == "none" and kind.outputs) for kind in planner.kinds):
        workflow.plans[:] = [(known, root, made)]
    return root, made


class Planner:
    """One workflow, turned into sections."""

    def __init__(
        self,
        workflow: Workflow,
        types: Mapping[str, NodeType],
        folders: Folders,
        widest: Mapping[str, int] = ALL_AT_ONCE,
    ) -> None:
        self.workflow, self.types, self.folders = workflow, types, folders
        self.home: dict[str, Graph] = {}
        self.depends: dict[str, frozenset[Param]] = {}
        self.fleeting: set[str] = set()
        """Nodes that may give something else in each call of a body, whatever it is called with."""
        self.root = Section(workflow.root)
        self.sections = {workflow.root: self.root}
        self.made: dict[str, Step] = {}
        self.steps: list[Step] = []
        self.order: list[Node] = [n for n in workflow.order if type(n) is Node]
        if workflow.bodies:
            live = self.live()
            self.order = [n for n in self.order if n.id in live]
            self.settle(live)
        for node in self.order:
            self.step(node)
        for graph, section in self.sections.items():
            self.close(graph, section)
        self.kinds = {s.type for s in self.steps} - {GATHER}
        if any(kind.fuses for kind in self.kinds):
            for section in self.sections.values():
                group(section, widest)
        self.key()
        for section in self.sections.values():
            if section is not self.root:
                section.order = needed(section, section.template, section.wanted)[0]

    def live(self) -> set[str]:
        """Every node outside, and inside a body those that its outputs need or that have an effect.

        A dead node may read an argument that its body does not depend on, and then has no home.
        """
        nodes = self.workflow.nodes
        found = set(self.workflow.root.ids)
        stack = self.workflow.within(self.workflow.root)
        while stack:
            for value in stack.pop().inputs.values():
                more: list[str] = []
                if type(value) is Link:
                    more = [value.node] if value.output else []
                elif type(value) is tuple:
                    more = [v.node for v in value if type(v) is Link and v.output]
                elif type(value) is Graph:
                    more = [link.node for link in value.outputs.values() if link.output]
                    more += [n.id for n in self.workflow.within(value) if self.types[n.type].effect]
                for id in more:
                    if id not in found:
                        found.add(id)
                        stack.append(nodes[id])
        return found

    def settle(self, live: set[str]) -> None:
        """Which arguments each node depends on, and so where it lives."""
        root, nothing = self.workflow.root, frozenset[Param]()
        for item in self.order:
            kind, found = self.types[item.type], nothing
            if kind.cache == "none" and kind.outputs and item.scope is not root:
                found = frozenset([Param(item.scope, CALL)])
            for value in item.inputs.values():
                if type(value) is Link:
                    found |= self.params(value, item.scope)
                elif type(value) is tuple:
                    for link in value:
                        if type(link) is Link:
                            found |= self.params(link, item.scope)
                elif type(value) is Graph:
                    for link in value.outputs.values():
                        inside = self.params(link, value)
                        found |= {p for p in inside if p.graph is not value}
                        if Param(value, CALL) in inside and item.scope is not root:
                            found |= {Param(item.scope, CALL)}
                    for inner in self.workflow.within(
                        value
                    ):  # effects run with the body, though nothing reads them
                        if self.types[inner.type].effect:
                            found |= {p for p in self.depends[inner.id] if p.graph is not value}
            self.depends[item.id] = found
            if any(p.position == CALL for p in found):
                self.fleeting.add(item.id)
            if kind.cached:
                self.home[item.id] = max((p.graph for p in found), key=depth, default=root)
            else:
                self.home[item.id] = item.scope
        for graph in self.workflow.bodies:
            if graph.owner not in live:
                continue
            parent = self.of(graph.owner)
            section = Section(graph, parent.base + len(parent.graph.inputs))
            self.sections[graph] = section
            for i in range(len(graph.inputs)):
                section.add(key=b"k" + symbol(section.base, i))

    def params(self, link: Link, scope: Graph) -> frozenset[Param]:
        """The arguments that a link depends on."""
        source = self.workflow.resolve(link, scope)
        if type(source) is Param:
            return frozenset([source])
        return self.depends[link.node]

    def of(self, id: str) -> Section:
        """The section in which a node lives."""
        return self.sections[self.home[id]] if self.home else self.root

    def parent(self, section: Section) -> Section:
        """The section around that of a body."""
        return self.of(section.graph.owner)

    def slot(self, link: Link, scope: Graph, section: Section) -> int:
        """The slot in `section` of what a link written in `scope` means, captured on the way if need be."""
        if link.output:
            step = self.made[link.node]
            home, slot = self.of(link.node), step.out
            outs = step.type.outputs
            if len(outs) > 1:
                slot += list(outs).index(link.output)
        else:
            source = self.workflow.resolve(link, scope)
            assert type(source) is Param
            home, slot = self.sections[source.graph], source.position
        if home is not section:
            path = []
            while section is not home:
                path.append(section)
                section = self.parent(section)
            for inner in reversed(path):
                slot = inner.capture(slot)
        return slot

    def step(self, node: Node) -> None:
        """A node as a call on slots."""
        id, type_, inputs, scope, _, _ = node  # quicker than by name, and there are many
        kind, section, homes = self.types[type_], self.root, self.home
        deps: tuple[int, ...] = ()
        if homes:
            section = self.of(id)
            if id not in self.fleeting:
                deps = tuple(sorted({self.sections[p.graph].base + p.position for p in self.depends[id]}))
        args: list[int] = []
        strict: list[int] = []
        lazies: list[tuple[int, int]] = []
        bodies: list[tuple[int, Section]] = []
        template, keys, maker, made = section.template, section.keys, section.maker, self.made
        plain, free = kind.plain, kind.free
        for name, port in kind.inputs.items():
            value = inputs[name] if name in inputs else port.default
            shape = type(value)
            if shape is Link or shape is tuple:
                if shape is Link:
                    name_, output = value
                    source = made.get(name_) if output else None
                    if source and source.type.single and (not homes or self.of(name_) is section):
                        slot = source.out  # as `self.slot` finds it, for what nearly every link is
                    else:
                        slot = self.slot(value, scope, section)
                else:
                    slot = self.gather(node, port, value, section, deps)
                if not plain and port.kind == "lazy":
                    lazies.append((len(args), slot))
                else:
                    strict.append(slot)
            elif shape is Graph:
                inner = self.sections[value]
                self.close(value, inner)
                strict += inner.eager
                bodies.append((len(args), inner))
                slot = section.add(None)
            else:
                argument = value
                if shape is not free.get(name):
                    value = None if value is EMPTY else widened(value, port.type)
                    argument = converted(value, port)
                slot = len(template)
                template.append(argument)
                keys.append(literal_key(value))
                maker.append(None)
                if not plain and port.kind == "lazy":
                    lazies.append((len(args), slot))
            args.append(slot)
        step = self.add(id, kind, section, args, strict, deps)
        if not plain:
            step.lazies, step.bodies, step.plain = tuple(lazies), tuple(bodies), False
        made[id] = step

    def add(
        self,
        id: str,
        kind: NodeType,
        section: Section,
        args: list[int],
        strict: list[int],
        deps: tuple[int, ...],
    ) -> Step:
        """A new step with its output slots."""
        template, steps, width = section.template, section.steps, len(kind.outputs) or 1
        given = tuple(args)
        first = tuple(strict) if strict != args else given
        step = Step(id, kind, kind.run, given, len(template), first, len(steps), deps)
        for _ in range(width):
            template.append(UNSET)
            section.keys.append(None)
            section.maker.append(step)
        steps.append(step)
        self.steps.append(step)
        return step

    def gather(
        self, node: Node, port: Port, items: tuple[Any, ...], section: Section, deps: tuple[int, ...]
    ) -> int:
        """The slot of a list of which some items are links: a silent step puts them together."""
        args, strict = [], []
        wanted = port.type[1] if isinstance(port.type, tuple) else "any"
        for item in items:
            if type(item) is Link:
                args.append(self.slot(item, node.scope, section))
                strict.append(args[-1])
            else:
                value = widened(item, wanted)
                args.append(section.add(value, literal_key(value)))
        step = self.add(node.id, GATHER, section, args, strict, deps)
        step.run = listed
        return step.out

    def close(self, graph: Graph, section: Section) -> None:
        """A graph all of whose nodes are steps: what it gives, and what it needs from around it."""
        if section.outputs or section.wanted:
            return
        section.outputs = tuple(self.slot(link, graph, section) for link in graph.outputs.values())
        section.effects = tuple(s for s in section.steps if s.type.effect)
        section.wanted = tuple(dict.fromkeys((*section.outputs, *(s.out for s in section.effects))))
        maker = section.maker[section.outputs[0]] if section.outputs else None
        section.gives = maker if maker and maker.type.cached else None
        if not section.captures:
            return
        used = set(strictly(section))
        outer = [o for o, i in section.captures.items() if i in used]
        section.deferred = tuple(o for o in outer if self.hoisted(self.parent(section), o))
        section.eager = tuple(o for o in outer if o not in section.deferred)

    def hoisted(self, section: Section, slot: int) -> bool:
        """Whether the user wrote what fills this slot further in than where it runs."""
        while slot in section.origin:
            slot, section = section.origin[slot], self.parent(section)
        step = section.maker[slot]
        return step is not None and self.workflow.nodes[step.node].scope is not section.graph

    def key(self) -> None:
        """One Merkle pass, sources first; a step with the key of an earlier one becomes its twin."""
        heads: dict[NodeType, bytes] = {}
        firsts: dict[Section, dict[Key, Step]] = {section: {} for section in self.sections.values()}
        section, first, homes, fleeting = self.root, firsts[self.root], self.home, self.fleeting
        for step in self.steps:
            kind = step.type
            head = heads.get(kind)
            if head is None:
                head = heads[kind] = digest(f"{kind.id}@{kind.code}".encode())
            if homes:
                section = self.of(step.node)
                first = firsts[section]
            keys = section.keys
            for position, inner in step.bodies:
                keys[step.args[position]] = b"k" + self.body_key(inner)
            key = blake3(head + b"".join([keys[a] or self.slot_key(section, a) for a in step.args])).digest()
            if step.size:
                key = digest(key + b"of %d" % step.size)
            if kind.prints:
                key = digest(key + self.fingerprint(step, section))
            elif kind.cache == "none" and kind is not GATHER:
                key = digest(key + os.urandom(16))  # gives something else each time, and so does what follows
            step.key = b"" if step.node in fleeting else key
            if kind.cached:
                other = first.setdefault(key, step)
                if other is not step:
                    # A batch may have put the earlier one in the file behind the later one.
                    first[key], twin = sorted((other, step), key=by_rank)
                    twin.twin, twin.plain = first[key], False
                    twin.strict = tuple(range(first[key].out, first[key].out + (len(kind.outputs) or 1)))
                    twin.lazies = twin.bodies = ()
            if len(kind.outputs) < 2:
                keys[step.out] = b"k" + key
            else:
                for i, name in enumerate(kind.outputs):
                    keys[step.out + i] = b"k" + digest(key + name.encode())

    def slot_key(self, section: Section, slot: int) -> bytes:
        """What stands for a slot in a key: canonical bytes of a literal, or `k` and 32 bytes."""
        found = section.keys[slot]
        if found is None:
            found = section.keys[slot] = self.slot_key(self.parent(section), section.origin[slot])
        return found

    def body_key(self, section: Section) -> Key:
        """What a body gives, and what its effects do: two bodies that save different files are not one.

        An effect that does something else each time has no key; it runs whenever the body does.
        """
        outs = b"".join(self.slot_key(section, slot) for slot in section.outputs)
        effects = b"".join(sorted(self.slot_key(section, s.out) for s in section.effects if s.key))
        return digest(b"body%d" % len(section.graph.inputs) + outs + effects)

    def fingerprint(self, step: Step, section: Section) -> bytes:
        """What stands for the world outside in a key; unique where it cannot be told before the node runs."""
        kind, template = step.type, section.template
        given = {n: template[a] for n, a in zip(kind.inputs, step.args, strict=True) if n in kind.prints}
        if all(v is not UNSET for v in given.values()):
            if "folders" in kind.prints:
                given["folders"] = self.folders
            try:
                assert kind.fingerprint is not None
                return kind.fingerprint(**given).encode()
            except Exception:  # the node will meet the same trouble, and tells it as its own
                pass
        return os.urandom(16)


def held(steps: Iterable[Step], running: Set[str], cache: Cache) -> list[str]:
    """The nodes that do not run and of which the cache has what they gave, whether anything asks or not."""
    return [
        s.node
        for s in steps
        if s.type.cached and s.node not in running and cache.holds(s.key, s.type.cache == "disk")
    ]


def depth(graph: Graph) -> int:
    """How far in a graph is."""
    return graph.depth


def listed(*items: Any) -> list[Any]:
    """What a silent step runs."""
    return list(items)


def converted(value: Any, port: Port) -> Any:
    """A literal as the argument that the function wants, such as the member of an Enum."""
    return value if value is None or port.convert is None else port.convert(value)
