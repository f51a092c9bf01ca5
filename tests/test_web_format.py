"""What the editor's own tests compare with is what the engine says now."""

import json
import sys
from pathlib import Path

import pytest

from graphengine import formatting
from graphengine.config import Settings
from graphengine.registry import Manifest

WEB = Path(__file__).parent.parent / "web"
FOLDER = WEB / "src" / "graph" / "fixtures"


def test_the_text_that_the_editor_is_tested_against_is_that_of_the_engine() -> None:
    data = json.loads((FOLDER / "odd.json").read_text(encoding="utf-8"))
    assert formatting.text(data) == (FOLDER / "odd.formatted.json").read_text(encoding="utf-8")


def test_the_node_types_that_the_editor_is_tested_with_are_not_stale(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(WEB))
    sys.modules.pop("fixtures", None)
    from fixtures import fixtures  # type: ignore[import-not-found]

    for name, text in fixtures(Manifest.of(Settings().cache)).items():
        assert (FOLDER / name).read_text(encoding="utf-8") == text, f"run `python web/fixtures.py`: {name}"
