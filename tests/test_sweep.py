"""Sweeps: every combination in order, what they share once, and what is left of those that fail or stop."""

from __future__ import annotations

import csv
import io
import itertools
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image as Pillow
from samples import REGISTRY, TYPES, call, file, link, ran

import graphengine_nodes.images
import graphengine_nodes.sheets
from graphengine.authoring import NO_CONTEXT, Context, node
from graphengine.board import Board
from graphengine.cache import Cache
from graphengine.config import Settings
from graphengine.errors import GraphEngineError, WorkflowError
from graphengine.events import NodeStarted, RunPlanned
from graphengine.notebook import Result
from graphengine.registry import Manifest, Pack, Registry
from graphengine.session import Runnable, Session
from graphengine.signature import read
from graphengine.sweep import LIMIT, Sweep, checked, runs, slim
from graphengine.types import Image
from graphengine.workflow import Workflow

torch.set_num_threads(1)


@node
def paint(red: int = 0, green: int = 0, size: int = 16, count: int = 1) -> Image:
    """Pictures of one colour; a negative size is none."""
    ran.append(f"paint {red} {green}")
    if size < 0:
        raise ValueError("no size")
    return torch.tensor([red / 10, green / 10, 0.5]).expand(count, size, size, 3)


@node(cache="none")
def keep(text: str, ctx: Context = NO_CONTEXT) -> None:
    """Save a text."""
    ctx.save("text.txt", text.encode(), "text/plain")


@node
def refuse(a: int, kind: str = "x") -> int:
    """Fails for 2."""
    if a == 2:
        raise ValueError("two is too much")
    return a * 10


OWN = {kind.id: kind for kind in (read(f, "t", "") for f in (paint, keep, refuse))}
STD = Registry()
for module in (graphengine_nodes.images, graphengine_nodes.sheets):
    STD.module(Pack("std", "graphengine_nodes", "1"), module, "image")


@pytest.fixture
def session(tmp_path: Path) -> Session:
    """With every cache off, and everything it writes under the test's folder."""
    ran.clear()
    settings = Settings(cache=tmp_path / "cache", outputs=tmp_path / "outputs", models=(), device="cpu",
                        memory_cache=0, disk_cache=0)  # fmt: skip
    session = Session(settings)
    session.manifest = Manifest(TYPES | OWN | STD.types, tuple(REGISTRY.packs))
    session.bound = {**session.manifest.types}
    return session


Load = Callable[[str], Runnable]


@pytest.fixture
def load(session: Session) -> Load:
    return lambda text: Runnable(Workflow.parse(text), session)


ADD = file(
    {"sum": "b.value"}, {"x": "a.a", "y": "b.b", "z": "b.a"},
    a=call("add", a=1, b=2), b=call("add", a=link("a.value"), b=4),
)  # fmt: skip
PAINT = file(
    {"image": "p.image", "size": "n.value"},
    {"red": "p.red", "green": "p.green", "size": "p.size", "count": "p.count", "n": "n.a"},
    p=call("paint"), n=call("add", a=3, b=0),
)  # fmt: skip
REFUSE = file({"v": "r.value", "w": "s.value"}, {"a": "r.a", "kind": "r.kind"},
              r=call("refuse", a=0), s=call("add", a=1, b=1))  # fmt: skip


# -- running -------------------------------------------------------------------------------------------------


def test_every_combination_runs_and_the_last_input_varies_fastest(load: Load) -> None:
    sweep = load(ADD).sweep(x=[10, 20], y=[1, 2, 3])
    assert [run.values for run in sweep.runs] == [
        {"x": x, "y": y} for x, y in itertools.product([10, 20], [1, 2, 3])
    ]
    assert [run.outputs["sum"] for run in sweep.runs] == [13, 14, 15, 23, 24, 25]
    assert {run.state for run in sweep.runs} == {sweep.state} == {"done"}
    assert all(run.seconds > 0 for run in sweep.runs)


def test_a_sweep_gives_what_single_runs_give(load: Load) -> None:
    runnable = load(ADD)
    for run in runnable.sweep(x=[5, 6], fixed={"y": 7}).runs:
        assert run.outputs == runnable.run(y=7, **run.values)


def test_what_the_combinations_share_is_computed_once_with_every_cache_off(
    load: Load, session: Session
) -> None:
    off = session.cache
    assert off.limit == 0
    load(ADD).sweep(y=[1, 2, 3])
    assert ran == ["add"] * 4
    assert session.cache is off
    load(ADD).sweep(y=[1, 2, 3])
    assert ran == ["add"] * 8


