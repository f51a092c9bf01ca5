"""The server dies and comes back, and nothing is lost: not the run, not what the page knows of it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from browser.editor import Editor
from browser.serving import Server


@pytest.fixture
def fragile(built: Path, cache: Path, tmp_path: Path) -> Iterator[Server]:
    """A server for one test, which may kill it."""
    server = Server(tmp_path, cache)
    server.start()
    yield server
    server.kill()


def test_a_server_that_is_killed_in_a_run_and_started_again_ends_it_and_the_page_shows_it(
    page: Page, fragile: Server
):
    editor = Editor(page, fragile).open()
    data = json.loads(editor.template("Text to image").text())
    data["nodes"]["schedule"]["inputs"]["steps"] = 100
    editor.drop("long.json", "application/json", json.dumps(data).encode())
    page.get_by_role("button", name="Run", exact=True).click()
    expect(editor.node("denoise").get_by_role("img", name="running")).to_be_visible(timeout=60_000)
    fragile.kill()
    expect(page.locator(".banner")).to_contain_text("The server does not answer")
    editor.menu("Rename")
    page.get_by_role("textbox", name="Title of the workflow").fill("Still at work")
    page.keyboard.press("Enter")
    expect(editor.tab()).to_have_text("Still at work")
    fragile.start()
    expect(page.locator(".banner")).to_have_count(0, timeout=30_000)
    fragile.idle()
    [job] = fragile.jobs()
    assert job["state"] == "done"
    assert job["attempts"] == 2
    expect(editor.node("save").get_by_role("img", name="done")).to_be_visible(timeout=30_000)
    expect(editor.node("save").locator("img")).to_be_visible()
    expect(page.get_by_role("button", name="Stop this workflow's runs")).to_have_count(0)


def test_a_page_that_is_loaded_anew_in_a_run_goes_on_with_it(editor: Editor, server: Server):
    data = json.loads(editor.template("Text to image").text())
    data["nodes"]["schedule"]["inputs"]["steps"] = 80
    data["nodes"]["noise"]["inputs"]["seed"] = 77
    editor.drop("long.json", "application/json", json.dumps(data).encode())
    editor.page.get_by_role("button", name="Run", exact=True).click()
    expect(editor.node("denoise").get_by_role("img", name="running")).to_be_visible(timeout=60_000)
    editor.page.reload()
    editor.ready()
    expect(editor.node("denoise").get_by_role("img", name="running")).to_be_visible(timeout=60_000)
    server.idle()
    expect(editor.node("save").get_by_role("img", name="done")).to_be_visible()
    expect(editor.node("save").locator("img")).to_be_visible()


def test_after_a_reload_the_nodes_show_the_newest_of_several_runs(editor: Editor):
    editor.template("Text to image")
    addresses = []
    for steps in ("4", "5", "5"):
        page = editor.page
        page.get_by_role("button", name="Form", exact=True).click()
        page.get_by_role("main", name="Form").get_by_label("Steps").fill(steps)
        page.get_by_role("main", name="Form").get_by_label("Steps").press("Enter")
        page.get_by_role("button", name="Graph", exact=True).click()
        addresses.append(editor.run()["outputs"][0]["url"])
    picture = editor.node("save").locator(".pictures img")
    expect(picture).to_have_attribute("src", addresses[-1])
    expect(editor.node("denoise").get_by_role("img", name="not needed again")).to_be_visible()
    for _ in range(3):
        editor.page.reload()
        editor.ready()
        expect(picture).to_be_visible()
        editor.page.wait_for_timeout(500)
        expect(picture).to_have_attribute("src", addresses[-1])
