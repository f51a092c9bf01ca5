from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import samples

from graphengine import registry
from graphengine.errors import PackError
from graphengine.registry import KEPT, Manifest, Pack, Registry, installed, manifest_file

Write = Callable[..., Pack]

NODE = """
from graphengine.authoring import node

@node
def {0}(x: int) -> int:
    '''Say.'''
    return x
"""


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Write]:
    """Writes a pack with its modules, and gives what an entry point would say of it."""
    folder = tmp_path / "packs"
    monkeypatch.syspath_prepend(folder)
    before = set(sys.modules)

    def put(pack: str, init: str = "", **modules: str) -> Pack:
        (folder / pack).mkdir(parents=True, exist_ok=True)
        (folder / pack / "__init__.py").write_text(init)
        for name, text in modules.items():
            (folder / pack / f"{name}.py").write_text(text)
        return Pack(pack.removeprefix("pack_"), pack, "1.0")

    yield put
    for name in set(sys.modules) - before:
        if name.startswith("pack_"):
            del sys.modules[name]


def load(*packs: Pack) -> Registry:
    return Registry.load(packs)


# -- loading -------------------------------------------------------------------------------------------------


def test_nodes_of_the_package_and_of_its_modules_are_loaded(write: Write) -> None:
    init = "PACK = 'acme'\nMODULES = ('one', 'two')\n" + NODE.format("zero")
    two = "PACK = 'other'\n" + NODE.format("second")
    found = load(write("pack_a", init, one=NODE.format("first"), two=two, three=NODE.format("third")))
    assert sorted(found.types) == ["acme.first", "acme.zero", "other.second"]
    assert found.problems == []
    assert found.packs == [Pack("a", "pack_a", "1.0")]


def test_without_a_name_of_its_own_a_pack_is_called_like_its_package(write: Write) -> None:
    assert sorted(load(write("pack_a", NODE.format("first"))).types) == ["pack_a.first"]


def test_a_node_that_was_imported_from_elsewhere_is_not_taken_twice(write: Write) -> None:
    init = "MODULES = ('one', 'two')\nfrom pack_a.one import first\n"
    found = load(write("pack_a", init, one=NODE.format("first"), two="from pack_a.one import first\n"))
    assert sorted(found.types) == ["pack_a.first"]
    assert found.problems == []


def test_a_second_name_for_a_node_is_no_second_node(write: Write) -> None:
    found = load(write("pack_a", NODE.format("first") + "\nsecond = first\n"))
    assert sorted(found.types) == ["pack_a.first"]
    assert found.problems == []


def test_models_of_a_pack_are_a_root(write: Write, tmp_path: Path) -> None:
    found = load(write("pack_a", f"from pathlib import Path\nMODELS = Path({str(tmp_path)!r})\n"))
    assert found.models == [tmp_path]
    assert found.manifest.models == (tmp_path,)


def test_wire_types_of_a_pack_are_known() -> None:
    assert sorted(samples.REGISTRY.wires) == ["Blob"]


@pytest.mark.parametrize(
    ("init", "text"),
    [
        ("import nothing_of_that_name", "No module named 'nothing_of_that_name'; install what has it"),
        ("1 / 0", "ZeroDivisionError: division by zero"),
        ("def broken(:", "SyntaxError: "),
        ("raise SystemExit(3)", "SystemExit: 3"),
        ("MODULES = ('missing',)", "No module named 'pack_b.missing'; install what has it"),
        ("MODULES = ('one')", "pack_b: MODULES is one text; write a tuple, `MODULES = ('one',)`"),
    ],
)
def test_a_broken_pack_is_told_and_the_others_are_loaded(write: Write, init: str, text: str) -> None:
    packs = [
        write("pack_a", NODE.format("first")),
        write("pack_b", init),
        write("pack_c", NODE.format("third")),
    ]
    found = load(*packs)
    assert sorted(found.types) == ["pack_a.first", "pack_c.third"]
    (problem,) = found.problems
    assert problem.pack == "b"
    assert problem.text.partition(": ")[2].startswith(text)
    assert "MODULES is" in text or "Error: " in problem.trace or "SystemExit: 3" in problem.trace
    assert "importlib" not in problem.trace, "where the author has written nothing"


