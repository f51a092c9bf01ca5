"""What travels along the wires of a diffusion workflow.

Latents live in sigma space. For most models that is x = x0 + sigma * noise ("variance exploding", Karras et
al. 2022), with x0 normalised to about unit variance; for flow models x = (1 - sigma) x0 + sigma * noise.
Models travel as `handles`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from torch import Tensor

from graphengine.types import WireType
from graphengine_diffusion.handles import LatentSpec


class Past(NamedTuple):
    """What a solver remembers of an earlier call of the model, made at `sigma`.

    `kept` is what that `solver` will need again, no more: the guess of the clean picture, the slope, the
    noisy picture.
    """

    solver: str
    sigma: float
    kept: tuple[Tensor, ...]


History = tuple[Past, ...]
"""The earlier calls, the latest last."""


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

    `pooled` [batch, width] is the text as one vector, `mask` [batch, tokens] tells the tokens that count,
    `concat` [batch, channels, height, width] stands beside the noisy latents at the model's input, and
    `extra` holds what only one family knows; each None or empty where a model has no use for it.

    `window` (from, to) is the part of the loop, 0 to 1, in which it acts, `area` (x, y, width, height) the
    part of the picture, 0 to 1, `strength` its weight among `others`, the conditionings it is combined with.
    """

    cross: Tensor | None = None
    pooled: Tensor | None = None
    mask: Tensor | None = None
    extra: dict[str, Tensor] = field(default_factory=dict)
    concat: Tensor | None = None
    window: tuple[float, float] = (0.0, 1.0)
    area: tuple[float, float, float, float] | None = None
    strength: float = 1.0
    others: tuple[Conditioning, ...] = ()


@WireType("Schedule", "#26c6da", "How noisy each step of a loop is, from the noisiest to none.")
@dataclass(frozen=True, eq=False)
class Schedule:
    """`sigmas` is float32 [steps + 1] on the CPU, falling; `times` float32 [steps].

    The last sigma is where the last step ends: 0, but for the noisy part of a schedule that was split. A time
    is what the model was told in training: for most models the number of the training step. `flow` says that
    x = (1 - sigma) x0 + sigma * noise; else x = x0 + sigma * noise.
    """

    sigmas: Tensor
    times: Tensor
    flow: bool = False


@WireType("Timestep", "#4dd0e1", "One step of a schedule: from how much noise to how much.")
@dataclass(frozen=True)
class Timestep:
    """From `sigma` to `sigma_next`; `time` is what the model is told.

    `index` counts from the start of the whole schedule and `fraction` is the part of it that is done when the
    step begins, 0 to 1, so both mean the same if `strength` leaves out the first steps. `flow` is as in a
    Schedule.

    `stage` is 0 for a whole step. A solver that asks the model twice has its steps in two halves, 1 and 2,
    with the same `index` and `fraction`; `sigma` and `sigma_next` are then those of the half, and `solver`
    says whose halves they are.
    """

    index: int
    sigma: float
    sigma_next: float
    time: float
    fraction: float
    flow: bool = False
    stage: int = 0
    solver: str = ""

    @property
    def alpha(self) -> float:
        """What the clean picture is multiplied by in x = alpha * x0 + sigma * noise."""
        return 1.0 - self.sigma if self.flow else 1.0

    @property
    def alpha_next(self) -> float:
        """The same at the end of the step."""
        return 1.0 - self.sigma_next if self.flow else 1.0


@WireType("Residuals", "#a1887f", "What a ControlNet adds inside the denoiser, for one prediction.")
@dataclass(frozen=True, eq=False)
class Residuals:
    """What is added to the U-Net's skip connections and to its middle, each [batch, channels, h, w].

    For a transformer `down` is added behind its blocks, and `single` behind the single blocks of Flux, each
    [batch, tokens, width]. They are fewer than the blocks: each serves several that follow each other, or
    those of `down` all of them in turn. Empty adds nothing.
    """

    down: tuple[Tensor, ...]
    mid: Tensor | None = None
    single: tuple[Tensor, ...] = ()
    in_turn: bool = False

    @property
    def parts(self) -> tuple[Tensor, ...]:
        """Every tensor."""
        return (*self.down, *(() if self.mid is None else (self.mid,)), *self.single)

    def with_parts(self, parts: Sequence[Tensor]) -> Residuals:
        """The same with other tensors, in the order of `parts`."""
        middle = len(self.down) + (self.mid is not None)
        down, single = tuple(parts[: len(self.down)]), tuple(parts[middle:])
        return Residuals(down, None if self.mid is None else parts[middle - 1], single, self.in_turn)

    def form(self) -> object:
        """What must be equal for two of one size to be put together or added up."""
        return len(self.down), self.mid is None, self.in_turn, tuple(part.shape[1:] for part in self.parts)


@WireType("Prediction", "#ec6ead", "The model's guess of the clean picture, and the noise that this implies.")
@dataclass(frozen=True, eq=False)
class Prediction:
    """`denoised` (x0) is float32 [batch, channels, height, width].

    The model saw `samples` at `sigma`; `alpha` is what x0 is multiplied by there.
    """

    denoised: Tensor
    samples: Tensor
    sigma: float
    spec: LatentSpec
    seeds: tuple[int, ...]
    alpha: float = 1.0

    @property
    def x0(self) -> Tensor:
        """The clean picture, as the model guesses it."""
        return self.denoised

    @property
    def eps(self) -> Tensor:
        """The noise of unit variance that the guess implies: (x - alpha * x0) / sigma."""
        return (self.samples - self.alpha * self.denoised) / self.sigma
