from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from graphengine.source import CodeVersions, source_file

Write = Callable[..., None]


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Write]:
    """Writes the modules of a package `versioned`, by their paths."""
    monkeypatch.syspath_prepend(tmp_path)
    before = set(sys.modules)

    def put(**files: str) -> None:
        for name, text in files.items():
            path = tmp_path / "versioned" / (name.replace("__", "/") + ".py")
            if path.name == "init.py":
                path = path.with_name("__init__.py")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, "utf-8")

    put(init="")
    yield put
    for name in set(sys.modules) - before:
        if name.startswith("versioned"):
            del sys.modules[name]


def version(module: str) -> str:
    return CodeVersions().of(module)


@pytest.mark.parametrize(
    "text",
    [
        "def f():\n    return 1  # a comment\n",
        'def f():\n    """Say more."""\n    return 1\n',
        "def f():\n\n    return (1)\n",
        '"""A module."""\n\ndef f():\n    return 1\n',
    ],
)
def test_comments_docstrings_and_formatting_do_not_count(write: Write, text: str) -> None:
    write(a="def f():\n    return 1\n")
    before = version("versioned.a")
    write(a=text)
    assert version("versioned.a") == before


@pytest.mark.parametrize(
    "text", ["def f():\n    return 2\n", "def g():\n    return 1\n", "X = 1\ndef f():\n    return 1\n"]
)
def test_a_change_of_the_code_counts(write: Write, text: str) -> None:
    write(a="def f():\n    return 1\n")
    before = version("versioned.a")
    write(a=text)
    assert version("versioned.a") != before


@pytest.mark.parametrize(
    "line",
    [
        "import versioned.b",
        "from versioned import b",
        "from versioned.b import f",
        "from . import b",
        "from .b import f",
        "def late():\n    from versioned.b import f\n",
        "import versioned.c",
        "from .sub import x",
        "from .sub.inner import y",
    ],
)
def test_a_change_of_an_imported_module_of_the_package_counts(write: Write, line: str) -> None:
    write(
        b="X = 1\n", c="from versioned import b\n", a=line + "\n", sub__init="from . import x\n",
        sub__x="from ..b import X\n", sub__inner="from ..b import X\n",
    )  # fmt: skip
    before = version("versioned.a")
    write(b="X = 2\n")
    assert version("versioned.a") != before


def test_a_change_of_another_module_does_not_count(write: Write) -> None:
    write(a="import versioned.b\nimport json\n", b="", other="X = 1\n")
    before = version("versioned.a")
    write(other="X = 2\n")
    assert version("versioned.a") == before


def test_modules_that_import_each_other_have_a_version(write: Write) -> None:
    write(a="import versioned.b\n", b="import versioned.a\n")
    assert version("versioned.a") != ""


def test_reading_versions_imports_nothing(write: Write) -> None:
    write(a="from versioned.b.deep import X\nfrom versioned.c import missing\n", b__init="raise SystemExit\n",
          b__deep="raise SystemExit\n", c="raise SystemExit\n")  # fmt: skip
    version("versioned.a")
    assert not any(name.startswith("versioned") for name in sys.modules)


def test_a_file_with_a_byte_order_mark_or_another_encoding_is_read(write: Write, tmp_path: Path) -> None:
    write(a="")
    path = tmp_path / "versioned" / "a.py"
    path.write_bytes(b"\xef\xbb\xbfX = 1\n")
    with_mark = version("versioned.a")
    path.write_bytes(b"X = 1\n")
    assert version("versioned.a") == with_mark
    path.write_bytes(b"# -*- coding: latin-1 -*-\nX = '\xe9'\n")
    assert version("versioned.a") != with_mark


@pytest.mark.parametrize("module", ["no_such_module", "json.no_such_part", "math", "sys.path.join"])
def test_what_has_no_source_has_no_file(module: str) -> None:
    assert source_file(module) is None


def test_the_file_of_a_module_is_found() -> None:
    import json.decoder

    assert source_file("json.decoder") == Path(json.decoder.__file__)
    assert source_file("json") == Path(json.__file__)
