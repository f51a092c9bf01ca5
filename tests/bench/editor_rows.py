"""Rows of the editor: what 1,000 nodes cost in Chromium, and how much is loaded first."""

from __future__ import annotations

import gzip
import json
import re
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, CDPSession, Page, sync_playwright

from graphengine.config import Settings
from graphengine.registry import Manifest

DIST = Path(__file__).parent.parent.parent / "web" / "dist"
FLAGS = """--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking
--disable-component-update --disable-sync""".split()
CHROMIUM = "/usr/bin/chromium"
COUNT = 1_000
FRAMES = 60
TIMES = 3
"""How often the file is opened; the fastest counts, because others use the machine too."""
COLUMNS = 40
STEP = (300, 230)


def rows() -> Iterator[tuple[str, str, str]]:
    """First load, then time on the main thread: opening 1,000 nodes, and a frame of panning near and far."""
    if not (DIST / "index.html").is_file():
        raise RuntimeError(f"{DIST} is not there; build the editor: cd web && npm ci && npm run build")
    yield "editor: first load, gzipped", f"{first_load() / 1000:.0f} KB", "<= 200 KB"
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=str(DIST)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        with sync_playwright() as browser:
            chromium = browser.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
            pages = [opened(chromium, f"http://127.0.0.1:{server.server_port}/") for _ in range(TIMES)]
            fastest = min(seconds for _, _, seconds in pages)
            yield f"editor: {COUNT:,} nodes, CPU to interactive", f"{fastest:.2f} s", "<= 0.35 s"
            yield from moved(*pages[-1][:2])
            chromium.close()
    finally:
        server.shutdown()


def opened(chromium: Browser, url: str) -> tuple[Page, CDPSession, float]:
    """A page on which the large file was dropped, with the seconds of work until it can be used."""
    page = chromium.new_page(viewport={"width": 1600, "height": 900})
    session = page.context.new_cdp_session(page)
    session.send("Performance.enable", {"timeDomain": "threadTicks"})  # time worked, not time waited
    page.goto(url)
    page.locator(".blank").wait_for()
    page.wait_for_timeout(2500)  # what is fetched later is there
    page.evaluate("name => fetch(name).then(r => r.text()).then(t => { window.text = t })", "/big.json")
    before = busy(session)
    page.evaluate(DROP)
    return page, session, busy(session) - before


def moved(page: Page, session: CDPSession) -> Iterator[tuple[str, str, str]]:
    """The rows of a page with many nodes: some of them at full size, panned; then all of them."""
    before = busy(session)
    page.keyboard.press("1")
    page.wait_for_timeout(1000)
    closer = busy(session) - before
    near = page.locator(".react-flow__node").count()
    yield f"editor: from all to {near} at full size", f"{closer:.2f} s", "<= 0.35 s"
    yield f"editor: a pan frame among {COUNT:,} ({near} in view)", f"{pan(page, session):.1f} ms", "<= 13 ms"
    page.keyboard.press("0")
    page.wait_for_timeout(500)
    far = page.locator(".react-flow__node").count()
    yield f"editor: the same with all {COUNT:,} in view", f"{pan(page, session):.1f} ms", "<= 30 ms"
    if not 0 < near < COUNT or far:
        raise RuntimeError(f"{near} and {far} nodes were drawn: these rows measure something else")


def busy(session: CDPSession) -> float:
    """Seconds that the main thread has worked."""
    metrics = session.send("Performance.getMetrics")["metrics"]
    return next(float(m["value"]) for m in metrics if m["name"] == "TaskDuration")


def pan(page: Page, session: CDPSession) -> float:
    """Milliseconds on the main thread for each frame of a drag over the empty canvas."""
    page.evaluate(PANE)
    before = busy(session)
    page.evaluate(PAN, FRAMES)
    return 1000 * (busy(session) - before) / FRAMES


PANE = "() => { window.pane = document.querySelector('.react-flow__pane') }"
PAN = """frames => new Promise(done => {
  const at = (type, x, y) => {
    const target = type === 'mousedown' ? window.pane : window;
    const where = {clientX: x, clientY: y, button: 0, buttons: 1};
    target.dispatchEvent(new MouseEvent(type, {bubbles: true, view: window, ...where}));
  };
  at('mousedown', 800, 450);
  let i = 0;
  const step = () => {
    i += 1;
    at('mousemove', 800 - i * 8, 450 - i * 3);
    if (i < frames) requestAnimationFrame(step);
    else { at('mouseup', 800 - i * 8, 450 - i * 3); requestAnimationFrame(done) }
  };
  requestAnimationFrame(step);
})"""
"""A drag of the canvas, one move a frame."""
DROP = """() => new Promise(done => {
  const data = new DataTransfer();
  data.items.add(new File([window.text], 'big.json', {type: 'application/json'}));
  const on = document.querySelector('.react-flow');
  for (const type of ['dragenter', 'dragover', 'drop'])
    on.dispatchEvent(new DragEvent(type, {bubbles: true, cancelable: true, dataTransfer: data}));
  const look = () => {
    if (!document.querySelector('.overview')) requestAnimationFrame(look);
    else requestAnimationFrame(() => requestAnimationFrame(() => setTimeout(done)));
  };
  requestAnimationFrame(look);
})"""
"""The file is dropped on the page, as a person does it; done once it is drawn and the next frame has come."""


def first_load() -> int:
    """Bytes of the page and of what it names, gzipped."""
    page = (DIST / "index.html").read_bytes()
    files = [DIST / name for name in re.findall(r'(?:src|href)="/(assets/[^"]+)"', page.decode())]
    return sum(len(gzip.compress(data)) for data in (page, *(file.read_bytes() for file in files)))


def big() -> dict[str, Any]:
    """Rows of nodes, each fed by the one at its left."""
    nodes: dict[str, Any] = {}
    layout: dict[str, Any] = {}
    for i in range(COUNT):
        column, row = i % COLUMNS, i // COLUMNS
        if column == 0:
            nodes[f"n{i}"] = {
                "type": "image.solid",
                "inputs": {"width": 64, "height": 64, "colour": "#808080"},
            }
        elif column % 3:
            nodes[f"n{i}"] = {
                "type": "image.blur",
                "inputs": {"image": {"link": f"n{i - 1}.image"}, "radius": 1.0},
            }
        else:
            inputs = {"image": {"link": f"n{i - 1}.image"}, "brightness": 1.0, "contrast": 1.0}
            nodes[f"n{i}"] = {"type": "image.adjust", "inputs": inputs}
        layout[f"n{i}"] = {"at": [column * STEP[0], row * STEP[1]]}
    return {"format": 1, "name": "Big", "nodes": nodes, "layout": layout}


class Handler(SimpleHTTPRequestHandler):
    """The built page, the node types and the large file; everything else is not there."""

    def do_GET(self) -> None:
        """One file."""
        if self.path == "/big.json":
            self.json(big())
        elif self.path == "/api/nodes":
            manifest = Manifest.of(Settings().cache)
            wires = [{"name": w.name, "colour": w.colour, "doc": w.doc} for w in manifest.wires.values()]
            types = [t.to_json() for t in manifest.types.values()]
            self.json({"types": types, "wires": wires, "converters": [], "packs": [], "problems": []})
        elif self.path.startswith("/api/"):
            self.send_error(503)
        else:
            super().do_GET()

    def json(self, data: Any) -> None:
        """Answer with JSON."""
        body = json.dumps(data).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing is told."""
