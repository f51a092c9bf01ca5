"""Layouts: how a weight is called in the files that models come in.

diffusers and transformers name the weights of their own classes one way; the checkpoints that models are
first published in (latent-diffusion, OpenCLIP, Stable Diffusion 3, Flux) name and cut them another way. A
naming goes from the name in the class to the source in the file, so that shapes can be checked and weights
read one by one. Imports no torch.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, NamedTuple

Config = Mapping[str, Any]


class Source(NamedTuple):
    """Where a weight comes from: a tensor of the file, or some rows of it.

    `rows` is (first, past the last, of how many). `turn` says what is done to it then: "transposed", its two
    "halves" swapped, or an "identity" matrix where the file has none.
    """

    key: str
    rows: tuple[int, int, int] | None = None
    turn: Literal["", "transposed", "halves", "identity"] = ""


Naming = Callable[[str, Config], Source]


class Layout(NamedTuple):
    """A prefix that a file's names have, and the naming of what follows it."""

    prefix: str
    naming: Naming

    def source(self, name: str, config: Config) -> Source:
        """Where a weight of the class lies."""
        found = self.naming(name, config)
        return found._replace(key=self.prefix + found.key)


def replaced(name: str, pairs: Sequence[tuple[str, str]]) -> str:
    """A name with the first pair that fits its beginning put in."""
    for old, new in pairs:
        if name.startswith(old):
            return new + name.removeprefix(old)
    return name


def plain(name: str, config: Config) -> Source:
    """As the class itself calls it."""
    return Source(name)


def older_attention(name: str, config: Config) -> Source:
    """An autoencoder saved by diffusers before version 0.18: other names in its one attention layer."""
    if ".attentions." in name:
        for new, old in (
            (".to_q.", ".query."),
            (".to_k.", ".key."),
            (".to_v.", ".value."),
            (".to_out.0.", ".proj_attn."),
        ):
            name = name.replace(new, old)
    return Source(name)


RESNET = (
    ("norm1", "in_layers.0"),
    ("conv1", "in_layers.2"),
    ("norm2", "out_layers.0"),
    ("conv2", "out_layers.3"),
    ("time_emb_proj", "emb_layers.1"),
    ("conv_shortcut", "skip_connection"),
)
UNET_ENDS = (
    ("time_embedding.linear_1", "time_embed.0"),
    ("time_embedding.linear_2", "time_embed.2"),
    ("add_embedding.linear_1", "label_emb.0.0"),
    ("add_embedding.linear_2", "label_emb.0.2"),
    ("conv_in", "input_blocks.0.0"),
    ("conv_norm_out", "out.0"),
    ("conv_out", "out.2"),
)
UNET_BLOCK = re.compile(r"(down|up)_blocks\.(\d+)\.(resnets|attentions|downsamplers|upsamplers)\.(\d+)\.(.+)")
UNET_MIDDLE = re.compile(r"mid_block\.(resnets|attentions)\.(\d+)\.(.+)")


def ldm_unet(name: str, config: Config) -> Source:
    """The U-Net of latent-diffusion: input blocks, a middle block and output blocks, counted through."""
    if found := UNET_MIDDLE.fullmatch(name):
        kind, number, rest = found.groups()
        position = 2 * int(number) + (kind == "attentions")
        return Source(f"middle_block.{position}.{rest if kind == 'attentions' else replaced(rest, RESNET)}")
    found = UNET_BLOCK.fullmatch(name)
    if not found:
        return Source(replaced(name, UNET_ENDS))
    way, block, kind, layer, rest = found.groups()
    size = config["layers_per_block"] + 1
    first = int(block) * size
    if kind == "downsamplers":
        return Source(f"input_blocks.{first + size}.0.op.{rest.removeprefix('conv.')}")
    if kind == "upsamplers":
        slot = 2 if "Attn" in config["up_block_types"][int(block)] else 1
        return Source(f"output_blocks.{first + size - 1}.{slot}.{rest}")
    place = (
        f"input_blocks.{1 + first + int(layer)}" if way == "down" else f"output_blocks.{first + int(layer)}"
    )
    return Source(f"{place}.1.{rest}" if kind == "attentions" else f"{place}.0.{replaced(rest, RESNET)}")


HINT = re.compile(r"controlnet_cond_embedding\.(conv_in|conv_out|blocks\.(\d+))\.(\w+)")
HINT_WIDTHS = (16, 32, 96, 256)
"""The channels on the way from a ControlNet's picture to its latents, where nothing else is said."""


