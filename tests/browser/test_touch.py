"""The graph under fingers: panned, zoomed, rearranged, wired."""

from __future__ import annotations

import json

import pytest
from playwright.sync_api import Locator, Page, expect

from browser.editor import Editor, middle
from browser.serving import Server

Point = tuple[float, float]
FLOW = {
    "format": 1,
    "name": "Two",
    "nodes": {
        "solid": {"type": "image.solid", "inputs": {"width": 32, "height": 32}},
        "size": {"type": "image.size", "inputs": {}},
    },
    "layout": {"solid": {"at": [0, 0]}, "size": {"at": [60, 320]}},
}


class Hand:
    """Fingers on the screen."""

    def __init__(self, page: Page) -> None:
        self.page, self.session = page, page.context.new_cdp_session(page)

    def touch(self, kind: str, *points: Point) -> None:
        """Say where all fingers are."""
        fingers = [{"x": x, "y": y, "id": i} for i, (x, y) in enumerate(points)]
        self.session.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": fingers})

    def drag(self, *paths: tuple[Point, Point], steps: int = 8) -> None:
        """Move one finger or several, each from a point to another."""
        self.touch("touchStart", *(start for start, _ in paths))
        for i in range(1, steps + 1):
            part = i / steps
            self.touch("touchMove", *(
                (a[0] + (b[0] - a[0]) * part, a[1] + (b[1] - a[1]) * part) for a, b in paths
            ))  # fmt: skip
            self.page.wait_for_timeout(16)
        self.touch("touchEnd")

    def press(self, x: float, y: float) -> None:
        """Press and stay."""
        self.touch("touchStart", (x, y))
        self.page.wait_for_timeout(700)
        self.touch("touchEnd")


@pytest.fixture
def editor(phone: Page, server: Server) -> Editor:
    """The editor on a phone, with two nodes of which one could read the other."""
    editor = Editor(phone, server).open()
    editor.drop("two.json", "application/json", json.dumps(FLOW).encode())
    expect(editor.node("size")).to_be_visible()
    return editor


@pytest.fixture
def hand(phone: Page) -> Hand:
    """The hand that holds no phone."""
    return Hand(phone)


def corner(node: Locator) -> Point:
    """Where a node is on the screen."""
    box = node.bounding_box()
    assert box is not None
    return box["x"], box["y"]


def zoom(page: Page) -> int:
    """How large the graph is drawn, in percent."""
    return int(page.locator(".zoombar .amount").inner_text().rstrip("%"))


def test_a_finger_moves_the_graph(editor: Editor, hand: Hand):
    x, y = corner(editor.node("solid"))
    hand.drag(((40, 600), (90, 520)))
    assert corner(editor.node("solid")) == pytest.approx((x + 50, y - 80), abs=3)
    assert editor.undone() == 0


def test_two_fingers_make_it_larger_and_buttons_too(editor: Editor, hand: Hand):
    before = zoom(editor.page)
    hand.drag(((180, 560), (100, 500)), ((220, 590), (320, 660)))
    larger = zoom(editor.page)
    assert larger > before * 1.5
    hand.drag(((100, 500), (180, 560)), ((320, 660), (220, 590)))
    assert zoom(editor.page) < larger
    editor.page.get_by_role("button", name="Show all").tap()
    assert zoom(editor.page) == before
    editor.page.get_by_role("button", name="Zoom out").tap()
    editor.page.wait_for_timeout(300)
    assert zoom(editor.page) < before
    assert editor.undone() == 0


def test_a_finger_moves_a_node(editor: Editor, hand: Hand):
    x, y = middle(editor.node("size").locator(".title"))
    at = corner(editor.node("size"))
    hand.drag(((x, y), (x + 30, y + 90)), steps=30)
    assert corner(editor.node("size")) == pytest.approx((at[0] + 30, at[1] + 90), abs=20)
    assert editor.undone() == 1


def test_a_finger_draws_a_wire(editor: Editor, hand: Hand):
    hand.drag((middle(editor.socket("solid", "o:image")), middle(editor.socket("size", "i:image"))))
    assert editor.data()["nodes"]["size"]["inputs"]["image"] == {"link": "solid.image"}


def test_two_taps_draw_a_wire(editor: Editor):
    editor.page.touchscreen.tap(*middle(editor.socket("solid", "o:image")))
    editor.page.touchscreen.tap(*middle(editor.socket("size", "i:image")))
    assert editor.data()["nodes"]["size"]["inputs"]["image"] == {"link": "solid.image"}


def test_a_wire_that_is_dropped_in_the_void_offers_what_fits(editor: Editor, hand: Hand):
    hand.drag((middle(editor.socket("solid", "o:image")), (300, 640)))
    palette = editor.page.get_by_role("listbox")
    expect(palette).to_be_visible()
    editor.page.wait_for_timeout(400)  # what follows a touch at once is no tap for Chromium
    palette.get_by_role("option", name="Resize").first.tap()
    expect(editor.node("resize")).to_be_visible()
    assert editor.data()["nodes"]["resize"]["inputs"]["image"] == {"link": "solid.image"}


def test_a_button_adds_a_node(editor: Editor):
    page = editor.page
    page.get_by_role("button", name="Add a node…").tap()
    box = page.locator(".palette").bounding_box()
    assert box is not None
    assert box["x"] >= 0
    assert box["x"] + box["width"] <= 390
    editor.palette().fill("blur")
    page.get_by_role("option").first.tap()
    expect(editor.node("blur")).to_be_visible()
    assert "blur" in editor.data()["nodes"]


def test_a_long_press_opens_the_menu_of_what_is_under_it(editor: Editor, hand: Hand):
    page = editor.page
    hand.press(60, 620)
    page.get_by_role("menuitem", name="Add a node…").tap()
    expect(editor.palette()).to_be_visible()
    page.keyboard.press("Escape")
    hand.press(*middle(editor.node("size").locator(".title")))
    page.get_by_role("menuitem", name="Delete").tap()
    assert list(editor.data()["nodes"]) == ["solid"]
    page.get_by_role("button", name="Undo", exact=True).tap()
    expect(editor.node("size")).to_be_visible()


def test_a_finger_that_moves_on_does_not_press(editor: Editor, hand: Hand):
    hand.drag(((60, 620), (120, 560)), steps=50)
    expect(editor.page.get_by_role("menu")).to_have_count(0)
