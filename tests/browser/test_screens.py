"""Every screen, drawn in a large window and on a phone; the pictures lie in `shots/`, to be looked at."""

from __future__ import annotations

import pytest
from PIL import Image
from playwright.sync_api import Page, expect

from browser.conftest import SHOTS
from browser.editor import Editor
from browser.serving import ROOT, Server

PICTURES = ROOT / "web/pictures"
"""The pictures of the README: `make pictures` copies them there."""
PANELS = ("Templates", "Queue", "Gallery", "Problems", "Models", "Settings")


def shoot(page: Page, name: str) -> None:
    """Save what is seen, when all pictures are there and nothing moves any more."""
    for _ in range(100):
        page.wait_for_timeout(100)
        if page.evaluate("[...document.images].every(image => image.complete)"):
            break
    page.wait_for_timeout(300)
    SHOTS.mkdir(exist_ok=True)
    page.screenshot(path=SHOTS / f"{name}.png", animations="disabled")
    assert (SHOTS / f"{name}.png").stat().st_size > 5000


@pytest.fixture
def used(server: Server) -> Server:
    """A server with some runs behind it and some in its queue."""
    if not server.jobs("done"):
        for seed in (3, 5, 8):
            inputs = {"seed": seed, "steps": 8, "prompt": "a red house beside a pine tree at night"}
            server.ask("POST", "/api/jobs", {"workflow": "text_to_image", "inputs": inputs})
        server.ask("POST", "/api/jobs", {"workflow": "variations", "inputs": {}})
        server.idle()
    return server


@pytest.mark.parametrize("theme", ["dark", "light"])
def test_every_panel(page: Page, used: Server, theme: str):
    page.emulate_media(color_scheme=theme)
    editor = Editor(page, used).open().template("Text to image")
    shoot(page, f"{theme}-graph")
    for name in PANELS:
        editor.panel(name)
        shoot(page, f"{theme}-{name.lower()}")
    editor.close_panel()
    page.get_by_role("button", name="Form", exact=True).click()
    shoot(page, f"{theme}-form")
    page.keyboard.press("?")
    expect(page.get_by_role("dialog", name="Shortcuts")).to_be_visible()
    shoot(page, f"{theme}-shortcuts")


def test_every_screen_of_a_phone(phone: Page, used: Server):
    editor = Editor(phone, used).open()
    for name in ("Templates", "Queue", "Gallery", "Problems", "Settings"):
        editor.panel(name)
        shoot(phone, f"phone-{name.lower()}")
    editor.template("Text to image")
    expect(phone.get_by_role("main", name="Form")).to_be_visible()
    shoot(phone, "phone-form")
    phone.get_by_role("navigation", name="Panels").get_by_role("button", name="Graph").click()
    shoot(phone, "phone-graph")


def test_the_pictures_of_the_readme(page: Page, phone: Page, used: Server):
    editor = Editor(page, used).open().template("Text to image")
    assert editor.run()["state"] == "done"
    expect(editor.node("save").locator("img")).to_be_visible()
    page.keyboard.press("0")
    page.evaluate("document.activeElement.blur()")
    shoot(page, "readme-graph")
    page.get_by_role("button", name="Form", exact=True).click()
    shoot(page, "readme-form")
    editor = Editor(phone, used).open()
    editor.template("Text to image")
    editor.run()
    shoot(phone, "readme-phone")
    for name in ("graph", "form", "phone"):
        kept, fresh = PICTURES / f"{name}.webp", SHOTS / f"readme-{name}.png"
        assert kept.stat().st_size <= 300_000
        with Image.open(kept) as old, Image.open(fresh) as new:
            assert old.size == new.size
