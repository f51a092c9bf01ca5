from __future__ import annotations

import gc
import threading
from typing import Any

import pytest
from samples import TYPES, arrived, body, call, chain, fan, file, link, ran, run, shuffled, tree

from graphengine import events, graph
from graphengine.cache import MISSING, Cache
from graphengine.executor import Executor
from graphengine.planner import plan
from graphengine.workflow import Workflow

STEP = {"m": call("mix", blob=link("x"), item=link("i"))}


def loop_file(over: list[int], start: int = 1) -> str:
    nodes = {
        "s": call("blob", n=start),
        "f": call("fold", start=link("s.blob"), over=over, body=body(["x", "i"], {"x": "m.blob"}, **STEP)),
        "out": call("number", blob=link("f.result")),
    }
    return file({"n": "out.value"}, **nodes)


def test_a_second_run_is_found_and_runs_nothing() -> None:
    cache, told = Cache(), list[Any]()
    text = file({"v": "b.value"}, a=call("add", a=1, b=2), b=call("add", a=link("a.value"), b=4))
    assert run(text, cache) == {"v": 7}
    assert ran == ["add", "add"]
    assert run(text, cache, told=told) == {"v": 7}
    assert ran == []
    assert told[0] == events.RunPlanned((), ("a", "b"), ())


def test_a_changed_literal_runs_only_what_follows_it() -> None:
    cache = Cache()
    nodes = {"a": call("add", a=1, b=2), "b": call("add", a=link("a.value"), b=4)}
    run(file({"v": "b.value"}, **nodes), cache)
    nodes["b"] = call("add", a=link("a.value"), b=5)
    assert run(file({"v": "b.value"}, **nodes), cache) == {"v": 8}
    assert ran == ["add"]


def test_two_nodes_with_one_key_run_once() -> None:
    nodes = {"a": call("add", a=1, b=2), "b": call("add", a=1, b=2)}
    nodes["c"] = call("add", a=link("a.value"), b=link("b.value"))
    assert run(file({"v": "c.value"}, **nodes)) == {"v": 6}
    assert ran == ["add", "add"]


def test_one_and_one_point_zero_mean_the_same_at_a_float() -> None:
    cache = Cache()
    assert run(file({"v": "a.value"}, a=call("bounded", scale=2)), cache) == {"v": 40.0}
    assert run(file({"v": "a.value"}, a=call("bounded", scale=2.0)), cache) == {"v": 40.0}
    assert ran == []


def test_a_node_that_gives_something_else_each_time_is_not_found_again_nor_what_follows() -> None:
    cache = Cache()
    text = file({"v": "b.value"}, a=call("clock"), b=call("add", a=link("a.value"), b=1))
    run(text, cache)
    run(text, cache)
    assert ran == ["clock", "add"]


def test_a_loop_resumes_where_its_items_change() -> None:
    cache, told = Cache(), list[Any]()
    over = list(range(30))
    run(loop_file(over), cache)
    assert ran.count("mix") == 30
    run(loop_file([*over[:20], 99, *over[21:]]), cache, told=told)
    assert ran.count("mix") == 10
    assert sum(e.cached for e in told if isinstance(e, events.BodyFinished)) == 20


def test_what_does_not_depend_on_the_loop_runs_once() -> None:
    inside = {
        "fixed": call("add", a=link("outer.value"), b=10),
        "step": call("add", a=link("x"), b=link("fixed.value")),
    }
    whole = body(["x", "i"], {"x": "step.value"}, **inside)
    nodes = {"outer": call("add", a=1, b=1), "f": call("fold", start=0, over=[1, 2, 3], body=whole)}
    assert run(file({"v": "f.result"}, **nodes)) == {"v": 36}
    assert ran.count("add") == 2 + 3


