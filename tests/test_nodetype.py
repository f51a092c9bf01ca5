from __future__ import annotations

import json
from dataclasses import fields
from typing import Any

import pytest
from samples import TYPES

from graphengine.nodetype import EMPTY, NodeType, Port, ref
from graphengine.registry import Registry, installed

PACKS = Registry.load(installed()).types
FUNCTIONS = {"run", "batched", "fingerprint", "frugal"}


def told(kind: NodeType) -> dict[str, Any]:
    """Everything that a manifest keeps of a node type."""
    ports = [port._replace(choices=None, convert=None) for port in kind.inputs.values()]
    ports = [port if port.kind != "context" else port._replace(default=EMPTY) for port in ports]
    plain = {f.name: getattr(kind, f.name) for f in fields(kind) if f.name not in FUNCTIONS}
    return {**plain, "inputs": ports}


@pytest.mark.parametrize("kind", [*TYPES.values(), *PACKS.values()], ids=lambda kind: kind.id)
def test_json_and_back_loses_nothing_but_functions(kind: NodeType) -> None:
    again = NodeType.from_json(json.loads(json.dumps(kind.to_json(), allow_nan=False)))
    assert told(again) == told(kind)
    assert again.to_json() == json.loads(json.dumps(kind.to_json())) | {"outputs": kind.outputs} | {
        k: again.to_json()[k] for k in ("inputs", "aliases")
    }
    assert all(getattr(again, name) is None for name in FUNCTIONS)
    assert [*again.inputs] == [*kind.inputs]
    assert [*again.outputs] == [*kind.outputs]


def test_a_default_of_none_is_not_a_missing_default() -> None:
    assert TYPES["t.bounded"].inputs["note"].default is None
    again = NodeType.from_json(json.loads(json.dumps(TYPES["t.bounded"].to_json())))
    assert again.inputs["note"].default is None
    assert TYPES["t.add"].inputs["a"].default is EMPTY


def test_a_type_survives_json() -> None:
    kind = ("list", ("list", "~T"))
    assert ref(json.loads(json.dumps(kind))) == kind


@pytest.mark.parametrize(
    ("id", "generic"), [("t.add", False), ("t.fold", True), ("t.switch", True), ("t.map", True)]
)
def test_a_type_with_variables_is_generic(id: str, generic: bool) -> None:
    assert TYPES[id].generic is generic


def test_variables_among_the_inputs_alone_make_a_type_generic() -> None:
    ports = {"a": Port("a", "~T"), "b": Port("b", "~T")}
    assert NodeType("p.same", "", "", "", "", "", ports, {"value": "bool"}, "").generic


def test_what_a_node_type_says_of_itself() -> None:
    assert TYPES["t.show"].effect
    assert not TYPES["t.add"].effect
    assert TYPES["t.patient"].context == 1
    assert TYPES["t.add"].context is None
    assert [*TYPES["t.patient"].ports] == ["n"]
    assert not TYPES["t.clock"].cached
    assert not TYPES["t.show"].cached
    assert TYPES["t.add"].cached
