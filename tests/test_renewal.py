"""`serve --dev`: a file of a pack is saved, and node types, runs and errors are the new ones."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from serving import ended, run, served, settings, told, until

from graphengine.errors import WorkflowError
from graphengine.service import Service

FIRST = """
from graphengine import node

@node
def start(text: str = "a") -> str:
    return text * 2
"""
SECOND = """
from graphengine import node

@node
def finish(text: str, mark: str = "!") -> str:
    return text + mark
"""
CHAIN = {
    "format": 1,
    "nodes": {
        "one": {"type": "first.start", "inputs": {}},
        "two": {"type": "second.finish", "inputs": {"text": {"link": "one.value"}}},
    },
    "outputs": {"value": "two.value"},
}
"""Two nodes of two packs."""
KINDS = """
from dataclasses import dataclass
from graphengine import WireType

@WireType("Word")
@dataclass
class Word:
    text: str
"""
USES = """
from words.kinds import Word
from graphengine import node

@node
def word(text: str = "a") -> Word:
    return Word(text)

@node
def spell(word: Word) -> str:
    assert type(word) is Word
    return word.text + "."
"""
OTHER = """
from words.kinds import Word
from graphengine import node

@node
def shout(word: Word) -> str:
    assert type(word) is Word
    return word.text.upper()