def test_independent_predictions_in_a_body_are_one_call() -> None:
    inside = {
        "cond": call("predict", model=1, x=link("x"), cond=1),
        "uncond": call("predict", model=1, x=link("x"), cond=0),
        "next": call("add", a=link("cond.value"), b=link("uncond.value")),
    }
    text = file(
        {"v": "f.result"},
        f=call("fold", start=0, over=[1, 2], body=body(["x", "i"], {"x": "next.value"}, **inside)),
    )
    run(text)
    assert ran.count("predict x2") == 2
    assert "predict" not in ran


def test_twins_in_a_batch_run_once() -> None:
    inside = {
        "a": call("predict", model=1, x=link("x"), cond=1),
        "b": call("predict", model=1, x=link("x"), cond=1),
        "c": call("predict", model=1, x=link("x"), cond=2),
        "n": call("total", items=[link("a.value"), link("b.value"), link("c.value")]),
    }
    whole = body(["x", "i"], {"x": "n.value"}, **inside)
    assert run(file({"v": "f.result"}, f=call("fold", start=1, over=[0], body=whole))) == {
        "v": 10 + 1 + 10 + 1 + 10 + 2
    }
    assert "predict x2" in ran


def test_the_branch_not_taken_never_runs() -> None:
    nodes = {"x": call("add", a=1, b=1), "y": call("broken", a=1)}
    nodes["s"] = call("switch", first=True, a=link("x.value"), b=link("y.value"))
    assert run(file({"v": "s.result"}, **nodes)) == {"v": 2}
    assert "broken" not in ran


def test_items_of_a_list_keep_their_own_keys() -> None:
    cache = Cache()
    over = [link("p.blob"), link("q.blob")]
    whole = body(["x"], {"y": "m.blob"}, m=call("mix", blob=link("x"), item=1))
    nodes = {"p": call("blob", n=1), "q": call("blob", n=2), "m0": call("map", over=over, body=whole)}
    run(file({"v": "m0.result"}, **nodes), cache)
    assert ran.count("mix") == 2
    nodes["r"] = call("blob", n=3)
    nodes["m0"] = call("map", over=[link("r.blob"), *over], body=whole)
    run(file({"v": "m0.result"}, **nodes), cache)
    assert ran.count("mix") == 1


def test_a_failed_node_fails_only_what_depends_on_it() -> None:
    told: list[Any] = []
    text = file(
        {"good": "a.value", "bad": "d.value"},
        a=call("add", a=1, b=2),
        b=call("broken", a=1),
        c=call("add", a=link("b.value"), b=1),
        d=call("add", a=link("c.value"), b=link("a.value")),
        e=call("show", value=link("a.value")),
    )
    assert run(text, told=told) == {"good": 3}
    failed = [(e.node, e.because) for e in told if isinstance(e, events.NodeFailed)]
    assert failed == [("b", "b"), ("c", "b"), ("d", "b")]
    assert "show" in ran
    assert told[-1].state == "failed"


def test_a_failure_in_a_body_fails_its_owner() -> None:
    told: list[Any] = []
    whole = body(["x", "i"], {"x": "b.value"}, b=call("broken", a=link("x")))
    assert run(file({"v": "f.result"}, f=call("fold", start=1, over=[1, 2], body=whole)), told=told) == {}
    assert [(e.node, e.because) for e in told if isinstance(e, events.NodeFailed)] == [("b", "b"), ("f", "b")]


def test_an_effect_in_a_body_that_fails_fails_its_owner() -> None:
    told: list[Any] = []
    inner = {
        "b": call("broken", a=link("x")),
        "s": call("show", value=link("b.value")),
        "n": call("add", a=link("x"), b=1),
    }
    run(
        file(
            {"v": "f.result"},
            f=call("fold", start=1, over=[1], body=body(["x", "i"], {"x": "n.value"}, **inner)),
        ),
        told=told,
    )
    assert told[-1].state == "failed"


def test_cancel_acts_within_a_step_and_leaves_the_cache_valid() -> None:
    cache = Cache()
    text = loop_file(list(range(30)))
    executor = Executor(cache)
    told: list[Any] = []

    def emit(event: Any) -> None:
        told.append(event)
        if isinstance(event, events.BodyFinished) and event.call == 10:
            executor.cancel()

    ran.clear()
    assert executor.run(plan(Workflow.parse(text), TYPES, cache), emit) == {}
    assert told[-1].state == "cancelled"
    assert ran.count("mix") == 10
    assert run(text, cache) == run(text)
    assert ran.count("mix") == 30
    run(text, cache)
    assert ran == []


