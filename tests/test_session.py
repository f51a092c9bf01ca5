from __future__ import annotations

import json
import threading
from pathlib import Path
from typing import Any

import pytest
import samples
from samples import REGISTRY, body, call, file, link, ran

import graphengine
from graphengine import events
from graphengine.authoring import NO_CONTEXT, Context, node
from graphengine.config import Settings
from graphengine.errors import NodeFailed, WorkflowError
from graphengine.registry import Manifest, Registry
from graphengine.session import Session, load
from graphengine.signature import read


@node(cache="none")
def publish(text: str, ctx: Context = NO_CONTEXT) -> None:
    """Save a text, and the workflow beside it."""
    ctx.save("text.txt", text.encode(), "text/plain")
    ctx.save("workflow.json", json.dumps(ctx.workflow).encode(), "application/json")


def sample(folder: Path, **given: Any) -> Session:
    """A session that knows the trivial nodes, with everything it writes under a folder."""
    session = Session(
        Settings(cache=folder / "cache", outputs=folder / "outputs", models=(), device="cpu", **given)
    )
    mine = read(publish, "t", "")
    session.manifest = Manifest(REGISTRY.types | {mine.id: mine}, tuple(REGISTRY.packs))
    session.bound = {**session.manifest.types}
    return session


@pytest.fixture
def session(tmp_path: Path) -> Session:
    ran.clear()
    return sample(tmp_path)


def written(folder: Path, text: str, name: str = "flow.json") -> Path:
    path = folder / name
    path.write_text(text)
    return path


ADD = file({"v": "b.value"}, {"first": "a.a"}, a=call("add", a=1, b=2), b=call("add", a=link("a.value"), b=4))
SEEDS = file(
    {"x": "a.value", "y": "b.value", "z": "f.value"},
    {"seed": "a.seed"},
    a=call("seeded", seed=None),
    b=call("seeded", seed=7),
    f=call("map", over=[1], body=body(["x"], {"y": "c.value"}, c=call("seeded", seed=None))),
).replace('"z": "f.value"', '"z": "f.result"')


# -- running -------------------------------------------------------------------------------------------------


def test_a_run_gives_the_outputs_by_name(session: Session, tmp_path: Path) -> None:
    outcome = session.run(session.load(written(tmp_path, ADD)))
    assert (outcome.state, outcome.outputs, outcome.files, outcome.failures) == ("done", {"v": 7}, (), {})
    assert session.run(session.load(tmp_path / "flow.json"), {"first": 10}).outputs == {"v": 16}


def test_events_are_told_in_order(session: Session, tmp_path: Path) -> None:
    told: list[Any] = []
    session.run(session.load(written(tmp_path, ADD)), emit=told.append)
    assert type(told[0]) is events.RunPlanned
    assert [e.node for e in told if isinstance(e, events.NodeStarted)] == ["a", "b"]
    assert type(told[-1]) is events.RunEnded


def test_targets_are_run_alone(session: Session, tmp_path: Path) -> None:
    outcome = session.run(session.load(written(tmp_path, ADD)), targets=["a"])
    assert outcome.outputs == {"a.value": 3}
    assert ran == ["add"]


def test_a_target_that_is_no_node_outside_of_bodies_is_told(session: Session, tmp_path: Path) -> None:
    workflow = session.load(written(tmp_path, SEEDS))
    for target in ("nothing", "c"):
        with pytest.raises(WorkflowError, match=f"{target}: is no node of the workflow that stands outside"):
            session.run(workflow, targets=[target])


def test_what_check_refuses_does_not_run_and_everything_is_told(session: Session, tmp_path: Path) -> None:
    workflow = session.load(written(tmp_path, file({}, a=call("add", a="x"), s=call("show", value=1))))
    with pytest.raises(WorkflowError) as caught:
        session.run(workflow)
    assert [(p.node, p.input) for p in caught.value.problems] == [("a", "a"), ("a", "b")]
    assert list(caught.value.problems) == session.check(workflow)
    assert ran == []


