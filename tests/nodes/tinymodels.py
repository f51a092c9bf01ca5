"""Tiny models of random weights, built in code and saved as ordinary model folders; nothing is downloaded."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

os.environ["HF_HUB_OFFLINE"] = "1"

import torch

from graphengine.authoring import Context, Folders, Handle

WORDS = "a photo of the red blue house tree cat dog beside with at night day bad low quality".split()

SCHEDULER = {
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "beta_schedule": "scaled_linear",
    "steps_offset": 1,
    "clip_sample": False,
    "set_alpha_to_one": False,
}


class Shelf(Context):
    """A context that loads each model once, as the engine's model pool does."""

    def __init__(self, *roots: Path) -> None:
        self.folders = Folders(models=roots)
        self.loaded: dict[Any, Any] = {}

    def use(self, handle: Handle[Any]) -> Any:
        if handle not in self.loaded:
            self.loaded[handle] = handle.load(self.folders, self.device)
        return self.loaded[handle]


def byte_alphabet() -> Iterator[str]:
    """The 256 characters that stand for bytes in CLIP's vocabulary; what cannot be seen is moved up."""
    visible = [*range(33, 127), *range(161, 173), *range(174, 256)]
    yield from map(chr, visible)
    yield from (chr(256 + i) for i in range(256 - len(visible)))


def clip_tokenizer(pad: str = "<|endoftext|>") -> Any:
    """A byte-pair tokenizer of CLIP's kind that knows `WORDS` whole and spells all else."""
    from transformers import CLIPTokenizer

    alphabet = list(byte_alphabet())
    tokens = dict.fromkeys([*alphabet, *(c + "</w>" for c in alphabet)])
    merges: dict[tuple[str, str], None] = {}
    for word in WORDS:
        left, *rest = [*word[:-1], word[-1] + "</w>"]
        for right in rest:
            merges[left, right] = None
            left += right
            tokens[left] = None
    tokens |= dict.fromkeys(["<|startoftext|>", "<|endoftext|>"])
    vocabulary = {token: i for i, token in enumerate(tokens)}
    return CLIPTokenizer(vocab=vocabulary, merges=list(merges), pad_token=pad, model_max_length=77)


def clip_text_model(
    tokenizer: Any, width: int = 32, projected: bool = False, act: str = "quick_gelu", seed: int = 1
) -> Any:
    """CLIP's text encoder, three layers deep; OpenCLIP's has `act` "gelu"."""
    from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

    torch.manual_seed(seed)
    config = CLIPTextConfig(
        vocab_size=len(tokenizer),
        hidden_size=width,
        intermediate_size=48,
        num_hidden_layers=3,
        num_attention_heads=4,
        hidden_act=act,
        projection_dim=width,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        max_position_embeddings=77,
    )
    return (CLIPTextModelWithProjection if projected else CLIPTextModel)(config).eval()


def t5_tokenizer() -> Any:
    """A unigram tokenizer of T5's kind."""
    from transformers import T5Tokenizer

    words = [("\u2581" + word, -2.0 - 0.01 * i) for i, word in enumerate(WORDS)]
    letters = [(chr(c), -8.0) for c in range(33, 127)]
    vocabulary = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0), ("\u2581", -2.0), *words, *letters]
    return T5Tokenizer(vocab=[*vocabulary, ("<extra_id_0>", 0.0)], extra_ids=1, model_max_length=512)


def t5_text_model(tokenizer: Any, width: int = 32) -> Any:
    """T5's encoder, two layers deep."""
    from transformers import T5Config, T5EncoderModel

    torch.manual_seed(3)
    config = T5Config(
        vocab_size=len(tokenizer),
        d_model=width,
        d_kv=8,
        d_ff=48,
        num_layers=2,
        num_heads=4,
        feed_forward_proj="gated-gelu",
        pad_token_id=0,
        eos_token_id=1,
        decoder_start_token_id=0,
        is_encoder_decoder=False,
    )
    return T5EncoderModel(config).eval()


def autoencoder(channels: int = 4, **settings: Any) -> Any:
    """A KL autoencoder with two levels: two pixels to a latent."""
    import diffusers

    torch.manual_seed(2)
    return diffusers.AutoencoderKL(
        block_out_channels=[4, 8],
        latent_channels=channels,
        norm_num_groups=2,
        layers_per_block=1,
        down_block_types=["DownEncoderBlock2D"] * 2,
        up_block_types=["UpDecoderBlock2D"] * 2,
        sample_size=64,
        **settings,
    ).eval()


