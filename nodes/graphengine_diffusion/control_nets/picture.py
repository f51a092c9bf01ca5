"""The picture that steers, as a ControlNet reads it: its pixels, or its latents."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional

from graphengine_diffusion.handles import ControlNet
from graphengine_diffusion.latents import pixel_size
from graphengine_diffusion.types import Latent


def in_pixels(control_net: ControlNet, image: Tensor, samples: Tensor) -> Tensor:
    """The picture as the model reads it: [batch, channels, height, width], 0 to 1, in the latents' size.

    Grey is taken as RGB, an alpha is left out. ValueError for other channels.
    """
    have, want = image.shape[-1], control_net.colours
    picture = image[..., :3] if have == 4 else image
    if have == 1:
        picture = image.expand(*image.shape[:-1], want)
    if picture.shape[-1] != want:
        raise ValueError(
            f"the image has {have} channels, but the ControlNet {control_net.model} reads {want}; give a "
            "grey, RGB or RGBA picture"
        )
    size = [side * control_net.factor for side in samples.shape[-2:]]
    planes = picture.permute(0, 3, 1, 2).float()
    if list(planes.shape[-2:]) == size:
        return planes
    return functional.interpolate(planes, size, mode="bilinear", antialias=True).clamp(0, 1)


def in_latents(control_net: ControlNet, encoded: Latent | None, latent: Latent) -> Tensor:
    """The picture's latents. ValueError where there are none, or they are of another model or size."""
    if encoded is None:
        raise ValueError(
            f"the ControlNet {control_net.model} reads the picture as latents; encode it with vae_encode and "
            "link that to `encoded`"
        )
    if encoded.samples.shape[1] != latent.samples.shape[1]:
        raise ValueError(
            f"the encoded picture has {encoded.samples.shape[1]} channels and the latent "
            f"{latent.samples.shape[1]}; encode it with the VAE of this model"
        )
    if encoded.samples.shape[-2:] != latent.samples.shape[-2:]:
        raise ValueError(
            f"the encoded picture is {pixel_size(encoded)} pixels and the latent {pixel_size(latent)}; "
            "give the picture the size of the canvas with image.resize"
        )
    return encoded.samples
