"""Writes what the editor's tests compare with: node types of the workflows, and what check says of them.

`python web/fixtures.py` writes the files in `src/graph/fixtures`; a test fails when they are stale.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from graphengine.check import Checker
from graphengine.registry import Manifest
from graphengine.resources import workflows
from graphengine.workflow import Workflow

FOLDER = Path(__file__).parent / "src" / "graph" / "fixtures"
MORE = """
image.blur image.load image.pick image.batch image.solid image.preview mask.to_image diffusion.vae_encode
flow.switch flow.repeat_while number.add
""".split()
"""Types that the tests use and no workflow does."""
LEFT_OUT = set("module name code prints shared cache device awaits fuses exact migrations shows".split())


def fixtures(manifest: Manifest) -> dict[str, str]:
    """The text of each file, by its name."""
    used = dict.fromkeys(MORE)
    typings: dict[str, Any] = {}
    for file in sorted(workflows().glob("*.json")):
        workflow = Workflow.load(file)
        used |= dict.fromkeys(node.type for node in workflow.nodes.values())
        typings[file.stem] = Checker(workflow, manifest.types).outputs
    types = []
    for id in sorted(used):
        data = manifest.types[id].to_json()
        kept = {key: value for key, value in data.items() if key not in LEFT_OUT}
        types.append(kept | {"doc": data["doc"].partition("\n")[0]})
    wires = [{"name": w.name, "colour": w.colour, "doc": w.doc} for w in manifest.wires.values()]
    nodes = {"types": types, "wires": wires, "converters": [], "packs": [], "problems": []}
    return {"nodes.json": lines(nodes), "typing.json": lines(typings)}


def lines(data: dict[str, Any]) -> str:
    """JSON with a line for each item of the first two levels, so that a change shows."""
    parts = []
    for key, value in data.items():
        if isinstance(value, dict):
            rows, (begin, end) = [f"{json.dumps(k)}: {json.dumps(v)}" for k, v in value.items()], "{}"
        else:
            rows, (begin, end) = [json.dumps(v) for v in value], "[]"
        inner = "".join(f"\n    {row}," for row in rows).rstrip(",")
        parts.append(f"  {json.dumps(key)}: {begin}{inner}\n  {end}")
    return "{\n" + ",\n".join(parts) + "\n}\n"


if __name__ == "__main__":
    from graphengine.config import Settings

    for name, text in fixtures(Manifest.of(Settings().cache)).items():
        (FOLDER / name).write_text(text, encoding="utf-8")
