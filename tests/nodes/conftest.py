"""What the tests of nodes share: tiny models, built once, and the parity table after the tests."""

from __future__ import annotations

import pytest
from nodes.parity import table
from nodes.tinymodels import Gallery


@pytest.fixture(scope="session")
def gallery(tmp_path_factory: pytest.TempPathFactory) -> Gallery:
    """The tiny models of every family."""
    return Gallery(tmp_path_factory.mktemp("gallery"))


@pytest.fixture
def most_likely_latents(monkeypatch: pytest.MonkeyPatch) -> None:
    """diffusers draws from the autoencoder's posterior; we take its mean, and so does it here."""
    from diffusers.models.autoencoders.vae import DiagonalGaussianDistribution

    monkeypatch.setattr(DiagonalGaussianDistribution, "sample", lambda self, generator=None: self.mode())


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """One line for each comparison with a reference that was made."""
    if lines := table():
        terminalreporter.section("parity: largest difference, relative to the largest value")
        for line in lines:
            terminalreporter.line(line)
