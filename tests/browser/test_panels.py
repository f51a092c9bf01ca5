"""Everything around the canvas: form, run button, queue, gallery, settings."""

from __future__ import annotations

import json
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from browser.editor import Editor
from browser.serving import ROOT, Server
from browser.test_files import SMALL


@pytest.fixture
def paused(server: Server) -> Server:
    """A server that begins nothing new, with three runs that wait."""
    server.ask("POST", "/api/queue/pause")
    for name in ("First", "Second", "Third"):
        server.ask("POST", "/api/jobs", {"workflow": SMALL | {"name": name}})
    return server


def waiting(server: Server) -> list[str]:
    """The names of what waits, in order."""
    line: dict[str, Any] = server.get("/api/queue")
    return [job["name"] for job in line["waiting"]]


def test_an_empty_graph_leads_to_the_templates(editor: Editor):
    editor.page.get_by_role("button", name="Begin with a template").click()
    panel = editor.page.get_by_role("complementary", name="Templates")
    shipped = panel.get_by_role("list").last.get_by_role("listitem")
    expect(shipped.first).to_contain_text("Text to image")
    expect(shipped).to_have_count(len(list((ROOT / "workflows").glob("*.json"))))
    shipped.first.get_by_role("button").click()
    expect(editor.tab()).to_have_text("Text to image")
    expect(editor.page.get_by_role("button", name="Begin with a template")).to_have_count(0)


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


def test_while_it_runs_the_nodes_say_how_far_and_the_loop_shows_a_preview(editor: Editor):
    data = json.loads(editor.template("Text to image").text())
    data["nodes"]["schedule"]["inputs"]["steps"] = 60
    data["nodes"]["noise"]["inputs"]["seed"] = 4321
    editor.drop("long.json", "application/json", json.dumps(data).encode())
    editor.page.get_by_role("button", name="Run", exact=True).click()
    expect(editor.page.locator(".top-bar progress")).to_be_visible()
    expect(editor.node("denoise").get_by_role("img", name="running")).to_be_visible(timeout=60_000)
    editor.server.idle()
    for id in ("denoise", "decode", "save"):
        expect(editor.node(id).get_by_role("img", name="done")).to_be_visible()
    expect(editor.node("save").locator("img")).to_be_visible()


def test_a_batch_has_as_many_seeds_as_runs(editor: Editor, server: Server):
    before = {job["id"] for job in server.jobs()}
    editor.drop("small.json", "application/json", json.dumps(SMALL).encode())
    editor.page.get_by_label("How many runs").fill("3")
    editor.page.get_by_role("button", name="Run", exact=True).click()
    fresh = editor.ended(before, count=3)  # a short one may have ended before the next is asked for
    assert len({job["workflow"]["nodes"]["dice"]["inputs"]["seed"] for job in fresh}) == 3


def test_a_workflow_with_problems_does_not_run_and_says_why(editor: Editor):
    nodes = {"save": {"type": "image.save", "inputs": {}}}
    editor.drop(
        "wrong.json", "application/json", json.dumps({"format": 1, "name": "Wrong", "nodes": nodes}).encode()
    )
    editor.page.get_by_role("button", name="Run", exact=True).click()
    expect(editor.page.get_by_role("alert")).to_contain_text("One problem is in the way")
    expect(editor.page.get_by_role("complementary", name="Problems")).to_contain_text("save.image")


def test_the_queue_is_reordered_by_keys(editor: Editor, paused: Server):
    panel = editor.panel("Queue")
    third = panel.get_by_role("button", name="Third, 3 of 3")
    third.focus()
    editor.page.keyboard.press("Alt+ArrowUp")
    expect(panel.get_by_role("button", name="Third, 2 of 3")).to_be_focused()
    editor.page.keyboard.press("Alt+ArrowUp")
    expect(panel.get_by_role("button", name="Third, 1 of 3")).to_be_focused()
    expect(panel.get_by_text("Third is now number 1")).to_have_count(1)
    assert waiting(paused) == ["Third", "First", "Second"]


def test_the_queue_is_reordered_by_dragging(editor: Editor, paused: Server):
    panel = editor.panel("Queue")
    panel.get_by_role("button", name="First, 1 of 3").drag_to(
        panel.get_by_role("button", name="Third, 3 of 3")
    )
    expect(panel.get_by_role("button", name="First, 3 of 3")).to_be_visible()
    editor.page.wait_for_timeout(300)
    assert waiting(paused) == ["Second", "Third", "First"]


