"""The fixture that blocks the network does so, and tells."""

from __future__ import annotations

import socket
import urllib.request
from typing import Any

import pytest


@pytest.mark.parametrize("address", ["http://huggingface.co", "http://127.0.0.1:9"])
def test_no_connection_is_made_and_the_attempt_is_known(no_network: list[Any], address: str) -> None:
    with pytest.raises(OSError, match="the network is blocked"):
        urllib.request.urlopen(address, timeout=1)
    assert no_network
    no_network.clear()  # this one was meant


def test_a_socket_of_ones_own_is_blocked_too(no_network: list[Any]) -> None:
    with socket.socket() as own, pytest.raises(OSError, match="the network is blocked"):
        own.connect(("127.0.0.1", 9))
    assert len(no_network) == 1
    no_network.clear()
