"""Layouts: our names for the weights of single files against diffusers' own conversion, weight by weight."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers.loaders import single_file_utils as reference
from nodes.singlefiles import arguments, flux_transformer, saved, sd3_transformer, sdxl_parts, written
from nodes.tinymodels import sd1
from torch import Tensor

from graphengine_diffusion.files import layouts
from graphengine_diffusion.files.headers import read_headers
from graphengine_diffusion.files.layouts import Layout, Source
from graphengine_diffusion.files.weights import Reader, load_module

pytestmark = pytest.mark.usefixtures("no_network")

LDM = "model.diffusion_model."


def same(one: Mapping[str, Tensor], other: Mapping[str, Tensor]) -> None:
    """The same names, and the same bits."""
    assert one.keys() == other.keys()
    assert [name for name in one if not torch.equal(one[name], other[name])] == []


def without_wrapper(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name.removeprefix("text_model."): tensor for name, tensor in weights.items()}


@pytest.mark.parametrize("make", [lambda: sd1().unet, lambda: sdxl_parts()["unet"]], ids=["sd1", "sdxl"])
def test_the_unet_of_latent_diffusion_is_the_one_that_diffusers_converts(make: Callable[[], Any]) -> None:
    unet = make()
    file = written(unet, Layout(LDM, layouts.ldm_unet))
    assert f"{LDM}input_blocks.0.0.weight" in file
    same(reference.convert_ldm_unet_checkpoint(dict(file), unet.config), unet.state_dict())


@pytest.mark.parametrize("prefix", ["first_stage_model.", "vae.", ""])
def test_the_autoencoder_of_latent_diffusion_is_the_one_that_diffusers_converts(prefix: str) -> None:
    vae = sd1().vae
    file = written(vae, Layout(prefix, layouts.ldm_vae))
    assert f"{prefix}decoder.norm_out.weight" in file
    same(reference.convert_ldm_vae_checkpoint(dict(file), vae.config), vae.state_dict())


def test_clip_under_the_names_of_a_checkpoint_is_the_one_that_diffusers_converts() -> None:
    encoder = sd1().text_encoder
    file = written(encoder, Layout("cond_stage_model.transformer.", layouts.clip))
    assert reference.is_clip_model(file)
    same(without_wrapper(reference.convert_ldm_clip_checkpoint(file)), encoder.state_dict())


def test_open_clip_is_the_one_that_diffusers_converts() -> None:
    encoder = sdxl_parts()["text_encoder_2"]
    file = written(encoder, Layout("conditioner.embedders.1.model.", layouts.open_clip))
    assert reference.is_open_clip_sdxl_model(file)
    converted = reference.convert_open_clip_checkpoint(encoder, file, prefix="conditioner.embedders.1.model.")
    # diffusers cuts at the size of the projection's first side, which is the width, as in the real models.
    same(converted, encoder.state_dict())


def test_the_transformer_of_stable_diffusion_3_is_the_one_that_diffusers_converts() -> None:
    transformer = sd3_transformer()
    file = written(transformer, Layout(LDM, layouts.mmdit))
    assert f"{LDM}joint_blocks.0.x_block.attn2.qkv.weight" in file
    same(reference.convert_sd3_transformer_checkpoint_to_diffusers(dict(file)), transformer.state_dict())


def test_the_transformer_of_flux_is_the_one_that_diffusers_converts(tmp_path: Path) -> None:
    # diffusers cuts for the real width alone, so each matrix here has all its rows, and one column.
    config = arguments(flux_transformer()) | {"num_attention_heads": 24, "attention_head_dim": 128}
    width, file = 24 * 128, {}
    sources = {name: layouts.flux(name, config) for name in flux_transformer().state_dict()}
    torch.manual_seed(0)
    for source in sources.values():
        rows = source.rows[2] if source.rows else 2 * width
        file.setdefault(
            source.key, torch.rand(rows, 1) if source.key.endswith("weight") else torch.rand(rows)
        )
    converted = reference.convert_flux_transformer_checkpoint_to_diffusers(dict(file))
    stored = read_headers([saved(tmp_path / "flux.safetensors", file)])
    with Reader() as reader:
        same({name: reader.read(source, stored) for name, source in sources.items()}, converted)


@pytest.mark.parametrize(
    ("prefix", "naming", "older"),
    [("", layouts.older_attention, ".query."), ("", layouts.plain, ".to_q."), ("", layouts.ldm_vae, ".q.")],
)
def test_a_vae_folder_of_any_age_loads(
    tmp_path: Path, prefix: str, naming: layouts.Naming, older: str
) -> None:
    vae = sd1().vae
    vae.save_config(tmp_path / "vae")
    file = written(vae, Layout(prefix, naming))
    assert any(older in name for name in file)
    saved(tmp_path / "vae" / "diffusion_pytorch_model.safetensors", file)
    same(load_module(tmp_path, "vae", "AutoencoderKL", "float32", "cpu").state_dict(), vae.state_dict())


def test_a_text_encoder_folder_of_any_age_loads(tmp_path: Path) -> None:
    encoder = sd1().text_encoder
    for naming in (layouts.clip, layouts.bare_clip):
        folder = tmp_path / naming.__name__ / "text_encoder"
        encoder.config.save_pretrained(folder)
        saved(folder / "model.safetensors", written(encoder, Layout("", naming)))
        loaded = load_module(folder.parent, "text_encoder", "CLIPTextModel", "float32", "cpu")
        same(loaded.state_dict(), encoder.state_dict())
        assert torch.equal(loaded.embeddings.position_ids, encoder.embeddings.position_ids)


def test_t5_keeps_its_words_once_in_the_file_and_in_memory(tmp_path: Path) -> None:
    from transformers import T5Config, T5EncoderModel

    torch.manual_seed(1)
    config = T5Config(vocab_size=50, d_model=16, d_kv=4, d_ff=24, num_layers=2, num_heads=2,
                      feed_forward_proj="gated-gelu", is_encoder_decoder=False)  # fmt: skip
    encoder = T5EncoderModel(config).eval()
    words = torch.tensor([[3, 4, 1]])
    for name in ("shared.weight", "encoder.embed_tokens.weight"):
        folder = tmp_path / name / "text_encoder_2"
        config.save_pretrained(folder)
        kept = {
            k: t for k, t in encoder.state_dict().items() if "encoder.embed" not in k and k != "shared.weight"
        }
        saved(folder / "model.safetensors", kept, {name: encoder.shared.weight.detach().clone()})
        loaded = load_module(folder.parent, "text_encoder_2", "T5EncoderModel", "float32", "cpu")
        assert loaded.shared.weight.data_ptr() == loaded.encoder.embed_tokens.weight.data_ptr()
        same(loaded.state_dict(), encoder.state_dict())
        with torch.inference_mode():
            assert torch.equal(loaded(words)[0], encoder(words)[0])


def test_what_flux_lacks_in_one_block_is_found_by_no_other_name() -> None:
    config = arguments(flux_transformer())
    assert layouts.flux("single_transformer_blocks.1.proj_mlp.bias", config) == Source(
        "single_blocks.1.linear1.bias", (48, 112, 112)
    )
    assert layouts.flux("transformer_blocks.0.attn.add_k_proj.weight", config) == Source(
        "double_blocks.0.txt_attn.qkv.weight", (16, 32, 48)
    )
