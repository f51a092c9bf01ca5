"""The laws of the engine as properties of random typed graphs."""

from __future__ import annotations

import json
from collections import Counter
from copy import deepcopy
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from samples import SINGLE, TYPES, body, call, file, link, ran, run, shuffled

from graphengine import events
from graphengine.cache import Cache
from graphengine.check import check
from graphengine.errors import WorkflowError
from graphengine.executor import Executor
from graphengine.keys import canonical
from graphengine.planner import plan
from graphengine.workflow import Workflow


class Recording(Cache):
    """Remembers every value ever put under a key."""

    def __init__(self, limit: int = 1 << 30) -> None:
        super().__init__(limit)
        self.puts: Counter[bytes] = Counter()
        self.values: dict[bytes, Any] = {}

    def put(self, key: bytes, value: Any, seconds: float, deep: bool = True) -> None:
        self.puts[key] += 1
        plain = canonical(value)
        if plain is not None:
            assert self.values.setdefault(key, plain) == plain, "one key, two values"
        super().put(key, value, seconds, deep)


@st.composite
def files(draw: Any, depth: int = 2, failing: bool = False) -> str:
    """A random acyclic file of ints: switches, loops in loops, twins, batches, lists with links, failures."""
    number = iter(range(1000))
    kinds = ["add", "add", "split", "predict", "switch", "total", *(["broken"] if failing else [])]

    def graph(seen: list[str], depth: int) -> tuple[dict[str, Any], list[str]]:
        nodes: dict[str, Any] = {}
        seen = list(seen)

        def value() -> Any:
            return (
                link(draw(st.sampled_from(seen))) if seen and draw(st.booleans()) else draw(st.integers(0, 3))
            )

        for _ in range(draw(st.integers(1, 5))):
            id = f"n{next(number)}"
            kind = draw(st.sampled_from(kinds + ["fold"] * (2 if depth else 0)))
            if kind == "add":
                nodes[id] = call("add", a=value(), b=value())
                seen.append(f"{id}.value")
            elif kind == "predict":
                nodes[id] = call("predict", model=draw(st.integers(0, 1)), x=value(), cond=value())
                seen.append(f"{id}.value")
            elif kind == "broken":
                nodes[id] = call("broken", a=value())
                seen.append(f"{id}.value")
            elif kind == "total":
                nodes[id] = call("total", items=[value() for _ in range(draw(st.integers(0, 3)))])
                seen.append(f"{id}.value")
            elif kind == "split":
                nodes[id] = call("split", a=value())
                seen += [f"{id}.low", f"{id}.high"]
            elif kind == "switch":
                nodes[id] = call("switch", first=draw(st.booleans()), a=value(), b=value())
                seen.append(f"{id}.result")
            else:
                names = [f"p{next(number)}", f"p{next(number)}"]
                over = [value() for _ in range(draw(st.integers(0, 3)))]
                start = value()
                inner, visible = graph(seen + names, depth - 1)
                out = draw(st.sampled_from(visible[-4:]))
                nodes[id] = call("fold", start=start, over=over, body=body(names, {"x": out}, **inner))
                seen.append(f"{id}.result")
        return nodes, seen

    nodes, seen = graph([], depth)
    wanted = draw(st.lists(st.sampled_from(seen), min_size=1, max_size=3)) if failing else [seen[-1]]
    return file({f"o{i}": name for i, name in enumerate(wanted)}, **nodes)


def edited(text: str, by: int) -> str:
    """The file with one literal changed."""
    data = json.loads(text)
    spots: list[tuple[Any, Any]] = []
    waiting = [data["nodes"]]
    while waiting:
        for spec in waiting.pop().values():
            for name, value in spec["inputs"].items():
                if type(value) is int:
                    spots.append((spec["inputs"], name))
                elif isinstance(value, list):
                    spots += [(value, i) for i, v in enumerate(value) if type(v) is int]
                elif isinstance(value, dict) and "graph" in value:
                    waiting.append(value["graph"]["nodes"])
    if spots:
        where, name = spots[by % len(spots)]
        where[name] += 1
    return json.dumps(data)


