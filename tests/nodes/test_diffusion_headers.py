"""Headers: a file that is not what it says is told in one sentence, before anything is read or allocated."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from nodes.tinymodels import Shelf
from safetensors.torch import save_file

from graphengine.errors import ModelError
from graphengine_diffusion.files import weights
from graphengine_diffusion.files.headers import PICKLES, read_header
from graphengine_diffusion.loading import load_denoiser, load_model, load_text_encoder, load_vae

pytestmark = pytest.mark.usefixtures("no_network")

GOOD = {"a": {"dtype": "F32", "shape": [2, 2], "data_offsets": [0, 16]}}


def raw(header: Any, data: int = 16, length: int | None = None) -> bytes:
    """A file with this header, which may lie about its length."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return (len(text) if length is None else length).to_bytes(8, "little") + text + bytes(data)


def row(**changes: Any) -> dict[str, Any]:
    return {"a": GOOD["a"] | changes}


DAMAGED: dict[str, tuple[bytes, str]] = {
    "empty": (b"", "is no .safetensors file or only a part of one"),
    "shorter than a length": (b"\x10\0\0", "is no .safetensors file or only a part of one"),
    "no header": (bytes(8), "is no .safetensors file or only a part of one"),
    "header of 2 GB": (raw(GOOD, length=2 << 30), "is no .safetensors file or only a part of one"),
    "header of 2 ** 63": (raw(GOOD, length=1 << 63), "is no .safetensors file or only a part of one"),
    "header longer than the file": (raw(GOOD, length=500), "is no .safetensors file or only a part of one"),
    "header not JSON": (raw(b"{'a': 1}"), "has a damaged header"),
    "header not text": (raw(b"\xff\xfe\xfd\xfc"), "has a damaged header"),
    "header a list": (raw([1, 2]), "has a damaged header (no object)"),
    "header nested without end": (raw(b"[" * 100_000), "has a damaged header"),
    "name twice": (
        raw(b'{"a": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}, "a": {}}'),
        "a name stands in it twice",
    ),
    "metadata a text": (raw({"__metadata__": "x", **GOOD}), "its metadata are no object"),
    "truncated": (raw(GOOD, data=15), "but its header wants"),
    "offsets out of bounds": (raw(row(shape=[2, 200], data_offsets=[0, 1600])), "but its header wants"),
    "offsets backwards": (
        raw(row(data_offsets=[16, 0])),
        "has -16 bytes, but its shape [2, 2] in F32 wants 16",
    ),
    "offsets negative": (raw(row(data_offsets=[-16, 0])), "does not say what a is"),
    "offsets no numbers": (raw(row(data_offsets=["0", "16"])), "does not say what a is"),
    "offsets three": (raw(row(data_offsets=[0, 8, 16])), "does not say what a is"),
    "overlapping": (
        raw({**GOOD, "b": {**GOOD["a"], "data_offsets": [8, 24]}}, 24),
        "b lies over the tensor before",
    ),
    "no shape": (raw({"a": {"dtype": "F32", "data_offsets": [0, 16]}}), "does not say what a is"),
    "shape with a fraction": (raw(row(shape=[2.0, 2])), "does not say what a is"),
    "shape with true": (raw(row(shape=[True, 4])), "does not say what a is"),
    "shape of more than the bytes": (raw(row(shape=[1 << 40, 1 << 40])), "in F32 wants"),
    "precision unknown": (raw(row(dtype="Q4_K")), "a is stored as 'Q4_K'; only BOOL, U8"),
    "row a number": (raw({"a": 1}), "does not say what a is"),
    "pickle under another name": (b"PK\x03\x04" + bytes(100), "a pickle under the name"),
    "old pickle under another name": (b"\x80\x02}q\x00." + bytes(100), "a pickle under the name"),
    "a web page": (b"<!DOCTYPE html><html>" + bytes(100), "is a web page, not a model"),
    "a pointer": (b"version https://git-lfs.github.com/spec/v1\noid x", "only a pointer of Git LFS"),
}


@pytest.mark.parametrize("case", DAMAGED)
def test_a_damaged_file_is_told_in_one_sentence_and_nothing_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, case: str
) -> None:
    data, words = DAMAGED[case]
    file = tmp_path / "m.safetensors"
    file.write_bytes(data)
    monkeypatch.setattr(weights.Reader, "read", lambda *args: pytest.fail("a weight was read"))
    monkeypatch.setattr(weights, "made", lambda *args: pytest.fail("a module was made"))
    for load in (load_model, load_denoiser, load_vae, load_text_encoder):
        with pytest.raises(ModelError) as caught:
            load("m", ctx=Shelf(tmp_path))
        text = str(caught.value)
        assert str(file) in text
        assert words in text
        assert "\n" not in text
        assert len(text) < 600


