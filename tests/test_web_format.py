"""The editor writes files as `graphengine format` does; its own tests read these two files too."""

import json
from pathlib import Path

from graphengine import formatting

FOLDER = Path(__file__).parent.parent / "web" / "src" / "graph" / "fixtures"


def test_the_text_that_the_editor_is_tested_against_is_that_of_the_engine() -> None:
    data = json.loads((FOLDER / "odd.json").read_text(encoding="utf-8"))
    assert formatting.text(data) == (FOLDER / "odd.formatted.json").read_text(encoding="utf-8")
