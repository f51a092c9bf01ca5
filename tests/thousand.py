"""A thousand node types in ten files, as many packs may have together."""

from __future__ import annotations

from pathlib import Path

HEAD = "from typing import Annotated\nfrom pydantic import Field\nfrom graphengine import Image, node\n"
NODE = """
@node
def node_{}(image: Image, x: Annotated[float, Field(ge=0, le=1)] = 0.5, name: str = "a") -> Image:
    '''Do it.'''
    return image
"""


def write(folder: Path) -> None:
    """Put the packs into a folder."""
    for file in range(10):
        text = HEAD + "".join(NODE.format(number) for number in range(100))
        (folder / f"thousand_{file}.py").write_text(text)
