"""Session: everything that running workflows takes, made once from the Settings.

session = Session(Settings.read())
outcome = session.run(session.load("workflows/text_to_image.json").with_inputs({"prompt": "a boat"}))
outcome.outputs["image"]
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from graphengine import events
from graphengine.cache import Cache, DiskCache
from graphengine.codec import Codec
from graphengine.config import Settings
from graphengine.desk import Desk
from graphengine.errors import NodeFailed, Problem, WorkflowError
from graphengine.executor import Emit, Executor
from graphengine.expansion import expansion
from graphengine.explanation import Notes, Reason, explain
from graphengine.inspector import Inspector
from graphengine.nodetype import NodeType
from graphengine.notebook import Result, drawing, in_short, output_types, report
from graphengine.packs import imported
from graphengine.plan import Plan
from graphengine.planner import plan
from graphengine.pool import ModelPool
from graphengine.registry import Registry
from graphengine.renewal import Renewal
from graphengine.trace import Trace, during
from graphengine.workflow import Workflow

if TYPE_CHECKING:
    from graphengine.sweep import Sweep


class Outcome(NamedTuple):
    """How a run ended.

    `outputs` holds the workflow's outputs that succeeded, by name; `workflow` is the file as it was run, with
    every drawn seed; `files` what was saved; `failures` what was raised, by the node at fault.
    """

    state: str
    outputs: Result
    workflow: Workflow
    files: tuple[Path, ...]
    failures: dict[str, BaseException]

    def raise_for_failure(self) -> None:
        """Raise NodeFailed if a node failed."""
        for node, cause in self.failures.items():
            raise NodeFailed(node, cause) from cause

    def __repr__(self) -> str:
        return f"<Outcome {self.state}: {', '.join(self.outputs) or 'no outputs'}>"

    def _repr_html_(self) -> str:
        return report(self.state, self.outputs, self.files, self.failures)


class Session(Desk):
    """One process's engine. Making one is cheap; packs, models and cache are opened when first used."""

    def __init__(self, settings: Settings | None = None, inputs: Sequence[Path] | None = None) -> None:
        """`inputs` are the only folders that nodes may read files in; without it, every file of the user."""
        super().__init__(settings, inputs)
        # OpenMP threads spin while they wait, by default so long that on a machine with other work a step
        # takes up to two hundred times as long. It reads this when torch is imported; it costs nothing else.
        os.environ.setdefault("GOMP_SPINCOUNT", "10000")
        self.executor: Executor | None = None
        self.bound: dict[str, NodeType] = {}
        self.cancels = 0
        """How often `cancel` was called."""

    @cached_property
    def codec(self) -> Codec:
        """How values are stored; it makes classes of the packs only."""
        return Codec(imported(self.manifest.packs))

    @cached_property
    def cache(self) -> Cache:
        """The memory tier above the disk tier."""
        disk = DiskCache(self.settings.cache / "values", self.settings.disk_cache, self.codec)
        return Cache(self.settings.memory_cache, disk if self.settings.disk_cache else None)

    @cached_property
    def pool(self) -> ModelPool:
        """The models on this session's device."""
        return ModelPool(self.settings.device, self.folders)

    def bind(self, workflow: Workflow) -> None:
        """Import the functions of a workflow's nodes."""
        nodes = expansion(workflow, self.manifest.types).workflow.nodes.values()
        missing = {node.type for node in nodes} - self.bound.keys()
        self.bound |= Registry.only(self.manifest, sorted(missing))
        if self.settings.dev and missing:
            self.renewal.note(self.manifest.packs)

    @cached_property
    def renewal(self) -> Renewal:
        """What was imported of the packs, where their files may change meanwhile."""
        return Renewal(self.settings)

    def renew(self) -> None:
        """Take the packs as their files are now. What depends on code that is the same stays in the cache.

        Not while something runs.
        """
        if self.renewal.due():
            self.renewal.forget()
            self.bound = {}
            for name in ("manifest", "folders"):
                vars(self).pop(name, None)
            self.codec.packages |= imported(self.manifest.packs)
            self.pool.folders = self.folders

    def plan(self, workflow: Workflow, targets: Sequence[str] = ()) -> Plan:
        """What a submitted workflow would run, and what is cached."""
        workflow = expansion(workflow, self.manifest.types).workflow
        outside = [id for id in targets if id not in workflow.root.ids]
        if outside:
            text = "is no node of the workflow that stands outside of bodies; choose another target"
            raise WorkflowError([Problem(id, "", text) for id in outside])
        self.bind(workflow)
        return plan(workflow, self.bound, self.cache, targets, self.folders, self.pool.widest)

    def explain(self, workflow: Workflow, inputs: Mapping[str, Any] | None = None) -> list[Reason]:
        """Of each node, whether it is cached, or which input has changed since the last run."""
        workflow = workflow.with_inputs(inputs or {})
        drawn = self.seeds(workflow) if not self.check(workflow) else {}
        submitted = self.submit(workflow)
        whole = expansion(submitted, self.manifest.types)
        reasons = explain(whole.workflow, self.plan(submitted), self.notes.read(submitted))
        anew = {
            id
            for id, node in whole.workflow.nodes.items()
            for n in node.inputs
            if whole.place(id, n) in drawn
        }
        told = "its seed is left open, and drawn anew for each run"
        return [r._replace(why=told) if r.node in anew and r.state == "runs" else r for r in reasons]

    @cached_property
    def notes(self) -> Notes:
        """What was noted of earlier runs."""
        return Notes(self.settings.cache / "runs")

    def run(
        self,
        workflow: Workflow,
        inputs: Mapping[str, Any] | None = None,
        *,
        targets: Sequence[str] = (),
        emit: Emit | None = None,
        limit: float | None = None,
        debug: bool = False,
        trace: Path | None = None,
        outputs: Path | None = None,
    ) -> Outcome:
        """Run a workflow to its end; each event goes to `emit`. WorkflowError if `check` refuses it.

        `outputs` is the folder that files are saved into, where it is not that of the settings.

        `limit` is the number of seconds that each node may take. `debug` runs every node, twice, and fails
        those that change their inputs or give two results for one key, or another one than before. `trace` is
        a file to write that tells what was done when; see `graphengine.trace`.
        """
        if outputs is not None:
            with self.saving(outputs):
                return self.run(
                    workflow, inputs, targets=targets, emit=emit, limit=limit, debug=debug, trace=trace
                )
        if trace is None:
            return self.conduct(workflow, inputs, targets, emit, limit, debug)
        watch = Trace(workflow.name, self.settings.device)
        with watch.writing(trace), watch.watching(self.cache):
            try:
                return self.conduct(workflow, inputs, targets, emit, limit, debug, watch)
            finally:
                if "device" in vars(self.pool):  # now it is known which one `auto` is
                    watch.device = self.pool.device.name

    def conduct(
        self,
        workflow: Workflow,
        inputs: Mapping[str, Any] | None,
        targets: Sequence[str],
        emit: Emit | None,
        limit: float | None,
        debug: bool,
        watch: Trace | None = None,
    ) -> Outcome:
        """Check a workflow and run it."""
        cancels = self.cancels
        with during(watch, "check"):
            workflow = self.submit(workflow, inputs)
        if not debug:
            return self.carry_out(workflow, targets, emit, limit, None, watch, cancels)
        inspector = Inspector(self.codec, self.cache)
        with self.forgetting():
            return self.carry_out(workflow, targets, emit, limit, inspector, watch, cancels)

    def carry_out(
        self,
        workflow: Workflow,
        targets: Sequence[str],
        emit: Emit | None,
        limit: float | None,
        inspector: Inspector | None,
        watch: Trace | None,
        cancels: int,
    ) -> Outcome:
        """Plan and run what is submitted; `cancels` is how often `cancel` had been called before."""
        if self.settings.device not in ("auto", "cpu"):
            self.pool.device  # noqa: B018 - a device that is not there is told before anything runs
        with during(watch, "load nodes"):
            self.bind(workflow)
        with during(watch, "plan"):
            planned = self.plan(workflow, targets)
        if watch is not None:
            watch.learn(planned)
        executor = self.executor = Executor(
            self.cache, self.pool, self.folders, workflow.data,
            every=self.settings.loop_states, limit=limit, inspector=inspector,
        )  # fmt: skip
        if self.cancels != cancels:  # while there was nothing to stop yet
            executor.cancel()
        files: list[Path] = []
        state = "done"

        def told(event: events.Event) -> None:
            nonlocal state
            if isinstance(event, events.NodeOutput):
                files.append(Path(event.path))
            elif isinstance(event, events.RunEnded):
                state = event.state
            if watch is not None:
                watch(event)
            if emit is not None:
                emit(event)

        try:
            outputs = executor.run(planned, told)
        finally:
            self.executor = None
        if state == "done" and self.settings.disk_cache:
            self.notes.write(expansion(workflow, self.manifest.types).workflow, planned)
        result = Result(outputs, lambda: output_types(workflow, self.manifest.types, outputs))
        return Outcome(state, result, workflow, tuple(files), executor.failures)

    def cancel(self) -> None:
        """Stop what is under way, a run or a sweep; from any thread, or a signal handler."""
        self.cancels += 1
        executor = self.executor
        if executor is not None:
            executor.cancel()

    @contextmanager
    def saving(self, outputs: Path) -> Iterator[None]:
        """Save files into another folder meanwhile."""
        before = self.folders
        self.folders = replace(before, outputs=outputs)
        try:
            yield
        finally:
            self.folders = before

    @contextmanager
    def forgetting(self) -> Iterator[None]:
        """Find nothing in the cache meanwhile, and keep nothing."""
        before = self.cache
        self.cache = Cache(0)
        try:
            yield
        finally:
            self.cache = before

    @contextmanager
    def remembering(self) -> Iterator[None]:
        """Where the cache in memory is off, have one meanwhile: runs that share something compute it once."""
        before = self.cache
        if not before.limit:
            self.cache = Cache(disk=before.disk)
        try:
            yield
        finally:
            self.cache = before


