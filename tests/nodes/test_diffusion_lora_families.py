"""LoRAs of every family: the whole loop against diffusers' pipeline, and the names of the models' authors."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from nodes.loras import RANK, matrices, wrapped
from nodes.parity import parity_row
from nodes.references import NEGATIVE, PROMPT, ours, steps_of, texts_of, theirs, unit_noise
from nodes.singlefiles import flux_transformer, sd3_transformer, written
from nodes.tinymodels import MODELS, Gallery, Shelf
from safetensors.torch import save_file
from torch import Tensor

from graphengine_diffusion.files.layouts import Layout, flux, mmdit
from graphengine_diffusion.files.lora_file import read_lora
from graphengine_diffusion.folding import fold, names_of
from graphengine_diffusion.lora import apply_lora
from graphengine_diffusion.types import Timestep

# diffusers turns tensors into arrays in a way that numpy 2 wants changed.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

ALPHA = 6.0

UNET = [
    "down_blocks.1.attentions.0.transformer_blocks.0.attn1.to_q",
    "down_blocks.1.attentions.0.transformer_blocks.1.attn2.to_k",
    "up_blocks.0.attentions.1.transformer_blocks.1.ff.net.0.proj",
    "mid_block.attentions.0.transformer_blocks.0.attn1.to_out.0",
    "down_blocks.0.resnets.0.conv1",
]
SMALL = [path.replace("transformer_blocks.1", "transformer_blocks.0") for path in UNET]
JOINT = [
    "transformer_blocks.0.attn.to_q",
    "transformer_blocks.1.attn.to_v",
    "transformer_blocks.0.attn.add_k_proj",
    "transformer_blocks.0.ff_context.net.2",
    "transformer_blocks.1.norm1_context.linear",
    "norm_out.linear",
]
STREAMS = [
    "transformer_blocks.0.attn.to_k",
    "transformer_blocks.0.attn.to_add_out",
    "single_transformer_blocks.0.attn.to_v",
    "single_transformer_blocks.1.proj_mlp",
    "single_transformer_blocks.1.proj_out",
    "norm_out.linear",
]
CLIP = ["text_model.encoder.layers.0.self_attn.q_proj", "text_model.encoder.layers.1.mlp.fc1"]
T5 = ["encoder.block.0.layer.0.SelfAttention.q", "encoder.block.1.layer.1.DenseReluDense.wi_0"]

Parts = dict[str, tuple[str, list[str]]]
"""What a LoRA changes: the component of the pipeline, what the file calls it, and its layers."""

FAMILIES: list[tuple[str, str, Parts, dict[str, Any]]] = [
    (
        "sd2",
        "kohya",
        {"unet": ("lora_unet_", SMALL), "text_encoder": ("lora_te_", CLIP)},
        {"guidance_scale": 5.0},
    ),
    (
        "sdxl",
        "kohya",
        {
            "unet": ("lora_unet_", UNET),
            "text_encoder": ("lora_te1_", CLIP),
            "text_encoder_2": ("lora_te2_", CLIP),
        },
        {"guidance_scale": 5.0},
    ),
    (
        "sdxl",
        "peft",
        {"unet": ("unet.", UNET), "text_encoder_2": ("text_encoder_2.", CLIP)},
        {"guidance_scale": 5.0},
    ),
    (
        "sd3",
        "kohya",
        {
            "transformer": ("lora_unet_", JOINT),
            "text_encoder": ("lora_te1_", CLIP),
            "text_encoder_2": ("lora_te2_", CLIP),
            "text_encoder_3": ("lora_te3_", T5),
        },
        {"guidance_scale": 5.0},
    ),
    (
        "sd3",
        "peft",
        {"transformer": ("transformer.", JOINT), "text_encoder": ("text_encoder.", CLIP)},
        {"guidance_scale": 5.0},
    ),
    (
        "flux dev",
        "kohya",
        {
            "transformer": ("lora_unet_", STREAMS),
            "text_encoder": ("lora_te1_", CLIP),
            "text_encoder_2": ("lora_te3_", T5),
        },
        {"guidance_scale": 3.5, "true_cfg_scale": 5.0},
    ),
    (
        "flux schnell",
        "peft",
        {"transformer": ("transformer.", STREAMS), "text_encoder": ("text_encoder.", CLIP)},
        {"true_cfg_scale": 5.0, "max_sequence_length": 256},
    ),
]


def layers_of(module: Any, paths: list[str]) -> list[str]:
    """Paths as the module has them: a CLIP may be without `text_model`."""
    known = {path for path, _ in module.named_modules()}
    return [path if path in known else path.removeprefix("text_model.") for path in paths]


def file_of(pipeline: Any, format: str, parts: Parts) -> dict[str, Tensor]:
    """The tensors of a LoRA for some components of a pipeline."""
    found: dict[str, Tensor] = {}
    for component, (prefix, paths) in parts.items():
        module = getattr(pipeline, component)
        for path, (_, each) in zip(paths, matrices(module, layers_of(module, paths)), strict=True):
            if format == "peft":
                found[f"{prefix}{path}.lora_A.weight"] = each["down"]
                found[f"{prefix}{path}.lora_B.weight"] = each["up"]
            else:
                name = prefix + path.replace(".", "_")
                found[f"{name}.lora_down.weight"] = each["down"]
                found[f"{name}.lora_up.weight"] = each["up"]
                found[f"{name}.alpha"] = torch.tensor(ALPHA)
    return found


@pytest.mark.parity
@pytest.mark.parametrize(
    ("name", "format", "parts", "options"), FAMILIES, ids=[f"{row[0]}-{row[1]}" for row in FAMILIES]
)
def test_a_loop_with_a_lora_is_that_of_the_pipeline_with_wrapped_layers(
    gallery: Gallery, tmp_path: Path, name: str, format: str, parts: Parts, options: dict[str, Any]
) -> None:
    """diffusers runs LoRAs by peft: W x + s B (A x) in each layer; so do the layers of its pipeline here."""
    plain, pipeline = gallery.model(name), MODELS[name]()
    pipeline.scheduler = gallery.pipeline(name).scheduler
    save_file(file_of(pipeline, format, parts), tmp_path / "lora.safetensors")
    scale = 1.0 if format == "peft" else ALPHA / RANK
    for component, (_, paths) in parts.items():
        strength = 0.7 if component in ("unet", "transformer") else 0.4
        module = getattr(pipeline, component)
        found = matrices(module, layers_of(module, paths))
        wrapped(module, {path: (each, strength * scale) for path, each in found})
    wanted, _ = theirs(pipeline, negative_prompt=NEGATIVE, **options)

    ctx = Shelf(gallery.root, tmp_path)
    patched = apply_lora(plain.denoiser, plain.text_encoder, "lora", 0.7, 0.4, ctx)
    flow = plain.denoiser.predicts == "flow"
    start = unit_noise(plain) * float(getattr(pipeline.scheduler, "init_noise_sigma", 1.0))
    steps = steps_of(pipeline.scheduler, flow)

    def made(steps: Sequence[Timestep], **changes: Any) -> Tensor:
        model = plain._replace(**changes)
        return ours(ctx, model, start, steps, texts_of(ctx, model, PROMPT, NEGATIVE), 5.0).samples

    both = {"denoiser": patched.denoiser, "text_encoder": patched.text_encoder}
    found = made(steps, **both)
    parity_row(f"{name}: text to image with a LoRA ({format}), wrapped layers", found, wanted)
    first = made(steps[:1], **both)
    for part, half in both.items():
        assert (made(steps[:1], **{part: half}) - first).abs().max() > 1e-3 * (first - start).abs().max()


def test_an_encoder_that_a_lora_leaves_alone_is_the_model_s_own(gallery: Gallery, tmp_path: Path) -> None:
    name, format, parts, _ = FAMILIES[2]
    save_file(file_of(gallery.pipeline(name), format, parts), tmp_path / "lora.safetensors")
    model, ctx = gallery.model(name), Shelf(gallery.root, tmp_path)
    patched = apply_lora(model.denoiser, model.text_encoder, "lora", ctx=ctx)
    words, changed = model.text_encoder.members, patched.text_encoder.members
    assert [a == b for a, b in zip(words, changed, strict=True)] == [True, True, True, False]


# -- the names of the models' authors ------------------------------------------------------------------------

FUSED = {
    "flux": [
        "double_blocks.0.img_attn.qkv",
        "double_blocks.1.txt_attn.qkv",
        "double_blocks.0.img_attn.proj",
        "double_blocks.1.txt_mlp.2",
        "double_blocks.0.img_mod.lin",
        "single_blocks.1.linear1",
        "single_blocks.0.linear2",
        "single_blocks.0.modulation.lin",
        "final_layer.adaLN_modulation.1",
        "guidance_in.in_layer",
        "img_in",
    ],
    "sd3": [
        "joint_blocks.0.x_block.attn.qkv",
        "joint_blocks.0.x_block.attn2.qkv",
        "joint_blocks.1.context_block.attn.qkv",
        "joint_blocks.1.context_block.mlp.fc1",
        "joint_blocks.2.context_block.adaLN_modulation.1",
        "final_layer.adaLN_modulation.1",
        "y_embedder.mlp.0",
    ],
}


@pytest.mark.parametrize("prefix", ["lora_unet_", "diffusion_model."])
@pytest.mark.parametrize("kind", FUSED)
def test_a_matrix_of_several_layers_is_changed_as_one(kind: str, prefix: str, tmp_path: Path) -> None:
    """W + s up @ down on the matrix as the authors have it, cut into layers or not."""
    module = flux_transformer() if kind == "flux" else sd3_transformer()
    layout = Layout("", flux if kind == "flux" else mmdit)
    before, g = written(module, layout), torch.Generator().manual_seed(4)
    tensors, wanted = {}, dict(before)
    for path in FUSED[kind]:
        rows, columns = before[f"{path}.weight"].shape
        up, down = torch.randn(rows, RANK, generator=g), torch.randn(RANK, columns, generator=g)
        if prefix == "lora_unet_":
            name = prefix + path.replace(".", "_")
            tensors |= {f"{name}.lora_up.weight": up, f"{name}.lora_down.weight": down}
            tensors[f"{name}.alpha"] = torch.tensor(ALPHA)
        else:
            tensors |= {f"{prefix}{path}.lora_B.weight": up, f"{prefix}{path}.lora_A.weight": down}
        scale = ALPHA / RANK if prefix == "lora_unet_" else 1.0
        wanted[f"{path}.weight"] = before[f"{path}.weight"] + 0.5 * scale * up @ down
    save_file(tensors, tmp_path / "x.safetensors")
    found = written(fold(module, ["denoiser"], [(tmp_path / "x.safetensors", 0.5)]), layout)
    for name, tensor in wanted.items():
        torch.testing.assert_close(found[name], tensor, rtol=1e-5, atol=1e-5)
    assert sum(not torch.equal(found[name], before[name]) for name in found) == len(FUSED[kind])


def test_layers_of_flux_by_their_original_names_are_those_that_diffusers_makes(tmp_path: Path) -> None:
    from diffusers.loaders.lora_conversion_utils import _convert_kohya_flux_lora_to_diffusers

    module = flux_transformer()
    shapes = {name: t.shape for name, t in written(module, Layout("", flux)).items() if t.ndim == 2}
    # diffusers cuts `linear1` at the sizes of the published model alone: see the next test.
    names = [name.removesuffix(".weight") for name in shapes if "linear1" not in name]
    state = {}
    for number, name in enumerate(names):
        rows, columns = shapes[f"{name}.weight"]
        kohya = "lora_unet_" + name.replace(".", "_")
        state[f"{kohya}.lora_down.weight"] = torch.full((2, columns), float(number))
        state[f"{kohya}.lora_up.weight"] = torch.arange(1.0, rows * 2 + 1).reshape(rows, 2)
    save_file(state, tmp_path / "x.safetensors")
    known, ours = names_of(module), {}
    for layer in read_lora(tmp_path / "x.safetensors"):
        for target in known[layer.path]:
            ours[target.weight.removesuffix(".weight")] = target.of(layer)
    theirs = _convert_kohya_flux_lora_to_diffusers(state)
    paths = {key.split(".lora_")[0].removeprefix("transformer.") for key in theirs}
    assert paths == ours.keys()
    for path, layer in ours.items():
        prefix = "transformer." if f"transformer.{path}.lora_A.weight" in theirs else ""
        assert torch.equal(layer.down, theirs[f"{prefix}{path}.lora_A.weight"])
        assert torch.equal(layer.up, theirs[f"{prefix}{path}.lora_B.weight"])


def test_the_first_matrix_of_a_single_block_is_cut_as_diffusers_cuts_it() -> None:
    from diffusers.loaders.lora_conversion_utils import _convert_kohya_flux_lora_to_diffusers

    up = torch.arange(1.0, 7 * 3072 + 1)[:, None]
    name = "lora_unet_single_blocks_5_linear1"
    found = _convert_kohya_flux_lora_to_diffusers(
        {f"{name}.lora_up.weight": up, f"{name}.lora_down.weight": torch.ones(1, 3072)}
    )
    sizes = {"num_attention_heads": 24, "attention_head_dim": 128}
    assert len(found) == 8
    for key, tensor in found.items():
        if key.endswith(".lora_B.weight"):
            path = key.removeprefix("transformer.").removesuffix(".lora_B.weight")
            source = flux(f"{path}.weight", sizes)
            assert source.key == "single_blocks.5.linear1.weight"
            assert source.rows is not None
            assert torch.equal(up[source.rows[0] : source.rows[1]], tensor)
