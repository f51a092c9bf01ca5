"""Fixtures: the plug-in of pytest that comes with GraphEngine; `graphengine.testing` says what each does.

* `session`: a Session with a cache and a folder of outputs of the test's own, on the CPU.
* `ctx`: a Recorder, to be given to a node as its Context.
* `run_node`, `assert_pure`, `run_workflow`: with nodes by their functions or ids, in that session.
* `assert_images_close`.

A fixture of the same name in the tests goes before. Nothing slow is imported before a test asks for one.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from graphengine.registry import Manifest
    from graphengine.session import Session
    from graphengine.testing import Kit, Recorder


@pytest.fixture(scope="session")
def graphengine_manifest() -> Manifest:
    """The node types of this environment, from the user's cache; loading all packs would take seconds."""
    from graphengine.config import Settings
    from graphengine.registry import Manifest

    settings = Settings.read()
    return Manifest.of(settings.cache, settings.nodes, settings.environments)


@pytest.fixture
def session(tmp_path: Path, graphengine_manifest: Manifest) -> Session:
    """A session that keeps and saves everything in the test's folder."""
    from graphengine.config import Settings
    from graphengine.packs import reachable
    from graphengine.session import Session

    found = Session(Settings.read(cache=tmp_path / "cache", outputs=tmp_path / "outputs", device="cpu"))
    found.manifest = graphengine_manifest
    reachable(graphengine_manifest.packs)
    return found


@pytest.fixture
def graphengine_kit(session: Session, tmp_path: Path) -> Kit:
    """The functions of `graphengine.testing` for that session."""
    from graphengine.testing import Kit

    return Kit(session, tmp_path)


@pytest.fixture
def ctx(tmp_path: Path) -> Recorder:
    """A Context that notes what a node asks of it."""
    from graphengine.testing import Recorder

    return Recorder(tmp_path)


@pytest.fixture
def run_node(graphengine_kit: Kit) -> Callable[..., Any]:
    """What a node gives for some inputs."""
    return graphengine_kit.run_node


@pytest.fixture
def assert_pure(graphengine_kit: Kit) -> Callable[..., Any]:
    """What a node gives for some inputs, once it is known that it may be kept."""
    return graphengine_kit.assert_pure


@pytest.fixture
def run_workflow(graphengine_kit: Kit) -> Callable[..., Any]:
    """The outputs of a workflow."""
    return graphengine_kit.run_workflow


@pytest.fixture
def assert_images_close() -> Callable[..., None]:
    """Compare two pictures, or one with a file."""
    from graphengine import testing

    return testing.assert_images_close