def test_what_waits_is_cancelled_and_the_queue_goes_on(editor: Editor, paused: Server):
    panel = editor.panel("Queue")
    panel.get_by_role("button", name="Cancel Second").click()
    expect(panel.get_by_text("Second")).to_have_count(0)
    panel.get_by_role("button", name="Resume").click()
    expect(panel).to_contain_text("Nothing waits", timeout=60_000)
    states = {job["name"]: job["state"] for job in paused.jobs()[:3]}
    assert states == {"First": "done", "Second": "cancelled", "Third": "done"}


def test_a_run_is_stopped(editor: Editor, server: Server):
    data = json.loads(editor.template("Text to image").text())
    data["nodes"]["schedule"]["inputs"]["steps"] = 150
    data["nodes"]["noise"]["inputs"]["seed"] = 987
    editor.drop("long.json", "application/json", json.dumps(data).encode())
    editor.page.get_by_role("button", name="Run", exact=True).click()
    expect(editor.node("denoise").get_by_role("img", name="running")).to_be_visible(timeout=60_000)
    editor.page.get_by_role("button", name="Stop this workflow's runs").click()
    expect(editor.page.get_by_role("button", name="Stop this workflow's runs")).to_have_count(0)
    assert server.jobs()[0]["state"] == "cancelled"


def test_a_past_run_gives_its_workflow_and_its_seed(editor: Editor, server: Server):
    server.ask("POST", "/api/jobs", {"workflow": SMALL | {"name": "Past"}, "inputs": {"seed": 31}})
    server.idle()
    editor.drop("small.json", "application/json", json.dumps(SMALL).encode())
    card = editor.panel("Gallery").get_by_role("listitem", name="Past").first
    card.get_by_role("button", name="Reuse this seed").click()
    assert editor.data()["nodes"]["dice"]["inputs"]["seed"] == 31
    card.get_by_role("button", name="Load this workflow").click()
    expect(editor.tab()).to_have_text("Past")
    assert editor.data()["nodes"]["dice"]["inputs"]["seed"] == 31


def test_two_pictures_are_compared_under_a_slider(editor: Editor, server: Server):
    for seed in (1, 2):
        server.ask("POST", "/api/jobs", {"workflow": SMALL, "inputs": {"seed": seed}})
    server.idle()
    editor.panel("Gallery").get_by_role("button", name="large").first.click()
    viewer = editor.page.get_by_role("dialog")
    viewer.get_by_role("button", name="Compare", exact=True).click()
    viewer.get_by_role("button", name="Compare:").first.click()
    slider = viewer.get_by_role("slider")
    slider.fill("20")
    over = viewer.locator(".over")
    assert over.evaluate("image => getComputedStyle(image).clipPath") == "inset(0px 80% 0px 0px)"
    editor.page.keyboard.press("Escape")
    expect(viewer).to_have_count(0)


def test_the_theme_is_kept(editor: Editor):
    root = editor.page.locator(":root")
    expect(root).to_have_attribute("data-theme", "dark")
    editor.panel("Settings").get_by_label("Light").check()
    expect(root).to_have_attribute("data-theme", "light")
    editor.page.reload()
    expect(root).to_have_attribute("data-theme", "light")


def test_every_shortcut_is_on_the_sheet(editor: Editor):
    editor.page.keyboard.press("?")
    sheet = editor.page.get_by_role("dialog", name="Shortcuts")
    for text in ("Undo", "Save", "Run", "Connect…", "Find in the graph…", "Templates"):
        expect(sheet.get_by_role("term").get_by_text(text, exact=True)).to_be_visible()


def test_a_phone_begins_with_the_form_and_runs_it(phone: Page, server: Server):
    editor = Editor(phone, server).open()
    editor.template("Text to image")
    form = phone.get_by_role("main", name="Form")
    form.get_by_label("Steps").fill("4")
    form.get_by_label("Steps").press("Enter")
    assert editor.run()["state"] == "done"
    expect(form.get_by_role("img", name="Picture")).to_be_in_viewport()
    assert phone.evaluate("document.documentElement.scrollWidth") == 390
