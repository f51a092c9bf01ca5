"""LoRAs in every format, against a layer that computes W x + s B (A x), and against diffusers' names."""

from __future__ import annotations

import json
import logging
import re
from pathlib import Path
from typing import Any

import pytest
import torch
from nodes.loras import RANK, matrices, wrapped
from nodes.parity import parity_row
from nodes.singlefiles import flux_transformer, sd3_transformer
from nodes.tinymodels import Shelf, sd1
from safetensors.torch import save_file
from torch import Tensor

from graphengine.authoring import Folders
from graphengine.errors import ModelError
from graphengine.pool import ModelPool
from graphengine_diffusion.files.lora_file import place_of, read_lora, split
from graphengine_diffusion.folding import fold, names_of
from graphengine_diffusion.guidance import cfg
from graphengine_diffusion.latents import noise
from graphengine_diffusion.loading import LoadedModel, load_model
from graphengine_diffusion.lora import apply_lora, lora_names
from graphengine_diffusion.predicting import predict
from graphengine_diffusion.scheduling import schedule
from graphengine_diffusion.solving import solver_step
from graphengine_diffusion.text import encode_text

pytestmark = pytest.mark.usefixtures("no_network")

UNET = [
    "down_blocks.1.attentions.0.transformer_blocks.0.attn1.to_q",
    "down_blocks.1.attentions.0.transformer_blocks.0.attn2.to_k",
    "up_blocks.0.attentions.1.transformer_blocks.0.ff.net.0.proj",
    "mid_block.attentions.0.transformer_blocks.0.attn1.to_out.0",
    "down_blocks.1.attentions.0.proj_in",
    "down_blocks.0.resnets.0.conv1",
    "up_blocks.1.resnets.1.conv_shortcut",
    "down_blocks.0.downsamplers.0.conv",
]
TEXT = ["encoder.layers.0.self_attn.q_proj", "encoder.layers.2.mlp.fc1"]


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model root with one model."""
    root = tmp_path_factory.mktemp("models")
    sd1().save_pretrained(root / "tiny", safe_serialization=True)
    return root


@pytest.fixture(scope="module")
def ctx(root: Path) -> Shelf:
    return Shelf(root)


@pytest.fixture
def model(ctx: Shelf) -> LoadedModel:
    return load_model("tiny", ctx)


def answer(unet: Any) -> Tensor:
    g = torch.Generator().manual_seed(7)
    x, text = torch.randn(2, 4, 16, 16, generator=g), torch.randn(2, 7, 32, generator=g)
    with torch.inference_mode():
        return unet(x, torch.tensor([3.0, 700.0]), encoder_hidden_states=text).sample  # type: ignore[no-any-return]


def states(encoder: Any) -> Tensor:
    with torch.inference_mode():
        return encoder(torch.arange(20)[None]).last_hidden_state  # type: ignore[no-any-return]


def kohya(unet: Any, text: Any, mid: bool = False, alpha: float = 6.0) -> dict[str, Tensor]:
    """A LoRA as kohya's trainer writes it."""
    found: dict[str, Tensor] = {}
    layers = [("lora_unet_", unet, UNET), ("lora_te_text_model_", text, TEXT)]
    for prefix, module, paths in layers:
        for path, each in matrices(module, paths, mid):
            name = prefix + path.replace(".", "_")
            found |= {f"{name}.lora_{what}.weight": tensor for what, tensor in each.items()}
            found[f"{name}.alpha"] = torch.tensor(alpha)
    return found


def peft(unet: Any, text: Any) -> dict[str, Tensor]:
    """A LoRA as peft writes it through diffusers."""
    found: dict[str, Tensor] = {}
    for prefix, module, paths in [("unet.", unet, UNET), ("text_encoder.text_model.", text, TEXT)]:
        for path, each in matrices(module, paths):
            found[f"{prefix}{path}.lora_A.weight"] = each["down"]
            found[f"{prefix}{path}.lora_B.weight"] = each["up"]
    return found


