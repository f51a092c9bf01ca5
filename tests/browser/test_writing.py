"""A node is written while the editor is open: it is there when its file is saved; no new start is needed."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from browser.editor import Editor
from browser.serving import Server

GLOW = """
from graphengine import Image, node

@node
def glow(image: Image, least: float = 0.3) -> Image:
    '''Lift the shadows.'''
    return image.clamp(least, 1)
"""
FLOW = {
    "format": 1,
    "name": "Glowing",
    "nodes": {
        "red": {"type": "image.solid", "inputs": {"colour": "#aa0000"}},
        "glow": {"type": "glow.glow", "inputs": {"image": {"link": "red.image"}}},
        "save": {"type": "image.save", "inputs": {"image": {"link": "glow.image"}}},
    },
}


@pytest.fixture
def workshop(built: Path, cache: Path, tmp_path: Path) -> Iterator[Server]:
    """A server for who writes nodes, with a folder for them."""
    (tmp_path / "nodes").mkdir()
    server = Server(tmp_path, cache, "--dev", "--nodes", str(tmp_path / "nodes"))
    server.start()
    yield server
    server.stop()


def test_a_node_appears_changes_breaks_and_is_mended_while_the_editor_is_open(
    page: Page, workshop: Server, tmp_path: Path
):
    file = tmp_path / "nodes/glow.py"
    editor = Editor(page, workshop).open()
    editor.drop("glowing.json", "application/json", json.dumps(FLOW).encode())
    expect(editor.node("glow")).to_contain_text("glow.glow")
    expect(editor.node("glow").get_by_label("Input least, float")).to_have_count(0)
    # It appears.
    file.write_text(GLOW)
    expect(editor.node("glow").get_by_label("Input least, float")).to_be_visible()
    assert editor.run()["state"] == "done"
    # It changes: the new input is there, and only what depends on it runs again.
    file.write_text(GLOW.replace("least: float = 0.3", "least: float = 0.3, most: float = 0.9"))
    expect(editor.node("glow").get_by_label("Input most, float")).to_be_visible()
    expect(editor.node("red").get_by_role("img", name="taken from the cache")).to_be_visible()
    expect(editor.node("glow").get_by_role("img", name="will run")).to_be_visible()
    assert editor.run()["state"] == "done"
    # It breaks.
    file.write_text(GLOW.replace("return", "retrun"))
    expect(page.get_by_role("alert")).to_contain_text("The pack glow has a mistake")
    problems = editor.panel("Problems")
    expect(problems).to_contain_text("glow.py:7: SyntaxError")
    problems.get_by_text("Traceback", exact=True).click()
    expect(problems).to_contain_text("retrun image.clamp")
    page.screenshot(path=Path(__file__).parent / "shots/broken-pack.png")
    page.get_by_role("button", name="Run", exact=True).click()
    expect(problems.get_by_role("button", name="glow")).to_contain_text("SyntaxError")
    # It is mended.
    file.write_text(GLOW)
    expect(page.get_by_text("The pack glow can be used again")).to_be_visible()
    expect(page.get_by_role("alert").get_by_text("has a mistake")).to_have_count(0)
    expect(problems).to_contain_text("No problems")
    assert editor.run()["state"] == "done"
