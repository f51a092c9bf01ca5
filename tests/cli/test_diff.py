"""`graphengine diff`"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from PIL import Image, PngImagePlugin


@pytest.fixture
def nodes(sum_file: str, tmp_path: Path) -> dict[str, Any]:
    """The nodes of the file of sums."""
    found: dict[str, Any] = json.loads((tmp_path / sum_file).read_text())["nodes"]
    return found


def test_changes_are_told_one_a_line_and_end_with_1(
    graphengine, write: Any, sum_file: str, nodes: Any
) -> None:
    nodes["two"]["inputs"]["second"] = 20
    done = graphengine("diff", sum_file, write(nodes, "other.json"))
    assert (done.status, done.err) == (1, "")
    assert done.out.splitlines() == [
        "input first (one.first) was removed",
        "input factor (two.second) was removed",
        "input word (word.text) was removed",
        "output result (two.value) was removed",
        "output word (word.value) was removed",
        "two.second: 10 -> 20",
    ]


def test_the_same_file_in_another_form_has_no_difference(graphengine, sum_file: str, tmp_path: Path) -> None:
    data = json.loads((tmp_path / sum_file).read_text())
    data["nodes"]["two"]["inputs"]["second"] = (
        10.0  # a number there is a float, and JavaScript writes it as 10
    )
    (tmp_path / "same.json").write_text(json.dumps(dict(reversed(data.items())), indent=7))
    done = graphengine("diff", sum_file, "same.json")
    assert (done.status, done.out, done.err) == (0, "no difference\n", "")
    assert json.loads(graphengine("diff", sum_file, "same.json", "--json").out) == []


def test_changes_as_json(graphengine, write: Any, sum_file: str, nodes: Any) -> None:
    nodes["two"]["inputs"]["second"] = {"link": "one.value"}
    data = json.loads(Path(sum_file).read_text())
    linked = write(nodes, "linked.json", inputs=data["inputs"], outputs=data["outputs"])
    done = graphengine("diff", sum_file, linked, "--json")
    assert done.status == 1
    assert json.loads(done.out) == [
        {
            "kind": "node_input",
            "node": "two",
            "input": "second",
            "before": 10,
            "after": {"link": "one.value"},
            "text": "two.second: now linked to one.value instead of 10",
            "graph": "",
        }
    ]


def test_unknown_types_and_problems_that_are_not_of_reading_do_no_harm(graphengine, write: Any) -> None:
    a = write({"a": {"type": "no.such", "inputs": {"x": 1, "y": {"link": "gone.y"}}}}, "a.json")
    b = write({"a": {"type": "no.such", "inputs": {"x": 2, "y": {"link": "gone.z"}}}}, "b.json")
    done = graphengine("diff", a, b)
    assert (done.status, done.out) == (1, "a.x: 1 -> 2\na.y: linked to gone.y -> linked to gone.z\n")


def test_shipped_workflows_and_pictures_can_be_compared(graphengine, tmp_path: Path) -> None:
    from graphengine import resources

    path = resources.workflow("text_to_image")
    assert path is not None
    text = path.read_text("utf-8").replace('"seed": 7', '"seed": 123')
    info = PngImagePlugin.PngInfo()
    info.add_text("workflow", text)
    Image.new("RGB", (1, 1)).save(tmp_path / "a.png", pnginfo=info)
    done = graphengine("diff", "text_to_image", "a.png")
    assert (done.status, done.out) == (1, "noise.seed: 7 -> 123\n")


def test_what_is_no_workflow_ends_with_2_and_every_problem_is_told(
    graphengine, sum_file: str, tmp_path: Path
) -> None:
    (tmp_path / "text.json").write_text("{nope")
    (tmp_path / "odd.json").write_text('{"format": 1, "nodse": 1}')
    done = graphengine("diff", "text.json", "odd.json")
    assert (done.status, done.out) == (2, "")
    first, second = done.err.splitlines()
    assert first.startswith("text.json: line 1, column 2 is not JSON")
    assert second.startswith("odd.json: nodse: is no field of a workflow")
    for words in ([sum_file, "gone"], ["gone", sum_file]):
        done = graphengine("diff", *words)
        assert (done.status, done.out) == (2, "")
        assert done.err.startswith("gone: there is no file 'gone'")


def test_two_files_are_needed(graphengine, sum_file: str) -> None:
    assert graphengine("diff", sum_file).status == 3
