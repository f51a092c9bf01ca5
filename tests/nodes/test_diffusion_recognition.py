"""Recognition: what a file is by its header. The files here have the names and shapes of real ones."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from graphengine_diffusion.families.pixels import PIPELINES
from graphengine_diffusion.files import catalogue
from graphengine_diffusion.files.headers import Header, Row
from graphengine_diffusion.files.presets import ARCHITECTURES, MODELS
from graphengine_diffusion.files.recognition import recognise, signature_of
from graphengine_diffusion.files.weights import CLASSES, library_class, made

pytestmark = pytest.mark.usefixtures("no_network")

LDM = "model.diffusion_model."
CROSS = "input_blocks.1.1.transformer_blocks.0.attn2.to_k.weight"

Shapes = dict[str, tuple[int, ...]]


def header(shapes: Shapes) -> Header:
    return Header({name: Row("F16", shape, 0, 0) for name, shape in shapes.items()})


def unet(width: int, text: int, added: int = 0, prefix: str = LDM) -> Shapes:
    """The names that tell a U-Net."""
    found: Shapes = {f"{prefix}input_blocks.0.0.weight": (width, 4, 3, 3), f"{prefix}{CROSS}": (width, text)}
    return found | ({f"{prefix}label_emb.0.0.weight": (1280, added)} if added else {})


FIRST_STAGE: Shapes = {
    "first_stage_model.encoder.conv_in.weight": (128, 3, 3, 3),
    "first_stage_model.decoder.conv_in.weight": (512, 4, 3, 3),
}
CLIP: Shapes = {"cond_stage_model.transformer.text_model.embeddings.position_embedding.weight": (77, 768)}
OPEN_CLIP: Shapes = {"cond_stage_model.model.positional_embedding": (77, 1024)}
XL_WORDS: Shapes = {
    "conditioner.embedders.0.transformer.text_model.embeddings.position_embedding.weight": (77, 768),
    "conditioner.embedders.1.model.positional_embedding": (77, 1280),
}
REFINER_WORDS: Shapes = {"conditioner.embedders.0.model.positional_embedding": (77, 1280)}
FLUX: Shapes = {
    "img_in.weight": (3072, 64),
    "double_blocks.0.img_attn.qkv.weight": (9216, 3072),
    "guidance_in.in_layer.weight": (3072, 256),
}
SD3: Shapes = {
    f"{LDM}x_embedder.proj.weight": (1536, 16, 2, 2),
    f"{LDM}joint_blocks.0.x_block.attn.qkv.weight": (4608, 1536),
}


def lora(key: str, width: int, down: str = "lora_down", up: str = "lora_up") -> Shapes:
    return {f"{key}.{down}.weight": (8, width), f"{key}.{up}.weight": (320, 8)}


BLOCK = f"{LDM}joint_blocks.0.x_block"
KOHYA = "lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_attn2_to_k"
PEFT = "unet.down_blocks.0.attentions.0.transformer_blocks.0.attn2.to_k"

FILES: dict[str, tuple[Shapes, str, str]] = {
    "sd1": (unet(320, 768) | FIRST_STAGE | CLIP, "model", "sd1"),
    "sd2": (unet(320, 1024) | FIRST_STAGE | OPEN_CLIP, "model", "sd2"),
    "sdxl": (unet(320, 2048, 2816) | FIRST_STAGE | XL_WORDS, "model", "sdxl"),
    "refiner": (unet(384, 1280, 2560) | FIRST_STAGE | REFINER_WORDS, "model", "sdxl_refiner"),
    "sd3": (SD3 | {"text_encoders.clip_l.transformer.text_model.x": (1,)}, "model", "sd3"),
    "sd3.5 medium": (
        SD3 | {f"{BLOCK}.attn.ln_q.weight": (64,), f"{BLOCK}.attn2.qkv.weight": (4608, 1536)},
        "denoiser",
        "sd3",
    ),
    "a unet with its prefix": (unet(320, 768), "denoiser", "sd1"),
    "a unet": (unet(320, 2048, 2816, ""), "denoiser", "sdxl"),
    "a unet of diffusers": (
        {
            "conv_in.weight": (320, 4, 3, 3),
            "time_embedding.linear_1.weight": (1280, 320),
            "down_blocks.0.attentions.0.transformer_blocks.0.attn2.to_k.weight": (320, 768),
        },
        "denoiser",
        "sd1",
    ),
    "flux dev": (FLUX, "denoiser", "flux1"),
    "flux schnell": ({k: v for k, v in FLUX.items() if "guidance" not in k}, "denoiser", "flux1"),
    "flux of diffusers": (
        {"x_embedder.weight": (3072, 64), "single_transformer_blocks.0.attn.to_q.weight": (3072, 3072)},
        "denoiser",
        "flux1",
    ),
    "vae": ({k.removeprefix("first_stage_model."): v for k, v in FIRST_STAGE.items()}, "VAE", "sd1"),
    "vae of flux": (
        {"encoder.conv_in.weight": (128, 3, 3, 3), "decoder.conv_in.weight": (512, 16, 3, 3)},
        "VAE",
        "sd3",
    ),
    "clip l": ({"text_model.embeddings.position_embedding.weight": (77, 768)}, "text encoder", "sd1"),
    "clip g": (
        {"text_model.embeddings.position_embedding.weight": (77, 1280)}, "text encoder", "sdxl_refiner"
    ),
    "open clip": (
        {"token_embedding.weight": (49408, 1024), "positional_embedding": (77, 1024)},
        "text encoder",
        "sd2",
    ),
    "t5": (
        {"encoder.block.0.layer.0.SelfAttention.q.weight": (4096, 4096), "shared.weight": (32128, 4096)},
        "text encoder",
        "flux1",
    ),
    "lora sd1": (lora(KOHYA, 768), "LoRA", "sd1"),
    "lora sd2": (lora(KOHYA, 1024), "LoRA", "sd2"),
    "lora sdxl": (lora(KOHYA, 2048), "LoRA", "sdxl"),
    "lora of diffusers": (lora(PEFT, 768, "lora_A", "lora_B"), "LoRA", "sd1"),
    "lora of older diffusers": (
        {f"{PEFT.replace('to_k', 'processor.to_k_lora')}.down.weight": (4, 768),
         f"{PEFT.replace('to_k', 'processor.to_k_lora')}.up.weight": (320, 4)},
        "LoRA", "sd1",
    ),
    "lora of xl's words": (lora("lora_te2_text_model_encoder_layers_0_mlp_fc1", 1280), "LoRA", "sdxl"),
    "lora of words": (lora("lora_te_text_model_encoder_layers_0_self_attn_q_proj", 768), "LoRA", "sd1"),
    "lora flux": (lora("lora_unet_double_blocks_0_img_attn_qkv", 3072), "LoRA", "flux1"),
    "lora flux of diffusers": (
        lora("transformer.single_transformer_blocks.0.attn.to_q", 3072, "lora_A", "lora_B"), "LoRA", "flux1",
    ),
    "lora sd3": (lora("transformer.transformer_blocks.0.attn.to_q", 1536, "lora_A", "lora_B"), "LoRA", "sd3"),
    "controlnet": (
        {"control_model.zero_convs.0.0.weight": (320, 320, 1, 1), f"control_model.{CROSS}": (320, 768)},
        "ControlNet",
        "sd1",
    ),
    "controlnet of diffusers": (
        {
            "controlnet_cond_embedding.conv_in.weight": (16, 3, 3, 3),
            "down_blocks.1.attentions.0.transformer_blocks.0.attn2.to_k.weight": (640, 2048),
            "time_embedding.linear_1.weight": (1280, 320),
            "conv_in.weight": (320, 4, 3, 3),
        },
        "ControlNet",
        "sdxl",
    ),
    "controlnet of flux": ({"controlnet_blocks.0.weight": (3072, 3072)}, "ControlNet", "flux1"),
    "embedding sd1": ({"emb_params": (8, 768)}, "embedding", "sd1"),
    "embedding sd2": ({"emb_params": (8, 1024)}, "embedding", "sd2"),
    "embedding sdxl": ({"clip_l": (2, 768), "clip_g": (2, 1280)}, "embedding", "sdxl"),
    "embedding of diffusers": ({"<cat-toy>": (1, 768)}, "embedding", "sd1"),
    "esrgan": (
        {"model.0.weight": (64, 3, 3, 3), "model.1.sub.0.RDB1.conv1.0.weight": (32, 64, 3, 3)},
        "upscaler", "esrgan",
    ),
    "real esrgan": (
        {"conv_first.weight": (64, 3, 3, 3), "body.0.rdb1.conv1.weight": (32, 64, 3, 3)},
        "upscaler", "esrgan",
    ),
    "real esrgan, wrapped": (
        {"params_ema.conv_first.weight": (64, 3, 3, 3), "params_ema.body.0.rdb1.conv1.weight": (32, 64)},
        "upscaler",
        "esrgan",
    ),
    "srvgg": (
        {"body.0.weight": (64, 3, 3, 3), "body.1.weight": (64,), "body.2.weight": (64, 64, 3, 3)},
        "upscaler", "srvgg",
    ),
    "a classifier": ({"fc.weight": (10, 512)}, "unknown", ""),
    "nothing": ({}, "unknown", ""),
}  # fmt: skip


@pytest.mark.parametrize("name", FILES)
def test_a_file_is_known_by_its_header(name: str) -> None:
    shapes, kind, family = FILES[name]
    found = recognise(header(shapes))
    assert (found.kind, found.family) == (kind, family)


@pytest.mark.parametrize(
    ("name", "preset", "parts"),
    [
        ("sd1", "sd1", ("unet", "vae", "text_encoder")),
        ("sdxl", "sdxl", ("unet", "vae", "text_encoder", "text_encoder_2")),
        ("refiner", "sdxl_refiner", ("unet", "vae", "text_encoder_2")),
        ("sd3", "sd3", ("transformer", "text_encoder")),
        ("sd3.5 medium", "sd35_medium", ("transformer",)),
        ("flux dev", "flux1_dev", ("transformer",)),
        ("flux schnell", "flux1_schnell", ("transformer",)),
    ],
)
def test_a_model_has_a_preset_and_parts(name: str, preset: str, parts: tuple[str, ...]) -> None:
    found = recognise(header(FILES[name][0]))
    assert (found.preset, found.parts) == (preset, parts)


def test_no_two_denoisers_look_alike() -> None:
    signatures = [signature_of(a.cls, a.arguments) for a in ARCHITECTURES.values()]
    known = [s for s in signatures if s is not None]
    assert len(known) == len(set(known)) == len(MODELS)


SIZES = {
    "unet_sd1": 859.5, "unet_sd2": 865.9, "unet_sdxl": 2567.5, "unet_sdxl_refiner": 2300, "vae_sd1": 83.65,
    "clip_l": 123.06, "clip_h": 340.4, "clip_g": 693.4, "sd3_medium": 2028, "sd35_medium": 2243,
    "sd35_large": 8056,
    "flux1_dev": 11901, "flux1_schnell": 11891, "vae_flux1": 83.8, "t5_xxl": 4762,
}  # fmt: skip
"""The published sizes of the components, in millions of numbers."""


@pytest.mark.parametrize("name", SIZES)
def test_a_preset_has_the_published_number_of_weights(name: str) -> None:
    preset = ARCHITECTURES[name]
    assert preset.cls in CLASSES
    with torch.device("meta"):
        module = made(library_class(preset.cls), dict(preset.arguments))
    assert sum(p.numel() for p in module.parameters()) / 1e6 == pytest.approx(SIZES[name], rel=0.02)


def test_a_model_names_architectures_that_are_there() -> None:
    assert {part for model in MODELS.values() for part in model.parts.values()} <= ARCHITECTURES.keys()


def test_what_a_file_is_needs_no_torch(tmp_path: Path) -> None:
    save_file({"emb_params": torch.zeros(2, 768)}, tmp_path / "e.safetensors")
    program = (
        "import sys, json; from pathlib import Path; from graphengine.folders import Folders\n"
        "from graphengine_diffusion.files.catalogue import describe, verify\n"
        f"path = Path({str(tmp_path / 'e.safetensors')!r})\n"
        "card = describe(path, Folders()); assert not verify(path, False)\n"
        "heavy = {'torch', 'numpy', 'safetensors', 'diffusers', 'transformers'} & sys.modules.keys()\n"
        "print(json.dumps([card.kind, card.family, sorted(heavy)]))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == ["embedding", "sd1", []]


def test_models_of_pixels_are_known_by_their_familys_pipelines() -> None:
    assert catalogue.PIXELS == PIPELINES