def test_an_input_that_the_port_refuses_is_told(session: Session, tmp_path: Path) -> None:
    workflow = session.load(written(tmp_path, ADD))
    with pytest.raises(WorkflowError, match=r"a\.a: 'x' is a text, not a whole number"):
        session.run(workflow, {"first": "x"})
    with pytest.raises(
        WorkflowError, match=r"inputs\.second: there is no such input; the workflow has: first"
    ):
        session.run(workflow, {"second": 1})


def test_a_failure_is_kept_with_its_node_and_the_rest_completes(session: Session, tmp_path: Path) -> None:
    text = file({"good": "a.value", "bad": "c.value"}, a=call("add", a=1, b=2), b=call("broken", a=5),
                c=call("add", a=link("b.value"), b=1))  # fmt: skip
    outcome = session.run(session.load(written(tmp_path, text)))
    assert (outcome.state, outcome.outputs) == ("failed", {"good": 3})
    assert [*outcome.failures] == ["b"]
    with pytest.raises(NodeFailed, match="b: ValueError: no 5"):
        outcome.raise_for_failure()


def test_a_run_is_cancelled_from_another_thread(session: Session, tmp_path: Path) -> None:
    workflow = session.load(written(tmp_path, file({"v": "p.value"}, p=call("patient", n=10**9))))
    timer = threading.Timer(0.2, session.cancel)
    timer.start()
    outcome = session.run(workflow)
    timer.join()
    assert (outcome.state, outcome.outputs) == ("cancelled", {})
    assert session.run(session.load(written(tmp_path, ADD))).state == "done"


def test_cancelling_nothing_does_nothing(session: Session) -> None:
    session.cancel()


# -- seeds ---------------------------------------------------------------------------------------------------


def test_an_open_seed_is_drawn_and_stands_in_the_workflow_of_the_outcome(
    session: Session, tmp_path: Path
) -> None:
    workflow = session.load(written(tmp_path, SEEDS))
    outcome = session.run(workflow)
    nodes = outcome.workflow.nodes
    assert nodes["a"].inputs["seed"] == outcome.outputs["x"]
    assert [nodes["c"].inputs["seed"]] == outcome.outputs["z"]
    assert 0 <= outcome.outputs["x"] < 2**32
    assert workflow.nodes["a"].inputs["seed"] is None
    assert session.run(outcome.workflow).outputs == outcome.outputs


def test_each_run_draws_another_seed_and_each_node_its_own(session: Session, tmp_path: Path) -> None:
    workflow = session.load(written(tmp_path, SEEDS))
    drawn = [session.run(workflow).outputs for _ in range(4)]
    assert len({o["x"] for o in drawn} | {o["z"][0] for o in drawn}) == 8


def test_a_given_seed_is_kept(session: Session, tmp_path: Path) -> None:
    workflow = session.load(written(tmp_path, SEEDS))
    outcome = session.run(workflow, {"seed": 0})
    assert (outcome.outputs["x"], outcome.outputs["y"]) == (0, 7)
    assert outcome.workflow.nodes["b"].inputs["seed"] == 7


# -- files ---------------------------------------------------------------------------------------------------


def test_published_files_are_listed_and_hold_the_workflow_as_it_was_run(
    session: Session, tmp_path: Path
) -> None:
    text = file({}, {"text": "p.text"}, p=call("publish", text="old"), s=call("seeded", seed=None))
    outcome = session.run(session.load(written(tmp_path, text)), {"text": "new"})
    outputs = tmp_path / "outputs"
    assert outcome.files == (outputs / "text_0001.txt", outputs / "workflow_0001.json")
    assert outcome.files[0].read_text() == "new"
    saved = json.loads(outcome.files[1].read_text())
    assert saved == outcome.workflow.data
    assert type(saved["nodes"]["s"]["inputs"]["seed"]) is int


def test_a_file_is_never_replaced(session: Session, tmp_path: Path) -> None:
    workflow = session.load(written(tmp_path, file({}, p=call("publish", text="x"))))
    assert session.run(workflow).files[0] != session.run(workflow).files[0]


# -- the cache -----------------------------------------------------------------------------------------------