@pytest.mark.parametrize(
    ("bad", "text"),
    [
        ("@node\ndef bad(x) -> int: ...\n", "pack_a.bad: input 'x' has no type; write `x: int` or similar"),
        (
            "@node\ndef bad(x: Missing) -> int: ...\n",
            "pack_a.bad: input 'x': the type 'Missing' is not known when the pack is loaded; import it at "
            "the top of the module, outside of `if TYPE_CHECKING:`",
        ),
        (
            "from typing import NamedTuple\nclass Out(NamedTuple):\n    a: Missing\n    b: int\n"
            "@node\ndef bad(x: int) -> Out: ...\n",
            "pack_a.bad: the type 'Missing' is not known when the pack is loaded; import it at the top of "
            "the module, outside of `if TYPE_CHECKING:`",
        ),
        ("@node(colour=1)\ndef bad(x: int) -> int: ...\n", "pack_a.bad: `node` has no option 'colour'"),
        ("@node(batched=5)\ndef bad(x: int) -> int: ...\n", "pack_a.bad: "),
    ],
)
def test_a_broken_node_spoils_only_itself(write: Write, bad: str, text: str) -> None:
    init = "from __future__ import annotations\n" + NODE.format("good") + bad + NODE.format("after")
    found = load(write("pack_a", init))
    assert sorted(found.types) == ["pack_a.after", "pack_a.good"]
    (problem,) = found.problems
    assert problem.text.partition(": ")[2].startswith(text)


def test_two_nodes_of_one_id_are_told_and_the_first_stays(write: Write) -> None:
    found = load(
        write("pack_a", "PACK = 'x'\n" + NODE.format("same")),
        write("pack_b", "PACK = 'x'\n" + NODE.format("same")),
    )
    assert found.types["x.same"].module == "pack_a"
    (problem,) = found.problems
    assert (problem.pack, problem.trace) == ("b", "")
    assert "pack_b.same: there is another node 'x.same', at " in problem.text
    assert "pack_a/__init__.py:6; give one of them `id=`" in problem.text


def test_a_node_from_a_factory_is_found_again_by_its_place(write: Write) -> None:
    init = """
from graphengine.authoring import node

def make(n, name):
    @node(id=f"made.{name}")
    def inner(x: int) -> int:
        return x * n
    return inner

twice = make(2, "twice")
thrice = make(3, "thrice")
"""
    found = load(write("pack_a", init))
    bound = Registry.only(found.manifest, ["made.twice", "made.thrice"])
    assert [kind.run(5) for kind in bound.values()] == [10, 15]


def test_only_the_modules_of_the_named_nodes_are_imported(write: Write) -> None:
    found = load(
        write("pack_a", "MODULES = ('one', 'two')", one=NODE.format("first"), two=NODE.format("second"))
    )
    for name in ("pack_a.one", "pack_a.two"):
        del sys.modules[name]
    bound = Registry.only(found.manifest, ["pack_a.first"])
    assert bound["pack_a.first"].run(5) == 5
    assert bound["pack_a.first"].code == found.types["pack_a.first"].code
    assert "pack_a.two" not in sys.modules


def test_the_code_version_of_a_node_is_that_of_its_module(write: Write) -> None:
    pack = write("pack_a", "MODULES = ('one', 'two')", one=NODE.format("first"), two=NODE.format("second"))
    before = load(pack).types
    for name in [n for n in sys.modules if n.startswith("pack_a")]:
        del sys.modules[name]
    write("pack_a", "MODULES = ('one', 'two')", one=NODE.format("first").replace("return x", "return x + 1"))
    after = load(pack).types
    assert after["pack_a.first"].code != before["pack_a.first"].code
    assert after["pack_a.second"].code == before["pack_a.second"].code


