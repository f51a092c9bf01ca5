"""Single files: bit-equal to the folder, read part by part, checked before anything is allocated."""

from __future__ import annotations

import gzip
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from nodes.singlefiles import flux_transformer, register, saved, sd3_transformer, sdxl_parts, written
from nodes.tinymodels import WORDS, Shelf, byte_alphabet, clip_text_model, clip_tokenizer, sd1
from safetensors.torch import load_file, save_file

from graphengine.errors import ModelError
from graphengine_diffusion.files import layouts, vocabulary, weights
from graphengine_diffusion.files.layouts import Layout
from graphengine_diffusion.files.recognition import DENOISER, MODEL
from graphengine_diffusion.files.single import Assembly, checkpoint, lone_denoiser, recognised
from graphengine_diffusion.handles import Part, load_part, load_words
from graphengine_diffusion.loading import (
    denoiser_fingerprint,
    denoiser_names,
    load_denoiser,
    load_model,
    load_text_encoder,
    load_vae,
    model_names,
    text_encoder_names,
    vae_names,
)

pytestmark = pytest.mark.usefixtures("no_network")

LDM = "model.diffusion_model."
FIRST_STAGE = Layout("first_stage_model.", layouts.ldm_vae)
UNET = Layout(LDM, layouts.ldm_unet)
CLIP = Layout("cond_stage_model.transformer.", layouts.clip)


@pytest.fixture(scope="module")
def pipeline() -> Any:
    return sd1()


