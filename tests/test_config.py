"""Settings: defaults, the environment, and what goes before what."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from graphengine.config import Settings
from graphengine.errors import GraphEngineError


def test_every_setting_says_what_it_is():
    assert all(field.description for field in Settings.model_fields.values())


def test_the_environment_goes_before_the_default_and_an_argument_before_both(monkeypatch):
    assert Settings.read().outputs == Path("outputs")
    monkeypatch.setenv("GRAPHENGINE_OUTPUTS", "here")
    assert Settings.read().outputs == Path("here")
    assert Settings.read(outputs="there").outputs == Path("there")
    assert Settings.read(outputs=None).outputs == Path("here")


def test_model_folders_are_separated_as_in_path_and_may_be_at_home(monkeypatch):
    monkeypatch.setenv("GRAPHENGINE_MODELS", os.pathsep.join(["~/models", "/data/models"]))
    assert Settings.read().models == (Path.home() / "models", Path("/data/models"))


@pytest.mark.parametrize(
    ("text", "size"), [("0", 0), ("2GB", 2 * 10**9), ("512MiB", 512 << 20), ("1000", 1000)]
)
def test_sizes_may_have_units(monkeypatch, text, size):
    monkeypatch.setenv("GRAPHENGINE_DISK_CACHE", text)
    assert Settings.read().disk_cache == size


@pytest.mark.parametrize("device", ["auto", "cpu", "mps", "cuda", "cuda:1"])
def test_devices_go_by_the_names_of_torch(device):
    assert Settings.read(device=device).device == device


@pytest.mark.parametrize(
    ("name", "value"),
    [("disk_cache", "lots"), ("memory_cache", "-1"), ("device", "gpu"), ("device", "cuda:x")],
)
def test_what_cannot_be_used_is_told_with_the_name_that_the_user_wrote(monkeypatch, name, value):
    with pytest.raises(GraphEngineError, match=f"^{name}: '{value}' cannot be used"):
        Settings.read(**{name: value})
    monkeypatch.setenv(f"GRAPHENGINE_{name.upper()}", value)
    with pytest.raises(GraphEngineError, match=f"^GRAPHENGINE_{name.upper()}: '{value}' cannot be used"):
        Settings.read()
