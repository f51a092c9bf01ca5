"""`graphengine nodes`"""

from __future__ import annotations

import json
from pathlib import Path


def test_the_list_shows_each_type_under_its_category(graphengine):
    done = graphengine("nodes")
    assert done.status == 0
    lines = [line.rstrip() for line in done.out.splitlines()]
    assert lines.index("flow") < next(i for i, line in enumerate(lines) if line.startswith("  flow.fold "))
    fold = next(line for line in lines if line.startswith("  flow.fold "))
    assert "start, over, body" in fold
    assert "result" in fold
    assert "carry a value along" in fold


def test_one_type_is_shown_in_full(graphengine):
    done = graphengine("nodes", "flow.repeat")
    assert done.status == 0
    for part in (
        "Feed a sub-graph its own result",
        "times",
        "int",
        "0 to 1000000",
        "(required)",
        "T -> T",
        "result",
    ):
        assert part in done.out


def test_defaults_and_choices_are_shown(graphengine):
    done = graphengine("nodes", "text.join")
    assert '", "' in done.out
    assert "list of str" in done.out
    done = graphengine("nodes", "number.compare")
    assert "relation" in done.out
    assert "below" in done.out


def test_an_unknown_id_suggests_near_ones(graphengine):
    done = graphengine("nodes", "flow.fodl")
    assert done.status == 3
    assert "did you mean flow.fold" in done.err
    assert "did you mean flow.fold" in graphengine("nodes", "fold").err
    assert "lists them all" in graphengine("nodes", "xyzzy").err


def test_the_data_is_printed_as_json(graphengine):
    every = json.loads(graphengine("nodes", "--json").out)
    assert "flow.fold" in [kind["id"] for kind in every["types"]]
    one = json.loads(graphengine("nodes", "number.add", "--json").out)
    assert [port["name"] for port in one["inputs"]] == ["first", "second"]


def test_a_broken_pack_is_told_and_spoils_nothing(process, tmp_path):
    installed(tmp_path, "broken_pack", "raise RuntimeError('no good today')")
    done = process("nodes", PYTHONPATH=str(tmp_path), GRAPHENGINE_CACHE=str(tmp_path / "cache"))
    assert done.status == 0
    assert "flow.fold" in done.out
    assert done.err == f"broken_pack: {tmp_path}/broken_pack.py:1: RuntimeError: no good today\n"


BLUR = """
from graphengine import node

@node
def soften(amount: float = 0.5) -> float:
    'Make it softer.'
    return amount / 2
"""


def test_nodes_of_a_folder_are_listed_and_run(graphengine, tmp_path, write):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "softening.py").write_text(BLUR)
    done = graphengine("nodes", "softening.soften", "--nodes", "mine")
    assert (done.status, "Make it softer." in done.out) == (0, True)
    file = write({"a": {"type": "softening.soften"}}, outputs={"x": "a.value"})
    assert graphengine("validate", file).status == 2
    assert graphengine("validate", file, "--nodes", "mine").status == 0
    done = graphengine("run", file, "--nodes", "mine")
    assert (done.status, done.out) == (0, "x: 0.25\n")


def test_a_folder_of_nodes_that_is_not_there_is_told(graphengine):
    done = graphengine("nodes", "--nodes", "nowhere")
    assert done.status == 3
    assert "'nowhere' does not exist" in done.err


def installed(folder: Path, name: str, code: str) -> None:
    """A pack as an installer would leave it."""
    (folder / f"{name}.py").write_text(code)
    info = folder / f"{name}-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[graphengine.packs]\n{name} = {name}\n")