def slow(folder: Path) -> Path:
    return written(folder, file({"v": "s.value"}, s=call("fetch", n=5)))


def test_what_one_session_computed_another_finds_on_disk(tmp_path: Path) -> None:
    first, second = sample(tmp_path), sample(tmp_path)
    ran.clear()
    assert first.run(first.load(slow(tmp_path))).outputs == {"v": 5}
    assert second.plan(second.load(slow(tmp_path))).cached == ("s",)
    assert second.run(second.load(slow(tmp_path))).outputs == {"v": 5}
    assert ran == ["fetch"]


def test_without_a_disk_cache_another_session_finds_nothing(tmp_path: Path) -> None:
    first, second = sample(tmp_path, disk_cache=0), sample(tmp_path, disk_cache=0)
    ran.clear()
    first.run(first.load(slow(tmp_path)))
    second.run(second.load(slow(tmp_path)))
    assert ran == ["fetch", "fetch"]
    first.run(first.load(slow(tmp_path)))
    assert ran == ["fetch", "fetch"]


def test_planning_runs_nothing(session: Session, tmp_path: Path) -> None:
    assert session.plan(session.load(written(tmp_path, ADD))).steps == ("a", "b")
    assert ran == []


# -- loading -------------------------------------------------------------------------------------------------


def test_a_workflow_that_ships_is_loaded_by_name(session: Session) -> None:
    assert session.load("text_to_image").nodes
    with pytest.raises(WorkflowError, match="No such file"):
        session.load("text_to_nothing")


def test_a_file_of_that_name_goes_before_one_that_ships(
    session: Session, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    written(tmp_path, ADD, "text_to_image")
    assert [*session.load("text_to_image").nodes] == ["a", "b"]


def test_a_picture_is_loaded_as_the_workflow_that_made_it(session: Session, tmp_path: Path) -> None:
    import zlib

    part = b"tEXtworkflow\0" + ADD.encode()
    chunk = (len(part) - 4).to_bytes(4, "big") + part + zlib.crc32(part).to_bytes(4, "big")
    (tmp_path / "a.png").write_bytes(b"\x89PNG\r\n\x1a\n" + chunk)
    assert session.run(session.load(tmp_path / "a.png")).outputs == {"v": 7}


def test_load_gives_something_to_run(session: Session, tmp_path: Path) -> None:
    path = written(tmp_path, ADD)
    assert load(path, session).run(first=5) == {"v": 11}
    assert graphengine.load is load
    with pytest.raises(WorkflowError, match="no such input"):
        load(path, session).run(second=5)
    broken = written(tmp_path, file({"v": "b.value"}, b=call("broken", a=5)))
    with pytest.raises(NodeFailed, match="no 5"):
        load(broken, session).run()


def test_making_a_session_writes_and_loads_nothing(tmp_path: Path) -> None:
    Session(Settings(cache=tmp_path / "cache", outputs=tmp_path / "outputs", models=()))
    assert [*tmp_path.iterdir()] == []


def test_the_packs_are_known_through_a_manifest_that_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("graphengine.registry.installed", lambda: [samples_pack()])
    settings = Settings(cache=tmp_path / "cache", outputs=tmp_path, models=(), device="cpu")
    assert "t.add" in Session(settings).manifest.types
    monkeypatch.setattr(Registry, "load", classmethod(lambda cls, *packs: pytest.fail("loaded again")))
    session = Session(settings)
    assert session.manifest.types["t.add"].run is None
    assert session.run(session.load(written(tmp_path, ADD))).outputs == {"v": 7}


def test_a_cache_folder_that_cannot_be_written_costs_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch  # noqa: F401  # a process that has it loads the packs itself

    monkeypatch.setattr("graphengine.registry.installed", lambda: [samples_pack()])
    (tmp_path / "file").write_text("in the way")
    session = Session(Settings(cache=tmp_path / "file", outputs=tmp_path, models=(), device="cpu"))
    assert session.run(session.load(slow(tmp_path))).outputs == {"v": 5}


def samples_pack() -> Any:
    return samples.REGISTRY.packs[0]
