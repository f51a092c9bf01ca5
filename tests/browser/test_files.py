"""What is opened, saved and kept: pictures, files, drafts, what nobody knows."""

from __future__ import annotations

import json
import urllib.request
from pathlib import Path

from playwright.sync_api import Page, expect

from browser.editor import Editor
from browser.serving import ROOT, TOKEN, Server
from graphengine.workflow import Workflow

WORKFLOW = ROOT / "workflows/text_to_image.json"
SMALL = {
    "format": 1,
    "name": "Small",
    "inputs": {"seed": "dice.seed"},
    "nodes": {
        "dice": {"type": "number.random_integer", "inputs": {"seed": None, "low": 16, "high": 512}},
        "plain": {"type": "image.solid", "inputs": {"width": {"link": "dice.value"}, "height": 32}},
        "save": {"type": "image.save", "inputs": {"image": {"link": "plain.image"}}},
    },
}


def picture(server: Server, output: str) -> bytes:
    """The bytes of an output."""
    request = urllib.request.Request(f"{server.url}{output}", headers={"Authorization": f"Bearer {TOKEN}"})
    with urllib.request.urlopen(request) as answer:
        content: bytes = answer.read()
    return content


def test_a_workflow_that_is_opened_and_downloaded_is_the_same_to_the_byte(editor: Editor):
    for file in sorted((ROOT / "workflows").glob("*.json")):
        text = file.read_text()
        editor.drop(file.name, "application/json", text.encode())
        expect(editor.tab()).to_have_text(json.loads(text)["name"])
        assert editor.text() == text


def test_a_saved_picture_that_is_dropped_opens_the_graph_that_made_it(editor: Editor, server: Server):
    inputs = {"seed": 11, "steps": 4}
    job = server.ask("POST", "/api/jobs", {"workflow": "text_to_image", "inputs": inputs})
    server.idle()
    detail = server.get(f"/api/jobs/{job['id']}")
    editor.drop("picture.png", "image/png", picture(server, detail["outputs"][0]["url"]))
    expect(editor.tab()).to_have_text("Text to image")
    assert editor.data() == detail["workflow"]
    opened = editor.data()
    assert opened.pop("requires").keys() == {"diffusion", "flow", "image"}  # what it was run with
    assert opened == Workflow.load(WORKFLOW).with_inputs(inputs).data


def test_a_picture_without_a_workflow_says_so_on_the_form(editor: Editor):
    editor.page.get_by_role("button", name="Form", exact=True).click()
    expect(editor.page.get_by_role("main", name="Form")).to_be_visible()
    editor.drop("plain.png", "image/png", (ROOT / "workflows/pictures/text_to_image.png").read_bytes()[:60])
    expect(editor.page.get_by_role("alert")).to_contain_text("plain.png has no workflow inside")


def test_a_file_that_is_no_json_is_told_with_its_line(editor: Editor):
    editor.drop("broken.json", "application/json", b'{"format": 1,\n "nodes": {"a": }}')
    alert = editor.page.get_by_role("alert")
    expect(alert).to_contain_text("broken.json cannot be read")
    expect(alert).to_contain_text("line 2")


def test_a_node_that_nobody_knows_is_kept_with_its_values_and_wires(editor: Editor):
    data = json.loads(WORKFLOW.read_text())
    data["nodes"]["sharpen"] = {
        "type": "elsewhere.sharpen",
        "inputs": {"image": {"link": "decode.image"}, "amount": 2.0, "odd": {"value": {"link": "x"}}},
    }
    data["nodes"]["save"]["inputs"]["image"] = {"link": "sharpen.image"}
    text = Workflow.of(data).text()
    editor.drop("unknown.json", "application/json", text.encode())
    expect(editor.node("sharpen")).to_be_visible()
    assert editor.text() == text
    problems = editor.panel("Problems")
    expect(problems).to_contain_text("elsewhere.sharpen")


def test_a_problem_leads_to_its_node(editor: Editor):
    editor.drop(
        "wrong.json",
        "application/json",
        json.dumps(
            SMALL
            | {
                "nodes": SMALL["nodes"] | {"away": {"type": "image.resize", "inputs": {"width": -5}}},  # type: ignore[operator]
            }
        ).encode(),
    )
    problems = editor.panel("Problems").get_by_role("button", name="away.width")
    problems.click()
    expect(editor.node("away")).to_have_class(
        "react-flow__node react-flow__node-step nopan selected selectable draggable"
    )


