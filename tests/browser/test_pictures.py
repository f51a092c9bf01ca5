"""Pictures that a person gives: chosen, pasted, dropped; masks that are painted over them."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path

import pytest
from PIL import Image, ImageChops
from playwright.sync_api import Locator, Page, expect

from browser.editor import Editor, middle
from browser.serving import Server
from browser.test_files import picture
from graphengine.resources import workflows


def png(colour: str, side: int = 40) -> bytes:
    """A small picture in one colour."""
    stream = BytesIO()
    Image.new("RGB", (side, side), colour).save(stream, "PNG")
    return stream.getvalue()


def loads(editor: Editor) -> dict[str, str]:
    """What each node that loads a picture reads."""
    nodes = editor.data()["nodes"]
    return {id: node["inputs"].get("path", "") for id, node in nodes.items() if node["type"] == "image.load"}


def colour_of(server: Server, name: str) -> tuple[int, ...]:
    """The colour of an upload."""
    found = Image.open(BytesIO(picture(server, f"/api/uploads/{name}"))).convert("RGB").getpixel((3, 3))
    assert isinstance(found, tuple)
    return found


@pytest.fixture
def loader(editor: Editor) -> Editor:
    """The editor with one node that loads a picture."""
    editor.page.keyboard.press("Space")
    editor.choose("load image", set())
    return editor


def button(editor: Editor) -> Locator:
    """What is pressed to choose the picture of the node."""
    return editor.node("load").locator(".picture")


def shown(editor: Editor, server: Server, colour: tuple[int, int, int]) -> None:
    """Wait until the node shows its picture; it has this colour, and it can be undone."""
    expect(button(editor).locator("img")).to_be_visible()
    assert button(editor).locator("img").evaluate("image => image.naturalWidth") == 40
    assert colour_of(server, loads(editor)["load"]) == colour
    editor.page.keyboard.press("Control+z")
    expect(button(editor).locator("img")).to_have_count(0)


def test_a_picture_is_chosen(loader: Editor, server: Server):
    with loader.page.expect_file_chooser() as chooser:
        button(loader).click()
    chooser.value.set_files({"name": "my red.png", "mimeType": "image/png", "buffer": png("red")})
    shown(loader, server, (255, 0, 0))


def test_a_picture_is_pasted_into_its_node(loader: Editor, server: Server):
    loader.copy_picture(png("lime"))
    button(loader).focus()
    loader.page.keyboard.press("Control+v")
    shown(loader, server, (0, 255, 0))
    assert loader.ids() == {"load"}


def test_a_picture_is_dropped_on_its_node(loader: Editor, server: Server):
    loader.drop("blue.png", "image/png", png("blue"), '[data-id="load"] .field.image')
    expect(loader.page.locator(".drop-zone")).to_have_count(0)
    shown(loader, server, (0, 0, 255))
    assert loader.ids() == {"load"}


def test_a_picture_that_is_dropped_on_the_graph_gets_a_node_there(editor: Editor, server: Server):
    editor.drop("red.png", "image/png", png("red"), x=700, y=300)
    expect(editor.node("load").locator("img")).to_be_visible()
    box = editor.node("load").bounding_box()
    assert box is not None
    assert (box["x"], box["y"]) == pytest.approx((700, 300), abs=2)
    assert colour_of(server, loads(editor)["load"]) == (255, 0, 0)
    assert editor.undone() >= 1
    assert editor.ids() == set()


def test_a_picture_that_is_pasted_on_the_graph_gets_a_node(editor: Editor, server: Server):
    editor.copy_picture(png("lime"))
    editor.page.mouse.move(600, 400)
    editor.page.keyboard.press("Control+v")
    expect(editor.node("load").locator("img")).to_be_visible()
    assert colour_of(server, loads(editor)["load"]) == (0, 255, 0)


def test_what_is_dropped_and_is_no_picture_is_told(editor: Editor):
    editor.drop("notes.png", "image/png", b"these are notes")
    expect(editor.page.get_by_role("alert")).to_contain_text("was not opened")
    assert editor.ids() == set()


def painter(page: Page) -> Locator:
    """The dialog in which masks are painted."""
    return page.get_by_role("dialog", name="Paint a mask")


def stroke(page: Page, *points: tuple[float, float]) -> None:
    """Paint through these parts of the picture's width and height."""
    box = painter(page).locator("canvas").bounding_box()
    assert box is not None
    spots = [(box["x"] + x * box["width"], box["y"] + y * box["height"]) for x, y in points]
    page.mouse.move(*spots[0])
    page.mouse.down()
    for spot in spots[1:]:
        page.mouse.move(*spot, steps=6)
    page.mouse.up()