def test_cancel_reaches_a_node_that_reports_progress() -> None:
    text = file({"v": "p.value"}, p=call("patient", n=10**9))
    executor = Executor(Cache())
    threading.Timer(0.1, executor.cancel).start()
    assert executor.run(plan(Workflow.parse(text), TYPES, Cache())) == {}


def test_nodes_that_await_the_world_overlap() -> None:
    arrived.clear()
    text = file(
        {"v": "e.value"},
        a=call("meet", n=1, others=2),
        b=call("meet", n=2, others=2),
        c=call("meet", n=3, others=2),
        d=call("add", a=link("a.value"), b=link("b.value")),
        e=call("add", a=link("d.value"), b=link("c.value")),
    )
    assert run(text) == {"v": 6}


def test_a_node_with_a_lazy_may_not_await_the_world() -> None:
    told: list[Any] = []
    run(file({"v": "b.value"}, b=call("bad", a=1)), told=told)
    assert "can await only" in next(e.error for e in told if isinstance(e, events.NodeFailed))


def test_targets_run_alone() -> None:
    text = file({"v": "b.value"}, a=call("add", a=1, b=2), b=call("broken", a=link("a.value")))
    assert run(text, targets=["a"]) == {"a.value": 3}
    assert ran == ["add"]


def test_a_value_is_kept_though_it_is_false() -> None:
    cache = Cache()
    run(file({"v": "a.value"}, a=call("add", a=0, b=0)), cache)
    assert run(file({"v": "a.value"}, a=call("add", a=0, b=0)), cache) == {"v": 0}
    assert ran == []
    assert cache.get(b"nothing") is MISSING


@pytest.mark.parametrize("shape", [chain, tree, fan])
@pytest.mark.parametrize("mixed", [False, True])
def test_a_graph_of_100_000_nodes(shape: Any, mixed: bool) -> None:
    text = shape(100_000)
    cache = Cache()
    whole = run(shuffled(text) if mixed else text, cache)
    assert run(text, cache) == whole
    if shape is chain:
        assert whole == {"value": 100_000}


def test_while_a_large_plan_runs_the_collector_leaves_it_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(graph, "MANY", 10)
    workflow, cache, left_out = Workflow.parse(chain(20)), Cache(), []

    def watch(event: events.Event) -> None:
        if isinstance(event, events.NodeStarted):
            left_out.append(gc.get_freeze_count() > 0)

    assert Executor(cache).run(plan(workflow, TYPES, cache), watch) == {"value": 20}
    assert left_out == [True] * 20
    assert gc.get_freeze_count() == 0


def test_a_chain_of_lazies_is_not_too_deep() -> None:
    n = 20_000
    nodes = {"s0": call("add", a=1, b=1)}
    for i in range(1, n):
        before = f"s{i - 1}.{'value' if i == 1 else 'result'}"
        nodes[f"s{i}"] = call("switch", first=True, a=link(before), b=0)
    assert run(file({"v": f"s{n - 1}.result"}, **nodes)) == {"v": 2}


def test_bodies_nested_50_deep() -> None:
    inner: dict[str, Any] = {"y": call("add", a=link("x49"), b=link("i0"))}
    for k in reversed(range(50)):
        start = link(f"x{k - 1}") if k else 0
        last = "y.value" if k == 49 else f"f{k + 1}.result"
        whole = body([f"x{k}", f"i{k}"], {"x": last}, **inner)
        inner = {f"f{k}": call("fold", start=start, over=[1] if k else [1, 2], body=whole)}
    cache = Cache()
    assert run(file({"v": "f0.result"}, **inner), cache) == {"v": 3}
    assert run(file({"v": "f0.result"}, **inner), cache) == {"v": 3}
    assert ran == []
