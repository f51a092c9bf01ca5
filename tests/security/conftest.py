"""A server for all tests of this folder."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from listening import Live


@pytest.fixture(scope="session")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    """A server with small limits."""
    with Live(tmp_path_factory.mktemp("live")) as live:
        yield live
