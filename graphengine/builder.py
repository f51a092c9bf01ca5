"""Builder: a workflow written in Python; what comes out is the file that the editor would save.

    import graphengine as ge

    flow = ge.Workflow.build("Text to image")
    model = flow.add("diffusion.load_model", model="storybook")
    positive = flow.add("diffusion.encode_text", id="positive", encoder=model.text_encoder, text="a boat")
    negative = flow.add("diffusion.encode_text", id="negative", encoder=model.text_encoder, text="")
    schedule = flow.add("diffusion.schedule", denoiser=model.denoiser, steps=20)
    noise = flow.add("diffusion.noise", denoiser=model.denoiser, schedule=schedule.schedule, seed=None)
    with flow.body("latent", "timestep") as step:
        now = {"latent": step.latent, "timestep": step.timestep}
        cond = step.add("diffusion.predict", denoiser=model.denoiser, conditioning=positive, **now)
        uncond = step.add("diffusion.predict", denoiser=model.denoiser, conditioning=negative, **now)
        guided = step.add("diffusion.cfg", cond=cond, uncond=uncond, scale=5.0).set(title="Guidance")
        step.gives(step.add("diffusion.solver_step", prediction=guided, **now))
    denoise = flow.add("flow.fold", start=noise, over=schedule.timesteps, body=step)
    image = flow.add("diffusion.vae_decode", vae=model.vae, latent=denoise)
    flow.input("prompt", positive, "text")
    flow.output(image=image)
    flow.save("boat.json")

* `add` takes a node type's id, or its `@node` function if its pack is installed. Without `id=` a node is
  named after its type: `encode_text`, then `encode_text_2`. An input that is itself called `id` goes into a
  dict before the others: `add("my.node", {"id": 5})`.
* An input is a plain value, an output (`model.vae`), a list with outputs in it, or a body. A node that has
  one output stands for it. `node["set"]` is an output called like a method; `low, high = node` takes all.
* A body sees the nodes around it. `flow.graph("upscale")` is a sub-workflow, which sees only its own; it has
  `input` and `output` like a workflow, and `flow.add(upscale, image=image)` or
  `flow.add("graph:upscale", image=image)` is a node that runs it.
* `flow.workflow()` is a checked `Workflow`, for `ge.Session().run(...)`; its WorkflowError has every problem.
  What needs no look at the whole is told before that, by the line that is wrong.

The node types are those of all packs, or `types=`. No pack is imported for them, nor torch.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from difflib import get_close_matches
from enum import Enum
from math import isfinite
from pathlib import Path
from typing import Any, Literal, NamedTuple, Self

from graphengine.check import check
from graphengine.config import Settings
from graphengine.errors import Problem, WorkflowError
from graphengine.folders import write_atomically
from graphengine.graph import Link
from graphengine.migrate import FORMAT
from graphengine.nodetype import NodeType
from graphengine.reader import DEPTH, ID, NESTED
from graphengine.registry import Manifest
from graphengine.requirements import recorded
from graphengine.workflow import Workflow, looks_special


class Kind(NamedTuple):
    """A node type, as far as one who writes a node must know it."""

    id: str
    inputs: Collection[str]
    outputs: Collection[str]
    version: int = 0
    """Which form of its inputs this is; 0 where there was never another."""


class Output:
    """What a node gives, or what a body is given; at an input it becomes a link."""

    def __init__(self, scope: GraphBuilder, link: Link) -> None:
        self.scope, self.link = scope, link

    def __repr__(self) -> str:
        return str(self.link)


class Outputs:
    """Outputs as attributes, as items, and in their order."""

    def _outputs(self) -> Mapping[str, Output]:
        raise NotImplementedError

    def __getattr__(self, name: str) -> Output:
        if name.startswith("_"):  # asked by Python itself, maybe before there is anything
            raise AttributeError(name)
        try:
            return self[name]
        except LookupError as error:
            raise AttributeError(*error.args) from None

    def __getitem__(self, name: str) -> Output:
        outputs = self._outputs()
        if name not in outputs:
            raise LookupError(f"{self!r} has no output {name!r}; {hint(name, outputs)}")
        return outputs[name]

    def __iter__(self) -> Iterator[Output]:
        return iter(self._outputs().values())

    def __dir__(self) -> Iterable[str]:
        return [*super().__dir__(), *self._outputs()]


class NodeBuilder(Outputs):
    """A node that was added; its outputs are its attributes."""

    def __init__(self, scope: GraphBuilder, id: str, kind: Kind, data: dict[str, Any]) -> None:
        self.id = id
        self._scope, self._kind, self._data = scope, kind, data

    def __repr__(self) -> str:
        return f"{self.id} ({self._kind.id})"

    def _outputs(self) -> Mapping[str, Output]:
        return {name: Output(self._scope, Link(self.id, name)) for name in self._kind.outputs}

    def set(self, title: str = "", note: str = "", state: Literal["", "muted", "bypassed"] = "") -> Self:
        """Give it a title, a remark, or a state: `muted` is left out, `bypassed` hands on what comes in."""
        self._data |= {k: v for k, v in (("title", title), ("note", note), ("state", state)) if v}
        return self


class GraphBuilder:
    """What takes nodes: a workflow, a sub-workflow, or a body in one of these."""

    def __init__(self, flow: WorkflowBuilder, parent: GraphBuilder | None = None) -> None:
        self._flow, self._parent = flow, parent
        self._top: GraphBuilder = parent._top if parent else self
        self._data: dict[str, Any] = {"inputs": {}, "outputs": {}, "nodes": {}}
        self._ids: set[str] = set()  # of a top: those in its bodies too
        self._last: dict[str, int] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Nothing ends here; the indentation shows what is inside."""

    def add(
        self, kind: Source, given: Mapping[str, Any] | None = None, /, *, id: str = "", **inputs: Any
    ) -> NodeBuilder:
        """Add a node of a type, by its id, its function, or the sub-workflow that it runs.

        WorkflowError for an id that cannot be used, an unknown input, a value that no file holds.
        """
        type = self._flow._kind(kind)
        id = self._id(id, type)
        inputs = {**(given or {}), **inputs}
        written: dict[str, Any] = {}
        problems = []
        for name, value in inputs.items():
            try:
                if name not in type.inputs:
                    raise ValueError(f"{type.id} has no such input; {hint(name, type.inputs)}")
                written[name] = self._written(value)
            except ValueError as error:
                problems.append(Problem(id, name, str(error)))
        if problems:
            raise WorkflowError(problems)
        for value in inputs.values():
            if isinstance(value, BodyBuilder):
                value._owner = id
        self._top._ids.add(id)
        data: dict[str, Any] = {"type": type.id, "inputs": written}
        self._data["nodes"][id] = data
        if type.version:
            data["version"] = type.version
        return NodeBuilder(self, id, type, data)

    def body(self, *inputs: str) -> BodyBuilder:
        """A body for a node of this graph, with names for what that node hands to it."""
        return BodyBuilder(self, inputs)

    def _id(self, id: str, kind: Kind) -> str:
        """The given id of a new node, or a free one."""
        top, base = self._top, re.split("[.:]", kind.id)[-1]
        if not id:
            number = top._last.get(base, 1)
            while (id := base if number == 1 else f"{base}_{number}") in top._ids:
                number += 1
            top._last[base] = number
        elif not ID(id):
            raise refused(id, "", f"{id!r} cannot be a node's id; write lower-case letters, digits and _")
        elif id in top._ids:
            raise refused(id, "", f"another node has this id; give this {kind.id} another")
        return id

    def _chain(self) -> Iterator[GraphBuilder]:
        """This graph and those around it, innermost first."""
        graph: GraphBuilder | None = self
        while graph is not None:
            yield graph
            graph = graph._parent

    def _written(self, value: Any) -> Any:
        """An input as the file has it; ValueError says why it cannot."""
        if isinstance(value, BodyBuilder):
            if value._parent is not self:
                raise ValueError("the body is of another graph; take `body` of the graph that has the node")
            if value._owner:
                raise ValueError(f"{value._owner} has this body already; build another")
            return {"graph": value._data}
        return [self._item(v) for v in value] if isinstance(value, (list, tuple)) else self._item(value)

    def _item(self, value: Any) -> Any:
        """A value, or an item of a list."""
        if isinstance(value, (Output, NodeBuilder)):
            return {"link": str(self._link(value))}
        found = plain(value)
        return {"value": found} if isinstance(found, dict) and looks_special(found) else found

    def _link(self, value: Any) -> Link:
        """The link to an output, or to a node's only one; ValueError says why there is none."""
        if isinstance(value, NodeBuilder):
            outputs = list(value)
            if len(outputs) > 1:
                every = ", ".join(value._outputs())
                raise ValueError(f"{value!r} gives {every}; choose one, as in {outputs[0]}")
            if not outputs:
                raise ValueError(f"{value!r} gives nothing; link another node")
            value = outputs[0]
        if not isinstance(value, Output):
            raise ValueError(f"{value!r} is no output of a node; give one, as in `node.image`")
        if value.scope not in self._chain():
            where = "is inside another body; give it out of that body"
            if value.scope._top is not self._top:
                where = "belongs to another workflow, or sub-workflow; hand it over as an input"
            raise ValueError(f"{value} {where}")
        return value.link

    def _give(self, *outputs: Any, **named: Any) -> None:
        """Add outputs; one that gets no name keeps its own."""
        for name, value in [*(("", v) for v in outputs), *named.items()]:
            try:
                link = self._link(value)
            except ValueError as error:
                raise refused("outputs", name, str(error)) from None
            self._enter("outputs", name or link.output or link.node, str(link))

    def _enter(self, field: str, name: str, text: str) -> None:
        """Write down a named input or output."""
        if name in self._data[field]:
            raise refused(field, name, f"is {self._data[field][name]} already; choose another name")
        self._data[field][name] = text


