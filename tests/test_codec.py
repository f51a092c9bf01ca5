from __future__ import annotations

import math
from dataclasses import dataclass, field
from enum import Enum, StrEnum
from typing import Any, NamedTuple

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from graphengine.codec import Codec, NotStorable

PACKAGE = __name__.partition(".")[0]
codec = Codec({PACKAGE})


class Colour(Enum):
    RED = 1
    BLUE = "b"


class Word(StrEnum):
    YES = "yes"


class Pair(NamedTuple):
    left: Any
    right: Any = None


@dataclass(frozen=True)
class Latent:
    samples: torch.Tensor
    scale: float = 1.0
    tags: tuple[str, ...] = ()
    derived: int = field(default=0, init=False)


@dataclass(frozen=True)
class Picky:
    value: Any

    def __post_init__(self) -> None:
        if self.value != 1:
            raise RuntimeError("only 1")


@dataclass
class Loose:
    value: int


def same(one: Any, two: Any) -> bool:
    """Equal to the bit, of the same types."""
    if type(one) is not type(two):
        return False
    if isinstance(one, torch.Tensor):
        return (
            one.dtype == two.dtype
            and one.shape == two.shape
            and torch.equal(one.contiguous().reshape(-1).view(torch.uint8), two.reshape(-1).view(torch.uint8))
        )
    if isinstance(one, float):
        return math.copysign(1, one) == math.copysign(1, two) and (one == two or (one != one and two != two))
    if isinstance(one, dict):
        return [*one] == [*two] and all(same(one[k], two[k]) for k in one)
    if isinstance(one, (list, tuple)):
        return len(one) == len(two) and all(map(same, one, two))
    if isinstance(one, Latent):
        return same(one.samples, two.samples) and (one.scale, one.tags) == (two.scale, two.tags)
    return bool(one == two)


PLAIN = [
    None, True, False, 0, -1, 2**63, 10**5000, -(10**5000), 0.0, -0.0, 1e-300, float("nan"), float("inf"),
    float("-inf"), "", "a\0b", "\ud800", "ünïcödé \U0001f600", b"", b"\0\xff", [], (), {}, [1, [2.0, (3,)]],
    {"a": 1, 2: "b", (1, 2): None, None: []}, {"tensor": "0"}, {"class": "x", "fields": {}}, {"float": "nan"},
    Colour.RED, Colour.BLUE, Word.YES, Pair(1, [Pair(2)]), (Pair(1),), [Colour.RED, "RED"],
]  # fmt: skip


@pytest.mark.parametrize("value", PLAIN, ids=lambda v: f"{v!r:.40}" if not isinstance(v, int) else "int")
def test_plain_values_come_back(value: Any) -> None:
    assert same(codec.decode(codec.encode(value)), value)


TENSORS = {
    "float32": torch.tensor([1.5, float("nan"), float("inf"), -0.0]),
    "float64": torch.tensor([1e-300], dtype=torch.float64),
    "float16": torch.tensor([1.5, 65504.0], dtype=torch.float16),
    "bfloat16": torch.tensor([1.5, float("nan")], dtype=torch.bfloat16),
    "bool": torch.tensor([True, False]),
    "uint8": torch.arange(256, dtype=torch.uint8),
    "int64": torch.tensor([-(2**63), 2**63 - 1]),
    "empty": torch.zeros(2, 0, 3),
}


@pytest.mark.parametrize("tensor", TENSORS.values(), ids=TENSORS.keys())
def test_tensors_come_back_to_the_bit(tensor: torch.Tensor) -> None:
    assert same(codec.decode(codec.encode(tensor)), tensor)


def test_a_tensor_without_dimensions_comes_back() -> None:
    value = codec.decode(codec.encode(torch.tensor(3.5)))
    assert value.shape == ()
    assert value.item() == 3.5


@pytest.mark.parametrize(
    "tensor",
    [
        torch.arange(12.0).reshape(3, 4).t(),
        torch.arange(12.0)[::2],
        torch.ones(1).expand(5),
        torch.zeros(1, 3, 4, 4).to(memory_format=torch.channels_last),
    ],
)
def test_a_tensor_that_lies_scattered_in_memory_comes_back(tensor: torch.Tensor) -> None:
    assert torch.equal(codec.decode(codec.encode(tensor)), tensor)


def test_a_view_is_stored_alone() -> None:
    assert len(codec.encode(torch.zeros(100_000)[:1])) < 1000


def test_tensors_that_share_memory_come_back() -> None:
    whole = torch.arange(4.0)
    left, again, part = codec.decode(codec.encode([whole, whole, whole[2:]]))
    assert same(left, whole)
    assert same(again, whole)
    assert same(part, whole[2:])


