"""Families: what each reads of a folder, what it needs, and what it says when something does not fit."""

from __future__ import annotations

import importlib
import json
import re
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from nodes.tinymodels import MODELS, Gallery, Shelf, pixels
from torch import Tensor

import graphengine_diffusion
from graphengine.errors import ModelError
from graphengine.signature import read
from graphengine_diffusion.autoencoding import vae_decode, vae_encode
from graphengine_diffusion.families import FAMILIES
from graphengine_diffusion.families.flux1 import packed, unpacked
from graphengine_diffusion.handles import Flow
from graphengine_diffusion.inpainting import image_conditioning, inpaint_conditioning
from graphengine_diffusion.loading import load_model
from graphengine_diffusion.micro import guidance_embedding, size_conditioning
from graphengine_diffusion.noise import draw
from graphengine_diffusion.predicting import predict
from graphengine_diffusion.text import encode_text
from graphengine_diffusion.types import Conditioning, Latent, Prediction, Residuals, Timestep

EPS, FLOW = Timestep(0, 3.0, 1.0, 700.0, 0.0), Timestep(0, 0.7, 0.3, 700.0, 0.0, flow=True)
README = Path(graphengine_diffusion.__file__).parent / "README.md"


def step_of(model: Any) -> Timestep:
    return FLOW if model.denoiser.predicts == "flow" else EPS


def latent_of(model: Any, batch: int = 1, height: int = 16, width: int = 16) -> Latent:
    samples = draw(range(batch), (model.denoiser.spec.channels, height, width))
    return Latent(samples, model.denoiser.spec, tuple(range(batch)))


def asked(ctx: Shelf, model: Any, conditioning: Conditioning | None, **size: int) -> Tensor:
    return predict(model.denoiser, latent_of(model, **size), step_of(model), conditioning, ctx=ctx).denoised


def changed(one: Tensor, other: Tensor) -> bool:
    return bool((one - other).abs().max() > 1e-4 * one.abs().max())


def family_of(name: str) -> str:
    return {"sd2": "sd1", "sdxl refiner": "sdxl_refiner", "flux dev": "flux1", "flux schnell": "flux1"}.get(
        name, name.split()[0]
    )


@pytest.mark.parametrize("name", MODELS)
def test_a_folder_is_read_by_its_own_family(gallery: Gallery, name: str) -> None:
    model = gallery.model(name)
    assert {part.family for part in model} == {family_of(name)}
    assert model.denoiser.spec == model.vae.spec
    assert len(set(model)) == 3  # they can be keys of a pool


def test_the_table_in_the_readme_has_every_family_and_no_other() -> None:
    table = README.read_text().split("## Models")[1].split("\n## ")[0].split("### ")[0]
    assert re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE) == list(FAMILIES)
    pipelines = set(re.findall(r"`(\w+Pipeline)`", table))
    assert pipelines == {p for family in FAMILIES.values() for p in family.PIPELINES}


def test_the_readme_lists_every_node_once() -> None:
    listed = re.findall(r"^\| `(diffusion\.\w+)` \|", README.read_text(), re.MULTILINE)
    assert sorted(listed) == sorted(node_ids())


def node_ids() -> list[str]:
    """Every node of the pack."""
    modules = [importlib.import_module(f"graphengine_diffusion.{m}") for m in graphengine_diffusion.MODULES]
    return [
        read(value, graphengine_diffusion.PACK, "code").id
        for module in modules
        for value in vars(module).values()
        if hasattr(value, "__graph_node__") and value.__module__ == module.__name__
    ]


@pytest.mark.parametrize("name", [n for n in MODELS if n != "pixels"])
def test_the_text_and_its_absence_change_the_prediction(gallery: Gallery, name: str) -> None:
    model = gallery.model(name)
    texts = [encode_text(model.text_encoder, text, gallery) for text in ("a cat", "a dog", "")]
    if model.denoiser.concat:
        texts = [replace(c, concat=torch.zeros(1, 5, 16, 16)) for c in texts]
    found = [asked(gallery, model, c) for c in texts]
    assert changed(found[0], found[1])
    assert changed(found[0], found[2])


@pytest.mark.parametrize("name", ["sd1", "sdxl", "sd3", "flux dev", "pixels"])
def test_a_picture_need_not_be_square(gallery: Gallery, name: str) -> None:
    model = gallery.model(name)
    text = None if name == "pixels" else encode_text(model.text_encoder, "a cat", gallery)
    assert asked(gallery, model, text, height=8, width=20, batch=2).shape[-2:] == (8, 20)


