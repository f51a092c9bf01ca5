from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import Any, NamedTuple

import pytest
import torch

from graphengine.types import WireType, show, weight


@dataclass(frozen=True)
class Holder:
    left: Any
    right: Any


class Two(NamedTuple):
    left: Any
    right: Any


@pytest.mark.parametrize(
    ("ref", "text"),
    [
        ("Image", "Image"),
        ("~T", "T"),
        (("list", "int"), "list of int"),
        (("list", ("list", "~T")), "list of list of T"),
    ],
)
def test_a_type_is_shown_in_words(ref: Any, text: str) -> None:
    assert show(ref) == text


def test_marking_a_class_gives_the_class() -> None:
    mark = WireType("Thing", "#123456", "One.")

    @mark
    class Thing:
        pass

    assert Thing.__wire__ is mark  # type: ignore[attr-defined]


@pytest.mark.parametrize("wrap", [lambda t: t, lambda t: [t], lambda t: {"a": t}, lambda t: Holder(t, 1)])
def test_a_tensor_weighs_its_bytes_wherever_it_is(wrap: Any) -> None:
    assert 4000 <= weight(wrap(torch.zeros(1000))) < 4600


def test_a_view_weighs_all_that_it_keeps_alive() -> None:
    assert weight(torch.zeros(1000)[:1]) == 4000


def test_an_expanded_tensor_weighs_what_it_holds() -> None:
    assert weight(torch.zeros(1).expand(1_000_000)) == 4


def test_views_of_one_tensor_weigh_once() -> None:
    whole = torch.zeros(1000)
    assert weight(Two(whole[:500], whole[500:])) < 4600


def test_one_object_in_two_places_weighs_once() -> None:
    text = "x" * 1000
    assert weight([text, text]) < 2 * sys.getsizeof(text)


def test_a_list_that_holds_itself_has_a_weight() -> None:
    ring: list[Any] = []
    ring.append(ring)
    assert weight(ring) == sys.getsizeof(ring)


def test_a_deep_list_has_a_weight() -> None:
    deep: list[Any] = []
    for _ in range(5000):
        deep = [deep]
    assert weight(deep) > 5000 * 56


@pytest.mark.filterwarnings("ignore:Sparse")  # torch warns that some sparse layouts are new
def test_a_sparse_tensor_has_a_weight() -> None:
    assert weight(torch.eye(3).to_sparse()) > 0


def test_a_text_is_heavier_when_it_is_longer() -> None:
    assert weight("x" * 1000) - weight("") == 1000