def test_a_reload_in_the_middle_of_an_edit_loses_nothing(editor: Editor):
    editor.template("Text to image")
    editor.page.get_by_role("button", name="Form", exact=True).click()
    editor.page.get_by_label("Prompt", exact=True).press_sequentially("a green boat on the sea", delay=5)
    editor.page.reload()
    editor.ready()
    expect(editor.tab()).to_have_text("Text to image")
    prompt = editor.page.get_by_label("Prompt", exact=True)
    expect(prompt).to_have_value("a green boat on the seaa red house beside a pine tree at night")
    assert editor.undone() > 0
    assert editor.text() == WORKFLOW.read_text()


def test_a_window_that_was_closed_is_taken_over_by_the_next(editor: Editor):
    editor.template("Variations")
    editor.page.wait_for_timeout(500)
    context = editor.page.context
    editor.page.close()
    page = context.new_page()
    Editor(page, editor.server).open()
    expect(page.get_by_role("tab", selected=True)).to_have_text("Variations")


def test_two_windows_keep_their_own_drafts(editor: Editor):
    editor.template("Variations")
    other = Editor(editor.page.context.new_page(), editor.server).open()
    assert other.tabs() == ["Untitled"]
    other.template("Upscale")
    for window, title in ((editor, "Variations"), (other, "Upscale")):
        window.page.wait_for_timeout(300)
        window.page.reload()
        window.ready()
        expect(window.tab()).to_have_text(title)
        assert window.tabs() == [title]


def test_saving_is_atomic_and_never_overwrites_what_another_has_saved(editor: Editor, server: Server):
    editor.drop("small.json", "application/json", json.dumps(SMALL).encode())
    expect(editor.tab()).to_have_text("Small")
    editor.page.keyboard.press("Control+s")
    expect(editor.page.get_by_text("Saved as small", exact=True)).to_be_visible()
    found = server.get("/api/workflows/small")
    assert found == SMALL | {"requires": found["requires"]}  # the server writes down which packs it needs
    server.ask(
        "PUT", "/api/workflows/small", found | {"name": "Theirs"}, **{"If-Match": server.etag("small")}
    )
    editor.menu("Rename")
    editor.page.get_by_role("textbox", name="Title of the workflow").fill("Mine")
    editor.page.keyboard.press("Enter")
    editor.page.keyboard.press("Control+s")
    expect(editor.page.get_by_role("alert")).to_contain_text("saved by someone else")
    editor.page.get_by_role("button", name="Save a copy").click()
    expect(editor.page.get_by_text("Saved as small-2", exact=True)).to_be_visible()
    assert server.get("/api/workflows/small")["name"] == "Theirs"
    assert server.get("/api/workflows/small-2")["name"] == "Mine"


def test_closing_a_tab_with_changes_asks_first(editor: Editor):
    editor.drop("small.json", "application/json", json.dumps(SMALL).encode())
    expect(editor.tab()).to_have_text("Small")
    editor.page.keyboard.press("Alt+w")
    dialog = editor.page.get_by_role("dialog")
    expect(dialog).to_contain_text("Small is not saved")
    editor.page.keyboard.press("Escape")
    expect(editor.tab()).to_have_text("Small")
    editor.page.keyboard.press("Alt+w")
    dialog.get_by_role("button", name="Close without saving").click()
    expect(editor.tab()).to_have_text("Untitled")


def test_the_first_load_is_small(built: Path):
    import gzip
    import re

    html = (built / "index.html").read_bytes()
    names = re.findall(rb'(?:src|href)="/(assets/[^"]+)"', html)
    assert names
    sizes = [
        len(gzip.compress(content))
        for content in [html, *((built / name.decode()).read_bytes() for name in names)]
    ]
    assert sum(sizes) <= 200_000, f"the first load is {sum(sizes)} bytes gzipped"
    assert not list(built.rglob("*.map"))


def test_what_the_first_load_asks_for_is_no_more(page: Page, server: Server, built: Path):
    import gzip

    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    Editor(page, server).open()
    names = {url.rpartition("/assets/")[2] for url in asked if "/assets/" in url}
    size = sum(len(gzip.compress((built / "assets" / name).read_bytes())) for name in names)
    assert 50_000 < size <= 200_000
    assert all(url.startswith((server.url, server.url.replace("http", "ws"))) for url in asked)
