"""Nobody is shut out: axe-core finds no serious fault on any screen, and the keyboard reaches everything."""

from __future__ import annotations

from typing import Any

import pytest
from playwright.sync_api import Page, expect

from browser.editor import Editor
from browser.serving import ROOT, Server

AXE = ROOT / "web/node_modules/axe-core/axe.min.js"
PANELS = ("Templates", "Queue", "Gallery", "Problems", "Models", "Settings")


def faults(page: Page) -> list[str]:
    """What axe-core calls serious or critical, with the elements that it means."""
    page.evaluate(AXE.read_text())
    found: dict[str, Any] = page.evaluate(
        "() => window.axe.run(document, { resultTypes: ['violations'], iframes: false })"
    )
    return [
        f"{fault['id']}: {fault['help']}: {[node['html'][:160] for node in fault['nodes'][:4]]}"
        for fault in found["violations"]
        if fault["impact"] in ("serious", "critical")
    ]


@pytest.mark.parametrize("theme", ["dark", "light"])
def test_no_screen_has_a_serious_fault(page: Page, server: Server, theme: str):
    page.emulate_media(color_scheme=theme, reduced_motion="reduce")
    editor = Editor(page, server).open()
    assert faults(page) == [], "the empty editor"
    editor.template("Text to image")
    expect(editor.node("denoise")).to_be_visible()
    assert faults(page) == [], "the graph"
    for name in PANELS:
        editor.panel(name)
        page.wait_for_timeout(300)
        assert faults(page) == [], name
    editor.close_panel()
    page.get_by_role("button", name="Form", exact=True).click()
    expect(page.get_by_role("main", name="Form")).to_be_visible()
    assert faults(page) == [], "the form"
    page.get_by_role("button", name="Graph", exact=True).click()
    page.keyboard.press("?")
    assert faults(page) == [], "the shortcuts"
    page.keyboard.press("Escape")
    page.keyboard.press("Space")
    assert faults(page) == [], "the palette"


def test_a_phone_has_no_serious_fault(phone: Page, server: Server):
    editor = Editor(phone, server).open()
    editor.template("Text to image")
    assert faults(phone) == []
    editor.panel("Gallery")
    assert faults(phone) == []


def test_tab_reaches_every_button_of_the_frame(editor: Editor):
    page = editor.page
    reached = set()
    for _ in range(40):
        page.keyboard.press("Tab")
        name = page.evaluate(
            "document.activeElement?.getAttribute('aria-label') ?? document.activeElement?.textContent"
        )
        reached.add((name or "").strip())
    wanted = {"File menu", "New workflow", "Graph", "Form", "Run", "How many runs", *PANELS, "Shortcuts"}
    missing = {name for name in wanted if not any(name in other for other in reached)}
    assert not missing, sorted(reached)
