"""Handles: what stands for a model on a wire; small frozen values that say which weights to load.

A node asks `ctx.use(handle)` for the model itself.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor
from torch.nn import Identity

from graphengine.authoring import Folders
from graphengine.errors import ModelError
from graphengine.types import WireType
from graphengine_diffusion.architectures import network_of
from graphengine_diffusion.files.extras import extra_file
from graphengine_diffusion.files.vocabulary import load_words as load_words
from graphengine_diffusion.files.weights import load_component, load_module
from graphengine_diffusion.folding import fold
from graphengine_diffusion.words import Taught, Word, with_vectors


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
    """A LoRA at a strength: the file by its name under the model roots, its content hash, what it changes.

    `places` are the parts of a model that its layers are in, as `files/lora_file.py` calls them.
    """

    model: str
    hash: str
    strength: float
    places: tuple[str, ...]


class Vectors(NamedTuple):
    """The vectors of an embedding for one of a model's text encoders.

    `entry` is their name in the file; they become the tokens from number `first` on, `tokens` of them.
    """

    encoder: int
    entry: str
    first: int
    tokens: int


@dataclass(frozen=True)
class Embedding:
    """A word that a text encoder is taught: the file by its name and content hash, and the word."""

    model: str
    hash: str
    token: str
    vectors: tuple[Vectors, ...]


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

    def load(self, folders: Folders, device: str) -> Any:
        """The module, ready to use on a device; or the tokenizer."""
        if self.cls.endswith("Tokenizer"):
            return load_words(self, folders)
        return load_part(self, folders, device)


@dataclass(frozen=True)
class Patched:
    """A part with LoRAs in it. `places` are what the part is called in their files.

    It holds all weights that they leave alone in common with the part itself.
    """

    base: Part
    patches: tuple[Patch, ...]
    places: tuple[str, ...]

    def load(self, folders: Folders, device: str) -> Any:
        """The patched module, with the part read for it alone."""
        return self.derive(self.base.load(folders, device), folders, device)

    def derive(self, model: Any, folders: Folders, device: str) -> Any:
        """A patched copy of the part."""
        return fold(model, self.places, [(extra_file(p.model, folders), p.strength) for p in self.patches])


def patched(part: Part, patches: tuple[Patch, ...], *places: str) -> Part | Patched:
    """The handle of a part with the LoRAs that change it, or of the part itself where none does."""
    found = tuple(patch for patch in patches if set(patch.places) & set(places))
    return Patched(part, found, places) if found else part


@dataclass(frozen=True)
class WithWords:
    """The tokenizer of one of a model's text encoders, with the words of embeddings."""

    base: Part
    embeddings: tuple[Embedding, ...]
    encoder: int

    def load(self, folders: Folders, device: str) -> Any:
        """The tokenizer, read for it alone, with the words."""
        return self.derive(self.base.load(folders, device), folders, device)

    def derive(self, model: Any, folders: Folders, device: str) -> Any:
        """A copy of the tokenizer with the words."""
        found = [Word(e.token, v.first, v.tokens) for e, v in vectors_of(self.embeddings, self.encoder)]
        return Taught(model, found)


@dataclass(frozen=True)
class WithVectors:
    """One of a model's text encoders, with the vectors of embeddings; all else is the encoder's own."""

    base: Part | Patched
    embeddings: tuple[Embedding, ...]
    encoder: int

    def load(self, folders: Folders, device: str) -> Any:
        """The encoder, read for it alone, with the vectors."""
        return self.derive(self.base.load(folders, device), folders, device)

    def derive(self, model: Any, folders: Folders, device: str) -> Any:
        """A copy of the encoder with the vectors."""
        from safetensors.torch import load_file

        found = vectors_of(self.embeddings, self.encoder)
        paths = [extra_file(embedding.model, folders) for embedding, _ in found]
        tensors = [load_file(path)[v.entry] for path, (_, v) in zip(paths, found, strict=True)]
        rows = [tensor.reshape(-1, tensor.shape[-1]) for tensor in tensors]
        return with_vectors(model, found[0][1].first, rows, [path.name for path in paths])


def vectors_of(embeddings: tuple[Embedding, ...], encoder: int) -> list[tuple[Embedding, Vectors]]:
    """What embeddings hold for one of a model's encoders."""
    return [(each, vectors) for each in embeddings for vectors in each.vectors if vectors.encoder == encoder]


class Tower(NamedTuple):
    """A text encoder, loaded: words to token ids, token ids to vectors. `tokens` is how many it reads."""

    tokenizer: Any
    encoder: Any
    tokens: int


class Towers(tuple[Tower, ...]):
    """The text encoders of a model, loaded, and the handle that they came from.

    The model pool counts their bytes as it does those of one module.
    """

    handle: TextEncoder

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
    that it reads (0: it follows no text), `pooled_width` that of the text as one vector (0: it reads none),
    `predicts` what its output means. `concat` is how many channels it reads beside the noisy latents,
    `guidance` says that it reads a strength of guidance. `classes` is how many classes it knows, and `labels`
    are their names. `clip` is the largest value of a clean picture, where the model's training knows one.
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
    pooled_width: int = 0
    concat: int = 0
    guidance: bool = False
    classes: int = 0
    labels: tuple[str, ...] = ()
    clip: float | None = None

    @property
    def members(self) -> tuple[Part | Patched]:
        """The part with its patches."""
        return (patched(self.part, self.patches, "denoiser"),)

    def compose(self, models: Sequence[Any]) -> Any:
        """The module itself."""
        return models[0]

    def load(self, folders: Folders, device: str) -> Any:
        """The module itself, ready to predict on a device."""
        return self.compose([member.load(folders, device) for member in self.members])


