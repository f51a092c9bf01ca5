"""Classes: what a model follows in place of a text, by name or number."""

from __future__ import annotations

from collections.abc import Sequence
from difflib import get_close_matches

from graphengine_diffusion.handles import Denoiser, TextEncoder


def class_number(model: Denoiser | TextEncoder, label: str) -> int:
    """The number of a class, by one of its names or as it is; a label may hold several names, with commas.

    ValueError names the classes that are near.
    """
    wanted = label.strip().casefold()
    names = numbered(model.labels)
    if wanted in names:
        return names[wanted]
    count = model.classes or len(model.labels)
    if not count:
        raise ValueError(f"{model.model} knows no classes; leave the text empty, or use another model")
    if wanted.isdecimal() and int(wanted) < count:
        return int(wanted)
    near = get_close_matches(wanted, names, 3, 0.5)
    few = ", ".join(model.labels[:8]) + (", ..." if len(model.labels) > 8 else "")
    has = f"it has {few}" if model.labels else "its classes have no names"
    which = (
        f"did you mean {' or '.join(near)}?"
        if near
        else f"{has}; or choose a number from 0 to {model.classes - 1}"
    )
    raise ValueError(f"{model.model} has no class {label!r}; {which}")


def numbered(labels: Sequence[str]) -> dict[str, int]:
    """The number of each name."""
    names: dict[str, int] = {}
    for number, known in enumerate(labels):
        for name in (known, *known.split(",")):
            names.setdefault(name.strip().casefold(), number)
    return names