@pytest.fixture(scope="module")
def files(pipeline: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A root with a tiny model as a folder and as a single file, as two programs would name it."""
    root = tmp_path_factory.mktemp("root")
    pipeline.save_pretrained(root / "folder")
    single = root / "checkpoints" / "tiny.safetensors"
    # Real files hold more than what is loaded.
    extra = {"cond_stage_model.transformer.text_model.embeddings.position_ids": torch.arange(77)[None]}
    saved(
        single,
        written(pipeline.unet, UNET),
        written(pipeline.vae, FIRST_STAGE),
        written(pipeline.text_encoder, CLIP),
        extra,
    )
    saved(root / "vae" / "alone.safetensors", written(pipeline.vae, Layout("", layouts.ldm_vae)))
    saved(root / "vae" / "diffusers.safetensors", pipeline.vae.state_dict())
    saved(root / "unet" / "alone.safetensors", written(pipeline.unet, UNET))
    saved(root / "unet" / "bare.safetensors", written(pipeline.unet, Layout("", layouts.ldm_unet)))
    saved(root / "unet" / "diffusers.safetensors", pipeline.unet.state_dict())
    saved(root / "clip" / "words.safetensors", written(pipeline.text_encoder, Layout("", layouts.clip)))
    pipeline.vae.save_pretrained(root / "my_vae")
    pipeline.unet.save_pretrained(root / "my_unet", variant="fp16")
    pipeline.text_encoder.save_pretrained(root / "my_clip")
    return root


@pytest.fixture
def tiny(pipeline: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The preset of that model."""
    parts = {folder: getattr(pipeline, folder) for folder in ("unet", "vae", "text_encoder")}
    register(monkeypatch, "tiny_sd1", "sd1", parts)


def same(one: Any, other: Any) -> None:
    """Two modules of the same class, arguments and bits."""
    assert type(one) is type(other)
    a, b = one.state_dict(), other.state_dict()
    assert a.keys() == b.keys()
    assert [name for name in a if not torch.equal(a[name], b[name])] == []


@pytest.mark.usefixtures("tiny")
def test_a_single_file_is_bit_equal_to_the_folder(files: Path) -> None:
    ctx = Shelf(files)
    single, folder = load_model("tiny", ctx), load_model("folder", ctx)
    same(ctx.use(single.denoiser), ctx.use(folder.denoiser))
    same(ctx.use(single.vae), ctx.use(folder.vae))
    one, other = ctx.use(single.text_encoder)[0], ctx.use(folder.text_encoder)[0]
    same(one.encoder, other.encoder)
    assert one.tokenizer("a red house").input_ids == other.tokenizer("a red house").input_ids
    assert one.tokenizer.pad_token == "<|endoftext|>"
    for a, b in ((single.denoiser, folder.denoiser), (single.vae, folder.vae)):
        assert (a.family, a.spec) == (b.family, b.spec)
    assert single.denoiser.noise == folder.denoiser.noise
    assert single.denoiser.predicts == "epsilon"
    assert (single.denoiser.sample_size, single.denoiser.text_width) == (32, 32)
    assert single.denoiser.part.preset == "tiny_sd1_unet"


@pytest.mark.usefixtures("tiny")
def test_a_prediction_of_the_single_file_is_that_of_the_folder(files: Path) -> None:
    ctx = Shelf(files)
    x, t, c = torch.ones(1, 4, 8, 8), torch.tensor([5]), torch.ones(1, 77, 32)
    one, other = (ctx.use(load_model(name, ctx).denoiser)(x, t, c)[0] for name in ("tiny", "folder"))
    assert torch.equal(one, other)


@pytest.mark.usefixtures("tiny")
def test_only_the_part_that_is_asked_for_is_read(files: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    keys: list[str] = []
    read = weights.Reader.read

    def note(self: Any, source: Any, *rest: Any) -> Any:
        keys.append(source.key)
        return read(self, source, *rest)

    monkeypatch.setattr(weights.Reader, "read", note)
    ctx = Shelf(files)
    found = load_model("tiny", ctx)
    assert keys == []
    ctx.use(found.vae)
    assert keys
    assert {key.split(".")[0] for key in keys} == {"first_stage_model"}


@pytest.mark.usefixtures("tiny")
@pytest.mark.parametrize(
    "name", ["tiny", "unet/alone", "bare", "unet/diffusers.safetensors", "my_unet", "folder"]
)
def test_a_denoiser_loads_from_a_model_or_alone(files: Path, pipeline: Any, name: str) -> None:
    ctx = Shelf(files)
    denoiser = load_denoiser(name, ctx=ctx)
    same(ctx.use(denoiser), pipeline.unet)
    assert (denoiser.family, denoiser.spec.scale, denoiser.noise.schedule) == (
        "sd1",
        0.18215,
        "scaled_linear",
    )


@pytest.mark.usefixtures("tiny")
@pytest.mark.parametrize("name", ["tiny", "vae/alone", "vae/diffusers", "my_vae", "folder"])
def test_a_vae_loads_from_a_model_or_alone(files: Path, pipeline: Any, name: str) -> None:
    ctx = Shelf(files)
    vae = load_vae(name, ctx=ctx)
    same(ctx.use(vae), pipeline.vae)
    assert (vae.family, vae.spec) == ("sd1", load_model("folder", ctx).vae.spec)


@pytest.mark.usefixtures("tiny")
@pytest.mark.parametrize("name", ["tiny", "words", "my_clip", "folder"])
def test_a_text_encoder_loads_from_a_model_or_alone(files: Path, pipeline: Any, name: str) -> None:
    ctx = Shelf(files)
    tower = ctx.use(load_text_encoder(name, ctx=ctx))[0]
    same(tower.encoder, pipeline.text_encoder)
    assert tower.tokenizer("a cat").input_ids == pipeline.tokenizer("a cat").input_ids


@pytest.mark.usefixtures("tiny")
def test_the_choices_are_the_names_that_fit_a_node(files: Path) -> None:
    folders = Shelf(files).folders
    assert model_names(folders) == ["folder", "tiny"]
    assert set(denoiser_names(folders)) == {
        "bare", "folder", "my_unet", "tiny", "unet/alone", "unet/diffusers"
    }  # fmt: skip
    assert set(vae_names(folders)) == {"folder", "my_vae", "tiny", "vae/alone", "vae/diffusers"}
    assert set(text_encoder_names(folders)) == {"folder", "my_clip", "tiny", "words"}
    for name in denoiser_names(folders):
        assert load_denoiser(name, ctx=Shelf(files))


@pytest.mark.usefixtures("tiny")
def test_a_name_of_two_files_is_told_with_both(files: Path) -> None:
    with pytest.raises(
        ModelError, match=r"3 models 'diffusers'|2 models 'diffusers' .*unet/diffusers' or 'vae/"
    ):
        load_denoiser("diffusers", ctx=Shelf(files))


@pytest.mark.usefixtures("tiny")
def test_the_fingerprint_follows_the_file(files: Path, tmp_path: Path) -> None:
    file = tmp_path / "tiny.safetensors"
    shutil.copy(files / "checkpoints" / "tiny.safetensors", file)
    folders = Shelf(tmp_path).folders
    before = denoiser_fingerprint("tiny", "auto", folders)
    assert denoiser_fingerprint("tiny", "v_prediction", folders) != before
    data = bytearray(file.read_bytes())
    data[-1] ^= 1
    file.write_bytes(data)
    assert denoiser_fingerprint("tiny", "auto", folders) != before


# -- what the file says of itself ----------------------------------------------------------------------------


@pytest.mark.usefixtures("tiny")
@pytest.mark.parametrize(
    ("metadata", "extra", "wanted"),
    [
        ({}, {}, "epsilon"),
        ({"modelspec.prediction_type": "v"}, {}, "v_prediction"),
        ({}, {"v_pred": torch.zeros(0)}, "v_prediction"),
    ],
)
def test_a_file_that_says_what_it_predicts_is_believed(
    tmp_path: Path, pipeline: Any, metadata: dict[str, str], extra: Any, wanted: str
) -> None:
    saved(tmp_path / "one.safetensors", written(pipeline.unet, UNET), extra, **metadata)
    assert load_denoiser("one", ctx=Shelf(tmp_path)).predicts == wanted
    assert load_denoiser("one", "epsilon", Shelf(tmp_path)).predicts == "epsilon"


@pytest.mark.usefixtures("tiny")
def test_a_file_that_was_trained_to_pure_noise_says_so(tmp_path: Path, pipeline: Any) -> None:
    saved(tmp_path / "one.safetensors", written(pipeline.unet, UNET), {"ztsnr": torch.zeros(0)})
    assert load_denoiser("one", ctx=Shelf(tmp_path)).noise.zero_snr


@pytest.mark.usefixtures("tiny")
@pytest.mark.parametrize(
    ("stored", "wanted"),
    [(torch.float16, "float16"), (torch.bfloat16, "bfloat16"), (torch.float8_e4m3fn, "float16")],
)
def test_the_precision_on_a_gpu_is_that_of_the_file_and_the_cpu_computes_in_float32(
    tmp_path: Path, pipeline: Any, stored: torch.dtype, wanted: str
) -> None:
    weights = {name: tensor.to(stored) for name, tensor in written(pipeline.unet, UNET).items()}
    saved(tmp_path / "one.safetensors", weights)
    ctx = Shelf(tmp_path)
    denoiser = load_denoiser("one", ctx=ctx)
    assert denoiser.part.dtype == wanted
    unet = ctx.use(denoiser)
    assert unet.dtype == torch.float32
    assert torch.equal(unet.conv_in.weight, pipeline.unet.conv_in.weight.to(stored).float())
    assert denoiser.load(ctx.folders, "meta").conv_in.weight.dtype == getattr(torch, wanted)


@pytest.mark.usefixtures("tiny")
@pytest.mark.parametrize(
    ("name", "family", "scale"),
    [
        ("plain", "auto", 0.18215),
        ("xl_vae", "auto", 0.13025),
        ("plain", "sdxl", 0.13025),
        ("xl_vae", "sd1", 0.18215),
    ],
)
def test_the_scale_of_a_vae_follows_the_family_or_the_name(
    tmp_path: Path, pipeline: Any, monkeypatch: pytest.MonkeyPatch, name: str, family: Any, scale: float
) -> None:
    parts = sdxl_parts()
    register(monkeypatch, "tiny_xl", "sdxl", {"vae": parts["vae"]}, pipeline="StableDiffusionPipeline")
    saved(tmp_path / f"{name}.safetensors", pipeline.vae.state_dict())
    assert load_vae(name, family, Shelf(tmp_path)).spec.scale == scale


@pytest.mark.usefixtures("tiny")
def test_a_vae_for_another_shape_of_latents_is_refused(tmp_path: Path, pipeline: Any) -> None:
    saved(tmp_path / "one.safetensors", pipeline.vae.state_dict())
    with pytest.raises(ModelError, match="one is no VAE for flux1; its latents have the shape of these: sd1"):
        load_vae("one", "flux1", Shelf(tmp_path))


# -- families ------------------------------------------------------------------------------------------------


def opened(name: str, root: Path) -> Assembly:
    """A single file as the families read it."""
    folders = Shelf(root).folders
    path = folders.model(name)
    return checkpoint(name, path, folders, recognised(name, path, MODEL, DENOISER))


def loaded(assembly: Assembly, folder: str, cls: str) -> Any:
    return load_part(assembly.part(folder, cls), assembly.folders, "cpu")


def test_every_part_of_an_xl_file_is_bit_equal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    parts = sdxl_parts()
    register(monkeypatch, "tiny_xl", "sdxl", parts)
    saved(
        tmp_path / "xl.safetensors",
        written(parts["unet"], UNET),
        written(parts["vae"], FIRST_STAGE),
        written(parts["text_encoder"], Layout("conditioner.embedders.0.transformer.", layouts.clip)),
        written(parts["text_encoder_2"], Layout("conditioner.embedders.1.model.", layouts.open_clip)),
    )
    parts["tokenizer"].save_pretrained(tmp_path / "words" / "clip")
    xl = opened("xl", tmp_path)
    assert xl.preset.family == "sdxl"
    for folder, cls in (
        ("unet", "UNet2DConditionModel"),
        ("vae", "AutoencoderKL"),
        ("text_encoder", "CLIPTextModel"),
        ("text_encoder_2", "CLIPTextModelWithProjection"),
    ):
        same(loaded(xl, folder, cls), parts[folder])
    assert xl.json("vae/config.json")["scaling_factor"] == 0.13025
    assert xl.json("model_index.json")["text_encoder"][0]
    # The second encoder of XL fills up with "!", the first with the end mark.
    words = [load_words(xl.words(part, "CLIPTokenizer"), xl.folders) for part in ("tokenizer", "tokenizer_2")]
    assert [w.pad_token for w in words] == ["<|endoftext|>", "!"]


def test_a_refiner_has_the_second_encoder_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    parts = sdxl_parts()
    del parts["text_encoder"]
    register(monkeypatch, "tiny_refiner", "sdxl_refiner", parts)
    saved(
        tmp_path / "refiner.safetensors",
        written(parts["unet"], UNET),
        written(parts["vae"], FIRST_STAGE),
        written(parts["text_encoder_2"], Layout("conditioner.embedders.0.model.", layouts.open_clip)),
    )
    refiner = opened("refiner", tmp_path)
    assert refiner.preset.family == "sdxl_refiner"
    assert refiner.json("model_index.json")["text_encoder"] == [None, None]
    same(loaded(refiner, "text_encoder_2", "CLIPTextModelWithProjection"), parts["text_encoder_2"])


def test_a_file_of_version_2_has_open_clip_of_which_the_last_layer_is_not_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pipeline = sd1()
    second = sdxl_parts()["text_encoder_2"].text_model
    from transformers import CLIPTextConfig, CLIPTextModel

    deep = written(sdxl_parts()["text_encoder_2"], Layout("cond_stage_model.model.", layouts.open_clip))
    config = CLIPTextConfig(**{**second.config.to_dict(), "num_hidden_layers": 1})
    shallow = CLIPTextModel(config).eval()
    shallow.load_state_dict(second.state_dict(), strict=False)
    parts = {"unet": pipeline.unet, "vae": pipeline.vae, "text_encoder": shallow}
    register(monkeypatch, "tiny_sd2", "sd2", parts)
    saved(
        tmp_path / "two.safetensors", written(pipeline.unet, UNET), written(pipeline.vae, FIRST_STAGE), deep
    )
    two = opened("two", tmp_path)
    same(loaded(two, "text_encoder", "CLIPTextModel"), shallow)
    assert load_model("two", Shelf(tmp_path)).denoiser.predicts == "v_prediction"


@pytest.mark.parametrize(
    "layout", [Layout("", layouts.plain), Layout("", layouts.flux), Layout(LDM, layouts.flux)]
)
@pytest.mark.parametrize("guidance", [True, False])
def test_the_transformer_of_flux_alone_is_bit_equal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, layout: Layout, guidance: bool
) -> None:
    transformer = flux_transformer(guidance)
    register(monkeypatch, "tiny_flux", "flux1_dev", {"transformer": transformer})
    saved(tmp_path / "flux.safetensors", written(transformer, layout))
    flux = opened("flux", tmp_path)
    assert flux.preset.family == "flux1"
    assert flux.has("transformer")
    assert not flux.has("vae")
    same(loaded(flux, "transformer", "FluxTransformer2DModel"), transformer)


@pytest.mark.parametrize("layout", [Layout("", layouts.plain), Layout(LDM, layouts.mmdit)])
def test_the_transformer_of_stable_diffusion_3_alone_is_bit_equal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, layout: Layout
) -> None:
    transformer = sd3_transformer()
    register(monkeypatch, "tiny_sd3", "sd3", {"transformer": transformer})
    saved(tmp_path / "three.safetensors", written(transformer, layout))
    same(loaded(opened("three", tmp_path), "transformer", "SD3Transformer2DModel"), transformer)


