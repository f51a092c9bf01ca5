"""Packs in processes and environments of their own."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple
from zipfile import ZipFile

import pytest
import torch
from serving import PATH, ended, run, served, until
from serving import settings as serving_settings

from graphengine import environments, events, isolation, packs
from graphengine.codec import Codec
from graphengine.config import Settings
from graphengine.errors import Cancelled, NodeTooSlow, PackEnded, PackError
from graphengine.fleets.local import LocalFleet
from graphengine.nodetype import NodeType
from graphengine.parcel import Parcel
from graphengine.registry import Manifest, Registry
from graphengine.session import Outcome, Session
from graphengine.testing import Kit, Recorder
from graphengine.workflow import Workflow

PYPROJECT = """
[project]
name = "odd-nodes"
version = "0.7"
dependencies = ["graphengine", "aiohttp @ {wheel}"]

[project.entry-points."graphengine.packs"]
odd = "odd_nodes"

[tool.graphengine]
isolated = true
"""
KINDS = """
from dataclasses import dataclass

import torch
from graphengine import Image, WireType


def drawn(word) -> Image:
    return torch.full((1, 2, len(word.text), 3), 0.25)


@WireType("Word", "#e91e63", "A word.", preview=drawn)
@dataclass(frozen=True)
class Word:
    text: str
    weights: torch.Tensor


@WireType("Loose")
class Loose:
    pass
"""
NODES = """
import asyncio
import ctypes
import os
import signal
import time
from enum import Enum
from typing import Annotated, NamedTuple

import aiohttp
import torch
from graphengine import NO_CONTEXT, Choices, Context, Folders, Image, node
from odd_nodes.kinds import Loose, Word


class Way(Enum):
    UP = "up"
    DOWN = "down"


class Halves(NamedTuple):
    first: str
    second: Word


class Oddity(Exception):
    pass


@node(cache="none")
def version() -> str:
    return f"{aiohttp.__version__} {os.getpid()}"


@node
def flip(image: Image, way: Way = Way.UP, amount: float = 1) -> Image:
    assert isinstance(way, Way) and isinstance(amount, float)
    return image.flip(1).transpose(1, 2) * amount


@node
def word(text: str) -> Word:
    time.sleep(0.02)
    return Word(text, torch.arange(3.0))


@node
def spell(words: list[Word], mark: str = "!") -> str:
    assert all(type(word) is Word and word.weights.tolist() == [0, 1, 2] for word in words)
    return "".join(word.text for word in words) + mark


@node
def halve(word: Word) -> Halves:
    middle = len(word.text) // 2
    return Halves(word.text[:middle], Word(word.text[middle:], word.weights))


@node
def loose() -> Loose:
    return Loose()


@node(cache="none")
def crash(how: str = "exit") -> int:
    if how == "exit":
        print("the last words", flush=True)
        os._exit(3)
    if how == "segfault":
        ctypes.string_at(0)
    if how == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    return os.getpid()


@node(cache="none")
def fail(how: str) -> int:
    if how == "type":
        return 1 + "1"
    if how == "own":
        raise Oddity("an odd thing")
    if how == "exit":
        raise SystemExit(4)
    raise MemoryError("too little")


@node(cache="none")
def slow(count: int = 100, deaf: bool = False, ctx: Context = NO_CONTEXT) -> int:
    for step in range(count):
        time.sleep(0.05)
        if not deaf or step == 0:
            ctx.progress(step, count)
    return os.getpid()


@node(cache="none")
def busy(seconds: float = 30.0) -> int:
    time.sleep(seconds)
    return os.getpid()


@node(cache="none")
async def waits(seconds: float) -> float:
    await asyncio.sleep(seconds)
    return time.time()


@node(cache="none")
def asks(ctx: Context = NO_CONTEXT) -> str:
    ctx.preview(torch.full((1, 2, 2, 3), 0.5))
    folder = ctx.temporary()
    (folder / "draft").write_text("draft")
    path = ctx.save("text.txt", b"saved", "text/plain")
    return f"{ctx.device} {ctx.workflow['name']} {path.name} {ctx.folders.outputs.name}"


