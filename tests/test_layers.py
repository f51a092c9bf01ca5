"""Imports point one way, and heavy libraries stay behind their fences."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import networkx as nx
import pytest

ROOT = Path(__file__).parent.parent
ENGINE, NODES = ROOT / "graphengine", ROOT / "nodes"

ROWS = [
    "errors shelf folders config resources connection project environments packs channel codec",
    "types parcel",
    "authoring nodetype literals constraints signature source",
    "isolation",
    "registry catalogue workflow migrate graph reader formatting",
    "check keys analysis expansion states upgrade requirements renewal difference schema",
    "cache disk pool events drawing builder",
    "plan fusion planner explanation",
    "frame world limit inspector",
    "executor context body batch trace",
    "desk session store sweep notebook board gallery",
    "loader isolated order report worker library client doctor backup testing fixtures template",
    "fleets hub dispatcher service",
    "server",
    "cli __main__",
]
"""A module may import from its own row and from the rows above it."""

ROW = {module: number for number, row in enumerate(ROWS) for module in row.split()}

DOORS = {("workflow", "builder"), ("workflow", "notebook"), ("server.routes.pages", "server.routes")}
"""Who may import from below, inside a function: a Workflow builds and shows what is made of workflows, and a
page tells of all routes, of which it is one."""

FENCES = {
    "aiohttp": {"server"},
    "networkx": {"analysis"},
    "sqlite3": {"store.database", "cache"},
    "torch": {"types", "codec", "cache", "pool", "worker", "loader", "testing"},
    "safetensors": {"codec"},
    "diffusers": set(),
    "transformers": set(),
    "pytest": {"fixtures"},
    "typer": {"cli"},
    "rich": {"cli"},
    "ray": {"fleets.cluster", "fleets.actors"},
}
"""The modules of the engine, or folders of them, that may import a library."""


def files(root: Path) -> list[Path]:
    return sorted(path for path in root.rglob("*.py") if path != ENGINE / "__init__.py")


def module(path: Path) -> str:
    """A module of the engine as the engine names it: `errors`, or `server.app` in a folder."""
    return ".".join(path.relative_to(ENGINE).with_suffix("").parts).removesuffix(".__init__")


def part(module: str) -> str:
    """What has a row: a module, or the folder that it is in."""
    return module.partition(".")[0]


MODULES = {f"graphengine.{module(path)}" for path in files(ENGINE)}


def imports(path: Path) -> Iterator[tuple[str, bool]]:
    """What a file imports, as dotted names, and whether that happens as soon as the file is imported."""
    found: list[tuple[ast.AST, bool]] = [(ast.parse(path.read_text("utf-8")), True)]
    while found:
        node, top = found.pop()
        if isinstance(node, ast.Import):
            yield from ((alias.name, top) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            for alias in node.names:
                name = f"{node.module}.{alias.name}"
                whole = name in MODULES or node.module == "graphengine"
                yield (name if whole else str(node.module)), top
        inside = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        never = isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)
        found += [(child, top and not inside and not never) for child in ast.iter_child_nodes(node)]


def engine_imports() -> Iterator[tuple[str, str]]:
    """Every import of one module of the engine by another."""
    for path in files(ENGINE):
        for name, top in imports(path):
            pair = module(path), name.removeprefix("graphengine.")
            if name in MODULES and (top or pair not in DOORS):
                yield pair


def test_every_module_of_the_engine_has_a_row() -> None:
    assert {part(module(path)) for path in files(ENGINE)} == ROW.keys()


def test_imports_point_up_the_rows() -> None:
    wrong = [
        f"{importer} imports {name}"
        for importer, name in engine_imports()
        if ROW[part(name)] > ROW[part(importer)]
    ]
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("seen", [str, part], ids=["modules", "folders"])
def test_no_two_modules_import_each_other(seen: Callable[[str], str]) -> None:
    pairs = [(seen(importer), seen(name)) for importer, name in engine_imports()]
    graph = nx.DiGraph((importer, name) for importer, name in pairs if importer != name)
    assert list(nx.simple_cycles(graph)) == []


def test_the_engine_imports_no_pack() -> None:
    packs = {path.name for path in NODES.iterdir() if path.is_dir()}
    wrong = [
        (path.name, name)
        for path in files(ENGINE)
        for name, _ in imports(path)
        if name.split(".")[0] in packs
    ]
    assert packs
    assert wrong == []


def test_a_pack_imports_no_other_pack_and_no_shell_of_the_engine() -> None:
    packs = {path.name for path in NODES.iterdir() if path.is_dir()}
    shell = {f"graphengine.{name}" for name in ("cli", "server", "session", "executor", "store", "worker")}
    wrong = [
        f"{path.relative_to(ROOT)} imports {name}"
        for path in files(NODES)
        for name, _ in imports(path)
        if name.split(".")[0] in packs - {path.relative_to(NODES).parts[0]}
        or any(name == inner or name.startswith(f"{inner}.") for inner in shell)
    ]
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("folder", ["drawing", "fleets", "store"])
def test_a_folder_says_what_is_in_it_and_imports_nothing_of_it(folder: str) -> None:
    path = ENGINE / folder / "__init__.py"
    story = ast.get_docstring(ast.parse(path.read_text("utf-8"))) or ""
    inside = {inner.stem for inner in path.parent.glob("[!_]*.py")}
    assert {name for name in inside if f"`{name}`" not in story} == set()
    assert list(imports(path)) == []


@pytest.mark.parametrize("library", FENCES)
def test_a_library_stays_behind_its_fence(library: str) -> None:
    users = {
        module(path) for path in files(ENGINE) for name, _ in imports(path) if name.split(".")[0] == library
    }
    assert {user for user in users if not {user, part(user)} & FENCES[library]} == set()


def test_loading_every_pack_imports_neither_diffusers_nor_transformers() -> None:
    program = (
        "import sys; from graphengine.registry import Registry, installed; Registry.load(installed());"
        "print(*sorted({'torch', 'diffusers', 'transformers'} & sys.modules.keys()))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["torch"]


def test_the_command_line_imports_nothing_slow_before_a_command_is_called() -> None:
    allowed = {"typer", "graphengine", *sys.stdlib_module_names}
    top = {name.split(".")[0] for path in files(ENGINE / "cli") for name, top in imports(path) if top}
    assert top - allowed == {"rich"}  # in console.py, which commands import when they are called
    outside = {
        name
        for path in files(ENGINE / "cli")
        for name, top in imports(path)
        if top
        and name.startswith("graphengine.")
        and not name.startswith(("graphengine.cli", "graphengine.__version__"))
    }
    assert outside <= {"graphengine.errors", "graphengine.events"}
