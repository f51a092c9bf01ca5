"""Recognition: what a file of weights is, by the names and shapes in its header.

Names tell the kind (a LoRA has `lora_down`, a ControlNet zero convolutions), shapes the family: the width of
the text that cross-attention reads is 768 for Stable Diffusion 1.x, 1024 for 2.x, 2048 for XL and 1280 for
its refiner. Imports no torch.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from graphengine_diffusion.files.headers import Header
from graphengine_diffusion.files.layouts import LDM, prefixes
from graphengine_diffusion.files.presets import ARCHITECTURES, MODELS, model_of

MODEL = "model"
DENOISER = "denoiser"
VAE = "VAE"
TEXT_ENCODER = "text encoder"
CONTROL_NET = "ControlNet"
LORA = "LoRA"
EMBEDDING = "embedding"
UPSCALER = "upscaler"
UNKNOWN = "unknown"

NODES = {
    MODEL: "load_model",
    DENOISER: "load_denoiser",
    VAE: "load_vae",
    TEXT_ENCODER: "load_text_encoder",
    CONTROL_NET: "load_control_net",
    LORA: "apply_lora",
    EMBEDDING: "load_embedding",
    UPSCALER: "load_upscaler",
}
"""The node that loads each kind."""

WIDTHS = {768: "sd1", 1024: "sd2", 2048: "sdxl", 1280: "sdxl_refiner"}
"""The family by the width of the text that its U-Net reads."""
STREAMS = {3072: "flux1", 1536: "sd3", 2432: "sd3"}
"""The family by the width of its transformer."""
TEXT_FAMILIES = {"clip_l": "sd1", "clip_h": "sd2", "clip_g": "sdxl_refiner", "t5_xxl": "flux1"}
"""The family of a text encoder that stands alone."""

Signature = tuple[Any, ...]


@dataclass(frozen=True)
class Recognised:
    """What a file is.

    `family` is empty where the shapes fit no family that is known. `preset` names the model (of a model or a
    denoiser) or the architecture (of any other component), `parts` the components that are in the file by
    their folder's name in diffusers' format.
    """

    kind: str
    family: str = ""
    preset: str = ""
    parts: tuple[str, ...] = field(default=())

    def __str__(self) -> str:
        if self.kind == UNKNOWN:
            return "of no kind that is known"
        article = "an" if self.kind[0] in "aeiouAEIOU" else "a"
        return f"{article} {self.kind}" + (f" for {self.family}" if self.family else "")


def recognise(header: Header) -> Recognised:
    """What a file is, by its header."""
    for look in (lora, embedding, control_net, checkpoint, lone_denoiser, lone_vae, lone_text, upscaler):
        found = look(header)
        if found is not None:
            return found
    return Recognised(UNKNOWN)


# -- the components of a model -------------------------------------------------------------------------------


def checkpoint(header: Header) -> Recognised | None:
    """A whole model in one file, or a denoiser with the prefix that it has in one."""
    if not header.under([LDM]):
        return None
    preset = denoiser_preset(header, LDM)
    name = model_of(preset)
    family = MODELS[name].family if name else unet_family(header)
    kind = "unet" if header.under([f"{LDM}input_blocks.", f"{LDM}down_blocks."]) else "transformer"
    texts = MODELS[name].text_encoders if name else ("text_encoder", "text_encoder_2", "text_encoder_3")
    parts = (kind, *(part for part in ("vae", *texts) if header.under(prefixes(part))))
    return Recognised(MODEL if len(parts) > 1 else DENOISER, family, name, parts)


def lone_denoiser(header: Header) -> Recognised | None:
    """A U-Net or a transformer alone, as its authors or diffusers name its weights."""
    unet = header.under(["input_blocks.0.0."]) or (
        header.under(["down_blocks."]) and header.under(["time_embedding."]) and header.under(["conv_in."])
    )
    transformer = header.under(
        [
            "double_blocks.",
            "joint_blocks.",
            "single_transformer_blocks.",
            "pos_embed.proj.",
            "transformer_blocks.",
        ]
    )
    if not unet and not transformer:
        return None
    name = model_of(denoiser_preset(header, ""))
    family = MODELS[name].family if name else unet_family(header)
    return Recognised(DENOISER, family, name, ("unet" if unet else "transformer",))


def lone_vae(header: Header) -> Recognised | None:
    """An autoencoder alone. Its shapes do not tell the scale of its latents: see `vae_preset`."""
    for prefix in ("", "first_stage_model.", "vae."):
        if header.shape(f"{prefix}encoder.conv_in.weight") and header.shape(
            f"{prefix}decoder.conv_in.weight"
        ):
            preset = vae_preset(header, prefix)
            family = next((m.family for m in MODELS.values() if m.parts["vae"] == preset), "")
            return Recognised(VAE, family, preset, ("vae",))
    return None


def lone_text(header: Header) -> Recognised | None:
    """A text encoder alone."""
    found = text_width(header)
    if not found:
        return None
    cls, width = found
    for name, preset in ARCHITECTURES.items():
        size = preset.arguments.get("d_model" if cls == "T5EncoderModel" else "hidden_size")
        if preset.cls == cls and size == width:
            return Recognised(TEXT_ENCODER, text_family(name), name, ("text_encoder",))
    return Recognised(TEXT_ENCODER, parts=("text_encoder",))


def text_family(preset: str) -> str:
    """The family that a text encoder serves alone, or first among others."""
    if preset in TEXT_FAMILIES:
        return TEXT_FAMILIES[preset]
    return next((m.family for m in MODELS.values() if preset in m.parts.values()), "")


def text_width(header: Header) -> tuple[str, int] | None:
    """The class of a text encoder that stands alone, and the width of its vectors."""
    for prefix in ("", "text_model.", "cond_stage_model.transformer.text_model."):
        if shape := header.shape(f"{prefix}embeddings.position_embedding.weight"):
            return "CLIPTextModel", shape[-1]
    for prefix in ("", "cond_stage_model.model."):
        if header.shape(f"{prefix}token_embedding.weight"):
            return "CLIPTextModel", (header.shape(f"{prefix}positional_embedding") or (0,))[-1]
    if header.shape("encoder.block.0.layer.0.SelfAttention.q.weight"):
        shape = header.shape("shared.weight") or header.shape("encoder.embed_tokens.weight")
        return "T5EncoderModel", (shape or (0,))[-1]
    return None


def denoiser_preset(header: Header, prefix: str) -> str:
    """The architecture of a U-Net or a transformer; empty if it is none that is known."""
    signature = (
        unet_signature(header, prefix) or flux_signature(header, prefix) or mmdit_signature(header, prefix)
    )
    if signature is None:
        return ""
    return next((n for n, a in ARCHITECTURES.items() if signature_of(a.cls, a.arguments) == signature), "")


def signature_of(cls: str, arguments: Any) -> Signature | None:
    """The signature of a denoiser that is made with these arguments."""
    made = SIGNATURES.get(cls)
    return made(arguments) if made else None


SIGNATURES: dict[str, Callable[[Any], Signature]] = {
    "UNet2DConditionModel": lambda a: (
        "unet",
        a["block_out_channels"][0],
        a["cross_attention_dim"],
        a.get("projection_class_embeddings_input_dim"),
    ),
    "FluxTransformer2DModel": lambda a: (
        "flux",
        a["num_attention_heads"] * a["attention_head_dim"],
        bool(a.get("guidance_embeds", False)),
    ),
    "SD3Transformer2DModel": lambda a: (
        "mmdit",
        a["num_attention_heads"] * a["attention_head_dim"],
        bool(a.get("qk_norm")),
        bool(a.get("dual_attention_layers")),
    ),
}
"""What a denoiser is known by: numbers that stand in its arguments and in the header of its file."""


def unet_signature(header: Header, prefix: str) -> Signature | None:
    """Of a U-Net: its first width, the width of the text, what is embedded beside the time."""
    first = header.shape(f"{prefix}input_blocks.0.0.weight") or (
        header.shape(f"{prefix}time_embedding.linear_1.weight") and header.shape(f"{prefix}conv_in.weight")
    )
    if not first:
        return None
    added = header.shape(f"{prefix}label_emb.0.0.weight") or header.shape(
        f"{prefix}add_embedding.linear_1.weight"
    )
    return ("unet", first[0], cross_width(header), added[1] if added else None)


def flux_signature(header: Header, prefix: str) -> Signature | None:
    """Of Flux: its width, and whether it reads a strength of guidance."""
    first = header.shape(f"{prefix}img_in.weight")
    if first and header.under([f"{prefix}double_blocks."]):
        return ("flux", first[0], header.under([f"{prefix}guidance_in."]))
    first = header.shape(f"{prefix}x_embedder.weight")
    if first and header.under([f"{prefix}single_transformer_blocks."]):
        return ("flux", first[0], header.under([f"{prefix}time_text_embed.guidance_embedder."]))
    return None


def mmdit_signature(header: Header, prefix: str) -> Signature | None:
    """Of Stable Diffusion 3: its width, whether it normalises queries, and whether it attends twice."""
    first = header.shape(f"{prefix}x_embedder.proj.weight") or header.shape(f"{prefix}pos_embed.proj.weight")
    if not first:
        return None
    keys = [key for key in header.tensors if key.startswith(prefix)]
    normed = any(".ln_q." in key or ".norm_q." in key for key in keys)
    return ("mmdit", first[0], normed, any(".attn2." in key for key in keys))


def vae_preset(header: Header, prefix: str) -> str:
    """The architecture of an autoencoder by its shapes; of several that fit, the first."""
    wide, latent = (
        header.shape(f"{prefix}encoder.conv_in.weight"),
        header.shape(f"{prefix}decoder.conv_in.weight"),
    )
    for name, preset in ARCHITECTURES.items():
        if preset.cls != "AutoencoderKL" or not wide or not latent:
            continue
        made = preset.arguments
        if (made["block_out_channels"][0], made["latent_channels"]) == (wide[0], latent[1]):
            return name
    return ""


def cross_width(header: Header) -> int | None:
    """The width of the text that a U-Net or a ControlNet reads."""
    for key, row in header.tensors.items():
        if key.endswith("attn2.to_k.weight") and len(row.shape) == 2:
            return row.shape[1]
    return None


def unet_family(header: Header) -> str:
    """The family by the width of the text; empty if it is none of those that are known."""
    return WIDTHS.get(cross_width(header) or 0, "")


# -- what goes with a model ----------------------------------------------------------------------------------

LORA_KEYS = re.compile(
    r"(\.|_)lora(_|\.)(up|down|A|B|linear_layer)\b|\.hada_w1_|\.lokr_w1|\.oft_|\.lora_(A|B)\."
)


def lora(header: Header) -> Recognised | None:
    """A LoRA (also LoHa, LoKr): pairs of thin matrices, named after the layers that they change."""
    if not any(LORA_KEYS.search(key) for key in header.tensors):
        return None
    return Recognised(LORA, lora_family(header))


def lora_family(header: Header) -> str:
    """The family of a LoRA, by the layers that it names and the widths that it reads there."""
    names = list(header.tensors)
    if any("double_blocks" in n or "single_transformer_blocks" in n or "single_blocks" in n for n in names):
        return "flux1"
    if any("joint_blocks" in n for n in names):
        return "sd3"
    for key, width in inner_widths(header):
        if re.search(r"attn2[._](processor[._])?to_[kv]\b", key.replace("_lora", ".lora")):
            return WIDTHS.get(width, "")
        if "transformer_blocks" in key and re.search(r"add_[qkv]_proj|\.attn\.to_q", key):
            return STREAMS.get(width, "")
    if any(n.startswith(("lora_te2_", "text_encoder_2.")) for n in names):
        return "sdxl"
    text = [width for key, width in inner_widths(header) if key.startswith(("lora_te_", "text_encoder."))]
    return WIDTHS.get(min(text, default=0), "")


def inner_widths(header: Header) -> Iterator[tuple[str, int]]:
    """The names of the matrices that a LoRA multiplies first, and the width that each reads."""
    for key, row in header.tensors.items():
        if re.search(r"lora(_|\.)(down|A)\b", key) and len(row.shape) >= 2:
            yield key, row.shape[1]


def embedding(header: Header) -> Recognised | None:
    """A textual inversion: a few vectors as wide as those of a text encoder's words."""
    names = header.tensors
    if len(names) > 4 or not names or any(len(row.shape) > 2 for row in names.values()):
        return None
    if {"clip_l", "clip_g"} & names.keys():
        both = {"clip_l", "clip_g"} <= names.keys()
        return Recognised(EMBEDDING, "sdxl" if both else WIDTHS.get(next(iter(names.values())).shape[-1], ""))
    width = next(iter(names.values())).shape[-1:] or (0,)
    known = "emb_params" in names or any(key.startswith("string_to_param") for key in names)
    token = len(names) == 1 and "." not in next(iter(names))
    if known or (token and width[0] in WIDTHS):
        return Recognised(EMBEDDING, WIDTHS.get(width[0], ""))
    return None