@node(cache="none")
def misuses(ctx: Context = NO_CONTEXT) -> int:
    return borrowed(ctx)


def borrowed(ctx: Context) -> int:
    ctx.save("../text.txt", b"", "text/plain")
    return 1


def content(path: str, folders: Folders) -> str:
    return folders.content_hash(folders.input(path))


@node(fingerprint=content)
def read(path: str, ctx: Context = NO_CONTEXT) -> str:
    return ctx.folders.input(path).read_text()


@node
def choose(name: Annotated[str, Choices(lambda folders: ["a", folders.outputs.name])]) -> str:
    return name


def renamed(inputs):
    return {"amount": inputs["strength"]}


@node(migrations=[renamed], aliases=["odd.older"])
def newer(amount: int) -> int:
    return amount + 1
"""
PLAIN = """
from graphengine import WireType, node


@WireType("Word")
class Word:
    text = ""


@node
def shout(word: Word) -> str:
    return word.text.upper()
"""


class Place(NamedTuple):
    """A folder of nodes with what is odd in it, whose environment is made."""

    folder: Path
    wheel: str

    @property
    def nodes(self) -> Path:
        return self.folder / "nodes"

    @property
    def settings(self) -> Settings:
        return Settings(
            cache=self.folder / "cache", data=self.folder / "data", outputs=self.folder / "outputs",
            nodes=(self.nodes,), device="cpu",
        )  # fmt: skip

    def write(self, into: Path, **files: str) -> Path:
        """The project with some files instead of its own; it has the same environment."""
        package = into / "odd-nodes" / "odd_nodes"
        package.mkdir(parents=True)
        (package.parent / "pyproject.toml").write_text(PYPROJECT.format(wheel=self.wheel))
        known = {"__init__": 'MODULES = ("nodes",)\nPACK = "odd"\n', "kinds": KINDS, "nodes": NODES}
        for name, text in (known | files).items():
            (package / f"{name}.py").write_text(text)
        return package


def wheel(folder: Path) -> str:
    """A wheel that is called as one of the engine's own dependencies, and is another thing."""
    path = folder / "aiohttp-0.0.1-py3-none-any.whl"
    files = {
        "aiohttp/__init__.py": '__version__ = "0.0.1"\n',
        "aiohttp-0.0.1.dist-info/METADATA": "Metadata-Version: 2.1\nName: aiohttp\nVersion: 0.0.1\n",
        "aiohttp-0.0.1.dist-info/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    with ZipFile(path, "w") as archive:
        for name, text in files.items():
            archive.writestr(name, text)
        archive.writestr("aiohttp-0.0.1.dist-info/RECORD", "".join(f"{name},,\n" for name in files))
    return path.as_uri()


def command(place: Place, *words: str) -> subprocess.CompletedProcess[str]:
    """A command of the command line, with the settings of a place."""
    settings = place.settings
    given = {name: str(getattr(settings, name)) for name in ("cache", "data", "outputs")}
    given["nodes"] = str(place.nodes)
    environment = os.environ | {f"GRAPHENGINE_{name.upper()}": text for name, text in given.items()}
    line = [sys.executable, "-m", "graphengine", *words]
    return subprocess.run(
        line, env=environment, capture_output=True, text=True, check=False, cwd=place.folder
    )


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    folder = tmp_path_factory.mktemp("isolated")
    found = Place(folder, wheel(folder))
    found.write(found.nodes)
    (found.nodes / "plain.py").write_text(PLAIN)
    before = dict(packs.FINDER.places)
    told = command(found, "packs", "check", "odd")
    assert told.returncode == 1
    assert "its environment is not made yet; run `graphengine packs install odd`" in told.stdout
    done = command(found, "packs", "install", "odd")
    assert done.returncode == 0, done.stderr
    yield found
    isolation.PROCESSES.clear()
    packs.FINDER.places.clear()
    packs.FINDER.places.update(before)


@pytest.fixture(scope="module")
def manifest(place: Place) -> Manifest:
    settings = place.settings
    return Manifest.of(settings.cache, settings.nodes, settings.environments)


@pytest.fixture
def session(place: Place, manifest: Manifest) -> Session:
    found = Session(place.settings)
    found.manifest = manifest
    packs.reachable(manifest.packs)
    return found


def chain(*types: str, **inputs: Any) -> Workflow:
    """Nodes that each give the first input of the next, `a`, `b`, ...; `inputs` are those of the first."""
    names = "abcdef"[: len(types)]
    firsts = {"spell": "words", "halve": "word", "shout": "word", "flip": "image"}
    nodes: dict[str, Any] = {}
    before = out = ""
    for name, type in zip(names, types, strict=True):
        link = {"link": f"{before}.{out}"}
        first = firsts.get(type.partition(".")[2], "")
        given = {first: [link] if first == "words" else link} if nodes else inputs
        nodes[name] = {"type": type, "inputs": given}
        before, out = (
            name,
            {"word": "word", "halve": "second", "loose": "loose"}.get(type.partition(".")[2], "value"),
        )
    return Workflow.of(
        {"format": 1, "name": "chain", "nodes": nodes, "outputs": {"value": f"{before}.{out}"}}
    )


def value(session: Session, workflow: Workflow, **given: Any) -> Any:
    outcome = session.run(workflow, **given)
    outcome.raise_for_failure()
    return outcome.outputs["value"]


def failure(outcome: Outcome) -> BaseException:
    assert outcome.state == "failed"
    return outcome.failures["a"]


def bound(manifest: Manifest, id: str) -> NodeType:
    return Registry.only(manifest, [id])[id]


# -- what a pack is ---------------------------------------------------------------------------------------


def test_it_has_its_own_version_of_what_the_engine_has_too(session: Session) -> None:
    import aiohttp

    assert aiohttp.__version__ != "0.0.1"
    version, process = value(session, chain("odd.version")).split()
    assert version == "0.0.1"
    assert int(process) != os.getpid()
    assert "odd_nodes" not in sys.modules
    with pytest.raises(ModuleNotFoundError):
        __import__("odd_nodes")


def test_it_is_listed_with_its_project_and_its_version(place: Place, manifest: Manifest) -> None:
    (row,) = [row for row in json.loads(command(place, "packs", "list", "--json").stdout) if row["isolated"]]
    assert row == {
        "name": "odd", "version": "0.7", "from": str(place.nodes / "odd-nodes"), "isolated": True,
        "nodes": len([id for id in manifest.types if id.startswith("odd.")]), "problems": [],
    }  # fmt: skip
    assert manifest.wires["Word"].colour == "#e91e63"


def test_its_nodes_are_another_code_in_another_environment(place: Place, manifest: Manifest) -> None:
    (pack,) = [pack for pack in manifest.packs if pack.isolated]
    content = environments.content(Path(pack.environment))
    assert content
    assert manifest.types["odd.word"].code.endswith(content)
    assert manifest.types["plain.shout"].code[-len(content) :] != content


def test_what_is_only_installed_for_one_is_not_made_twice(place: Place) -> None:
    (folder,) = environments.of_pack(place.settings.environments, "odd")
    inside = {path.name for path in folder.glob("lib/*/site-packages/*.dist-info")}
    assert inside == {"aiohttp-0.0.1.dist-info"}
    before = folder.stat().st_mtime_ns
    assert command(place, "packs", "install", "odd").returncode == 0
    assert folder.stat().st_mtime_ns == before


def test_a_command_that_means_no_isolated_pack_says_which_there_are(place: Place) -> None:
    for words, text in (
        (
            ("install", "nope"),
            "no isolated pack 'nope' in your folders of nodes: name its folder with --nodes",
        ),
        (("install", "nope"), "with --nodes; isolated is odd"),
        (("uninstall", "plain"), "there is no environment of a pack 'plain'"),
    ):
        done = command(place, "packs", *words)
        assert done.returncode == 3
        assert text in " ".join(done.stderr.replace("│", " ").split())


def test_an_environment_that_cannot_be_made_is_none(place: Place, tmp_path: Path) -> None:
    folder = environments.environment(tmp_path, "odd", ["nothing @ file:///nowhere/nothing.whl"])
    with pytest.raises(PackError, match="pip could not install its dependencies"):
        environments.make(folder, ["nothing @ file:///nowhere/nothing.whl"], tmp_path)
    assert not folder.exists()
    folder.mkdir()
    (folder / "pyvenv.cfg").touch()  # as a computer that lost its power leaves one
    assert environments.content(folder) == ""
    environments.make(folder, [], tmp_path)
    assert environments.content(folder)
    environments.remove(folder)
    assert not folder.exists()


# -- values -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [torch.float32, torch.float16, torch.bfloat16])
def test_tensors_go_and_come_to_the_bit(manifest: Manifest, kind: torch.dtype) -> None:
    image = torch.randn(2, 5, 7, 3).to(kind)
    found = bound(manifest, "odd.flip").run(image, "down", 1, isolation.NO_CONTEXT)
    wanted = image.flip(1).transpose(1, 2) * 1.0
    assert found.dtype == kind
    assert found.stride() == wanted.stride()
    assert torch.equal(found, wanted)


def test_a_value_of_its_own_goes_through_two_nodes_and_the_disk(place: Place, session: Session) -> None:
    workflow = chain("odd.word", "odd.halve", "odd.spell", text="boat")
    told: list[Any] = []
    assert value(session, workflow, emit=told.append) == "at!"
    second = Session(place.settings)
    second.manifest = session.manifest
    told.clear()
    whole = second.run(workflow, targets=["a", "b"], emit=told.append)
    assert not [event for event in told if isinstance(event, events.NodeStarted)]
    word = whole.outputs["a.word"]
    assert isinstance(word, Parcel)
    assert repr(word) == "<a Word of the isolated pack odd>"
    assert Codec().decode(Codec().encode(word)).digest == word.digest
    assert whole.outputs["b.first"] == "bo"


def test_a_loop_over_values_of_its_own_is_known_again(session: Session) -> None:
    body = {
        "inputs": ["item"],
        "nodes": {"spell": {"type": "odd.spell", "inputs": {"words": [{"link": "item"}]}}},
        "outputs": {"value": "spell.value"},
    }
    words = {name: {"type": "odd.word", "inputs": {"text": name}} for name in ("one", "two")}
    over = [{"link": "one.word"}, {"link": "two.word"}, {"link": "one.word"}]
    each = {"each": {"type": "flow.map", "inputs": {"over": over, "body": {"graph": body}}}}
    file = {"format": 1, "nodes": words | each, "outputs": {"value": "each.result"}}
    assert value(session, Workflow.of(file)) == ["one!", "two!", "one!"]


def test_a_node_of_another_pack_cannot_read_it_and_says_whose_it_is(session: Session) -> None:
    outcome = session.run(chain("odd.word", "plain.shout", text="a"))
    assert str(outcome.failures["b"]) == (
        "'text' is asked of <a Word of the isolated pack odd>, which only nodes of that pack can read"
    )


def test_another_isolated_pack_cannot_read_it_either(session: Session) -> None:
    stranger = Parcel("other", "other.kinds:Word", "1", {})
    with pytest.raises(ValueError, match="it is <a Word of the isolated pack other>, which only nodes"):
        bound(session.manifest, "odd.halve").run(stranger, isolation.NO_CONTEXT)


def test_what_has_no_form_as_bytes_is_told(session: Session) -> None:
    error = failure(session.run(chain("odd.loose")))
    assert isinstance(error, PackError)
    assert "odd.loose runs in a process of its own, and the Loose that it gave cannot leave it" in str(error)
    assert "give its wire type `encode` and `decode`" in str(error)
    with pytest.raises(PackError, match="its input 'words' cannot be given to it: a builtins:object cannot"):
        bound(session.manifest, "odd.spell").run([object()], "!", isolation.NO_CONTEXT)


# -- what goes wrong --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("how", "text"), [("exit", "ended with exit status 3"), ("segfault", "SIGSEGV"), ("kill", "was killed")]
)
def test_a_process_that_dies_fails_its_node_and_is_started_again(
    session: Session, how: str, text: str, capfd: pytest.CaptureFixture[str]
) -> None:
    isolation.PROCESSES.clear()  # so that it is this test that hears what it writes
    error = failure(session.run(chain("odd.crash", how=how)))
    assert isinstance(error, PackEnded)
    assert str(error).startswith("the process of the isolated pack odd ")
    assert text in str(error)
    assert value(session, chain("odd.crash", how="not")) != os.getpid()
    if how == "exit":
        assert "the last words" in capfd.readouterr().out