def test_a_cache_that_is_on_is_the_one_that_is_used(load: Load, session: Session) -> None:
    session.cache = Cache()
    load(ADD).sweep(y=[1, 2])
    ran.clear()
    load(ADD).sweep(y=[1, 2, 3])
    assert ran == ["add"]


def test_arrays_and_generators_are_lists_of_plain_numbers(load: Load) -> None:
    runs = load(ADD).sweep(x=np.arange(2), y=torch.arange(2), z=(i for i in range(1))).runs
    assert [run.values for run in runs][-1] == {"x": 1, "y": 1, "z": 0}
    assert {type(v) for run in runs for v in run.values.values()} == {int}


def test_files_belong_to_the_run_that_saved_them(load: Load, tmp_path: Path) -> None:
    text = file({}, {"text": "k.text"}, k=call("keep", text=""))
    sweep = load(text).sweep(text=["one", "two"])
    assert [path.read_text() for run in sweep.runs for path in run.files] == ["one", "two"]
    assert sweep.table()[1]["files"] == [str(tmp_path / "outputs" / "text_0002.txt")]


# -- seeds ---------------------------------------------------------------------------------------------------

SEEDED = file(
    {"seed": "s.value", "sum": "a.value"}, {"seed": "s.seed", "n": "a.b"},
    s=call("seeded", seed=None), a=call("add", a=1, b=1),
)  # fmt: skip


def test_an_open_seed_is_drawn_once_for_all(load: Load) -> None:
    sweep = load(SEEDED).sweep(n=[1, 2, 3])
    assert len({run.outputs["seed"] for run in sweep.runs}) == 1
    assert {run.outputs["seed"] for run in load(SEEDED).sweep(n=[1]).runs} != {sweep.runs[0].outputs["seed"]}


def test_a_swept_seed_is_the_one_that_is_given(load: Load) -> None:
    assert [run.outputs["seed"] for run in load(SEEDED).sweep(seed=[5, 0]).runs] == [5, 0]


def test_a_swept_open_seed_is_drawn_each_time_and_told(load: Load) -> None:
    sweep = load(SEEDED).sweep(seed=[None, None])
    assert [run.values["seed"] for run in sweep.runs] == [run.outputs["seed"] for run in sweep.runs]
    assert len({run.outputs["seed"] for run in sweep.runs}) == 2


# -- refusing ------------------------------------------------------------------------------------------------


def test_every_problem_is_told_with_its_combinations_before_anything_runs(load: Load) -> None:
    text = file(
        {"v": "b.value"}, {"steps": "b.steps", "kind": "b.kind", "scale": "b.scale"}, b=call("bounded")
    )
    with pytest.raises(WorkflowError) as caught:
        load(text).sweep(steps=[10, 0, 151], kind=["a", "c"], fixed={"scale": -1.0})
    told: dict[tuple[str, str], list[str]] = {}
    for problem in caught.value.problems:
        told.setdefault((problem.node, problem.input), []).append(problem.text)
    assert told == {
        ("b", "steps"): [
            "0 is below 1; choose 1 to 150 (steps=0; 2 of 6 combinations)",
            "151 is above 150; choose 1 to 150 (steps=151; 2 of 6 combinations)",
        ],
        ("b", "kind"): ["'c' is none of the choices; choose a, b (kind=c; 3 of 6 combinations)"],
        ("b", "scale"): ["-1.0 is below 0; choose 0 to 100"],
    }
    assert ran == []


def test_an_input_that_is_missing_in_the_file_may_be_swept(load: Load) -> None:
    text = file({"v": "a.value"}, {"x": "a.a"}, a={"type": "t.add", "inputs": {"b": 1}})
    assert [run.outputs["v"] for run in load(text).sweep(x=[1, 2]).runs] == [2, 3]


