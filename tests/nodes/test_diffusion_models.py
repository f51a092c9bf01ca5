"""Loading: what is read, what is refused, and how a handle knows its weights."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from nodes.tinymodels import Shelf, sd1
from safetensors.torch import load_file, save_file

from graphengine.authoring import Folders
from graphengine.errors import ModelError
from graphengine.pool import size_of
from graphengine_diffusion.handles import Betas, LatentSpec
from graphengine_diffusion.loading import load_model, model_fingerprint, model_names

pytestmark = pytest.mark.usefixtures("no_network")


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A good model, to copy and to spoil."""
    path = tmp_path_factory.mktemp("source") / "tiny"
    sd1("v_prediction").save_pretrained(path, safe_serialization=True)
    return path


@pytest.fixture
def model(source: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(source, tmp_path / "tiny"))


def edit(file: Path, **values: object) -> None:
    file.write_text(json.dumps(json.loads(file.read_text()) | values))


def test_handles_hold_the_numbers_that_nodes_need(model: Path) -> None:
    denoiser, encoder, vae = load_model("tiny", Shelf(model.parent))
    assert denoiser.spec == LatentSpec(channels=4, factor=2, scale=0.18215) == vae.spec
    assert denoiser.sample_size == 32
    assert denoiser.predicts == "v_prediction"
    assert denoiser.noise == Betas("scaled_linear", 0.00085, 0.012, 1000)
    assert encoder.tokens == 77
    assert len({denoiser, encoder, vae}) == 3  # they can be keys of a pool


def test_handles_are_made_without_reading_weights(model: Path) -> None:
    file = model / "unet" / "diffusion_pytorch_model.safetensors"
    data = bytearray(file.read_bytes())
    length = int.from_bytes(data[:8], "little")
    data[8 + length :] = bytes(len(data) - 8 - length)
    file.write_bytes(data)
    assert load_model("tiny", Shelf(model.parent)).denoiser.spec.channels == 4


def test_weights_are_frozen_and_ready_to_predict(model: Path) -> None:
    ctx = Shelf(model.parent)
    denoiser, encoder, vae = load_model("tiny", ctx)
    for module in (ctx.use(denoiser), ctx.use(encoder)[0].encoder, ctx.use(vae)):
        assert not module.training
        assert not any(p.requires_grad for p in module.parameters())
    assert os.environ["HF_HUB_OFFLINE"] == "1"


def test_the_fingerprint_follows_the_files(model: Path) -> None:
    folders = Folders(models=(model.parent,))
    before = model_fingerprint("tiny", folders)
    shutil.copytree(model, model.parent / "copy")
    assert model_fingerprint("copy", folders).replace("copy", "tiny") == before
    file = model / "vae" / "diffusion_pytorch_model.safetensors"
    data = bytearray(file.read_bytes())
    data[-1] ^= 1
    file.write_bytes(data)
    assert model_fingerprint("tiny", folders) != before


def test_a_changed_part_leaves_the_other_handles_alone(model: Path) -> None:
    ctx = Shelf(model.parent)
    before = load_model("tiny", ctx)
    edit(model / "text_encoder" / "config.json", layer_norm_eps=1e-4)
    after = load_model("tiny", ctx)
    assert after.text_encoder != before.text_encoder
    assert (after.denoiser, after.vae) == (before.denoiser, before.vae)


def test_a_missing_model_names_what_is_there(model: Path) -> None:
    folders = Folders(models=(model.parent,))
    assert model_names(folders) == ["tiny"]
    with pytest.raises(ModelError, match=r"no model 'huge'; these are here: tiny\. Put it into one of: "):
        load_model("huge", Shelf(model.parent))


def test_a_pickle_is_refused(model: Path) -> None:
    file = model / "unet" / "diffusion_pytorch_model.safetensors"
    file.rename(file.with_suffix(".bin"))
    with pytest.raises(ModelError, match=r"diffusion_pytorch_model\.bin, a pickle, .* convert it to"):
        load_model("tiny", Shelf(model.parent))


def test_a_pickle_beside_the_weights_is_not_read(model: Path) -> None:
    (model / "unet" / "diffusion_pytorch_model.bin").write_bytes(b"cos\nsystem\n(S'exit 1'\ntR.")
    ctx = Shelf(model.parent)
    assert ctx.use(load_model("tiny", ctx).denoiser).config.in_channels == 4


def spoil_header(model: Path) -> None:
    (model / "unet" / "diffusion_pytorch_model.safetensors").write_text("version https://git-lfs.github.com")


