"""The kinds of ControlNets, by the class of diffusers. A new one is a module, and a line in `KINDS`."""

from __future__ import annotations

from graphengine_diffusion.control_nets import flux1, sd3, unet
from graphengine_diffusion.control_nets.kind import Call, Kind

__all__ = ["KINDS", "Call", "Kind"]

KINDS: dict[str, Kind] = {
    "ControlNetModel": unet,
    "SD3ControlNetModel": sd3,
    "FluxControlNetModel": flux1,
}