def test_an_inpainting_unet_says_itself_how_many_channels_it_reads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    register(monkeypatch, "tiny_sd1", "sd1", {"unet": sd1().unet})
    unet = sd1(in_channels=9).unet
    saved(tmp_path / "paint.safetensors", written(unet, UNET))
    folders = Shelf(tmp_path).folders
    assembly = lone_denoiser("paint", folders.model("paint"), folders)
    assert assembly.json("unet/config.json")["in_channels"] == 9
    same(loaded(assembly, "unet", "UNet2DConditionModel"), unet)


def test_encoders_in_files_of_their_own_go_together_in_any_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from graphengine_diffusion.files.single import Piece, assembled_text

    parts = sdxl_parts()
    register(monkeypatch, "tiny_xl", "sdxl", parts)
    saved(tmp_path / "l.safetensors", written(parts["text_encoder"], Layout("", layouts.clip)))
    saved(tmp_path / "g.safetensors", parts["text_encoder_2"].state_dict())
    folders = Shelf(tmp_path).folders
    for names in ("lg", "gl"):
        found = assembled_text([Piece(n, folders.model(n)) for n in names], folders, "auto")
        assert found.preset.family == "sdxl"
        same(loaded(found, "text_encoder", "CLIPTextModel"), parts["text_encoder"])
        same(loaded(found, "text_encoder_2", "CLIPTextModelWithProjection"), parts["text_encoder_2"])
    with pytest.raises(ModelError, match="l and l are both tiny_xl_text_encoder; name each once"):
        load_text_encoder("l", "l", ctx=Shelf(tmp_path))
    with pytest.raises(ModelError, match=r"flux1 does not read .* these go together: sd1: "):
        load_text_encoder("g", family="flux1", ctx=Shelf(tmp_path))