def test_flow_models_know_how_their_sigmas_are_bent(gallery: Gallery) -> None:
    assert gallery.model("sd3").denoiser.noise == Flow(3.0)
    assert gallery.model("flux schnell").denoiser.noise == Flow(1.0)
    assert gallery.model("flux dev").denoiser.noise == Flow(3.0, (256, 0.5, 4096, 1.15))


def test_a_flow_prediction_gives_x0_and_noise_that_add_up(gallery: Gallery) -> None:
    model = gallery.model("sd3")
    text = encode_text(model.text_encoder, "a cat", gallery)
    p = predict(model.denoiser, latent_of(model), FLOW, text, ctx=gallery)
    assert p.alpha == pytest.approx(0.3)
    torch.testing.assert_close(p.alpha * p.x0 + p.sigma * p.eps, p.samples, rtol=1e-5, atol=1e-5)


def test_patches_are_taken_apart_as_they_were_put_together() -> None:
    x = draw([1, 2], (16, 6, 4))
    assert packed(x).shape == (2, 6, 64)
    assert torch.equal(unpacked(packed(x), 6, 4), x)
    assert torch.equal(packed(x)[0, 1, :4], x[0, 0, 0:2, 2:4].flatten())  # second patch, first channel


class TestParts:
    """A folder that lacks what a graph does not use still works."""

    @pytest.mark.parametrize(
        ("name", "part"),
        [("sd1", "text_encoder"), ("flux dev", "text_encoder_2"), ("sdxl refiner", "text_encoder_2")],
    )
    def test_without_a_text_encoder_the_rest_works(
        self, gallery: Gallery, tmp_path: Path, name: str, part: str
    ) -> None:
        whole = gallery.model(name)
        shutil.copytree(gallery.root / name, tmp_path / "less")
        shutil.rmtree(tmp_path / "less" / part)
        shutil.rmtree(tmp_path / "less" / part.replace("text_encoder", "tokenizer"))
        ctx = Shelf(tmp_path)
        model = load_model("less", ctx)
        text = encode_text(whole.text_encoder, "a cat", gallery)
        assert torch.equal(asked(ctx, model, text), asked(gallery, whole, text))
        with pytest.raises(ModelError, match="less"):
            encode_text(model.text_encoder, "a cat", ctx)

    def test_sd3_without_t5_reads_zeros_in_its_place(self, gallery: Gallery) -> None:
        model = gallery.model("sd3 without T5")
        assert len(model.text_encoder.parts) == 2
        found = encode_text(model.text_encoder, "a cat", gallery)
        assert found.cross is not None
        assert found.cross.shape == (1, 77 + 256, 96)
        assert not found.cross[:, 77:].any()

    def test_schnell_reads_half_the_tokens_of_dev(self, gallery: Gallery) -> None:
        for name, tokens in (("flux dev", 512), ("flux schnell", 256)):
            cross = encode_text(gallery.model(name).text_encoder, "a cat", gallery).cross
            assert cross is not None
            assert cross.shape == (1, tokens, 32)

    def test_t5_does_not_read_the_marks_of_a_prompt(self, gallery: Gallery) -> None:
        encoder = gallery.model("flux dev").text_encoder
        marked, plain = (encode_text(encoder, t, gallery).cross for t in ("a (red:1.4) [cat]", "a red cat"))
        assert marked is not None
        assert plain is not None
        assert torch.equal(marked, plain)

    def test_t5_tells_what_it_left_out(self, gallery: Gallery, caplog: pytest.LogCaptureFixture) -> None:
        model = gallery.model("flux schnell")
        full = encode_text(model.text_encoder, "cat " * 20 + "red " * 300, gallery)
        assert "T5 reads 255 tokens here; left out of the prompt: red red" in caplog.text
        assert full.cross is not None
        assert full.cross.shape[1] == 256

    def test_a_vae_with_numbers_for_each_channel_is_refused(self, gallery: Gallery, tmp_path: Path) -> None:
        gallery.model("sdxl")
        shutil.copytree(gallery.root / "sdxl", tmp_path / "odd")
        file = tmp_path / "odd" / "vae" / "config.json"
        file.write_text(json.dumps(json.loads(file.read_text()) | {"latents_mean": [0.1] * 4}))
        with pytest.raises(ModelError, match="its VAE normalises each channel by numbers of its own"):
            load_model("odd", Shelf(tmp_path))

    def test_a_flux_with_more_channels_is_refused(self, gallery: Gallery, tmp_path: Path) -> None:
        gallery.model("flux dev")
        shutil.copytree(gallery.root / "flux dev", tmp_path / "fill")
        file = tmp_path / "fill" / "transformer" / "config.json"
        file.write_text(json.dumps(json.loads(file.read_text()) | {"in_channels": 384}))
        with pytest.raises(ModelError, match="reads 384 numbers a patch, but a patch of its latents has 64"):
            load_model("fill", Shelf(tmp_path))


