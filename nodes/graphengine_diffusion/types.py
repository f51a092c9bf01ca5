"""What travels along the wires of a diffusion workflow.

Latents live in sigma space ("variance exploding", Karras et al. 2022): x = x0 + sigma * noise, with x0
normalised to about unit variance. Models travel as handles: small frozen values that say which weights to
load; a node asks `ctx.use(handle)` for the model itself.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import chain
from typing import Any, Literal, NamedTuple

from torch import Tensor

from graphengine.authoring import Folders
from graphengine.types import WireType
from graphengine_diffusion.weights import load_module, load_tokenizer


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
class Part:
    """One component of a model: its folder, its class, the hash of its content.

    `dtype` is the precision on a GPU; a CPU computes in float32 whatever the weights are stored in.
    """

    folder: str
    cls: str
    hash: str
    dtype: str = "float16"


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
    predicts: Literal["epsilon", "v_prediction", "sample"] = "epsilon"
    betas: Betas = Betas()

    def load(self, folders: Folders, device: str) -> Any:
        """The module itself, ready to predict on a device."""
        return load_module(
            folders.model(self.model), self.part.folder, self.part.cls, self.part.dtype, device
        )


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

    def load(self, folders: Folders, device: str) -> Towers:
        """Every tokenizer with its encoder."""
        path = folders.model(self.model)
        return Towers(
            Tower(
                load_tokenizer(path, words.folder, words.cls),
                load_module(path, part.folder, part.cls, part.dtype, device),
                self.tokens,
            )
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
        return load_module(
            folders.model(self.model), self.part.folder, self.part.cls, self.part.dtype, device
        )


History = tuple[tuple[float, Tensor], ...]
"""What a multistep solver remembers: (sigma, denoised) of earlier steps, the latest last."""


@WireType("Latent", "#b388ff", "Pictures as the model sees them, with the noise that is still in them.")
@dataclass(frozen=True, eq=False)
class Latent:
    """`samples` is float32 [batch, channels, height, width] in sigma space.

    `seeds` holds one seed for each item, from which a solver draws the noise of later steps. `history` is the
    state that a multistep solver carries through the loop.
    """

    samples: Tensor
    spec: LatentSpec
    seeds: tuple[int, ...]
    history: History = ()


@WireType("Conditioning", "#ff9e40", "What the picture should show: the text encoder's vectors.")
@dataclass(frozen=True, eq=False)
class Conditioning:
    """`cross` [batch, tokens, width] is what cross-attention looks at.

    `pooled` [batch, width] is the text as one vector, `mask` [batch, tokens] tells the tokens that count, and
    `extra` holds what only one family knows; each None or empty where a model has no use for it.
    """

    cross: Tensor
    pooled: Tensor | None = None
    mask: Tensor | None = None
    extra: dict[str, Tensor] = field(default_factory=dict)


@WireType("Schedule", "#26c6da", "How noisy each step of a loop is, from the noisiest to none.")
@dataclass(frozen=True, eq=False)
class Schedule:
    """`sigmas` is float32 [steps + 1] on the CPU, falling, with the final 0; `times` float32 [steps].

    A time is what the model was told in training: for most models the number of the training step.
    """

    sigmas: Tensor
    times: Tensor


@WireType("Timestep", "#4dd0e1", "One step of a schedule: from how much noise to how much.")
@dataclass(frozen=True)
class Timestep:
    """From `sigma` to `sigma_next`; `time` is what the model is told.

    `index` counts from the start of the whole schedule and `fraction` is the part of it that is done when the
    step begins, 0 to 1, so both mean the same if `strength` leaves out the first steps.
    """

    index: int
    sigma: float
    sigma_next: float
    time: float
    fraction: float


@WireType("Prediction", "#ec6ead", "The model's guess of the clean picture, and the noise that this implies.")
@dataclass(frozen=True, eq=False)
class Prediction:
    """`denoised` (x0) is float32 [batch, channels, height, width]; the model saw `samples` and `sigma`."""

    denoised: Tensor
    samples: Tensor
    sigma: float
    spec: LatentSpec
    seeds: tuple[int, ...]

    @property
    def x0(self) -> Tensor:
        """The clean picture, as the model guesses it."""
        return self.denoised

    @property
    def eps(self) -> Tensor:
        """The noise of unit variance that the guess implies: (x - x0) / sigma."""
        return (self.samples - self.denoised) / self.sigma
