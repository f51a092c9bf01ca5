from __future__ import annotations

import os
from pathlib import Path

import pytest

from graphengine.errors import GraphEngineError, ModelError
from graphengine.folders import Folders, inside, write_atomically


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A root with a model in it, beside a secret."""
    (tmp_path / "secret").mkdir()
    (tmp_path / "secret" / "key.txt").write_text("s")
    root = tmp_path / "root"
    (root / "good").mkdir(parents=True)
    (root / "good" / "model_index.json").write_text("{}")
    (root / "picture.png").write_text("p")
    (root / "way_out").symlink_to(tmp_path / "secret")
    (root / "circle").symlink_to(root / "circle")
    (root / "alias").symlink_to(root / "good")
    return root


OUTSIDE = [
    "../secret",
    "good/../../secret",
    "way_out",
    "way_out/key.txt",
    "",
    ".",
    "good/..",
    "a\0b",
    "x" * 5000,
    "circle",
]


@pytest.mark.parametrize("name", OUTSIDE)
def test_a_name_that_leads_out_of_a_root_is_refused(root: Path, name: str) -> None:
    assert inside(root, name) is None
    with pytest.raises(ModelError, match="there is no model"):
        Folders(models=(root,)).model(name)
    with pytest.raises(GraphEngineError, match="there is no file"):
        Folders(inputs=(root,), confined=True).input(name)


def test_an_absolute_path_is_refused(root: Path) -> None:
    secret = str(root.parent / "secret" / "key.txt")
    assert inside(root, secret) is None
    with pytest.raises(ModelError):
        Folders(models=(root,)).model(secret)
    with pytest.raises(GraphEngineError):
        Folders(inputs=(root,), confined=True).input(secret)


def test_a_root_next_to_one_of_a_longer_name_does_not_let_it_in(tmp_path: Path) -> None:
    (tmp_path / "models").mkdir()
    (tmp_path / "models_private").mkdir()
    assert inside(tmp_path / "models", "../models_private") is None


def test_a_name_in_a_root_is_found_a_symlink_within_it_too(root: Path) -> None:
    folders = Folders(models=(root.parent / "missing", root))
    assert folders.model("good") == root / "good"
    assert folders.model("alias") == root / "good"


def test_the_first_root_that_has_a_model_wins(root: Path, tmp_path: Path) -> None:
    (tmp_path / "other" / "good").mkdir(parents=True)
    assert Folders(models=(tmp_path / "other", root)).model("good") == tmp_path / "other" / "good"


def test_a_missing_model_is_told_with_those_that_are_there(root: Path) -> None:
    with pytest.raises(ModelError) as caught:
        Folders(models=(root,)).model("bad")
    assert (
        str(caught.value)
        == f"there is no model 'bad'; these are here: alias, good. Put it into one of: {root}"
    )


def test_what_is_named_as_there_is_there(root: Path) -> None:
    (root.parent / "secret" / "model_index.json").write_text("{}")
    folders = Folders(models=(root,))
    assert folders.model_names() == ["alias", "good"]
    assert all(folders.model(name) for name in folders.model_names())


def test_an_input_is_any_file_unless_confined(root: Path) -> None:
    secret = root.parent / "secret" / "key.txt"
    assert Folders(inputs=(root,)).input(str(secret)) == secret
    assert Folders(inputs=(root,), confined=True).input("picture.png") == root / "picture.png"
    for folders in (Folders(), Folders(inputs=(root,), confined=True), Folders(confined=True)):
        with pytest.raises(GraphEngineError, match="there is no file 'nothing' to read; check the path"):
            folders.input("nothing")


@pytest.mark.parametrize("name", ["~nobody_of_that_name/x", "a\0b", "x" * 5000, ""])
def test_a_path_that_no_file_can_have_is_told_as_missing(name: str) -> None:
    with pytest.raises(GraphEngineError, match="there is no file"):
        Folders().input(name)


# -- hashes --------------------------------------------------------------------------------------------------


def test_the_hash_is_that_of_the_content(tmp_path: Path) -> None:
    for name in "ab":
        (tmp_path / name).write_text("same")
    (tmp_path / "c").write_text("other")
    folders = Folders()
    assert folders.content_hash(tmp_path / "a") == folders.content_hash(tmp_path / "b")
    assert folders.content_hash(tmp_path / "a") != folders.content_hash(tmp_path / "c")


def test_the_hash_of_a_folder_changes_with_names_and_contents(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    (folder / "in").mkdir(parents=True)
    folders = Folders()
    seen = set()
    for name, text in [("a", "1"), ("a", "2"), ("in/b", "2"), ("c", "")]:
        (folder / name).write_text(text)
        seen.add(folders.content_hash(folder))
    (folder / "a").rename(folder / "z")
    seen.add(folders.content_hash(folder))
    assert len(seen) == 5


@pytest.mark.parametrize("remembers", [True, False])
def test_a_changed_file_has_another_hash_remembered_or_not(tmp_path: Path, remembers: bool) -> None:
    folders = Folders(cache=tmp_path / "cache" if remembers else None)
    path = tmp_path / "a"
    path.write_text("one")
    first = folders.content_hash(path)
    assert folders.content_hash(path) == first
    path.write_text("two")
    os.utime(path, ns=(0, 12345))
    assert folders.content_hash(path) != first


def test_a_hash_is_remembered(tmp_path: Path) -> None:
    folders = Folders(cache=tmp_path / "cache")
    path = tmp_path / "a"
    path.write_text("one")
    os.utime(path, ns=(0, 5))
    first = folders.content_hash(path)
    path.write_text("two")
    os.utime(path, ns=(0, 5))
    assert folders.content_hash(path) == first  # of the same size and time: not read again


def test_a_folder_of_one_file_is_not_that_file(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a").write_text("x")
    fresh, remembering = Folders(), Folders(cache=tmp_path / "cache")
    for path in (tmp_path / "in", tmp_path / "in" / "a"):
        assert remembering.content_hash(path) == fresh.content_hash(path)
        assert remembering.content_hash(path) == fresh.content_hash(path)


def test_a_cache_that_cannot_be_written_costs_nothing(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    assert Folders(cache=tmp_path / "file").content_hash(tmp_path / "file") == Folders().content_hash(
        tmp_path / "file"
    )


# -- writing -------------------------------------------------------------------------------------------------


def test_a_file_is_written_with_its_folders(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b" / "c.txt"
    write_atomically(path, b"one")
    write_atomically(path, b"two")
    assert path.read_bytes() == b"two"
    assert [*path.parent.iterdir()] == [path]


def test_a_failure_leaves_what_was_there_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.txt"
    write_atomically(path, b"one")

    def fail(*args: object) -> None:
        raise OSError("full")

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(OSError, match="full"):
        write_atomically(path, b"two")
    assert path.read_bytes() == b"one"
    assert [*tmp_path.iterdir()] == [path]


def test_nothing_is_left_where_a_folder_is_in_the_way(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    with pytest.raises(OSError, match="directory"):
        write_atomically(tmp_path / "a", b"x")
    assert [*tmp_path.iterdir()] == [tmp_path / "a"]


def test_a_written_file_has_the_rights_of_any_other_new_file(tmp_path: Path) -> None:
    (tmp_path / "plain").write_bytes(b"x")
    write_atomically(tmp_path / "published", b"x")
    assert (tmp_path / "published").stat().st_mode == (tmp_path / "plain").stat().st_mode