"""


@asynccontextmanager
async def writing(folder: Path, **files: str) -> AsyncIterator[tuple[Service, Path]]:
    """A service for who writes the packs in a folder."""
    nodes = folder / "nodes"
    nodes.mkdir()
    for name, text in files.items():
        (nodes / f"{name}.py").write_text(text)
    found = settings(folder, nodes=(nodes,), dev=True, cache=folder / "cache")
    async with served(found) as service:
        await until(lambda: service.health().ready)
        await service.types()
        yield service, nodes


async def saved(service: Service, file: Path, text: str) -> None:
    """Save a file, and wait until the service tells that the node types have changed."""
    renewal = service.hub.renewal
    await asyncio.to_thread(file.write_text, text)
    async with asyncio.timeout(30):
        await renewal.wait()


async def result(service: Service, workflow: dict[str, Any]) -> tuple[Any, list[str]]:
    """What a workflow gives, and which of its nodes ran for it."""
    accepted = await service.submit(workflow)
    job = await ended(service, accepted.job.id)
    assert job.state == "done", job.error
    ran = [event["node"] for event in await told(service, job.id) if event["event"] == "node_finished"]
    return (await service.detail(job.id)).result["value"], ran


def test_what_is_saved_runs_next_and_only_that_runs_again(tmp_path: Path):
    async def scene() -> None:
        async with writing(tmp_path, first=FIRST, second=SECOND) as (service, nodes):
            assert await result(service, CHAIN) == ("aa!", ["one", "two"])
            for mark in "?-+":  # the same length each time, and within a second or so
                await saved(service, nodes / "second.py", SECOND.replace("!", mark))
                assert list((await service.plan(CHAIN)).steps) == ["two"]
                assert await result(service, CHAIN) == (f"aa{mark}", ["two"])
            await saved(service, nodes / "second.py", SECOND)
            assert await result(service, CHAIN) == ("aa!", [])

    run(scene())


def test_a_new_input_a_new_file_and_a_file_that_goes(tmp_path: Path):
    async def scene() -> None:
        async with writing(tmp_path, first=FIRST, second=SECOND) as (service, nodes):
            await result(service, CHAIN)
            await saved(
                service, nodes / "second.py", SECOND.replace("mark: str", "times: int = 2, mark: str")
            )
            assert "times" in service.manifest.types["second.finish"].inputs
            await saved(
                service,
                nodes / "third.py",
                "from graphengine import node\n\n@node\ndef three() -> int:\n    return 3\n",
            )
            three = {
                "format": 1,
                "nodes": {"n": {"type": "third.three", "inputs": {}}},
                "outputs": {"value": "n.value"},
            }
            assert await result(service, three) == (3, ["n"])
            renewal = service.hub.renewal
            (nodes / "third.py").unlink()
            await renewal.wait()
            assert "third.three" not in service.manifest.types

    run(scene())


def test_a_mistake_is_told_with_its_traceback_and_mended_without_a_new_start(tmp_path: Path):
    async def scene() -> None:
        async with writing(tmp_path, first=FIRST, second=SECOND) as (service, nodes):
            await result(service, CHAIN)
            await saved(service, nodes / "second.py", SECOND.replace("return", "retrun"))
            (problem,) = service.manifest.problems
            assert problem.pack == "second"
            assert "second.py:6: SyntaxError" in problem.text
            assert "retrun" in problem.trace
            (told,) = await service.check(CHAIN)
            assert (told.node, problem.text in told.text) == ("two", True)
            with pytest.raises(WorkflowError, match=r"there is no node type 'second.finish': .*SyntaxError"):
                await service.submit(CHAIN)
            await saved(service, nodes / "second.py", SECOND.replace("!", "?"))
            assert service.manifest.problems == ()
            assert await result(service, CHAIN) == ("aa?", ["two"])

    run(scene())


def test_a_pack_that_ends_the_process_takes_nobody_with_it(tmp_path: Path):
    async def scene() -> None:
        async with writing(tmp_path, first=FIRST) as (service, nodes):
            await saved(service, nodes / "second.py", "import os\nos._exit(3)\n")
            (problem,) = service.manifest.problems
            assert problem.text == "the packs could not be loaded: importing them ended the process, with 3"
            await saved(service, nodes / "second.py", SECOND)
            assert service.manifest.problems == ()
            assert await result(service, CHAIN) == ("aa!", ["one", "two"])

    run(scene())


def test_a_job_that_runs_ends_with_the_code_that_it_began_with(tmp_path: Path):
    slow = SECOND.replace("    return", "    import time\n    time.sleep(4)\n    return")

    async def scene() -> None:
        async with writing(tmp_path, first=FIRST, second=slow) as (service, nodes):
            job = (await service.submit(CHAIN)).job
            await until(lambda: started(service, job.id, "two"))
            await saved(service, nodes / "second.py", SECOND.replace("!", "?"))
            assert (await service.job(job.id)).state == "running"
            await ended(service, job.id)
            assert (await service.detail(job.id)).result == {"value": "aa!"}
            assert await result(service, CHAIN) == ("aa?", ["two"])

    run(scene())


async def started(service: Service, id: str, node: str) -> bool:
    """Whether a node of a job has begun."""
    return any(e["event"] == "node_started" and e["node"] == node for e in await told(service, id))


def test_values_in_memory_stay_good_where_their_class_has_not_changed(tmp_path: Path):
    words = {
        "format": 1,
        "nodes": {
            "word": {"type": "words.word", "inputs": {}},
            "spell": {"type": "words.spell", "inputs": {"word": {"link": "word.word"}}},
        },
        "outputs": {"value": "spell.value"},
    }

    async def scene() -> None:
        async with writing(tmp_path) as (service, nodes):
            (nodes / "words").mkdir()
            (nodes / "words/kinds.py").write_text(KINDS)
            (nodes / "words/other.py").write_text(OTHER)
            (nodes / "words/makes.py").write_text("")
            await saved(service, nodes / "words/__init__.py", 'MODULES = ("makes", "other")\n')
            await saved(service, nodes / "words/makes.py", USES)
            assert await result(service, words) == ("a.", ["word", "spell"])
            loud = {
                **words,
                "nodes": {**words["nodes"], "spell": {**words["nodes"]["spell"], "type": "words.shout"}},
            }
            assert await result(service, loud) == ("A", ["spell"])
            await saved(service, nodes / "words/other.py", OTHER.replace("upper()", "upper() + '!'"))
            assert await result(service, loud) == ("A!", ["spell"])

    run(scene())