def test_what_a_node_raises_is_what_it_would_raise_here(session: Session) -> None:
    error = failure(session.run(chain("odd.fail", how="type")))
    assert type(error) is TypeError
    assert str(error) == "unsupported operand type(s) for +: 'int' and 'str'"
    assert any("odd_nodes/nodes.py" in note and "return 1 +" in note for note in error.__notes__)
    told: list[Any] = []
    session.run(chain("odd.fail", how="own"), emit=told.append)
    assert [e.error for e in told if isinstance(e, events.NodeFailed)] == ["Oddity: an odd thing"]
    assert type(failure(session.run(chain("odd.fail", how="exit")))).__name__ == "SystemExit"
    assert "needs more memory" in str(failure(session.run(chain("odd.fail", how="memory"))))


def test_a_run_that_is_cancelled_ends_at_the_next_progress(session: Session) -> None:
    before = value(session, chain("odd.crash", how="not"))

    def heard(event: events.Event) -> None:
        if isinstance(event, events.NodeProgress):
            session.cancel()

    began = time.monotonic()
    assert session.run(chain("odd.slow", count=200), emit=heard).state == "cancelled"
    assert time.monotonic() - began < 1.5
    assert value(session, chain("odd.crash", how="not")) == before, "the process stays warm"


@pytest.mark.parametrize(("type", "least", "most"), [("odd.busy", 2, 4), ("odd.waits", 0, 1.5)])
def test_what_does_not_hear_that_the_run_is_cancelled_is_ended(
    session: Session, type: str, least: float, most: float
) -> None:
    before = value(session, chain("odd.crash", how="not"))
    threading.Timer(0.3, session.cancel).start()
    began = time.monotonic()
    assert session.run(chain(type, seconds=60.0)).state == "cancelled"
    assert least < time.monotonic() - began < most
    assert (value(session, chain("odd.crash", how="not")) == before) == (type == "odd.waits")