def old_names(unet: Any, text: Any) -> dict[str, Tensor]:
    """Attention only, as diffusers wrote it before it used peft."""
    found: dict[str, Tensor] = {}
    for path, each in matrices(unet, UNET):
        head, _, last = path.removesuffix(".0").rpartition(".")
        if last in ("to_q", "to_k", "to_out"):
            found[f"unet.{head}.processor.{last}_lora.down.weight"] = each["down"]
            found[f"unet.{head}.processor.{last}_lora.up.weight"] = each["up"]
    for path, each in matrices(text, TEXT[:1]):
        head = path.removesuffix(".q_proj")
        found[f"text_encoder.text_model.{head}.to_q_lora.down.weight"] = each["down"]
        found[f"text_encoder.text_model.{head}.to_q_lora.up.weight"] = each["up"]
    return found


FORMATS = {
    "kohya": lambda u, t: (kohya(u, t), 6.0 / RANK, False),
    "locon": lambda u, t: (kohya(u, t, mid=True), 6.0 / RANK, True),
    "peft": lambda u, t: (peft(u, t), 1.0, False),
    "old": lambda u, t: (old_names(u, t), 1.0, False),
    "linear_layer": lambda u, t: (
        {k.replace("lora_A", "lora_linear_layer.down").replace("lora_B", "lora_linear_layer.up"): v
         for k, v in peft(u, t).items()}, 1.0, False),
    "bare": lambda u, t: (
        {k.removeprefix("unet."): v for k, v in peft(u, t).items() if "unet." in k}, 1.0, False),
}  # fmt: skip


@pytest.mark.parity
@pytest.mark.parametrize("kind", FORMATS)
def test_a_folded_lora_is_w_plus_s_b_a(kind: str, root: Path, ctx: Shelf, model: LoadedModel) -> None:
    unet, text = ctx.use(model.denoiser), ctx.use(model.text_encoder)[0].encoder
    tensors, scale, mid = FORMATS[kind](unet, text)
    save_file(tensors, root / f"{kind}.safetensors")
    before = answer(unet), states(text)
    patched = apply_lora(model.denoiser, model.text_encoder, kind, 0.7, 0.4, ctx)
    found = answer(ctx.use(patched.denoiser))
    paths = [p for p in UNET if kind != "old" or p.rpartition(".to_")[1]]
    fresh = model.denoiser.load(ctx.folders, "cpu")
    changes = {p: (m, 0.7 * scale) for p, m in matrices(unet, UNET, mid) if p in paths}
    wanted = answer(wrapped(fresh, changes))
    assert (wanted - before[0]).abs().max() > 0.01
    parity_row(f"sd1: a LoRA ({kind}) against W x + s B A x in each layer", found, wanted)
    assert torch.equal(answer(unet), before[0])  # the model itself stays as it is
    if kind == "bare":
        assert patched.text_encoder == model.text_encoder
        return
    fresh = model.text_encoder.load(ctx.folders, "cpu")[0].encoder
    paths = TEXT[:1] if kind == "old" else TEXT
    changes = {p: (m, 0.4 * scale) for p, m in matrices(text, paths, mid)}
    wanted = states(wrapped(fresh, changes))
    assert (wanted - before[1]).abs().max() > 0.01
    torch.testing.assert_close(states(ctx.use(patched.text_encoder)[0].encoder), wanted, rtol=1e-4, atol=1e-5)


@pytest.mark.parity
@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
def test_a_loop_with_a_lora_is_that_of_the_pipeline_with_wrapped_layers(
    root: Path, ctx: Shelf, model: LoadedModel
) -> None:
    """diffusers runs LoRAs by peft: W x + s B (A x) in each layer; so do the layers of its pipeline here."""
    import diffusers

    unet, text = ctx.use(model.denoiser), ctx.use(model.text_encoder)[0].encoder
    tensors, scale, mid = FORMATS["kohya"](unet, text)
    save_file(tensors, root / "loop.safetensors")
    denoiser, encoder = apply_lora(model.denoiser, model.text_encoder, "loop", 0.7, 0.4, ctx)
    plan = schedule(denoiser, 6, "normal")
    conditionings = [encode_text(encoder, words, ctx) for words in ("a red house at night", "bad")]
    x = noise(denoiser, plan.schedule, 3, ctx=ctx)
    for step in plan.timesteps:
        cond, uncond = (predict(denoiser, x, step, c, ctx) for c in conditionings)
        x = solver_step(x, cfg(cond, uncond, 5.0), step)

    pipeline = sd1()
    wrapped(pipeline.unet, {p: (m, 0.7 * scale) for p, m in matrices(unet, UNET, mid)})
    wrapped(pipeline.text_encoder, {p: (m, 0.4 * scale) for p, m in matrices(text, TEXT, mid)})
    pipeline.scheduler = diffusers.EulerDiscreteScheduler.from_config(
        pipeline.scheduler.config, timestep_spacing="linspace"
    )
    pipeline.set_progress_bar_config(disable=True)
    made = pipeline(
        "a red house at night",
        negative_prompt="bad",
        guidance_scale=5.0,
        num_inference_steps=6,
        height=64,
        width=64,
        generator=torch.Generator().manual_seed(3),
        output_type="latent",
    )
    parity_row("sd1: text to image with a LoRA, wrapped layers in the pipeline", x.samples, made.images)


