"""Fitting: whether latents, a step and a conditioning were made for a model; one clear sentence if not."""

from __future__ import annotations

from graphengine_diffusion.handles import Denoiser
from graphengine_diffusion.types import Conditioning, Latent, Residuals, Timestep

CONTROLLED = {"sd1": 4, "sdxl": 4, "sdxl_refiner": 4, "sd3": 3, "flux1": 3}
"""The families whose models take what a ControlNet adds, and how many axes that has."""


def fit(
    denoiser: Denoiser,
    latent: Latent,
    timestep: Timestep,
    conditioning: Conditioning,
    control: Residuals | None = None,
) -> None:
    """ValueError if one of them was made with or for another kind of model."""
    name, have = denoiser.model, latent.samples.shape[1]
    if have != denoiser.spec.channels:
        raise ValueError(
            f"the latent has {have} channels, but {name} works on {denoiser.spec.channels}; make it with "
            "that model"
        )
    if timestep.flow != (denoiser.predicts == "flow"):
        kind = "a flow model" if timestep.flow else "a model that is no flow model"
        raise ValueError(f"the timestep is of a schedule for {kind}, unlike {name}; schedule that model")
    fit_text(denoiser, conditioning)
    fit_concat(denoiser, latent, conditioning)
    if control is not None:
        fit_control(denoiser, control)


def fit_control(denoiser: Denoiser, control: Residuals) -> None:
    """ValueError for what a ControlNet of another family adds."""
    if denoiser.family not in CONTROLLED:
        raise ValueError(f"{denoiser.model} takes no control; remove the ControlNet or choose another model")
    axes = CONTROLLED[denoiser.family]
    if any(part.ndim != axes for part in control.parts) or (control.single and denoiser.family != "flux1"):
        raise ValueError(
            f"the control is of a ControlNet for another family than that of {denoiser.model}; use one that "
            "was made for this model"
        )


def fit_text(denoiser: Denoiser, conditioning: Conditioning) -> None:
    """ValueError for the text of another model, or none where there must be one."""
    name, cross, pooled = denoiser.model, conditioning.cross, conditioning.pooled
    if not denoiser.text_width:
        if cross is not None:
            raise ValueError(f"{name} follows no text; leave the conditioning empty")
        return
    if cross is None:
        raise ValueError(f"{name} follows a text; give predict a conditioning from its text encoder")
    if cross.shape[-1] != denoiser.text_width:
        raise ValueError(
            f"the conditioning is {cross.shape[-1]} wide, but {name} reads {denoiser.text_width}; use that "
            "model's text encoder"
        )
    if not denoiser.pooled_width:
        return
    if pooled is None or pooled.shape[-1] != denoiser.pooled_width:
        has = (
            "no vector of the whole text"
            if pooled is None
            else f"one of {pooled.shape[-1]} for the whole text"
        )
        raise ValueError(
            f"the conditioning has {has}, but {name} reads {denoiser.pooled_width}; use that model's text "
            "encoder"
        )


def fit_concat(denoiser: Denoiser, latent: Latent, conditioning: Conditioning) -> None:
    """ValueError if what stands beside the latents is not what the model reads there."""
    name, concat, size = denoiser.model, conditioning.concat, latent.samples.shape[-2:]
    if concat is None:
        if denoiser.concat:
            raise ValueError(
                f"{name} reads {denoiser.concat} channels beside the latents; give both conditionings a "
                "picture, with inpaint_conditioning for an inpainting model"
            )
        return
    if concat.shape[1] != denoiser.concat:
        reads = f"{denoiser.concat} such" if denoiser.concat else "none"
        raise ValueError(
            f"the conditioning has {concat.shape[1]} channels to stand beside the latents, but {name} reads "
            f"{reads}; choose an inpainting model, or a conditioning without them"
        )
    if concat.shape[-2:] != size:
        raise ValueError(
            f"the picture in the conditioning is {concat.shape[-1]} x {concat.shape[-2]} latents large and "
            f"the latent {size[1]} x {size[0]}; make both of one size"
        )
