"""Family: what a module must define to bring one family of models."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from torch import Tensor

from graphengine.authoring import Folders
from graphengine.errors import ModelError
from graphengine_diffusion.files.weights import read_json, stored_dtype
from graphengine_diffusion.handles import VAE, Denoiser, LatentSpec, Part, TextEncoder, Towers
from graphengine_diffusion.types import Conditioning, Residuals


class Model(NamedTuple):
    """A model's three parts, as handles."""

    denoiser: Denoiser
    text_encoder: TextEncoder
    vae: VAE


@dataclass(frozen=True)
class ModelFolder:
    """A model in diffusers' folder format, of which only configurations and headers are read here."""

    name: str
    path: Path
    folders: Folders

    def json(self, file: str) -> dict[str, Any]:
        """A configuration file, such as `unet/config.json`."""
        return read_json(self.path / file)

    def has(self, folder: str) -> bool:
        """Whether a component is there."""
        return (self.path / folder).is_dir()

    def part(self, folder: str, cls: str, precise: bool = False) -> Part:
        """A component that has weights; `precise` asks for float32 on a GPU too."""
        stored = stored_dtype(self.path / folder)
        dtype = "float32" if precise else "bfloat16" if stored == "bfloat16" else "float16"
        return Part(self.name, folder, cls, self.hash(folder), dtype)

    def tower(self, folder: str, cls: str, words: str, words_cls: str) -> tuple[Part, Part]:
        """A text encoder and its tokenizer. One that is not there is told when a text is to be encoded."""
        if self.has(folder):
            return self.part(folder, cls), self.words(words, words_cls)
        return Part(self.name, folder, cls, ""), Part(self.name, words, words_cls, "")

    def words(self, folder: str, cls: str) -> Part:
        """A tokenizer."""
        return Part(self.name, folder, cls, self.hash(folder), "")

    def hash(self, folder: str) -> str:
        """The content hash of one component. ModelError if it is not there."""
        path = self.path / folder
        if not path.is_dir():
            raise ModelError(f"{self.name} has no folder {folder!r}; the model folder must be whole")
        return self.folders.content_hash(path)


class Family(Protocol):
    """The functions of a family module. Tensors are on the model's device, float32 unless said otherwise."""

    PIPELINES: tuple[str, ...]
    """The `_class_name`s in `model_index.json` that it reads."""

    LOOKS_UP: bool
    """Whether the model only looks the text up (cross-attention), so that a text may stand there repeated."""

    def reads(self, index: dict[str, Any]) -> bool:
        """Whether a `model_index.json` that names one of its pipelines is of this family."""

    def read(self, folder: ModelFolder) -> Model:
        """The handles of a model; reads no weights."""

    def encode_text(self, towers: Towers, text: str, clip_skip: int = 0) -> Conditioning:
        """A text as what the model is conditioned on, each tensor with one item."""

    def complete(
        self, denoiser: Denoiser, conditioning: Conditioning, height: int, width: int
    ) -> Conditioning:
        """The conditioning for latents of one size, with what the user did not say.

        Its `extra` then holds exactly what `run` reads, so that calls of one model fit together.
        """

    def run(
        self,
        module: Any,
        samples: Tensor,
        times: Tensor,
        conditioning: Conditioning,
        residuals: Residuals | None,
    ) -> Tensor:
        """The model's raw output for scaled samples [batch, channels, h, w] at times [batch].

        `conditioning` is complete, and has an item for each sample.
        """

    def encode(self, module: Any, pixels: Tensor, spec: LatentSpec) -> Tensor:
        """Pictures [batch, 3, h, w], -1 to 1, as normalised latents."""

    def decode(self, module: Any, samples: Tensor, spec: LatentSpec) -> Tensor:
        """Normalised latents as pictures [batch, 3, h, w], -1 to 1."""