# -- the manifest --------------------------------------------------------------------------------------------


def test_a_manifest_survives_json(write: Write) -> None:
    packs = [Pack("t", samples.__name__, "1"), write("pack_b", "1 / 0")]
    manifest = Registry.load(packs).manifest
    again = Manifest.from_json(json.loads(json.dumps(manifest.to_json())))
    assert again.to_json() == Manifest.from_json(json.loads(json.dumps(again.to_json()))).to_json()
    assert (again.packs, again.problems, again.models, again.wires) == (
        manifest.packs, manifest.problems, manifest.models, manifest.wires,
    )  # fmt: skip
    assert [*again.types] == [*manifest.types]


def test_a_stored_manifest_is_read_again_and_a_damaged_one_is_none(tmp_path: Path) -> None:
    assert Manifest.stored(tmp_path) is None
    samples.REGISTRY.manifest.store(manifest_file(tmp_path), tmp_path)
    found = Manifest.stored(tmp_path)
    assert found is not None
    assert [*found.types] == [*samples.TYPES]
    path = manifest_file(tmp_path)
    for damage in (b"", b"[]", b"null", b'{"types": [{}]}', b'{"types": 5}', b"\xff", path.read_bytes()[:-5],
                   path.read_bytes().replace(b'"inputs":[', b'"inputs":[null,', 1),
                   path.read_bytes().replace(b'"outputs":{"value":"int"}', b'"outputs":[]', 1)):  # fmt: skip
        path.write_bytes(damage)
        assert Manifest.stored(tmp_path) is None


def test_another_version_or_a_changed_file_asks_for_another_manifest(
    tmp_path: Path, write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    pack = write("pack_a", NODE.format("first"))
    single = tmp_path / "packs" / "pack_single.py"
    single.write_text(NODE.format("lone"))
    packs = [pack, Pack("single", "pack_single", "1")]
    monkeypatch.setattr(registry, "installed", lambda: packs)
    seen = {manifest_file(tmp_path)}
    assert manifest_file(tmp_path) in seen
    packs[0] = pack._replace(version="2")
    seen.add(manifest_file(tmp_path))
    write("pack_a", NODE.format("first"), more="X = 1")
    seen.add(manifest_file(tmp_path))
    write("pack_a", NODE.format("first"), more="X = 10")
    seen.add(manifest_file(tmp_path))
    single.write_text(NODE.format("lone") + "\n")
    seen.add(manifest_file(tmp_path))
    assert len(seen) == 5


def test_a_process_that_needs_data_only_imports_no_torch_and_no_pack(tmp_path: Path) -> None:
    code = f"""if True:
        import sys
        from pathlib import Path
        from graphengine.registry import Manifest
        for _ in range(2):
            manifest = Manifest.of(Path({str(tmp_path)!r}))
        heavy = [n for n in sys.modules if n.split(".")[0] in ("torch", "numpy", "diffusers", "pydantic")]
        packs = [n for n in sys.modules if n.startswith("graphengine_")]
        print(heavy, packs, "flow.fold" in manifest.types, len(manifest.problems))
    """
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[] [] True 0"


def test_packs_that_cannot_be_loaded_at_all_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/bin/false")
    with pytest.raises(PackError, match="the packs could not be loaded"):
        Manifest.of(tmp_path)


def test_the_installed_packs_are_named_in_order() -> None:
    names: list[Any] = [pack.name for pack in installed()]
    assert names == sorted(names)
    assert {"std", "diffusion", "storybook"} <= set(names)


def test_manifests_of_older_code_do_not_pile_up(tmp_path: Path) -> None:
    for i in range(20):
        (tmp_path / "manifests").mkdir(exist_ok=True)
        (tmp_path / "manifests" / f"{i}.json").write_text("{}")
    samples.REGISTRY.manifest.store(manifest_file(tmp_path), tmp_path)
    assert len(list((tmp_path / "manifests").glob("*.json"))) == KEPT
    assert Manifest.stored(tmp_path) is not None