def control_net(header: Header) -> Recognised | None:
    """A ControlNet: a copy of a denoiser's first half, with zero convolutions and a hint."""
    marks = (
        "control_model.", "controlnet_cond_embedding.", "controlnet_down_blocks.", "controlnet_blocks.",
        "zero_convs.", "input_hint_block.", "lllite_", "controlnet_x_embedder.", "pos_embed_input.",
    )  # fmt: skip
    if not header.under(marks):
        return None
    if header.under(["controlnet_blocks.", "controlnet_x_embedder.", "pos_embed_input."]):
        if header.shape("time_text_embed.text_embedder.linear_1.weight"):
            if header.under(["controlnet_x_embedder."]):
                return Recognised(CONTROL_NET, "flux1")
            if header.shape("pos_embed_input.proj.weight"):
                return Recognised(CONTROL_NET, "sd3")
        wide = header.shape("controlnet_blocks.0.weight")
        return Recognised(CONTROL_NET, STREAMS.get(wide[0] if wide else 0, ""))
    return Recognised(CONTROL_NET, unet_family(header))


def upscaler(header: Header) -> Recognised | None:
    """A super-resolution network: RRDBNet (ESRGAN) in its old or new names, or SRVGGNetCompact."""
    names = {
        key.removeprefix("params_ema.").removeprefix("params."): row for key, row in header.tensors.items()
    }
    if any(key.startswith(("model.1.sub.", "RRDB_trunk.")) for key in names):
        return Recognised(UPSCALER, "esrgan")
    if "conv_first.weight" in names and any(key.startswith("body.0.rdb1.") for key in names):
        return Recognised(UPSCALER, "esrgan")
    first = names.get("body.0.weight")
    if (
        first is not None
        and len(first.shape) == 4
        and "body.1.weight" in names
        and "conv_first.weight" not in names
    ):
        return Recognised(UPSCALER, "srvgg")
    if "conv_first.weight" in names and any("residual_group" in key for key in names):
        return Recognised(UPSCALER, "swinir")
    return None