def test_a_header_larger_than_any_model_needs_is_not_parsed(tmp_path: Path, monkeypatch: Any) -> None:
    file = tmp_path / "m.safetensors"
    file.write_bytes(raw(b" " * 2000))
    monkeypatch.setattr("graphengine_diffusion.files.headers.HEADER_LIMIT", 1000)
    with pytest.raises(ModelError, match="has a header of 2,000 bytes, which no model needs"):
        read_header(file)


@pytest.mark.parametrize("suffix", PICKLES)
def test_a_pickle_is_refused_with_the_command_that_converts_it(tmp_path: Path, suffix: str) -> None:
    file = tmp_path / f"old{suffix}"
    torch.save({"a": torch.zeros(1)}, file)
    with pytest.raises(ModelError, match=re.escape(f"`graphengine models convert {file}`")):
        load_model(f"old{suffix}", Shelf(tmp_path))


def test_a_good_file_is_read_as_the_format_says(tmp_path: Path) -> None:
    tensors = {"b": torch.zeros(3, dtype=torch.float16), "a": torch.zeros(2, 2), "none": torch.zeros(0)}
    save_file(tensors, tmp_path / "m.safetensors", {"title": "Tiny"})
    header = read_header(tmp_path / "m.safetensors")
    assert {name: (r.dtype, r.shape) for name, r in header.tensors.items()} == {
        "a": ("F32", (2, 2)), "b": ("F16", (3,)), "none": ("F32", (0,))
    }  # fmt: skip
    assert header.metadata == {"title": "Tiny"}
    assert header.precision() == "F32"


def vectors(*names: str, shape: tuple[int, ...] = (4, 4)) -> dict[str, torch.Tensor]:
    return {name: torch.zeros(shape) for name in names}


LORA = {
    "lora_unet_down_blocks_1_attentions_0_transformer_blocks_0_attn2_to_k.lora_down.weight": torch.zeros(
        4, 2048
    ),
    "lora_unet_down_blocks_1_attentions_0_transformer_blocks_0_attn2_to_k.lora_up.weight": torch.zeros(
        640, 4
    ),
}
VAE = vectors("encoder.conv_in.weight", "decoder.conv_in.weight", shape=(128, 4, 3, 3))
CONTROL = vectors("control_model.zero_convs.0.0.weight")
UPSCALER = vectors("conv_first.weight", "body.0.rdb1.conv1.weight")
EMBEDDING = vectors("emb_params", shape=(2, 768))


@pytest.mark.parametrize(
    ("load", "tensors", "words"),
    [
        (load_model, LORA, "m is a LoRA for sdxl, not a model; load it with apply_lora"),
        (load_denoiser, VAE, "m is a VAE for sd1, not a denoiser or a model; load it with load_vae"),
        (load_vae, LORA, "m is a LoRA for sdxl, not a VAE; load it with apply_lora"),
        (load_text_encoder, CONTROL, "m is a ControlNet, not a text encoder; load it with load_control_net"),
        (load_model, UPSCALER, "m is an upscaler for esrgan, not a model; load it with load_upscaler"),
        (load_vae, EMBEDDING, "m is an embedding for sd1, not a VAE; load it with load_embedding"),
        (load_model, VAE, "m is a VAE for sd1, not a model; load it with load_vae"),
        (load_model, vectors("x.y.z"), "m is of no kind that is known, where a model is wanted"),
    ],
)
def test_a_file_of_another_kind_is_told_what_it_is(
    tmp_path: Path, load: Callable[..., Any], tensors: dict[str, torch.Tensor], words: str
) -> None:
    save_file(tensors, tmp_path / "m.safetensors")
    with pytest.raises(ModelError) as caught:
        load("m", ctx=Shelf(tmp_path))
    assert words in str(caught.value)


def test_no_name_leads_out_of_the_roots(tmp_path: Path) -> None:
    save_file(LORA, tmp_path / "secret.safetensors")
    root = tmp_path / "root"
    (root / "loras").mkdir(parents=True)
    (root / "loras" / "link.safetensors").symlink_to(tmp_path / "secret.safetensors")
    (root / "away").symlink_to(tmp_path)
    for name in (
        "../secret",
        "link",
        "loras/link.safetensors",
        "away/secret",
        "secret",
        str(tmp_path / "secret"),
    ):
        with pytest.raises(ModelError, match="there is no model"):
            load_model(name, Shelf(root))