def test_a_node_that_is_too_slow_is_ended(session: Session) -> None:
    value(session, chain("odd.crash", how="not"))
    assert isinstance(failure(session.run(chain("odd.busy"), limit=0.5)), NodeTooSlow)
    assert value(session, chain("odd.crash", how="not"))


# -- what the engine offers -------------------------------------------------------------------------------


def test_nodes_that_wait_do_so_at_once(session: Session) -> None:
    nodes = {name: {"type": "odd.waits", "inputs": {"seconds": 0.5}} for name in "abcd"}
    file = {"format": 1, "nodes": nodes, "outputs": {name: f"{name}.value" for name in nodes}}
    value(session, chain("odd.crash", how="not"))
    outputs = session.run(Workflow.of(file)).outputs
    assert len(outputs) == 4
    assert max(outputs.values()) - min(outputs.values()) < 0.4


def test_progress_previews_and_files_are_those_of_the_run(place: Place, session: Session) -> None:
    told: list[Any] = []
    outcome = session.run(chain("odd.asks"), emit=told.append)
    assert outcome.outputs["value"] == f"cpu chain {outcome.files[0].name} outputs"
    assert outcome.files[0].read_bytes() == b"saved"
    (shown,) = [event for event in told if isinstance(event, events.NodePreview)]
    assert torch.equal(shown.image, torch.full((1, 2, 2, 3), 0.5))
    told.clear()
    session.run(chain("odd.slow", count=2), emit=told.append)
    assert [(e.done, e.total) for e in told if isinstance(e, events.NodeProgress)] == [(0, 2), (1, 2)]
    told.clear()
    session.run(chain("odd.word", text=f"word {time.time()}"), emit=told.append)
    (shown,) = [event for event in told if isinstance(event, events.NodePreview)]
    assert float(shown.image.max()) == 0.25
    error = failure(session.run(chain("odd.misuses")))
    assert str(error) == "'../text.txt' is no name for a file; give one without a folder"