@pytest.mark.parametrize(
    ("axes", "fixed", "said"),
    [
        ({"nope": [1]}, {}, r"inputs\.nope: there is no such input; the workflow has: x, y, z"),
        ({"x": [1]}, {"nope": 1}, r"inputs\.nope: there is no such input; the workflow has: x, y, z"),
        ({"x": []}, {}, r"inputs\.x: has no value to run; give at least one"),
        ({"x": [1]}, {"x": 2}, r"inputs\.x: is both swept and given one value"),
        ({"x": "12"}, {}, r"inputs\.x: '12' is one value; give a list of them"),
        ({"x": 12}, {}, r"inputs\.x: 12 is one value; give a list of them"),
        ({}, {}, "nothing is swept; give at least one named input a list of values"),
        ({"x": range(200), "y": range(100)}, {}, "there are 20,000 combinations; give fewer values, for at "),
        ({"x": itertools.count()}, {}, "there are 10,001 combinations"),
    ],
)  # fmt: skip
def test_what_cannot_be_swept_is_told(load: Load, axes: Any, fixed: Any, said: str) -> None:
    with pytest.raises(WorkflowError, match=said):
        load(ADD).sweep(**axes, fixed=fixed)
    assert ran == []


def test_as_many_combinations_as_are_allowed_are_checked(load: Load, session: Session) -> None:
    combinations = checked(session, load(ADD).workflow, {"x": range(100), "y": range(LIMIT // 100)})
    assert len(combinations) == len(list(combinations)) == LIMIT


# -- failing and stopping ------------------------------------------------------------------------------------


def test_a_failure_costs_its_combination_and_the_rest_goes_on(load: Load) -> None:
    sweep = load(REFUSE).sweep(a=[1, 2, 3])
    assert [run.state for run in sweep.runs] == ["done", "failed", "done"]
    assert [run.outputs.get("v") for run in sweep.runs] == [10, None, 30]
    assert [run.outputs["w"] for run in sweep.runs] == [2, 2, 2]
    assert [run.error for run in sweep.runs] == ["", "r: ValueError: two is too much", ""]
    assert sweep.state == "failed"


def test_cancelling_ends_the_sweep_with_what_is_done(load: Load, session: Session) -> None:
    combinations = checked(session, load(ADD).workflow, {"x": range(5)})
    started = 0

    def heard(event: Any) -> None:
        nonlocal started
        started += isinstance(event, NodeStarted)
        if started == 3:
            session.cancel()

    done = tuple(runs(session, combinations, heard))
    assert [run.state for run in done] == ["done", "cancelled"]
    assert Sweep(combinations, done, session.manifest).state == "cancelled"
    assert load(ADD).sweep(x=[1]).state == "done"


def test_a_sweep_is_cancelled_between_two_runs(load: Load, session: Session) -> None:
    combinations = checked(session, load(ADD).workflow, {"x": range(5)})
    done = []
    for run in runs(session, combinations):
        done.append(run)
        session.cancel()
    assert [run.state for run in done] == ["done"]
    assert Sweep(combinations, tuple(done), session.manifest).state == "cancelled"


def test_a_sweep_is_cancelled_while_a_run_is_planned(
    load: Load, session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    combinations = checked(session, load(ADD).workflow, {"x": range(5)})
    plan = session.plan

    def cancelled(*given: Any) -> Any:
        session.cancel()
        return plan(*given)

    monkeypatch.setattr(session, "plan", cancelled)
    assert [run.state for run in runs(session, combinations)] == ["cancelled"]
    assert ran == []


def test_events_of_every_run_are_told(load: Load, session: Session) -> None:
    told: list[Any] = []
    list(runs(session, checked(session, load(ADD).workflow, {"y": [1, 2]}), told.append))
    assert [event.steps for event in told if isinstance(event, RunPlanned)] == [("a", "b"), ("b",)]


# -- the table -----------------------------------------------------------------------------------------------


def test_the_table_has_values_plain_outputs_and_how_each_run_ended(load: Load) -> None:
    rows = load(REFUSE).sweep(a=[1, 2], kind=["x, y"]).table()
    assert [[*row] for row in rows] == [["a", "kind", "v", "w", "seconds", "state", "error", "files"]] * 2
    assert [(row["a"], row["v"], row["w"], row["state"]) for row in rows] == [
        (1, 10, 2, "done"), (2, None, 2, "failed"),
    ]  # fmt: skip


def test_an_output_that_has_the_name_of_an_input_gets_a_column_of_its_own(load: Load) -> None:
    rows = load(PAINT).sweep(size=[8, 4], n=[5]).table()
    assert [(row["size"], row["output.size"]) for row in rows] == [(8, 5), (4, 5)]
    text = ADD.replace('"x"', '"state"').replace('"sum"', '"seconds"')
    (row,) = load(text).sweep(state=[7]).table()
    assert (row["input.state"], row["output.seconds"], row["state"]) == (7, 13, "done")


def test_the_csv_reads_back_as_the_table(load: Load) -> None:
    sweep = load(REFUSE).sweep(kind=['a "quoted", text\nwith a line', "true"], a=[1, 2])
    rows = list(csv.DictReader(io.StringIO(sweep.csv())))
    assert [row["kind"] for row in rows] == [run.values["kind"] for run in sweep.runs]
    assert [row["v"] for row in rows] == ["10", "", "10", ""]
    assert rows[1]["error"] == "r: ValueError: two is too much"


def test_lists_stand_in_the_csv_as_json(load: Load) -> None:
    text = file({"items": "c.value"}, {"n": "c.n"}, c=call("count", n=1))
    (row,) = csv.DictReader(io.StringIO(load(text).sweep(n=[3]).csv()))
    assert json.loads(row["items"]) == [0, 1, 2]


# -- the grid ------------------------------------------------------------------------------------------------


def colours(picture: Pillow.Image) -> list[list[tuple[int, int]]]:
    """Red and green of each painted tile (blue is half), row by row."""
    pixels = np.asarray(picture).astype(int)
    painted = np.abs(pixels[..., 2] - 128) <= 1
    rows = []
    for y in edges(painted.any(1)):
        row = painted[y]
        rows.append([(round(pixels[y, x, 0] / 25.5), round(pixels[y, x, 1] / 25.5)) for x in edges(row)])
    return rows


def edges(line: Any) -> list[int]:
    """Where runs of 100 pixels and more begin: tiles, not letters."""
    changes = np.flatnonzero(np.diff(np.concatenate([[0], line.astype(int), [0]])))
    return [int(a) for a, b in changes.reshape(-1, 2) if b - a >= 100]


def test_two_inputs_make_rows_and_columns(load: Load) -> None:
    grid = load(PAINT).sweep(red=[1, 2, 3], green=[4, 5]).grid()
    assert colours(grid) == [[(1, 4), (1, 5)], [(2, 4), (2, 5)], [(3, 4), (3, 5)]]
    assert grid.width > 2 * 256
    assert grid.height > 3 * 256


def test_one_input_makes_a_row_and_a_long_one_wraps(load: Load) -> None:
    assert colours(load(PAINT).sweep(red=range(4)).grid()) == [[(0, 0), (1, 0), (2, 0), (3, 0)]]
    wrapped = colours(load(PAINT).sweep(red=range(10)).grid())
    assert wrapped == [[(4 * row + i, 0) for i in range(4) if 4 * row + i < 10] for row in range(3)]


def test_further_inputs_make_groups_of_rows(load: Load) -> None:
    grid = load(PAINT).sweep(count=[1], n=[0, 1], red=[1, 2], green=[3, 4, 5]).grid()
    assert colours(grid) == 2 * [[(red, green) for green in (3, 4, 5)] for red in (1, 2)]


def test_a_batch_stands_in_one_place(load: Load) -> None:
    grid = load(PAINT).sweep(count=[1, 4], fixed={"size": 200}).grid("image")
    painted = np.abs(np.asarray(grid)[..., 2].astype(int) - 128) <= 1
    assert painted.sum() == pytest.approx(5 * 200 * 200, rel=0.01)
    assert len(edges(painted[:, painted.any(0)][:, -1])) == 2


def test_large_pictures_are_made_smaller_and_small_ones_larger(load: Load) -> None:
    small = load(PAINT).sweep(red=[1, 2], fixed={"size": 16}).grid()
    assert 2 * 256 < small.width < 2 * 256 + 100
    large = load(PAINT).sweep(red=[1, 2], fixed={"size": 1500}).grid()
    assert 2 * 1024 < large.width < 2 * 1024 + 100


def test_a_place_without_a_picture_says_why(load: Load, session: Session, monkeypatch: Any) -> None:
    combinations = checked(session, load(PAINT).workflow, {"size": [-1, 8, 9, 10]})
    going = runs(session, combinations)
    done = (next(going), next(going))
    said: list[list[str]] = []
    draw = Board.draw

    def drawn(self: Board, places: list[Any]) -> Pillow.Image:
        said.append([place for place in places if type(place) is str])
        return draw(self, places)

    monkeypatch.setattr(Board, "draw", drawn)
    grid = Sweep(combinations, done, session.manifest).grid()
    assert said == [["failed", "not run", "not run"]]
    assert colours(grid) == [[(0, 0)]]
    empty = (np.asarray(grid) == (0xEC, 0xEF, 0xF1)).all(-1)
    assert len(edges(empty[-50])) == 3, "each on a place of its own"
    middle = np.asarray(grid)[-256:-8][:, : grid.width // 4]
    assert (middle < 100).all(-1).any(), "with dark letters"


def test_a_grid_that_cannot_be_drawn_says_why(load: Load, session: Session) -> None:
    with pytest.raises(
        GraphEngineError, match=r"there is no picture 'sum' to show; the workflow's are: none"
    ):
        load(ADD).sweep(x=[1]).grid("sum")
    with pytest.raises(GraphEngineError, match="no combination gave a picture"):
        load(PAINT).sweep(size=[-1]).grid()
    with pytest.raises(GraphEngineError, match="300 columns and 1 rows are too many for one picture"):
        load(PAINT).sweep(red=[1], green=range(300)).grid()
    done = load(PAINT).sweep(red=[1])
    bare = Sweep(done.combinations, done.runs, Manifest(TYPES | OWN))
    with pytest.raises(GraphEngineError, match=r"drawn by nodes that are not installed: image\.card"):
        bare.grid()


def test_slim_outputs_give_the_same_grid_and_table(load: Load, session: Session) -> None:
    combinations = checked(session, load(PAINT).workflow, {"red": [1, 2], "green": [3, 4], "size": [1100]})
    board = Board.of(session.manifest, combinations.axes)
    whole = Sweep(combinations, tuple(runs(session, combinations)), session.manifest)
    few = tuple(runs(session, combinations, kept=lambda outputs: slim(outputs, "image", board)))
    assert few[0].outputs["image"].shape == (1, 1024, 1024, 3)
    assert Sweep(combinations, few, session.manifest).grid().tobytes() == whole.grid().tobytes()
    columns = ("red", "green", "size", "output.size", "state")
    assert [[row[c] for c in columns] for row in whole.table()] == [
        [row[c] for c in columns] for row in Sweep(combinations, few, session.manifest).table()
    ]
    others = slim(Result({"latent": torch.ones(1), "n": 1, "image": torch.ones(3)}), "image", board)
    assert others == {"n": 1}


# -- saving and showing --------------------------------------------------------------------------------------


def test_saving_replaces_nothing_and_the_picture_is_a_workflow(load: Load, tmp_path: Path) -> None:
    text = json.dumps(json.loads(PAINT) | {"name": "Ein Bild: <b>/../x"})
    sweep = load(text).sweep(red=[7, 8])
    first, second = sweep.save(tmp_path / "there"), sweep.save(tmp_path / "there")
    assert [path.name for path in first + second] == [
        "ein_bild_b_x-sweep_0001.csv", "ein_bild_b_x-sweep_0001.png",
        "ein_bild_b_x-sweep_0002.csv", "ein_bild_b_x-sweep_0002.png",
    ]  # fmt: skip
    assert first[0].read_text() == sweep.csv()
    assert Workflow.load(first[1]).data == sweep.combinations.workflow.data
    with Pillow.open(first[1]) as picture:
        assert json.loads(picture.info["sweep"]) == {"red": [7, 8]}
        assert colours(picture) == [[(7, 0), (8, 0)]]


def test_without_pictures_only_the_table_is_saved(load: Load, tmp_path: Path) -> None:
    assert [path.name for path in load(ADD).sweep(x=[1]).save(tmp_path)] == ["workflow-sweep_0001.csv"]


def test_a_sweep_is_shown_with_its_grid_and_its_table_and_runs_no_script(load: Load) -> None:
    html = load(PAINT).sweep(red=[1, 2])._repr_html_()
    assert html.count("<img ") == 1
    assert html.count("<tr>") == 3
    html = load(REFUSE).sweep(kind=["<script>alert(1)</script>"], a=[2])._repr_html_()
    assert "<script" not in html
    assert "&lt;script&gt;" in html
    assert "two is too much" in html
    assert repr(load(ADD).sweep(x=[1])) == "<Sweep of x: 1 runs, done>"


def test_a_long_table_is_cut_in_a_notebook(load: Load) -> None:
    html = load(ADD).sweep(x=range(230))._repr_html_()
    assert html.count("<tr>") == 201
    assert "and 30 more" in html
