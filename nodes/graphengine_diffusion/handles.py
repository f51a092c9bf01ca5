"""Handles: what stands for a model on a wire; small frozen values that say which weights to load.

A node asks `ctx.use(handle)` for the model itself.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain
from typing import Any, Literal, NamedTuple

from torch import Tensor

from graphengine.authoring import Folders
from graphengine.errors import ModelError
from graphengine.types import WireType
from graphengine_diffusion.vocabulary import load_words as load_words
from graphengine_diffusion.weights import load_component, load_module


@dataclass(frozen=True)
class LatentSpec:
    """What a model's latents look like.

    `channels` of them, `factor` pixels to one latent along each side; the VAE's own numbers z become
    (z - shift) * scale, which has about unit variance.
    """

    channels: int
    factor: int
    scale: float = 1.0
    shift: float = 0.0


@dataclass(frozen=True)
class Betas:
    """How noisy the steps were that a model was trained on: the beta of each of `steps` training steps.

    `schedule` is "linear", "scaled_linear" (linear in the square root) or "squaredcos_cap_v2" (the cosine
    schedule); `trained` holds the betas themselves where a model brings its own; `zero_snr` shifts them
    so that the last step is pure noise (Lin et al. 2023).
    """

    schedule: str = "scaled_linear"
    start: float = 0.00085
    end: float = 0.012
    steps: int = 1000
    zero_snr: bool = False
    trained: tuple[float, ...] = ()


@dataclass(frozen=True)
class Flow:
    """The noise of a flow model, x = (1 - sigma) x0 + sigma * noise with sigma from 1 to 0.

    Lipman et al. 2023; Esser et al. 2024. `shift` bends evenly spaced sigmas to
    shift * s / (1 + (shift - 1) s). `dynamic` is (tokens, mu, tokens, mu): there the shift is exp(mu), with
    mu linear in the number of 2 x 2 patches of the picture. The model is told sigma * `steps`.
    """

    shift: float = 1.0
    dynamic: tuple[float, float, float, float] | None = None
    steps: int = 1000


@dataclass(frozen=True)
class Patch:
    """A LoRA at a strength: the file by its name under the model roots, and its content hash."""

    model: str
    hash: str
    strength: float


@dataclass(frozen=True)
class Part:
    """One component of a model: where it lies, its class, the hash of its content.

    `model` is the name of a folder or file under the model roots, `folder` the component's place in it (empty
    if it is the folder itself; in a single file, the folder that it would be in). `dtype` is the precision on
    a GPU; a CPU computes in float32 whatever the weights are stored in. `preset` names the architecture where
    a single file brings no configuration; of a tokenizer it is the padding token, where that is not its own.
    A part without a hash is not there: that is told when it is used.
    """

    model: str
    folder: str
    cls: str
    hash: str
    dtype: str = "float16"
    preset: str = ""


class Tower(NamedTuple):
    """A text encoder, loaded: words to token ids, token ids to vectors. `tokens` is how many it reads."""

    tokenizer: Any
    encoder: Any
    tokens: int


class Towers(tuple[Tower, ...]):
    """The text encoders of a model. The model pool counts their bytes as it does those of one module."""

    def parameters(self) -> Iterator[Tensor]:
        """Every weight."""
        return chain.from_iterable(tower.encoder.parameters() for tower in self)

    def buffers(self) -> Iterator[Tensor]:
        """Every tensor that is no weight."""
        return chain.from_iterable(tower.encoder.buffers() for tower in self)


@WireType("Denoiser", "#7c4dff", "A model that predicts the clean picture in a noisy one; by name and hash.")
@dataclass(frozen=True)
class Denoiser:
    """A handle of a U-Net or a transformer, with the numbers that nodes need without loading it.

    `sample_size` is the side of the latents that it was made for, `text_width` that of the text's vectors
    that it reads, `predicts` what its output means.
    """

    model: str
    part: Part
    family: str
    spec: LatentSpec
    sample_size: int
    text_width: int
    predicts: Literal["epsilon", "v_prediction", "sample", "flow"] = "epsilon"
    noise: Betas | Flow = Betas()
    patches: tuple[Patch, ...] = ()

    def load(self, folders: Folders, device: str) -> Any:
        """The module itself, ready to predict on a device."""
        return load_part(self.part, folders, device)


@WireType("TextEncoder", "#ffb300", "A model that turns words into vectors; by name and hash.")
@dataclass(frozen=True)
class TextEncoder:
    """A handle of the text encoders of a model; each goes with its tokenizer.

    `tokens` is how many tokens it reads at once, the marks at both ends included.
    """

    model: str
    parts: tuple[Part, ...]
    tokenizers: tuple[Part, ...]
    family: str
    tokens: int = 77
    patches: tuple[Patch, ...] = ()

    def load(self, folders: Folders, device: str) -> Towers:
        """Every tokenizer with its encoder."""
        return Towers(
            Tower(load_words(words, folders), load_part(part, folders, device), self.tokens)
            for words, part in zip(self.tokenizers, self.parts, strict=True)
        )


@WireType("VAE", "#e5395f", "A model that turns pictures into latents and back; by name and hash.")
@dataclass(frozen=True)
class VAE:
    """A handle of an autoencoder."""

    model: str
    part: Part
    family: str
    spec: LatentSpec

    def load(self, folders: Folders, device: str) -> Any:
        """The module itself, ready to encode and decode on a device."""
        return load_part(self.part, folders, device)


def load_part(part: Part, folders: Folders, device: str) -> Any:
    """The module of a part. ModelError if the model does not have it."""
    path = folders.model(part.model)
    if not part.hash:
        raise ModelError(
            f"{part.model} holds no {part.folder.replace('_', ' ')}; load that from a file of its own"
        )
    if path.is_file():
        return load_component(path, part.folder, part.cls, part.preset, part.dtype, device)
    return load_module(path, part.folder, part.cls, part.dtype, device)