@settings(max_examples=300, deadline=None)
@given(files(), st.integers(0, 50), st.sampled_from([1 << 30, 3000, 0]))
def test_a_cached_run_equals_an_uncached_run(text: str, by: int, limit: int) -> None:
    cache = Recording(limit)
    fresh = run(text)
    assert run(text, cache) == fresh
    assert run(text, cache) == fresh
    change = edited(text, by)
    assert run(change, cache) == run(change)
    assert run(text, cache) == fresh


@settings(max_examples=200, deadline=None)
@given(files())
def test_a_node_runs_at_most_once_per_key(text: str) -> None:
    cache = Recording()
    run(text, cache)
    run(text, cache)
    assert ran == []
    assert set(cache.puts.values()) <= {1}


@settings(max_examples=150, deadline=None)
@given(files(), st.integers(0, 9))
def test_equal_keys_mean_equal_values_in_any_order_of_the_file(text: str, seed: int) -> None:
    one, two = Recording(), Recording()
    assert run(text, one) == run(shuffled(text, seed), two)
    assert one.values == two.values


@settings(max_examples=150, deadline=None)
@given(files())
def test_batched_and_single_calls_agree(text: str) -> None:
    assert run(text, types=SINGLE) == run(text)


@settings(max_examples=200, deadline=None)
@given(files(failing=True))
def test_a_failure_fails_only_what_depends_on_it(text: str) -> None:
    told: list[Any] = []
    outputs = run(text, told=told)
    failed = {e.node for e in told if isinstance(e, events.NodeFailed)}
    cause = {e.because for e in told if isinstance(e, events.NodeFailed)}
    assert cause <= failed
    assert told[-1].state == ("failed" if failed else "done")
    cache = Recording()
    run(text, cache)
    assert run(text, cache) == outputs
    for name, source in json.loads(text)["outputs"].items():
        assert name in outputs or source.partition(".")[0] in failed


@settings(max_examples=150, deadline=None)
@given(files(), st.integers(0, 30))
def test_cancelling_leaves_the_cache_valid(text: str, after: int) -> None:
    cache = Recording()
    executor = Executor(cache)
    seen: list[Any] = []

    def emit(event: Any) -> None:
        seen.append(event)
        if len(seen) > after:
            executor.cancel()

    executor.run(plan(Workflow.parse(text), TYPES, cache), emit)
    assert run(text, cache) == run(text)
    assert set(cache.puts.values()) <= {1}


ODD: list[Any] = [
    *(None, True, -1, 1.5, "x", [], [1, "x"], {}),
    *({"link": "n0.value"}, {"link": "n1.nope"}, {"link": "p0"}, {"link": 3}),
    *({"value": {"link": "a"}}, {"graph": {}}, [{"link": "n0.value"}, 2]),
]


@st.composite
def spoiled(draw: Any) -> str:
    """A random file after a few careless edits, anywhere in it."""
    data = json.loads(draw(files(failing=True)))
    for _ in range(draw(st.integers(1, 3))):
        spots: list[tuple[Any, Any]] = []
        waiting: list[Any] = [data]
        while waiting:
            here = waiting.pop()
            keys = here if isinstance(here, dict) else range(len(here))
            spots += [(here, key) for key in keys]
            waiting += [here[key] for key in keys if isinstance(here[key], (dict, list))]
        where, key = draw(st.sampled_from(spots))
        if draw(st.booleans()) and isinstance(where, dict):
            value = where.pop(key)
            if draw(st.booleans()):
                where[draw(st.sampled_from(["a", "b", "x", "body", "n0", "n1", "inputs", "type"]))] = value
        else:
            where[key] = deepcopy(draw(st.sampled_from(ODD)))
    return json.dumps(data)


@settings(max_examples=600, deadline=None)
@given(spoiled())
def test_what_check_accepts_can_start(text: str) -> None:
    try:
        workflow = Workflow.parse(text)
    except WorkflowError:
        return
    problems = check(workflow, TYPES)
    if problems:
        assert all(p.text for p in problems)
        return
    executor = Executor(Cache())
    executor.run(plan(workflow, TYPES, Cache()))
    assert all(isinstance(e, (ValueError, ArithmeticError)) for e in executor.failures.values()), (
        executor.failures
    )
