from __future__ import annotations

import subprocess
import sys

import pytest

import graphengine

NAMES = [
    "NO_CONTEXT", "Body", "Cancelled", "Choices", "Client", "Context", "Folders", "GraphEngineError",
    "Handle", "Image", "Lazy", "Mask", "NodeFailed", "Outcome", "Problem", "Result", "Seed", "Session",
    "Settings", "Sweep", "Ui", "WireType", "Workflow", "WorkflowError", "load", "node",
]  # fmt: skip


def fresh(code: str) -> str:
    """What a new Python process prints."""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return done.stdout.strip()


def test_the_public_names_are_these() -> None:
    assert graphengine.__all__ == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_each_public_name_is_there_and_is_explained(name: str) -> None:
    found = getattr(graphengine, name)
    assert name in ("NO_CONTEXT", "Seed", "Image", "Mask") or found.__doc__


def test_a_name_that_is_not_there_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="module 'graphengine' has no attribute 'nothing'"):
        graphengine.nothing  # noqa: B018


def test_importing_graphengine_is_quick_and_imports_nothing_heavy() -> None:
    code = """if True:
        import sys, time
        began = time.process_time()
        import graphengine
        took = time.process_time() - began
        heavy = {"torch", "pydantic", "diffusers", "transformers", "networkx", "aiohttp", "numpy"}
        print(sorted(heavy & sys.modules.keys()), took < 0.3, took)
    """
    heavy, quick, took = fresh(code).rsplit(" ", 2)
    assert heavy == "[]"
    assert quick == "True", took


def test_reading_and_checking_need_no_torch() -> None:
    code = """if True:
        import sys
        from graphengine.workflow import Workflow
        from graphengine.check import check
        check(Workflow.parse('{"format": 1, "nodes": {"a": {"type": "x.y"}}}'), {})
        print(sorted({"torch", "pydantic", "networkx"} & sys.modules.keys()))
    """
    assert fresh(code) == "[]"
