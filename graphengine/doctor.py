"""Doctor: is everything there that running workflows and serving them takes?

Each check looks at one thing and says what it found. A `problem` keeps something from working; a `warning`
may do so one day, or costs time; both say what to do. No check changes anything, and none that fails keeps
the others from being made.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from time import time
from typing import Literal, NamedTuple

from pydantic import ByteSize

from graphengine import resources
from graphengine.catalogue import Catalogue
from graphengine.client import Client, running
from graphengine.codec import Codec
from graphengine.config import Settings
from graphengine.disk import ABANDONED, VALUES, WRITING, DiskCache
from graphengine.errors import GraphEngineError, WorkflowError
from graphengine.session import Session
from graphengine.store.database import MIGRATIONS, looking
from graphengine.store.outputs import PUBLISHED
from graphengine.store.outputs import WRITING as UNPUBLISHED

SPARE = 1 << 30
"""Bytes that a disk should have left."""
NEEDED = 64 << 20
"""Bytes below which nothing can be saved soon."""
AHEAD = 60.0
"""Seconds that the newest job may seem to come from the future."""
PATIENCE = 120
"""Seconds that importing torch may take."""

PROBE = """
import json, torch
cuda = torch.cuda.is_available()
names = [torch.cuda.get_device_name(n) for n in range(torch.cuda.device_count())] if cuda else []
sizes = [torch.cuda.get_device_properties(n).total_memory for n in range(len(names))]
mps = torch.backends.mps.is_available()
built = torch.version.cuda or torch.version.hip or ""
print(json.dumps([torch.__version__, names, sizes, mps, built, torch.get_num_threads()]))
"""

Level = Literal["ok", "warning", "problem"]


class Finding(NamedTuple):
    """What a check has found, and what to do about it."""

    level: Level
    topic: str
    text: str
    remedy: str = ""


def examine(settings: Settings) -> Iterator[Finding]:
    """Make every check."""
    session = Session(settings)
    for topic, check in CHECKS.items():
        try:
            for level, text, remedy in check(session):
                yield Finding(level, topic, text, remedy)
        except (GraphEngineError, OSError) as error:
            yield Finding("problem", topic, str(error))


Told = Iterator[tuple[Level, str, str]]
"""Level, text and remedy."""


def python(session: Session) -> Told:
    """Which Python this is."""
    version = ".".join(map(str, sys.version_info[:3]))
    yield "ok", f"{version}, {sys.executable}", ""


def torch(session: Session) -> Told:
    """Whether torch can be imported, on which devices it runs, and with how many threads."""
    environment = os.environ | {"PYTHONWARNINGS": "ignore"}
    try:
        done = subprocess.run(
            [sys.executable, "-c", PROBE],
            capture_output=True, text=True, timeout=PATIENCE, env=environment, check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        yield "problem", f"importing it took more than {PATIENCE} seconds", "look at the disk that it is on"
        return
    if done.returncode != 0:
        why = (done.stderr.strip().splitlines() or [f"its process ended with {done.returncode}"])[-1]
        yield "problem", f"cannot be imported: {why}", "python -m pip install --force-reinstall torch"
        return
    version, names, sizes, mps, built, threads = json.loads(done.stdout.splitlines()[-1])
    devices = [f"cuda:{n} ({name}, {sized(sizes[n])})" for n, name in enumerate(names)]
    devices += ["mps"] * mps
    yield "ok", f"{version}; devices: {', '.join([*devices, 'cpu'])}", ""
    wanted = session.settings.device
    kind, _, number = wanted.partition(":")
    if (kind == "cuda" and int(number or 0) >= len(names)) or (kind == "mps" and not mps):
        yield "problem", f"GRAPHENGINE_DEVICE is {wanted}, and torch finds no such device", "set it to auto"
    if not names and not built and shutil.which("nvidia-smi"):
        yield (
            "warning",
            "there is an NVIDIA driver, but this torch is built for processors only",
            "install a torch with CUDA; see https://pytorch.org/get-started/locally",
        )
    yield from threading(threads)


def threading(threads: int) -> Told:
    """Whether torch takes as many threads as there are cores for it, and lets them sleep.

    OpenMP's threads meet after every operation. Where two of them share a core, all wait for the one whose
    turn comes last, and those that spin meanwhile take the core from it.
    """
    cores = usable()
    text = f"{counted(threads, 'thread')}, and {counted(cores, 'core')} that this process may use"
    if threads > cores:
        yield "warning", f"{text}: steps take many times as long", f"set OMP_NUM_THREADS={cores}"
    else:
        yield "ok", text, ""
    for name in ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT"):
        value = os.environ.get(name, "").strip().lower()
        if value in ("active", "infinity", "infinite") or (value.isdecimal() and int(value) > 1_000_000):
            yield "warning", f"{name}={value} lets threads spin while they wait", f"unset {name}"


def packs(session: Session) -> Told:
    """The packs, and what in them is broken."""
    manifest = session.manifest
    for broken in manifest.problems:
        why = broken.text.strip().partition("\n")[0]
        remedy = f"`graphengine nodes` shows all of it; update the pack {broken.pack}, or remove it"
        yield "problem", f"{broken.pack}: {why}", remedy
    names = ", ".join(f"{pack.name} {pack.version}".strip() for pack in manifest.packs)
    if names:
        yield "ok", f"{names}; {counted(len(manifest.types), 'node type')}", ""
    else:
        yield "problem", "none is installed", "python -m pip install --force-reinstall graphengine"


def models(session: Session) -> Told:
    """What is under the model roots, and which of it cannot be used."""
    cards = Catalogue(session.folders, session.manifest.catalogues).cards()
    for name, (_, card) in cards.items():
        if card.problem:
            yield "warning", f"{name}: {card.problem}", f"`graphengine models verify {name}` looks closer"
        elif card.missing:
            yield (
                "warning",
                f"{name} lacks a part: {card.missing[0]}",
                f"see `graphengine models show {name}`",
            )
    sound = sum(not (card.problem or card.missing) for _, card in cards.values())
    yield "ok", f"{counted(sound, 'whole one')} in {', '.join(map(str, session.folders.models))}", ""


def folders(session: Session) -> Told:
    """Whether the folders that are written to can be, and how much room is left."""
    settings = session.settings
    told: set[int] = set()
    for name in ("data", "cache", "outputs"):
        folder: Path = getattr(settings, name)
        remedy = f"change who may write there, or set GRAPHENGINE_{name.upper()}"
        there = next(path for path in (folder.absolute(), *folder.absolute().parents) if path.exists())
        if not there.is_dir():
            yield "problem", f"{there} is a file, so {name} cannot be kept in {folder}", remedy
            continue
        if why := unwritable(there, folder.is_dir()):
            yield "problem", f"{folder} ({name}) cannot be written to: {why}", remedy
            continue
        left = shutil.disk_usage(there).free
        if left >= SPARE:
            yield "ok", f"{name}: {folder}, {sized(left)} free", ""
        elif there.stat().st_dev not in told:
            told.add(there.stat().st_dev)
            level: Level = "problem" if left < NEEDED else "warning"
            advice = "make room; `graphengine cache clear` frees what can be computed again"
            yield level, f"the disk of {folder} ({name}) has {sized(left)} left", advice
    if os.name == "posix" and settings.data.is_dir() and settings.data.stat().st_mode & 0o077:
        yield (
            "warning",
            f"other users of this machine can look into {settings.data}",
            f"chmod 700 {settings.data}",
        )


def unwritable(folder: Path, ours: bool) -> str:
    """Why nothing can be written into a folder; empty if it can be. Tried only where the folder is ours."""
    try:
        if ours:
            with tempfile.TemporaryFile(dir=folder) as stream:
                stream.write(b"graphengine")
        elif not os.access(folder, os.W_OK | os.X_OK):
            return f"{folder} is another user's"
    except OSError as error:
        return error.strerror or str(error)
    return ""


def cache(session: Session) -> Told:
    """How full the disk tier is, and what crashes have left in it."""
    settings = session.settings
    disk = DiskCache(settings.cache / VALUES, settings.disk_cache, Codec())
    used = sum(entry.size for entry in disk.entries())
    left = [file for file in disk.files(WRITING) if time() - file.used > ABANDONED]
    if not disk.limit:
        yield "warning", "the disk tier is off: nothing outlives a process", "set GRAPHENGINE_DISK_CACHE"
    elif used > disk.limit:
        text = f"{sized(used)} is more than the limit of {sized(disk.limit)}"
        yield "warning", text, "the next run makes it smaller; `graphengine cache clear` empties it"
    else:
        yield "ok", f"{sized(used)} of {sized(disk.limit)}", ""
    if left:
        text = f"{counted(len(left), 'file')} of {sized(sum(file.size for file in left))} left by crashes"
        yield "warning", text, "`graphengine cache clear` removes them"


def database(session: Session) -> Told:
    """Whether the database of jobs is whole, of this version, and from the past."""
    file = session.settings.data / "jobs.sqlite"
    if not file.exists():
        yield "ok", f"there is none yet in {file.parent}", ""
        return
    restore = "stop the server and restore the last `graphengine backup`"
    try:
        with looking(file) as rows:
            (version,) = rows.one("PRAGMA user_version") or (0,)
            damage = [str(row[0]) for row in rows.all("PRAGMA quick_check(10)") if row[0] != "ok"]
            loose = rows.all("PRAGMA foreign_key_check")
            states: dict[str, int] = dict(rows.all("SELECT state, count(*) FROM jobs GROUP BY state"))
            newest = rows.one("SELECT max(created) FROM jobs")
            named = {str(row[0]) for row in rows.all("SELECT id FROM outputs")}
    except GraphEngineError as error:
        yield "problem", str(error), restore
        return
    if version > len(MIGRATIONS):
        yield "problem", f"{file} was written by a newer GraphEngine", "update GraphEngine"
    if damage or loose:
        what = damage[0] if damage else counted(len(loose), "row") + " of outputs without a job"
        yield "problem", f"{file} is damaged: {what}", restore
    else:
        told = ", ".join(f"{number} {state}" for state, number in sorted(states.items())) or "no jobs"
        yield "ok", f"{file}, {sized(file.stat().st_size)}: {told}", ""
    if newest and newest[0] is not None and (ahead := newest[0] - time()) > AHEAD:
        text = f"the newest job is {round(ahead / 60)} minutes ahead: the clock is wrong now, or was then"
        yield "warning", text, "set the clock; no job is lost by it"
    gone = named - {path.name for path in listed(session.settings.data / "outputs")}
    if gone:
        yield "problem", f"{counted(len(gone), 'output')} of jobs have no file any more", restore


def leftovers(session: Session) -> Told:
    """What crashes have left in the data folder; the next start of a server removes it."""
    data = session.settings.data
    if running(session.settings) is not None:
        yield "ok", "a server looks after them", ""
        return
    staged = listed(data / "staging")
    begun = [path for path in listed(data / "outputs") if UNPUBLISHED.fullmatch(path.name)]
    strange = [path for path in listed(data / "outputs")
               if not (UNPUBLISHED.fullmatch(path.name) or PUBLISHED.fullmatch(path.name))]  # fmt: skip
    if staged or begun:
        text = f"{counted(len(staged) + len(begun), 'piece')} of unfinished attempts in {data}"
        yield "warning", text, "the next start of `graphengine serve` removes them"
    else:
        yield "ok", "none", ""
    if strange:
        text = f"{counted(len(strange), 'file')} in {data / 'outputs'} that GraphEngine did not put there"
        yield "warning", text, "move them elsewhere"


def server(session: Session) -> Told:
    """Whether a server runs here and is well; where none does, whether its port is free."""
    settings = session.settings
    known = running(settings)
    if known is None:
        yield "ok", "none runs on this machine", ""
        yield from port(settings)
        return
    note = settings.data / "server.json"
    if os.name == "posix" and note.stat().st_mode & 0o077:
        yield "problem", f"other users can read the token in {note}", f"chmod 600 {note}, and start it anew"
    try:
        health = Client(known["url"], timeout=10.0, settings=settings).health()
    except GraphEngineError as error:
        yield (
            "warning",
            f"{note} tells of one that does not answer: {error}",
            "if it was killed, `graphengine serve` starts a new one and loses no job",
        )
        return
    if health["ready"]:
        yield "ok", f"{known['url']} is ready", ""
    else:
        yield (
            "problem",
            f"{known['url']} answers, but no worker is ready",
            "wait, if it has just been started; its log says why a worker ends",
        )


def port(settings: Settings) -> Told:
    """Whether a server could listen."""
    if settings.port == 0:
        return
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    with closing(socket.socket(family, socket.SOCK_STREAM)) as found:
        found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            found.bind((settings.host, settings.port))
        except OSError as error:
            why = f"{settings.host} port {settings.port} cannot be listened on: {error.strerror or error}"
            yield "warning", why, "choose another with GRAPHENGINE_PORT"
        else:
            yield "ok", f"port {settings.port} of {settings.host} is free", ""


def workflows(session: Session) -> Told:
    """Whether the shipped workflows can be read, and run."""
    names = resources.workflow_names()
    sound = 0
    for name in names:
        try:
            problems = list(session.check(session.load(name)))
        except WorkflowError as error:
            problems = list(error.problems)
        if problems:
            yield "problem", f"{name}: {problems[0]}", "python -m pip install --force-reinstall graphengine"
        sound += not problems
    if names:
        yield "ok", f"{sound} of {len(names)} shipped ones can run", ""
    else:
        text = f"none is in {resources.workflows()}"
        yield "problem", text, "python -m pip install --force-reinstall graphengine"


def editor(session: Session) -> Told:
    """Whether the editor is built."""
    page = resources.web() / "index.html"
    if page.is_file():
        yield "ok", f"{page.parent}", ""
    else:
        yield "warning", f"it is not built: there is no {page}", "`make web` builds it in a checkout"


CHECKS: dict[str, Callable[[Session], Told]] = {
    check.__name__: check
    for check in (
        python, torch, packs, models, folders, cache, database, leftovers, server, workflows, editor,
    )
}  # fmt: skip
"""Every check by its topic."""


def usable() -> int:
    """How many cores this process may use: by its affinity, and by what a container grants it."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    try:
        granted, period = Path("/sys/fs/cgroup/cpu.max").read_text().split()
        if granted != "max":
            cores = min(cores, -(-int(granted) // int(period)))
    except (OSError, ValueError):
        pass
    return max(cores, 1)


def listed(folder: Path) -> list[Path]:
    """What is in a folder; nothing where there is none."""
    return sorted(folder.iterdir()) if folder.is_dir() else []


def sized(bytes: int) -> str:
    """A number of bytes for people: `1.5GiB`."""
    return ByteSize(bytes).human_readable()


def counted(number: int, what: str) -> str:
    """So many of something, in words."""
    return f"{number:,} {what if number == 1 else what + 's'}"
