"""Kind: what a module must define to bring one kind of ControlNets."""

from __future__ import annotations

from typing import Any, NamedTuple, Protocol

from torch import Tensor

from graphengine_diffusion.handles import ControlNet, Part
from graphengine_diffusion.types import Conditioning, Latent, Residuals


class Call(NamedTuple):
    """One call of a ControlNet, on its device: an item for each sample.

    `samples` [batch, channels, h, w] are scaled as the denoiser sees them, `times` [batch] is what it is
    told, `hint` is what the kind's `hint` gave, and `mode` the kind of picture, for nets of several kinds.
    """

    samples: Tensor
    times: Tensor
    conditioning: Conditioning
    hint: Tensor
    mode: int


class Kind(Protocol):
    """The functions of a module for one kind."""

    def read(self, name: str, part: Part, config: dict[str, Any]) -> ControlNet:
        """The handle, from the configuration. ModelError for one that works in another way."""

    def complete(self, control_net: ControlNet, latent: Latent, conditioning: Conditioning) -> Conditioning:
        """What the net reads of a conditioning, for latents of this size; its `extra` is what `run` reads."""

    def hint(self, control_net: ControlNet, image: Tensor, encoded: Latent | None, latent: Latent) -> Tensor:
        """The picture as the net reads it, in the latents' size; one, or one for each item."""

    def run(self, module: Any, call: Call) -> Residuals:
        """What the net adds, in whatever precision it computes."""

    def nothing(self, control_net: ControlNet, samples: Tensor) -> Residuals:
        """What stands for a net that does not act, for samples of this shape."""
