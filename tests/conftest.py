"""What every test starts from: no network, and no setting of the machine's own."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NoReturn

import pytest
from hypothesis import settings

settings.register_profile("patient", deadline=None)  # how long an example takes is the machine's affair
settings.load_profile("patient")
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["GOMP_SPINCOUNT"] = "10000"  # as a session sets it
for name in [n for n in os.environ if n.startswith("GRAPHENGINE_")]:
    del os.environ[name]
os.environ["GRAPHENGINE_NODES"] = ""  # none of the user's own


@pytest.fixture
def no_network(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Any]]:
    """Every attempt to reach another machine fails, and fails the test even where the error is swallowed."""
    attempts: list[Any] = []

    def deny(*args: Any, **kwargs: Any) -> NoReturn:
        attempts.append(args)
        raise OSError("the network is blocked")

    for method in ("connect", "connect_ex", "sendto"):
        monkeypatch.setattr(socket.socket, method, deny)
    for function in ("getaddrinfo", "gethostbyname", "create_connection"):
        monkeypatch.setattr(socket, function, deny)
    yield attempts
    assert attempts == [], "the network was asked for"


@pytest.fixture
def clock() -> Any:
    """A clock that stands still until a test moves it."""
    from faults.scenes import Clock

    return Clock(1000.0)


@pytest.fixture
def store(tmp_path: Path, clock: Any) -> Iterator[Any]:
    """A store of jobs that goes by that clock."""
    from graphengine.store.store import Store

    with Store(tmp_path / "store", clock=clock) as store:
        yield store


@pytest.fixture(scope="session")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A real server with a worker, for all tests that leave it as they found it; see `served.Served`."""
    from served import serving

    with serving(tmp_path_factory.mktemp("served"), tmp_path_factory.mktemp("served-cache")) as found:
        yield found


@pytest.fixture(scope="session")
def ray_cluster() -> Iterator[None]:
    """A Ray cluster of this machine, for all tests that want one."""
    from graphengine.fleets.cluster import connected

    with connected():
        yield
