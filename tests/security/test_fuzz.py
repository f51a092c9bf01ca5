"""The short form of `fuzz.py`, which says what it looks for."""

from __future__ import annotations

import importlib.util
from pathlib import Path

spec = importlib.util.spec_from_file_location("fuzz", Path(__file__).with_name("fuzz.py"))
assert spec is not None
assert spec.loader is not None
fuzz = importlib.util.module_from_spec(spec)
spec.loader.exec_module(fuzz)


def test_no_request_is_an_error_of_the_server_and_none_hangs(live):
    run = fuzz.Fuzz(live, 1)
    run.run(300)
    assert run.statuses[200] + run.statuses[201] > 30
    assert run.statuses[422] > 30
    assert run.statuses[404] > 5