@WireType("TextEncoder", "#ffb300", "A model that turns words into vectors; by name and hash.")
@dataclass(frozen=True)
class TextEncoder:
    """A handle of the text encoders of a model; each goes with its tokenizer.

    `tokens` is how many tokens it reads at once, the marks at both ends included; `long_tokens` the same of a
    T5 encoder. `width` is that of the vectors that the denoiser reads, and `zeros_for_empty` says that an
    empty text is zeros. A model of pictures of classes has no encoder, but `labels`, the classes' names, of
    `classes` that it knows.
    """

    model: str
    parts: tuple[Part, ...]
    tokenizers: tuple[Part, ...]
    family: str
    tokens: int = 77
    patches: tuple[Patch, ...] = ()
    long_tokens: int = 0
    width: int = 0
    zeros_for_empty: bool = False
    classes: int = 0
    labels: tuple[str, ...] = ()
    embeddings: tuple[Embedding, ...] = ()

    @property
    def members(self) -> tuple[Part | Patched | WithWords | WithVectors, ...]:
        """Every tokenizer, then every encoder; with their patches and embeddings."""
        words: list[Part | WithWords] = []
        encoders: list[Part | Patched | WithVectors] = []
        for n, (tokenizer, part) in enumerate(zip(self.tokenizers, self.parts, strict=True)):
            place = f"text_encoder_{n + 1}" if n else "text_encoder"
            # T5 is the third encoder to those who train LoRAs, where a model has only two as well.
            third = ("text_encoder_3",) if part.cls == "T5EncoderModel" and n < 2 else ()
            encoder = patched(part, self.patches, place, *third)
            taught = vectors_of(self.embeddings, n)
            words.append(WithWords(tokenizer, self.embeddings, n) if taught else tokenizer)
            encoders.append(WithVectors(encoder, self.embeddings, n) if taught else encoder)
        return (*words, *encoders)

    def compose(self, models: Sequence[Any]) -> Towers:
        """Every tokenizer with its encoder."""
        half = len(self.tokenizers)
        rows = zip(models[:half], models[half:], self.parts, strict=True)
        towers = Towers(
            Tower(words, encoder, self.long_tokens if part.cls == "T5EncoderModel" else self.tokens)
            for words, encoder, part in rows
        )
        towers.handle = self
        return towers

    def load(self, folders: Folders, device: str) -> Towers:
        """Every tokenizer with its encoder."""
        return self.compose([member.load(folders, device) for member in self.members])


@WireType("VAE", "#e5395f", "A model that turns pictures into latents and back; by name and hash.")
@dataclass(frozen=True)
class VAE:
    """A handle of an autoencoder; one without a class stands for a model that works on pixels as they are."""

    model: str
    part: Part
    family: str
    spec: LatentSpec

    @property
    def members(self) -> tuple[Part, ...]:
        """The part, if it has one."""
        return (self.part,) if self.part.cls else ()

    def compose(self, models: Sequence[Any]) -> Any:
        """The module itself; what works on pixels has none, and its latents are pictures."""
        return models[0] if models else Identity()

    def load(self, folders: Folders, device: str) -> Any:
        """The module itself, ready to encode and decode on a device."""
        return self.compose([member.load(folders, device) for member in self.members])


@WireType("ControlNet", "#8d6e63", "A model that steers a denoiser by a picture; by name and hash.")
@dataclass(frozen=True)
class ControlNet:
    """A handle of a ControlNet, with the numbers that nodes need without loading it.

    It reads latents of `channels`, vectors of a text that are `text_width` wide, the text as one vector of
    `pooled_width` (0: none, or as SDXL does where `sized` says so: then it is told the size of the picture
    too), and a picture of `colours` channels, `factor` pixels to one latent along each side; or, where
    `colours` is 0, the picture's latents.

    `widths` are the channels of the levels of a U-Net, each of which has `layers` layers: they tell what its
    residuals look like. `blind` says that it was trained on zeros in place of the text as one vector, and
    latents without their shift; `guidance` that it reads a strength of guidance. `modes` is how many kinds of
    pictures it knows, where it must be told which.
    """

    model: str
    part: Part
    channels: int
    text_width: int
    colours: int = 0
    factor: int = 8
    sized: bool = False
    widths: tuple[int, ...] = ()
    layers: int = 0
    pooled_width: int = 0
    blind: bool = False
    guidance: bool = False
    modes: int = 0

    @property
    def members(self) -> tuple[Part]:
        """The part."""
        return (self.part,)

    def compose(self, models: Sequence[Any]) -> Any:
        """The module itself."""
        return models[0]

    def load(self, folders: Folders, device: str) -> Any:
        """The module itself, on a device."""
        return self.part.load(folders, device)


@WireType("Upscaler", "#7cb342", "A network that makes pictures larger; by name and hash.")
@dataclass(frozen=True)
class Upscaler:
    """A handle of a network that makes a picture `scale` times as high and wide."""

    model: str
    hash: str
    scale: int

    def load(self, folders: Folders, device: str) -> Any:
        """The module itself: in half precision on a GPU, in float32 on a CPU."""
        from safetensors.torch import load_file

        tensors = load_file(extra_file(self.model, folders))
        network = network_of({name: tuple(tensor.shape) for name, tensor in tensors.items()})
        module = network.build().eval().requires_grad_(False)
        module.load_state_dict({name: tensors[old] for name, old in network.names.items()})
        if torch.device(device).type == "cpu":
            return module
        module.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch's stubs lack it
        return module.to(device=device, dtype=torch.float16)


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