# -- checked before anything is allocated --------------------------------------------------------------------


@pytest.mark.usefixtures("tiny")
@pytest.mark.parametrize(
    ("key", "change", "words"),
    [
        (
            "input_blocks.1.0.in_layers.2.weight",
            lambda t: t[:4],
            "is [4, 8, 3, 3] in the file, where the model has [8",
        ),
        (
            "input_blocks.1.0.in_layers.2.weight",
            None,
            "lacks 1 of its weights, such as model.diffusion_model.input",
        ),
        ("out.2.bias", lambda t: t.to(torch.int8), "holds whole numbers (I8), so the file is quantised"),
    ],
)
def test_weights_are_compared_with_the_preset_before_one_is_read(
    tmp_path: Path, pipeline: Any, monkeypatch: pytest.MonkeyPatch, key: str, change: Any, words: str
) -> None:
    tensors = written(pipeline.unet, UNET)
    tensor = tensors.pop(LDM + key)
    if change:
        tensors[LDM + key] = change(tensor).contiguous()
    saved(tmp_path / "one.safetensors", tensors)
    monkeypatch.setattr(weights.Reader, "read", lambda *args: pytest.fail("a weight was read"))
    ctx = Shelf(tmp_path)
    with pytest.raises(ModelError) as caught:
        ctx.use(load_denoiser("one", ctx=ctx))
    assert words in str(caught.value)
    assert ctx.loaded == {}


