"""Template: what a new pack of nodes begins with: one file, or a project that installs, with its tests."""

from __future__ import annotations

import keyword
import os
import shutil
from collections.abc import Collection
from pathlib import Path
from string import Template
from tempfile import mkdtemp

from graphengine.errors import PackError
from graphengine.folders import write_atomically
from graphengine.packs import NAME, elsewhere

NODE = '''\
"""$title: nodes for GraphEngine."""

from __future__ import annotations

from typing import Annotated

from graphengine import Image, Ui, node
from pydantic import Field

Amount = Annotated[float, Field(ge=0, le=4), Ui(widget="slider")]


@node
def brighten(image: Image, amount: Amount = 1.5) -> Image:
    """Make a picture brighter; below 1, darker."""
    return (image * amount).clamp(0, 1)
'''

PROJECT = """\
[build-system]
requires = ["hatchling"]
build-backend = "hatchling.build"

[project]
name = "$name"
version = "0.1.0"
description = "$title: nodes for GraphEngine."
readme = "README.md"
requires-python = ">=3.11"
dependencies = ["graphengine"]

[project.optional-dependencies]
test = ["pytest"]

[project.entry-points."graphengine.packs"]
$module = "$module"

[tool.hatch.build.targets.wheel]
packages = ["$module"]

[tool.pytest.ini_options]
testpaths = ["tests"]
filterwarnings = ["error"]
"""

ISOLATED = """
[tool.graphengine]
isolated = true
"""

TEST = '''\
"""The nodes of $title, and the workflow that shows them."""

from __future__ import annotations

from pathlib import Path

import torch

from $module import brighten

WORKFLOW = Path(__file__).parent.parent / "workflows" / "$module.json"


def test_brighten_multiplies_and_stays_a_picture(assert_pure, assert_images_close):
    grey = torch.full((1, 4, 4, 3), 0.25)
    assert_images_close(assert_pure(brighten, image=grey, amount=2), grey * 2)
    assert_images_close(assert_pure(brighten, image=grey, amount=4), torch.ones(1, 4, 4, 3))


def test_the_workflow_makes_a_picture(run_workflow, session):
    image = run_workflow(WORKFLOW, amount=0.5)["image"]
    assert image.shape == (1, 64, 64, 3)
    assert len(list(session.settings.outputs.glob("*.png"))) == 1
'''

WORKFLOW = """\
{
  "format": 1,
  "name": "$title",
  "description": "A grey picture becomes brighter.",
  "inputs": {"amount": "brighten.amount"},
  "outputs": {"image": "brighten.image"},
  "nodes": {
    "grey": {"type": "image.solid", "inputs": {"colour": "#808080", "width": 64, "height": 64}},
    "brighten": {"type": "$module.brighten", "inputs": {"image": {"link": "grey.image"}, "amount": 1.5}},
    "save": {"type": "image.save", "inputs": {"image": {"link": "brighten.image"}}}
  }
}
"""

README = """\
# $title

Nodes for [GraphEngine](https://pypi.org/project/graphengine/).

```sh
pip install --editable ".[test]"
graphengine packs check $module
graphengine nodes $module.brighten
graphengine run workflows/$module.json --set amount=2
pytest
```

The nodes are in `$module/__init__.py`. Nodes in further modules are found if it lists these, as in
`MODULES = ("filters",)`.
"""

README_ISOLATED = """\
# $title

Nodes for [GraphEngine](https://pypi.org/project/graphengine/), run in a process and an environment of their
own. This folder lies in one of your folders of nodes; else name that one with `--nodes`. What
`dependencies` in `pyproject.toml` names besides graphengine is installed for this pack alone:

```sh
graphengine packs install $module
graphengine packs check $module
graphengine nodes $module.brighten
graphengine run workflows/$module.json --set amount=2
```

The nodes are in `$module/__init__.py`. Nodes in further modules are found if it lists these, as in
`MODULES = ("filters",)`. `pytest` in this folder tests them in the environment of GraphEngine.
"""

FILES = {
    "pyproject.toml": PROJECT,
    "README.md": README,
    "$module/__init__.py": NODE,
    "$module/py.typed": "",
    "tests/test_$module.py": TEST,
    "workflows/$module.json": WORKFLOW,
}
APART = {"pyproject.toml": PROJECT + ISOLATED, "README.md": README_ISOLATED}
"""What other files an isolated pack begins with."""


def module_of(name: str, taken: Collection[str] = ()) -> str:
    """The module of a new pack of this name. PackError if it cannot have it; `taken` are other packs."""
    module = name.replace("-", "_")
    if not NAME(module) or module.endswith("_"):
        raise PackError(
            f"{name!r} cannot be a pack's name; write lower-case letters, digits, - and _, and "
            "begin with a letter"
        )
    if keyword.iskeyword(module) or keyword.issoftkeyword(module):
        raise PackError(f"{name!r} is a word of Python's; choose another name")
    if module in taken or name in taken:
        raise PackError(f"there is a pack {name!r} already; choose another name")
    if place := elsewhere(module):
        raise PackError(f"{name!r} is the name of a module of Python's, {place}; choose another name")
    return module


def project(name: str, into: Path, taken: Collection[str] = (), isolated: bool = False) -> Path:
    """Make a folder of a pack that installs, or is isolated, whole or not at all; gives where it is."""
    module, target = module_of(name, taken), into / name
    if target.exists():
        raise PackError(f"there is {target} already; nothing was changed")
    try:
        into.mkdir(parents=True, exist_ok=True)
        folder = Path(mkdtemp(prefix=".writing-", dir=into))
        try:
            for path, text in (FILES | (APART if isolated else {})).items():
                file = folder / filled(path, name, module)
                file.parent.mkdir(exist_ok=True)
                file.write_text(filled(text, name, module), encoding="utf-8")
            folder.chmod(0o755)  # a temporary folder is its user's alone
            os.rename(folder, target)
        finally:
            shutil.rmtree(folder, ignore_errors=True)
    except OSError as error:
        raise PackError(f"{target} cannot be made: {error.strerror or error}") from error
    return target


def single(name: str, into: Path, taken: Collection[str] = ()) -> Path:
    """Make a file with a node in a folder of nodes; gives where it is."""
    module = module_of(name, taken)
    target = into / f"{module}.py"
    if target.exists() or (into / module).exists():
        raise PackError(
            f"there is {target if target.exists() else into / module} already; nothing was changed"
        )
    try:
        write_atomically(target, filled(NODE, name, module).encode())
    except OSError as error:
        raise PackError(f"{target} cannot be made: {error.strerror or error}") from error
    return target


def filled(text: str, name: str, module: str) -> str:
    """A text of the template with the names in their places."""
    title = module.replace("_", " ").capitalize()
    return Template(text).substitute(name=name, module=module, title=title)
