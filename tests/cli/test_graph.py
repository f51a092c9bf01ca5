"""`graphengine graph`"""

from __future__ import annotations

from xml.etree import ElementTree


def test_mermaid_is_printed(graphengine, sum_file):
    done = graphengine("graph", sum_file)
    assert done.status == 0
    assert done.out.startswith("flowchart LR\n")
    assert 'one -- "value → first" --> two' in done.out


def test_a_picture_is_written_and_its_path_printed(graphengine, sum_file, tmp_path):
    done = graphengine("graph", sum_file, "--out", "sum.svg")
    assert (done.status, done.out) == (0, "sum.svg\n")
    assert ElementTree.parse(tmp_path / "sum.svg").getroot().tag.endswith("svg")


def test_the_format_may_be_named(graphengine, sum_file):
    assert graphengine("graph", sum_file, "--format", "svg").out.startswith("<svg")


def test_a_workflow_with_problems_is_drawn_too(graphengine, write):
    file = write({"one": {"type": "no.such", "inputs": {"x": {"link": "one.y"}, "z": {"link": "gone.y"}}}})
    for format in ("mermaid", "svg"):
        done = graphengine("graph", file, "--format", format)
        assert (done.status, done.err) == (0, "")
        assert "no.such" in done.out


def test_a_place_that_cannot_be_written_is_told(graphengine, sum_file):
    done = graphengine("graph", sum_file, "--out", "no/such/folder.svg")
    assert done.status == 3
    assert "no/such/folder.svg cannot be written" in done.err
