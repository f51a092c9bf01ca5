"""Source: what is read off the source of nodes: the version of their code, and the lines that errors name.

The version is that of the syntax trees of the modules that a node lives on.
"""

from __future__ import annotations

import ast
import inspect
import traceback
from collections.abc import Collection, Iterator
from importlib.machinery import PathFinder
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from blake3 import blake3


class CodeVersions:
    """Hashes of modules; each file is read once.

    The version of a module changes with its own code and with the code of the modules of the same package
    that it imports, directly or not; comments, docstrings and formatting do not count.
    """

    def __init__(self) -> None:
        self.trees: dict[str, tuple[str, frozenset[str]]] = {}
        self.known: dict[str, str] = {}

    def of(self, module: str) -> str:
        """16 hex digits that stand for a module's code."""
        if module not in self.known:
            self.known[module] = self.version(module)
        return self.known[module]

    def version(self, module: str) -> str:
        """The same, put together out of the modules that it lives on."""
        seen, stack = {module}, [module]
        while stack:
            for name in self.tree(stack.pop())[1] - seen:
                seen.add(name)
                stack.append(name)
        parts = [f"{name} {self.tree(name)[0]}" for name in sorted(seen)]
        return blake3("\n".join(parts).encode()).hexdigest(length=8)

    def tree(self, module: str) -> tuple[str, frozenset[str]]:
        """The hash of one module's own code, and the modules of its package that it imports."""
        if module not in self.trees:
            file = source_file(module)
            parsed = ast.parse(file.read_bytes()) if file else ast.Module([], [])
            inside = module if file and file.name == "__init__.py" else module.rpartition(".")[0]
            imports = frozenset(n for n in imported(parsed, module, inside) if source_file(n))
            text = "".join(outline(parsed))
            self.trees[module] = blake3(text.encode("utf-8", "surrogatepass")).hexdigest(length=16), imports
        return self.trees[module]


def place_of(function: Any, parameter: str = "") -> str:
    """Where a function is written, or one of its parameters: `file.py:12`; empty if that is not known."""
    code = getattr(inspect.unwrap(function), "__code__", None)
    if code is None:
        try:
            return f"{inspect.getsourcefile(function)}:{inspect.getsourcelines(function)[1]}"
        except (OSError, TypeError):
            return ""
    file, line = code.co_filename, code.co_firstlineno
    try:
        tree = ast.parse(Path(file).read_bytes())
    except (OSError, SyntaxError, ValueError):
        return f"{file}:{line}"
    for node in statements(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name == code.co_name:
            if line in (node.lineno, *(mark.lineno for mark in node.decorator_list)):
                asked = [a for a in ast.walk(node.args) if isinstance(a, ast.arg) and a.arg == parameter]
                return f"{file}:{asked[0].lineno if asked else node.lineno}"
    return f"{file}:{line}"


def place_in(error: BaseException, files: Collection[Path]) -> str:
    """The line in some files at which an exception was raised; empty if it was in none of them."""
    if isinstance(error, SyntaxError) and error.filename and Path(error.filename) in files:
        return f"{error.filename}:{error.lineno}"
    found = ""
    for frame, line in traceback.walk_tb(error.__traceback__):
        if Path(frame.f_code.co_filename) in files:
            found = f"{frame.f_code.co_filename}:{line}"
    return found


def trace_in(error: BaseException, files: Collection[Path]) -> str:
    """The traceback of an exception from the first line in some files on; what led there is of no use."""
    trace = error.__traceback__
    while trace is not None and Path(trace.tb_frame.f_code.co_filename) not in files:
        trace = trace.tb_next
    return "".join(traceback.format_exception(type(error), error, trace))


def source_file(module: str) -> Path | None:
    """The Python file of a module; None if it has none, or is no module. Nothing is imported."""
    top, *parts = module.split(".")
    try:
        spec = find_spec(top)
        for part in parts:
            where = spec.submodule_search_locations if spec else None
            spec = PathFinder.find_spec(f"{spec.name}.{part}", where) if spec and where else None
    except (ImportError, ValueError):
        return None
    return Path(spec.origin) if spec and spec.origin and spec.origin.endswith(".py") else None


def imported(tree: ast.AST, module: str, inside: str) -> Iterator[str]:
    """Names of modules of the same package that a module may import; `inside` is what `.` means in it."""
    package = module.partition(".")[0]
    for node in statements(tree):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                parent = inside.split(".")
                parent = parent[: len(parent) + 1 - node.level] or [package]
                base = ".".join([*parent, base] if base else parent)
            names = [base, *(f"{base}.{alias.name}" for alias in node.names)]
        else:
            continue
        yield from (n for n in names if n == package or n.startswith(package + "."))


def statements(tree: ast.AST) -> Iterator[ast.AST]:
    """The tree and every statement in it, which are much fewer than the nodes that `ast.walk` gives."""
    stack = [tree]
    while stack:
        node = stack.pop()
        yield node
        for name in ("body", "orelse", "finalbody", "handlers", "cases"):
            inner = getattr(node, name, None)
            if isinstance(inner, list):
                stack += inner


def outline(tree: ast.AST) -> list[str]:
    """A syntax tree as text, in parts, without docstrings; two trees have one text only if they are the same.

    It says what `ast.dump` says, in a third of the time: most of what loading a pack takes.
    """
    for node in statements(tree):
        body = getattr(node, "body", None)
        if not isinstance(body, list) or not body or not isinstance(body[0], ast.Expr):
            continue
        value = body[0].value
        if isinstance(value, ast.Constant) and isinstance(value.value, str):
            del body[0]
    parts: list[str] = []
    write = parts.append

    def put(value: object) -> None:
        if isinstance(value, ast.AST):
            kind = type(value)
            write(kind.__name__)
            if value._fields:
                write("(")
                for name in value._fields:
                    put(getattr(value, name, None))
                write(")")
        elif isinstance(value, list):
            write("[")
            for item in value:
                put(item)
            write("]")
        else:
            write(repr(value))
            write(",")

    put(tree)
    return parts