@pytest.mark.usefixtures("tiny")
def test_a_part_that_a_file_does_not_hold_is_told_when_it_is_used(tmp_path: Path, pipeline: Any) -> None:
    saved(tmp_path / "bare.safetensors", written(pipeline.unet, UNET), written(pipeline.vae, FIRST_STAGE))
    ctx = Shelf(tmp_path)
    found = load_model("bare", ctx)
    same(ctx.use(found.denoiser), pipeline.unet)
    with pytest.raises(ModelError, match="bare holds no text encoder; load that from a file of its own"):
        load_part(found.text_encoder.parts[0], ctx.folders, "cpu")


def test_a_model_of_a_size_that_is_not_known_is_told(tmp_path: Path, pipeline: Any) -> None:
    saved(tmp_path / "odd.safetensors", written(pipeline.unet, UNET), written(pipeline.vae, FIRST_STAGE))
    with pytest.raises(
        ModelError, match=r"odd is a model of a size that is not known; these are: Stable Diff"
    ):
        load_model("odd", Shelf(tmp_path))


def test_a_preset_that_is_not_there_is_told(files: Path) -> None:
    part = Part("tiny", "unet", "UNet2DConditionModel", "hash", preset="of the future")
    with pytest.raises(ModelError, match="there is no preset 'of the future'; these are known: clip_g"):
        load_part(part, Shelf(files).folders, "cpu")


