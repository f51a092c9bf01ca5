"""The Mermaid text of a workflow."""

from __future__ import annotations

import re

import pytest

from graphengine import resources
from graphengine.drawing.mermaid import mermaid
from graphengine.registry import Registry, installed
from graphengine.workflow import Workflow

TYPES = Registry.load(installed()).types
NODE = re.compile(r'(\w+)(\["[^"]*"\]|\(\["[^"]*"\]\))')
ARROW = re.compile(r'(\w+) (?:-- "[^"]*" -->|-\. "[^"]*" \.->) (\w+)')


@pytest.mark.parametrize("name", resources.workflow_names())
def test_every_line_is_one_that_mermaid_knows_and_every_arrow_joins_known_nodes(name):
    path = resources.workflow(name)
    assert path is not None
    first, *lines = mermaid(Workflow.load(path), TYPES).splitlines()
    assert first == "flowchart LR"
    known, arrows, depth = set(), [], 0
    for line in map(str.strip, lines):
        if line == "end":
            depth -= 1
        elif line.startswith("subgraph "):
            depth += 1
            assert NODE.fullmatch(line.removeprefix("subgraph "))
        elif node := NODE.fullmatch(line):
            known.add(node[1])
        elif arrow := ARROW.fullmatch(line):
            arrows.append(arrow.groups())
        else:
            pytest.fail(line)
    assert depth == 0
    assert arrows
    assert {end for arrow in arrows for end in arrow} <= known


def test_a_loop_shows_what_it_is_given_and_what_it_carries():
    path = resources.workflow("text_to_image")
    assert path is not None
    lines = [line.strip() for line in mermaid(Workflow.load(path), TYPES).splitlines()]
    assert 'denoise -- "start" --> denoise__body__IN_latent' in lines
    assert 'denoise -- "each of over" --> denoise__body__IN_timestep' in lines
    assert 'denoise__body__OUT_latent -. "next round" .-> denoise__body__IN_latent' in lines


def test_words_that_mermaid_takes_for_its_own_are_no_ids():
    nodes = {"end": {"type": "t.t", "inputs": {"a": {"link": "style.b"}}}, "style": {"type": "t.t"}}
    workflow = Workflow.of({"format": 1, "nodes": nodes})
    assert mermaid(workflow, {}) == (
        'flowchart LR\n  END["end<br>t.t"]\n  STYLE["style<br>t.t"]\n  STYLE -- "b → a" --> END\n'
    )


def test_sub_workflows_and_what_is_left_out_are_told_apart():
    nodes = {
        "a": {"type": "graph:g", "inputs": {"x": 1}},
        "b": {"type": "t.t", "state": "muted", "inputs": {"x": {"link": "a.y"}}},
        "c": {"type": "graph:g", "state": "bypassed"},
    }
    assert mermaid(Workflow.of({"format": 1, "nodes": nodes, "graphs": {"g": {"nodes": {}}}}), {}) == (
        'flowchart LR\n  a["a<br>graph:g<br>x: 1"]\n  b["b<br>t.t, muted"]:::muted\n'
        '  c["c<br>graph:g, bypassed"]:::bypassed\n  a -- "y → x" --> b\n'
        "  classDef muted opacity:0.45,stroke-dasharray:5 4\n  classDef bypassed stroke-dasharray:5 4\n"
    )


def test_what_the_user_wrote_is_no_syntax():
    text = 'a"] --> b["\n```<b>#'
    drawn = mermaid(Workflow.of({"format": 1, "nodes": {"a": {"type": "t.t", "inputs": {"x": text}}}}), {})
    assert len(drawn.splitlines()) == 2
    assert drawn.count('"') == 2
    assert "<b>" not in drawn
