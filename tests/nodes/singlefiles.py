"""Tiny models in the layouts of single files, and presets for them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from nodes.tinymodels import clip_text_model, clip_tokenizer, sd1
from safetensors.torch import save_file
from torch import Tensor

from graphengine_diffusion.files import presets
from graphengine_diffusion.files.layouts import Layout
from graphengine_diffusion.files.presets import Architecture, ModelPreset

ENDS = "<|endoftext|>"
BETAS = {"beta_schedule": "scaled_linear", "beta_start": 0.00085, "beta_end": 0.012}


def arguments(module: Any) -> dict[str, Any]:
    """What a module was made with."""
    config = module.config
    return dict(config) if not hasattr(config, "to_dict") else config.to_dict()


def written(module: Any, layout: Layout) -> dict[str, Tensor]:
    """The weights of a module as another layout has them: rows put together, matrices turned."""
    config, found = arguments(module), {}
    rows: dict[str, list[tuple[int, Tensor]]] = {}
    for name, tensor in module.state_dict().items():
        source = layout.source(name, config)
        if source.turn == "identity":
            continue
        if source.turn == "transposed":
            tensor = tensor.T
        if source.turn == "halves":
            tensor = torch.cat(tensor.chunk(2)[::-1])
        if source.rows:
            rows.setdefault(source.key, []).append((source.rows[0], tensor))
        else:
            found[source.key] = tensor
    found |= {
        key: torch.cat([t for _, t in sorted(parts, key=lambda p: p[0])]) for key, parts in rows.items()
    }
    return {key: tensor.clone().contiguous() for key, tensor in found.items()}


def saved(path: Path, *parts: Mapping[str, Tensor], **metadata: str) -> Path:
    """A single file of several components."""
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file({key: tensor for part in parts for key, tensor in part.items()}, path, metadata or None)
    return path


def sdxl_parts() -> dict[str, Any]:
    """The components of a Stable Diffusion XL with two levels, their text encoders 32 and 48 wide."""
    import diffusers
    from transformers import CLIPTextConfig, CLIPTextModelWithProjection

    tokenizer = clip_tokenizer()
    torch.manual_seed(3)
    second = CLIPTextConfig(
        vocab_size=len(tokenizer), hidden_size=48, intermediate_size=64, num_hidden_layers=2,
        num_attention_heads=4, projection_dim=24, max_position_embeddings=77, hidden_act="gelu",
        bos_token_id=tokenizer.bos_token_id, eos_token_id=tokenizer.eos_token_id, pad_token_id=0,
    )  # fmt: skip
    unet = diffusers.UNet2DConditionModel(
        sample_size=32, layers_per_block=1, block_out_channels=(12, 24), cross_attention_dim=80,
        norm_num_groups=4, attention_head_dim=(2, 4), use_linear_projection=True,
        transformer_layers_per_block=(1, 2), addition_embed_type="text_time", addition_time_embed_dim=8,
        projection_class_embeddings_input_dim=72, down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
    )  # fmt: skip
    vae = sd1().vae
    vae.register_to_config(scaling_factor=0.13025)
    return {
        "unet": unet,
        "vae": vae,
        "text_encoder": clip_text_model(tokenizer),
        "text_encoder_2": CLIPTextModelWithProjection(second).eval(),
        "tokenizer": tokenizer,
    }


def sd3_transformer() -> Any:
    """A transformer of Stable Diffusion 3.5's kind: three blocks, of which the first attends twice."""
    import diffusers

    torch.manual_seed(5)
    return diffusers.SD3Transformer2DModel(
        sample_size=16, patch_size=2, in_channels=4, out_channels=4, num_layers=3, attention_head_dim=8,
        num_attention_heads=2, joint_attention_dim=32, caption_projection_dim=16, pooled_projection_dim=24,
        pos_embed_max_size=16, qk_norm="rms_norm", dual_attention_layers=(0,),
    )  # fmt: skip


def flux_transformer(guidance: bool = True) -> Any:
    """A transformer of Flux's kind with two double and two single blocks."""
    import diffusers

    torch.manual_seed(6)
    return diffusers.FluxTransformer2DModel(
        patch_size=1, in_channels=16, num_layers=2, num_single_layers=2, attention_head_dim=8,
        num_attention_heads=2, joint_attention_dim=32, pooled_projection_dim=32, guidance_embeds=guidance,
        axes_dims_rope=(2, 2, 4),
    )  # fmt: skip


def register(
    patch: pytest.MonkeyPatch, name: str, like: str, parts: Mapping[str, Any], **changes: Any
) -> ModelPreset:
    """A preset with the sizes of these components, for the test at hand."""
    shipped = presets.MODELS[like]
    named = {}
    for folder, module in parts.items():
        if folder in presets.PARTS:
            cls = type(module).__name__.removesuffix("WithProjection")
            named[folder] = f"{name}_{folder}"
            patch.setitem(presets.ARCHITECTURES, named[folder], Architecture(cls, arguments(module)))
    preset = ModelPreset(
        **{
            "family": shipped.family,
            "title": f"tiny {shipped.title}",
            "pipeline": shipped.pipeline,
            "parts": {**shipped.parts, **named},
            "words": shipped.words,
            "scheduler": shipped.scheduler,
            "index": shipped.index,
        }
        | changes
    )
    patch.setitem(presets.MODELS, name, preset)
    return preset