def test_a_file_that_changes_is_read_again(session: Session, tmp_path: Path) -> None:
    file = tmp_path / "page.txt"
    for text in ("one", "three", "one"):
        file.write_text(text)
        assert value(session, chain("odd.read", path=str(file))) == text
    assert [reason.state for reason in session.explain(chain("odd.read", path=str(file)))] == ["cached"]


def test_choices_and_migrations_are_asked_of_it(session: Session, manifest: Manifest) -> None:
    port = bound(manifest, "odd.choose").ports["name"]
    assert port.choices is not None
    assert port.choices(session.folders) == ["a", "outputs"]
    nodes = {"a": {"type": "odd.older", "inputs": {"strength": 4}}}
    file = {
        "format": 1,
        "inputs": {"x": "a.strength"},
        "nodes": nodes,
        "outputs": {"value": "a.value"},
    }
    workflow = session.upgraded(Workflow.of(file))
    assert workflow.inputs["x"] == ("a", "amount")
    assert value(session, workflow, inputs={"x": 9}) == 10


def test_the_testing_kit_runs_its_nodes(session: Session, tmp_path: Path) -> None:
    kit = Kit(session, tmp_path)
    word = kit.assert_pure("odd.word", text="kit")
    assert kit.assert_pure("odd.spell", words=[word, word]) == "kitkit!"
    with pytest.raises(Cancelled):
        kit.run_node("odd.slow", ctx=Recorder(tmp_path, cancel_at=2))