def ldm_control(name: str, config: Config) -> Source:
    """A ControlNet as its authors publish it: the U-Net's way down, a hint, and zero convolutions."""
    if found := HINT.fullmatch(name):
        layer, number, kind = found.groups()
        last = 2 * len(config.get("conditioning_embedding_out_channels", HINT_WIDTHS)) - 1
        position = 0 if layer == "conv_in" else last if layer == "conv_out" else int(number) + 1
        return Source(f"input_hint_block.{2 * position}.{kind}")
    if name.startswith("controlnet_down_blocks."):
        number, kind = name.removeprefix("controlnet_down_blocks.").split(".")
        return Source(f"zero_convs.{number}.0.{kind}")
    if name.startswith("controlnet_mid_block."):
        return Source(name.replace("controlnet_mid_block", "middle_block_out.0"))
    return ldm_unet(name, config)


VAE_ATTENTION = (
    ("group_norm", "norm"),
    ("to_q", "q"),
    ("to_k", "k"),
    ("to_v", "v"),
    ("to_out.0", "proj_out"),
)
VAE_BLOCK = re.compile(
    r"(encoder|decoder)\.(down|up)_blocks\.(\d+)\.(resnets|downsamplers|upsamplers)\.(\d+)\.(.+)"
)
VAE_MIDDLE = re.compile(r"(encoder|decoder)\.mid_block\.(resnets|attentions)\.(\d+)\.(.+)")


def ldm_vae(name: str, config: Config) -> Source:
    """The autoencoder of latent-diffusion, whose decoder counts its levels from the other end."""
    if found := VAE_MIDDLE.fullmatch(name):
        half, kind, number, rest = found.groups()
        if kind == "attentions":
            return Source(f"{half}.mid.attn_{int(number) + 1}.{replaced(rest, VAE_ATTENTION)}")
        return Source(f"{half}.mid.block_{int(number) + 1}.{rest.replace('conv_shortcut', 'nin_shortcut')}")
    if found := VAE_BLOCK.fullmatch(name):
        half, way, block, kind, layer, rest = found.groups()
        level = int(block) if way == "down" else len(config["up_block_types"]) - 1 - int(block)
        if kind == "resnets":
            return Source(
                f"{half}.{way}.{level}.block.{layer}.{rest.replace('conv_shortcut', 'nin_shortcut')}"
            )
        return Source(f"{half}.{way}.{level}.{way}sample.{rest}")
    return Source(name.replace("conv_norm_out", "norm_out"))


def clip(name: str, config: Config) -> Source:
    """CLIP as transformers saved it before version 5: everything but the projection under `text_model`."""
    if name.startswith("text_projection"):
        return Source(name)
    return Source(f"text_model.{name.removeprefix('text_model.')}")


def clip_with_identity(name: str, config: Config) -> Source:
    """The same for a file without a projection: Stable Diffusion 3 takes CLIP-L's vector as it is."""
    found = clip(name, config)
    return found._replace(turn="identity") if name.startswith("text_projection") else found


def bare_clip(name: str, config: Config) -> Source:
    """CLIP as transformers saves it since version 5."""
    return Source(name.removeprefix("text_model."))


OPEN_CLIP_ENDS = (
    ("embeddings.token_embedding.weight", "token_embedding.weight"),
    ("embeddings.position_embedding.weight", "positional_embedding"),
    ("final_layer_norm", "ln_final"),
)
OPEN_CLIP_LAYER = (
    ("layer_norm1", "ln_1"),
    ("layer_norm2", "ln_2"),
    ("mlp.fc1", "mlp.c_fc"),
    ("mlp.fc2", "mlp.c_proj"),
    ("self_attn.out_proj", "attn.out_proj"),
)
OPEN_CLIP_BLOCK = re.compile(r"encoder\.layers\.(\d+)\.(.+)")
ATTENTION = re.compile(r"self_attn\.([qkv])_proj\.(weight|bias)")


def open_clip(name: str, config: Config) -> Source:
    """OpenCLIP: query, key and value are rows of one matrix, and the projection lies the other way round."""
    if name == "text_projection.weight":
        return Source("text_projection", turn="transposed")
    name = name.removeprefix("text_model.")
    found = OPEN_CLIP_BLOCK.fullmatch(name)
    if not found:
        return Source(replaced(name, OPEN_CLIP_ENDS))
    layer, rest = found.groups()
    if attention := ATTENTION.fullmatch(rest):
        which, what = attention.groups()
        rows = third("qkv".index(which), config["hidden_size"])
        return Source(f"transformer.resblocks.{layer}.attn.in_proj_{what}", rows)
    return Source(f"transformer.resblocks.{layer}.{replaced(rest, OPEN_CLIP_LAYER)}")


def t5(name: str, config: Config) -> Source:
    """T5's encoder, which keeps its words once, under either of two names."""
    return Source("shared.weight" if name == "encoder.embed_tokens.weight" else name)


def t5_without_shared(name: str, config: Config) -> Source:
    """The same from a file that keeps the other name."""
    return Source("encoder.embed_tokens.weight" if name == "shared.weight" else name)