class BodyBuilder(GraphBuilder, Outputs):
    """A body: what it is handed are its attributes."""

    def __init__(self, parent: GraphBuilder, inputs: tuple[str, ...]) -> None:
        super().__init__(parent._flow, parent)
        self._owner = ""
        self._flow._bodies.append(self)
        self._data["inputs"] = list(inputs)
        around = [graph for graph in parent._chain() if isinstance(graph, BodyBuilder)]
        if len(around) == DEPTH:
            raise WorkflowError(f"bodies are nested deeper than {DEPTH}; take a level out")
        for name in inputs:
            if any(name in graph._data["inputs"] for graph in around):
                raise WorkflowError(f"a body around this one has an input {name!r} too; choose another name")

    def __repr__(self) -> str:
        return f"the body with inputs {', '.join(self._data['inputs']) or 'none'}"

    def _outputs(self) -> Mapping[str, Output]:
        return {name: Output(self, Link(name, "")) for name in self._data["inputs"]}

    def gives(self, *output: Output | NodeBuilder, **named: Output | NodeBuilder) -> None:
        """What the node around it gets back, under its own name or a new one."""
        self._give(*output, **named)


class SubworkflowBuilder(GraphBuilder):
    """A graph with named inputs and outputs."""

    def __init__(self, flow: WorkflowBuilder, name: str, description: str) -> None:
        super().__init__(flow)
        self._data = {"name": name, "description": description} | self._data

    def input(self, name: str, node: NodeBuilder, port: str = "") -> None:
        """Name an input of a node, also of one in a body; `port` is the node's name for it, if another."""
        port = port or name
        if node._scope._top is not self:
            raise refused("inputs", name, f"{node!r} belongs to another workflow; name its inputs there")
        if port not in node._kind.inputs:
            raise refused("inputs", name, f"{node!r} has no input {port!r}; {hint(port, node._kind.inputs)}")
        self._enter("inputs", name, f"{node.id}.{port}")

    def output(self, *output: Output | NodeBuilder, **named: Output | NodeBuilder) -> None:
        """What is given in the end, under its own name or a new one."""
        self._give(*output, **named)

    def _written_out(self) -> dict[str, Any]:
        return {field: value for field, value in self._data.items() if value or field == "nodes"}