def covered(page: Page) -> float:
    """Which part of the mask is selected."""
    found: float = (
        painter(page)
        .locator("canvas")
        .evaluate(
            """canvas => {
          const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
          return data.filter((_, i) => i % 4 === 3 && data[i] > 127).length / (data.length / 4);
        }"""
        )
    )
    return found


def test_a_mask_is_painted_over_the_picture_and_the_run_paints_there(editor: Editor, server: Server):
    page = editor.template("Inpainting").page
    editor.node("mask_picture").get_by_role("button", name="Paint…").click()
    ground = painter(page).locator(".easel img")
    expect(ground).to_have_attribute("src", "/api/uploads/assets%2Fhouse.png")
    expect(painter(page).locator("canvas")).to_have_js_property("width", 128)
    with Image.open(workflows() / "assets/house_mask.png") as before:
        light = before.convert("L").resize((128, 128)).point(lambda value: 255 * (value > 127))
        assert covered(page) == pytest.approx(light.histogram()[255] / 128**2, abs=0.01)
    painter(page).get_by_role("button", name="Clear").click()
    assert covered(page) == 0
    painter(page).get_by_label("Size").fill("20")
    stroke(page, (0.15, 0.2), (0.85, 0.2))
    stroke(page, (0.2, 0.8), (0.8, 0.8))
    both = covered(page)
    assert both == pytest.approx(2 * 0.7 * 0.2, abs=0.08)
    page.keyboard.press("Control+z")
    assert covered(page) == pytest.approx(both / 2, abs=0.03)
    painter(page).get_by_role("button", name="Redo").click()
    assert covered(page) == both
    page.keyboard.press("Control+z")
    painter(page).get_by_role("button", name="Use this mask").click()
    expect(painter(page)).to_have_count(0)
    expect(editor.node("mask_picture").locator("img")).to_be_visible()
    address = "/api/uploads/" + loads(editor)["mask_picture"]
    expect(editor.node("mask_picture").locator("img")).to_have_attribute("src", address)

    job = editor.run()
    assert job["state"] == "done", job
    made = Image.open(BytesIO(picture(server, job["outputs"][0]["url"]))).convert("RGB")
    with Image.open(workflows() / "assets/house.png") as house:
        changed = (
            ImageChops.difference(made, house.convert("RGB"))
            .convert("L")
            .point(lambda value: 255 * (value > 8))
        )
    box = changed.getbbox()
    assert box is not None
    assert box[1] >= 128 * 0.2 - 15
    assert box[3] <= 128 * 0.2 + 15
    assert box[2] - box[0] > 60


def test_another_picture_can_lie_under_the_mask(editor: Editor, tmp_path: Path):
    page = editor.template("Inpainting").page
    editor.node("mask_picture").get_by_role("button", name="Paint…").click()
    grounds = painter(page).get_by_role("group", name="Paint over")
    expect(grounds.get_by_role("button", name="The picture of picture")).to_have_attribute(
        "aria-pressed", "true"
    )
    grounds.get_by_role("button", name="Nothing").click()
    expect(painter(page).locator(".easel img")).to_have_count(0)
    (tmp_path / "sky.png").write_bytes(png("skyblue"))
    grounds.get_by_label("Another picture…").set_input_files(tmp_path / "sky.png")
    expect(grounds.get_by_role("button", name="sky.png")).to_have_attribute("aria-pressed", "true")
    expect(painter(page).locator(".easel img")).to_have_js_property("naturalWidth", 40)
    assert painter(page).locator("canvas").evaluate("canvas => canvas.width") == 128  # the workflow's picture
    page.keyboard.press("Escape")
    expect(painter(page)).to_have_count(0)
    assert loads(editor)["mask_picture"] == "assets/house_mask.png"


def test_a_mask_is_painted_with_a_finger(phone: Page, server: Server):
    editor = Editor(phone, server).open().template("Inpainting")
    phone.get_by_role("button", name="Paint…").click()
    expect(painter(phone).locator("canvas")).to_have_js_property("width", 128)
    painter(phone).get_by_role("button", name="Clear").click()
    x, y = middle(painter(phone).locator("canvas"))
    phone.touchscreen.tap(x, y)
    assert 0 < covered(phone) < 0.1
    assert phone.evaluate("document.querySelector('.painter').scrollWidth <= innerWidth")
    painter(phone).get_by_role("button", name="Use this mask").click()
    expect(painter(phone)).to_have_count(0)
    assert editor.data()["nodes"]["mask_picture"]["inputs"]["path"].startswith("mask-")
