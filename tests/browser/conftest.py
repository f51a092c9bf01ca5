"""A real browser on a real server with a real worker. What is looked at is the editor as it is built."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, Playwright, sync_playwright

from browser.editor import Editor
from browser.serving import ROOT, Server

FLAGS = [
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
]  # fmt: skip
SHOTS = Path(__file__).parent / "shots"


@pytest.fixture(scope="package")
def built() -> Path:
    """The editor, built from its source as it is now."""
    done = subprocess.run([sys.executable, str(ROOT / "web/build.py")], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return ROOT / "web/dist"


@pytest.fixture(scope="package")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The cache of all servers: reading the node types takes seconds."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="package")
def shared(built: Path, cache: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The server that most tests ask."""
    server = Server(tmp_path_factory.mktemp("server"), cache)
    server.start()
    yield server
    server.stop()


@pytest.fixture
def server(shared: Server) -> Server:
    """The shared server, with an empty queue that runs."""
    shared.ask("POST", "/api/queue/resume")
    for job in shared.jobs("queued", "running"):
        shared.ask("POST", f"/api/jobs/{job['id']}/cancel")
    return shared


@pytest.fixture(scope="package")
def playwright() -> Iterator[Playwright]:
    """Playwright's driver. While it is there this thread has an event loop, which other tests do not bear."""
    with sync_playwright() as found:
        yield found


@pytest.fixture(scope="package")
def chromium(playwright: Playwright) -> Iterator[Browser]:
    """Debian's Chromium."""
    names = ("chromium", "chromium-browser", "google-chrome")
    path = next(filter(None, map(shutil.which, names)), None)
    assert path, "the browser tests need Chromium; install it, on Debian: apt-get install chromium"
    browser = playwright.chromium.launch(executable_path=path, args=FLAGS)
    yield browser
    browser.close()


@pytest.fixture
def page(chromium: Browser) -> Iterator[Page]:
    """A window of 1600 x 900, of a person who was never here. A mistake in the page fails the test."""
    yield from window(chromium, 1600, 900)


@pytest.fixture
def phone(chromium: Browser) -> Iterator[Page]:
    """A window as large as a phone's, with touch."""
    yield from window(chromium, 390, 844, touch=True)


def window(chromium: Browser, width: int, height: int, touch: bool = False) -> Iterator[Page]:
    """A window, watched for mistakes of the page's own."""
    context = chromium.new_context(
        viewport={"width": width, "height": height},
        color_scheme="dark",
        has_touch=touch,
        reduced_motion="reduce",
        permissions=["clipboard-read", "clipboard-write"],
    )
    context.set_default_timeout(15_000)
    page = context.new_page()
    mistakes: list[str] = []
    page.on("pageerror", lambda error: mistakes.append(str(error)))
    yield page
    context.close()
    assert mistakes == []


@pytest.fixture
def editor(page: Page, server: Server) -> Editor:
    """The editor, opened by its link."""
    return Editor(page, server).open()