class Runnable(NamedTuple):
    """A workflow with the session that runs it."""

    workflow: Workflow
    session: Session

    def run(self, **inputs: Any) -> Result:
        """The workflow's outputs by name, for these values at its named inputs.

        Raises WorkflowError with every problem if the workflow cannot start, and NodeFailed if a node fails.
        """
        outcome = self.session.run(self.workflow, inputs)
        outcome.raise_for_failure()
        return outcome.outputs

    def sweep(self, *, fixed: Mapping[str, Any] | None = None, **axes: Iterable[Any]) -> Sweep:
        """Run every combination of the values given for some named inputs; the last one varies fastest.

        `fixed` are values for other inputs. Open seeds are drawn once for all, and what the runs share is
        computed once. Raises WorkflowError with every problem of each combination before anything runs; a
        combination that fails says so in its run, and the others go on.
        """
        from graphengine.sweep import sweep

        return sweep(self.session, self.workflow, axes, fixed)

    def __repr__(self) -> str:
        return f"<Runnable {in_short(self.workflow)}>"

    def _repr_svg_(self) -> str | None:
        return drawing(self.workflow, self.session.manifest)


def load(source: str | Path, session: Session | None = None) -> Runnable:
    """A workflow to run: from a `.json` file, a `.png` saved by a run, or the name of a shipped one.

    Give several workflows one session, and they share models and cached values in memory.
    """
    session = session or Session()
    return Runnable(session.load(source), session)