class TestMicro:
    def test_sizes_are_told_to_sdxl_alone(self, gallery: Gallery) -> None:
        for name, acts in (("sdxl", True), ("sd1", False), ("sd3", False)):
            model = gallery.model(name)
            text = encode_text(model.text_encoder, "a cat", gallery)
            sized = size_conditioning(text, original_width=2048, original_height=1024, crop_left=256)
            assert changed(asked(gallery, model, text), asked(gallery, model, sized)) == acts

    def test_without_a_word_a_size_is_that_of_the_picture(self, gallery: Gallery) -> None:
        model = gallery.model("sdxl")
        text = encode_text(model.text_encoder, "a cat", gallery)
        said = size_conditioning(
            text, original_width=40, original_height=32, target_width=40, target_height=32
        )
        found, wanted = (asked(gallery, model, c, height=16, width=20) for c in (text, said))
        assert torch.equal(found, wanted)

    def test_half_a_size_is_told(self) -> None:
        with pytest.raises(ValueError, match="original_size has one side only"):
            size_conditioning(Conditioning(), original_width=512)

    def test_the_refiner_is_asked_for_a_good_picture_and_led_away_from_a_bad_one(
        self, gallery: Gallery
    ) -> None:
        encoder = gallery.model("sdxl refiner").text_encoder
        scores = [encode_text(encoder, t, gallery).extra["aesthetic_score"].item() for t in ("a cat", "")]
        assert scores == [6.0, 2.5]

    def test_guidance_is_told_to_dev_alone_and_is_3_5_without_a_word(self, gallery: Gallery) -> None:
        for name, acts in (("flux dev", True), ("flux schnell", False)):
            model = gallery.model(name)
            text = encode_text(model.text_encoder, "a cat", gallery)
            found = [asked(gallery, model, c) for c in (text, guidance_embedding(text, 3.5))]
            assert torch.equal(*found)
            assert changed(found[0], asked(gallery, model, guidance_embedding(text, 8.0))) == acts

    def test_what_is_told_is_told_to_all_that_are_combined(self) -> None:
        c = Conditioning(others=(Conditioning(strength=2.0), Conditioning(others=(Conditioning(),))))
        found = guidance_embedding(c, 2.0)
        assert [o.extra["guidance"].item() for o in (found, *found.others)] == [2.0] * 4
        assert found.others[0].strength == 2.0


class TestInpainting:
    def test_hidden_places_do_not_matter_and_the_others_do(self, gallery: Gallery) -> None:
        model = gallery.model("sd1 inpaint")
        text = encode_text(model.text_encoder, "a cat", gallery)
        mask = torch.zeros(1, 32, 32)
        mask[:, :, 16:] = 0.6  # more than half is painted
        picture = torch.rand(1, 32, 32, 3, generator=torch.Generator().manual_seed(0))
        left, right = picture.clone(), picture.clone()
        left[:, :, :16], right[:, :, 16:] = 0.0, 0.0
        wanted, hidden, seen = (
            inpaint_conditioning(text, model.vae, p, mask, gallery).concat for p in (picture, right, left)
        )
        assert wanted is not None
        assert hidden is not None
        assert seen is not None
        assert wanted.shape == (1, 5, 16, 16)
        assert torch.equal(wanted[:, 0], (torch.arange(16) >= 8).float().expand(1, 16, 16))
        assert torch.equal(wanted, hidden)
        assert changed(wanted, seen)

    @pytest.mark.parametrize(
        ("image", "mask", "words"),
        [
            ((1, 32, 32, 3), (1, 32, 16), "the mask is 16 x 32 and the image 32 x 32; resize"),
            ((2, 32, 32, 3), (3, 32, 32), "3 masks for 2 images"),
        ],
    )
    def test_a_mask_that_does_not_fit_is_told(
        self, gallery: Gallery, image: tuple[int, ...], mask: tuple[int, ...], words: str
    ) -> None:
        vae = gallery.model("sd1 inpaint").vae
        with pytest.raises(ValueError, match=re.escape(words)):
            inpaint_conditioning(Conditioning(), vae, torch.rand(image), torch.rand(mask), gallery)


