"""The build hook of the wheel: the editor is built into it, or there is no wheel."""

from __future__ import annotations

import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

_spec = spec_from_file_location("graphengine_editor_build", Path(__file__).with_name("build.py"))
assert _spec is not None
assert _spec.loader is not None
editor = module_from_spec(_spec)
_spec.loader.exec_module(editor)


class EditorHook(BuildHookInterface):  # type: ignore[type-arg]
    """Builds `web/dist` for a wheel. An editable install takes what is there, and warns if nothing is."""

    PLUGIN_NAME = "custom"

    @property
    def web(self) -> Path:
        """The editor's folder."""
        return Path(self.root, "web")

    def dependencies(self) -> list[str]:
        """Node.js in the build's own environment, if the editor must be built and npm is too old."""
        # Hatchling asks the same for an editable install; only the front end's call tells the two apart.
        editable = any("editable" in word for word in sys.argv)
        return [editor.WHEEL] if not editable and not editor.fresh(self.web) and not editor.npm() else []

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Before the files are collected."""
        if version == "editable":
            if not (self.web / "dist/index.html").is_file():
                self.app.display_warning("GraphEngine is installed without its editor; `make web` builds it")
            return
        editor.build(self.web)
