"""Explanation: why a node would run again: which input changed since the last run, its own or one upstream.

What a run was made of is noted when it ends, one small file for each workflow: for every node its key, its
type, the version of its code, and each input as the file has it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from blake3 import blake3

from graphengine.folders import write_atomically
from graphengine.graph import Graph, Link, Node
from graphengine.literals import short
from graphengine.nodetype import NodeType
from graphengine.plan import GATHER, Plan, Section, Step
from graphengine.workflow import Workflow

LARGEST = 5_000
"""Nodes of a workflow whose runs are noted."""
MOST = 3
"""How many causes are told of one node."""

Note = dict[str, Any]
"""What is noted of one node: `type`, `code`, `key`, `inputs`."""


class Reason(NamedTuple):
    """`state` is `cached`, `runs`, `not needed` or `in a loop`; `why` says what changed, as a sentence."""

    node: str
    state: str
    why: str


def noted(workflow: Workflow, plan: Plan) -> dict[str, Note]:
    """What there is to note of a run; of the expanded workflow, as it was planned."""
    keys = {step.node: step.key.hex() for step in every_step(plan.root)}
    types = {step.node: step.type for step in every_step(plan.root)}
    return {
        id: {"type": node.type, "code": types[id].code, "key": keys[id], "inputs": shown(node, types[id])}
        for id, node in workflow.nodes.items()
        if id in keys
    }


def every_step(root: Section) -> Iterator[Step]:
    """Every step of a plan, those of bodies too."""
    stack = [root]
    while stack:
        for step in stack.pop().steps:
            if step.type is not GATHER:
                yield step
                stack += [section for _, section in step.bodies]


def shown(node: Node, kind: NodeType) -> dict[str, str]:
    """Each input as the file has it, or would have its default."""
    return {name: worded(node.inputs.get(name, port.default)) for name, port in kind.ports.items()}


def worded(value: Any) -> str:
    """An input in words; two that differ differ in words too."""
    if type(value) is Link:
        return f"linked to {value}"
    if type(value) is Graph:
        return "a body"
    if type(value) is tuple:
        return f"a list of {', '.join(worded(v) for v in value)}"
    text = short(value)
    if "..." in text:
        whole = json.dumps(value, default=str).encode("utf-8", "surrogatepass")
        text += f" (#{blake3(whole).hexdigest(length=3)})"
    return text


def explain(workflow: Workflow, plan: Plan, before: Mapping[str, Note]) -> list[Reason]:
    """Of each node, whether it would run and why, in the order of the file's dependencies."""
    now = noted(workflow, plan)
    steps = {step.node: step for step in every_step(plan.root)}
    runs, cached = set(plan.steps), set(plan.cached)
    causes: dict[str, list[str]] = {}
    found: list[Reason] = []
    for item in workflow.order:
        if isinstance(item, Graph) or item.id not in now:
            continue
        id, step = item.id, steps[item.id]
        own = changes(now[id], before.get(id))
        sources = [v.node for v in linked(item) if v.output]
        sources += [inner for body in bodies(item) for inner in body.ids]
        told = [f"{id}: {change}" for change in own]
        told += [cause for source in sources for cause in causes.get(source, ())]
        causes[id] = list(dict.fromkeys(told))[:MOST]
        if id in cached:
            found.append(Reason(id, "cached", ""))
        elif id not in runs and item.scope.depth:
            outer = item.scope
            while outer.parent and outer.parent.parent:
                outer = outer.parent
            found.append(Reason(id, "in a loop" if outer.owner in runs else "not needed", "; ".join(own)))
        elif id not in runs:
            found.append(Reason(id, "not needed", "what needs it is cached, or nothing needs it"))
        else:
            found.append(Reason(id, "runs", why(step, own, causes[id], now[id], before.get(id))))
    return found


def why(step: Step, own: list[str], causes: list[str], now: Note, before: Note | None) -> str:
    """Why a node would run."""
    kind = step.type
    if kind.effect:
        return "it has an effect, so it runs each time"
    if kind.cache == "none":
        return "it gives something else each time, so it is not kept"
    if before is None:
        return "it has not run before"
    if own:
        return "; ".join(own)
    if causes:
        return "it gets something else, because of " + "; ".join(causes)
    if now["key"] == before["key"]:
        return "nothing changed, but the cache does not have it any more"
    if kind.prints:
        return "what it reads from outside of the file has changed"
    return "it gets something else, from a node that gives something else each time"


def changes(now: Note, before: Note | None) -> list[str]:
    """What the user, or the author of the node, has changed in one node."""
    if before is None:
        return ["it is new"]
    if now["type"] != before["type"]:
        return [f"its type was {before['type']} and is {now['type']}"]
    found = ["the code of its type has changed"] if now["code"] != before["code"] else []
    for name, value in now["inputs"].items():
        old = before["inputs"].get(name)
        if old != value:
            found.append(f"{name} was {old} and is {value}" if old is not None else f"{name} is new")
    return found


def linked(node: Node) -> Iterator[Link]:
    """The links of a node and of the outputs of its bodies."""
    for value in node.inputs.values():
        if type(value) is Link:
            yield value
        elif type(value) is tuple:
            yield from (v for v in value if type(v) is Link)
        elif type(value) is Graph:
            yield from value.outputs.values()


def bodies(node: Node) -> Iterator[Graph]:
    """The bodies of a node."""
    return (value for value in node.inputs.values() if type(value) is Graph)


class Notes:
    """What was noted of the last run of each workflow, in a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.last: dict[Path, bytes] = {}

    def path(self, workflow: Workflow) -> Path:
        """The file of a workflow: by its name, or else by the ids of its nodes."""
        name = workflow.name or "\n".join(workflow.data["nodes"])
        return self.folder / (blake3(name.encode("utf-8", "surrogatepass")).hexdigest(length=16) + ".json")

    def read(self, workflow: Workflow) -> dict[str, Note]:
        """What is noted of a workflow; nothing where it has not run, or the file is damaged."""
        try:
            found = json.loads(self.path(workflow).read_bytes())
            return {id: note for id, note in found.items() if note["inputs"].items() is not None}
        except (OSError, ValueError, AttributeError, TypeError, KeyError):
            return {}

    def write(self, workflow: Workflow, plan: Plan) -> None:
        """Note a run; a folder that cannot be written costs the note only."""
        if len(workflow.nodes) > LARGEST:
            return
        path, data = self.path(workflow), json.dumps(noted(workflow, plan)).encode()
        if self.last.get(path) == data:
            return
        try:
            write_atomically(path, data)
        except OSError:
            return
        self.last = {path: data}