MMDIT_ENDS = (
    ("pos_embed.pos_embed", "pos_embed"),
    ("pos_embed.proj", "x_embedder.proj"),
    ("time_text_embed.timestep_embedder.linear_1", "t_embedder.mlp.0"),
    ("time_text_embed.timestep_embedder.linear_2", "t_embedder.mlp.2"),
    ("time_text_embed.text_embedder.linear_1", "y_embedder.mlp.0"),
    ("time_text_embed.text_embedder.linear_2", "y_embedder.mlp.2"),
    ("proj_out", "final_layer.linear"),
)
MMDIT_BLOCK = (
    ("attn.to_out.0", "x_block.attn.proj"),
    ("attn.to_add_out", "context_block.attn.proj"),
    ("attn.norm_q", "x_block.attn.ln_q"),
    ("attn.norm_k", "x_block.attn.ln_k"),
    ("attn.norm_added_q", "context_block.attn.ln_q"),
    ("attn.norm_added_k", "context_block.attn.ln_k"),
    ("attn2.to_out.0", "x_block.attn2.proj"),
    ("attn2.norm_q", "x_block.attn2.ln_q"),
    ("attn2.norm_k", "x_block.attn2.ln_k"),
    ("norm1_context.linear", "context_block.adaLN_modulation.1"),
    ("norm1.linear", "x_block.adaLN_modulation.1"),
    ("ff_context.net.0.proj", "context_block.mlp.fc1"),
    ("ff_context.net.2", "context_block.mlp.fc2"),
    ("ff.net.0.proj", "x_block.mlp.fc1"),
    ("ff.net.2", "x_block.mlp.fc2"),
)
JOINT_BLOCK = re.compile(r"transformer_blocks\.(\d+)\.(.+)")
JOINT_ATTENTION = re.compile(r"(attn2?)\.(?:to|add)_([qkv])(_proj)?\.(weight|bias)")


def mmdit(name: str, config: Config) -> Source:
    """The transformer of Stable Diffusion 3 (Esser et al. 2024), whose last norms give shift before scale."""
    if name.startswith("norm_out.linear."):
        return Source(name.replace("norm_out.linear", "final_layer.adaLN_modulation.1"), turn="halves")
    found = JOINT_BLOCK.fullmatch(name)
    if not found:
        return Source(replaced(name, MMDIT_ENDS))
    block, rest = found.groups()
    if attention := JOINT_ATTENTION.fullmatch(rest):
        which, letter, added, what = attention.groups()
        side = "context_block" if added else "x_block"
        rows = third("qkv".index(letter), config["num_attention_heads"] * config["attention_head_dim"])
        return Source(f"joint_blocks.{block}.{side}.{which}.qkv.{what}", rows)
    last = int(block) == config["num_layers"] - 1 and rest.startswith("norm1_context.")
    return Source(f"joint_blocks.{block}.{replaced(rest, MMDIT_BLOCK)}", turn="halves" if last else "")


FLUX_ENDS = (
    ("time_text_embed.timestep_embedder.linear_1", "time_in.in_layer"),
    ("time_text_embed.timestep_embedder.linear_2", "time_in.out_layer"),
    ("time_text_embed.text_embedder.linear_1", "vector_in.in_layer"),
    ("time_text_embed.text_embedder.linear_2", "vector_in.out_layer"),
    ("time_text_embed.guidance_embedder.linear_1", "guidance_in.in_layer"),
    ("time_text_embed.guidance_embedder.linear_2", "guidance_in.out_layer"),
    ("context_embedder", "txt_in"),
    ("x_embedder", "img_in"),
    ("proj_out", "final_layer.linear"),
)
FLUX_DOUBLE = (
    ("norm1.linear", "img_mod.lin"),
    ("norm1_context.linear", "txt_mod.lin"),
    ("attn.norm_q.weight", "img_attn.norm.query_norm.scale"),
    ("attn.norm_k.weight", "img_attn.norm.key_norm.scale"),
    ("attn.norm_added_q.weight", "txt_attn.norm.query_norm.scale"),
    ("attn.norm_added_k.weight", "txt_attn.norm.key_norm.scale"),
    ("attn.to_out.0", "img_attn.proj"),
    ("attn.to_add_out", "txt_attn.proj"),
    ("ff.net.0.proj", "img_mlp.0"),
    ("ff.net.2", "img_mlp.2"),
    ("ff_context.net.0.proj", "txt_mlp.0"),
    ("ff_context.net.2", "txt_mlp.2"),
)
FLUX_SINGLE = (
    ("norm.linear", "modulation.lin"),
    ("attn.norm_q.weight", "norm.query_norm.scale"),
    ("attn.norm_k.weight", "norm.key_norm.scale"),
    ("proj_out", "linear2"),
)
FLUX_BLOCK = re.compile(r"(single_)?transformer_blocks\.(\d+)\.(.+)")
SINGLE_PARTS = {"attn.to_q": 0, "attn.to_k": 1, "attn.to_v": 2, "proj_mlp": 3}


