"""Placement: a job goes where its models are, and no worker is left out."""

from __future__ import annotations

import json
from collections.abc import Iterable
from itertools import pairwise
from time import thread_time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from graphengine.fleets.fleet import WorkerState
from graphengine.fleets.placement import place, texts

MODELS = ("storybook", "sd15", "sdxl", "flux")
names = st.sampled_from(MODELS)
workers = st.lists(
    st.builds(
        WorkerState,
        name=st.integers(0, 99).map("w{:02}".format),
        device=st.just("cuda:0"),
        ready=st.booleans(),
        job=st.sampled_from(["", "", "a"]),
        memory=st.just(0),
        starts=st.just(1),
        models=st.frozensets(names),
        free=st.integers(0, 4).map(lambda gib: gib << 30),
        given=st.integers(0, 3),
    ),
    max_size=8,
    unique_by=lambda worker: worker.name,
)


def flow(*needed: str) -> str:
    """A workflow that names some models, one of them in a body."""
    nodes: dict[str, Any] = {
        f"n{n}": {"type": "load", "inputs": {"model": name}} for n, name in enumerate(needed)
    }
    body = {"graph": {"nodes": nodes}}
    return json.dumps({"format": 1, "nodes": {"loop": {"type": "flow.repeat", "inputs": {"body": body}}}})


def idle(found: Iterable[WorkerState]) -> list[WorkerState]:
    return [worker for worker in found if worker.ready and not worker.job]


@given(workers, st.sets(names))
def test_a_job_goes_to_an_idle_worker_whenever_there_is_one(found, needed):
    where = place(flow(*needed), found)
    assert (where is None) == (not idle(found))
    assert where is None or where in {worker.name for worker in idle(found)}


@given(workers, st.sets(names))
def test_no_idle_worker_has_more_of_the_models_and_among_those_none_has_more_room(found, needed):
    where = place(flow(*needed), found)
    by_name = {worker.name: worker for worker in idle(found)}
    for other in by_name.values():
        chosen = by_name[str(where)]
        mine, theirs = len(needed & chosen.models), len(needed & other.models)
        assert mine >= theirs
        if mine == theirs:
            assert chosen.free >= other.free
            if chosen.free == other.free:
                assert chosen.given <= other.given


@given(workers, st.sets(names), st.randoms())
def test_the_order_in_which_workers_are_told_says_nothing(found, needed, random):
    mixed = list(found)
    random.shuffle(mixed)
    assert place(flow(*needed), mixed) == place(flow(*needed), found)


@given(st.integers(1, 6), st.lists(st.sets(names, min_size=1), min_size=1, max_size=40), st.randoms())
def test_while_jobs_wait_every_worker_works(count, jobs, random):
    """Jobs end in any order; each worker that is idle while one waits gets one, and keeps its last model."""
    states = {f"w{n}": WorkerState(f"w{n}", "cuda:0", True, "", 0, 1) for n in range(count)}
    for needed in jobs:
        if not idle(states.values()):
            done = random.choice(sorted(states))
            states[done] = states[done]._replace(job="")
        where = place(flow(*needed), states.values())
        assert where is not None
        now = states[where]
        states[where] = now._replace(job="j", models=frozenset(needed), given=now.given + 1)
    assert sum(state.given for state in states.values()) == len(jobs)
    assert len(jobs) < count or all(state.given for state in states.values())


@given(st.integers(2, 6), st.integers(1, 40))
def test_where_all_is_equal_jobs_go_round(count, jobs):
    states = {f"w{n}": WorkerState(f"w{n}", "cpu", True, "", 0, 1) for n in range(count)}
    for _ in range(jobs):
        where = str(place(flow("a"), states.values()))
        states[where] = states[where]._replace(given=states[where].given + 1)
    given = [state.given for state in states.values()]
    assert max(given) - min(given) <= 1


def test_a_text_is_found_wherever_it_stands():
    assert texts('{"a": ["x", {"b": "y"}], "c": {"link": "z"}, "d": 1, "e": null}') == {"x", "y", "z"}


@pytest.mark.parametrize("deep", [10_000])
def test_a_deep_workflow_costs_no_recursion_of_ours(deep):
    workers = [WorkerState(f"w{n}", "cpu", True, "", 0, 1, frozenset({"m"})) for n in range(2)]
    assert place(json.dumps({"a": [["m"] * deep]}), workers) == "w0"


def test_the_cost_grows_with_the_number_of_workers_and_no_faster():
    def seconds(count: int) -> float:
        found = [WorkerState(f"w{n}", "cpu", True, "", 0, 1, frozenset(MODELS[:2])) for n in range(count)]
        best = 1.0
        for _ in range(5):
            began = thread_time()
            place(flow("sdxl"), found)
            best = min(best, thread_time() - began)
        return best

    times = [seconds(count) for count in (1000, 2000, 4000, 8000)]
    assert all(after < 4 * before for before, after in pairwise(times))
