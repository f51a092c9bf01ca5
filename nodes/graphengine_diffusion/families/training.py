"""Training: the noise that a model was trained on and what its output means, read from its scheduler."""

from __future__ import annotations

from typing import Any, Literal

from graphengine.errors import ModelError
from graphengine_diffusion.families.family import ModelFolder
from graphengine_diffusion.handles import Betas, Flow

Predicts = Literal["epsilon", "v_prediction", "sample"]


def read_scheduler(folder: ModelFolder) -> dict[str, Any]:
    """The scheduler's configuration."""
    return folder.json("scheduler/scheduler_config.json")


def read_prediction(folder: ModelFolder) -> Predicts:
    """What a U-Net's output means. ModelError if it is nothing that we know how to read."""
    kind = read_scheduler(folder).get("prediction_type", "epsilon")
    if kind not in ("epsilon", "v_prediction", "sample"):
        raise ModelError(
            f"{folder.name}: its U-Net predicts {kind!r}; only these are known: epsilon, v_prediction, sample"
        )
    found: Predicts = kind
    return found


def read_betas(folder: ModelFolder) -> Betas:
    """The training noise; what the file leaves out are the defaults of diffusers' schedulers."""
    scheduler = read_scheduler(folder)
    return Betas(
        schedule=scheduler.get("beta_schedule", "linear"),
        start=scheduler.get("beta_start", 0.0001),
        end=scheduler.get("beta_end", 0.02),
        steps=scheduler.get("num_train_timesteps", 1000),
        zero_snr=scheduler.get("rescale_betas_zero_snr", False),
        trained=tuple(scheduler.get("trained_betas") or ()),
    )


def read_flow(folder: ModelFolder) -> Flow:
    """How a flow model's sigmas are bent: by a fixed shift, or by one that depends on the picture's size."""
    scheduler = read_scheduler(folder)
    dynamic = (
        scheduler.get("base_image_seq_len", 256),
        scheduler.get("base_shift", 0.5),
        scheduler.get("max_image_seq_len", 4096),
        scheduler.get("max_shift", 1.15),
    )
    return Flow(
        shift=scheduler.get("shift", 1.0),
        dynamic=dynamic if scheduler.get("use_dynamic_shifting") else None,
        steps=scheduler.get("num_train_timesteps", 1000),
    )