@pytest.mark.parametrize("prefix", ["transformer.", "lora_transformer_", ""])
@pytest.mark.parametrize("kind", ["flux", "sd3"])
def test_transformers_are_patched_by_the_names_of_diffusers(kind: str, prefix: str, tmp_path: Path) -> None:
    module = flux_transformer() if kind == "flux" else sd3_transformer()
    layers = ["transformer_blocks.1.attn.to_q", "transformer_blocks.0.attn.add_k_proj", "proj_out"]
    kohya = prefix.endswith("_")
    tensors = {}
    for path, each in matrices(module, layers):
        name = prefix + (path.replace(".", "_") if kohya else path)
        tensors[f"{name}.lora_down.weight" if kohya else f"{name}.lora_A.weight"] = each["down"]
        tensors[f"{name}.lora_up.weight" if kohya else f"{name}.lora_B.weight"] = each["up"]
    save_file(tensors, tmp_path / "x.safetensors")
    found = fold(module, ["denoiser"], [(tmp_path / "x.safetensors", 0.5)])
    for path, each in matrices(module, layers):
        weight = module.get_parameter(f"{path}.weight")
        wanted = weight + 0.5 * each["up"] @ each["down"]
        torch.testing.assert_close(found.get_parameter(f"{path}.weight"), wanted, rtol=1e-4, atol=1e-6)
    same = [found.get_parameter(n) is p for n, p in module.named_parameters()]
    assert same.count(False) == 3


def test_several_loras_add_up_and_strength_0_is_the_model_itself(
    root: Path, ctx: Shelf, model: LoadedModel
) -> None:
    unet, text = ctx.use(model.denoiser), ctx.use(model.text_encoder)[0].encoder
    save_file(kohya(unet, text), root / "one.safetensors")
    save_file(peft(unet, text), root / "two.safetensors")
    once = apply_lora(*model[:2], "one", 0.5, ctx=ctx)
    twice = apply_lora(*once, "two.safetensors", -1.5, ctx=ctx)
    name = f"{UNET[0]}.weight"
    before, after = unet.get_parameter(name), ctx.use(twice.denoiser).get_parameter(name)
    ((_, found),) = matrices(unet, UNET[:1])
    wanted = (0.5 * 2 - 1.5) * found["up"] @ found["down"]
    torch.testing.assert_close(after - before, wanted, rtol=1e-4, atol=1e-6)
    assert apply_lora(*model[:2], "one", 0.0, ctx=ctx) == model[:2]
    assert once.denoiser != twice.denoiser
    assert apply_lora(*model[:2], "one", 0.5, 0.0, ctx).text_encoder == model.text_encoder


def test_another_strength_reads_no_weights_again_and_shares_what_stays(
    root: Path, ctx: Shelf, model: LoadedModel
) -> None:
    unet, text = ctx.use(model.denoiser), ctx.use(model.text_encoder)[0].encoder
    save_file(kohya(unet, text), root / "one.safetensors")
    read: list[str] = []
    pool = ModelPool("cpu", Folders(models=(root,)))
    real = pool.read
    pool.read = lambda handle: (read.append(type(handle).__name__), real(handle))[1]  # type: ignore[method-assign]
    plain = pool.use(model.denoiser)
    size = pool.used
    weak, strong = (
        pool.use(apply_lora(*model[:2], "one", strength, ctx=ctx).denoiser) for strength in (0.5, 1.0)
    )
    assert read == ["Part", "Patched", "Patched"]
    changed = {f"{path}.weight" for path in UNET}
    for name, tensor in plain.named_parameters():
        assert (weak.get_parameter(name) is tensor) == (name not in changed)
        assert torch.equal(weak.get_parameter(name), strong.get_parameter(name)) == (name not in changed)
    own = sum(plain.get_parameter(name).nbytes for name in changed)
    assert pool.used == size + 2 * own
    assert pool.use(model.denoiser) is plain