def test_a_job_of_a_server_and_its_failure(
    place: Place, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    settings = serving_settings(tmp_path, cache=place.settings.cache, nodes=place.settings.nodes)
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "environments").symlink_to(place.settings.environments)
    fleet = LocalFleet(settings, ["cpu"], environment={"PYTHONPATH": PATH})

    async def scene() -> None:
        async with served(settings, fleet) as service:
            await until(lambda: service.health().ready)
            job = await ended(service, (await service.submit(dict(chain("odd.version").data))).job.id)
            assert (await service.detail(job.id)).result["value"].startswith("0.0.1 ")
            job = await ended(
                service, (await service.submit(dict(chain("odd.fail", how="type").data))).job.id
            )
            assert "TypeError: unsupported operand" in str(job.error)
            assert "odd_nodes/nodes.py" in caplog.text

    run(scene())


# -- when it is loaded ------------------------------------------------------------------------------------


def loaded(place: Place, nodes: Path) -> Registry:
    """The packs of another folder, with the environments of this one."""
    return Registry.load(*packs.in_folders([nodes], [], place.settings.environments))


def test_what_needs_the_engine_is_refused_in_its_authors_words(place: Place, tmp_path: Path) -> None:
    text = """
from graphengine import NO_CONTEXT, Body, Context, Lazy, node
from odd_nodes.kinds import Loose

@node
async def either(
    first: bool,
    one: Lazy[int],
) -> int:
    return await one

@node
async def each(over: list[int], body: Body[[int], int]) -> list[int]:
    return [await body(item) for item in over]

@node
def load(name: Loose, ctx: Context = NO_CONTEXT) -> int:
    return ctx.use(name)

@node
def fine() -> int:
    return 1
"""
    file = place.write(tmp_path, nodes=text) / "nodes.py"
    found = loaded(place, tmp_path)
    assert list(found.types) == ["odd.fine"]
    one, two, three = sorted(problem.text for problem in found.problems)
    assert one.startswith(f"{file}:13: odd_nodes.nodes.each: input 'body' is a Body, which only the engine")
    assert two.startswith(
        f"{file}:17: odd_nodes.nodes.load: input 'ctx': `use` gives a model that the engine"
    )
    assert three.startswith(f"{file}:8: odd_nodes.nodes.either: input 'one' is a Lazy, which only the engine")
    assert "take the value itself, or leave `isolated` out of its pyproject.toml" in three


def test_a_module_that_is_not_there_is_told_with_its_traceback(place: Place, tmp_path: Path) -> None:
    file = place.write(tmp_path, nodes="import time\nimport nowhere\n") / "nodes.py"
    (problem,) = loaded(place, tmp_path).problems
    assert problem.text.startswith(f"{file}:2: No module named 'nowhere'; install what has it, and name that")
    assert "import nowhere" in problem.trace


