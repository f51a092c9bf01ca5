"""Loops: nodes are dragged into their frame and out of it, where their wires allow it."""

from __future__ import annotations

from typing import Any

from playwright.sync_api import Locator, expect

from browser.editor import Editor, middle


def body(data: dict[str, Any]) -> dict[str, Any]:
    """The nodes in the loop of text_to_image."""
    found: dict[str, Any] = data["nodes"]["denoise"]["inputs"]["body"]["graph"]["nodes"]
    return found


def frame(editor: Editor) -> tuple[float, float, float, float]:
    """Where the loop's frame is: left, top, width, height."""
    box = editor.node("denoise").locator(".body").bounding_box()
    assert box is not None
    return box["x"], box["y"], box["width"], box["height"]


def hold(editor: Editor, id: str, x: float, y: float) -> Locator:
    """Drag a node by its head to a place of the window, and hold it there; gives the hint at the pointer."""
    mouse = editor.page.mouse
    mouse.move(*middle(editor.node(id).locator(".title")))
    mouse.down()
    mouse.move(x - 20, y - 20, steps=6)
    mouse.move(x, y, steps=6)
    return editor.page.locator(".hint-at")


def test_a_node_goes_into_a_loop_and_out_again(editor: Editor):
    page = editor.template("Text to image").page
    before = editor.data()
    left, top, width, height = frame(editor)
    hint = hold(editor, "negative", left + width / 2, top + height - 30)
    expect(hint).to_have_text("Drop it here to put it into the loop")
    expect(page.locator(".body.opened")).to_be_visible()
    page.mouse.up()
    expect(hint).to_have_count(0)
    inside = editor.data()
    assert body(inside)["negative"] == before["nodes"]["negative"]
    assert "negative" not in inside["nodes"]

    left, top, width, height = frame(editor)
    hint = hold(
        editor, "negative", left - 120, top + height / 2
    )  # to the left, too, where frames do not grow
    expect(hint).to_have_text("Drop it here to take it out of the loop")
    assert frame(editor) == (left, top, width, height)
    page.mouse.up()
    outside = editor.data()
    assert outside["nodes"]["negative"] == before["nodes"]["negative"]
    assert body(outside) == body(before)
    page.keyboard.press("Control+z")
    assert editor.data() == inside
    page.keyboard.press("Control+z")
    assert editor.data() == before
    page.keyboard.press("Control+Shift+z")
    page.keyboard.press("Control+Shift+z")
    assert editor.data() == outside


def test_a_node_that_needs_the_loop_stays_in_it_and_says_why(editor: Editor):
    page = editor.template("Text to image").page
    editor.about()  # so that the graph keeps its room when a node is chosen
    before = body(editor.data())
    left, top, width, height = frame(editor)
    hint = hold(editor, "guided", left + width / 2, top + height + 120)
    expect(hint).to_have_text(
        "It stays in the loop: guided uses cond.prediction, which cannot be seen from there"
    )
    page.mouse.up()
    expect(hint).to_have_count(0)
    assert body(editor.data()) == before
    assert frame(editor)[3] > height + 60
    assert editor.undone() == 1
    assert frame(editor) == (left, top, width, height)


def test_a_node_that_is_needed_outside_cannot_go_in(editor: Editor):
    page = editor.template("Text to image").page
    left, top, width, height = frame(editor)
    hint = hold(editor, "schedule", left + width / 2, top + height - 30)
    expect(hint).to_contain_text("It cannot go into the loop: ")
    page.mouse.up()
    data = editor.data()
    assert "schedule" in data["nodes"]
    assert "schedule" not in body(data)


def test_in_a_loop_nothing_stands_before_its_beginning(editor: Editor):
    page = editor.template("Text to image").page
    left, top, _, height = frame(editor)
    hold(editor, "cond", left + 60, top + height / 2)
    page.mouse.up()
    assert editor.data()["layout"]["cond"]["at"][0] == 0