# -- folders: variants and shards ----------------------------------------------------------------------------


def test_a_folder_in_shards_and_in_half_precision_only_loads(tmp_path: Path, pipeline: Any) -> None:
    half = sd1().to(torch.float16)
    half.save_pretrained(tmp_path / "half", variant="fp16", max_shard_size="20KB")
    names = [f.name for f in (tmp_path / "half" / "unet").glob("*.safetensors")]
    assert len(names) > 1
    assert all("fp16" in name for name in names)
    ctx = Shelf(tmp_path)
    found = load_model("half", ctx)
    same(ctx.use(found.denoiser), half.unet.float())
    same(ctx.use(found.vae), half.vae.float())


@pytest.mark.parametrize("spoil", ["shard", "index"])
def test_a_shard_that_is_missing_is_named(tmp_path: Path, spoil: str) -> None:
    sd1().save_pretrained(tmp_path / "parts", max_shard_size="20KB")
    unet = tmp_path / "parts" / "unet"
    shards = sorted(unet.glob("*.safetensors"))
    shards[1].unlink()
    if spoil == "index":
        next(unet.glob("*.index.json")).unlink()
    words = (
        f"lacks {shards[1].name}" if spoil == "shard" else f"holds {len(shards) - 1} of {len(shards)} parts"
    )
    with pytest.raises(ModelError, match=words):
        load_model("parts", Shelf(tmp_path))


def test_an_index_that_leads_out_of_its_folder_is_refused(tmp_path: Path) -> None:
    sd1().save_pretrained(tmp_path / "parts", max_shard_size="20KB")
    index = next((tmp_path / "parts" / "unet").glob("*.index.json"))
    found = json.loads(index.read_text())
    found["weight_map"]["conv_in.weight"] = "../../secret.safetensors"
    index.write_text(json.dumps(found))
    with pytest.raises(
        ModelError, match=r"names '\.\./\.\./secret\.safetensors', which is no \.safetensors file"
    ):
        load_model("parts", Shelf(tmp_path))