class WorkflowBuilder(SubworkflowBuilder):
    """A workflow; the docstring of the module is the manual."""

    def __init__(
        self, name: str = "", description: str = "", types: Mapping[str, NodeType] | None = None
    ) -> None:
        super().__init__(self, name, description)
        self._bodies: list[BodyBuilder] = []
        if types is None:
            settings = Settings.read()
            self._manifest = Manifest.of(settings.cache, settings.nodes, settings.environments)
        else:
            self._manifest = Manifest(types)
        self._types = self._manifest.types
        self._graphs: dict[str, SubworkflowBuilder] = {}

    def graph(self, id: str, name: str = "", description: str = "") -> SubworkflowBuilder:
        """A sub-workflow: nodes of the type `graph:ID` run it."""
        if not ID(id):
            raise refused("graphs", id, f"{id!r} cannot be its name; write lower-case letters, digits and _")
        if id in self._graphs:
            raise refused("graphs", id, "another sub-workflow has this name; choose another")
        self._graphs[id] = SubworkflowBuilder(self, name, description)
        return self._graphs[id]

    @property
    def data(self) -> dict[str, Any]:
        """The file as it is so far, not checked."""
        graphs = {id: graph._written_out() for id, graph in self._graphs.items()}
        return {"format": FORMAT} | self._written_out() | ({"graphs": graphs} if graphs else {})

    def workflow(self) -> Workflow:
        """The workflow, checked. WorkflowError has every problem."""
        found = Workflow.parse(json.dumps(self.data))
        left = [body for body in self._bodies if body._data["nodes"] and not body._owner]
        problems = [Problem("", "", f"{body!r} is no input of a node; hand it to one") for body in left]
        problems += check(found, self._types)
        if problems:
            raise WorkflowError(problems)
        return found

    def text(self) -> str:
        """The file, checked, with the packs that it requires."""
        return recorded(self.workflow(), self._manifest).text()

    def save(self, path: str | Path) -> None:
        """Write the file, checked."""
        write_atomically(Path(path), self.text().encode())

    def _kind(self, kind: Source) -> Kind:
        """The type that `add` was asked for."""
        graphs = {f"graph:{id}": graph for id, graph in self._graphs.items()}
        if isinstance(kind, str):
            id = kind
        elif isinstance(kind, SubworkflowBuilder):
            id = next((id for id, graph in graphs.items() if graph is kind), "")
            if not id:
                raise WorkflowError(
                    "the sub-workflow belongs to another workflow; build it with `graph` of this"
                )
        else:
            id = self._registered(kind)
        if id in graphs:
            data = graphs[id]._data
            return Kind(id, data["inputs"].keys(), data["outputs"].keys())
        if found := self._types.get(id):
            version = found.version if found.migrations else 0
            return Kind(id, found.ports.keys(), found.outputs.keys(), version)
        near = get_close_matches(id, [*self._types, *graphs], 1)
        advice = f"did you mean {near[0]}?" if near else "`graphengine nodes` lists those that there are"
        raise WorkflowError(f"there is no node type {id!r}; {advice}")

    def _registered(self, function: Callable[..., Any]) -> str:
        """The id of a function's node type."""
        module = getattr(function, "__module__", "")
        name = f"{module}.{getattr(function, '__qualname__', repr(function))}"
        if not hasattr(function, "__graph_node__"):
            raise WorkflowError(f"{name} is no node; mark a function with `@node`, in a module of a pack")
        for kind in self._types.values():
            if kind.module == module and getattr(sys.modules.get(module), kind.name, None) is function:
                return kind.id
        raise WorkflowError(
            f"{name} is in no installed pack; name its module in a pack's MODULES, and install that "
            "pack with an entry point in `graphengine.packs`"
        )