@pytest.fixture(scope="module")
def ctx(tmp_path_factory: pytest.TempPathFactory) -> Shelf:
    """Models of pixels of several kinds."""
    root = tmp_path_factory.mktemp("pixels")
    for name, options in {
        "classes": {"classes": 4},
        "enlarge": {"in_channels": 6},
        "grey": {"in_channels": 1, "channels": 1, "clip_sample": False},
        "variance": {"channels": 6},
    }.items():
        pixels(**options).save_pretrained(root / name, safe_serialization=True)
    index = root / "classes" / "model_index.json"
    names = {"0": "house", "1": "tree, fir", "2": "cat"}
    index.write_text(json.dumps(json.loads(index.read_text()) | {"id2label": names}))
    return Shelf(root)


class TestPixels:
    def test_pictures_pass_through_as_they_are(self, ctx: Shelf) -> None:
        model = load_model("enlarge", ctx)
        picture = torch.rand(2, 12, 8, 3)
        latent = vae_encode(model.vae, picture, ctx)
        torch.testing.assert_close(latent.samples, picture.permute(0, 3, 1, 2) * 2 - 1)
        torch.testing.assert_close(vae_decode(model.vae, latent, ctx), picture)

    def test_a_grey_model_takes_and_gives_grey_pictures(self, ctx: Shelf) -> None:
        model = load_model("grey", ctx)
        picture = torch.rand(1, 8, 8, 3)
        latent = vae_encode(model.vae, picture, ctx)
        assert vae_decode(model.vae, latent, ctx).shape == (1, 8, 8, 1)

    def test_a_guess_is_held_in_the_range_that_training_knows(self, gallery: Gallery, ctx: Shelf) -> None:
        assert asked(gallery, gallery.model("pixels"), None).abs().max() <= 1
        assert asked(ctx, load_model("grey", ctx), None).abs().max() > 1

    def test_a_learned_variance_is_left_out(self, ctx: Shelf) -> None:
        model = load_model("variance", ctx)
        assert (model.denoiser.spec.channels, model.denoiser.concat) == (3, 0)
        assert asked(ctx, model, None).shape == (1, 3, 16, 16)

    def test_a_class_is_asked_for_by_any_of_its_names_or_its_number(self, ctx: Shelf) -> None:
        model = load_model("classes", ctx)
        assert model.denoiser.labels == ("house", "tree, fir", "cat")
        for text, number in (("House", 0), ("fir", 1), ("tree, fir", 1), (" cat ", 2), ("3", 3)):
            assert encode_text(model.text_encoder, text, ctx).extra["class"].tolist() == [number]
        found = [asked(ctx, model, encode_text(model.text_encoder, text, ctx)) for text in ("cat", "fir", "")]
        assert changed(found[0], found[1])
        assert torch.equal(found[2], asked(ctx, model, Conditioning(extra={"class": torch.tensor([3])})))
        with pytest.raises(ValueError, match=r"no class 'dog'; it has house, tree, fir, cat; or choose a"):
            encode_text(model.text_encoder, "dog", ctx)

    def test_a_model_without_a_class_for_none_wants_one(self, ctx: Shelf) -> None:
        denoiser = replace(load_model("classes", ctx).denoiser, labels=("a", "b", "c", "d"))
        with pytest.raises(ValueError, match=r"makes pictures of a class; .* one of the 4"):
            predict(denoiser, Latent(draw([0], (3, 8, 8)), denoiser.spec, (0,)), EPS, ctx=ctx)

    def test_a_text_for_a_model_that_follows_none_is_told(self, gallery: Gallery) -> None:
        encoder = gallery.model("pixels").text_encoder
        assert encode_text(encoder, "", gallery).extra == {}
        with pytest.raises(ValueError, match="pixels knows no classes; leave the text empty, or use"):
            encode_text(encoder, "a cat", gallery)

    def test_a_small_picture_stands_beside_the_noisy_one(self, ctx: Shelf) -> None:
        model = load_model("enlarge", ctx)
        dark, light = (
            image_conditioning(model.vae, torch.full((1, 16, 16, 3), v), ctx=ctx) for v in (0.1, 0.9)
        )
        assert changed(asked(ctx, model, dark), asked(ctx, model, light))


