"""Why a node would run again."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from samples import body, file, link

from graphengine.config import Settings
from graphengine.explanation import Reason, worded
from graphengine.graph import Link
from graphengine.session import Session
from graphengine.workflow import Workflow


def number(first: Any, second: Any) -> dict[str, Any]:
    return {"type": "number.add", "inputs": {"first": first, "second": second}}


def loop(scale: float) -> dict[str, Any]:
    inner = {"type": "number.multiply", "inputs": {"first": link("x"), "second": scale}}
    inputs = {"start": link("b.value"), "times": 3, "body": body(["x"], {"x": "m.value"}, m=inner)}
    return {"type": "flow.repeat", "inputs": inputs}


def written(a: Any = 1.0, b: Any = 2.0, scale: float = 2.0, **more: Any) -> Workflow:
    nodes = {"a": number(a, 1.0), "b": number(link("a.value"), b), "c": loop(scale), **more}
    data = json.loads(file({"result": "c.result"}, **nodes)) | {"name": "Sum", "inputs": {"a": "a.first"}}
    return Workflow.of(data)


@pytest.fixture
def session(tmp_path: Path) -> Session:
    return Session(Settings(cache=tmp_path))


def reasons(session: Session, workflow: Workflow) -> dict[str, tuple[str, str]]:
    return {node: (state, why) for node, state, why in session.explain(workflow)}


def test_a_workflow_that_never_ran_is_new(session: Session) -> None:
    assert reasons(session, written()) == {
        "a": ("runs", "it has not run before"),
        "b": ("runs", "it has not run before"),
        "m": ("in a loop", "it is new"),
        "c": ("runs", "it has not run before"),
    }


def test_after_a_run_all_is_cached(session: Session) -> None:
    session.run(written())
    assert {state for state, _ in reasons(session, written()).values()} == {"cached", "not needed"}
    assert reasons(session, written())["c"] == ("cached", "")


def test_a_changed_input_is_named_where_it_is_and_where_it_is_felt(session: Session) -> None:
    session.run(written())
    found = reasons(session, written(b=5.0))
    assert found["a"] == ("cached", "")
    assert found["b"] == ("runs", "second was 2.0 and is 5.0")
    assert found["c"] == ("runs", "it gets something else, because of b: second was 2.0 and is 5.0")


def test_a_changed_body_is_named_by_its_node(session: Session) -> None:
    session.run(written())
    found = reasons(session, written(scale=3.0))
    assert found["m"] == ("in a loop", "second was 2.0 and is 3.0")
    assert found["c"] == ("runs", "it gets something else, because of m: second was 2.0 and is 3.0")


def test_a_changed_link_and_a_new_node_are_named(session: Session) -> None:
    session.run(written())
    found = reasons(session, written(b=link("d.value"), d=number(7.0, 1.0)))
    assert found["d"] == ("runs", "it has not run before")
    assert found["b"] == ("runs", "second was 2.0 and is linked to d.value")


def test_a_changed_type_is_named(session: Session) -> None:
    session.run(written())
    other = written()
    data = json.loads(other.text())
    data["nodes"]["b"]["type"] = "number.multiply"
    found = reasons(session, Workflow.of(data))
    assert found["b"] == ("runs", "its type was number.add and is number.multiply")


def test_what_the_cache_has_let_go_is_told_so(tmp_path: Path) -> None:
    Session(Settings(cache=tmp_path)).run(written())
    found = reasons(Session(Settings(cache=tmp_path)), written())  # numbers are quicker to add than to read
    assert found["c"] == ("runs", "nothing changed, but the cache does not have it any more")


def test_an_open_seed_is_drawn_anew(session: Session) -> None:
    data = json.loads((Path(__file__).parents[1] / "workflows" / "text_to_image.json").read_text("utf-8"))
    data["nodes"]["noise"]["inputs"]["seed"] = None
    found = reasons(session, Workflow.of(data))
    assert found["noise"] == ("runs", "its seed is left open, and drawn anew for each run")
    assert found["save"] == ("runs", "it has an effect, so it runs each time")


def test_named_inputs_may_be_given(session: Session) -> None:
    session.run(written())
    found = session.explain(written(), {"a": 4.0})
    assert found[0] == Reason("a", "runs", "first was 1.0 and is 4.0")


def test_a_damaged_note_is_as_good_as_none(session: Session) -> None:
    session.run(written())
    (note,) = (session.settings.cache / "runs").iterdir()
    note.write_text("{[")
    assert reasons(session, written(b=9.0))["b"] == ("runs", "it has not run before")


def test_a_run_that_failed_is_not_noted(session: Session) -> None:
    session.run(written(d={"type": "flow.item", "inputs": {"items": [], "index": 3}}), targets=["d"])
    assert not (session.settings.cache / "runs").exists()


def test_long_values_that_differ_are_told_apart() -> None:
    assert worded("x" * 100) != worded("x" * 101)
    assert worded(Link("a", "b")) == "linked to a.b"
    assert worded((Link("a", "b"), 1)) == "a list of linked to a.b, 1"