def test_the_names_of_the_first_implementation_are_those_that_diffusers_knows(ctx: Shelf) -> None:
    """Each layer of attention in a U-Net like SDXL's, as kohya's trainer names it and as diffusers does."""
    import diffusers
    from diffusers.loaders.lora_conversion_utils import (
        _convert_non_diffusers_lora_to_diffusers,
        _maybe_map_sgm_blocks_to_diffusers,
    )

    unet = diffusers.UNet2DConditionModel(
        in_channels=4,
        out_channels=4,
        layers_per_block=2,
        block_out_channels=(8, 8, 8),
        norm_num_groups=4,
        cross_attention_dim=8,
        attention_head_dim=2,
        transformer_layers_per_block=(1, 2, 2),
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
    )
    blocks = ("input_blocks", "middle_block", "output_blocks")
    names = {n: w for n, w in names_of(unet).items() if n.startswith(blocks) and "transformer_blocks" in n}
    assert len(names) > 100
    state = {}
    for number, name in enumerate(names):  # the numbers say which is which, whatever order they come back in
        state[f"lora_unet_{name}.lora_down.weight"] = torch.full((1, 8), float(number))
        state[f"lora_unet_{name}.lora_up.weight"] = torch.zeros(8, 1)
    mapped = _maybe_map_sgm_blocks_to_diffusers(dict(state), unet.config)
    wanted, _ = _convert_non_diffusers_lora_to_diffusers(mapped)
    ours = {n: weight for n, weight in enumerate(names.values())}
    for key, tensor in wanted.items():
        if ".down." in key or ".lora_A." in key:
            assert ours.pop(int(tensor[0, 0])) == names_of(unet)[place_of(split(key)[0])[1]]
    assert not ours


def test_every_layer_of_a_unet_has_an_original_name_of_its_own(ctx: Shelf, model: LoadedModel) -> None:
    unet = ctx.use(model.denoiser)
    layers = [n for n, m in unet.named_modules() if isinstance(m, (torch.nn.Linear, torch.nn.Conv2d))]
    original = [n for n in names_of(unet) if re.match("(input|middle|output)_block|time_embed_|out_", n)]
    assert len(original) == len(layers)


def test_peft_tells_alpha_in_the_metadata(root: Path, ctx: Shelf, model: LoadedModel) -> None:
    unet, text = ctx.use(model.denoiser), ctx.use(model.text_encoder)[0].encoder
    told = {
        "unet.lora_alpha": 12,
        "unet.alpha_pattern": {"attn1.to_q": 30},
        "text_encoder.lora_alpha": 6,
        "text_encoder.use_rslora": True,
    }
    save_file(peft(unet, text), root / "told.safetensors", {"lora_adapter_metadata": json.dumps(told)})
    alphas = {layer.name: layer.alpha for layer in read_lora(root / "told.safetensors")}
    assert alphas["unet." + UNET[0]] == 30
    assert alphas["unet." + UNET[1]] == 12
    assert alphas["text_encoder.text_model." + TEXT[0]] == pytest.approx(6 * RANK**0.5)


