"""The folder of a model: read and written as a StableDiffusionPipeline."""

import copy
import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from diffusers import __version__ as diffusers_version
from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL
from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel
from diffusers.pipelines.stable_diffusion.pipeline_stable_diffusion import StableDiffusionPipeline
from torch import nn
from transformers import CLIPTextModel, CLIPTokenizer

from graphengine_storybook import autoencoder, text_encoder, tokenizer, unet


@dataclass
class Model:
    """The parts of a text-to-image model, in float32."""

    tokenizer: CLIPTokenizer
    text_encoder: CLIPTextModel
    unet: UNet2DConditionModel
    vae: AutoencoderKL

    @classmethod
    def new(cls, words: Path, channels: tuple[int, int, int] = (48, 80, 160)) -> "Model":
        """A model that knows nothing; its tokenizer is written to the folder `words`."""
        vocabulary = tokenizer.write(words)
        vae = autoencoder.build()
        autoencoder.Code.fit().write(vae)
        return cls(vocabulary, text_encoder.build(vocabulary), unet.build(channels), vae)

    @classmethod
    def load(cls, folder: Path) -> "Model":
        """The model in a folder."""
        return cls(
            CLIPTokenizer.from_pretrained(folder / "tokenizer"),
            CLIPTextModel.from_pretrained(folder / "text_encoder", dtype=torch.float32),
            UNet2DConditionModel.from_pretrained(folder / "unet", torch_dtype=torch.float32),
            AutoencoderKL.from_pretrained(folder / "vae", torch_dtype=torch.float32),
        )

    def pipeline(self) -> Any:
        """diffusers' own StableDiffusionPipeline on these parts, without a progress bar."""
        parts: dict[str, Any] = {  # untyped: diffusers' annotations deny the None it documents
            "vae": self.vae,
            "text_encoder": self.text_encoder,
            "tokenizer": self.tokenizer,
            "unet": self.unet,
            "scheduler": unet.schedule(),
            "safety_checker": None,
            "feature_extractor": None,
            "requires_safety_checker": False,
        }
        pipeline: Any = StableDiffusionPipeline(**parts)
        pipeline.set_progress_bar_config(disable=True)
        return pipeline

    def save(self, folder: Path) -> None:
        """Write the model in float16. The folder appears, or changes, when it is complete."""
        unfinished = folder.with_name(f".{folder.name}.part")
        shutil.rmtree(unfinished, ignore_errors=True)
        small = copy.deepcopy(self.pipeline()).to(torch.float16)
        for part in (small.unet, small.vae, small.text_encoder):
            part.to(memory_format=torch.contiguous_format)
        small.save_pretrained(unfinished)
        tokenizer.write(unfinished / "tokenizer")
        _finish(unfinished, folder)


def save_parts(folder: Path, parts: Mapping[str, Any], index: Mapping[str, Any] | None = None) -> None:
    """Write diffusers' models (in float16) and schedules to a folder, each to the subfolder it is named.

    The part named "" is written to the folder itself. `index` becomes model_index.json, with the class
    of each part. As with `Model.save`, the folder appears, or changes, when it is complete.
    """
    unfinished = folder.with_name(f".{folder.name}.part")
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir(parents=True)
    for name, part in parts.items():
        if isinstance(part, nn.Module):
            part = copy.deepcopy(part).to(torch.float16)
            part.to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]
        part.save_pretrained(unfinished / name)
    if index is not None:
        classes = {name: ["diffusers", type(part).__name__] for name, part in parts.items()}
        content = {"_diffusers_version": diffusers_version, **index, **classes}
        text = json.dumps(dict(sorted(content.items())), indent=2)
        (unfinished / "model_index.json").write_text(text + "\n", encoding="utf-8")
    _finish(unfinished, folder)


def _finish(unfinished: Path, folder: Path) -> None:
    """Tidy what was written and put it in the place of `folder`, whose pages and pictures stay."""
    for config in unfinished.rglob("*.json"):
        _tidy(config)
    for weights in unfinished.rglob("*.safetensors"):
        weights.chmod(0o644)  # transformers and diffusers leave them to their owner
    if folder.exists():
        for page in (*folder.glob("*.md"), *folder.glob("*.png")):
            shutil.copy(page, unfinished)
        retired = folder.with_name(f".{folder.name}.old")
        shutil.rmtree(retired, ignore_errors=True)
        os.replace(folder, retired)
        os.replace(unfinished, folder)
        shutil.rmtree(retired)
    else:
        os.replace(unfinished, folder)


def _tidy(config: Path) -> None:
    """Leave out where a part was loaded from, and let every part load in one type.

    Unless told otherwise, transformers takes the type that the configuration names and diffusers
    float32: the pipeline would not fit together.
    """
    content = json.loads(config.read_text(encoding="utf-8"))
    tidy = {name: value for name, value in content.items() if name != "_name_or_path"}
    if "dtype" in tidy:
        tidy["dtype"] = "float32"
    if tidy != content:
        config.write_text(json.dumps(tidy, indent=2) + "\n", encoding="utf-8")
