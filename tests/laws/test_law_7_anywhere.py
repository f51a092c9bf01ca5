"""Law 7: the same file gives the same result from the shell and the library, and wherever else it is run.

Law 8, that a job which was accepted ends exactly once, is about the queue of a server, and is held there.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from graphengine import Session, Settings


def node(type: str, state: str = "", **inputs: Any) -> Any:
    """A node in the file; a text with a dot is a link."""
    given = {n: {"link": v} if isinstance(v, str) and "." in v else v for n, v in inputs.items()}
    return {"type": type, "inputs": given} | ({"state": state} if state else {})


SCALE = {
    "inputs": {"value": "by.first", "factor": "by.second"},
    "outputs": {"result": "by.value"},
    "nodes": {"by": node("number.multiply", first=0, second=1.5)},
}
STEP = {
    "inputs": ["sum", "item"],
    "outputs": {"sum": "passed.value"},
    "nodes": {
        "drawn": node("number.random", seed=7),
        "scaled": node("graph:scale", value="drawn.value") | {"title": "Scaled"},
        "silent": node("number.add", "muted", first=1, second=2),
        "next": node("number.add", first={"link": "sum"}, second="scaled.result"),
        "passed": node("number.subtract", "bypassed", first="next.value", second="silent.value"),
    },
}
LOOP = {
    "format": 1,
    "inputs": {"factor": "scale.factor", "start": "loop.start", "text": "word.text"},
    "outputs": {"sum": "loop.result", "one": "scale.result", "broken": "over.value", "word": "word.value"},
    "graphs": {"scale": SCALE},
    "nodes": {
        "items": node("flow.linspace", start=0, stop=1, count=7),
        "loop": node("flow.fold", start=0.1, over="items.value", body={"graph": STEP}),
        "scale": node("graph:scale", value=0.1),
        "over": node("number.divide", first="loop.result", second=0),
        "word": node("text.value", text="a"),
    },
}
LIBRARY = """
import json, sys
from graphengine import Session
found = Session().run(Session().load(sys.argv[1]), json.loads(sys.argv[2]))
print(json.dumps([found.state, found.outputs]))
"""


def test_the_same_file_gives_the_same_result_from_library_and_shell(tmp_path: Path) -> None:
    """In this process, in another that finds nothing, and in one that finds what that has computed."""
    file, given = tmp_path / "loop.json", {"factor": -0.3, "start": 1e9, "text": "é \"'$(x)\n"}
    file.write_text(json.dumps(LOOP))
    session = Session(Settings(cache=tmp_path, disk_cache=0))
    here = session.run(session.load(file), given)
    wanted = [here.state, json.loads(json.dumps(here.outputs))]
    assert here.state == "failed"
    assert here.outputs.keys() == {"sum", "one", "word"}

    def printed(*words: str) -> Any:
        environment = os.environ | {"GRAPHENGINE_CACHE": str(tmp_path)}
        done = subprocess.run(
            [sys.executable, *words], env=environment, capture_output=True, encoding="utf-8", check=False
        )
        assert done.stdout, done.stderr
        return json.loads(done.stdout.splitlines()[-1])

    assert printed("-c", LIBRARY, str(file), json.dumps(given)) == wanted
    pairs = [word for name, value in given.items() for word in ("--set", f"{name}={value}")]
    told = printed("-m", "graphengine", "run", str(file), "--json", *pairs)
    assert [told["state"], told["outputs"]] == wanted