def test_a_process_that_dies_while_it_loads_is_told_with_what_it_wrote(place: Place, tmp_path: Path) -> None:
    text = "import os, sys\nprint('a complaint', file=sys.stderr)\nos._exit(5)\n"
    place.write(tmp_path, nodes=text)
    (problem,) = loaded(place, tmp_path).problems
    assert (
        f"{tmp_path}/odd-nodes: the process of the isolated pack odd ended with exit status 5" in problem.text
    )
    assert problem.trace == "a complaint\n"


def test_one_that_never_ends_loading_is_given_up(
    place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(isolation, "PATIENCE", 1.0)
    place.write(tmp_path, nodes="import time\ntime.sleep(60)\n")
    (problem,) = loaded(place, tmp_path).problems
    assert "importing it takes more than 1 seconds" in problem.text


def test_a_process_of_files_that_have_changed_is_not_used(place: Place, tmp_path: Path) -> None:
    text = "from graphengine import node\n\n@node(version=1)\ndef one() -> int:\n    return 1\n"
    file = place.write(tmp_path, nodes=text) / "nodes.py"
    manifest = loaded(place, tmp_path).manifest
    first = bound(manifest, "odd.one")
    assert first.run(isolation.NO_CONTEXT) == 1
    file.write_text(text.replace("return 1", "return 2"))
    assert bound(manifest, "odd.one").run(isolation.NO_CONTEXT) == 1, "its process is the one of before"
    second = bound(loaded(place, tmp_path).manifest, "odd.one")
    assert second.run(isolation.NO_CONTEXT) == 2
    assert first.run(isolation.NO_CONTEXT) == 1, "who began with it ends with it"
    os.kill(first.run.__self__.process.lines[0].process.pid, signal.SIGKILL)  # type: ignore[attr-defined]
    with pytest.raises(PackError, match=r"have changed since it was read|has ended|was killed"):
        first.run(isolation.NO_CONTEXT)
    with pytest.raises(PackError, match="the files of the pack odd have changed since it was read"):
        first.run(isolation.NO_CONTEXT)


def test_a_process_ends_with_who_holds_it(place: Place, tmp_path: Path) -> None:
    text = "import os\nfrom graphengine import node\n\n@node\ndef one() -> int:\n    return os.getpid()\n"
    place.write(tmp_path, nodes=text)
    pid = bound(loaded(place, tmp_path).manifest, "odd.one").run(isolation.NO_CONTEXT)
    assert Path(f"/proc/{pid}").exists()
    isolation.PROCESSES.clear()
    assert not Path(f"/proc/{pid}").exists()
    script = (
        "import sys; from pathlib import Path; from graphengine import isolation, packs;"
        "from graphengine.registry import Registry;"
        "nodes, root = map(Path, sys.argv[1:]);"
        "found = Registry.load(*packs.in_folders([nodes], [], root)).manifest;"
        "print(Registry.only(found, ['odd.one'])['odd.one'].run(isolation.NO_CONTEXT), flush=True);"
        "import os, signal; os.kill(os.getpid(), signal.SIGKILL)"
    )
    words = [sys.executable, "-c", script, str(tmp_path), str(place.settings.environments)]
    pid = int(subprocess.run(words, capture_output=True, text=True, check=False).stdout)
    deadline = time.monotonic() + 5
    while Path(f"/proc/{pid}").exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not Path(f"/proc/{pid}").exists() or "Z" in Path(f"/proc/{pid}/stat").read_text().split()[2]


def test_serve_dev_sees_a_changed_file_and_starts_the_process_anew(place: Place, tmp_path: Path) -> None:
    text = "from graphengine import node\n\n@node(version=3)\ndef one(x: int = 1) -> int:\n    return x\n"
    nodes = tmp_path / "nodes"
    file = place.write(nodes, nodes=text) / "nodes.py"
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "environments").symlink_to(place.settings.environments)
    settings = serving_settings(tmp_path, cache=tmp_path / "cache", nodes=(nodes,), dev=True)

    async def scene() -> None:
        async with served(settings) as service:
            await until(lambda: service.health().ready)
            await service.types()
            await given(service, 1)
            for change, wanted in (("x + 1", 2), ("x + 2", 3)):
                renewal = service.hub.renewal
                await asyncio.to_thread(
                    file.write_text,
                    text.replace("return x", f"return {change}").replace("=3", f"={wanted + 3}"),
                )
                async with asyncio.timeout(60):
                    await renewal.wait()
                await given(service, wanted)

    async def given(service: Any, wanted: int) -> None:
        job = await ended(service, (await service.submit(dict(chain("odd.one").data))).job.id)
        assert job.state == "done", job.error
        assert (await service.detail(job.id)).result == {"value": wanted}

    run(scene())


