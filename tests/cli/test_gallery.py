"""`graphengine gallery`"""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from PIL import Image

from graphengine.resources import workflow_names, workflows

CARD = {
    "format": 1,
    "name": "Card",
    "description": "Words | on a card.",
    "inputs": {"text": "card.text", "width": "card.width"},
    "outputs": {"image": "card.image"},
    "nodes": {"card": {"type": "image.card", "inputs": {"text": "hello", "width": 900}}},
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "card.json").write_text(json.dumps(CARD))
    return tmp_path


def test_the_page_of_the_shipped_workflows_is_up_to_date(graphengine):
    done = graphengine("gallery", "--check")
    assert done.status == 0, done.out


def test_every_shipped_workflow_has_a_picture_and_says_what_it_shows():
    for name in workflow_names():
        with Image.open(workflows() / "pictures" / f"{name}.png") as picture:
            assert max(picture.size) >= 200
            assert len(picture.convert("L").getcolors()) > 10
        data = json.loads((workflows() / f"{name}.json").read_text())
        assert data["description"].endswith(".")
        assert data["inputs"]
        assert data["outputs"]


def test_a_page_tells_inputs_types_defaults_and_the_graph(graphengine, folder):
    assert graphengine("gallery", str(folder)).status == 0
    text = (folder / "README.md").read_text()
    assert "## card\n\nWords | on a card.\n" in text
    assert '| `text` | str | `"hello"` |' in text
    assert "| `width` | int, 1 to" in text
    assert "It gives `image`." in text
    assert "```mermaid\nflowchart LR\n  card[" in text
    assert "pictures/card.png" not in text


def test_pictures_are_made_and_nothing_else_is_left(graphengine, folder):
    assert graphengine("gallery", str(folder), "--pictures").status == 0
    assert sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file()) == [
        "README.md", "card.json", "pictures/card.png",
    ]  # fmt: skip
    with Image.open(folder / "pictures" / "card.png") as picture:
        assert picture.width <= 640
        assert picture.height <= 480
    assert "![What card gives](pictures/card.png)" in (folder / "README.md").read_text()


def test_check_writes_nothing_and_says_what_to_do(graphengine, folder):
    done = graphengine("gallery", str(folder), "--check")
    assert done.status == 1
    assert "run graphengine gallery" in done.out
    assert not (folder / "README.md").exists()


def test_an_unknown_name_is_told(graphengine, folder):
    done = graphengine("gallery", str(folder), "--pictures", "--only", "nothing")
    assert done.status == 3
    assert "there is no workflow 'nothing'" in done.err
