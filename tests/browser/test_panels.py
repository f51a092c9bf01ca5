"""Everything around the canvas: templates, form, queue, gallery, saving, files."""

from __future__ import annotations

from browser.editor import Editor
from playwright.sync_api import expect


def test_the_form_runs_a_workflow_to_a_picture(editor: Editor):
    editor.template("Text to image")
    editor.page.get_by_role("button", name="Form", exact=True).click()
    form = editor.page.get_by_role("main", name="Form")
    form.get_by_label("Prompt", exact=True).fill("a blue cat in the snow")
    form.get_by_label("Steps").fill("6")
    form.get_by_label("Steps").press("Enter")
    job = editor.run()
    assert job["state"] == "done"
    assert job["workflow"]["nodes"]["positive"]["inputs"]["text"] == "a blue cat in the snow"
    assert job["workflow"]["nodes"]["schedule"]["inputs"]["steps"] == 6
    picture = form.get_by_role("img", name="Picture")
    expect(picture).to_be_visible()
    assert picture.evaluate("image => image.naturalWidth") == 128
