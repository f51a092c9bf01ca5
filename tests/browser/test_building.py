"""text_to_image is built from an empty canvas and run: with the mouse, and with the keyboard alone."""

from __future__ import annotations

import re
from typing import Any

from playwright.sync_api import expect

from browser.editor import Editor

WIRES = (
    ("load_model.text_encoder", "encode_text.encoder"),
    ("load_model.text_encoder", "encode_text_2.encoder"),
    ("load_model.denoiser", "schedule.denoiser"),
    ("load_model.denoiser", "noise.denoiser"),
    ("load_model.vae", "vae_decode.vae"),
    ("schedule.schedule", "noise.schedule"),
    ("noise.latent", "fold.start"),
    ("schedule.timesteps", "fold.over"),
    ("load_model.denoiser", "predict.denoiser"),
    ("load_model.denoiser", "predict_2.denoiser"),
    ("value", "predict.latent"),
    ("value", "predict_2.latent"),
    ("item", "predict.timestep"),
    ("item", "predict_2.timestep"),
    ("encode_text.conditioning", "predict.conditioning"),
    ("encode_text_2.conditioning", "predict_2.conditioning"),
    ("predict.prediction", "cfg.cond"),
    ("predict_2.prediction", "cfg.uncond"),
    ("value", "solver_step.latent"),
    ("item", "solver_step.timestep"),
    ("cfg.prediction", "solver_step.prediction"),
    ("fold.result", "vae_decode.latent"),
    ("vae_decode.image", "save.image"),
)
"""The wires of the workflow, but for the one that leaves the body."""


def links(data: dict[str, Any]) -> set[tuple[str, str]]:
    """All links of a file, in bodies too."""
    found = set()
    stack = [data["nodes"]]
    while stack:
        for id, node in stack.pop().items():
            for name, value in node["inputs"].items():
                if isinstance(value, dict) and "link" in value:
                    found.add((value["link"], f"{id}.{name}"))
                if isinstance(value, dict) and "graph" in value:
                    stack.append(value["graph"]["nodes"])
    return found


OUTSIDE = {
    "load model": (0.02, 0.4),
    "encode text": (0.16, 0.55),
    "encode text ": (0.16, 0.78),
    "diffusion.schedule": (0.16, 0.05),
    "diffusion.noise": (0.3, 0.05),
    "vae decode": (0.45, 0.05),
    "image.save": (0.6, 0.05),
    "fold": (0.3, 0.35),
}
"""What is typed for each node outside of the loop, and where on the canvas it goes."""
INSIDE = ("diffusion.predict", "diffusion.predict ", "diffusion.cfg", "solver step")


def socket(end: str, target: bool) -> str:
    """The end of a wire as the canvas names it."""
    node, _, name = end.partition(".")
    return f"{node} {'i' if target else 'o'}:{name}" if name else f"fold p:body:{node}"


def check(editor: Editor) -> None:
    """The graph that was built is the one that was meant; it runs, and there is a picture."""
    data = editor.data()
    assert links(data) == set(WIRES)
    assert [*data["nodes"]["fold"]["inputs"]["body"]["graph"]["outputs"].values()] == ["solver_step.latent"]
    page = editor.page
    expect(
        page.get_by_role("navigation", name="Panels").get_by_role("button", name="Problems, ")
    ).to_have_count(0)
    expect(page.locator(".top-bar")).to_contain_text("to run")


def test_with_mouse_and_keyboard(editor: Editor):
    page = editor.page
    for _ in range(4):
        page.get_by_role("button", name="Zoom out").click()
    stage = page.locator("main.graph").bounding_box()
    assert stage is not None
    for words, (x, y) in OUTSIDE.items():
        editor.add(words, stage["x"] + x * stage["width"], stage["y"] + y * stage["height"])
    for words in INSIDE:
        page.keyboard.press("0")
        body = page.locator(".body").bounding_box()
        assert body is not None
        editor.add(words, body["x"] + body["width"] - 40, body["y"] + body["height"] - 5)
    page.keyboard.press("0")
    for id in ("predict", "predict_2"):
        editor.node(id).get_by_role("button", name="more inputs").click()
    for source, target in WIRES:
        editor.wire(socket(source, False), socket(target, True))
    editor.wire("solver_step o:latent", "fold b:body:")
    editor.node("encode_text").get_by_label("text", exact=True).fill("a yellow boat on the sea")
    check(editor)
    job = editor.run()
    assert job["state"] == "done"
    assert [output["media"] for output in job["outputs"]] == ["image/png"]
    expect(editor.node("save").locator("img")).to_be_visible()


def test_with_the_keyboard_alone(editor: Editor):
    page = editor.page
    key = page.keyboard
    found = []

    def add(words: str) -> None:
        key.press("Space")
        expect(editor.palette()).to_be_focused()
        key.type(words)
        key.press("Enter")
        found.append(words)
        expect(page.locator(".react-flow__node.selected")).to_have_count(1)

    def find(id: str) -> None:
        key.press("Control+f")
        expect(editor.palette()).to_be_focused()
        key.type(id)
        key.press("Enter")
        expect(editor.node(id)).to_have_class(re.compile(r"\bselected\b"))

    for words in OUTSIDE:
        add(words.strip())
    for words in INSIDE:
        find("fold")
        add(words.strip())
    for source, target in (*WIRES, ("solver_step.latent", "fold.body result")):
        node, _, name = target.partition(".")
        find(node)
        key.press("c")
        expect(editor.palette()).to_be_focused()
        key.type(f"{name} ← {source}")
        key.press("Enter")
    find("encode_text")
    for _ in range(60):
        key.press("Tab")
        if (
            page.evaluate(
                "document.activeElement?.closest('[data-id=encode_text]') && document.activeElement.tagName"
            )
            == "TEXTAREA"
        ):
            break
    key.type("a yellow boat on the sea")
    check(editor)
    before = {job["id"] for job in editor.server.jobs()}
    key.press("Control+Enter")
    [job] = editor.ended(before)
    assert job["state"] == "done"
    assert job["workflow"]["nodes"]["encode_text"]["inputs"]["text"] == "a yellow boat on the sea"
    find("save")
    expect(editor.node("save").locator("img")).to_be_visible()
