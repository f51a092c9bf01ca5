"""Parametrisation: what a model is given, and what its output says of the clean picture.

A model of the DDPM kind was trained on x / sqrt(1 + sigma^2), which has unit variance whatever the noise.
With a = 1 / sqrt(1 + sigma^2) and s = sigma * a, that is a * x0 + s * eps. A flow model is given
x = (1 - sigma) x0 + sigma * noise as it is.
"""

from __future__ import annotations

from torch import Tensor


def scaled(x: Tensor, sigma: Tensor, flow: bool = False) -> Tensor:
    """c_in(sigma) * x, what the model sees. Karras et al. 2022, table 1 (VP); for a flow model x itself."""
    return x if flow else x / (1 + sigma**2).sqrt()


def denoised(predicts: str, output: Tensor, x: Tensor, sigma: Tensor) -> Tensor:
    """x0 from the model's raw output; `sigma` is [batch, 1, 1, 1]."""
    if predicts == "epsilon":
        # Ho et al. 2020, eq. 11: x = x0 + sigma * eps.
        return x - sigma * output
    if predicts == "v_prediction":
        # Salimans & Ho 2022, section 4: v = a * eps - s * x0, so x0 = a * (a * x) - s * v.
        return x / (1 + sigma**2) - output * (sigma / (1 + sigma**2).sqrt())
    if predicts == "flow":
        # Lipman et al. 2023, eq. 23, with time the other way round: v = noise - x0, so x0 = x - sigma * v.
        return x - sigma * output
    return output
