"""The parity table, shown after the tests that fill it."""

from __future__ import annotations

import pytest
from nodes.parity import table


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """One line for each comparison with a reference that was made."""
    if lines := table():
        terminalreporter.section("parity: largest difference, relative to the largest value")
        for line in lines:
            terminalreporter.line(line)
