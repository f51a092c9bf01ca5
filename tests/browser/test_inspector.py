"""What stands beside the graph: the workflow with its names, and the widgets of lists."""

from __future__ import annotations

import json

from playwright.sync_api import Locator, Page, expect

from browser.editor import Editor
from browser.serving import Server

WORDS = {
    "format": 1,
    "name": "Words",
    "nodes": {
        "alike": {"type": "diffusion.text_similarity", "inputs": {"texts": ["a cat", "a dog"]}},
        "each": {"type": "text.format_each", "inputs": {"template": "{}", "values": [1, 2.5]}},
    },
    "layout": {"alike": {"at": [0, 0]}, "each": {"at": [0, 300]}},
}
GROUPED = {
    "format": 1,
    "name": "Grouped",
    "outputs": {"picture": "boxed.plain"},
    "nodes": {
        "boxed": {"type": "graph:box", "inputs": {"side": 48}},
        "save": {"type": "image.save", "inputs": {"image": {"link": "boxed.plain"}}},
    },
    "graphs": {
        "box": {
            "name": "Box",
            "inputs": {"side": "solid.width", "tint": "solid.colour"},
            "outputs": {"plain": "solid.image"},
            "nodes": {
                "solid": {"type": "image.solid", "inputs": {"width": 32, "height": 32, "colour": "#ff0000"}}
            },
        }
    },
}


def inspector(page: Page) -> Locator:
    """The panel at the right."""
    return page.get_by_role("complementary", name="Inspector")


def names(editor: Editor) -> list[str]:
    """The named inputs in the file's order."""
    return list(editor.data().get("inputs", {}))


def test_the_workflow_says_of_itself_what_a_person_writes(editor: Editor):
    beside = editor.template("Text to image").about()
    about = beside.get_by_role("textbox", name="Description")
    expect(about).to_have_value(editor.data()["description"])
    beside.get_by_role("textbox", name="Title").fill("Houses")
    about.fill("Draws houses.")
    expect(editor.tab()).to_have_text("Houses")
    assert (editor.data()["name"], editor.data()["description"]) == ("Houses", "Draws houses.")
    expect(beside.get_by_role("region", name="Packs").get_by_role("listitem")).to_have_text(
        ["diffusion", "flow", "image"]
    )
    assert editor.undone() == 2
    expect(editor.tab()).to_have_text("Text to image")


def test_named_inputs_are_added_renamed_ordered_and_removed_and_the_form_follows(editor: Editor):
    page = editor.template("Text to image").page
    inputs = editor.about().get_by_role("region", name="Inputs")
    before = names(editor)
    inputs.get_by_label("Name an input…").focus()
    inputs.get_by_label("Name an input…").select_option("schedule.spacing")
    assert names(editor) == [*before, "spacing"]
    inputs.get_by_label("Name of schedule.spacing").fill("steps")  # another has this name
    inputs.get_by_label("Name of schedule.spacing").press("Enter")
    assert names(editor) == [*before, "steps_2"]
    inputs.get_by_label("Name of schedule.spacing").fill("shape")
    inputs.get_by_label("Name of schedule.spacing").press("Enter")
    for _ in before:
        inputs.get_by_role("button", name="shape earlier").click()
    expect(inputs.get_by_role("button", name="shape earlier")).to_be_disabled()
    inputs.get_by_role("button", name="prompt later", exact=True).click()
    inputs.get_by_role("button", name="Take the name cfg away").click()
    wanted = ["shape", "negative_prompt", "prompt", *(name for name in before[2:] if name != "cfg")]
    assert names(editor) == wanted
    page.get_by_role("button", name="Form", exact=True).click()
    expect(page.locator(".form-rows label")).to_have_count(len(wanted))
    labels = page.locator(".form-rows label").all_inner_texts()
    assert [label.lower().replace(" ", "_") for label in labels] == wanted
    page.get_by_role("button", name="Graph", exact=True).click()
    editor.undone()
    assert names(editor) == before


