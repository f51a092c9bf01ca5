"""Packs that are files and packages in folders, beside those that are installed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import thousand
from yardstick import at_reference_speed

from graphengine import packs
from graphengine.config import Settings
from graphengine.packs import Pack, in_folders
from graphengine.registry import Manifest, Registry, manifest_file
from graphengine.session import Session
from graphengine.workflow import Workflow

NODE = """
from graphengine import node

@node
def {0}(x: int) -> int:
    '''Say.'''
    return x{1}
"""

Write = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path) -> Iterator[Write]:
    """Writes a file into the test's folder, and gives it; the packs there are forgotten at the end."""
    places, known = dict(packs.FINDER.places), set(sys.modules)

    def put(path: str, text: str = "") -> Path:
        file = tmp_path / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        return file

    yield put
    for name in set(sys.modules) - known:
        if name.partition(".")[0] in packs.FINDER.places:
            del sys.modules[name]
    packs.FINDER.places.clear()
    packs.FINDER.places.update(places)


def test_a_file_and_a_package_are_packs_by_their_names(write: Write, tmp_path: Path) -> None:
    write("one.py", NODE.format("first", ""))
    write("two/__init__.py", "MODULES = ('inner',)\n__version__ = '1.5'\n" + NODE.format("second", ""))
    write("two/inner.py", NODE.format("third", ""))
    for path in (
        "_hidden.py",
        "test_one.py",
        "conftest.py",
        "tests/__init__.py",
        "notes.txt",
        "plain/one.py",
    ):
        write(path, "raise SystemError")
    found = Registry.load(*in_folders([tmp_path], []))
    assert sorted(found.types) == ["one.first", "two.second", "two.third"]
    assert found.problems == []
    assert found.packs == [
        Pack("one", "one", "", "", str(tmp_path / "one.py")),
        Pack("two", "two", "1.5", "", str(tmp_path / "two")),
    ]


def test_finding_packs_imports_none(write: Write, tmp_path: Path) -> None:
    write("never.py", "raise SystemError")
    found, problems = in_folders([tmp_path], [])
    assert ([pack.name for pack in found], problems) == (["never"], [])
    assert "never" not in sys.modules
    manifest_file(tmp_path, [tmp_path])
    assert "never" not in sys.modules


def test_a_folder_that_is_not_there_has_no_packs(tmp_path: Path) -> None:
    assert in_folders([tmp_path / "nowhere"], []) == ([], [])


def test_what_is_no_pack_in_a_folder_cannot_be_imported_from_one(write: Write, tmp_path: Path) -> None:
    write("one.py", "import _beside\n" + NODE.format("first", ""))
    write("_beside.py")
    (problem,) = Registry.load(*in_folders([tmp_path], [])).problems
    assert "No module named '_beside'" in problem.text


def test_names_that_cannot_be_are_told_with_one_that_can(write: Write, tmp_path: Path) -> None:
    for name in ("my-nodes.py", "Blur.py", "9lives.py"):
        write(name)
    found, problems = in_folders([tmp_path], [])
    assert found == []
    assert [problem.text for problem in problems] == [
        f"{tmp_path}/9lives.py: '9lives' cannot be a pack's name; rename it to pack_9lives.py",
        f"{tmp_path}/Blur.py: 'Blur' cannot be a pack's name; rename it to blur.py",
        f"{tmp_path}/my-nodes.py: 'my-nodes' cannot be a pack's name; rename it to my_nodes.py",
    ]


def test_a_name_that_is_taken_is_told_and_nothing_is_hidden(write: Write, tmp_path: Path) -> None:
    for path in ("a/json.py", "a/sys.py", "a/std.py", "a/twice.py", "b/twice/__init__.py"):
        write(path, NODE.format("found", ""))
    std = Pack("std", "graphengine_nodes", "1", "graphengine")
    found, problems = in_folders([tmp_path / "a", tmp_path / "b"], [std])
    assert [pack.place for pack in found] == [f"{tmp_path}/a/twice.py"]
    json_, std_, sys_, twice = (problem.text for problem in problems)
    assert json_ == (
        f"{tmp_path}/a/json.py: 'json' is the name of a module of Python's, {json.__file__}; rename the pack"
    )
    assert "'sys' is the name of a module of Python's, built-in" in sys_
    assert std_ == (
        f"{tmp_path}/a/std.py: there is the installed pack std (graphengine) of the same name, which goes "
        "before; rename one of them"
    )
    assert twice == (
        f"{tmp_path}/b/twice: there is {tmp_path}/a/twice.py of the same name, which goes before; rename one "
        "of them"
    )
    assert json.loads("1") == 1


