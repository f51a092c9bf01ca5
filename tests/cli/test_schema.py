"""`graphengine schema`"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

from graphengine.schema import schema


def test_the_schema_is_printed_with_the_installed_types(graphengine, sum_file: str, tmp_path: Path) -> None:
    done = graphengine("schema")
    assert (done.status, done.err) == (0, "")
    found = json.loads(done.out)
    assert {"number.add", "flow.fold", "diffusion.predict"} <= found["$defs"].keys()
    validator = Draft202012Validator(found)
    data = json.loads((tmp_path / sum_file).read_text())
    assert validator.is_valid(data)
    data["nodes"]["one"]["inputs"]["first"] = "x"
    assert not validator.is_valid(data)


def test_the_bare_schema_has_the_format_alone(graphengine) -> None:
    done = graphengine("schema", "--bare")
    assert (done.status, json.loads(done.out)) == (0, schema())


@pytest.mark.parametrize(
    "words", [["schema"], ["schema", "--bare"], ["format", "--check", "workflows/variations.json"],
              ["diff", "variations", "workflows/variations.json"]], ids=" ".join
)  # fmt: skip
def test_the_commands_about_files_import_no_torch(cache: Path, words: list[str]) -> None:
    program = (
        f"import sys; sys.argv = ['graphengine', *{words!r}]\n"
        "from graphengine.cli import main\n"
        "try: main()\n"
        "except SystemExit as end: assert not end.code, end.code\n"
        "loaded = {'torch', 'aiohttp', 'diffusers', 'transformers', 'networkx'} & sys.modules.keys()\n"
        "assert not loaded, loaded\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=Path(__file__).parents[2],
        env=os.environ | {"GRAPHENGINE_CACHE": str(cache)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
