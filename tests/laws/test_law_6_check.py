"""Law 6: what `check` accepts can start; what it refuses is named in full."""

from __future__ import annotations

import json
from collections.abc import Callable
from copy import deepcopy
from random import Random
from typing import Any

from hypothesis import assume, given
from hypothesis import strategies as st
from laws.graphs import FAILING, PLAIN, bodied, files, levels
from laws.nodes import TYPES
from laws.running import many, meaning

from graphengine.cache import Cache
from graphengine.check import Checker, check
from graphengine.errors import WorkflowError
from graphengine.executor import Executor
from graphengine.expansion import expansion
from graphengine.nodetype import EMPTY
from graphengine.planner import plan
from graphengine.workflow import Workflow

Place = tuple[str, str]

ODD: list[Any] = [
    None, True, -1, 1.5, "x", "muted", "graph:g0", [], [1, "x"], {}, {"link": "n1.value"},
    {"link": "n2.nope"}, {"link": "x"}, {"link": "in0"}, {"link": 3}, {"value": {"link": "a"}}, {"graph": {}},
    [{"link": "n1.value"}, 2],
]  # fmt: skip
NAMES = ["a", "b", "x", "body", "start", "n1", "n2", "g0", "inputs", "type", "state", "n1/n2", "graph:g0/n1"]


@st.composite
def spoiled(draw: Any) -> Any:
    """A file after a few careless edits, anywhere in it."""
    file = draw(files() | FAILING)
    for _ in range(draw(st.integers(1, 3))):
        spots: list[tuple[Any, Any]] = []
        waiting: list[Any] = [file]
        for here in waiting:  # grows meanwhile
            keys = here if isinstance(here, dict) else range(len(here))
            spots += [(here, key) for key in keys]
            waiting += [here[key] for key in keys if isinstance(here[key], (dict, list))]
        where, key = draw(st.sampled_from(spots))
        if draw(st.booleans()) and isinstance(where, dict):
            value = where.pop(key)
            if draw(st.booleans()):
                where[draw(st.sampled_from(NAMES))] = value
        else:
            where[key] = deepcopy(draw(st.sampled_from(ODD)))
    return file


@many(6)
@given(spoiled())
def test_what_check_accepts_can_start(file: Any) -> None:
    try:
        workflow = Workflow.parse(json.dumps(file))
    except WorkflowError:
        return
    problems = check(workflow, TYPES)
    if problems:
        assert all(problem.text for problem in problems)
        assert len(set(problems)) == len(problems)
        return
    executor = Executor(Cache())
    executor.run(plan(workflow, TYPES, Cache()))
    wrong = {n: e for n, e in executor.failures.items() if not isinstance(e, (ValueError, ArithmeticError))}
    checker = Checker(expansion(workflow, TYPES).workflow, TYPES)
    assert not wrong or "any" in str([checker.outputs, checker.params]), "a mixed list may hold anything"


