"""Single files of every family: the handles, the text and the prediction are those of the folder."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import diffusers
import pytest
import torch
from nodes.singlefiles import BETAS, flux_transformer, register, saved, sd3_transformer, sdxl_parts, written
from nodes.tinymodels import Shelf, clip_tokenizer, sd1

from graphengine_diffusion.files import layouts
from graphengine_diffusion.files.layouts import Layout
from graphengine_diffusion.loading import load_denoiser, load_model, load_text_encoder, load_vae
from graphengine_diffusion.text import encode_text

pytestmark = pytest.mark.usefixtures("no_network")

LDM = "model.diffusion_model."


@pytest.fixture
def shelf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Shelf:
    """A Stable Diffusion XL as a folder and as a single file, and its text encoders alone."""
    parts = sdxl_parts()
    register(monkeypatch, "tiny_xl", "sdxl", parts)
    first, second = parts["text_encoder"], parts["text_encoder_2"]
    saved(
        tmp_path / "xl.safetensors",
        written(parts["unet"], Layout(LDM, layouts.ldm_unet)),
        written(parts["vae"], Layout("first_stage_model.", layouts.ldm_vae)),
        written(first, Layout("conditioner.embedders.0.transformer.", layouts.clip)),
        written(second, Layout("conditioner.embedders.1.model.", layouts.open_clip)),
    )
    saved(tmp_path / "clip" / "l.safetensors", written(first, Layout("", layouts.clip)))
    saved(tmp_path / "clip" / "g.safetensors", second.state_dict())
    filled = clip_tokenizer()
    filled.pad_token = "!"
    diffusers.StableDiffusionXLPipeline(
        **parts, tokenizer_2=filled, scheduler=diffusers.EulerDiscreteScheduler(**BETAS)
    ).save_pretrained(tmp_path / "folder")
    return Shelf(tmp_path)


def without_place(handle: Any) -> Any:
    """A handle without where its weights lie."""
    fields = {"model": "", "part": None, "parts": (), "tokenizers": ()}
    return replace(handle, **{name: value for name, value in fields.items() if hasattr(handle, name)})


def test_an_xl_file_gives_the_handles_of_the_folder(shelf: Shelf) -> None:
    for one, other in zip(load_model("xl", shelf), load_model("folder", shelf), strict=True):
        assert without_place(one) == without_place(other)
    assert load_vae("xl", ctx=shelf).family == "sdxl"


@pytest.mark.parametrize("text", ["a red house", ""])
def test_an_xl_file_reads_a_text_as_the_folder_does(shelf: Shelf, text: str) -> None:
    alone = load_text_encoder("g", "l", ctx=shelf)
    encoders = [load_model("xl", shelf).text_encoder, load_model("folder", shelf).text_encoder, alone]
    one, other, third = (encode_text(encoder, text, ctx=shelf) for encoder in encoders)
    for found in (one, third):
        assert torch.equal(found.cross, other.cross)
        assert torch.equal(found.pooled, other.pooled)


def test_a_graph_may_mix_parts_of_several_files(shelf: Shelf, tmp_path: Path) -> None:
    saved(tmp_path / "vae" / "xl_other.safetensors", sd1().vae.state_dict())
    denoiser, vae = load_denoiser("xl", ctx=shelf), load_vae("xl_other", ctx=shelf)
    assert (denoiser.model, vae.model) == ("xl", "xl_other")
    assert denoiser.spec == vae.spec
    assert shelf.use(vae) is not shelf.use(load_vae("xl", ctx=shelf))


def test_a_transformer_alone_is_a_denoiser_of_its_family(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    vae = sd1().vae
    made = {"flux1": (flux_transformer(), layouts.flux), "sd3": (sd3_transformer(), layouts.mmdit)}
    for family, (transformer, naming) in made.items():
        like = {"flux1": "flux1_dev", "sd3": "sd3"}[family]
        register(monkeypatch, f"tiny_{family}", like, {"transformer": transformer, "vae": vae})
        saved(tmp_path / "unet" / f"{family}_file.safetensors", written(transformer, Layout(LDM, naming)))
        transformer.save_pretrained(tmp_path / f"{family}_folder")
        ctx = Shelf(tmp_path)
        one, other = (load_denoiser(f"{family}_{kind}", ctx=ctx) for kind in ("file", "folder"))
        assert (one.family, one.predicts) == (family, "flow")
        assert without_place(one) == without_place(other)
        weights = [ctx.use(handle).state_dict() for handle in (one, other)]
        assert [name for name in weights[0] if not torch.equal(weights[0][name], weights[1][name])] == []