# -- tokenizers ----------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("tiny")
def test_without_a_tokenizer_the_error_says_where_to_put_one(files: Path, tmp_path: Path) -> None:
    shutil.copy(files / "checkpoints" / "tiny.safetensors", tmp_path)
    ctx = Shelf(tmp_path)
    encoder = load_model("tiny", ctx).text_encoder
    with pytest.raises(ModelError, match=r"put a folder `clip_tokenizer` .* or install open_clip_torch"):
        ctx.use(encoder)
    shutil.copytree(files / "folder" / "tokenizer", tmp_path / "clip_tokenizer")
    assert ctx.use(load_model("tiny", ctx).text_encoder)[0].tokenizer("cat").input_ids


@pytest.mark.usefixtures("tiny")
def test_a_tokenizer_of_another_number_of_words_is_not_taken(files: Path, tmp_path: Path) -> None:
    shutil.copy(files / "checkpoints" / "tiny.safetensors", tmp_path)
    (tmp_path / "other" / "tokenizer").mkdir(parents=True)
    (tmp_path / "other" / "model_index.json").write_text("{}")
    (tmp_path / "other" / "tokenizer" / "vocab.json").write_text('{"a": 0}')
    assert load_model("tiny", Shelf(tmp_path)).text_encoder.tokenizers[0].hash == ""


def test_the_vocabulary_of_open_clip_makes_the_tokenizer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = clip_tokenizer()
    merges = []
    for word in WORDS:
        left, *rest = [*word[:-1], word[-1] + "</w>"]
        for right in rest:
            if f"{left} {right}" not in merges:
                merges.append(f"{left} {right}")
            left += right
    package = tmp_path / "open_clip"
    package.mkdir()
    (package / "__init__.py").write_text("raise RuntimeError('this is not imported')")
    (package / vocabulary.CLIP_FILE).write_bytes(
        gzip.compress("\n".join(["#version", *merges, "x y"]).encode())
    )
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(vocabulary, "CLIP_WORDS", 512 + len(merges) + 2)
    assert list(byte_alphabet()) == vocabulary.byte_alphabet()
    found = vocabulary.found_words(Shelf().folders, "CLIPTokenizer", vocabulary.CLIP_WORDS)
    assert found == ("", "", package / vocabulary.CLIP_FILE)
    made = load_words(Part("", "", "CLIPTokenizer", "hash", "", "!"), Shelf().folders)
    assert made.pad_token == "!"
    for text in ("a red house", "photo of the xyz", "Cat, dog!"):
        assert made(text).input_ids == known(text).input_ids


def test_a_damaged_tokenizer_is_told(files: Path, tmp_path: Path) -> None:
    shutil.copytree(files / "folder", tmp_path / "folder")
    for file in (tmp_path / "folder" / "tokenizer").iterdir():
        file.write_text("{")
    ctx = Shelf(tmp_path)
    with pytest.raises(ModelError, match="tokenizer cannot be loaded as CLIPTokenizer"):
        ctx.use(load_model("folder", ctx).text_encoder)


def test_weights_in_memory_do_not_follow_the_file(tmp_path: Path) -> None:
    encoder = clip_text_model(clip_tokenizer())
    encoder.save_pretrained(tmp_path / "clip")
    loaded = load_part(Part("clip", "", "CLIPTextModel", "hash"), Shelf(tmp_path).folders, "cpu")
    file = tmp_path / "clip" / "model.safetensors"
    zeros = {name: torch.zeros_like(tensor) for name, tensor in load_file(file).items()}
    with file.open("r+b") as stream:
        save_file(zeros, tmp_path / "zeros.safetensors", {"format": "pt"})
        stream.write((tmp_path / "zeros.safetensors").read_bytes())
    same(loaded, encoder)