# -- projects ---------------------------------------------------------------------------------------------

HEAD = '[project]\nname = "p"\n'
ENTRY = '[project.entry-points."graphengine.packs"]\nkept = "kept"\n'
OURS = "[tool.graphengine]\nisolated = true\n"


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("[project", "is no TOML: "),
        (HEAD, 'names no pack; write\n\n[project.entry-points."graphengine.packs"]'),
        (HEAD + ENTRY + 'more = "more"\n', "names 2 packs, kept, more; in a folder a project has one"),
        (
            HEAD + ENTRY.replace('"kept"', '"kept.inner"'),
            "the module of kept is 'kept.inner'; name a package",
        ),
        (HEAD + ENTRY.replace('"kept"', '"other"'), "there is neither "),
        (HEAD + ENTRY + OURS.replace("true", '"yes"'), "isolated is 'yes'; write `isolated = true`"),
        (HEAD + ENTRY + OURS.replace("isolated", "isolate"), "has no 'isolate'; it has `isolated`"),
        (HEAD + 'dependencies = "numpy"\n' + ENTRY, "`dependencies` is no list of texts"),
        (HEAD + 'dynamic = ["dependencies"]\n' + ENTRY + OURS, "its dependencies are dynamic"),
        (HEAD + 'requires-python = ">=99"\n' + ENTRY, "needs Python >=99, and this is 3."),
        (HEAD + 'requires-python = "new"\n' + ENTRY, "requires-python is 'new'; write such as"),
        (HEAD + "requires-python = 3\n" + ENTRY, "requires-python is 3; write such as"),
        ("project = 3\n", "project is 3, and should be a table"),
    ],
)
def test_a_project_that_says_wrong_what_it_is_is_a_problem(tmp_path: Path, text: str, wanted: str) -> None:
    (tmp_path / "p" / "kept").mkdir(parents=True)
    (tmp_path / "p" / "kept" / "__init__.py").touch()
    (tmp_path / "p" / "pyproject.toml").write_text(text)
    found, (problem,) = packs.in_folders([tmp_path], [], tmp_path)
    assert found == []
    assert problem.pack == "p"
    assert f"{tmp_path}/p/pyproject.toml: " in problem.text
    assert wanted in problem.text


@pytest.mark.parametrize("base", ["", "src/"])
def test_a_project_that_is_not_isolated_is_loaded_here(tmp_path: Path, base: str) -> None:
    name = f"kept_{len(base)}"
    package = tmp_path / "p" / base / name
    package.mkdir(parents=True)
    (package / "__init__.py").write_text(
        "from graphengine import node\n@node\ndef f() -> int:\n    return 1\n"
    )
    (tmp_path / "p" / "pyproject.toml").write_text(HEAD + 'version = "2.0"\n' + ENTRY.replace("kept", name))
    found = Registry.load(*packs.in_folders([tmp_path], []))
    assert found.problems == []
    (pack,) = found.packs
    assert (pack.name, pack.version, pack.project, pack.isolated) == (name, "2.0", str(tmp_path / "p"), False)
    assert found.types[f"{name}.f"].run() == 1
    packs.forget(pack)
    del packs.FINDER.places[name]


def test_a_package_with_settings_of_other_tools_beside_it_is_a_package(tmp_path: Path) -> None:
    (tmp_path / "flat").mkdir()
    (tmp_path / "flat" / "__init__.py").touch()
    (tmp_path / "flat" / "pyproject.toml").write_text("[tool.ruff]\n")
    ((pack,), problems) = packs.in_folders([tmp_path], [])
    assert (pack.name, pack.project, problems) == ("flat", "", [])