def test_a_lora_of_another_family_is_told_by_its_first_layer_that_does_not_fit(
    root: Path, ctx: Shelf, model: LoadedModel
) -> None:
    unet, text = ctx.use(model.denoiser), ctx.use(model.text_encoder)[0].encoder
    tensors = kohya(unet, text)
    name = "lora_unet_" + UNET[1].replace(".", "_")
    tensors[f"{name}.lora_down.weight"] = torch.zeros(RANK, 768)
    save_file(tensors, root / "wide.safetensors")
    handle = apply_lora(*model[:2], "wide", ctx=ctx).denoiser
    told = (
        f"wide.safetensors does not fit this UNet2DConditionModel: its layer {name} is for weights of shape "
        "[16, 768], but the model's are [16, 32]; it was made for another family"
    )
    with pytest.raises(ModelError, match=re.escape(told)):
        handle.load(ctx.folders, "cpu")
    layer = "transformer.blocks.0.q"
    tensors = {f"{layer}.lora_A.weight": torch.zeros(2, 4), f"{layer}.lora_B.weight": torch.zeros(4, 2)}
    save_file(tensors, root / "flux.safetensors")
    handle = apply_lora(*model[:2], "flux", ctx=ctx).denoiser
    with pytest.raises(
        ModelError, match=f"has none of its 1 layers, such as {layer}; it was made for another"
    ):
        handle.load(ctx.folders, "cpu")


def test_layers_that_the_model_does_not_have_are_told(
    root: Path, ctx: Shelf, model: LoadedModel, caplog: pytest.LogCaptureFixture
) -> None:
    tensors = kohya(ctx.use(model.denoiser), ctx.use(model.text_encoder)[0].encoder)
    tensors["lora_unet_mystery.lora_up.weight"] = torch.zeros(4, RANK)
    tensors["lora_unet_mystery.lora_down.weight"] = torch.zeros(RANK, 4)
    save_file(tensors, root / "more.safetensors")
    with caplog.at_level(logging.WARNING):
        apply_lora(*model[:2], "more", ctx=ctx).denoiser.load(ctx.folders, "cpu")
    told = (
        "1 of its 9 layers are not in this UNet2DConditionModel and are left out, such as lora_unet_mystery"
    )
    assert told in caplog.text


@pytest.mark.parametrize(
    ("shapes", "told"),
    [
        ({"weight": (1,)}, "is no LoRA; it has no key such as"),
        ({"lora_unet_a.hada_w1_a": (1,)}, "is a LoHa, which is not read; use a plain LoRA"),
        ({"lora_unet_a.lora_up.weight": (1, 1), "lora_unet_a.dora_scale": (1,)}, "is a DoRA"),
        ({"lora_unet_a.lora_up.weight": (1, 1)}, "its layer lora_unet_a lacks down; download it again"),
        (
            {"lora_unet_a.lora_up.weight": (4, 2), "lora_unet_a.lora_down.weight": (3, 4)},
            r"its layer lora_unet_a do not go together, \[4, 2\] and \[3, 4\]",
        ),
    ],
    ids=["other", "loha", "dora", "half", "ranks"],
)
def test_a_file_that_is_no_whole_lora_is_told(
    tmp_path: Path, shapes: dict[str, tuple[int, ...]], told: str
) -> None:
    save_file({key: torch.zeros(shape) for key, shape in shapes.items()}, tmp_path / "x.safetensors")
    with pytest.raises(ModelError, match=told):
        read_lora(tmp_path / "x.safetensors")


def test_the_choices_are_the_loras_under_the_roots(
    root: Path, tmp_path: Path, model: LoadedModel, ctx: Shelf
) -> None:
    (tmp_path / "loras").mkdir()
    tensors = peft(ctx.use(model.denoiser), ctx.use(model.text_encoder)[0].encoder)
    save_file(tensors, tmp_path / "loras" / "ink.safetensors")
    save_file({"weight": torch.zeros(1)}, tmp_path / "other.safetensors")
    (tmp_path / "broken.safetensors").write_bytes(b"nothing")
    (tmp_path / "old.ckpt").write_bytes(b"pickle")
    here = Shelf(tmp_path, root)
    assert lora_names(Folders(models=(tmp_path,))) == ["ink"]
    patched = apply_lora(*model[:2], "loras/ink", ctx=here)
    assert patched.denoiser.patches[0].model == "loras/ink"
    with pytest.raises(ModelError, match=r"as old.ckpt, a pickle, which can run code"):
        apply_lora(*model[:2], "old.ckpt", ctx=here)
    with pytest.raises(ModelError, match=r"there is no model 'nothing'; these are here: .*ink"):
        apply_lora(*model[:2], "nothing", ctx=here)