def test_a_folder_that_is_on_the_import_path_too_is_no_clash(
    write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write("here.py")
    write("there/__init__.py")
    monkeypatch.syspath_prepend(tmp_path)
    assert [p.name for p in in_folders([tmp_path], [])[0]] == ["here", "there"]


def test_a_plain_folder_of_the_same_name_on_the_import_path_hides_no_pack(
    write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write("aside/hidden_one/notes.txt")
    write("nodes/hidden_one.py", NODE.format("first", ""))
    monkeypatch.syspath_prepend(tmp_path / "aside")
    assert sorted(Registry.load(*in_folders([tmp_path / "nodes"], [])).types) == ["hidden_one.first"]


def test_two_sessions_of_one_process_have_each_its_own_folder(write: Write, tmp_path: Path) -> None:
    results = []
    for number in (1, 2):
        write(f"{number}/own.py", NODE.format("add", f" + {number}"))
        session = Session(Settings(cache=tmp_path / "cache", nodes=(tmp_path / str(number),)))
        file = {
            "format": 1,
            "outputs": {"x": "a.value"},
            "nodes": {"a": {"type": "own.add", "inputs": {"x": 5}}},
        }
        results.append(session.run(Workflow.of(file)).outputs["x"])
    assert results == [6, 7]


def test_a_changed_file_is_another_manifest(write: Write, tmp_path: Path) -> None:
    seen = {manifest_file(tmp_path), manifest_file(tmp_path, [tmp_path / "n"])}
    assert len(seen) == 1
    write("n/one.py")
    seen.add(manifest_file(tmp_path, [tmp_path / "n"]))
    write("n/one.py", "X = 1")
    seen.add(manifest_file(tmp_path, [tmp_path / "n"]))
    write("n/two/__init__.py")
    seen.add(manifest_file(tmp_path, [tmp_path / "n"]))
    write("n/two/more.py")
    seen.add(manifest_file(tmp_path, [tmp_path / "n"]))
    write("n/Bad.py")
    seen.add(manifest_file(tmp_path, [tmp_path / "n"]))
    assert len(seen) == 6


def test_the_process_that_loads_packs_sees_the_folders_and_this_one_imports_nothing(
    write: Write, tmp_path: Path
) -> None:
    write("nodes/apart.py", NODE.format("first", ""))
    write("nodes/broken.py", "1 / 0")
    manifest = Manifest.of(tmp_path / "cache", (tmp_path / "nodes",))
    assert manifest.types["apart.first"].module == "apart"
    assert "image.save" in manifest.types
    assert [problem.pack for problem in manifest.problems] == ["broken"]
    assert not {"apart", "broken"} & sys.modules.keys()


def test_a_run_imports_the_packs_of_its_workflow_and_no_others(write: Write, tmp_path: Path) -> None:
    for name in ("used", "unused"):
        write(f"nodes/{name}.py", NODE.format("first", " + 1"))
    settings = {"GRAPHENGINE_CACHE": str(tmp_path / "cache"), "GRAPHENGINE_NODES": str(tmp_path / "nodes")}
    program = """if True:
        import sys
        from graphengine.session import Session
        from graphengine.workflow import Workflow
        node = {"type": "used.first", "inputs": {"x": 1}}
        session = Session()
        print(sorted({"used", "unused", "graphengine_nodes", "graphengine_diffusion"} & sys.modules.keys()))
        outcome = session.run(Workflow.of({"format": 1, "outputs": {"y": "a.value"}, "nodes": {"a": node}}))
        print(outcome.outputs["y"])
        print(sorted({"used", "unused", "graphengine_nodes", "graphengine_diffusion"} & sys.modules.keys()))
    """
    done = subprocess.run(
        [sys.executable, "-c", program], env=os.environ | settings, capture_output=True, text=True, check=True
    )
    assert done.stdout.split("\n")[:3] == ["[]", "2", "['used']"]


def test_folders_are_settings_separated_as_in_path(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GRAPHENGINE_NODES", os.pathsep.join(["~/nodes", "/data/nodes"]))
    assert Settings.read().nodes == (Path.home() / "nodes", Path("/data/nodes"))


def test_a_thousand_node_types_are_registered_in_half_a_second(write: Write, tmp_path: Path) -> None:
    thousand.write(tmp_path)

    def load() -> None:
        found, problems = in_folders([tmp_path], [])
        for pack in found:
            packs.forget(pack)
        registry = Registry.load(found, problems)
        assert (len(registry.types), registry.problems) == (1000, [])

    load()
    (took,) = at_reference_speed(load)
    assert took < 0.5