class TestFitting:
    """What was made for another model is told in one sentence."""

    def ask(self, gallery: Gallery, name: str, c: Conditioning | None, **parts: Any) -> Prediction:
        model = gallery.model(name)
        given = {"latent": latent_of(model), "timestep": step_of(model), "control": None} | parts
        return predict(model.denoiser, conditioning=c, ctx=gallery, **given)

    def test_the_text_of_another_family(self, gallery: Gallery) -> None:
        text = {
            n: encode_text(gallery.model(n).text_encoder, "a cat", gallery)
            for n in ("sd1", "sdxl", "flux dev")
        }
        with pytest.raises(ValueError, match="the conditioning is 80 wide, but sd1 reads 32"):
            self.ask(gallery, "sd1", text["sdxl"])
        with pytest.raises(ValueError, match="the conditioning is 32 wide, but sdxl reads 80"):
            self.ask(gallery, "sdxl", text["sd1"])
        with pytest.raises(ValueError, match="has no vector of the whole text, but flux dev reads 32"):
            self.ask(gallery, "flux dev", text["sd1"])
        with pytest.raises(ValueError, match="has one of 16 for the whole text, but flux dev reads 32"):
            self.ask(gallery, "flux dev", replace(text["flux dev"], pooled=torch.zeros(1, 16)))

    def test_no_text_and_a_text_too_many(self, gallery: Gallery) -> None:
        with pytest.raises(ValueError, match="sd1 follows a text; give predict a conditioning"):
            self.ask(gallery, "sd1", None)
        with pytest.raises(ValueError, match="pixels follows no text; leave the conditioning empty"):
            self.ask(gallery, "pixels", Conditioning(torch.zeros(1, 77, 32)))

    def test_a_schedule_of_the_other_kind(self, gallery: Gallery) -> None:
        text = encode_text(gallery.model("sd3").text_encoder, "a cat", gallery)
        with pytest.raises(ValueError, match="a schedule for a model that is no flow model, unlike sd3"):
            self.ask(gallery, "sd3", text, timestep=EPS)
        with pytest.raises(ValueError, match="a schedule for a flow model, unlike pixels"):
            self.ask(gallery, "pixels", None, timestep=FLOW)

    def test_latents_of_another_model(self, gallery: Gallery) -> None:
        latent = latent_of(gallery.model("sd1"))
        text = encode_text(gallery.model("sd3").text_encoder, "a cat", gallery)
        with pytest.raises(ValueError, match="the latent has 4 channels, but sd3 works on 16"):
            self.ask(gallery, "sd3", text, latent=latent)

    def test_an_inpainting_model_without_a_picture_and_the_reverse(self, gallery: Gallery) -> None:
        text = encode_text(gallery.model("sd1").text_encoder, "a cat", gallery)
        with pytest.raises(ValueError, match="sd1 inpaint reads 5 channels beside the latents; give both"):
            self.ask(gallery, "sd1 inpaint", text)
        shown = replace(text, concat=torch.zeros(1, 5, 16, 16))
        with pytest.raises(
            ValueError, match="has 5 channels to stand beside the latents, but sd1 reads none"
        ):
            self.ask(gallery, "sd1", shown)
        with pytest.raises(
            ValueError, match="the conditioning is 8 x 16 latents large and the latent 16 x 16"
        ):
            self.ask(gallery, "sd1 inpaint", replace(text, concat=torch.zeros(1, 5, 16, 8)))

    def test_control_where_there_can_be_none(self, gallery: Gallery) -> None:
        with pytest.raises(ValueError, match="pixels takes no control; remove the ControlNet"):
            self.ask(gallery, "pixels", None, control=Residuals(()))

    def test_control_of_another_family(self, gallery: Gallery) -> None:
        told = "the control is of a ControlNet for another family than that of"
        planes, tokens = torch.zeros(1, 8, 16, 16), torch.zeros(1, 64, 32)
        for name, control in (
            ("sd1", Residuals((tokens,))),
            ("sd3", Residuals((planes,), planes)),
            ("sd3", Residuals((tokens,), single=(tokens,))),
            ("flux dev", Residuals((planes,), planes)),
        ):
            text = encode_text(gallery.model(name).text_encoder, "a cat", gallery)
            with pytest.raises(ValueError, match=f"{told} {name}"):
                self.ask(gallery, name, text, control=control)

    def test_latents_that_cannot_be_cut_into_patches(self, gallery: Gallery) -> None:
        model = gallery.model("flux dev")
        text = encode_text(model.text_encoder, "a cat", gallery)
        with pytest.raises(ValueError, match=r"2 x 2 patches, but the latent is 16 x 15; .* multiples of 4"):
            self.ask(gallery, "flux dev", text, latent=latent_of(model, height=15))