def flux(name: str, config: Config) -> Source:
    """The transformer of Flux.1; in a single block one matrix makes query, key, value and MLP."""
    if name.startswith("norm_out.linear."):
        return Source(name.replace("norm_out.linear", "final_layer.adaLN_modulation.1"), turn="halves")
    found = FLUX_BLOCK.fullmatch(name)
    if not found:
        return Source(replaced(name, FLUX_ENDS))
    single, block, rest = found.groups()
    width = config["num_attention_heads"] * config["attention_head_dim"]
    if single:
        part, _, what = rest.rpartition(".")
        if part in SINGLE_PARTS:
            start = SINGLE_PARTS[part] * width
            end = 7 * width if part == "proj_mlp" else start + width
            return Source(f"single_blocks.{block}.linear1.{what}", (start, end, 7 * width))
        return Source(f"single_blocks.{block}.{replaced(rest, FLUX_SINGLE)}")
    if attention := JOINT_ATTENTION.fullmatch(rest):
        _, letter, added, what = attention.groups()
        side = "txt" if added else "img"
        return Source(f"double_blocks.{block}.{side}_attn.qkv.{what}", third("qkv".index(letter), width))
    return Source(f"double_blocks.{block}.{replaced(rest, FLUX_DOUBLE)}")


def third(number: int, size: int) -> tuple[int, int, int]:
    """The rows of the query (0), the key (1) or the value (2) in one matrix of all three."""
    return number * size, (number + 1) * size, 3 * size


LDM = "model.diffusion_model."
TRANSFORMERS = {"SD3Transformer2DModel": mmdit, "FluxTransformer2DModel": flux}
VAE_LAYOUTS = (
    Layout("first_stage_model.", ldm_vae),
    Layout("vae.", ldm_vae),
    Layout("", plain),
    Layout("", older_attention),
    Layout("", ldm_vae),
)
FIRST_CLIP = (
    Layout("cond_stage_model.transformer.", clip),
    Layout("cond_stage_model.transformer.", bare_clip),
    Layout("conditioner.embedders.0.transformer.", clip),
    Layout("text_encoders.clip_l.transformer.", clip),
    Layout("text_encoders.clip_l.transformer.", clip_with_identity),
    Layout("cond_stage_model.model.", open_clip),
)
SECOND_CLIP = (
    Layout("conditioner.embedders.1.model.", open_clip),
    Layout("conditioner.embedders.0.model.", open_clip),
    Layout("text_encoders.clip_g.transformer.", clip),
)
LONE_CLIP = (
    Layout("", plain),
    Layout("", clip),
    Layout("", bare_clip),
    Layout("", open_clip),
    Layout("", clip_with_identity),
)
T5_PREFIX = "text_encoders.t5xxl.transformer."
T5_LAYOUTS = (
    Layout(T5_PREFIX, t5),
    Layout(T5_PREFIX, t5_without_shared),
    Layout("", t5),
    Layout("", t5_without_shared),
)


def layouts(cls: str, folder: str) -> tuple[Layout, ...]:
    """The layouts that a component of a class may lie in, in a file that may hold others too."""
    if cls == "UNet2DConditionModel":
        return (Layout(LDM, ldm_unet), Layout("", plain), Layout("", ldm_unet))
    if cls == "ControlNetModel":
        return (Layout("control_model.", ldm_control), Layout("", plain), Layout("", ldm_control))
    if cls == "AutoencoderKL":
        return VAE_LAYOUTS
    if cls in TRANSFORMERS:
        return (
            Layout(LDM, TRANSFORMERS[cls]),
            Layout("", plain),
            Layout("", TRANSFORMERS[cls]),
            Layout(LDM, plain),
        )
    if cls == "T5EncoderModel":
        return T5_LAYOUTS
    if cls.startswith("CLIPTextModel"):
        known = {"text_encoder": FIRST_CLIP, "text_encoder_2": SECOND_CLIP}.get(folder, ())
        return (*known, *LONE_CLIP)
    return (Layout("", plain),)


def prefixes(folder: str) -> tuple[str, ...]:
    """What the names of a component begin with in a file that holds others too."""
    if folder == "vae":
        return tuple(layout.prefix for layout in VAE_LAYOUTS if layout.prefix)
    if folder == "text_encoder":
        return tuple({layout.prefix: None for layout in FIRST_CLIP})
    if folder == "text_encoder_2":
        return (*(layout.prefix for layout in SECOND_CLIP), T5_PREFIX)
    return (T5_PREFIX,) if folder == "text_encoder_3" else (LDM,)
