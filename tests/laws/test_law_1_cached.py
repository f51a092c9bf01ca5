"""Law 1: a cached run equals an uncached run, to the bit."""

from __future__ import annotations

import json
from random import Random
from typing import Any

from hypothesis import assume, given
from hypothesis import strategies as st
from laws.graphs import FAILING, edited, files
from laws.nodes import ROUGH, TYPES
from laws.running import TIERS, Tiers, many, meaning, run

from graphengine.codec import Codec
from graphengine.errors import NodeImpure
from graphengine.expansion import expansion
from graphengine.inspector import Inspector
from graphengine.workflow import Workflow

STEPS = st.lists(st.sampled_from(["again", "edit", "restart"]), min_size=1, max_size=5)


@many(2)
@given(files())
def test_an_uncached_run_gives_what_the_reference_gives(file: Any) -> None:
    wanted = meaning(file)
    assume(wanted)
    found = run(file)
    assert found.outputs == wanted.outputs
    assert set(found.heard) == set(wanted.heard)
    assert found.events[-1].state == "done"


@many(3)
@given(files() | FAILING, TIERS, STEPS, st.integers(0, 50))
def test_a_cached_run_equals_an_uncached_run(file: Any, tiers: Tiers, steps: list[str], by: int) -> None:
    """Whatever the cache holds and wherever, after edits to and fro, and any restart."""
    assume(meaning(file))
    with tiers.store() as store:
        store.run(file)
        for step in steps:
            if step == "restart":
                store.restart()
            elif step == "edit":
                changed = edited(file, by)
                assert store.run(changed).outputs == meaning(changed).outputs
            assert store.run(file).outputs == meaning(file).outputs


@many(1)
@given(files(without="states") | FAILING, TIERS, STEPS, st.integers(0, 50))
def test_it_does_so_where_bits_depend_on_the_size_of_a_batch(
    file: Any, tiers: Tiers, steps: list[str], by: int
) -> None:
    fresh = run(file, types=ROUGH).outputs
    with tiers.store() as store:
        store.run(file, ROUGH)
        for step in steps:
            if step == "restart":
                store.restart()
            elif step == "edit":
                changed = edited(file, by)
                assert store.run(changed, ROUGH).outputs == run(changed, types=ROUGH).outputs
            assert store.run(file, ROUGH).outputs == fresh


@many(1)
@given(files() | FAILING, TIERS, st.lists(st.integers(0, 1000), max_size=4))
def test_it_does_so_where_a_workflow_is_kept_and_given_other_values(
    file: Any, tiers: Tiers, seeds: list[int]
) -> None:
    """What was found out about it, and planned, serves as far as it is still true."""
    assume(meaning(file))
    first = workflow = Workflow.parse(json.dumps(file))
    with tiers.store() as store:
        for seed in seeds:
            values = other_values(workflow, Random(seed))
            workflow = (first if seed % 2 else workflow).with_inputs(values)
            assert store.run(workflow).outputs == meaning(workflow.data).outputs
            assert store.run(first).outputs == meaning(file).outputs


def other_values(workflow: Workflow, random: Random) -> dict[str, Any]:
    """New values for some of the named inputs that have one."""
    found: dict[str, Any] = {}
    for name, (id, port) in workflow.inputs.items():
        value = workflow.nodes[id].inputs.get(port)
        if random.random() < 0.5 and type(value) in (int, bool, list):
            new = random.randrange(4)
            found[name] = new if type(value) is int else bool(new % 2) if type(value) is bool else [new]
    return found


@many(1)
@given(files("graphs", "states", "io", "fleeting"), st.integers(0, 100))
def test_a_target_gives_what_it_would_give_as_an_output(file: Any, seed: int) -> None:
    assume(meaning(file))
    left = expansion(Workflow.parse(json.dumps(file)), TYPES).workflow
    plain = [id for id in left.root.ids if id in file["nodes"]]
    targets = Random(seed).sample(plain, min(2, len(plain)))
    outputs = [f"{id}.{name}" for id in targets for name in TYPES[left.nodes[id].type].outputs]
    wanted = meaning(file | {"outputs": dict(zip(outputs, outputs, strict=True))})
    assume(targets)
    assert run(file, targets=targets).outputs == wanted.outputs


@many(0.5)
@given(files(without="effects") | FAILING)
def test_a_watched_run_gives_the_same(file: Any) -> None:
    """With an inspector that calls each function twice, and a limit to the time of each node."""
    assume(meaning(file))
    found = run(file, inspector=Inspector(Codec()), limit=60.0)
    assert found.outputs == meaning(file).outputs
    assert not any(isinstance(error, NodeImpure) for error in found.failures.values())
