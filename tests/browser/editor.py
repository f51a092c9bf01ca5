"""The editor as a person uses it: what there is to press, to type and to see."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from playwright.sync_api import Locator, Page, expect

from browser.serving import Server

MOST = 2000
"""Edits that no test makes."""

ENDED = ("done", "failed", "cancelled")
"""The states of a job in which nothing happens to it any more."""


class Editor:
    """One window with the editor in it."""

    def __init__(self, page: Page, server: Server) -> None:
        self.page, self.server = page, server

    def open(self, path: str = "") -> Editor:
        """Open it by the link that the server printed, and wait until it is there."""
        self.page.goto(self.server.link)
        if path:
            self.page.goto(f"{self.server.url}{path}")
        self.ready()
        return self

    def ready(self) -> None:
        """Wait until the page is connected and has the node types."""
        expect(self.page.get_by_role("button", name="Run", exact=True)).to_be_visible()
        expect(self.page.locator(".banner")).to_have_count(0)

    def template(self, title: str) -> Editor:
        """Open a shipped workflow."""
        panel = self.panel("Templates")
        panel.get_by_role("button", name=title).first.click()
        expect(self.tab()).to_have_text(title)
        if self.page.locator(".side-panel").count():
            self.close_panel()
        return self

    def panel(self, name: str) -> Locator:
        """A side panel, opened."""
        item = self.page.get_by_role("navigation", name="Panels").get_by_role("button", name=name)
        if item.get_attribute("aria-pressed") != "true":
            item.click()
        return self.page.get_by_role("complementary", name=name)

    def about(self) -> Locator:
        """The workflow itself, shown beside the graph."""
        self.page.keyboard.press("Alt+i")
        beside = self.page.get_by_role("complementary", name="Inspector")
        expect(beside).to_be_visible()
        return beside

    def close_panel(self) -> None:
        """Close the side panel."""
        self.page.locator(".side-panel").get_by_role("button", name="Close", exact=True).click()

    def tab(self) -> Locator:
        """The tab that is shown."""
        return self.page.get_by_role("tab", selected=True)

    def tabs(self) -> list[str]:
        """The titles of all tabs."""
        return self.page.get_by_role("tab").all_inner_texts()

    def run(self) -> dict[str, Any]:
        """Press the button and wait for the end; gives the job."""
        before = {job["id"] for job in self.server.jobs()}
        self.page.get_by_role("button", name="Run", exact=True).click()
        return self.ended(before)[0]

    def ended(self, before: set[str], count: int = 1, seconds: float = 90) -> list[dict[str, Any]]:
        """The jobs that were not there before, newest first: when all have ended and the page knows of it."""
        for _ in range(int(seconds * 10)):
            fresh = [job for job in self.server.jobs() if job["id"] not in before]
            if len(fresh) >= count and all(job["state"] in ENDED for job in fresh):
                expect(self.page.get_by_role("button", name="Stop this workflow's runs")).to_have_count(0)
                return [self.server.get(f"/api/jobs/{job['id']}") for job in fresh]
            self.page.wait_for_timeout(100)
        raise AssertionError(
            f"not {count} runs ended in {seconds} s; there are {self.server.jobs()[: count + 2]}"
        )

    def node(self, id: str) -> Locator:
        """A node on the canvas."""
        return self.page.locator(f'.react-flow__node[data-id="{id}"]')

    def socket(self, node: str, socket: str) -> Locator:
        """A socket of a node: `i:` an input, `o:` an output, `p:` and `b:` the two sides of a loop's body."""
        return self.page.locator(f'.react-flow__handle[data-nodeid="{node}"][data-handleid="{socket}"]')

    def wire(self, source: str, target: str) -> None:
        """Drag a wire from a socket, such as `model o:vae`, to another."""
        ends = [self.socket(*end.split(" ", 1)) for end in (source, target)]
        (x1, y1), (x2, y2) = [middle(end) for end in ends]
        mouse = self.page.mouse
        mouse.move(x1, y1)
        mouse.down()
        mouse.move((x1 + x2) / 2, (y1 + y2) / 2, steps=3)
        mouse.move(x2, y2, steps=3)
        mouse.up()

    def add(self, words: str, x: float, y: float) -> str:
        """Double-click there, type, take the first that is found; gives the id of the new node."""
        before = self.ids()
        self.page.mouse.dblclick(x, y)
        return self.choose(words, before)

    def choose(self, words: str, before: set[str]) -> str:
        """Type into the open palette and press Enter; gives the id of the new node."""
        self.palette().fill(words)
        self.page.keyboard.press("Enter")
        expect(self.page.locator(".react-flow__node.selected")).to_have_count(1)
        [id] = self.ids() - before
        return id

    def palette(self) -> Locator:
        """The field of the open palette."""
        return self.page.get_by_role("combobox", name="Search by name")

    def ids(self) -> set[str]:
        """The ids of the nodes that are drawn."""
        found = self.page.locator(".react-flow__node").evaluate_all("nodes => nodes.map(n => n.dataset.id)")
        return set(found)

    def undone(self) -> int:
        """Undo everything; gives how many edits there were."""
        count = 0
        undo = self.page.get_by_role("button", name="Undo", exact=True)
        while undo.is_enabled():
            self.page.keyboard.press("Control+z")
            count += 1
            assert count < MOST, "undo does nothing"
        return count

    def redone(self) -> int:
        """Do everything again that was undone."""
        count = 0
        redo = self.page.get_by_role("button", name="Redo", exact=True)
        while redo.is_enabled():
            self.page.keyboard.press("Control+Shift+z")
            count += 1
            assert count < MOST, "redo does nothing"
        return count

    def menu(self, name: str) -> None:
        """An entry of the file menu."""
        self.page.get_by_role("button", name="File menu").click()
        self.page.get_by_role("menuitem", name=name).click()

    def text(self) -> str:
        """The active workflow as it would be downloaded."""
        with self.page.expect_download() as download:
            self.menu("Download JSON")
        return Path(download.value.path()).read_text()

    def data(self) -> dict[str, Any]:
        """The same as data."""
        found: dict[str, Any] = json.loads(self.text())
        return found

    def drop(
        self, name: str, media: str, content: bytes, on: str = ".work > main", x: float = 0, y: float = 0
    ) -> None:
        """Drop a file on the graph, or on another element, at a place of the window."""
        self.page.evaluate(
            """async ([name, type, url, on, x, y]) => {
              const bytes = await (await fetch(url)).arrayBuffer();
              const transfer = new DataTransfer();
              transfer.items.add(new File([bytes], name, { type }));
              const target = document.querySelector(on);
              for (const kind of ["dragenter", "dragover", "drop"]) {
                const event = { dataTransfer: transfer, bubbles: true, cancelable: true };
                target.dispatchEvent(new DragEvent(kind, { ...event, clientX: x, clientY: y }));
              }
            }""",
            [name, media, self.kept(content), on, x, y],
        )

    def copy_picture(self, content: bytes) -> None:
        """Put a PNG on the clipboard, as another program would."""
        self.page.evaluate(
            """async (url) => {
              const picture = await (await fetch(url)).blob();
              const item = new ClipboardItem({ "image/png": new Blob([picture], { type: "image/png" }) });
              await navigator.clipboard.write([item]);
            }""",
            self.kept(content),
        )

    def kept(self, content: bytes) -> str:
        """A URL under which the page finds these bytes."""
        self.page.unroute_all()
        self.page.route("**/dropped-by-a-test", lambda route: route.fulfill(body=content))
        return f"{self.server.url}/dropped-by-a-test"


def middle(locator: Locator) -> tuple[float, float]:
    """The middle of what is seen of an element."""
    box = locator.bounding_box()
    assert box is not None, f"{locator} is not seen"
    return box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
