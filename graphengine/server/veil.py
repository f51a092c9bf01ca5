"""Veil: takes what is nobody's business out of texts that leave the server: its folders and its secrets."""

from __future__ import annotations

import json
import os
import sys
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path

from graphengine import resources
from graphengine.config import Settings

HIDDEN = "[hidden]"


class Veil:
    """Replaces the paths of folders by names such as `[data]`, and secrets by `[hidden]`."""

    def __init__(self, folders: Iterable[tuple[Path, str]], secrets: Sequence[str] = ()) -> None:
        words: dict[str, str] = {secret: HIDDEN for secret in secrets if secret}
        for folder, name in folders:
            for path in {str(folder), os.path.abspath(folder), os.path.realpath(folder)}:
                if len(path) > 1:
                    words.setdefault(path, f"[{name}]")
                    words.setdefault(json.dumps(path)[1:-1], f"[{name}]")
        self.words = sorted(words.items(), key=lambda word: -len(word[0]))

    def __call__(self, text: str) -> str:
        """The text without them."""
        for word, other in self.words:
            if word in text:
                text = text.replace(word, other)
        return text


def veil(settings: Settings, secrets: Sequence[str] = ()) -> Veil:
    """What hides the folders of this machine and the secrets of this server."""
    folders = [(settings.data, "data"), (settings.cache, "cache"), (settings.outputs, "outputs")]
    folders += [(root, "models") for root in settings.models]
    folders += [(root, "nodes") for root in settings.nodes]
    folders += [(resources.PACKAGE, "graphengine"), (resources.PACKAGE.parent, "installed")]
    folders += [(Path(sys.prefix), "python"), (Path(sys.base_prefix), "python")]
    folders += [(Path.cwd(), "here"), (Path.home(), "home"), (Path(tempfile.gettempdir()), "temporary")]
    return Veil([pair for pair in folders if len(pair[0].absolute().parts) > 1], secrets)