def cut_short(model: Path) -> None:
    file = model / "vae" / "diffusion_pytorch_model.safetensors"
    file.write_bytes(file.read_bytes()[:-100])


def no_weights(model: Path) -> None:
    (model / "unet" / "diffusion_pytorch_model.safetensors").unlink()


def another_pipeline(model: Path) -> None:
    edit(model / "model_index.json", _class_name="KandinskyPipeline")


def with_a_picture(model: Path) -> None:
    edit(model / "unet" / "config.json", in_channels=8)


def unknown_output(model: Path) -> None:
    edit(model / "scheduler" / "scheduler_config.json", prediction_type="flow_prediction")


def no_config(model: Path) -> None:
    (model / "vae" / "config.json").unlink()


def damaged_config(model: Path) -> None:
    (model / "vae" / "config.json").write_text("{")


def list_config(model: Path) -> None:
    (model / "vae" / "config.json").write_text("[]")


def no_tokenizer(model: Path) -> None:
    shutil.rmtree(model / "tokenizer")


def single_file(model: Path) -> None:
    shutil.rmtree(model)
    model.write_bytes(b"")


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (spoil_header, "is only a pointer of Git LFS to the file; download it itself"),
        (cut_short, "its header wants"),
        (no_weights, "holds no .safetensors file"),
        (another_pipeline, "tiny is a KandinskyPipeline, which is of no known family; these are: Stable"),
        (with_a_picture, "its U-Net reads 8 channels, but its latents have 4"),
        (unknown_output, "predicts 'flow_prediction'; only these are known: epsilon, v_prediction"),
        (no_config, "the model folder must be whole"),
        (damaged_config, "config.json is no JSON"),
        (list_config, "config.json holds list, not an object"),
        (no_tokenizer, "tiny has no folder 'tokenizer'; the model folder must be whole"),
        (single_file, "tiny is no .safetensors file or only a part of one; download it again"),
    ],
)
def test_a_bad_model_is_told(model: Path, spoil: Callable[[Path], None], words: str) -> None:
    spoil(model)
    with pytest.raises(ModelError) as caught:
        load_model("tiny", Shelf(model.parent))
    assert words in str(caught.value)


def test_weights_that_are_missing_are_told_not_made_up(model: Path) -> None:
    file = model / "unet" / "diffusion_pytorch_model.safetensors"
    tensors = load_file(file)
    del tensors["conv_in.bias"]
    save_file(tensors, file)
    ctx = Shelf(model.parent)
    with pytest.raises(ModelError, match=r"lacks 1 of its weights, such as conv_in\.bias"):
        ctx.use(load_model("tiny", ctx).denoiser)


@pytest.mark.parametrize(
    ("part", "setting"), [("unet", {"cross_attention_dim": 48}), ("text_encoder", {"hidden_size": 64})]
)
def test_weights_of_another_shape_are_told(model: Path, part: str, setting: dict[str, int]) -> None:
    edit(model / part / "config.json", **setting)
    ctx = Shelf(model.parent)
    found = load_model("tiny", ctx)
    handle: Any = {"unet": found.denoiser, "text_encoder": found.text_encoder}[part]
    with pytest.raises(ModelError, match=f"{part} cannot be loaded as"):
        ctx.use(handle)


def test_the_pool_counts_every_part(model: Path) -> None:
    ctx = Shelf(model.parent)
    for handle, part in zip(load_model("tiny", ctx), ("unet", "text_encoder", "vae"), strict=True):
        stored = load_file(next((model / part).glob("*.safetensors")))
        assert size_of(ctx.use(handle)) == pytest.approx(sum(t.nbytes for t in stored.values()), rel=0.02)


def test_a_gpu_gets_half_precision_and_all_devices_channels_last(model: Path) -> None:
    # The meta device stands for a GPU: it has tensors without memory.
    denoiser, encoder, vae = load_model("tiny", Shelf(model.parent))
    folders = Folders(models=(model.parent,))
    unet = denoiser.load(folders, "meta")
    assert unet.conv_in.weight.dtype == torch.float16
    assert unet.conv_in.weight.device.type == "meta"
    assert unet.conv_in.weight.is_contiguous(memory_format=torch.channels_last)
    assert encoder.load(folders, "meta")[0].encoder.dtype == torch.float16
    assert vae.load(folders, "meta").dtype == torch.float32  # it asks for float32: half overflows
    for module in (denoiser.load(folders, "cpu"), vae.load(folders, "cpu").decoder):
        assert module.conv_in.weight.dtype == torch.float32
        assert module.conv_in.weight.is_contiguous(memory_format=torch.channels_last)
