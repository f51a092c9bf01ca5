"""Conversion: tensors come through bit by bit; whatever else is in a pickle is refused, and nothing runs."""

from __future__ import annotations

import os
import pickle
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from graphengine.errors import ModelError
from graphengine_diffusion.files.catalogue import convert
from graphengine_diffusion.files.conversion import NotPlain, plain_tensors
from graphengine_diffusion.files.conversion import convert as convert_here

pytestmark = pytest.mark.usefixtures("no_network")


class Evil:
    """A pickle that would run a command."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (f"touch {self.file}",)


WEIGHTS = {"a": torch.arange(6).reshape(2, 3).float(), "b": torch.ones(2, dtype=torch.bfloat16)}


@pytest.mark.parametrize("suffix", [".ckpt", ".pt", ".pth", ".bin"])
@pytest.mark.parametrize(
    "wrapped", [lambda w: w, lambda w: {"state_dict": w, "epoch": 3}, lambda w: {"params_ema": w}]
)
def test_tensors_come_through_bit_by_bit(tmp_path: Path, suffix: str, wrapped: Any) -> None:
    source, target = tmp_path / f"m{suffix}", tmp_path / "m.safetensors"
    torch.save(wrapped(WEIGHTS), source)
    convert_here(source, target)
    found = load_file(target)
    assert found.keys() == WEIGHTS.keys()
    assert all(
        torch.equal(found[name], WEIGHTS[name]) and found[name].dtype == WEIGHTS[name].dtype for name in found
    )
    assert sorted(f.name for f in tmp_path.iterdir()) == sorted([source.name, "m.safetensors"])


def test_a_textual_inversion_becomes_an_embedding() -> None:
    vector = torch.ones(2, 768)
    found = plain_tensors({"string_to_token": {"*": 265}, "string_to_param": {"*": vector}, "name": "mood"})
    assert found.keys() == {"emb_params"}
    assert torch.equal(found["emb_params"], vector)


def test_tensors_of_one_storage_are_written_apart(tmp_path: Path) -> None:
    whole = torch.arange(6.0)
    torch.save({"a": whole[:3], "b": whole[2:], "c": whole.reshape(2, 3).T}, tmp_path / "m.pt")
    convert_here(tmp_path / "m.pt", tmp_path / "m.safetensors")
    assert torch.equal(load_file(tmp_path / "m.safetensors")["c"], whole.reshape(2, 3).T)


def test_a_pickle_that_wants_to_run_something_is_refused_and_runs_nothing(tmp_path: Path) -> None:
    """In a process of its own, as the command does it."""
    proof = tmp_path / "proof"
    torch.save({"a": torch.ones(1), "evil": Evil(proof)}, tmp_path / "evil.ckpt")
    with pytest.raises(
        ModelError, match=r"evil\.ckpt is refused: it wants to run code; get the model as \.safetensors"
    ):
        convert(tmp_path / "evil.ckpt")
    assert not proof.exists()
    assert [f.name for f in tmp_path.iterdir()] == ["evil.ckpt"]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ({"a": 1.5}, "'a' in it is float, not a tensor"),
        ({"a": torch.ones(1), "b": {"c": torch.ones(1)}}, "'b' in it is dict, not a tensor"),
        ({3: torch.ones(1)}, "3 in it is no name"),
        ([torch.ones(1)], "it holds list, not tensors by name"),
        ({}, "it holds dict, not tensors by name"),
        ({"a": torch.ones(2, 2).to_sparse()}, "'a' in it is no plain tensor"),
    ],
)
def test_what_is_no_plain_tensor_is_refused(content: Any, words: str) -> None:
    with pytest.raises(NotPlain, match=words):
        plain_tensors(content)


@pytest.mark.parametrize("data", [b"", b"junk", pickle.dumps({"a": [1]})])
def test_a_damaged_pickle_is_told_and_leaves_nothing(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "m.ckpt").write_bytes(data)
    from graphengine_diffusion.files.conversion import main

    assert main(str(tmp_path / "m.ckpt"), str(tmp_path / "m.safetensors")) == 1
    assert [f.name for f in tmp_path.iterdir()] == ["m.ckpt"]


def test_an_existing_file_is_never_replaced(tmp_path: Path) -> None:
    torch.save(WEIGHTS, tmp_path / "m.pt")
    (tmp_path / "m.safetensors").write_text("mine")
    with pytest.raises(NotPlain, match="already"):
        convert_here(tmp_path / "m.pt", tmp_path / "m.safetensors")
    with pytest.raises(ModelError, match="already; move it away first"):
        convert(tmp_path / "m.pt")
    assert (tmp_path / "m.safetensors").read_text() == "mine"


def test_other_files_are_none_of_ours(tmp_path: Path) -> None:
    assert convert(tmp_path / "m.txt") is None
    with pytest.raises(ModelError, match="there is no file"):
        convert(tmp_path / "m.pt")