def sd1(prediction_type: str = "epsilon", in_channels: int = 4, pipeline: str = "") -> Any:
    """A Stable Diffusion pipeline with two levels: 32 x 32 latents for 64 x 64 pixels."""
    import diffusers

    tokenizer = clip_tokenizer()
    text_encoder = clip_text_model(tokenizer)
    torch.manual_seed(0)
    unet = diffusers.UNet2DConditionModel(
        sample_size=32,
        in_channels=in_channels,
        out_channels=4,
        layers_per_block=1,
        block_out_channels=(8, 16),
        cross_attention_dim=32,
        norm_num_groups=4,
        attention_head_dim=2,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
    )
    return getattr(diffusers, pipeline or "StableDiffusionPipeline")(
        unet=unet.eval(),
        vae=autoencoder(),
        text_encoder=text_encoder,
        tokenizer=tokenizer,
        scheduler=diffusers.DDIMScheduler(prediction_type=prediction_type, **SCHEDULER),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )


def sd2() -> Any:
    """Stable Diffusion 2 for 768 pixels: OpenCLIP's text encoder, linear projections, v-prediction."""
    import diffusers

    tokenizer = clip_tokenizer(pad="!")
    torch.manual_seed(0)
    unet = diffusers.UNet2DConditionModel(
        sample_size=32,
        in_channels=4,
        out_channels=4,
        layers_per_block=1,
        block_out_channels=(8, 16),
        cross_attention_dim=48,
        norm_num_groups=4,
        attention_head_dim=(2, 4),
        use_linear_projection=True,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
    )
    return diffusers.StableDiffusionPipeline(
        unet=unet.eval(),
        vae=autoencoder(),
        text_encoder=clip_text_model(tokenizer, width=48, act="gelu"),
        tokenizer=tokenizer,
        scheduler=diffusers.DDIMScheduler(prediction_type="v_prediction", **SCHEDULER),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )


def sdxl(refiner: bool = False, in_channels: int = 4) -> Any:
    """Stable Diffusion XL, its refiner, or its inpainting model (9 channels)."""
    import diffusers

    tokenizers = clip_tokenizer(), clip_tokenizer(pad="!")
    first = clip_text_model(tokenizers[0])
    second = clip_text_model(tokenizers[1], width=48, projected=True, act="gelu", seed=4)
    torch.manual_seed(0)
    unet = diffusers.UNet2DConditionModel(
        sample_size=32,
        in_channels=in_channels,
        out_channels=4,
        layers_per_block=1,
        block_out_channels=(8, 16),
        norm_num_groups=4,
        attention_head_dim=(2, 4),
        use_linear_projection=True,
        addition_embed_type="text_time",
        addition_time_embed_dim=8,
        transformer_layers_per_block=(1, 2),
        projection_class_embeddings_input_dim=(5 if refiner else 6) * 8 + 48,
        cross_attention_dim=48 if refiner else 80,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
    )
    shared = {
        "unet": unet.eval(),
        "vae": autoencoder(scaling_factor=0.13025),
        "text_encoder_2": second,
        "tokenizer_2": tokenizers[1],
        "scheduler": diffusers.EulerDiscreteScheduler(
            beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", timestep_spacing="leading"
        ),
    }
    if refiner:
        return diffusers.StableDiffusionXLImg2ImgPipeline(
            **shared,
            text_encoder=None,
            tokenizer=None,
            requires_aesthetics_score=True,
            force_zeros_for_empty_prompt=False,
        )
    kind = "StableDiffusionXLPipeline" if in_channels == 4 else "StableDiffusionXLInpaintPipeline"
    return getattr(diffusers, kind)(**shared, text_encoder=first, tokenizer=tokenizers[0])


def sd3(with_t5: bool = True) -> Any:
    """Stable Diffusion 3, with or without T5."""
    import diffusers

    tokenizers = clip_tokenizer(), clip_tokenizer(pad="!")
    words = t5_tokenizer() if with_t5 else None
    torch.manual_seed(0)
    transformer = diffusers.SD3Transformer2DModel(
        sample_size=32,
        patch_size=2,
        in_channels=16,
        out_channels=16,
        num_layers=2,
        attention_head_dim=8,
        num_attention_heads=4,
        caption_projection_dim=32,
        joint_attention_dim=96,
        pooled_projection_dim=80,
        pos_embed_max_size=48,
    )
    return diffusers.StableDiffusion3Pipeline(
        transformer=transformer.eval(),
        vae=flow_autoencoder(scaling_factor=1.5305, shift_factor=0.0609),
        text_encoder=clip_text_model(tokenizers[0], projected=True),
        text_encoder_2=clip_text_model(tokenizers[1], width=48, projected=True, act="gelu", seed=4),
        text_encoder_3=t5_text_model(words, 96) if with_t5 else None,
        tokenizer=tokenizers[0],
        tokenizer_2=tokenizers[1],
        tokenizer_3=words,
        scheduler=diffusers.FlowMatchEulerDiscreteScheduler(shift=3.0),
    )


