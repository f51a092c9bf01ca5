"""Where the data files of GraphEngine are: beside the package in a checkout, inside of it in a wheel."""

from __future__ import annotations

from pathlib import Path

PACKAGE = Path(__file__).parent


def workflows() -> Path:
    """The folder of the shipped workflows."""
    return folder("_workflows", "workflows")


def workflow(name: str) -> Path | None:
    """The file of a shipped workflow by its name, such as `text_to_image`; None if there is none."""
    path = workflows() / f"{name}.json"
    return path if name in workflow_names() else None


def workflow_names() -> list[str]:
    """The names of the shipped workflows, sorted."""
    return sorted(path.stem for path in workflows().glob("*.json"))


def web() -> Path:
    """The folder of the built editor; it need not exist."""
    return folder("_web", "web/dist")


def folder(packed: str, beside: str) -> Path:
    """A wheel has the folders inside the package, so that nothing else in site-packages is taken for them."""
    inside = PACKAGE / packed
    return inside if inside.is_dir() else PACKAGE.parent / beside