Source = str | Callable[..., Any] | SubworkflowBuilder
"""What `add` takes: the id of a node type, the function of one, or a sub-workflow."""


def plain(value: Any, depth: int = 0) -> Any:
    """A value as JSON has it, an Enum by its value; ValueError says what no file can hold."""
    if isinstance(value, Enum):
        value = value.value
    if isinstance(value, float) and not isfinite(value):
        raise ValueError(f"{value} is no JSON number; give a finite number")
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, (Output, Outputs)):
        raise ValueError(f"{value!r} is inside a literal; a link stands alone or in a list, a body alone")
    if isinstance(value, (list, tuple, Mapping)) and depth > NESTED:
        raise ValueError(f"lists and objects nest deeper than {NESTED} here; make it flatter")
    if isinstance(value, (list, tuple)):
        return [plain(item, depth + 1) for item in value]
    if isinstance(value, Mapping) and all(isinstance(key, str) for key in value):
        return {key: plain(item, depth + 1) for key, item in value.items()}
    raise ValueError(
        f"no file holds a {type(value).__qualname__}; give a plain value, or link what makes one"
    )


def hint(name: str, known: Collection[str]) -> str:
    """The name that may have been meant, or those that there are."""
    near = get_close_matches(name, known, 1)
    return f"did you mean {near[0]}?" if near else f"it has {', '.join(known) or 'none'}"


def refused(node: str, input: str, text: str) -> WorkflowError:
    """An error with one problem."""
    return WorkflowError([Problem(node, input, text)])