def test_a_tensor_that_learns_comes_back_without_its_history() -> None:
    tensor = torch.ones(2, requires_grad=True) * 2
    found = codec.decode(codec.encode(tensor))
    assert not found.requires_grad
    assert torch.equal(found, tensor)


def test_dataclasses_and_namedtuples_come_back_with_their_tensors() -> None:
    value = Pair(Latent(torch.ones(2, 3), 0.5, ("a", "b")), {"x": [Latent(torch.zeros(1))]})
    assert same(codec.decode(codec.encode(value)), value)


def ring() -> list[Any]:
    found: list[Any] = []
    found.append(found)
    return found


@pytest.mark.parametrize(
    "value",
    [
        object(), Loose(1), {1, 2}, len, int, Latent, ring(), Pair(object()), [Loose(1)], torch.float32,
        torch.eye(2).to_sparse(), torch.zeros(2, device="meta"), 1j, bytearray(b"x"),
    ],
    ids=lambda v: type(v).__name__,
)  # fmt: skip
def test_what_has_no_form_as_bytes_is_not_storable(value: Any) -> None:
    with pytest.raises(NotStorable):
        codec.encode(value)


def test_a_class_outside_of_packs_is_neither_stored_nor_read() -> None:
    stored = codec.encode(Pair(1))
    with pytest.raises(NotStorable, match="belongs to no pack"):
        Codec({"elsewhere"}).encode(Pair(1))
    with pytest.raises(ValueError, match="belongs to no pack"):
        Codec({"elsewhere"}).decode(stored)


def test_a_class_that_was_made_in_a_function_is_not_stored_because_it_could_not_be_read() -> None:
    class Local(NamedTuple):
        x: int

    with pytest.raises(NotStorable):
        codec.encode(Local(1))


def forged(outline: str) -> bytes:
    from safetensors.torch import save

    return save({}, {"value": outline})


@pytest.mark.parametrize(
    "outline",
    [
        '{"class":"os:stat_result","fields":{}}',
        '{"class":"builtins:eval","fields":{}}',
        '{"class":"graphengine.folders:os.stat_result","fields":{}}',
        '{"class":"graphengine.folders:write_atomically","fields":{}}',
        '{"class":"graphengine.nowhere:X","fields":{}}',
        '{"class":"graphengine.folders:Folders","fields":{"no":1}}',
        '{"class":"","fields":{}}',
        f'{{"class":"{__name__}:Picky","fields":{{"value":2}}}}',
        f'{{"enum":"{__name__}:Colour","name":"GREEN"}}',
        f'{{"enum":"{__name__}:Pair","name":"x"}}',
        '{"tensor":"9"}',
        '{"tensor":[]}',
        '{"dict":[[[],1]]}',
        '{"dict":[1]}',
        '{"bytes":"a"}',
        '{"float":"x"}',
        '{"unheard":1}',
        "{}",
        "[" * 100_000,
        "nothing",
    ],
)
def test_a_forged_outline_is_a_value_error(outline: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        codec.decode(forged(outline))


SAMPLE = Pair(Latent(torch.arange(6.0)), {"a": [1, 2.5, "x", b"y", Colour.RED], "b": float("nan")})
STORED = codec.encode(SAMPLE)


def decode(data: bytes) -> None:
    try:
        codec.decode(data)
    except ValueError:
        pass


@settings(max_examples=200, deadline=None)
@given(st.integers(0, len(STORED) - 1), st.integers(1, 255))
def test_a_changed_byte_gives_a_value_or_a_value_error(at: int, by: int) -> None:
    data = bytearray(STORED)
    data[at] ^= by
    decode(bytes(data))


@settings(max_examples=100, deadline=None)
@given(st.integers(0, len(STORED) - 1))
def test_a_cut_file_is_a_value_error(at: int) -> None:
    with pytest.raises(ValueError, match=r"."):
        codec.decode(STORED[:at])


@given(st.binary(max_size=200))
def test_foreign_bytes_are_a_value_error(data: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        codec.decode(data)


values = st.recursive(
    st.one_of(
        st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=5), st.binary(max_size=5)
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.lists(inner, max_size=3).map(tuple),
        st.dictionaries(st.text(max_size=3), inner, max_size=3),
        st.builds(Pair, inner, inner),
    ),
    max_leaves=8,
)


@given(values)
def test_whatever_is_stored_comes_back(value: Any) -> None:
    assert same(codec.decode(codec.encode(value)), value)


@pytest.mark.parametrize("order", [(0, 1, 2, 3), (0, 2, 3, 1), (3, 0, 2, 1)])
def test_the_order_of_dimensions_in_memory_comes_back(order: tuple[int, ...]) -> None:
    value = torch.randn(2, 3, 4, 5).permute(order)
    found = Codec().decode(Codec().encode(value))
    assert torch.equal(found, value)
    assert found.stride() == value.stride()
