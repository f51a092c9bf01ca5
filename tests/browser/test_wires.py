"""Wires: what does not fit is refused with its reason; a converter is one press away; all can be undone."""

from __future__ import annotations

import json
import random

from playwright.sync_api import expect

from browser.editor import Editor, middle

TWO = {
    "format": 1,
    "name": "Two",
    "nodes": {
        "plain": {"type": "image.solid", "inputs": {"width": 64, "height": 64}},
        "size": {"type": "image.size", "inputs": {"image": {"link": "plain.image"}}},
        "decode": {"type": "diffusion.vae_decode", "inputs": {}},
        "save": {"type": "image.save", "inputs": {}},
        "model": {"type": "diffusion.load_model", "inputs": {"model": "storybook"}},
    },
    "layout": {
        "model": {"at": [0, 460]},
        "plain": {"at": [0, 0]},
        "size": {"at": [0, 260]},
        "decode": {"at": [420, 0]},
        "save": {"at": [420, 200]},
    },
}


def opened(editor: Editor) -> Editor:
    """The editor with two pictures that wait for their wires."""
    editor.drop("two.json", "application/json", json.dumps(TWO).encode())
    expect(editor.node("decode")).to_be_visible()
    return editor


def test_a_wire_that_fits_is_drawn(editor: Editor):
    opened(editor).wire("plain o:image", "save i:image")
    assert editor.data()["nodes"]["save"]["inputs"]["image"] == {"link": "plain.image"}


def test_a_wire_that_does_not_fit_is_refused_with_its_reason_while_it_is_dragged(editor: Editor):
    page = opened(editor).page
    (x1, y1), (x2, y2) = [middle(editor.socket(*end)) for end in (("size", "o:width"), ("save", "i:image"))]
    page.mouse.move(x1, y1)
    page.mouse.down()
    page.mouse.move(x2 - 40, y2 - 10, steps=4)
    page.mouse.move(x2, y2, steps=4)
    expect(page.get_by_role("alert")).to_contain_text("Image")
    page.mouse.up()
    expect(page.get_by_role("alertdialog")).to_contain_text(
        "save.image wants an Image, but size.width is a whole number; link another output"
    )
    page.keyboard.press("Escape")
    assert "image" not in editor.data()["nodes"]["save"]["inputs"]


def test_a_converter_is_put_between_with_one_press(editor: Editor):
    page = opened(editor).page
    editor.wire("plain o:image", "decode i:latent")
    refusal = page.get_by_role("alertdialog")
    expect(refusal).to_contain_text("Latent")
    refusal.get_by_role("button", name="Insert").click()
    nodes = editor.data()["nodes"]
    link = nodes["decode"]["inputs"]["latent"]["link"].partition(".")[0]
    assert link not in TWO["nodes"]  # type: ignore[operator]
    assert nodes[link]["type"] == "diffusion.vae_encode"
    assert nodes[link]["inputs"] == {"vae": {"link": "model.vae"}, "image": {"link": "plain.image"}}


def test_a_wire_that_is_dropped_in_the_void_offers_what_fits_and_connects_it(editor: Editor):
    page = opened(editor).page
    x, y = middle(editor.socket("plain", "o:image"))
    before = editor.ids()
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x + 150, y + 250, steps=5)
    page.mouse.up()
    new = editor.choose("invert", before)
    assert editor.data()["nodes"][new] == {
        "type": "image.invert",
        "inputs": {"image": {"link": "plain.image"}},
    }


def test_two_hundred_random_edits_are_undone_and_done_again_to_the_byte(editor: Editor):
    editor.template("Text to image")
    page = editor.page
    rng = random.Random(7)
    begin = editor.text()
    keys = [
        "m",
        "b",
        "h",
        "i",
        "n",
        "f",
        "t",
        "Control+d",
        "Delete",
        "Shift+ArrowRight",
        "ArrowDown",
        "Alt+ArrowLeft",
    ]
    ids = sorted(json.loads(begin)["nodes"])
    undo = page.get_by_role("button", name="Undo", exact=True)
    for i in range(200):
        what = rng.random()
        if what < 0.3:
            page.keyboard.press("Control+f")
            editor.palette().fill(rng.choice(ids))
            page.keyboard.press("Enter")
        if what < 0.45:
            page.keyboard.press("Space")
            editor.palette().fill(rng.choice(["invert", "blur", "fold", "predict", "note"]))
            page.keyboard.press("Enter")
        elif what < 0.55:
            page.keyboard.press("c")
            if editor.palette().count():
                page.keyboard.press("Enter")
                page.keyboard.press("Escape")
        else:
            page.keyboard.press(rng.choice(keys))
        if i % 20 == 0:
            expect(undo).to_be_enabled()
    end = editor.text()
    assert end != begin
    count = editor.undone()
    assert count >= 100
    assert editor.text() == begin
    assert editor.redone() == count
    assert editor.text() == end