class Careless:
    """Makes mistakes in a valid file, at most one in each node, and remembers their places."""

    def __init__(self, file: Any, one: Callable[[list[Any]], Any]) -> None:
        self.file, self.one = deepcopy(file), one
        self.told: list[Place] = []
        """Places of mistakes that reading tells."""
        self.found: list[tuple[str, Place]] = []
        """Those that only a look at the node types shows, and the sub-workflow that they are in."""
        homes = {"": self.file} | {f"graph:{name}": graph for name, graph in self.file["graphs"].items()}
        self.sites = [
            (home, whole, id, graph)
            for home, whole in homes.items()
            for graph in levels({"graphs": {}} | whole | ({"graphs": {}} if not home else {}))
            for id in ["", *graph["nodes"]]
            if id or graph["nodes"] is whole["nodes"]
        ]

    def places(self) -> list[Place]:
        """Where the mistakes are that are to be told: not in a sub-workflow that nothing runs any more."""
        run, waiting = {""}, [self.file]
        for whole in waiting:  # grows meanwhile
            for graph in levels(whole | {"graphs": {}}):
                names = {spec["type"] for spec in graph["nodes"].values()} - run
                names = {name for name in names if name[6:] in self.file["graphs"]}
                run |= names
                waiting += [self.file["graphs"][name[6:]] for name in names]
        return [*self.told, *(place for home, place in self.found if home in run)]

    def make(self) -> None:
        """One more mistake."""
        site = self.one(self.sites)
        self.sites.remove(site)
        home, whole, id, graph = site
        if id:
            self.spoil(home, whole, id, graph["nodes"])
            return
        way = self.one(["field", "inputs", "outputs"])
        if way == "field":
            whole["colour"] = "red"
            self.told.append((home, "colour"))
            return
        whole[way]["zzz"] = "gone.nope"
        place = (f"{home}/{way}" if home else way), "zzz"
        if way == "inputs":
            self.told.append(place)
        else:
            self.found.append((home, place))

    def spoil(self, home: str, whole: Any, id: str, nodes: Any) -> None:
        """A mistake in a node."""
        spec, node = nodes[id], f"{home}/{id}" if home else id
        exposed = {at.partition(".")[2] for at in whole["inputs"].values() if at.partition(".")[0] == id}
        known = spec["type"] in PLAIN
        ports = [n for n in spec["inputs"] if known and n not in exposed and n != "scale"]
        must = [n for n in ports if TYPES[spec["type"]].ports[n].default is EMPTY]
        bodies = [name for name, value in spec["inputs"].items() if bodied(value)]
        ways = {
            "colour": "red", "state": "asleep", "version": 0, "type": "no.such", "nope": 1, "newer": 99,
            "nan": float("nan"), "text": "some text", "nowhere": {"link": "gone.value"},
            "output": {"link": f"fresh_{id}.nope"}, "wrong": {"link": f"fresh_{id}.value"}, "missing": None,
            "params": ["one", "more", "than", "wanted"], "outputs": {},
        }  # fmt: skip
        some = list(ways)[:5] + ["newer"] * known + list(ways)[6:11] * bool(ports)
        some += ["missing"] * bool(must) + ["params", "outputs"] * bool(bodies)
        way = self.one(some)
        value, early = ways[way], way in ("colour", "state", "version", "nan")
        place = way
        if way in ("colour", "state", "version", "type"):
            if way == "type" and spec["type"].startswith("graph:"):
                value = "graph:gone"
            elif way == "type":
                place = ""
            spec[way] = value
        elif way == "newer":
            place, spec["version"] = "version", value
        elif way == "nope":
            spec["inputs"][way] = value
        elif way in ("params", "outputs"):
            place = self.one(bodies)
            body = spec["inputs"][place]["graph"]
            body["inputs" if way == "params" else way] = body["inputs"] + value if value else {}
        elif way == "missing":
            place = self.one(must)
            del spec["inputs"][place]
        else:
            place = self.one(ports)
            spec["inputs"][place] = value
            nodes[f"fresh_{id}"] = {"type": "t.bounded", "inputs": {}}
        if early:
            self.told.append((node, place))
        else:
            self.found.append((home, (node, place)))


@many(3)
@given(files(without="states"), st.integers(0, 8), st.integers(0, 1000))
def test_what_check_refuses_is_named_in_full(file: Any, count: int, seed: int) -> None:
    """Every mistake at its place, all at once, and nothing that is none."""
    careless = Careless(file, Random(seed).choice)
    for _ in range(min(count, len(careless.sites))):
        careless.make()
    workflow = Workflow.parse(json.dumps(careless.file))
    problems = check(workflow, TYPES)
    assert sorted((p.node, p.input) for p in problems) == sorted(careless.places()), problems


@many(1)
@given(files())
def test_what_is_left_of_a_file_is_a_file_that_check_accepts(file: Any) -> None:
    """And it is one without sub-workflows and states, so that it is its own expansion."""
    assume(meaning(file))
    left = expansion(Workflow.parse(json.dumps(file)), TYPES).workflow
    assert check(left, TYPES) == []
    assert expansion(left, TYPES).workflow is left
