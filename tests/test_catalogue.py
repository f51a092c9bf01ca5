"""The catalogue: what packs say of files, hashes of an earlier day, and adding without ever replacing."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from graphengine.catalogue import Card, Catalogue, placed, writable
from graphengine.errors import GraphEngineError, ModelError
from graphengine.folders import Folders, inside
from graphengine.registry import Manifest, Pack, Registry

READER = """
from graphengine.catalogue import Card

def describe(path, folders):
    text = path.read_text() if path.is_file() else ""
    if path.is_dir():
        return Card("model")
    if text.startswith("lora"):
        return Card("LoRA", "sd1", "F16", shelves=("loras", "Lora"))
    return Card("LoRA", problem=f"{path} is bad") if text == "bad" else None

def verify(path, deep):
    return ["deep down it is bad"] if deep else []

def convert(path):
    return path.with_suffix(".safetensors") if path.suffix == ".ckpt" else None
"""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "root").mkdir()
    return tmp_path / "root"


@pytest.fixture
def catalogue(tmp_path: Path, root: Path, monkeypatch: pytest.MonkeyPatch) -> Catalogue:
    """A catalogue with one pack's reader, whose files are texts."""
    package = tmp_path / "packs" / "shelved"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text('CATALOGUE = "reader"\n')
    (package / "reader.py").write_text(READER)
    monkeypatch.syspath_prepend(tmp_path / "packs")
    found = Registry.load([Pack("shelved", "shelved", "1")]).manifest
    assert found.problems == ()
    assert Manifest.from_json(found.to_json()).catalogues == ("shelved.reader",)
    return Catalogue(Folders(models=(root,), cache=tmp_path / "cache"), found.catalogues)


@pytest.fixture
def lora(tmp_path: Path) -> Path:
    (tmp_path / "ink.safetensors").write_text("lora one")
    return tmp_path / "ink.safetensors"


def test_what_a_pack_says_of_a_file_is_its_card(catalogue: Catalogue, root: Path) -> None:
    (root / "a.safetensors").write_text("lora")
    (root / "b.safetensors").write_text("else")
    cards = catalogue.cards()
    assert cards["a"] == (root / "a.safetensors", Card("LoRA", "sd1", "F16", shelves=("loras", "Lora")))
    assert cards["b"][1] == Card("unknown")


def test_a_file_is_put_into_the_folder_of_its_kind(catalogue: Catalogue, root: Path, lora: Path) -> None:
    target = catalogue.add(lora, [root])
    assert target == root / "loras" / "ink.safetensors"
    assert os.path.samefile(target, lora)
    assert catalogue.folders.model("ink") == target


@pytest.mark.parametrize(
    ("there", "wanted"),
    [
        ("Lora", "Lora"),
        ("models/Lora", "models/Lora"),
        ("models/loras", "models/loras"),
        ("models", "models/loras"),
        ("models/Lora/deep", "models/Lora"),
    ],
)
def test_the_folder_of_another_program_is_used_where_it_is_there(root: Path, there: str, wanted: str) -> None:
    (root / there).mkdir(parents=True)
    assert placed(root, ("loras", "Lora")) == root / wanted


def test_nothing_is_ever_replaced(catalogue: Catalogue, root: Path, lora: Path) -> None:
    catalogue.add(lora, [root])
    lora.unlink()
    lora.write_text("lora two")
    with pytest.raises(ModelError, match=r"ink\.safetensors already; nothing was changed"):
        catalogue.add(lora, [root])
    assert (root / "loras" / "ink.safetensors").read_text() == "lora one"
    with pytest.raises(ModelError, match="already; nothing was changed"):
        catalogue.add(root / "loras" / "ink.safetensors", [root])


def test_a_file_on_another_disk_is_copied(
    catalogue: Catalogue, root: Path, lora: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    link = os.link

    def refuse(source: str, target: str) -> None:
        if str(lora) in str(source):
            raise OSError(18, "Invalid cross-device link")
        link(source, target)

    monkeypatch.setattr(os, "link", refuse)
    target = catalogue.add(lora, [root])
    assert not os.path.samefile(target, lora)
    assert target.read_text() == "lora one"
    assert [*target.parent.iterdir()] == [target]


def test_a_model_folder_appears_whole_with_what_its_links_lead_to(
    catalogue: Catalogue, root: Path, tmp_path: Path
) -> None:
    blob = tmp_path / "blob"
    blob.write_text("weights")
    folder = tmp_path / "mine"
    (folder / "unet").mkdir(parents=True)
    (folder / "model_index.json").write_text("{}")
    (folder / "unet" / "w.safetensors").symlink_to(blob)
    target = catalogue.add(folder, [root])
    assert target == root / "mine"
    assert not (target / "unet" / "w.safetensors").is_symlink()
    assert (target / "unet" / "w.safetensors").read_text() == "weights"
    assert inside(root, "mine/unet/w.safetensors")
    assert [*root.iterdir()] == [target]
    with pytest.raises(ModelError, match="already"):
        catalogue.add(folder, [root])


def test_a_copy_that_fails_leaves_nothing(
    catalogue: Catalogue, root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "model_index.json").write_text("{}")

    def fail(*args: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "rename", fail)
    with pytest.raises(ModelError, match=r"cannot be made \(No space left on device\)"):
        catalogue.add(tmp_path / "mine", [root])
    assert [*root.iterdir()] == []


@pytest.mark.parametrize(
    ("text", "words"),
    [("bad", "is bad"), ("else", "is of no kind that is known"), (None, "there is no file")],
)
def test_only_what_is_known_and_whole_is_added(
    catalogue: Catalogue, root: Path, tmp_path: Path, text: str | None, words: str
) -> None:
    file = tmp_path / "x.safetensors"
    if text:
        file.write_text(text)
    with pytest.raises(ModelError, match=words):
        catalogue.add(file, [root])
    assert [*root.iterdir()] == []


def test_a_folder_that_is_no_model_is_not_added(catalogue: Catalogue, root: Path, tmp_path: Path) -> None:
    (tmp_path / "pictures").mkdir()
    with pytest.raises(ModelError, match=r"has neither a model_index\.json nor a config\.json"):
        catalogue.add(tmp_path / "pictures", [root])


def test_the_first_root_that_can_be_written_to_is_taken(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    assert (
        writable([tmp_path / "file" / "models", tmp_path / "new" / "models"]) == tmp_path / "new" / "models"
    )
    with pytest.raises(GraphEngineError, match="no folder of models can be written to"):
        writable([tmp_path / "file" / "models"])


def test_a_content_that_changed_under_the_same_time_is_told(catalogue: Catalogue, root: Path) -> None:
    file = root / "a.safetensors"
    file.write_text("lora")
    os.utime(file, ns=(5, 5))
    assert catalogue.verify(file) == []
    assert catalogue.verify(file) == []
    file.write_text("lorb")
    os.utime(file, ns=(5, 5))
    (problem,) = catalogue.verify(file)
    assert "has changed since it was read first" in problem
    file.write_text("lora!")
    assert catalogue.verify(file) == []
    assert catalogue.verify(file, deep=True) == ["deep down it is bad"]


def test_a_file_that_no_pack_converts_is_told(catalogue: Catalogue, tmp_path: Path) -> None:
    assert catalogue.convert(tmp_path / "a.ckpt") == tmp_path / "a.safetensors"
    with pytest.raises(ModelError, match="is of no format that can be converted"):
        catalogue.convert(tmp_path / "a.txt")