def flow_autoencoder(**settings: Any) -> Any:
    """The autoencoder of the flow models: 16 channels, a shift."""
    return autoencoder(16, use_quant_conv=False, use_post_quant_conv=False, **settings)


def flux(guidance: bool = True) -> Any:
    """Flux.1: "dev" with the embedded guidance, "schnell" without."""
    import diffusers

    words = clip_tokenizer(), t5_tokenizer()
    torch.manual_seed(0)
    transformer = diffusers.FluxTransformer2DModel(
        patch_size=1,
        in_channels=64,
        num_layers=1,
        num_single_layers=2,
        attention_head_dim=16,
        num_attention_heads=2,
        joint_attention_dim=32,
        pooled_projection_dim=32,
        guidance_embeds=guidance,
        axes_dims_rope=(4, 4, 8),
    )
    shifts = {"use_dynamic_shifting": True, "base_shift": 0.5, "max_shift": 1.15, "shift": 3.0}
    return diffusers.FluxPipeline(
        transformer=transformer.eval(),
        vae=flow_autoencoder(scaling_factor=0.3611, shift_factor=0.1159),
        text_encoder=clip_text_model(words[0]),
        text_encoder_2=t5_text_model(words[1]),
        tokenizer=words[0],
        tokenizer_2=words[1],
        scheduler=diffusers.FlowMatchEulerDiscreteScheduler(**(shifts if guidance else {"shift": 1.0})),
    )


def pixels(in_channels: int = 3, channels: int = 3, classes: int = 0, **scheduler: Any) -> Any:
    """A model of pixels, unconditional or by class, with as many channels beside the picture as are left."""
    import diffusers

    torch.manual_seed(0)
    unet = diffusers.UNet2DModel(
        sample_size=32,
        in_channels=in_channels,
        out_channels=channels,
        layers_per_block=1,
        block_out_channels=(8, 16),
        norm_num_groups=4,
        attention_head_dim=4,
        num_class_embeds=classes or None,
        down_block_types=("DownBlock2D", "AttnDownBlock2D"),
        up_block_types=("AttnUpBlock2D", "UpBlock2D"),
    )
    return diffusers.DDPMPipeline(unet=unet.eval(), scheduler=diffusers.DDPMScheduler(**scheduler))


MODELS: dict[str, Callable[[], Any]] = {
    "sd1": sd1,
    "sd1 inpaint": lambda: sd1(in_channels=9, pipeline="StableDiffusionInpaintPipeline"),
    "sd2": sd2,
    "sdxl": sdxl,
    "sdxl inpaint": lambda: sdxl(in_channels=9),
    "sdxl refiner": lambda: sdxl(refiner=True),
    "sd3": sd3,
    "sd3 without T5": lambda: sd3(with_t5=False),
    "flux dev": flux,
    "flux schnell": lambda: flux(guidance=False),
    "pixels": pixels,
}
"""A tiny model of each kind; each is random, and saved with `save_pretrained` it is an ordinary folder."""


class Gallery(Shelf):
    """The tiny models, each built and saved when it is first asked for."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.root = root
        self.pipelines: dict[str, Any] = {}

    def pipeline(self, name: str) -> Any:
        """diffusers' pipeline, whose weights are those of the folder."""
        if name not in self.pipelines:
            found = self.pipelines[name] = MODELS[name]()
            found.save_pretrained(self.root / name, safe_serialization=True)
            if hasattr(found, "unet") and not name.startswith("pixels"):
                import diffusers

                # Euler's method in sigma space, as our solver has it.
                found.scheduler = diffusers.EulerDiscreteScheduler.from_config(
                    found.scheduler.config, timestep_spacing="leading"
                )
        return self.pipelines[name]

    def model(self, name: str) -> Any:
        """Our handles of it."""
        from graphengine_diffusion.loading import load_model

        self.pipeline(name)
        return load_model(name, self)