def test_outputs_are_named_and_a_name_leads_to_its_node(editor: Editor):
    page = editor.template("Text to image").page
    outputs = editor.about().get_by_role("region", name="Outputs")
    outputs.get_by_label("Name an output…").focus()
    outputs.get_by_label("Name an output…").select_option("denoise.result")
    assert editor.data()["outputs"] == {"image": "decode.image", "result": "denoise.result"}
    outputs.get_by_role("button", name="decode.image").click()
    expect(inspector(page).get_by_role("heading", name="VAE Decode")).to_be_visible()
    page.keyboard.press("Alt+i")
    expect(outputs).to_be_visible()
    page.keyboard.press("Alt+i")
    expect(inspector(page)).to_have_count(0)
    page.reload()
    editor.ready()
    expect(editor.node("decode")).to_be_visible()
    expect(inspector(page)).to_have_count(0)
    editor.menu("About this workflow")
    expect(outputs).to_be_visible()


def test_a_name_of_a_sub_workflow_is_changed_where_it_is_used_too(editor: Editor):
    editor.drop("grouped.json", "application/json", json.dumps(GROUPED).encode())
    editor.node("boxed").get_by_role("button", name="Open the sub-workflow").click()
    beside = editor.about()
    for target, name in (("solid.width", "across"), ("solid.image", "drawn")):
        beside.get_by_label(f"Name of {target}").fill(name)
        beside.get_by_label(f"Name of {target}").press("Enter")
    data = editor.data()
    assert data["graphs"]["box"]["inputs"] == {"across": "solid.width", "tint": "solid.colour"}
    assert data["nodes"]["boxed"]["inputs"] == {"across": 48}
    assert data["nodes"]["save"]["inputs"]["image"] == {"link": "boxed.drawn"}
    assert data["outputs"] == {"picture": "boxed.drawn"}
    beside.get_by_role("button", name="Take the name across away").click()
    assert editor.data()["nodes"]["boxed"]["inputs"] == {}
    editor.undone()
    assert editor.data() == GROUPED


def test_items_of_a_list_are_added_changed_ordered_and_removed(editor: Editor):
    editor.drop("words.json", "application/json", json.dumps(WORDS).encode())
    node = editor.node("alike")

    def texts() -> list[str]:
        found: list[str] = editor.data()["nodes"]["alike"]["inputs"]["texts"]
        return found

    summary = node.get_by_role("button", name="texts: Edit the list")
    expect(summary).to_have_text("a cat, a dog")
    summary.click()
    items = node.get_by_role("listitem")
    items.nth(1).get_by_role("textbox").fill("a bird")
    items.nth(1).get_by_role("textbox").blur()
    assert texts() == ["a cat", "a bird"]
    node.get_by_role("button", name="Add an item").click()
    items.nth(2).get_by_role("textbox").fill("a fish")
    items.nth(2).get_by_role("textbox").blur()
    assert texts() == ["a cat", "a bird", "a fish"]
    items.nth(2).get_by_role("button", name="Move up").click()
    assert texts() == ["a cat", "a fish", "a bird"]
    expect(items.nth(0).get_by_role("button", name="Move up")).to_be_disabled()
    items.nth(0).get_by_role("button", name="Remove the item").click()
    assert texts() == ["a fish", "a bird"]
    expect(summary).to_have_text("a fish, a bird")
    editor.undone()
    assert editor.data() == WORDS


def test_items_of_any_type_are_written_as_json(editor: Editor):
    editor.drop("words.json", "application/json", json.dumps(WORDS).encode())
    node = editor.node("each")
    node.get_by_role("button", name="values: Edit the list").click()
    node.get_by_label("values 1", exact=True).fill('["a", true]')
    node.get_by_label("values 2", exact=True).fill("plain words")
    node.get_by_label("values 2", exact=True).blur()
    assert editor.data()["nodes"]["each"]["inputs"]["values"] == [["a", True], "plain words"]


def test_a_phone_undoes_and_reads_about_the_workflow(phone: Page, server: Server):
    editor = Editor(phone, server).open().template("Text to image")
    undo, redo = (phone.get_by_role("button", name=name, exact=True) for name in ("Undo", "Redo"))
    expect(undo).to_be_disabled()
    form = phone.get_by_role("main", name="Form")
    form.get_by_label("Steps").fill("7")
    form.get_by_label("Steps").blur()
    undo.tap()
    expect(form.get_by_label("Steps")).to_have_value("20")
    redo.tap()
    expect(form.get_by_label("Steps")).to_have_value("7")
    editor.menu("About this workflow")
    expect(inspector(phone).get_by_role("textbox", name="Title")).to_have_value("Text to image")
    inspector(phone).get_by_role("button", name="Close").tap()
    expect(inspector(phone)).to_have_count(0)
