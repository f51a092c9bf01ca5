"""Each kind of bad input: a sentence with the place, the value and the remedy, status 2, no traceback."""

from __future__ import annotations

from pathlib import Path

import pytest

ADD = '{"type": "number.add", "inputs": {"first": 1, "second": 2}}'


def nodes(text: str) -> str:
    """A file around the text of its nodes."""
    return f'{{"format": 1, "nodes": {{{text}}}}}'


def adder(inputs: str) -> str:
    """A file with one node that adds."""
    return nodes(f'"a": {{"type": "number.add", "inputs": {{{inputs}}}}}')


KINDS = {
    "broken JSON": ('{"format": 1,\n "nodes": {]', "line 2, column 12 is not JSON", "correct the text there"),
    "duplicate key": (adder('"first": 1, "first": 3, "second": 2'), "a.first: ", "1 and 3", "keep one"),
    "unknown type": (nodes('"a": {"type": "number.ad"}'), "a: ", "'number.ad'", "did you mean number.add?"),
    "unknown input": (adder('"first": 1, "second": 2, "secnd": 3'), "a.secnd: ", "did you mean second?"),
    "missing input": (adder('"second": 2'), "a.first: is missing", "give it a number"),
    "wrong type": (adder('"first": "x", "second": 2'), "a.first: 'x' is a text", "write a number such as"),
    "wrong wire": (
        nodes(f'"a": {ADD}, "b": {{"type": "image.invert", "inputs": {{"image": {{"link": "a.value"}}}}}}'),
        "b.image: wants an Image, but a.value is a number",
        "link another output",
    ),
    "out of range": (
        nodes('"a": {"type": "image.solid", "inputs": {"width": 0, "height": 8}}'),
        "a.width: 0 is below 1; choose 1 to",
    ),
    "link to nowhere": (
        adder('"first": {"link": "nope.value"}, "second": 2'),
        "a.first: links to 'nope.value', but there is no node 'nope' here; link to one that is there",
    ),
    "cycle": (
        nodes(
            '"a": {"type": "number.add", "inputs": {"first": {"link": "b.value"}, "second": 1}},'
            '"b": {"type": "number.add", "inputs": {"first": {"link": "a.value"}, "second": 1}}'
        ),
        "a: is part of a cycle, a -> b -> a; remove one of these links",
    ),
    "NaN": (adder('"first": NaN, "second": 2'), "a.first: NaN is no JSON number; write a finite number"),
}


@pytest.mark.parametrize("command", ["validate", "run"])
@pytest.mark.parametrize("kind", KINDS)
def test_bad_input_is_told_in_a_sentence(graphengine, tmp_path: Path, kind: str, command: str) -> None:
    text, *said = KINDS[kind]
    (tmp_path / "bad.json").write_text(text)
    done = graphengine(command, "bad.json")
    assert done.status == 2
    for part in said:
        assert part in done.out + done.err
    assert "Traceback" not in done.out + done.err


@pytest.mark.parametrize("command", ["validate", "run"])
def test_a_hundred_megabytes_of_brackets_are_refused_at_once(
    graphengine, tmp_path: Path, command: str
) -> None:
    file = tmp_path / "brackets.json"
    file.write_text("[" * 100_000_000)
    done = graphengine(command, "brackets.json")
    file.unlink()
    assert done.status == 2
    assert "brackets.json has 100,000,000 bytes; a workflow has at most 33,554,432" in done.out + done.err


def test_all_kinds_in_one_file_are_told_in_one_answer(graphengine, tmp_path: Path) -> None:
    parts = {
        "type": '{"type": "number.nope"}',
        "input": '{"type": "number.add", "inputs": {"first": 1, "second": 2, "third": 3}}',
        "missing": '{"type": "number.add", "inputs": {"second": 2}}',
        "text": '{"type": "number.add", "inputs": {"first": "x", "second": 2}}',
        "range": '{"type": "image.solid", "inputs": {"width": 0, "height": 8}}',
        "nowhere": '{"type": "number.add", "inputs": {"first": {"link": "gone.value"}, "second": 2}}',
        "loop": '{"type": "number.add", "inputs": {"first": {"link": "loop.value"}, "second": 1}}',
        "nan": '{"type": "number.add", "inputs": {"first": NaN, "second": 2}}',
        "double": '{"type": "number.add", "inputs": {"first": 1, "first": 2, "second": 2}}',
    }
    (tmp_path / "bad.json").write_text(nodes(", ".join(f'"{id}": {spec}' for id, spec in parts.items())))
    done = graphengine("validate", "bad.json")
    assert done.status == 2
    told = {line.partition(":")[0].partition(".")[0] for line in done.out.splitlines()}
    assert told == set(parts)
