"""Desk: where workflows are opened, checked and made ready to run, in a process that need run nothing."""

from __future__ import annotations

import secrets
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from graphengine import resources
from graphengine.authoring import Folders
from graphengine.check import check
from graphengine.config import Settings
from graphengine.errors import Problem, WorkflowError
from graphengine.expansion import expansion
from graphengine.packs import reachable
from graphengine.registry import Manifest, Registry, manifest_file
from graphengine.requirements import recorded
from graphengine.upgrade import upgraded
from graphengine.workflow import Workflow


class Desk:
    """The node types as data, the folders, and what can be done with a workflow without running it."""

    def __init__(self, settings: Settings | None = None, inputs: Sequence[Path] | None = None) -> None:
        """`inputs` are the only folders that nodes may read files in; without it, every file of the user."""
        self.settings, self.inputs = settings or Settings.read(), inputs

    @cached_property
    def manifest(self) -> Manifest:
        """Every node type as data. This process loads no pack for it, unless it runs nodes already."""
        settings = self.settings
        places = settings.cache, settings.nodes, settings.environments
        found = Manifest.of(*places) if "torch" not in sys.modules else Manifest.stored(*places)
        if found is None:
            file = manifest_file(*places)
            found = Registry.every(*places[1:]).manifest
            found.store(file, *places)
        reachable(found.packs)
        return found

    @cached_property
    def folders(self) -> Folders:
        """Where models, inputs and outputs are."""
        settings = self.settings
        models, shipped = (*settings.models, *self.manifest.models), resources.workflows()
        return Folders(
            models, (*(self.inputs or ()), shipped), settings.outputs, settings.cache,
            confined=self.inputs is not None,
        )  # fmt: skip

    def load(self, source: str | Path) -> Workflow:
        """A workflow from a `.json` file, a `.png` saved by a run, or the name of one that ships with us."""
        path = Path(source)
        if not path.exists() and isinstance(source, str) and "/" not in source and "." not in source:
            path = resources.workflow(source) or path
        return self.upgraded(Workflow.load(path))

    def upgraded(self, workflow: Workflow) -> Workflow:
        """A workflow of an older time with today's node types."""
        return upgraded(workflow, self.manifest.types, self.migrations)

    def migrations(self, type: str) -> tuple[Callable[[dict[str, Any]], dict[str, Any]], ...]:
        """The functions that bring the inputs of older nodes of a type to their current form."""
        return Registry.only(self.manifest, [type])[type].steps

    def check(self, workflow: Workflow) -> list[Problem]:
        """Everything that is wrong with a workflow."""
        found, broken = check(workflow, self.manifest.types), dict(self.broken)
        return [self.blamed(workflow, problem, broken) for problem in found] if broken else found

    @property
    def broken(self) -> Iterator[tuple[str, str]]:
        """The packs that cannot be used, with what is wrong with each."""
        return ((problem.pack, problem.text) for problem in self.manifest.problems)

    def blamed(self, workflow: Workflow, problem: Problem, broken: Mapping[str, str]) -> Problem:
        """A problem as it is, or, where a node type is missing with its pack, what is wrong with that."""
        node = workflow.nodes.get(problem.node)
        if node is None or node.type in self.manifest.types:
            return problem
        why = broken.get(node.type.partition(".")[0])
        return problem._replace(text=f"there is no node type {node.type!r}: {why}") if why else problem

    def submit(self, workflow: Workflow, inputs: Mapping[str, Any] | None = None) -> Workflow:
        """The workflow as it will run: named inputs set, seeds drawn, and what it requires written down.

        WorkflowError tells every problem.
        """
        workflow = self.upgraded(workflow)
        if inputs:
            workflow = workflow.with_inputs(inputs)
        problems = self.check(workflow)
        if problems:
            raise WorkflowError(problems)
        return recorded(workflow.with_literals(self.seeds(workflow)), self.manifest)

    def seeds(self, workflow: Workflow) -> dict[tuple[str, str], int]:
        """A new seed for each one that is left open; 32 bits are plenty, and can be read out."""
        types = self.manifest.types
        found = expansion(workflow, types)
        return {
            found.place(node.id, name): secrets.randbits(32)
            for node in found.workflow.nodes.values()
            for name, port in types[node.type].inputs.items()
            if port.seed and node.inputs.get(name, port.default) is None
        }
