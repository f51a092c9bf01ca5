from __future__ import annotations

import pytest

from graphengine.errors import (
    Cancelled,
    GraphEngineError,
    ModelError,
    NodeFailed,
    OutOfMemory,
    PackError,
    Problem,
    WorkflowError,
)


@pytest.mark.parametrize(
    ("problem", "text"),
    [
        (Problem("", "", "is empty"), "is empty"),
        (Problem("a", "", "is odd"), "a: is odd"),
        (Problem("a", "x", "is missing"), "a.x: is missing"),
        (Problem("", "format", "is old"), "format: is old"),
    ],
)
def test_a_problem_says_where_it_is(problem: Problem, text: str) -> None:
    assert str(problem) == text


def test_a_workflow_error_holds_every_problem() -> None:
    problems = [Problem("a", "x", "one"), Problem("b", "", "two")]
    error = WorkflowError(problems)
    assert error.problems == tuple(problems)
    assert str(error) == "a.x: one\nb: two"


def test_a_workflow_error_of_a_text_is_about_the_whole_file() -> None:
    assert WorkflowError("no JSON").problems == (Problem("", "", "no JSON"),)


def test_node_failed_keeps_the_node_and_the_cause() -> None:
    cause = ValueError("too small")
    error = NodeFailed("blur", cause)
    assert (error.node, error.cause) == ("blur", cause)
    assert str(error) == "blur: ValueError: too small"


@pytest.mark.parametrize("kind", [WorkflowError, PackError, ModelError, NodeFailed, OutOfMemory])
def test_everything_that_is_raised_is_a_graphengine_error(kind: type) -> None:
    assert issubclass(kind, GraphEngineError)


def test_except_exception_lets_cancelled_through() -> None:
    assert not issubclass(Cancelled, Exception)
