"""Library: saved workflows, and those that are shipped."""

from __future__ import annotations

import json
import os
from pathlib import Path
from threading import Thread

import pytest

from graphengine import library as module
from graphengine import resources
from graphengine.errors import Conflict, NotFound, OverLimit, StoreError, WorkflowError
from graphengine.library import Library

TEXT = '{"format": 1, "name": "Mine", "description": "What it does.", "nodes": {}}'


@pytest.fixture
def library(tmp_path: Path) -> Library:
    shipped = tmp_path / "shipped"
    (shipped / "pictures").mkdir(parents=True)
    (shipped / "given.json").write_text('{"format": 1, "name": "Given", "nodes": {}}')
    (shipped / "pictures" / "given.png").write_bytes(b"picture")
    return Library(tmp_path / "saved", shipped)


def test_what_is_saved_is_read_in_its_canonical_form(library):
    tag = library.write("mine", TEXT, create=True)
    text, again = library.read("mine")
    assert again == tag
    assert json.loads(text) == json.loads(TEXT)
    assert text.endswith("}\n")
    assert library.write("other", text, create=True) == tag


def test_the_list_says_what_is_there(library):
    tag = library.write("mine", TEXT)
    rows = library.names()
    assert [(row.name, row.title, row.shipped) for row in rows] == [
        ("given", "Given", True),
        ("mine", "Mine", False),
    ]
    assert rows[1].description == "What it does."
    assert rows[1].etag == tag
    assert rows[1].modified > 1e9
    library.write("mine", TEXT.replace("Mine", "Changed"), match=tag)
    assert [row.title for row in library.names()] == ["Given", "Changed"]


def test_the_shipped_workflows_are_listed_with_their_titles(tmp_path):
    rows = Library(tmp_path, resources.workflows()).names()
    assert [row.name for row in rows] == resources.workflow_names()
    assert all(row.title and row.description and row.shipped for row in rows)


def test_a_file_that_is_no_workflow_is_listed_without_a_title(library):
    library.folder.mkdir()
    (library.folder / "broken.json").write_text("{")
    assert [(row.name, row.title) for row in library.names()] == [("broken", ""), ("given", "Given")]


def test_who_writes_has_seen_what_he_replaces(library):
    tag = library.write("mine", TEXT, create=True)
    with pytest.raises(Conflict, match="already"):
        library.write("mine", TEXT, create=True)
    newer = library.write("mine", TEXT.replace("Mine", "Newer"), match=tag)
    with pytest.raises(Conflict, match="any more"):
        library.write("mine", TEXT, match=tag)
    with pytest.raises(Conflict, match="any more"):
        library.write("gone", TEXT, match=tag)
    with pytest.raises(Conflict, match="any more"):
        library.remove("mine", tag)
    library.remove("mine", newer)
    with pytest.raises(NotFound):
        library.read("mine")


def test_one_of_two_who_write_at_once_is_told(library):
    tag = library.write("mine", TEXT)
    told: list[str] = []

    def write(name: str) -> None:
        try:
            library.write("mine", TEXT.replace("Mine", name), match=tag)
        except Conflict:
            told.append(name)

    threads = [Thread(target=write, args=(f"N{number}",)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(told) == 7


def test_what_is_shipped_stays_as_it_is(library):
    tag = library.read("given")[1]
    for call in (lambda: library.write("given", TEXT, match=tag), lambda: library.remove("given", tag)):
        with pytest.raises(Conflict, match="another name"):
            call()
    assert library.picture("given") == library.shipped / "pictures" / "given.png"
    assert library.picture("mine") is None


def test_a_users_workflow_goes_before_a_shipped_one_of_its_name(library):
    library.folder.mkdir()
    (library.folder / "given.json").write_text(TEXT)
    assert "Mine" in library.read("given")[0]
    assert [row.shipped for row in library.names()] == [False]
    library.remove("given")
    assert "Given" in library.read("given")[0]


@pytest.mark.parametrize(
    "name", ["", "../given", "/etc/passwd", "A", "a.b", "a/b", "a\\b", "a\0", "x" * 81, "-a", "é", "a\n"]
)
def test_a_name_is_never_a_path(library, name):
    with pytest.raises(NotFound):
        library.read(name)
    with pytest.raises(WorkflowError, match="name"):
        library.write(name, TEXT)
    with pytest.raises(NotFound):
        library.remove(name)


def test_a_link_out_of_the_folder_is_not_followed(library, tmp_path):
    library.folder.mkdir()
    (tmp_path / "secret.json").write_text(TEXT)
    (library.folder / "out.json").symlink_to(tmp_path / "secret.json")
    assert [row.name for row in library.names()] == ["given"]
    with pytest.raises(NotFound):
        library.read("out")


@pytest.mark.parametrize("text", ["", "[]", '{"a": 1, "a": 2}', '{"nodes": NaN}', "[" * 1000])
def test_what_is_no_workflow_is_not_saved(library, text):
    with pytest.raises(WorkflowError):
        library.write("mine", text)
    assert not list(library.folder.glob("*")) if library.folder.exists() else True


def test_a_draft_with_mistakes_in_it_is_saved(library):
    draft = '{"format": 1, "nodes": {"a": {"type": "no.such", "inputs": {"x": {"link": "gone.y"}}}}}'
    library.write("draft", draft)
    assert json.loads(library.read("draft")[0]) == json.loads(draft)


def test_the_folder_takes_so_many_and_no_more(library, monkeypatch):
    monkeypatch.setattr(module, "SAVED", 2)
    library.write("one", TEXT)
    library.write("two", TEXT)
    with pytest.raises(OverLimit, match="2 workflows"):
        library.write("three", TEXT)
    library.write("two", TEXT)


def test_a_disk_that_fails_is_told(library, monkeypatch):
    def fail(source: object, target: object) -> None:
        raise OSError(28, "no space")

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(StoreError, match="cannot be saved"):
        library.write("mine", TEXT)
    assert list(library.folder.iterdir()) == []
